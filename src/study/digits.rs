//! Equations 2-5 and 2-6 on images: one network for all noise levels of small handwritten digits, trained while one
//! watches, and annealed sampling with it, level by level.

use super::settings::{Lambda, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        level_weighting: Lambda = Lambda::Squared;
        sigma_first: f64 = 8.0, 1.0..=50.0, log;
        sigma_last: f64 = 0.2, 0.05..=0.9, log;
        level_count: usize = 12, 2..=50;
        fit_steps: usize = 2000, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 128, 8..=256;
        level_steps: usize = 20, 1..=500;
        level_step: f64 = 0.5, 0.005..=1.0, log;
        chains: usize = 300, 100..=20_000;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "ncsn-digits",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::pictures("denoised", Axis::free(""), Axis::free("")),
        Figure::pictures("levels", Axis::free("chain"), Axis::log("sigma")),
        Figure::pictures("samples", Axis::free(""), Axis::free("")),
        Figure {
            key: "by-level",
            square: false,
            x: Axis::log("sigma"),
            y: Axis::log("loss-per-pixel"),
            layers: &[
                Layer::new("training-loss", Mark::Line, 1),
                Layer::new("held-out-loss", Mark::Line, 2),
                Layer::new("no-network", Mark::Dashed, 0),
            ],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "likeness", source: Source::Report("2-2-6") },
        Claim { key: "diversity", source: Source::Report("2-2-6") },
    ],
    notes: &["data", "network", "measure"],
    brief: "fit-steps=1500&chains=300",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::Settings;
    use crate::data::digits::PIXELS;
    use crate::data::metrics::gaussian::precision_recall;
    use crate::rng::{Rng, Stream};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{LevelNet, Size, geometric};
    use crate::study::pictures::{DATA, Split, digit_grid, square};
    use crate::study::tools::{cosine, share_error, waits};

    /// Digits along a side of a picture of many, but that of the levels.
    const ACROSS: usize = 10;
    /// A digit's neighbourhood reaches to so many others.
    const NEIGHBOURS: usize = 5;

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let split = Split::read(&context).await?;
        let sigmas = geometric(settings.sigma_first, settings.sigma_last, settings.level_count);
        let net = train(&context, &settings, &split, &sigmas).await?;
        let samples = sample(&context, &settings, &net, &sigmas).await?;
        judge(&context, &split, &samples).await;
        Ok(())
    }

    /// Digits with noise, as they were drawn once.
    struct Noisy {
        clean: Vec<f32>,
        noise: Vec<f32>,
    }

    impl Noisy {
        fn new(clean: &[f32], rng: &mut Rng) -> Self {
            Self { clean: clean.to_vec(), noise: rng.normals(clean.len()) }
        }

        fn at(&self, sigma: f64) -> Vec<f32> {
            self.clean.iter().zip(&self.noise).map(|(x, z)| x + sigma as f32 * z).collect()
        }

        /// Half the mean square of `sigma * score + noise`, a pixel.
        async fn loss(&self, net: &LevelNet, sigma: f64) -> Result<f64, StudyError> {
            let scaled = net.scaled(&self.at(sigma), sigma, true).await?;
            let sum: f64 = scaled.iter().zip(&self.noise).map(|(s, z)| f64::from(s + z).powi(2)).sum();
            Ok(0.5 * sum / scaled.len() as f64)
        }
    }

    async fn train(
        context: &StudyContext,
        settings: &Settings,
        split: &Split,
        sigmas: &[f64],
    ) -> Result<LevelNet, StudyError> {
        let (steps, batch, rate) = (settings.fit_steps, settings.fit_batch, settings.fit_rate);
        let size = Size { dimension: PIXELS, width: settings.fit_width, depth: 2, data: DATA };
        let mut net = LevelNet::new(context, size, 0);
        let mut rng = context.rng(Stream::Data, 0);
        let (digits, known) = (&split.digits, split.known());
        let seen = &split.seen()[..Split::HELD_OUT * PIXELS];
        let judged = [Noisy::new(seen, &mut rng), Noisy::new(&split.held_out().to_f32(), &mut rng)];
        // One of each, of those the network does not see.
        let firsts = (0..10).filter_map(|label| (known..digits.count()).find(|&i| digits.labels[i] == label));
        let shown: Vec<f32> = firsts.flat_map(|i| digits.digit(i)).copied().collect();
        let shown = Noisy::new(&shown, &mut rng);
        // What a guess that knows only the size `d` of the data is left with: `d^2 / (sigma^2 + d^2)` of the noise.
        let blind = |sigma: f64| 0.5 * (DATA / sigma.hypot(DATA)).powi(2);
        context.draw("by-level", "no-network", sigmas.iter().flat_map(|&sigma| [sigma, blind(sigma)]));
        let mut losses = vec![[f64::NAN; 2]; sigmas.len()];
        let (mut frame, all) = (0, steps + sigmas.len() * settings.level_steps);
        for step in 0..=steps {
            let last = step == steps;
            context.progress(step, all);
            if last || context.due() {
                // One level a frame, so that frames stay quick.
                let levels = if last { 0..sigmas.len() } else { frame % sigmas.len()..frame % sigmas.len() + 1 };
                for level in levels {
                    for (loss, judged) in losses[level].iter_mut().zip(&judged) {
                        *loss = judged.loss(&net, sigmas[level]).await?;
                    }
                }
                frame += 1;
                let curve = |which: usize| -> Vec<f64> {
                    let known = sigmas.iter().zip(&losses).filter(|(_, l)| l[which].is_finite());
                    known.flat_map(|(&sigma, l)| [sigma, l[which]]).collect()
                };
                context.draw("by-level", "training-loss", curve(0));
                context.draw("by-level", "held-out-loss", curve(1));
                draw_denoised(context, &net, &shown, sigmas).await?;
            }
            if last {
                break;
            }
            context.yield_now().await;
            let mut rng = context.rng(Stream::Batch, step as u32);
            let data = split.batch(&mut rng, batch);
            let noise = rng.normals(data.len());
            let sigma = |i: usize| sigmas[(i + step) % sigmas.len()];
            let weight = |i: usize| settings.level_weighting.of_noise(sigma(i));
            net.train(&data, &noise, sigma, weight, rate * cosine(step, steps));
            if waits(step) {
                net.wait().await?;
            }
        }
        Ok(net)
    }

    /// Rows in pairs: digits with noise, and above them what the network makes of them; more noise further up.
    async fn draw_denoised(
        context: &StudyContext,
        net: &LevelNet,
        shown: &Noisy,
        sigmas: &[f64],
    ) -> Result<(), StudyError> {
        let mut rows = Vec::new();
        for pair in 0..ACROSS / 2 {
            // From the last level upwards, half way to the first.
            let sigma = sigmas[sigmas.len() - 1 - pair * (sigmas.len() - 1) / ACROSS];
            let noisy = shown.at(sigma);
            let mut clean = noisy.clone();
            net.denoise(&mut clean, sigma, true).await?;
            rows.extend([noisy, clean]);
        }
        let digit = |column: usize, row: usize| rows[row].chunks_exact(PIXELS).nth(column);
        context.draw("denoised", "grey", digit_grid([ACROSS; 2], square(ACROSS), digit));
        Ok(())
    }

    /// Annealed Langevin dynamics, with the noise of the last level taken out at the end.
    async fn sample(
        context: &StudyContext,
        settings: &Settings,
        net: &LevelNet,
        sigmas: &[f64],
    ) -> Result<Vec<f32>, StudyError> {
        let (count, per_level, share) = (settings.chains, settings.level_steps, settings.level_step);
        let (steps, across) = (settings.fit_steps, sigmas.len());
        let mut rng = context.rng(Stream::Prior, 0);
        let mut x: Vec<f32> = rng.normals(count * PIXELS).iter().map(|z| sigmas[0] as f32 * z).collect();
        let mut rng = context.rng(Stream::Solver, 0);
        let step = (sigmas[0] / sigmas[across - 1]).powf(0.5 / (across - 1) as f64);
        let window = [0.5, across as f64 + 0.5, sigmas[across - 1] / step, sigmas[0] * step];
        let mut levels: Vec<Vec<f32>> = Vec::new();
        for (level, &sigma) in sigmas.iter().enumerate() {
            // Shown at the size of data, whatever the noise.
            let scale = (DATA / sigma.hypot(DATA)) as f32;
            levels.push(Vec::new());
            for step in 0..per_level {
                net.langevin(context, &mut x, sigma, share * sigma * sigma, &mut rng, true).await?;
                context.progress(steps + level * per_level + step + 1, steps + across * per_level);
                let end = step + 1 == per_level;
                if end && level + 1 == across {
                    net.denoise(&mut x, sigma, true).await?;
                }
                if end || context.due() {
                    levels[level] = x.iter().take(across * PIXELS).map(|v| scale * v).collect();
                    let digit = |column: usize, row: usize| {
                        levels.get(across - 1 - row).and_then(|level| level.chunks_exact(PIXELS).nth(column))
                    };
                    context.draw("levels", "grey", digit_grid([across; 2], window, digit));
                }
            }
        }
        Ok(x.into_iter().map(|v| v.clamp(-1.0, 1.0)).collect())
    }

    /// Precision and recall as Kynkäänniemi et al. 2019 (arXiv 1904.06991) define them, on pixels.
    async fn judge(context: &StudyContext, split: &Split, samples: &[f32]) {
        let (digits, known) = (&split.digits, split.known());
        let mut nearest = Vec::new();
        for sample in samples.chunks_exact(PIXELS).take(ACROSS * ACROSS / 2) {
            context.yield_now().await;
            let distance = |place: &usize| -> f32 {
                digits.digit(*place).iter().zip(sample).map(|(a, b)| (a - b) * (a - b)).sum()
            };
            nearest.push((0..known).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0));
        }
        // Columns in pairs: a sample, and the digit that is most like it.
        let digit = |column: usize, row: usize| {
            let index = row * ACROSS / 2 + column / 2;
            let sample = samples.chunks_exact(PIXELS).nth(index);
            if column.is_multiple_of(2) { sample } else { nearest.get(index).map(|&near| digits.digit(near)) }
        };
        context.draw("samples", "grey", digit_grid([ACROSS; 2], square(ACROSS), digit));
        context.yield_now().await;
        let (precision, recall) =
            precision_recall(samples, split.seen(), PIXELS, NEIGHBOURS).unwrap_or((f64::NAN, f64::NAN));
        let count = samples.len() / PIXELS;
        context.conclude("likeness", precision, share_error(precision, count), [0.5, 1.0]);
        // Not of independent trials: the samples' balls are the same for all. So not better than their number tells.
        context.conclude("diversity", recall, share_error(recall, count), [0.5, 1.0]);
    }
}
