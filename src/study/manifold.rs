//! Section 2-2-1: data on a curve have no score, and score matching on them has no end; a little noise gives them one.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

/// Half the side of the window.
const HALF: f64 = 2.0;

named_variants! {
    /// The curve that the data lie on.
    Curve {
        /// A circle.
        Circle = "circle",
        /// A piece of a line.
        Segment = "segment",
        /// A spiral.
        Spiral = "spiral",
    }
}

named_variants! {
    /// How the score is matched.
    Matching {
        /// Along random directions.
        Sliced = "sliced",
        /// By its divergence.
        Implicit = "implicit",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        curve: Curve = Curve::Circle;
        matching: Matching = Matching::Implicit;
        noise_std: f64 = 0.2, 0.02..=1.0, log;
        fit_steps: usize = 2000, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 5e-3, 1e-4..=0.05, log;
        fit_width: usize = 48, 8..=256;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "manifold",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane(
            "bare",
            HALF,
            &[Layer::new("curve", Mark::Dots, 0), Layer::new("learned-score", Mark::Arrows, 1)],
        ),
        Figure::plane(
            "noisy",
            HALF,
            &[Layer::new("curve", Mark::Dots, 0), Layer::new("learned-score", Mark::Arrows, 2)],
        ),
        Figure {
            key: "loss",
            square: false,
            x: Axis::free("training-step"),
            y: Axis::free("implicit-loss"),
            layers: &[
                Layer::new("without-noise", Mark::Line, 1),
                Layer::new("with-noise", Mark::Line, 2),
                Layer::new("best-loss", Mark::Dashed, 2),
            ],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "undefined", source: Source::Report("2-2-1") },
        Claim { key: "cured", source: Source::Report("2-2-3") },
    ],
    notes: &["plane"],
    brief: "fit-steps=1000&fit-width=32",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{Curve, HALF, Matching, Settings};
    use crate::data::Mixture;
    use crate::diffusion::Level;
    use crate::nn::score::{Form, Objective, ScoreNet};
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::tools::{arrows, cells, flat, mean_error, points, squares, truths, waits};

    /// Points of the curve that stand for it where its noisy density is needed.
    const FINE: usize = 600;
    /// Arrows along a side.
    const ARROWS: usize = 15;

    /// A point of the curve, `u` in `[0, 1)` along it.
    fn curve(which: Curve, u: f64) -> [f64; 2] {
        match which {
            Curve::Segment => [2.4 * u - 1.2, 0.8 * u - 0.4],
            Curve::Spiral => {
                let angle = 3.0 * std::f64::consts::TAU * u.sqrt() / 2.0;
                let radius = 0.15 * angle;
                [radius * angle.cos(), radius * angle.sin()]
            }
            Curve::Circle => {
                let angle = std::f64::consts::TAU * u;
                [1.2 * angle.cos(), 1.2 * angle.sin()]
            }
        }
    }

    /// Loss by training step, and its average over the last tenth of the steps and the tenth before the last half.
    #[derive(Default)]
    struct Losses(Vec<f64>);

    impl Losses {
        /// Mean and standard error over a part of the steps, in blocks of twenty, because neighbours are not independent.
        fn part(&self, from: f64, to: f64) -> (f64, f64) {
            let at = |share: f64| ((share * self.0.len() as f64) as usize).min(self.0.len());
            let blocks: Vec<f64> =
                self.0[at(from)..at(to)].chunks(20).map(|b| b.iter().sum::<f64>() / b.len() as f64).collect();
            mean_error(&blocks)
        }

        fn smooth(&self) -> Vec<f64> {
            let every = (self.0.len() / 200).max(1);
            let mean = |b: &[f64]| b.iter().sum::<f64>() / b.len() as f64;
            self.0.chunks(every).enumerate().flat_map(|(i, b)| [((i + 1) * every) as f64, mean(b)]).collect()
        }
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let (which, sigma) = (settings.curve, settings.noise_std);
        let dots: Vec<[f64; 2]> = (0..FINE).map(|i| curve(which, (i as f64 + 0.5) / FINE as f64)).collect();
        for picture in ["bare", "noisy"] {
            context.draw(picture, "curve", dots.iter().flatten().copied());
        }
        // The least that implicit score matching of the noisy data can reach: minus half their mean square score.
        let mixture = Mixture::even(dots, sigma);
        let judged = mixture.draw(&mut context.rng(Stream::Data, 0), 4000);
        let exact = mixture.at(Level { t: 0.0, alpha: 1.0, sigma: 0.0 });
        let (size, size_error) = mean_error(&squares(&truths(&exact, &judged), &vec![[0.0; 2]; judged.len()]));
        let best = -0.5 * size;
        let (steps, batch, rate) = (settings.fit_steps, settings.fit_batch, settings.fit_rate);
        context.draw("loss", "best-loss", [0.0, best, steps as f64, best]);

        let form = Form { dimension: 2, extra: 0, width: settings.fit_width, depth: 2, scale: 1.0, energy: false };
        let mut nets = [0, 0].map(|index| ScoreNet::new(form, &context.compute, context.seed(), index));
        let mut losses = [Losses::default(), Losses::default()];
        let places = cells(HALF, ARROWS);
        for step in 0..=steps {
            let last = step == steps;
            context.progress(step, steps);
            if last || context.due() {
                for (net, picture) in nets.iter().zip(["bare", "noisy"]) {
                    let scores = points::<2>(&net.scores(&flat(&places), &[]).await?);
                    context.draw(picture, "learned-score", arrows(&places, &scores));
                }
                for ((net, losses), key) in nets.iter_mut().zip(&mut losses).zip(["without-noise", "with-noise"]) {
                    losses.0.extend(net.take_losses().await?.into_iter().map(f64::from));
                    context.draw("loss", key, losses.smooth());
                }
            }
            if last {
                break;
            }
            let mut rng = context.rng(Stream::Batch, step as u32);
            let bare: Vec<[f64; 2]> = (0..batch).map(|_| curve(which, rng.uniform())).collect();
            let mut rng = context.rng(Stream::Noise, step as u32);
            let noisy: Vec<[f64; 2]> =
                bare.iter().map(|p| [p[0] + sigma * rng.normal(), p[1] + sigma * rng.normal()]).collect();
            let directions = context.rng(Stream::Directions, step as u32).normals(2 * batch);
            for (net, data) in nets.iter_mut().zip([bare, noisy]) {
                context.yield_now().await;
                // No fall of the rate: what goes on falling at the end is the loss.
                let rate = rate * ((step + 1) as f64 / 40.0).min(1.0);
                let objective = match settings.matching {
                    Matching::Sliced => Objective::Sliced { directions: &directions },
                    Matching::Implicit => Objective::Implicit,
                };
                net.train(&flat(&data), &[], objective, rate);
            }
            if waits(step) {
                for (net, losses) in nets.iter_mut().zip(&mut losses) {
                    losses.0.extend(net.take_losses().await?.into_iter().map(f64::from));
                }
            }
        }
        // Without noise: how much lower than half way, in units of what the noisy data allow at best.
        let ((end, end_error), (middle, middle_error)) = (losses[0].part(0.8, 1.0), losses[0].part(0.3, 0.5));
        let fall = (middle - end) / best.abs();
        context.conclude("undefined", fall, end_error.hypot(middle_error) / best.abs(), [1.0, f64::INFINITY]);
        let (end, end_error) = losses[1].part(0.8, 1.0);
        let share = end / best;
        context.conclude("cured", share, share.abs() * (end_error / end).hypot(size_error / size), [0.8, 1.1]);
        Ok(())
    }
}
