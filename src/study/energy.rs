//! The Persian article's energy models: a density known up to its constant, trained without it.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

/// Half the side of the window.
const HALF: f64 = 4.0;

named_variants! {
    /// How the energy is trained.
    EnergyTraining {
        /// Implicit score matching.
        Implicit = "implicit",
        /// Denoising score matching.
        Denoising = "denoising",
        /// Contrastive divergence, with negatives by Langevin dynamics.
        Contrast = "contrast",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        energy_training: EnergyTraining = EnergyTraining::Implicit;
        #[only(energy_training = EnergyTraining::Denoising)]
        noise_std: f64 = 0.2, 0.01..=1.0, log;
        #[only(energy_training = EnergyTraining::Contrast)]
        negative_steps: usize = 10, 1..=100;
        fit_steps: usize = 1500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 5e-3, 1e-4..=0.05, log;
        fit_width: usize = 48, 8..=256;
        constant_points: usize = 20_000, 100..=100_000;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "energy",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("energy", HALF, &[Layer::new("energy", Mark::Heat, 0)]),
        Figure::plane(
            "learned",
            HALF,
            &[Layer::new("density", Mark::Heat, 0), Layer::new("learned-score", Mark::Arrows, 1)],
        ),
        Figure::plane(
            "true",
            HALF,
            &[Layer::new("density", Mark::Heat, 0), Layer::new("exact-score", Mark::Arrows, 1)],
        ),
        Figure {
            key: "cut",
            square: false,
            x: Axis::fixed("x", -HALF, HALF),
            y: Axis::free("density"),
            layers: &[
                Layer::new("exact-density", Mark::Line, 0),
                Layer::new("normalised", Mark::Line, 1),
                Layer::new("unnormalised", Mark::Dashed, 3),
            ],
            handles: &[],
        },
        Figure {
            key: "constant",
            square: false,
            x: Axis::log("points"),
            y: Axis::fixed("relative-constant", 0.5, 1.5),
            layers: &[
                Layer::new("constant-error", Mark::Band, 1),
                Layer::new("constant-estimate", Mark::Line, 1),
                Layer::new("constant-exact", Mark::Dashed, 0),
            ],
            handles: &[],
        },
        Figure {
            key: "divergence",
            square: false,
            x: Axis::free("training-step"),
            y: Axis::log("fisher-divergence"),
            layers: &[Layer::new("on-data", Mark::Line, 1)],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "learned", source: Source::Magazine },
        Claim { key: "constant-free", source: Source::Magazine },
        Claim { key: "constant-estimate", source: Source::Magazine },
    ],
    notes: &["gibbs", "parameters", "avoids", "error", "gradients"],
    brief: "fit-steps=800",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{EnergyTraining, HALF, Settings};
    use crate::data::Marginal;
    use crate::diffusion::langevin::unadjusted;
    use crate::diffusion::schedule::clean;
    use crate::nn::score::{Form, Objective, ScoreNet};
    use crate::rng::Stream;
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::tools::{
        arrows, at_most, cells, cosine, curve, denoising, flat, heat_of, mean_error, points, span, squares,
        three_modes, truths, waits,
    };

    /// Cells along a side of the grid of integrals.
    const SIDE: usize = 64;
    const ARROWS: usize = 15;
    const JUDGED: usize = 400;
    /// Step of the Langevin dynamics that makes negatives.
    const EPSILON: f64 = 0.05;

    /// The model's energies on the grid, less their least, and the integral of what follows from them.
    struct Gibbs {
        energies: Vec<f64>,
        constant: f64,
    }

    const CELL: f64 = (2.0 * HALF / SIDE as f64) * (2.0 * HALF / SIDE as f64);

    async fn gibbs(net: &ScoreNet) -> Result<Gibbs, StudyError> {
        let raw: Vec<f64> = net.outputs(&flat(&cells(HALF, SIDE)), &[]).await?.into_iter().map(f64::from).collect();
        let least = raw.iter().copied().fold(f64::INFINITY, f64::min);
        let energies: Vec<f64> = raw.iter().map(|e| e - least).collect();
        let constant = CELL * energies.iter().map(|e| (-e).exp()).sum::<f64>();
        Ok(Gibbs { energies, constant })
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = three_modes();
        let exact = mixture.at(clean());
        let density: Vec<f64> = cells(HALF, SIDE).iter().map(|&x| exact.log_density(x).exp()).collect();
        let most = density.iter().copied().fold(0.0, f64::max);
        let places = cells(HALF, ARROWS);
        context.draw("true", "density", heat_of(HALF, [0.0, most], density.iter().copied()));
        context.draw("true", "exact-score", arrows(&places, &truths(&exact, &places)));
        let judged = mixture.draw(&mut context.rng(Stream::Data, 0), JUDGED);
        let truth = truths(&exact, &judged);

        let form = Form { dimension: 2, extra: 0, width: settings.fit_width, depth: 2, scale: 1.5, energy: true };
        let mut net = ScoreNet::new(form, &context.compute, context.seed(), 0);
        let (steps, batch, rate) = (settings.fit_steps, settings.fit_batch, settings.fit_rate);
        let mut negatives = mixture.draw(&mut context.rng(Stream::Prior, 0), batch);
        let mut divergences = Vec::new();
        for step in 0..=steps {
            let last = step == steps;
            context.progress(step, steps);
            if last || context.due() {
                let learned = points::<2>(&net.scores(&flat(&judged), &[]).await?);
                divergences.extend([step as f64, 0.5 * mean_error(&squares(&learned, &truth)).0]);
                context.draw("divergence", "on-data", divergences.iter().copied());
                let scores = points::<2>(&net.scores(&flat(&places), &[]).await?);
                context.draw("learned", "learned-score", arrows(&places, &scores));
                let model = gibbs(&net).await?;
                draw(&context, &model, most, &exact);
                let distance = distance(&model, &density);
                context.tell("learned", (distance, 0.0), at_most(0.2), last);
            }
            if last {
                break;
            }
            context.yield_now().await;
            let drawn = flat(&mixture.draw(&mut context.rng(Stream::Batch, step as u32), batch));
            let rate = rate * cosine(step, steps);
            match settings.energy_training {
                EnergyTraining::Denoising => {
                    let noise = context.rng(Stream::Noise, step as u32).normals(2 * batch);
                    let [noisy, target, weight] = denoising(&drawn, &noise, settings.noise_std, batch);
                    net.train(&noisy, &[], Objective::Regression { target: &target, weight: &weight }, rate);
                }
                EnergyTraining::Contrast => {
                    // The chains go on from where they are (Tieleman 2008); a few begin anew at data.
                    let mut rng = context.rng(Stream::Solver, step as u32);
                    for _ in 0..settings.negative_steps {
                        let scores = points::<2>(&net.raw_scores(&flat(&negatives), &[]).await?);
                        for (x, score) in negatives.iter_mut().zip(scores) {
                            *x = unadjusted(*x, score, EPSILON, [rng.normal(), rng.normal()]);
                            *x = x.map(|v| v.clamp(-HALF, HALF));
                        }
                        context.yield_now().await;
                    }
                    let renewed = (batch / 20).max(1);
                    for (x, fresh) in
                        negatives.iter_mut().skip(step * renewed % batch).take(renewed).zip(points::<2>(&drawn))
                    {
                        *x = fresh;
                    }
                    net.train(&drawn, &[], Objective::Contrast { negatives: &flat(&negatives), decay: 1e-3 }, rate);
                }
                EnergyTraining::Implicit => net.train(&drawn, &[], Objective::Implicit, rate),
            }
            if waits(step) {
                net.take_losses().await?;
            }
        }
        constants(&context, &net, settings.constant_points).await
    }

    /// Total variation between the model's density and that of the data, within the window.
    fn distance(model: &Gibbs, density: &[f64]) -> f64 {
        let pairs = model.energies.iter().zip(density);
        0.5 * CELL * pairs.map(|(e, p)| ((-e).exp() / model.constant - p).abs()).sum::<f64>()
    }

    fn draw(context: &StudyContext, model: &Gibbs, most: f64, exact: &Marginal<'_>) {
        let shown: Vec<f64> = model.energies.iter().map(|e| e.min(10.0)).collect();
        context.draw("energy", "energy", heat_of(HALF, [0.0, 10.0], shown.into_iter()));
        let density: Vec<f64> = model.energies.iter().map(|e| (-e).exp() / model.constant).collect();
        context.draw("learned", "density", heat_of(HALF, [0.0, most], density.iter().copied()));
        // The row of cells through the two lower modes.
        let row = (SIDE as f64 * (0.5 - 0.7 / (2.0 * HALF))) as usize;
        let y = HALF * (2.0 * (row as f64 + 0.5) / SIDE as f64 - 1.0);
        let xs = || span(-HALF + HALF / SIDE as f64, HALF - HALF / SIDE as f64, SIDE);
        let along =
            |f: &dyn Fn(usize) -> f64| xs().enumerate().flat_map(|(i, x)| [x, f(row * SIDE + i)]).collect::<Vec<_>>();
        context.draw("cut", "exact-density", curve(xs(), |x| exact.log_density([x, y]).exp()));
        context.draw("cut", "normalised", along(&|i| density[i]));
        context.draw("cut", "unnormalised", along(&|i| (-model.energies[i]).exp()));
    }

    /// What the constant costs, and that the score does not see it.
    async fn constants(context: &StudyContext, net: &ScoreNet, count: usize) -> Result<(), StudyError> {
        let model = gibbs(net).await?;
        // The slope of ln(exp(-E) / Z) by differences, against the network's score, where the density is not negligible.
        let log = |i: usize| -model.energies[i] - model.constant.ln();
        let inner: Vec<usize> = (0..SIDE * SIDE)
            .filter(|i| {
                (1..SIDE - 1).contains(&(i % SIDE)) && (1..SIDE - 1).contains(&(i / SIDE)) && model.energies[*i] < 6.0
            })
            .collect();
        let cell = 2.0 * HALF / SIDE as f64;
        let slopes: Vec<[f64; 2]> = inner
            .iter()
            .map(|&i| [(log(i + 1) - log(i - 1)) / (2.0 * cell), (log(i + SIDE) - log(i - SIDE)) / (2.0 * cell)])
            .collect();
        let cells = cells(HALF, SIDE);
        let here: Vec<[f64; 2]> = inner.iter().map(|&i| cells[i]).collect();
        let scores = points::<2>(&net.scores(&flat(&here), &[]).await?);
        let sum = |values: Vec<f64>| values.iter().sum::<f64>();
        let zeros = vec![[0.0; 2]; scores.len()];
        let share = (sum(squares(&slopes, &scores)) / sum(squares(&scores, &zeros))).sqrt();
        context.conclude("constant-free", share, 0.0, at_most(0.05));

        // Z by even points of the window: its estimate after every thousandth part of them.
        let mut rng = context.rng(Stream::Test, 0);
        let mut even = || HALF * (2.0 * rng.uniform() - 1.0);
        let drawn: Vec<[f64; 2]> = (0..count).map(|_| [even(), even()]).collect();
        let least = {
            let raw = net.outputs(&flat(&cells), &[]).await?;
            raw.into_iter().map(f64::from).fold(f64::INFINITY, f64::min)
        };
        let area = 4.0 * HALF * HALF;
        let (mut sums, mut n) = ([0.0, 0.0], 0.0);
        let (mut line, mut band) = (Vec::new(), Vec::new());
        let mut result = (f64::NAN, f64::NAN);
        for (chunk, part) in drawn.chunks((count / 100).max(1)).enumerate() {
            for energy in net.outputs(&flat(part), &[]).await? {
                let value = area * (least - f64::from(energy)).exp() / model.constant;
                sums = [sums[0] + value, sums[1] + value * value];
                n += 1.0;
            }
            let mean = sums[0] / n;
            let error = ((sums[1] / n - mean * mean).max(0.0) / n).sqrt();
            result = (mean, error);
            line.extend([n, mean]);
            band.extend([n, mean - error, mean + error]);
            if chunk % 10 == 9 {
                context.yield_now().await;
            }
        }
        context.draw("constant", "constant-estimate", line.iter().copied());
        context.draw("constant", "constant-error", band);
        context.draw("constant", "constant-exact", [line[0], 1.0, n, 1.0]);
        context.conclude("constant-estimate", result.0, result.1, [0.8, 1.2]);
        Ok(())
    }
}
