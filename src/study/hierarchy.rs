//! Section 5-1-1, figure 5-1: a diffusion model as a hierarchical variational autoencoder whose encoder is fixed.

use super::settings::{PlaneData, ScoreSource, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        plane_data: PlaneData = PlaneData::Eight;
        rungs: usize = 3, 1..=100;
        fit_steps: usize = 6000, 10..=20_000;
        score_source: ScoreSource = ScoreSource::Exact;
        #[only(score_source = ScoreSource::Learned)]
        fit_width: usize = 64, 8..=256;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "hierarchy",
    chapter: 5,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves(
            "ladder",
            Axis::free("rung"),
            Axis::fixed("y", -3.5, 3.5),
            &[Layer::new("encoder-up", Mark::Dots, 0), Layer::new("decoder-down", Mark::Dots, 1)],
        ),
        Figure::curves(
            "terms",
            Axis::free("rung"),
            Axis::free("nats"),
            &[Layer::new("bound-term", Mark::Bars, 0), Layer::new("hierarchy-term", Mark::Dots, 1)],
        ),
        Figure::curves(
            "levels",
            Axis::log("latent-levels"),
            Axis::free("nats"),
            &[
                Layer::new("chain-bound", Mark::Line, 0),
                Layer::new("best-fixed-level", Mark::Dots, 2),
                Layer::new("learned-level", Mark::Dots, 1),
                Layer::new("exact-likelihood", Mark::Dashed, 3),
            ],
        ),
    ],
    claims: &[
        Claim { key: "same", source: Source::Report("5-1-1, fig. 5-1") },
        Claim { key: "tightens", source: Source::Report("5-1-1") },
        Claim { key: "learned", source: Source::Report("5-1-1, 5-1") },
    ],
    notes: &["caption", "decoder", "learned"],
    brief: "fit-steps=1500",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::Settings;
    use crate::data::{Exact, Mixture};
    use crate::diffusion::level::renoise;
    use crate::diffusion::likelihood::{Bound, decoder_std, prior_divergences};
    use crate::diffusion::schedule::clean;
    use crate::diffusion::solver::{Posterior, Variance};
    use crate::diffusion::{Denoiser as _, Level, Sampler, Schedule, Solver, State as _};
    use crate::nn::autoencoder::AutoencoderForm;
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{InTurns, chain_bound, fresh_noise, log_normal, start, walk, whole_walk_back};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::generative::{AutoencoderFit, AutoencoderPlan};
    use crate::study::network::{Fit, Learned, LevelNet, Size};
    use crate::study::rows::{AnyDenoiser, ExactRows, RowDenoiser, Rows};
    use crate::study::settings::{ChainTable, ScoreSource};
    use crate::study::tools::{at_most, flat, mean_error, squares};

    /// Numbers of levels of the chart.
    const LEVELS: [usize; 7] = [1, 2, 3, 5, 10, 30, 100];
    /// Points that the bounds are averaged over; points of a cloud, and rungs that are drawn at most.
    const POINTS: usize = 4000;
    const SHOWN: usize = 300;
    const DRAWN: usize = 7;
    /// Fixed encoders of one level: powers of the signal that are tried.
    const POWERS: usize = 40;
    /// What a cloud is narrowed by to stand in its column.
    const NARROW: f64 = 0.18;

    /// A chain as a hierarchical model: its encoder adds noise, and its decoder takes one level after the other off it.
    struct Ladder {
        /// From the noisiest level to the clean one.
        levels: Vec<Level>,
    }

    /// The negative bound as the joint densities give it, `E[ln q(z_1..T given x_0) - ln p(x_0, z_1..T)]`.
    struct Joint {
        /// The sum for every point.
        samples: Vec<f64>,
        /// What each level adds on average, the decoder's first and the prior's last.
        terms: Vec<f64>,
    }

    impl Ladder {
        fn new(rungs: usize) -> Self {
            Self { levels: whole_walk_back(&ChainTable::Linear.betas(rungs)) }
        }

        /// The bound of chapter 3, by divergences in closed form.
        async fn bound(
            &self,
            model: &mut dyn RowDenoiser,
            data: &Rows,
            noise: &mut dyn FnMut() -> Rows,
        ) -> Result<Bound, StudyError> {
            chain_bound(&self.levels, model, data, noise).await
        }

        /// The bound of a hierarchical autoencoder, from logarithms of densities along the encoder's way alone.
        async fn joint(
            &self,
            model: &mut dyn RowDenoiser,
            data: &Rows,
            noise: &mut dyn FnMut() -> Rows,
        ) -> Result<Joint, StudyError> {
            let up: Vec<Level> = self.levels.iter().rev().copied().collect();
            let mut joint = Joint { samples: vec![0.0; data.count()], terms: Vec::new() };
            let (mut below, mut model) = (data.clone(), AnyDenoiser(model));
            for pair in up.windows(2) {
                let (to, from) = (pair[0], pair[1]);
                let (keep, posterior) = (from.alpha / to.alpha, Posterior::between(from, to));
                let step = noise();
                let above = below.clone().blend(keep, step.clone(), posterior.forward.sqrt());
                // The encoder's step, and the decoder's from its end.
                let encoder = log_normal(&step.scale(posterior.forward.sqrt()), posterior.forward);
                let estimate = model.estimate(&above, from).await?.data;
                let decoder = if to == clean() {
                    let miss = data.clone().blend(1.0, estimate, -1.0);
                    log_normal(&miss, decoder_std(&self.levels).powi(2))
                } else {
                    let mean = estimate.blend(posterior.data, above.clone(), posterior.x);
                    log_normal(&below.clone().blend(1.0, mean, -1.0), posterior.forward)
                };
                let ratio: Vec<f64> =
                    encoder.iter().zip(&decoder).map(|(encoder, decoder)| encoder - decoder).collect();
                joint.samples.iter_mut().zip(&ratio).for_each(|(sum, ratio)| *sum += ratio);
                // The same with the encoder's step seen from above: `q(z_t | z_t-1) = q(z_t-1 | z_t, x_0) q(z_t | x_0) /
                // q(z_t-1 | x_0)`, of which the last two cancel from level to level.
                let seen = if to == clean() {
                    decoder.iter().map(|log| -log).collect()
                } else {
                    let mean = data.clone().blend(posterior.data, above.clone(), posterior.x);
                    let back = log_normal(&below.blend(1.0, mean, -1.0), posterior.variance);
                    back.iter().zip(&decoder).map(|(back, decoder)| back - decoder).collect::<Vec<f64>>()
                };
                joint.terms.push(mean_error(&seen).0);
                below = above;
            }
            let prior = log_normal(&below, 1.0);
            joint.samples.iter_mut().zip(&prior).for_each(|(sum, log)| *sum -= log);
            let top = up[up.len() - 1];
            let end = log_normal(&below.blend(1.0, data.clone(), -top.alpha), top.sigma.powi(2));
            let last: Vec<f64> = end.iter().zip(&prior).map(|(end, prior)| end - prior).collect();
            joint.terms.push(mean_error(&last).0);
            Ok(joint)
        }
    }

    /// The least negative bound of one level with a fixed encoder, over its noise, point by point; the decoder's mean and
    /// variance are the best there are.
    async fn best_fixed(data: &[[f64; 2]], mixture: &Mixture, rng: &mut Rng) -> Vec<f64> {
        let (rows, mut best) = (Rows::from_points(data), (f64::INFINITY, Vec::new()));
        let noise = rng.normal_points(data.len());
        for step in 1..POWERS {
            let power = step as f64 / POWERS as f64;
            let level = Level { t: 0.5, alpha: power.sqrt(), sigma: (1.0 - power).sqrt() };
            let noisy = level.mix(data.to_vec(), noise.clone());
            let miss = squares(&mixture.at(level).estimates(&noisy).data, data);
            let variance = 0.5 * mean_error(&miss).0;
            let decoded = (std::f64::consts::TAU * variance).ln();
            let prior = prior_divergences(&rows, level, 1.0).await;
            let terms: Vec<f64> =
                prior.iter().zip(&miss).map(|(prior, miss)| prior + decoded + 0.5 * miss / variance).collect();
            let bound = mean_error(&terms).0;
            if bound < best.0 {
                best = (bound, terms);
            }
        }
        best.1
    }

    fn in_column(place: usize, x: [f64; 2]) -> [f64; 2] {
        [place as f64 + NARROW * x[0], x[1]]
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = settings.plane_data.mixture();
        let points = mixture.draw(&mut context.rng(Stream::Data, 0), POINTS);
        let data = Rows::from_points(&points);
        let marginal = mixture.at(clean());
        let exact: Vec<f64> = points.iter().map(|x| -marginal.log_density(*x)).collect();
        let entropy = mean_error(&exact).0;
        context.draw("levels", "exact-likelihood", [1.0, entropy, 100.0, entropy]);
        let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
        let learned = settings.score_source == ScoreSource::Learned;
        let all = settings.fit_steps * (1 + usize::from(learned)) + LEVELS.len();
        let mut net = LevelNet::new(&context, Size { dimension: 2, width: settings.fit_width, depth: 2, data: 1.0 }, 4);
        if learned {
            let fit = Fit { steps: settings.fit_steps, batch: 256, rate: 4e-3, sigmas: [0.01, 160.0] };
            fit.train(&context, &mut net, draw, |step| context.progress(step, all)).await?;
        }
        let mut models = (Learned::new(&context, &net), ExactRows(Exact::new(&mixture)));
        let model: &mut dyn RowDenoiser = if learned { &mut models.0 } else { &mut models.1 };
        let model: &mut dyn RowDenoiser = &mut InTurns { context: &context, model };
        climb(&context, settings.rungs, model, &data, &mixture).await?;
        let before = if learned { settings.fit_steps } else { 0 };
        bounds(&context, model, &data, [before, all]).await?;

        let fixed = best_fixed(&points, &mixture, &mut context.rng(Stream::Noise, 0)).await;
        context.draw("levels", "best-fixed-level", [1.0, mean_error(&fixed).0]);
        let plan = AutoencoderPlan {
            form: AutoencoderForm { dimension: 2, latent: 2, width: 64, depth: 2 },
            steps: settings.fit_steps,
            batch: 256,
            rate: 2e-3,
            divergence_weight: 1.0,
            noise_learned: true,
        };
        let mut fit = AutoencoderFit::new(&context, plan, 0);
        for step in 0..=settings.fit_steps {
            context.progress(before + LEVELS.len() + step, all);
            if let Some(last) = fit.losses.last().filter(|_| context.due()) {
                context.draw("levels", "learned-level", [1.0, last[1] + last[2]]);
            }
            if step < settings.fit_steps {
                fit.step(&context, step, &draw).await?;
            }
        }
        let terms = fit.terms(&context, &flat(&points)).await?;
        let sums: Vec<f64> = terms.iter().map(|term| term[0] + term[1]).collect();
        context.draw("levels", "learned-level", [1.0, mean_error(&sums).0]);
        let gains: Vec<f64> = fixed.iter().zip(&sums).map(|(fixed, learned)| fixed - learned).collect();
        let (gain, error) = mean_error(&gains);
        context.conclude("learned", gain, error, [0.0, f64::INFINITY]);
        Ok(())
    }

    /// Noise for the points of a bound, another every time.
    fn fresh(context: &StudyContext, index: u32, count: usize) -> impl FnMut() -> Rows + use<> {
        let mut rng = context.rng(Stream::Corrector, index);
        move || Rows::from_points(&rng.normal_points(count))
    }

    /// The ladder of the visitor's number of rungs: up by the encoder, down by the decoder, and what each rung costs.
    async fn climb(
        context: &StudyContext,
        rungs: usize,
        model: &mut dyn RowDenoiser,
        data: &Rows,
        mixture: &Mixture,
    ) -> Result<(), StudyError> {
        let ladder = Ladder::new(rungs);
        let mut rng = context.rng(Stream::Data, 1);
        let shown = |place: usize| place.is_multiple_of(rungs.div_ceil(DRAWN - 1)) || place == rungs;
        let mut cloud = mixture.draw(&mut rng, SHOWN);
        let (mut up, mut down): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut columns: Vec<usize> = (0..=rungs).filter(|place| shown(*place)).collect();
        columns.dedup();
        let column = |place: usize| columns.iter().position(|shown| *shown == place);
        for place in 0..=rungs {
            if let Some(column) = column(place) {
                up.extend(cloud.iter().flat_map(|x| in_column(column, *x)));
            }
            if place < rungs {
                let (to, from) = (ladder.levels[rungs - place], ladder.levels[rungs - place - 1]);
                let noise = rng.normal_points(SHOWN);
                cloud = renoise(cloud, to, from, noise);
            }
        }
        context.draw("ladder", "encoder-up", up);
        let from = start(context, 2, SHOWN, 0);
        let schedule = Schedule::table(ChainTable::Linear.betas(rungs));
        let sampler = Sampler::new(Solver::Ddpm(Variance::Large), schedule, ladder.levels.clone(), from.clone());
        let mut place = rungs;
        let mut note = |x: &Rows, place: usize| {
            if let Some(column) = column(place) {
                down.extend(x.points().into_iter().flat_map(|x| in_column(column, x)));
            }
        };
        note(&from, rungs);
        let mut look = |sampler: &Sampler<Rows>| {
            place -= 1;
            note(sampler.x(), place);
        };
        walk(context, sampler, model, &mut fresh_noise(context), &mut look).await?;
        context.draw("ladder", "decoder-down", down);

        let bound = ladder.bound(model, data, &mut fresh(context, 0, POINTS)).await?;
        context.yield_now().await;
        let joint = ladder.joint(model, data, &mut fresh(context, 1, POINTS)).await?;
        let terms = std::iter::once(bound.reconstruction).chain(bound.steps.iter().rev().copied()).chain([bound.prior]);
        context.draw("terms", "bound-term", terms.enumerate().flat_map(|(rung, term)| [rung as f64, term, 0.0]));
        let terms = joint.terms.iter().enumerate();
        context.draw("terms", "hierarchy-term", terms.flat_map(|(rung, term)| [rung as f64, *term]));
        Ok(())
    }

    /// The bounds of ladders of more and more rungs, both ways.
    async fn bounds(
        context: &StudyContext,
        model: &mut dyn RowDenoiser,
        data: &Rows,
        [before, all]: [usize; 2],
    ) -> Result<(), StudyError> {
        let (mut curve, mut found, mut most) = (Vec::new(), Vec::new(), 0.0_f64);
        for (place, count) in LEVELS.into_iter().enumerate() {
            let ladder = Ladder::new(count);
            let bound = ladder.bound(model, data, &mut fresh(context, 2 * count as u32, POINTS)).await?;
            context.yield_now().await;
            let joint = ladder.joint(model, data, &mut fresh(context, 2 * count as u32 + 1, POINTS)).await?;
            context.progress(before + place + 1, all);
            let apart: Vec<f64> = bound.samples.iter().zip(&joint.samples).map(|(a, b)| a - b).collect();
            let (difference, error) = mean_error(&apart);
            most = most.max(difference.abs() / error);
            curve.extend([count as f64, bound.total()]);
            context.draw("levels", "chain-bound", curve.iter().copied());
            if count == 10 || count == 100 {
                found.push(bound.samples);
            }
            context.yield_now().await;
        }
        context.conclude("same", most, 0.0, at_most(3.0));
        if let [few, many] = found.as_slice() {
            let gains: Vec<f64> = few.iter().zip(many).map(|(few, many)| few - many).collect();
            let (gain, error) = mean_error(&gains);
            context.conclude("tightens", gain, error, [0.3, f64::INFINITY]);
        }
        Ok(())
    }

    #[cfg(all(test, feature = "cpu"))]
    mod tests {
        use super::*;
        use crate::diffusion::now;

        #[test]
        fn both_bounds_of_a_gaussian_are_its_likelihood() {
            // Of unit variance every step back is the Gaussian that the decoder has, and so the bound is tight.
            let mixture = Mixture::even([[0.0; 2]], 1.0);
            let mut rng = Rng::new(1, Stream::Test, 0);
            let points = mixture.draw(&mut rng, 2000);
            let exact: Vec<f64> = points.iter().map(|x| -mixture.at(clean()).log_density(*x)).collect();
            let data = Rows::from_points(&points);
            let mut model = ExactRows(Exact::new(&mixture));
            for rungs in [10, 100] {
                let ladder = Ladder::new(rungs);
                let mut noise = || Rows::from_points(&rng.normal_points(2000));
                let bound = now(ladder.bound(&mut model, &data, &mut noise)).expect("nothing fails");
                let joint = now(ladder.joint(&mut model, &data, &mut noise)).expect("nothing fails");
                // From densities it is that even for every way by itself, but for the last step's width.
                for (joint, exact) in joint.samples.iter().zip(&exact) {
                    assert!((joint - exact).abs() < 0.1, "{rungs}: {joint} and {exact}");
                }
                let apart = |sums: &[f64]| {
                    let apart: Vec<f64> = sums.iter().zip(&exact).map(|(sum, exact)| sum - exact).collect();
                    mean_error(&apart)
                };
                for (gap, error) in [apart(&bound.samples), apart(&joint.samples)] {
                    assert!(gap.abs() < 4.0 * error + 1e-3, "{rungs}: {gap} ± {error}");
                }
                // Level by level it is the same sum.
                let sum: f64 = joint.terms.iter().sum();
                let whole = mean_error(&joint.samples).0;
                assert!((sum - whole).abs() < 1e-6, "{rungs}: {sum} and {whole}");
            }
        }
    }
}
