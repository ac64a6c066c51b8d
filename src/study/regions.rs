//! Figure 2-2: a learned score is right where there are data and wrong where there are none.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

/// Half the side of the window.
const HALF: f64 = 8.0;

named_variants! {
    /// How the score is matched.
    Matching {
        /// Along random directions.
        Sliced = "sliced",
        /// By its divergence.
        Implicit = "implicit",
        /// To the true score.
        Explicit = "explicit",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        weight: f64 = 0.8, 0.5..=0.99;
        matching: Matching = Matching::Sliced;
        fit_steps: usize = 1500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 5e-3, 1e-4..=0.05, log;
        fit_width: usize = 48, 8..=256;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "low-density",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane(
            "true",
            HALF,
            &[Layer::new("root-density", Mark::Heat, 0), Layer::new("exact-score", Mark::Arrows, 1)],
        ),
        Figure::plane(
            "learned",
            HALF,
            &[Layer::new("root-density", Mark::Heat, 0), Layer::new("learned-score", Mark::Arrows, 1)],
        ),
        Figure::plane("error", HALF, &[Layer::new("log-error", Mark::Heat, 0)]),
        Figure {
            key: "error-by-density",
            square: false,
            x: Axis::free("log-density"),
            y: Axis::log("score-error"),
            layers: &[Layer::new("mean-error", Mark::Line, 1), Layer::new("score-size", Mark::Dashed, 0)],
            handles: &[],
        },
        Figure {
            key: "divergence",
            square: false,
            x: Axis::free("training-step"),
            y: Axis::log("fisher-divergence"),
            layers: &[Layer::new("on-data", Mark::Line, 1), Layer::new("between-modes", Mark::Line, 3)],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "dense", source: Source::Report("2-2") },
        Claim { key: "sparse", source: Source::Report("2-2-2, 2-2") },
    ],
    notes: &["window"],
    brief: "fit-steps=1200",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{HALF, Matching, Settings};
    use crate::diffusion::schedule::clean;
    use crate::nn::score::{Form, Objective, ScoreNet};
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::tools::{
        arrows, at_most, cells, cosine, flat, heat, heat_of, mean_error, points, squares, truths, two_modes, units,
        waits,
    };

    /// Sides of the grids of errors and of arrows.
    const SIDE: usize = 36;
    const ARROWS: usize = 17;
    /// Points behind a divergence at the end, and on the way, where a frame must be quick.
    const JUDGED: usize = 1000;
    const GLANCED: usize = 200;

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = two_modes(settings.weight);
        let exact = mixture.at(clean());
        let peak = exact.log_density([5.0, 5.0]);
        let window = [-HALF, HALF, -HALF, HALF];
        let density = heat([72, 72], window, [0.0, 1.0], |x, y| (0.5 * (exact.log_density([x, y]) - peak)).exp());
        for picture in ["true", "learned"] {
            context.draw(picture, "root-density", density.iter().copied());
        }
        let places = cells(HALF, ARROWS);
        context.draw("true", "exact-score", arrows(&places, &truths(&exact, &places)));

        let cells = cells(HALF, SIDE);
        let cell_truth = truths(&exact, &cells);
        // On the data, and in the middle third of the line between the modes.
        let data = mixture.draw(&mut context.rng(Stream::Data, 0), JUDGED);
        let mut rng = context.rng(Stream::Data, 1);
        let between: Vec<[f64; 2]> = (0..JUDGED)
            .map(|_| {
                let (along, across) = (10.0 * rng.uniform() / 3.0 - 5.0 / 3.0, rng.normal());
                [along + across * 0.5f64.sqrt(), along - across * 0.5f64.sqrt()]
            })
            .collect();
        let (data_truth, between_truth) = (truths(&exact, &data), truths(&exact, &between));

        let form = Form { dimension: 2, extra: 0, width: settings.fit_width, depth: 2, scale: 5.0, energy: false };
        let mut net = ScoreNet::new(form, &context.compute, context.seed(), 0);
        let (steps, batch, rate) = (settings.fit_steps, settings.fit_batch, settings.fit_rate);
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for step in 0..=steps {
            let last = step == steps;
            context.progress(step, steps);
            if last || context.due() {
                let learned = |scores: Vec<f32>| points::<2>(&scores);
                let count = if last { JUDGED } else { GLANCED };
                let on_data = squares(&learned(net.scores(&flat(&data[..count]), &[]).await?), &data_truth);
                let outside = squares(&learned(net.scores(&flat(&between[..count]), &[]).await?), &between_truth);
                let ((on_data, data_error), (outside, outside_error)) = (mean_error(&on_data), mean_error(&outside));
                near.extend([step as f64, 0.5 * on_data]);
                far.extend([step as f64, 0.5 * outside]);
                context.draw("divergence", "on-data", near.iter().copied());
                context.draw("divergence", "between-modes", far.iter().copied());
                let there = learned(net.scores(&flat(&places), &[]).await?);
                context.draw("learned", "learned-score", arrows(&places, &there));
                let errors = squares(&learned(net.scores(&flat(&cells), &[]).await?), &cell_truth);
                draw_errors(&context, &errors, &cells, &cell_truth, &exact);

                // Relative to the mean square of the true score on the data, which is 2 for modes of unit width.
                let size = mean_error(&data_truth.iter().map(|s| s[0] * s[0] + s[1] * s[1]).collect::<Vec<_>>()).0;
                let dense = (on_data / size, data_error / size);
                // The logarithm of the ratio, because the ratio itself is anything but normally distributed.
                let ratio = (outside / on_data).log10();
                let spread = (outside_error / outside).hypot(data_error / on_data) / std::f64::consts::LN_10;
                context.tell("dense", dense, at_most(0.05), last);
                context.tell("sparse", (ratio, spread), [0.5, f64::INFINITY], last);
            }
            if last {
                break;
            }
            context.yield_now().await;
            let drawn = mixture.draw(&mut context.rng(Stream::Batch, step as u32), batch);
            let x = flat(&drawn);
            let rate = rate * cosine(step, steps);
            match settings.matching {
                Matching::Implicit => net.train(&x, &[], Objective::Implicit, rate),
                Matching::Explicit => {
                    let target = flat(&truths(&exact, &drawn));
                    net.train(&x, &[], Objective::Regression { target: &target, weight: &units(batch) }, rate);
                }
                Matching::Sliced => {
                    let directions = context.rng(Stream::Directions, step as u32).normals(2 * batch);
                    net.train(&x, &[], Objective::Sliced { directions: &directions }, rate);
                }
            }
            if waits(step) {
                net.take_losses().await?;
            }
        }
        Ok(())
    }

    /// The map of errors, and their mean by the density of the place.
    fn draw_errors(
        context: &StudyContext,
        errors: &[f64],
        cells: &[[f64; 2]],
        truth: &[[f64; 2]],
        exact: &crate::data::Marginal<'_>,
    ) {
        let logarithms = errors.iter().map(|error| 0.5 * error.max(1e-12).log10());
        context.draw("error", "log-error", heat_of(HALF, [-1.5, 1.0], logarithms));
        // Bins of two nats each.
        let mut bins = std::collections::BTreeMap::<i32, [f64; 3]>::new();
        for ((error, cell), truth) in errors.iter().zip(cells).zip(truth) {
            let bin = (exact.log_density(*cell) / 2.0).floor() as i32;
            let sums = bins.entry(bin).or_default();
            sums[0] += 1.0;
            sums[1] += error.sqrt();
            sums[2] += truth[0].hypot(truth[1]);
        }
        let middle = |bin: &i32| 2.0 * f64::from(*bin) + 1.0;
        let shown =
            |which: usize| -> Vec<f64> { bins.iter().flat_map(|(b, s)| [middle(b), s[which] / s[0]]).collect() };
        context.draw("error-by-density", "mean-error", shown(1));
        context.draw("error-by-density", "score-size", shown(2));
    }
}
