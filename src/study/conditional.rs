//! Equations 2-5 and 2-6: one network for the scores of all noise levels, and annealed sampling with it, level by level.

use super::{Axis, Claim, Control, Figure, Layer, Mark, Source, Study};

const fn picture(key: &'static str, half: f64, layers: &'static [Layer]) -> Figure {
    let (x, y) = (Axis::fixed("x", -half, half), Axis::fixed("y", -half, half));
    Figure { key, square: true, x, y, layers, handles: &[] }
}

/// The table.
pub const STUDY: Study = Study {
    id: "ncsn",
    chapter: 2,
    live: false,
    controls: &[
        Control::real("weight", 0.5, 0.99, 0.8),
        Control::choice("level-weighting", &["sigma-squared", "one"], "sigma-squared"),
        Control::log("sigma-first", 1.0, 50.0, 20.0),
        Control::log("sigma-last", 0.05, 0.9, 0.3),
        Control::whole("level-count", 2, 50, 12),
        Control::whole("fit-steps", 100, 20_000, 3000),
        Control::whole("fit-batch", 16, 2048, 256),
        Control::log("fit-rate", 1e-4, 0.05, 5e-3),
        Control::whole("fit-width", 8, 256, 64),
        Control::whole("level-steps", 1, 500, 50),
        Control::log("level-step", 0.005, 0.5, 0.3),
        Control::whole("chains", 100, 20_000, 2500),
    ],
    figures: &[
        picture("first", 60.0, &[Layer::new("noisy-data", Mark::Dots, 0), Layer::new("annealed", Mark::Dots, 2)]),
        picture("middle", 16.0, &[Layer::new("noisy-data", Mark::Dots, 0), Layer::new("annealed", Mark::Dots, 2)]),
        picture("last", 9.0, &[Layer::new("noisy-data", Mark::Dots, 0), Layer::new("annealed", Mark::Dots, 2)]),
        Figure {
            key: "by-level",
            square: false,
            x: Axis::log("sigma"),
            y: Axis::log("level-divergence"),
            layers: &[Layer::new("level-error", Mark::Line, 1), Layer::new("level-loss", Mark::Dashed, 0)],
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
        Claim { key: "weights", source: Source::Report("2-2-6, 2-4") },
    ],
    notes: &["lambda", "network", "step"],
    brief: "fit-steps=2000",
    #[cfg(feature = "engine")]
    run: |desk| Box::pin(work::run(desk)),
};

#[cfg(feature = "engine")]
mod work {
    use crate::data::Mixture;
    use crate::diffusion::Level;
    use crate::diffusion::langevin::unadjusted;
    use crate::engine::EngineError;
    use crate::engine::score::{Form, Objective, ScoreNet};
    use crate::rng::Stream;
    use crate::study::Desk;
    use crate::study::tools::{at_most, cosine, mean_error, points, series, share_error, squares, truths};

    const JUDGED: usize = 500;
    const SHOWN: usize = 1200;
    /// Root mean square of the data, so that the network sees inputs of unit size at every level.
    const DATA: f64 = 5.0;

    /// The network says `sigma * score`, which is of unit size at every level.
    struct Conditional(ScoreNet);

    fn rows(x: &[[f64; 2]], sigma: impl Fn(usize) -> f64) -> (Vec<f32>, Vec<f32>) {
        let (mut inputs, mut extra) = (Vec::new(), Vec::new());
        for (i, x) in x.iter().enumerate() {
            let sigma = sigma(i);
            let scale = 1.0 / sigma.hypot(DATA);
            inputs.extend(x.map(|v| (2.0 * v * scale) as f32));
            // A second view, at the size of a mode, for the levels where modes are apart.
            let log = sigma.ln();
            extra.extend([0.5 * log, (1.5 * log).sin(), (1.5 * log).cos()].map(|v| v as f32));
        }
        (inputs, extra)
    }

    impl Conditional {
        async fn scaled(&self, x: &[[f64; 2]], sigma: f64) -> Result<Vec<[f64; 2]>, EngineError> {
            let (inputs, extra) = rows(x, |_| sigma);
            Ok(points(&self.0.scores(&inputs, &extra).await?))
        }
    }

    fn noisy(mixture: &Mixture, desk: &Desk, sigma: f64, level: usize, count: usize) -> Vec<[f64; 2]> {
        let mut rng = desk.rng(Stream::Data, 100 + level as u32);
        let data = mixture.draw(&mut rng, count);
        data.iter().map(|x| [x[0] + sigma * rng.normal(), x[1] + sigma * rng.normal()]).collect()
    }

    pub async fn run(desk: Desk) -> Result<(), EngineError> {
        let weight = desk.real("weight");
        let mixture = Mixture::from_components([(weight, [5.0, 5.0], 1.0), (1.0 - weight, [-5.0, -5.0], 1.0)]);
        let (first, last, count) = (desk.real("sigma-first"), desk.real("sigma-last"), desk.whole("level-count"));
        let ratio = (last / first).powf(1.0 / (count - 1) as f64);
        let sigmas: Vec<f64> = (0..count).map(|i| first * ratio.powi(i as i32)).collect();
        let middle = count / 2;
        for (picture, level) in [("first", 0), ("middle", middle), ("last", count - 1)] {
            let data = noisy(&mixture, &desk, sigmas[level], level, SHOWN);
            desk.draw(picture, "noisy-data", data.into_iter().flatten());
        }
        let net = train(&desk, &mixture, &sigmas).await?;
        sample(&desk, &net, &sigmas, weight, middle).await
    }

    async fn train(desk: &Desk, mixture: &Mixture, sigmas: &[f64]) -> Result<Conditional, EngineError> {
        let (steps, batch, rate) = (desk.whole("fit-steps"), desk.whole("fit-batch"), desk.real("fit-rate"));
        let form = Form { dimension: 2, extra: 3, width: desk.whole("fit-width"), depth: 2, scale: 1.0, energy: false };
        let mut net = Conditional(ScoreNet::new(form, &desk.opened, desk.seed(), 0));
        let squared = desk.choice("level-weighting") == "sigma-squared";
        let sampling = sigmas.len() * desk.whole("level-steps");
        for step in 0..=steps {
            let last = step == steps;
            desk.progress(step, steps + sampling);
            if last || desk.due() {
                judge(desk, &net, mixture, sigmas, last).await?;
            }
            if last {
                break;
            }
            desk.turn().await;
            let mut rng = desk.rng(Stream::Batch, step as u32);
            let data = mixture.draw(&mut rng, batch);
            // Every batch has every level, in turn.
            let sigma = |i: usize| sigmas[(i + step) % sigmas.len()];
            let noise = rng.normal_points(batch);
            let x: Vec<[f64; 2]> = data
                .iter()
                .zip(&noise)
                .enumerate()
                .map(|(i, (x, z))| [x[0] + sigma(i) * z[0], x[1] + sigma(i) * z[1]])
                .collect();
            let (inputs, extra) = rows(&x, sigma);
            let target: Vec<f32> = noise.iter().flatten().map(|&z| -z as f32).collect();
            // lambda l = lambda / sigma^2 times half the square distance of sigma * score to -z.
            let weights = |i: usize| if squared { 1.0 } else { 1.0 / sigma(i).powi(2) };
            let weight: Vec<f32> = (0..batch).map(|i| weights(i) as f32).collect();
            let objective = Objective::Regression { target: &target, weight: &weight };
            net.0.train(&inputs, &extra, objective, rate * cosine(step, steps));
            if step % 16 == 15 {
                net.0.take_losses().await?;
            }
        }
        Ok(net)
    }

    /// Level by level half the square distance of `sigma * score` to the true one, and to what it was trained on.
    async fn judge(
        desk: &Desk,
        net: &Conditional,
        mixture: &Mixture,
        sigmas: &[f64],
        last: bool,
    ) -> Result<(), EngineError> {
        let (mut errors, mut losses, mut worst) = (Vec::new(), Vec::new(), (0.0, 0.0));
        for (level, &sigma) in sigmas.iter().enumerate() {
            let x = noisy(mixture, desk, sigma, level, JUDGED);
            let marginal = mixture.at(Level { t: 0.0, alpha: 1.0, sigma });
            let truth: Vec<[f64; 2]> = truths(&marginal, &x).iter().map(|s| s.map(|v| sigma * v)).collect();
            let learned = net.scaled(&x, sigma).await?;
            let (error, spread) = mean_error(&squares(&learned, &truth));
            if error > worst.0 {
                worst = (error, spread);
            }
            errors.extend([sigma, 0.5 * error]);
            // The noise that cannot be known adds what the true score leaves of it.
            let left = 2.0 - mean_error(&squares(&truth, &vec![[0.0; 2]; JUDGED])).0;
            losses.extend([sigma, 0.5 * (error + left.max(0.0))]);
        }
        desk.draw("by-level", "level-error", errors);
        desk.draw("by-level", "level-loss", losses);
        // Half a square of 2, that of unit noise, is 1: the error is a share of it.
        let (worst, spread) = (0.5 * worst.0, 0.5 * worst.1);
        if last {
            desk.conclude("all-levels", worst, spread, at_most(0.1));
        } else {
            desk.watch("all-levels", worst, spread, at_most(0.1));
        }
        Ok(())
    }

    async fn sample(
        desk: &Desk,
        net: &Conditional,
        sigmas: &[f64],
        weight: f64,
        middle: usize,
    ) -> Result<(), EngineError> {
        let (count, per_level, share) = (desk.whole("chains"), desk.whole("level-steps"), desk.real("level-step"));
        let (steps, all) = (desk.whole("fit-steps"), sigmas.len() * per_level);
        desk.draw("weights", "true-weight", [0.0, weight, all as f64, weight]);
        let mut rng = desk.rng(Stream::Prior, 0);
        let start = sigmas[0];
        let mut x: Vec<[f64; 2]> = (0..count).map(|_| [start * rng.normal(), start * rng.normal()]).collect();
        let mut rng = desk.rng(Stream::Solver, 0);
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
                desk.turn().await;
                let epsilon = share * sigma * sigma;
                for chunk in x.chunks_mut(1000) {
                    let scaled = net.scaled(chunk, sigma).await?;
                    for (x, scaled) in chunk.iter_mut().zip(scaled) {
                        let score = scaled.map(|v| v / sigma);
                        *x = unadjusted(*x, score, epsilon, [rng.normal(), rng.normal()]);
                    }
                }
                shares.push(x.iter().filter(|x| x[0] + x[1] > 0.0).count() as f64 / count as f64);
                let last = level + 1 == sigmas.len() && step + 1 == per_level;
                desk.progress(steps + level * per_level + step + 1, steps + all);
                let end_of_picture = step + 1 == per_level && (level == 0 || level == middle);
                if last || end_of_picture || desk.due() {
                    desk.draw(picture, "annealed", x.iter().take(SHOWN).copied().flatten());
                    desk.draw("weights", "annealed", series(&shares));
                    let now = shares.last().copied().unwrap_or(f64::NAN);
                    let bound = [weight - 0.06, weight + 0.06];
                    if last {
                        desk.conclude("weights", now, share_error(now, count), bound);
                    } else {
                        desk.watch("weights", now, share_error(now, count), bound);
                    }
                }
            }
        }
        Ok(())
    }
}
