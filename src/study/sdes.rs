//! Equations 4-1 and 4-4 to 4-7: the chains of NCSN and DDPM become stochastic differential equations of one form.

use super::settings::{Sde, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        sde: Sde = Sde::Vp;
        beta_first: f64 = 0.1, 0.01..=1.0, log;
        beta_last: f64 = 20.0, 1.0..=40.0;
        sigma_least: f64 = 0.01, 1e-3..=0.5, log;
        sigma_most: f64 = 50.0, 1.0..=500.0, log;
        chain_steps: usize = 1000, 10..=10_000;
        chains: usize = 2000, 100..=20_000;
    }
}

const TIME: Axis = Axis::fixed("sde-time", 0.0, 1.0);
const PATHS: &[Layer] = &[Layer::new("peak-density", Mark::Heat, 0), Layer::new("forward-paths", Mark::Segments, 2)];

/// The table.
pub const STUDY: Study = Study {
    id: "sdes",
    chapter: 4,
    live: true,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves("paths-ve", TIME, Axis::free("first-axis"), PATHS),
        Figure::curves("paths-vp", TIME, Axis::free("first-axis"), PATHS),
        Figure::curves("paths-sub-vp", TIME, Axis::free("first-axis"), PATHS),
        Figure::curves(
            "marginals",
            TIME,
            Axis::free("level-scale"),
            &[Layer::new("alpha", Mark::Line, 1), Layer::new("sigma-of-t", Mark::Line, 2)],
        ),
        Figure::curves(
            "coefficients",
            TIME,
            Axis::free("coefficient"),
            &[Layer::new("drift", Mark::Line, 1), Layer::new("diffusion", Mark::Line, 2)],
        ),
        Figure::curves(
            "limit",
            Axis::log("chain-length"),
            Axis::log("chain-gap"),
            &[
                Layer::new("gap-ve", Mark::Line, 1),
                Layer::new("gap-vp", Mark::Line, 2),
                Layer::new("chain-here", Mark::Dots, 3),
            ],
        ),
        Figure::table(
            "table",
            Axis::of("sde-name", Sde::IDS),
            Axis::of("sde-end", &["prior-std", "alpha-end", "sigma-end", "log-snr-first", "log-snr-last"]),
            &[Layer::new("sde-ends", Mark::Table, 0)],
        ),
    ],
    claims: &[
        Claim { key: "ve", source: Source::Report("4-4, 4-5") },
        Claim { key: "vp", source: Source::Report("4-6, 4-7") },
        Claim { key: "framework", source: Source::Report("4-1, 4-3") },
        Claim { key: "prior", source: Source::Report("4-1-1") },
    ],
    notes: &["brownian", "rescaled", "first-noise", "sub-vp"],
    brief: "",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{Sde, Settings};
    use crate::data::Mixture;
    use crate::diffusion::level::renoise;
    use crate::diffusion::schedule::Betas;
    use crate::diffusion::{NoiseUse, Schedule};
    use crate::rng::Stream;
    use crate::study::chain::fresh_noise;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::line::Line;
    use crate::study::rows::Rows;
    use crate::study::settings::PlaneData;
    use crate::study::tools::{at_most, curve, heat, mean_error, pieces, slope, span};

    /// The equations and the figures of their paths.
    const EACH: [(Sde, &str); 3] = [(Sde::Ve, "paths-ve"), (Sde::Vp, "paths-vp"), (Sde::SubVp, "paths-sub-vp")];
    /// Steps of a simulation, pieces of a path that is drawn, and times at which moments are compared.
    const STEPS: usize = 1000;
    const PIECES: usize = 100;
    const LOOKS: usize = 10;
    const PATHS: usize = 60;
    /// Cells of a density along a side.
    const CELLS: usize = 100;
    /// Lengths of the chains.
    const LENGTHS: [usize; 10] = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
    /// The least length of those whose gaps are to fall as a power.
    const LONG: usize = 100;
    /// A gap that is shown in the place of none.
    const ROUNDING: f64 = 1e-17;

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let betas = [settings.beta_first, settings.beta_last];
        let schedule = |sde: Sde| sde.schedule_of(betas, [settings.sigma_least, settings.sigma_most]);
        // The first coordinate is all that is looked at.
        let mixture = PlaneData::Two.mixture();
        draw_schedule(&context, &schedule(settings.sde));
        draw_table(&context, &schedule);
        for (sde, figure) in EACH {
            context.draw(figure, "peak-density", densities(&mixture, &schedule(sde)));
        }
        draw_limit(&context, &schedule(Sde::Ve), &schedule(Sde::Vp), settings.chain_steps);
        let end = schedule(settings.sde).level(1.0);
        let signal = moments(&Line::first_of(&mixture, end)).1 - end.sigma * end.sigma;
        context.conclude("prior", signal / end.sigma.powi(2), 0.0, at_most(1e-3));

        let mut off = Vec::new();
        for (index, (sde, figure)) in EACH.into_iter().enumerate() {
            simulate(&context, &settings, &mixture, (&schedule(sde), figure, index), &mut off).await?;
        }
        // The errors are of size one where the marginals are right.
        let squares: Vec<f64> = off.iter().map(|off| off * off).collect();
        let (square, error) = mean_error(&squares);
        context.conclude("framework", square.sqrt(), 0.5 * error / square.sqrt(), at_most(3.0));
        Ok(())
    }

    /// Mean and variance.
    fn moments(line: &Line) -> (f64, f64) {
        let mean = line.0.iter().map(|(w, m, _)| w * m).sum::<f64>();
        (mean, line.0.iter().map(|(w, m, s)| w * (s * s + (m - mean).powi(2))).sum())
    }

    fn draw_schedule(context: &StudyContext, schedule: &Schedule) {
        let times = || span(0.0, 1.0, 201);
        context.draw("marginals", "alpha", curve(times(), |t| schedule.level(t).alpha));
        context.draw("marginals", "sigma-of-t", curve(times(), |t| schedule.level(t).sigma));
        context.draw("coefficients", "drift", curve(times(), |t| schedule.drift(t)));
        context.draw("coefficients", "diffusion", curve(times(), |t| schedule.diffusion(t)));
    }

    fn draw_table(context: &StudyContext, schedule: &dyn Fn(Sde) -> Schedule) {
        let mut cells = vec![EACH.len() as f64, 5.0];
        for (sde, _) in EACH {
            let schedule = schedule(sde);
            let [first, last] = [schedule.time_range().1, 1.0].map(|t| schedule.level(t));
            let row = [schedule.prior_std(), last.alpha, last.sigma, first.log_snr(), last.log_snr()];
            cells.extend(row.into_iter().flat_map(|value| [value, f64::NAN]));
        }
        context.draw("table", "sde-ends", cells);
    }

    /// Densities of the first coordinate over time, each as a share of its peak.
    fn densities(mixture: &Mixture, schedule: &Schedule) -> Vec<f64> {
        let half = 2.0 * (1.0 + schedule.level(1.0).sigma);
        let lines: Vec<Line> =
            (0..CELLS).map(|i| Line::first_of(mixture, schedule.level((i as f64 + 0.5) / CELLS as f64))).collect();
        let line = |t: f64| &lines[((t * CELLS as f64) as usize).min(CELLS - 1)];
        let mut map = heat([CELLS; 2], [0.0, 1.0, -half, half], [0.0, 1.0], |t, x| line(t).density(x));
        for column in 0..CELLS {
            let cells = || (0..CELLS).map(|row| 8 + row * CELLS + column);
            // Narrow modes may lie between the middles of cells.
            let peak = cells().map(|cell| map[cell]).fold(1e-300, f64::max);
            cells().for_each(|cell| map[cell] /= peak);
        }
        map
    }

    /// The largest gap between the variance of the chain 4-4 and that of the equation 4-5, as a share of it.
    fn gap_ve(schedule: &Schedule, steps: usize) -> f64 {
        let level = |i: usize| schedule.level(i as f64 / steps as f64);
        let mut variance = level(0).sigma.powi(2);
        let gaps = (1..=steps).map(|i| {
            let (from, to) = (level(i - 1), level(i));
            variance += renoise(0.0, from, to, 1.0_f64).powi(2);
            (variance / to.sigma.powi(2) - 1.0).abs()
        });
        gaps.fold(ROUNDING, f64::max)
    }

    /// The largest gap between `ln alpha_bar` of the chain 4-6, whose betas are `beta(i / N) / N`, and that of the equation
    /// 4-7; nothing where a beta would be 1 or more.
    fn gap_vp(schedule: &Schedule, steps: usize) -> Option<f64> {
        let time = |i: usize| i as f64 / steps as f64;
        let betas: Vec<f64> = (1..=steps).map(|i| -2.0 * schedule.drift(time(i)) / steps as f64).collect();
        if betas.iter().any(|beta| *beta >= 1.0) {
            return None;
        }
        let chain = Betas::new(betas);
        let gap = |i: usize| chain.signal_power(i).ln() - 2.0 * schedule.level(time(i + 1)).alpha.ln();
        Some((0..steps).map(|i| gap(i).abs()).fold(ROUNDING, f64::max))
    }

    fn draw_limit(context: &StudyContext, ve: &Schedule, vp: &Schedule, here: usize) {
        let points = |gap: &dyn Fn(usize) -> Option<f64>| -> Vec<[f64; 2]> {
            LENGTHS.iter().filter_map(|&steps| Some([steps as f64, gap(steps)?])).collect()
        };
        let of_vp = points(&|steps| gap_vp(vp, steps));
        context.draw("limit", "gap-ve", points(&|steps| Some(gap_ve(ve, steps))).into_iter().flatten());
        context.draw("limit", "gap-vp", of_vp.iter().copied().flatten());
        let exact = gap_ve(ve, here);
        let both = [Some(exact), gap_vp(vp, here)];
        context.draw("limit", "chain-here", both.into_iter().flatten().flat_map(|gap| [here as f64, gap]));
        context.conclude("ve", exact, 0.0, at_most(1e-9));
        let logs = of_vp.iter().filter(|p| p[0] >= LONG as f64).map(|p| p.map(f64::ln));
        let (value, error) = slope(&logs.collect::<Vec<_>>());
        context.conclude("vp", value, error, [-1.15, -0.85]);
    }

    /// Follows paths of an equation, and notes how far mean and variance are from the closed form, in standard errors.
    async fn simulate(
        context: &StudyContext,
        settings: &Settings,
        mixture: &Mixture,
        (schedule, figure, index): (&Schedule, &str, usize),
        off: &mut Vec<f64>,
    ) -> Result<(), StudyError> {
        let data = mixture.draw(&mut context.rng(Stream::Data, 0), settings.chains);
        let data = Rows { dimension: 1, values: data.iter().map(|x| x[0]).collect() };
        // The same noise for every equation.
        let mut noise = fresh_noise(context);
        let mut noise = |x: &Rows, stream: Stream, step: usize| noise(x, NoiseUse { stream, index: step as u32, step });
        let first = noise(&data, Stream::Prior, 0);
        let mut x = schedule.level(0.0).mix(data, first);
        let time = |step: usize| step as f64 / STEPS as f64;
        let places = |x: &Rows, t: f64| -> Vec<[f64; 2]> { x.values.iter().take(PATHS).map(|x| [t, *x]).collect() };
        let mut ways = vec![places(&x, 0.0)];
        for step in 1..=STEPS {
            let z = noise(&x, Stream::Noise, step);
            x = schedule.forward_step(x, time(step - 1), time(step), z);
            if step % (STEPS / PIECES) == 0 {
                ways.push(places(&x, time(step)));
            }
            if step % (STEPS / LOOKS) == 0 {
                off.extend(errors(&x.values, &Line::first_of(mixture, schedule.level(time(step)))));
            }
            if step == STEPS || context.due() {
                context.draw(figure, "forward-paths", pieces(&ways));
            }
            context.progress(index * STEPS + step, EACH.len() * STEPS);
            if step % 8 == 0 {
                context.yield_now().await;
            }
        }
        Ok(())
    }

    /// How far the mean and the variance of a sample are from those of a distribution, in standard errors.
    fn errors(sample: &[f64], line: &Line) -> [f64; 2] {
        let (mean, variance) = moments(line);
        let (found, error) = mean_error(sample);
        let squares: Vec<f64> = sample.iter().map(|x| (x - mean).powi(2)).collect();
        let (square, square_error) = mean_error(&squares);
        [(found - mean) / error, (square - variance) / square_error]
    }
}
