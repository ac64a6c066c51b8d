//! Figure 2-1: density and score of a distribution on the line, and samples that follow the score.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Handle, Layer, Mark, Source, Study};

/// The window.
const WINDOW: [f64; 2] = [-6.0, 6.0];

settings! {
    /// What a visitor may change.
    struct Settings {
        mean_1: f64 = -2.0, WINDOW[0]..=WINDOW[1];
        weight_1: f64 = 0.5, 0.0..=1.0;
        width_1: f64 = 0.8, 0.1..=3.0, log;
        mean_2: f64 = 0.6, WINDOW[0]..=WINDOW[1];
        weight_2: f64 = 0.3, 0.0..=1.0;
        width_2: f64 = 0.7, 0.1..=3.0, log;
        mean_3: f64 = 2.6, WINDOW[0]..=WINDOW[1];
        weight_3: f64 = 0.2, 0.0..=1.0;
        width_3: f64 = 0.5, 0.1..=3.0, log;
        step_size: f64 = 0.04, 0.001..=0.5, log;
        langevin_steps: usize = 1500, 1..=10_000;
        chains: usize = 3000, 100..=20_000;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "score-1d",
    chapter: 2,
    live: true,
    controls: Settings::CONTROLS,
    figures: &[
        Figure {
            key: "density",
            square: false,
            x: Axis::fixed("x", WINDOW[0], WINDOW[1]),
            y: Axis::fixed("density", 0.0, 1.0),
            layers: &[
                Layer::new("samples", Mark::Band, 1),
                Layer::new("exact-density", Mark::Line, 0),
                Layer::new("integrated", Mark::Dashed, 2),
            ],
            handles: &[
                Handle { x: "mean-1", y: "weight-1" },
                Handle { x: "mean-2", y: "weight-2" },
                Handle { x: "mean-3", y: "weight-3" },
            ],
        },
        Figure {
            key: "score",
            square: false,
            x: Axis::fixed("x", WINDOW[0], WINDOW[1]),
            y: Axis::free("score"),
            layers: &[
                Layer::new("exact-score", Mark::Line, 0),
                Layer::new("zero", Mark::Dashed, 4),
                Layer::new("direction", Mark::Arrows, 1),
            ],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "uphill", source: Source::Report("2-1-1") },
        Claim { key: "sampling", source: Source::Report("2-1-1, 2-4") },
        Claim { key: "recovers", source: Source::Report("2-1-1") },
    ],
    notes: &["parameters", "step"],
    brief: "chains=2000",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{Settings, WINDOW};
    use crate::diffusion::langevin::unadjusted;
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::line::Line;
    use crate::study::tools::{at_most, curve, histogram, kolmogorov, span};

    /// Bins of the histogram.
    const BINS: usize = 60;
    /// Points along a curve.
    const POINTS: usize = 481;

    fn line(settings: &Settings) -> Line {
        let mut parts = vec![
            (settings.weight_1, settings.mean_1, settings.width_1),
            (settings.weight_2, settings.mean_2, settings.width_2),
            (settings.weight_3, settings.mean_3, settings.width_3),
        ];
        // A density is somewhere: three weights of nothing are three equal ones.
        parts.iter_mut().for_each(|p| p.0 += 1e-6);
        let total: f64 = parts.iter().map(|p| p.0).sum();
        parts.iter_mut().for_each(|p| p.0 /= total);
        Line(parts)
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let line = line(&settings);
        let xs = span(WINDOW[0], WINDOW[1], POINTS);
        context.draw("density", "exact-density", curve(xs.clone(), |x| line.density(x)));
        context.draw("score", "exact-score", curve(xs.clone(), |x| line.score(x)));
        context.draw("score", "zero", [WINDOW[0], 0.0, WINDOW[1], 0.0]);
        let arrows = span(WINDOW[0] + 0.25, WINDOW[1] - 0.25, 24).flat_map(|x| [x, 0.0, line.score(x), 0.0]);
        context.draw("score", "direction", arrows);

        // A small step along the score, judged by the density itself.
        let judged: Vec<f64> = xs.clone().filter(|&x| line.score(x).abs() > 1e-3).collect();
        let rises = |&&x: &&f64| line.log_density(x + 1e-4 * line.score(x).signum()) > line.log_density(x);
        let share = judged.iter().filter(rises).count() as f64 / judged.len().max(1) as f64;
        context.conclude("uphill", share, 0.0, [0.995, 1.0]);

        recover(&context, &line);
        sample(&context, &settings, &line).await;
        Ok(())
    }

    /// The density from the score alone: its integral is the logarithm up to a constant, which the total of 1 fixes.
    fn recover(context: &StudyContext, line: &Line) {
        // Three times as wide as the window, so that what lies outside counts.
        let (from, to, count) = (3.0 * WINDOW[0], 3.0 * WINDOW[1], 6001);
        let width = (to - from) / (count - 1) as f64;
        let mut logs = Vec::with_capacity(count);
        let mut log = 0.0;
        let mut before = line.score(from);
        for x in span(from, to, count) {
            let here = line.score(x);
            log += 0.5 * width * (before + here);
            before = here;
            logs.push(log);
        }
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|l| (l - top).exp() * width).sum();
        let density = |i: usize| (logs[i] - top).exp() / total;
        let xs: Vec<f64> = span(from, to, count).collect();
        let distance: f64 =
            xs.iter().enumerate().map(|(i, &x)| 0.5 * width * (density(i) - line.density(x)).abs()).sum();
        context.conclude("recovers", distance, 0.0, at_most(0.01));
        let shown = (0..count).step_by(10).filter(|&i| (WINDOW[0]..=WINDOW[1]).contains(&xs[i]));
        context.draw("density", "integrated", shown.flat_map(|i| [xs[i], density(i)]));
    }

    /// Langevin dynamics from an even start.
    async fn sample(context: &StudyContext, settings: &Settings, line: &Line) {
        let (count, steps, epsilon) = (settings.chains, settings.langevin_steps, settings.step_size);
        let mut rng = context.rng(Stream::Prior, 0);
        let mut x: Vec<f64> = (0..count).map(|_| WINDOW[0] + (WINDOW[1] - WINDOW[0]) * rng.uniform()).collect();
        let mut rng = context.rng(Stream::Solver, 0);
        for step in 0..=steps {
            let last = step == steps;
            context.progress(step, steps);
            if last || context.due() {
                context.draw("density", "samples", histogram(&x, WINDOW, BINS));
                context.tell("sampling", kolmogorov(&x, |x| line.cdf(x)), at_most(0.05), last);
            }
            if !last {
                context.yield_now().await;
                for x in &mut x {
                    *x = unadjusted(*x, line.score(*x), epsilon, rng.normal());
                }
            }
        }
    }
}
