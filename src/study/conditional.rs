//! Equations 2-5 and 2-6: one network for the scores of all noise levels, and annealed sampling with it, level by level.

use super::settings::{Lambda, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        weight: f64 = 0.8, 0.5..=0.99;
        level_weighting: Lambda = Lambda::Squared;
        sigma_first: f64 = 20.0, 1.0..=50.0, log;
        sigma_last: f64 = 0.3, 0.05..=0.9, log;
        level_count: usize = 12, 2..=50;
        fit_steps: usize = 1500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 5e-3, 1e-4..=0.05, log;
        fit_width: usize = 48, 8..=256;
        level_steps: usize = 40, 1..=500;
        level_step: f64 = 0.3, 0.005..=0.5, log;
        chains: usize = 1500, 100..=20_000;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "ncsn",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("first", 60.0, &[Layer::new("noisy-data", Mark::Dots, 0), Layer::new("annealed", Mark::Dots, 2)]),
        Figure::plane(
            "middle",
            16.0,
            &[Layer::new("noisy-data", Mark::Dots, 0), Layer::new("annealed", Mark::Dots, 2)],
        ),
        Figure::plane("last", 9.0, &[Layer::new("noisy-data", Mark::Dots, 0), Layer::new("annealed", Mark::Dots, 2)]),
        Figure {
            key: "by-level",
            square: false,
            x: Axis::log("sigma"),
            y: Axis::log("level-divergence"),
            layers: &[
                Layer::new("weighted-squared", Mark::Line, 1),
                Layer::new("weighted-linear", Mark::Line, 2),
                Layer::new("weighted-one", Mark::Line, 3),
                Layer::new("level-loss", Mark::Dashed, 0),
            ],
            handles: &[],
        },
        Figure {
            key: "weights",
            square: false,
            x: Axis::free("langevin-step"),
            y: Axis::fixed("heavy-share", 0.0, 1.0),
            layers: &[Layer::new("true-weight", Mark::Dashed, 0), Layer::new("annealed", Mark::Line, 2)],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "all-levels", source: Source::Report("2-2-4, 2-5, 2-6") },
        Claim { key: "lambda", source: Source::Paper("NCSN, Song and Ermon 2019, arXiv 1907.05600") },
        Claim { key: "weights", source: Source::Report("2-2-6, 2-4") },
    ],
    notes: &["lambda", "network", "step"],
    brief: "",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{Lambda, Settings};
    use crate::data::Mixture;
    use crate::diffusion::Level;
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{LevelNet, Size, geometric};
    use crate::study::tools::{
        at_most, cosine, flat, mean_error, points, series, share_error, squares, truths, two_modes, waits,
    };

    const JUDGED: usize = 400;
    const SHOWN: usize = 700;
    /// Root mean square of the data, number by number.
    const DATA: f64 = 5.1;
    /// Every weight with its layer, in the order of the choice; the same initial weights and the same batches for all.
    const WEIGHTS: [(Lambda, &str); 3] =
        [(Lambda::Squared, "weighted-squared"), (Lambda::Linear, "weighted-linear"), (Lambda::One, "weighted-one")];

    fn noisy(mixture: &Mixture, context: &StudyContext, sigma: f64, level: usize, count: usize) -> Vec<[f64; 2]> {
        let mut rng = context.rng(Stream::Data, 100 + level as u32);
        let data = mixture.draw(&mut rng, count);
        data.iter().map(|x| [x[0] + sigma * rng.normal(), x[1] + sigma * rng.normal()]).collect()
    }

    /// A level, noisy data of it, and `sigma` times their true scores.
    struct Judged {
        sigma: f64,
        x: Vec<[f64; 2]>,
        truth: Vec<[f64; 2]>,
        /// What the true score leaves of the loss: noise that cannot be known.
        left: f64,
    }

    impl Judged {
        /// Half the mean square distance of `sigma * score` to the true one, and its standard error. Half a square of
        /// 2, that of unit noise, is 1: the error is a share of it.
        async fn error(&self, net: &LevelNet) -> Result<(f64, f64), StudyError> {
            let learned: Vec<[f64; 2]> = points(&net.scaled(&flat(&self.x), self.sigma, true).await?);
            let (error, spread) = mean_error(&squares(&learned, &self.truth));
            Ok((0.5 * error, 0.5 * spread))
        }
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = two_modes(settings.weight);
        let sigmas = geometric(settings.sigma_first, settings.sigma_last, settings.level_count);
        let middle = sigmas.len() / 2;
        for (picture, level) in [("first", 0), ("middle", middle), ("last", sigmas.len() - 1)] {
            let data = noisy(&mixture, &context, sigmas[level], level, SHOWN);
            context.draw(picture, "noisy-data", data.into_iter().flatten());
        }
        let net = train(&context, &settings, &mixture, &sigmas).await?;
        sample(&context, &settings, &net, &sigmas).await
    }

    /// Trains with every weight and gives the network of the one that was chosen.
    async fn train(
        context: &StudyContext,
        settings: &Settings,
        mixture: &Mixture,
        sigmas: &[f64],
    ) -> Result<LevelNet, StudyError> {
        let (steps, batch, rate) = (settings.fit_steps, settings.fit_batch, settings.fit_rate);
        let size = Size { dimension: 2, width: settings.fit_width, depth: 2, data: DATA };
        let mut nets = WEIGHTS.map(|_| LevelNet::new(context, size, 0));
        let judged: Vec<Judged> = sigmas
            .iter()
            .enumerate()
            .map(|(level, &sigma)| {
                let x = noisy(mixture, context, sigma, level, JUDGED);
                let marginal = mixture.at(Level { t: 0.0, alpha: 1.0, sigma });
                let truth: Vec<_> = truths(&marginal, &x).iter().map(|s| s.map(|v| sigma * v)).collect();
                let left = 1.0 - 0.5 * mean_error(&squares(&truth, &vec![[0.0; 2]; JUDGED])).0;
                Judged { sigma, x, truth, left: left.max(0.0) }
            })
            .collect();
        let mut errors = [const { Vec::new() }; WEIGHTS.len()];
        errors.fill(vec![(f64::NAN, f64::NAN); judged.len()]);
        let (mut frame, sampling) = (0, sigmas.len() * settings.level_steps);
        for step in 0..=steps {
            let last = step == steps;
            context.progress(step, steps + sampling);
            if last || context.due() {
                // One level a frame, so that frames stay quick; at the end all.
                let level = frame % judged.len();
                let levels = if last { 0..judged.len() } else { level..level + 1 };
                for (net, errors) in nets.iter().zip(&mut errors) {
                    for level in levels.clone() {
                        errors[level] = judged[level].error(net).await?;
                    }
                }
                frame += 1;
                draw_errors(context, &judged, &errors, settings.level_weighting, last);
            }
            if last {
                break;
            }
            let mut rng = context.rng(Stream::Batch, step as u32);
            let data = flat(&mixture.draw(&mut rng, batch));
            let noise = rng.normals(2 * batch);
            // Every batch has every level, in turn.
            let sigma = |i: usize| sigmas[(i + step) % sigmas.len()];
            for (net, (lambda, _)) in nets.iter_mut().zip(WEIGHTS) {
                context.yield_now().await;
                let weight = |i: usize| lambda.of_noise(sigma(i));
                net.train(&data, &noise, sigma, weight, rate * cosine(step, steps));
                if waits(step) {
                    net.wait().await?;
                }
            }
        }
        let [squared, linear, one] = nets;
        Ok(match settings.level_weighting {
            Lambda::Squared => squared,
            Lambda::Linear => linear,
            Lambda::One => one,
        })
    }

    /// The errors by level, as far as they are known, and the losses that follow from those of the chosen weight.
    fn draw_errors(context: &StudyContext, judged: &[Judged], errors: &[Vec<(f64, f64)>], chosen: Lambda, last: bool) {
        let mut worst = [(f64::NAN, f64::NAN); WEIGHTS.len()];
        for ((errors, worst), (lambda, layer)) in errors.iter().zip(&mut worst).zip(WEIGHTS) {
            let known = || judged.iter().zip(errors).filter(|(_, (error, _))| error.is_finite());
            context.draw("by-level", layer, known().flat_map(|(level, &(error, _))| [level.sigma, error]));
            if lambda == chosen {
                let losses = known().flat_map(|(level, &(error, _))| [level.sigma, error + level.left]);
                context.draw("by-level", "level-loss", losses);
            }
            *worst = known().map(|(_, &error)| error).fold(*worst, |a, b| if b.0 < a.0 { a } else { b });
        }
        context.tell("all-levels", worst[chosen as usize], at_most(0.1), last);
        let [(squared, squared_error), _, (one, one_error)] = worst;
        let spread = (squared_error / squared).hypot(one_error / one);
        context.tell("lambda", ((one / squared).ln(), spread), [0.0, f64::INFINITY], last);
    }

    async fn sample(
        context: &StudyContext,
        settings: &Settings,
        net: &LevelNet,
        sigmas: &[f64],
    ) -> Result<(), StudyError> {
        let (count, per_level, share) = (settings.chains, settings.level_steps, settings.level_step);
        let (weight, middle) = (settings.weight, sigmas.len() / 2);
        let (steps, all) = (settings.fit_steps, sigmas.len() * per_level);
        context.draw("weights", "true-weight", [0.0, weight, all as f64, weight]);
        let mut rng = context.rng(Stream::Prior, 0);
        let mut x: Vec<f32> = rng.normals(2 * count).iter().map(|z| sigmas[0] as f32 * z).collect();
        let mut rng = context.rng(Stream::Solver, 0);
        let mut shares = Vec::new();
        for (level, &sigma) in sigmas.iter().enumerate() {
            let picture = if level == 0 {
                "first"
            } else if level <= middle {
                "middle"
            } else {
                "last"
            };
            for step in 0..per_level {
                net.langevin(context, &mut x, sigma, share * sigma * sigma, &mut rng, true).await?;
                shares.push(x.chunks_exact(2).filter(|x| x[0] + x[1] > 0.0).count() as f64 / count as f64);
                let last = level + 1 == sigmas.len() && step + 1 == per_level;
                context.progress(steps + level * per_level + step + 1, steps + all);
                let end_of_picture = step + 1 == per_level && (level == 0 || level == middle);
                if last || end_of_picture || context.due() {
                    context.draw(picture, "annealed", x.iter().take(2 * SHOWN).map(|v| f64::from(*v)));
                    context.draw("weights", "annealed", series(&shares));
                    let now = shares.last().copied().unwrap_or(f64::NAN);
                    context.tell("weights", (now, share_error(now, count)), [weight - 0.06, weight + 0.06], last);
                }
            }
        }
        Ok(())
    }
}
