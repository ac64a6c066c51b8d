//! Equations 2-1 to 2-3: explicit, implicit, sliced and denoising score matching of the same network on the same data,
//! and what a step of each costs as the dimension grows.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

const LOSSES: &[&str] = &["explicit", "implicit", "sliced", "denoising"];

settings! {
    /// What a visitor may change.
    struct Settings {
        noise_std: f64 = 0.2, 0.01..=1.0, log;
        slices: usize = 1, 1..=16;
        fit_steps: usize = 1500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 5e-3, 1e-4..=0.05, log;
        fit_width: usize = 48, 8..=256;
        largest_dimension: usize = 512, 8..=512;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "score-matching",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure {
            key: "divergence",
            square: false,
            x: Axis::free("training-step"),
            y: Axis::log("fisher-divergence"),
            layers: &[
                Layer::new("explicit", Mark::Line, 0),
                Layer::new("implicit", Mark::Line, 1),
                Layer::new("sliced", Mark::Line, 2),
                Layer::new("denoising", Mark::Line, 3),
                Layer::new("noise-floor", Mark::Dashed, 3),
            ],
            handles: &[],
        },
        Figure {
            key: "time",
            square: false,
            x: Axis::of("objective", LOSSES),
            y: Axis::free("step-time"),
            layers: &[Layer::new("measured-time", Mark::Bars, 0)],
            handles: &[],
        },
        Figure {
            key: "growth",
            square: false,
            x: Axis::log("dimension"),
            y: Axis::log("step-time"),
            layers: &[
                Layer::new("implicit", Mark::Line, 1),
                Layer::new("sliced", Mark::Line, 2),
                Layer::new("denoising", Mark::Line, 3),
            ],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "equivalent", source: Source::Report("2-1, 2-2") },
        Claim { key: "sliced", source: Source::Paper("Song, Garg, Shi, Ermon 2019, arXiv 1905.07088") },
        Claim { key: "denoising", source: Source::Report("2-1-2, 2-3") },
        Claim { key: "cost", source: Source::Report("2-1-1") },
    ],
    notes: &["constant", "name"],
    brief: "fit-steps=1000&largest-dimension=64",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{LOSSES, Settings};
    use crate::data::Mixture;
    use crate::diffusion::Level;
    use crate::diffusion::schedule::clean;
    use crate::nn::score::{Form, Objective, ScoreNet};
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::tools::{
        at_most, cosine, denoising, flat, mean_error, median_error, middle_mean, points, squares, three_modes, truths,
        units,
    };

    /// Points behind a divergence.
    const JUDGED: usize = 500;
    /// Points of a batch and width of the network where only time is measured.
    const TIMED: usize = 8;
    const TIMED_WIDTH: usize = 32;

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = three_modes();
        fit(&context, &settings, &mixture).await?;
        grow(&context, settings.largest_dimension).await
    }

    async fn fit(context: &StudyContext, settings: &Settings, mixture: &Mixture) -> Result<(), StudyError> {
        let (exact, sigma) = (mixture.at(clean()), settings.noise_std);
        let judged = mixture.draw(&mut context.rng(Stream::Data, 0), JUDGED);
        let truth = truths(&exact, &judged);
        let size = mean_error(&squares(&truth, &vec![[0.0; 2]; JUDGED])).0;
        let (steps, batch, rate) = (settings.fit_steps, settings.fit_batch, settings.fit_rate);
        // What perfect denoising score matching would be left with: the score it learns is that of the noisy data.
        let noisy = mixture.at(Level { t: 0.0, alpha: 1.0, sigma });
        let floor = 0.5 * mean_error(&squares(&truths(&noisy, &judged), &truth)).0;
        context.draw("divergence", "noise-floor", [0.0, floor, steps as f64, floor]);

        let form = Form { dimension: 2, extra: 0, width: settings.fit_width, depth: 2, scale: 1.5, energy: false };
        // The same initial weights for all.
        let mut nets: Vec<ScoreNet> =
            LOSSES.iter().map(|_| ScoreNet::new(form, &context.compute, context.seed(), 0)).collect();
        let mut curves = vec![Vec::new(); LOSSES.len()];
        let mut times = vec![Vec::new(); LOSSES.len()];
        for step in 0..=steps {
            let last = step == steps;
            context.progress(step, steps);
            if last || context.due() {
                for (which, loss) in LOSSES.iter().enumerate() {
                    let learned = points::<2>(&nets[which].scores(&flat(&judged), &[]).await?);
                    let (mean, error) = mean_error(&squares(&learned, &truth));
                    curves[which].extend([step as f64, 0.5 * mean]);
                    context.draw("divergence", loss, curves[which].iter().copied());
                    let (claim, bound) = match *loss {
                        "implicit" => ("equivalent", at_most(0.1)),
                        "sliced" => ("sliced", at_most(0.15)),
                        "denoising" => ("denoising", at_most(0.2 + 2.0 * floor / size)),
                        _ => continue,
                    };
                    let (share, spread) = (mean / size, error / size);
                    context.tell(claim, (share, spread), bound, last);
                }
                if step > 0 {
                    let bars = times.iter().enumerate().flat_map(|(i, t): (usize, &Vec<f64>)| {
                        let (mean, error) = middle_mean(t);
                        [i as f64, mean, error]
                    });
                    context.draw("time", "measured-time", bars);
                }
            }
            if last {
                break;
            }
            let drawn = mixture.draw(&mut context.rng(Stream::Batch, step as u32), batch);
            let x = flat(&drawn);
            let rate = rate * cosine(step, steps);
            for (which, loss) in LOSSES.iter().enumerate() {
                context.yield_now().await;
                let net = &mut nets[which];
                match *loss {
                    "explicit" => {
                        let target = flat(&truths(&exact, &drawn));
                        net.train(&x, &[], Objective::Regression { target: &target, weight: &units(batch) }, rate);
                    }
                    "implicit" => net.train(&x, &[], Objective::Implicit, rate),
                    "sliced" => {
                        let count = 2 * batch * settings.slices;
                        let directions = context.rng(Stream::Directions, step as u32).normals(count);
                        net.train(&x, &[], Objective::Sliced { directions: &directions }, rate);
                    }
                    _ => {
                        let noise = context.rng(Stream::Noise, step as u32).normals(2 * batch);
                        let [noisy, target, weight] = denoising(&x, &noise, sigma, batch);
                        net.train(&noisy, &[], Objective::Regression { target: &target, weight: &weight }, rate);
                    }
                }
                // Reading the loss is waiting for the step.
                net.take_losses().await?;
                context.yield_now().await;
                if step >= 5 {
                    times[which].push(context.lasted());
                }
            }
        }
        Ok(())
    }

    /// Time of a step in dimensions 2, 4, 8 and so on, of data that do not matter.
    async fn grow(context: &StudyContext, largest: usize) -> Result<(), StudyError> {
        let mut dimension = 2;
        let mut curves = [const { Vec::new() }; 3];
        while dimension <= largest {
            let form = Form { dimension, extra: 0, width: TIMED_WIDTH, depth: 2, scale: 1.0, energy: false };
            let mut rng = context.rng(Stream::Test, dimension as u32);
            let x = rng.normals(dimension * TIMED);
            let directions = rng.normals(dimension * TIMED);
            let weight = units(TIMED);
            let objectives = [
                Objective::Implicit,
                Objective::Sliced { directions: &directions },
                Objective::Regression { target: &directions, weight: &weight },
            ];
            let mut measured = [(0.0, 0.0); 3];
            for (which, objective) in objectives.into_iter().enumerate() {
                let mut net = ScoreNet::new(form, &context.compute, context.seed(), 0);
                // As many steps to a turn as a clock of a tenth of a millisecond needs; the first turn warms up.
                let (mut repeats, mut times) = (1, Vec::new());
                for round in 0..17 {
                    context.yield_now().await;
                    for _ in 0..repeats {
                        net.train(&x, &[], objective, 1e-3);
                    }
                    net.take_losses().await?;
                    context.yield_now().await;
                    if round > 0 && context.lasted() < 4.0 && times.is_empty() && repeats < 64 {
                        repeats *= 2;
                    } else if round > 0 {
                        times.push(context.lasted() / f64::from(repeats));
                    }
                    if times.len() == 9 {
                        break;
                    }
                }
                // What is slower than half of them was slowed down by somebody else.
                times.sort_unstable_by(f64::total_cmp);
                measured[which] = median_error(&times[..times.len().div_ceil(2)]);
                curves[which].extend([dimension as f64, measured[which].0]);
            }
            for (which, loss) in ["implicit", "sliced", "denoising"].into_iter().enumerate() {
                context.draw("growth", loss, curves[which].iter().copied());
            }
            let ((exact, exact_error), (cheap, cheap_error)) = (measured[0], measured[2]);
            let ratio = (exact / cheap).log10();
            let error = (exact_error / exact).hypot(cheap_error / cheap) / std::f64::consts::LN_10;
            // Of `1 + dimension` times as many rows a thirty-second, for what vector units make of many rows.
            let bound = [(dimension as f64 / 32.0).log10().max(0.1), f64::INFINITY];
            dimension *= 2;
            context.tell("cost", (ratio, error), bound, dimension > largest);
        }
        Ok(())
    }
}
