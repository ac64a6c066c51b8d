//! Equation 4-2: samples by general solvers of the reverse SDE, and what a corrector is worth.

use super::settings::{PlaneData, ScoreSource, Sde, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

/// Half the side of the window of standardised data.
const HALF: f64 = 3.5;

settings! {
    /// What a visitor may change.
    struct Settings {
        plane_data: PlaneData = PlaneData::Eight;
        sde: Sde = Sde::Vp;
        evaluations: usize = 50, 10..=400;
        snr_share: f64 = 0.16, 0.01..=0.5;
        corrector_steps: usize = 1, 1..=3;
        score_source: ScoreSource = ScoreSource::Exact;
        chains: usize = 4000, 100..=20_000;
        fit_steps: usize = 2500, 10..=20_000;
        fit_batch: usize = 256, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 64, 8..=256;
    }
}

const ENDS: &[Layer] = &[Layer::new("root-density", Mark::Heat, 0), Layer::new("samples-here", Mark::Dots, 2)];
const LINES: [Layer; 4] = [
    Layer::new("euler-maruyama", Mark::Line, 1),
    Layer::new("reverse-diffusion", Mark::Line, 2),
    Layer::new("ancestral", Mark::Line, 3).dashed(1),
    Layer::new("predictor-corrector", Mark::Line, 4).dashed(2),
];

/// The table.
pub const STUDY: Study = Study {
    id: "reverse-sde",
    chapter: 4,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("ends-euler", HALF, ENDS),
        Figure::plane("ends-reverse", HALF, ENDS),
        Figure::plane("ends-ancestral", HALF, ENDS),
        Figure::plane("ends-corrector", HALF, ENDS),
        Figure::curves(
            "quality",
            Axis::log("evaluations"),
            Axis::log("sliced-distance"),
            &[Layer::new("data-floor", Mark::Band, 0), LINES[0], LINES[1], LINES[2], LINES[3]],
        ),
        Figure::curves("near", Axis::log("evaluations"), Axis::fixed("near-share", 0.0, 1.0), &LINES),
        Figure::curves(
            "way",
            Axis::fixed("sde-time", 0.0, 1.0),
            Axis::free("first-axis"),
            &[Layer::new("reverse-paths", Mark::Segments, 2)],
        ),
    ],
    claims: &[
        Claim { key: "any", source: Source::Report("4-2, 4-4-1") },
        Claim { key: "score-only", source: Source::Report("4-1-2") },
        Claim { key: "pc", source: Source::Paper("Song et al. 2021, arXiv 2011.13456, section 4.2") },
    ],
    notes: &["equal-cost", "measure", "backwards"],
    brief: "chains=2000",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{HALF, Settings};
    use crate::data::metrics::{Slices, floor};
    use crate::data::{Exact, Mixture};
    use crate::diffusion::schedule::clean;
    use crate::diffusion::solver::Variance;
    use crate::diffusion::{Sampler, Schedule, Solver, Spacing, State as _};
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{fresh_noise, start, walk};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Fit, Learned, LevelNet, PLANE_LAYERS, Size};
    use crate::study::rows::{ExactRows, RowDenoiser, Rows};
    use crate::study::settings::ScoreSource;
    use crate::study::tools::{difference, flat, heat_to_most, near, pieces};

    /// Figures of the ends and layers of the solvers, in the order of [`solvers`].
    const NAMES: [(&str, &str); 4] = [
        ("ends-euler", "euler-maruyama"),
        ("ends-reverse", "reverse-diffusion"),
        ("ends-ancestral", "ancestral"),
        ("ends-corrector", "predictor-corrector"),
    ];
    const EULER: usize = 0;
    const REVERSE: usize = 1;
    const CORRECTOR: usize = 3;
    /// Evaluations of the charts; those at which solvers are compared, and at which any solver will do.
    const COUNTS: [usize; 6] = [10, 20, 50, 100, 200, 400];
    const FEW: usize = 20;
    const MANY: usize = 200;
    /// With a learned score, whose evaluations cost more, there are so many times fewer chains in the charts, and they end
    /// where the claims do.
    const FEWER: usize = 2;
    /// Samples of a network that lie at a mode, at least.
    const LEARNED: f64 = 0.9;
    /// Points drawn of a cloud, and paths.
    const SHOWN: usize = 700;
    const PATHS: usize = 24;
    /// Directions of a distance, and draws of data for its floor.
    const DIRECTIONS: usize = 32;
    const DRAWS: u32 = 10;

    fn solvers(settings: &Settings) -> [Solver; 4] {
        let corrections = settings.corrector_steps as u32;
        [
            Solver::EulerMaruyama,
            Solver::ReverseDiffusion,
            Solver::Ddpm(Variance::Small),
            Solver::PredictorCorrector { snr: settings.snr_share, corrections },
        ]
    }

    struct Study<'a> {
        context: &'a StudyContext,
        schedule: Schedule,
        chains: usize,
        done: usize,
        all: usize,
    }

    impl Study<'_> {
        /// Samples of a solver with at most so many evaluations, and how many they were.
        async fn samples(
            &mut self,
            solver: Solver,
            evaluations: usize,
            model: &mut dyn RowDenoiser,
            look: &mut dyn FnMut(f64, &Rows),
        ) -> Result<(Vec<[f64; 2]>, usize), StudyError> {
            let each = solver.evaluations(false).unwrap_or(1).max(1) as usize;
            let grid = self.schedule.grid(Spacing::Uniform, (evaluations / each).max(1));
            let first = start(self.context, 2, self.chains, 0).scale(self.schedule.prior_std());
            look(grid[0].t, &first);
            let sampler = Sampler::new(solver, self.schedule.clone(), grid, first);
            let planned = sampler.planned_evaluations().unwrap_or(0) as usize;
            let mut look = |sampler: &Sampler<Rows>| {
                self.done += each;
                self.context.progress(self.done.min(self.all), self.all);
                look(sampler.level().t, sampler.x());
            };
            let x = walk(self.context, sampler, model, &mut fresh_noise(self.context), &mut look).await?;
            Ok((x.points(), planned))
        }
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = settings.plane_data.mixture();
        let marginal = mixture.at(clean());
        let root = |x: f64, y: f64| (0.5 * marginal.log_density([x, y])).exp();
        let density = heat_to_most([72, 72], [-HALF, HALF, -HALF, HALF], root);
        for (figure, _) in NAMES {
            context.draw(figure, "root-density", density.iter().copied());
        }
        let schedule = settings.sde.schedule();
        let Settings { fit_steps: steps, fit_batch: batch, fit_rate: rate, evaluations, .. } = settings;
        let learned = settings.score_source == ScoreSource::Learned;
        let counts = || COUNTS.into_iter().filter(move |count| !learned || *count <= MANY);
        let walks = 4 * (counts().sum::<usize>() + evaluations) + MANY;
        let mut study = Study { context: &context, schedule, chains: settings.chains, done: 0, all: steps + walks };

        let size = Size { dimension: 2, width: settings.fit_width, depth: PLANE_LAYERS, data: 1.0 };
        let mut net = LevelNet::new(&context, size, 0);
        let plan = Fit { steps, batch, rate, sigmas: [0.01, 160.0] };
        if learned {
            fit(&study, &mut net, &mixture, plan).await?;
            study.done = steps;
            study.chains = settings.chains / FEWER;
            let mut model = Learned::new(&context, &net);
            compare(&mut study, &settings, counts(), &mixture, &mut model).await?;
            study.chains = settings.chains;
        } else {
            compare(&mut study, &settings, counts(), &mixture, &mut ExactRows(Exact::new(&mixture))).await?;
            let before = study.done;
            fit(&study, &mut net, &mixture, plan).await?;
            study.done = before + steps;
        }
        // One solver with the learned score, whatever the charts are of.
        let mut model = Learned::new(&context, &net);
        let (samples, _) = study.samples(Solver::EulerMaruyama, MANY, &mut model, &mut |_, _| {}).await?;
        let (near, error) = near(&samples, &mixture);
        context.conclude("score-only", near, error, [LEARNED, f64::INFINITY]);
        Ok(())
    }

    async fn fit(study: &Study<'_>, net: &mut LevelNet, mixture: &Mixture, fit: Fit) -> Result<(), StudyError> {
        let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
        let after = |step: usize| study.context.progress(study.done + step, study.all);
        fit.train(study.context, net, draw, after).await
    }

    /// The ends at the chosen number of evaluations, and the charts over all of them.
    async fn compare(
        study: &mut Study<'_>,
        settings: &Settings,
        counts: impl Iterator<Item = usize> + Clone,
        mixture: &Mixture,
        model: &mut dyn RowDenoiser,
    ) -> Result<(), StudyError> {
        let context = study.context;
        let solvers = solvers(settings);
        for (solver, (figure, _)) in solvers.into_iter().zip(NAMES) {
            let mut ways: Vec<Vec<[f64; 2]>> = Vec::new();
            let mut look = |t: f64, x: &Rows| {
                ways.push(x.values.as_chunks::<2>().0.iter().take(PATHS).map(|x| [t, x[0]]).collect());
            };
            let (samples, _) = study.samples(solver, settings.evaluations, model, &mut look).await?;
            context.draw(figure, "samples-here", samples.iter().take(SHOWN).copied().flatten());
            if solver == Solver::EulerMaruyama {
                context.draw("way", "reverse-paths", pieces(&ways));
            }
        }
        let reference = mixture.draw(&mut context.rng(Stream::Data, 0), study.chains);
        let slices = Slices::new(&reference, DIRECTIONS, context.seed());
        context.yield_now().await;
        let floor = floor(mixture, study.chains, DRAWS, context.seed(), |points| slices.distance(points));
        let [low, high] = [-2.0, 2.0].map(|k| (floor.mean + k * floor.spread).max(0.1 * floor.mean));
        let ends = counts.clone().map(|count| [count as f64, low, high]);
        context.draw("quality", "data-floor", ends.flatten());

        let mut charts = [const { (Vec::new(), Vec::new()) }; 4];
        for count in counts {
            let mut shares = [(0.0, 0.0); 4];
            for (place, solver) in solvers.into_iter().enumerate() {
                let (samples, evaluations) = study.samples(solver, count, model, &mut |_, _| {}).await?;
                context.yield_now().await;
                shares[place] = near(&samples, mixture);
                let (quality, curve) = &mut charts[place];
                quality.extend([evaluations as f64, slices.distance(&samples)]);
                curve.extend([evaluations as f64, shares[place].0]);
                context.draw("quality", NAMES[place].1, quality.iter().copied());
                context.draw("near", NAMES[place].1, curve.iter().copied());
            }
            if count == MANY {
                let (near, error) = shares[EULER];
                // A network leaves some beside the modes by itself.
                let learned = settings.score_source == ScoreSource::Learned;
                context.conclude("any", near, error, [if learned { LEARNED } else { 0.97 }, f64::INFINITY]);
            }
            if count == FEW {
                let (more, error) = difference(shares[CORRECTOR], shares[REVERSE]);
                context.conclude("pc", more, error, [0.0, f64::INFINITY]);
            }
        }
        Ok(())
    }
}
