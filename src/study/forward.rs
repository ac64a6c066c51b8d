//! Equations 3-1 to 3-4 and 3-12: noise step by step and at once, where it ends, and what a step back looks like.

use super::settings::{ChainTable, PlaneData, settings};
use super::table::{Axis, Claim, Figure, Handle, Layer, Mark, Source, Study};

/// Half the side of the window of standardised data.
const HALF: f64 = 3.5;

settings! {
    /// What a visitor may change.
    struct Settings {
        plane_data: PlaneData = PlaneData::Two;
        chain_steps: usize = 1000, 20..=1000;
        chain_table: ChainTable = ChainTable::Linear;
        look_at: f64 = 0.3, 0.0..=1.0;
        x_zero: f64 = 0.5, -3.0..=3.0;
        x_noisy: f64 = -0.5, -3.0..=3.0;
        chains: usize = 4000, 100..=20_000;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "forward",
    chapter: 3,
    live: true,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("cloud", HALF, &[Layer::new("by-chain", Mark::Dots, 1), Layer::new("at-once", Mark::Dots, 2)]),
        Figure::curves(
            "marginal",
            Axis::fixed("first-axis", -HALF, HALF),
            Axis::free("density"),
            &[
                Layer::new("by-chain", Mark::Band, 1),
                Layer::new("at-once-density", Mark::Line, 2),
                Layer::new("data-density", Mark::Dashed, 0),
                Layer::new("prior-density", Mark::Dashed, 4),
            ],
        ),
        Figure {
            key: "joint",
            square: true,
            x: Axis::fixed("x-now", -HALF, HALF),
            y: Axis::fixed("x-data", -HALF, HALF),
            layers: &[Layer::new("root-joint", Mark::Heat, 0)],
            handles: &[Handle { x: "x-noisy", y: "x-zero" }],
        },
        Figure::curves(
            "posterior",
            Axis::free("x-before"),
            Axis::free("density"),
            &[
                Layer::new("step-back", Mark::Line, 1),
                Layer::new("equal-moments", Mark::Dashed, 3),
                Layer::new("step-back-given-data", Mark::Line, 2),
            ],
        ),
        Figure::curves(
            "tables",
            Axis::fixed("chain-share", 0.0, 1.0),
            Axis::fixed("signal-power", 0.0, 1.0),
            &[
                Layer::new("linear-table", Mark::Line, 1),
                Layer::new("cosine-table", Mark::Line, 2),
                Layer::new("looked-at", Mark::Dashed, 0),
            ],
        ),
        Figure::curves(
            "snr",
            Axis::fixed("chain-share", 0.0, 1.0),
            Axis::log("signal-to-noise"),
            &[
                Layer::new("linear-table", Mark::Line, 1),
                Layer::new("cosine-table", Mark::Line, 2),
                Layer::new("looked-at", Mark::Dashed, 0),
            ],
        ),
    ],
    claims: &[
        Claim { key: "closed", source: Source::Report("3-4") },
        Claim { key: "ends", source: Source::Report("3-1-1") },
        Claim { key: "posterior", source: Source::Report("3-1-2") },
        Claim { key: "exact", source: Source::Report("3-12") },
    ],
    notes: &["kernel", "bars", "small-beta"],
    brief: "",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{ChainTable, HALF, Settings};
    use crate::data::Mixture;
    use crate::diffusion::Level;
    use crate::diffusion::level::renoise;
    use crate::diffusion::schedule::clean;
    use crate::diffusion::solver::Posterior;
    use crate::rng::Stream;
    use crate::study::chain::chain_levels;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::line::{Line, normal};
    use crate::study::step_back::{Quadrature, StepBack};
    use crate::study::tools::{at_most, curve, heat_to_most, histogram, kolmogorov, mean_error, span};

    /// Points drawn of a cloud.
    const SHOWN: usize = 700;
    const BINS: usize = 70;

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let (count, steps) = (settings.chains, settings.chain_steps);
        let mixture = settings.plane_data.mixture();
        let levels = chain_levels(&settings.chain_table.betas(steps));
        let step = ((settings.look_at * steps as f64).round() as usize).min(steps);
        let level = levels[step];
        tables(&context, &settings);
        steps_back(&context, &settings, &mixture, &levels);

        // The chain, and the same in one step from other data.
        let start = mixture.draw(&mut context.rng(Stream::Data, 0), count);
        let others = mixture.draw(&mut context.rng(Stream::Data, 1), count);
        let at_once = level.mix(others, context.rng(Stream::Prior, 0).normal_points(count));
        let mut x = start;
        for walked in 0..=step {
            context.progress(walked, step);
            if walked == step || context.due() {
                context.draw("cloud", "by-chain", x.iter().take(SHOWN).copied().flatten());
                context.draw("cloud", "at-once", at_once.iter().take(SHOWN).copied().flatten());
                let line = Line::first_of(&mixture, levels[walked]);
                let first: Vec<f64> = x.iter().map(|point| point[0]).collect();
                context.draw("marginal", "by-chain", histogram(&first, [-HALF, HALF], BINS));
                let places = || span(-HALF, HALF, 281);
                context.draw("marginal", "at-once-density", curve(places(), |x| line.density(x)));
                let data = Line::first_of(&mixture, clean());
                context.draw("marginal", "data-density", curve(places(), |x| data.density(x)));
                context.draw("marginal", "prior-density", curve(places(), |x| normal(x, 0.0, 1.0)));
                context.tell("closed", kolmogorov(&first, |x| line.cdf(x)), at_most(0.05), walked == step);
            }
            if walked < step {
                context.yield_now().await;
                let noise = context.rng(Stream::Noise, walked as u32).normal_points(count);
                x = renoise(x, levels[walked], levels[walked + 1], noise);
            }
        }
        context.yield_now().await;
        let last = levels[steps];
        let end = last.mix(
            mixture.draw(&mut context.rng(Stream::Data, 2), count),
            context.rng(Stream::Prior, 1).normal_points(count),
        );
        let marginal = mixture.at(last);
        let excess: Vec<f64> = end
            .iter()
            .map(|&x| marginal.log_density(x) + 0.5 * (x[0] * x[0] + x[1] * x[1]) + std::f64::consts::TAU.ln())
            .collect();
        let (divergence, error) = mean_error(&excess);
        context.conclude("ends", divergence, error, at_most(0.01));
        Ok(())
    }

    fn tables(context: &StudyContext, settings: &Settings) {
        let looked = settings.look_at;
        for (table, key) in [(ChainTable::Linear, "linear-table"), (ChainTable::Cosine, "cosine-table")] {
            let levels = chain_levels(&table.betas(settings.chain_steps));
            let every = (levels.len() / 200).max(1);
            let shown = || levels.iter().step_by(every).chain(levels.last());
            context.draw("tables", key, shown().flat_map(|level| [level.t, level.alpha * level.alpha]));
            // The ends have no noise, or next to no signal.
            let noisy = shown().filter(|level| level.sigma > 0.0 && level.snr() > 1e-6);
            context.draw("snr", key, noisy.flat_map(|level| [level.t, level.snr()]));
        }
        context.draw("tables", "looked-at", [looked, 0.0, looked, 1.0]);
        context.draw("snr", "looked-at", [looked, 1e-5, looked, 1e4]);
    }

    /// The step back at the chosen place. The first step has no noise before it, so that nothing is left to look at.
    fn steps_back(context: &StudyContext, settings: &Settings, mixture: &Mixture, levels: &[Level]) {
        let steps = levels.len() - 1;
        let step = ((settings.look_at * steps as f64).round() as usize).clamp(2, steps);
        let (from, to) = (levels[step], levels[step - 1]);
        let (x, data) = (settings.x_noisy, settings.x_zero);
        let before = Line::first_of(mixture, clean());
        let root =
            |now: f64, data: f64| (before.density(data) * normal(now, from.alpha * data, from.sigma.powi(2))).sqrt();
        let map = heat_to_most([70, 70], [-HALF, HALF, -HALF, HALF], root);
        context.draw("joint", "root-joint", map);

        let back = StepBack::new(from, to, x);
        let marginal = back.marginal(&Line::first_of(mixture, to));
        let (mean, variance) = marginal.moments();
        let given = back.given(data);
        let posterior = Posterior::between(from, to);
        let closed = (posterior.data * data + posterior.x * x, posterior.variance);
        let reach = 5.0 * variance.max(closed.1).sqrt();
        let (low, high) = (mean.min(closed.0) - reach, mean.max(closed.0) + reach);
        let thinned = |density: &Quadrature| -> Vec<f64> {
            let inside = || density.places().filter(|(x, _)| (low..=high).contains(x));
            inside().step_by((inside().count() / 300).max(1)).flat_map(|(x, p)| [x, p]).collect()
        };
        context.draw("posterior", "step-back", thinned(&marginal));
        context.draw("posterior", "equal-moments", curve(span(low, high, 300), |x| normal(x, mean, variance)));
        context.draw("posterior", "step-back-given-data", thinned(&given));
        context.conclude("posterior", marginal.divergence(mean, variance), 0.0, at_most(1e-3));
        context.conclude("exact", given.divergence(closed.0, closed.1), 0.0, at_most(1e-6));
    }
}
