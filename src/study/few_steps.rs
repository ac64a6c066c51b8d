//! Section 3-5: what a thousand evaluations cost, and DDIM's way with few of them.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

named_variants! {
    /// Which steps of a chain are walked when not all are.
    Subset {
        /// Both ends, and equal strides between.
        Even = "even",
        /// Equal strides from the cleanest.
        Leading = "leading",
        /// Equal strides from the noisiest.
        Trailing = "trailing",
        /// DDIM's, dense near the data.
        Quadratic = "quadratic",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        subset: Subset = Subset::Even;
        eta_share: f64 = 0.0, 0.0..=1.0;
        fewest: usize = 4, 4..=50;
        sample_count: usize = 400, 100..=2000;
        fit_steps: usize = 2500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 128, 8..=256;
    }
}

/// Half the width of the plane.
const HALF: f64 = 2.5;
const DDIM: Source = Source::Paper("DDIM, Song et al. 2020, arXiv 2010.02502");

/// The table.
pub const STUDY: Study = Study {
    id: "few-steps",
    chapter: 3,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves(
            "quality",
            Axis::log("evaluations"),
            Axis::log("frechet"),
            &[
                Layer::new("eta-none", Mark::Line, 0),
                Layer::new("eta-half", Mark::Line, 1),
                Layer::new("eta-full", Mark::Line, 2),
                Layer::new("sigma-hat", Mark::Line, 3),
            ],
        ),
        Figure::pictures("pictures", Axis::free(""), Axis::free("")),
        Figure::curves(
            "grids",
            Axis::of("subset-rule", Subset::IDS),
            Axis::fixed("chosen-step", 0.0, 1000.0),
            &[Layer::new("rule-steps", Mark::Dots, 0), Layer::new("walked-steps", Mark::Dots, 1)],
        ),
        Figure::plane(
            "way",
            HALF,
            &[
                Layer::new("data", Mark::Dots, 4),
                Layer::new("way-200", Mark::Segments, 0),
                Layer::new("way-20", Mark::Segments, 2),
                Layer::new("way-5", Mark::Segments, 1),
            ],
        ),
    ],
    claims: &[
        Claim { key: "slow", source: Source::Report("3-5") },
        Claim { key: "ddim", source: DDIM },
        Claim { key: "sigma-hat", source: DDIM },
        Claim { key: "consistent", source: DDIM },
    ],
    notes: &["beyond", "precision", "network"],
    brief: "fit-steps=1500&sample-count=150",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{Settings, Subset};
    use crate::choice::Choice as _;
    use crate::data::Exact;
    use crate::data::digits::PIXELS;
    use crate::data::metrics::bootstrap;
    use crate::data::metrics::gaussian::GaussianFit;
    use crate::diffusion::schedule::Betas;
    use crate::diffusion::schedule::spacing::{even_subset, leading_subset, quadratic_subset, trailing_subset};
    use crate::diffusion::solver::Variance;
    use crate::diffusion::{Sampler, Schedule, Solver};
    use crate::rng::Stream;
    use crate::study::chain::{fresh_noise, start, step, walk, walk_back};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Fit, Learned, LevelNet};
    use crate::study::pictures::{Split, digit_grid, fit, frechet_ratio, square};
    use crate::study::rows::{ExactRows, RowDenoiser, Rows};
    use crate::study::settings::{ChainTable, PlaneData};
    use crate::study::tools::{at_most, median_error, middle_mean, pieces};

    /// Steps of the chain.
    const STEPS: usize = 1000;
    /// Noise that it is trained at: as far as the chain goes.
    const SIGMAS: [f64; 2] = [0.02, 160.0];
    /// The solvers of the chart.
    const SOLVERS: [(&str, Solver); 4] =
        [("eta-none", STILL), ("eta-half", Solver::Ddim { eta: 0.5 }), ("eta-full", FRESH), ("sigma-hat", LARGE)];
    const STILL: Solver = Solver::Ddim { eta: 0.0 };
    const FRESH: Solver = Solver::Ddim { eta: 1.0 };
    const LARGE: Solver = Solver::Ddpm(Variance::Large);
    /// Evaluations of all of them, besides the fewest, and of one of them alone.
    const COUNTS: [usize; 4] = [10, 20, 50, 100];
    const MORE: [(usize, Solver); 2] = [(200, STILL), (STEPS, FRESH)];
    /// Claims on ratios of distances: evaluations, and the two solvers.
    const RATIOS: [(&str, usize, [Solver; 2], [f64; 2]); 2] =
        [("ddim", 20, [STILL, FRESH], at_most(0.9)), ("sigma-hat", 10, [LARGE, STILL], [1.5, f64::INFINITY])];
    /// Samples of these for each of the chart's, because distances of so few are far from certain.
    const TIMES: usize = 4;
    /// Rows of the pictures but the first, and pictures along a side.
    const ROWS: [usize; 4] = [10, 20, 50, 200];
    const ACROSS: usize = 2 * (ROWS.len() + 1);
    /// Evaluations of ways in the plane; ways, and points of data.
    const WAYS: [(&str, usize); 3] = [("way-5", 5), ("way-20", 20), ("way-200", 200)];
    const PATHS: usize = 24;
    const POINTS: usize = 400;
    /// Rounds of timing, samples of each, and the numbers of evaluations that are compared.
    const ROUNDS: usize = 5;
    const TIMED: usize = 16;
    const COMPARED: [usize; 2] = [STEPS, 50];

    impl Subset {
        /// The steps of the chain, counted from 0, rising.
        fn steps(self, count: usize) -> Vec<usize> {
            match self {
                Self::Even => even_subset(STEPS, count),
                Self::Leading => leading_subset(STEPS, count),
                Self::Trailing => trailing_subset(STEPS, count),
                Self::Quadratic => quadratic_subset(STEPS, count),
            }
        }
    }

    /// Samples of a solver with so many evaluations.
    struct Done {
        asked: usize,
        solver: Solver,
        evaluations: usize,
        samples: Vec<f32>,
        distance: f64,
    }

    struct Study<'a> {
        context: &'a StudyContext,
        settings: &'a Settings,
        betas: Betas,
        net: LevelNet,
        others: GaussianFit,
        done: Vec<Done>,
        /// Steps done, and of all.
        progress: [usize; 2],
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let split = Split::read(&context).await?;
        let others = fit(split.seen().chunks_exact(PIXELS));
        let betas = ChainTable::Linear.betas(STEPS);
        draw_grids(&context, &settings);
        draw_ways(&context, &settings, &betas).await?;

        let mut counts = vec![settings.fewest];
        counts.extend(COUNTS);
        counts.sort_unstable();
        counts.dedup();
        let each = counts.into_iter().flat_map(|count| SOLVERS.map(|(_, solver)| (count, solver)));
        let plans: Vec<(usize, Solver)> = each.chain(MORE).collect();
        let steps = |count: usize| settings.subset.steps(count).len();
        let timing = ROUNDS * COMPARED.map(steps).iter().sum::<usize>();
        let pictures = 2 * rows(&settings).map(steps).iter().sum::<usize>();
        let all = settings.fit_steps + pictures + plans.iter().map(|plan| steps(plan.0)).sum::<usize>() + timing;

        let Settings { fit_steps: steps, fit_batch: batch, fit_rate: rate, fit_width: width, .. } = settings;
        let learning = Fit { steps, batch, rate, sigmas: SIGMAS };
        let net = split.learn(&context, width, learning, |step| context.progress(step, all)).await?;

        let progress = [settings.fit_steps, all];
        let mut study =
            Study { context: &context, settings: &settings, betas, net, others, done: Vec::new(), progress };
        study.draw_pictures().await?;
        for (count, solver) in plans {
            study.sample(count, solver).await?;
        }
        study.time().await
    }

    /// Evaluations of the rows of the pictures, the fewest first.
    fn rows(settings: &Settings) -> [usize; ROWS.len() + 1] {
        let mut rows = [settings.fewest; ROWS.len() + 1];
        rows[1..].copy_from_slice(&ROWS);
        rows.sort_unstable();
        rows
    }

    fn draw_grids(context: &StudyContext, settings: &Settings) {
        let dots = |rule: usize, subset: Subset| -> Vec<f64> {
            subset.steps(settings.fewest).into_iter().flat_map(|step| [rule as f64, (step + 1) as f64]).collect()
        };
        let rules = || Subset::ALL.iter().copied().enumerate();
        context.draw("grids", "rule-steps", rules().flat_map(|(rule, subset)| dots(rule, subset)));
        let chosen = rules().filter(|(_, subset)| *subset == settings.subset);
        context.draw("grids", "walked-steps", chosen.flat_map(|(rule, subset)| dots(rule, subset)));
    }

    /// Ways of the same starts in the plane with few and many evaluations, by the exact score.
    async fn draw_ways(context: &StudyContext, settings: &Settings, betas: &Betas) -> Result<(), StudyError> {
        let mixture = PlaneData::Eight.mixture();
        let data = mixture.draw(&mut context.rng(Stream::Data, 0), POINTS);
        context.draw("way", "data", data.iter().flatten().copied());
        for (key, count) in WAYS {
            let from = start(context, 2, PATHS, 0);
            let mut ways = vec![from.points()];
            let solver = Solver::Ddim { eta: settings.eta_share };
            let grid = walk_back(betas, &settings.subset.steps(count));
            let sampler = Sampler::new(solver, Schedule::table(betas.clone()), grid, from);
            let mut look = |sampler: &Sampler<Rows>| ways.push(sampler.x().points());
            let mut model = ExactRows(Exact::new(&mixture));
            walk(context, sampler, &mut model, &mut fresh_noise(context), &mut look).await?;
            context.draw("way", key, pieces(&ways));
        }
        Ok(())
    }

    impl Study<'_> {
        /// A run of a solver on the steps that the visitor's rule chooses, from the same noise whatever their number.
        fn sampler(&self, count: usize, solver: Solver, samples: usize) -> (Sampler<Rows>, usize) {
            let steps = self.settings.subset.steps(count);
            let (grid, from) = (walk_back(&self.betas, &steps), start(self.context, PIXELS, samples, 0));
            (Sampler::new(solver, Schedule::table(self.betas.clone()), grid, from), steps.len())
        }

        /// Makes a run, and gives the samples.
        async fn walk(
            &mut self,
            count: usize,
            solver: Solver,
            samples: usize,
        ) -> Result<(Vec<f32>, usize), StudyError> {
            let (sampler, evaluations) = self.sampler(count, solver, samples);
            let Self { context, net, progress: [done, all], .. } = self;
            let mut model = Learned::new(context, net).clipped(1.0);
            let mut look = |_: &Sampler<Rows>| {
                *done += 1;
                context.progress(*done, *all);
            };
            let samples = walk(context, sampler, &mut model, &mut fresh_noise(context), &mut look).await?;
            Ok((samples.to_f32(), evaluations))
        }

        /// The same noise in every row: the visitor's share of fresh noise below, the large variance above.
        async fn draw_pictures(&mut self) -> Result<(), StudyError> {
            let mut pictures: Vec<Vec<f32>> = Vec::new();
            for solver in [Solver::Ddim { eta: self.settings.eta_share }, LARGE] {
                for count in rows(self.settings) {
                    pictures.push(self.walk(count, solver, ACROSS).await?.0);
                    let digit = |column: usize, row: usize| pictures.get(row)?.chunks_exact(PIXELS).nth(column);
                    self.context.draw("pictures", "grey", digit_grid([ACROSS; 2], square(ACROSS), digit));
                }
            }
            Ok(())
        }

        async fn sample(&mut self, asked: usize, solver: Solver) -> Result<(), StudyError> {
            let claimed = |ratio: &(&str, usize, [Solver; 2], [f64; 2])| ratio.1 == asked && ratio.2.contains(&solver);
            let shown = self.settings.sample_count;
            let count = if RATIOS.iter().any(claimed) { TIMES * shown } else { shown };
            let (samples, evaluations) = self.walk(asked, solver, count).await?;
            self.context.yield_now().await;
            // The chart's points are all of as many samples: of fewer the distance is larger.
            let distance = fit(samples.chunks_exact(PIXELS).take(shown)).frechet(&self.others);
            self.done.push(Done { asked, solver, evaluations, samples, distance });
            for (key, known) in SOLVERS {
                let done = self.done.iter().filter(|done| done.solver == known);
                self.context.draw("quality", key, done.flat_map(|done| [done.evaluations as f64, done.distance]));
            }
            self.context.yield_now().await;
            let seed = self.context.seed();
            for (key, _, [above, below], bound) in RATIOS.into_iter().filter(claimed) {
                if let (Some(above), Some(below)) = (self.samples(asked, above), self.samples(asked, below)) {
                    let (ratio, error) = frechet_ratio(above, below, &self.others, seed);
                    self.context.conclude(key, ratio, error, bound);
                }
            }
            if (asked, solver) == MORE[0]
                && let (Some(few), Some(many)) = (self.samples(50, STILL), self.samples(200, STILL))
            {
                let (value, error) = apart(few, many, seed);
                self.context.conclude("consistent", value, error, at_most(0.05));
            }
            Ok(())
        }

        fn samples(&self, asked: usize, solver: Solver) -> Option<&[f32]> {
            let done = self.done.iter().find(|done| (done.asked, done.solver) == (asked, solver))?;
            Some(&done.samples)
        }

        /// Times long and short runs side by side, a few steps of one and then of the other, so that whatever else the
        /// machine does slows both.
        async fn time(&mut self) -> Result<(), StudyError> {
            let mut ratios = Vec::new();
            for _ in 0..ROUNDS {
                let [long, short] = COMPARED.map(|count| self.sampler(count, STILL, TIMED));
                let (lengths, mut runs) = ([long.1, short.1], [long.0, short.0]);
                let mut times = [Vec::new(), Vec::new()];
                let mut model = Learned::new(self.context, &self.net).clipped(1.0);
                while times.each_ref().map(Vec::len) != lengths {
                    // Whichever is behind, as a share of its steps.
                    let next = usize::from(times[1].len() * lengths[0] < times[0].len() * lengths[1]);
                    times[next].push(self.step(&mut runs[next], &mut model).await?);
                    self.progress[0] += 1;
                    self.context.progress(self.progress[0], self.progress[1]);
                }
                // Where the machine was busy elsewhere in some few steps, that is nothing of the run's.
                let [long, short] = times.map(|steps| steps.len() as f64 * middle_mean(&steps).0);
                ratios.push(long / short);
            }
            let (ratio, error) = median_error(&ratios);
            self.context.conclude("slow", ratio, error, [10.0, 30.0]);
            Ok(())
        }

        /// A step, and how long it took.
        async fn step(&self, run: &mut Sampler<Rows>, model: &mut dyn RowDenoiser) -> Result<f64, StudyError> {
            // So few samples are asked of the network at once, after one turn.
            step(run, model, &mut fresh_noise(self.context)).await?;
            self.context.yield_now().await;
            Ok(self.context.lasted())
        }
    }

    /// The root mean square distance of samples from others of the same noise over the standard deviation of the others
    /// around their mean, and its standard error.
    fn apart(samples: &[f32], others: &[f32], seed: u32) -> (f64, f64) {
        let mean = fit(others.chunks_exact(PIXELS)).mean;
        let pair = |(a, b): (&[f32], &[f32])| -> [f64; 2] {
            let distance = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            [distance, b.iter().zip(&mean).map(|(b, mean)| (f64::from(*b) - mean).powi(2)).sum()]
        };
        let pairs: Vec<[f64; 2]> = samples.chunks_exact(PIXELS).zip(others.chunks_exact(PIXELS)).map(pair).collect();
        let ratio = |pairs: &[[f64; 2]]| {
            let sum = |which: usize| pairs.iter().map(|pair| pair[which]).sum::<f64>();
            (sum(0) / sum(1)).sqrt()
        };
        (ratio(&pairs), bootstrap(&pairs, 20, seed, ratio))
    }
}
