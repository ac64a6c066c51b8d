//! The Chinese article's example: a Gaussian fitted to numbers by score matching, with the right loss and as printed.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Handle, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        data_mean: f64 = 2.0, -5.0..=5.0;
        data_std: f64 = 1.5, 0.2..=5.0, log;
        data_count: usize = 2000, 20..=100_000;
        mean_start: f64 = -3.0, -10.0..=10.0;
        variance_start: f64 = 20.0, 0.1..=200.0, log;
        descent_rate: f64 = 0.2, 0.001..=1.0, log;
        descent_steps: usize = 400, 10..=5000;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "gaussian-1d",
    chapter: 2,
    live: true,
    controls: Settings::CONTROLS,
    figures: &[
        Figure {
            key: "surface",
            square: false,
            x: Axis::free("mean"),
            y: Axis::log("variance"),
            layers: &[
                Layer::new("loss-surface", Mark::Heat, 0),
                Layer::new("descent", Mark::Line, 1),
                Layer::new("closed-form", Mark::Dots, 3),
            ],
            handles: &[Handle { x: "mean-start", y: "variance-start" }],
        },
        Figure {
            key: "fit",
            square: false,
            x: Axis::free("x"),
            y: Axis::free("density"),
            layers: &[
                Layer::new("data", Mark::Band, 4),
                Layer::new("fitted", Mark::Line, 1),
                Layer::new("printed-fit", Mark::Dashed, 3),
            ],
            handles: &[],
        },
        Figure {
            key: "slice",
            square: false,
            x: Axis::log("variance"),
            y: Axis::free("loss-times-variance"),
            layers: &[Layer::new("right-loss", Mark::Line, 1), Layer::new("printed-loss", Mark::Dashed, 3)],
            handles: &[],
        },
        Figure {
            key: "runaway",
            square: false,
            x: Axis::free("descent-step"),
            y: Axis::log("variance"),
            layers: &[
                Layer::new("right-loss", Mark::Line, 1),
                Layer::new("printed-loss", Mark::Dashed, 3),
                Layer::new("data-variance", Mark::Dashed, 0),
            ],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "minimum", source: Source::Article },
        Claim { key: "estimates", source: Source::Article },
        Claim { key: "same-up-to-constant", source: Source::Report("2-1, 2-2") },
        Claim { key: "no-minimum", source: Source::Article },
    ],
    notes: &["loss", "sign", "laplacian", "parameters"],
    brief: "",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::Settings;
    use crate::diffusion::objective::{gaussian_implicit, gaussian_implicit_misprinted};
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::line::normal;
    use crate::study::tools::{at_most, curve, heat, histogram, mean_error, series, span};

    /// Longest step of the descent, in the mean's standard deviations and the variance's logarithm: the surface is
    /// steep where the variance is small, and a step from there would otherwise leave the picture.
    const LONGEST: f64 = 0.25;
    /// Bins of the histogram.
    const BINS: usize = 40;

    /// Which loss.
    #[derive(Clone, Copy, PartialEq)]
    enum Loss {
        Right,
        Printed,
    }

    /// A descent in the data's own units: the mean in standard deviations from the data's, the logarithm of the variance
    /// as a multiple of theirs.
    #[derive(Clone)]
    struct Descent {
        loss: Loss,
        mean: f64,
        log: f64,
    }

    impl Descent {
        fn step(&mut self, rate: f64) {
            // J = (1 + d^2) / (2 s^2) - 1 / s, and as printed (1 + d^2) / s^2 + 1 / s.
            let (d, s) = (self.mean, self.log.exp());
            let (of_mean, of_log) = match self.loss {
                Loss::Right => (d / (s * s), -(1.0 + d * d) / (s * s) + 1.0 / s),
                Loss::Printed => (2.0 * d / (s * s), -2.0 * (1.0 + d * d) / (s * s) - 1.0 / s),
            };
            let length = rate * of_mean.hypot(of_log);
            let rate = if length > LONGEST { rate * LONGEST / length } else { rate };
            self.mean -= rate * of_mean;
            self.log -= rate * of_log;
        }
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let (true_mean, true_std) = (settings.data_mean, settings.data_std);
        let mut rng = context.rng(Stream::Data, 0);
        let data: Vec<f64> = (0..settings.data_count).map(|_| true_mean + true_std * rng.normal()).collect();
        let n = data.len() as f64;
        let mean = data.iter().sum::<f64>() / n;
        let variance = data.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let std = variance.sqrt();

        // The loss of the data as printed in closed form holds because a Gaussian's loss sees only two moments.
        context.draw("surface", "closed-form", [mean, variance]);
        let window = [mean - 5.0 * std, mean + 5.0 * std, (0.1 * variance).log10(), (30.0 * variance).log10()];
        let mut surface =
            heat([64, 48], window, [-0.5, 0.5], |m, s| variance * gaussian_implicit(m, 10f64.powf(s), mean, variance));
        surface[4] = 0.1 * variance;
        surface[5] = 30.0 * variance;
        context.draw("surface", "loss-surface", surface);
        let variances = || span(-1.0, 4.0, 200).map(|e| variance * 10f64.powf(e));
        let shown = |f: fn(f64, f64, f64, f64) -> f64| {
            curve(variances(), |s| (variance * f(mean, s, mean, variance)).clamp(-1.0, 2.0))
        };
        context.draw("slice", "right-loss", shown(gaussian_implicit));
        context.draw("slice", "printed-loss", shown(gaussian_implicit_misprinted));
        context.draw("fit", "data", histogram(&data, [mean - 4.0 * std, mean + 4.0 * std], BINS));

        let ratio = |times: f64| gaussian_implicit_misprinted(mean, times * variance, mean, variance);
        context.conclude("no-minimum", ratio(1e6) / ratio(1.0), 0.0, at_most(1e-3));
        constant(&context, &data, true_mean, true_std);

        let start = Descent {
            loss: Loss::Right,
            mean: (settings.mean_start - mean) / std,
            log: (settings.variance_start / variance).ln(),
        };
        let (mut right, mut printed) = (start.clone(), Descent { loss: Loss::Printed, ..start });
        let (steps, rate) = (settings.descent_steps, settings.descent_rate);
        let (mut path, mut variances, mut runaway) = (Vec::new(), Vec::new(), Vec::new());
        for step in 0..=steps {
            let (m, s) = (mean + std * right.mean, variance * right.log.exp());
            path.extend([m, s]);
            variances.push(s);
            runaway.push(variance * printed.log.exp());
            context.progress(step, steps);
            let last = step == steps;
            if last || context.due() {
                context.draw("surface", "descent", path.iter().copied());
                context.draw("runaway", "right-loss", series(&variances));
                context.draw("runaway", "printed-loss", series(&runaway));
                context.draw("runaway", "data-variance", [0.0, variance, steps as f64, variance]);
                let bell =
                    |m: f64, s: f64| curve(span(mean - 5.0 * std, mean + 5.0 * std, 200), move |x| normal(x, m, s));
                context.draw("fit", "fitted", bell(m, s));
                context.draw("fit", "printed-fit", bell(mean + std * printed.mean, variance * printed.log.exp()));
                // The larger of the two distances from the closed form, in its own units.
                let miss = right.mean.abs().max((right.log.exp() - 1.0).abs());
                let estimate = (s / (true_std * true_std), (2.0 / n).sqrt());
                context.tell("minimum", (miss, 0.0), at_most(0.01), last);
                context.tell("estimates", estimate, [0.8, 1.2], last);
            }
            if !last {
                context.yield_now().await;
                right.step(rate);
                printed.step(rate);
            }
        }
        Ok(())
    }

    /// Explicit less implicit loss at two models: its difference has mean zero, sample by sample.
    fn constant(context: &StudyContext, data: &[f64], mean: f64, std: f64) {
        let differences: Vec<f64> = data
            .iter()
            .map(|x| {
                // In the true distribution's own units, in which its score is -x.
                let x = (x - mean) / std;
                let gap = |m: f64, s: f64| {
                    let score = -(x - m) / s;
                    0.5 * (score + x).powi(2) - (0.5 * score * score - 1.0 / s)
                };
                gap(0.5, 1.5) - gap(0.0, 1.0)
            })
            .collect();
        let (difference, error) = mean_error(&differences);
        context.conclude("same-up-to-constant", difference, error, [-0.1, 0.1]);
    }
}
