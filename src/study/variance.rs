//! The learned variance of a chain's steps (Nichol and Dhariwal 2021): a network of digits trained on `L_simple`, and with
//! it held fixed one variance network for each of several chains, from a thousand steps down to ten.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        chain_walk: usize = 25, 10..=200;
        fit_steps: usize = 2500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 128, 8..=256;
        variance_steps: usize = 1000, 200..=3000;
        sample_count: usize = 500, 100..=2000;
    }
}

const IMPROVED: Source = Source::Paper("Improved DDPM, Nichol and Dhariwal 2021, arXiv 2102.09672");

/// The table.
pub const STUDY: Study = Study {
    id: "variance",
    chapter: 3,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves(
            "bits",
            Axis::log("chain-length"),
            // The small variance of short chains is far above.
            Axis { range: Some([3.0, 15.0]), ..Axis::log("bits-per-dimension") },
            &[
                Layer::new("small-variance", Mark::Line, 0),
                Layer::new("large-variance", Mark::Line, 1),
                Layer::new("best-constant", Mark::Dashed, 3),
                Layer::new("learned-variance", Mark::Line, 2),
            ],
        ),
        Figure::curves(
            "where",
            Axis::log("step-of-chain"),
            Axis::free("variance-share"),
            &[Layer::new("middle-half", Mark::Band, 2), Layer::new("learned-variance", Mark::Line, 2)],
        ),
        Figure::pictures("map", Axis::free(""), Axis::free("")),
        Figure::curves(
            "quality",
            Axis::log("chain-length"),
            Axis::free("frechet"),
            &[
                Layer::new("small-variance", Mark::Line, 0),
                Layer::new("large-variance", Mark::Line, 1),
                Layer::new("learned-variance", Mark::Line, 2),
            ],
        ),
        Figure::pictures("samples", Axis::free(""), Axis::free("")),
    ],
    claims: &[
        Claim { key: "bound", source: Source::Report("3-5-1") },
        Claim { key: "few", source: IMPROVED },
        Claim { key: "more-steps", source: Source::Report("3-5") },
        Claim { key: "fixed", source: Source::Report("3-5-1") },
    ],
    notes: &["hybrid", "gradient", "constant"],
    brief: "fit-steps=900&variance-steps=300&sample-count=300",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::Settings;
    use crate::data::digits::PIXELS;
    use crate::data::metrics::gaussian::GaussianFit;
    use crate::diffusion::likelihood::{Bound, step_divergences};
    use crate::diffusion::schedule::Betas;
    use crate::diffusion::schedule::spacing::even_subset;
    use crate::diffusion::solver::Variance;
    use crate::diffusion::{Denoiser as _, Estimate, Level, Sampler, Schedule, Solver};
    use crate::nn::preconditioning::Preconditioning;
    use crate::nn::variance::{Terms, VarianceForm, VarianceNet};
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{fresh_noise, start, walk, whole_walk_back};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Learned, LevelNet, Size, learned_variance};
    use crate::study::pictures::{DATA, Split, digit_grid, fit, frechet_ratio, square};
    use crate::study::rows::Rows;
    use crate::study::settings::ChainTable;
    use crate::study::terms::{Chain, Shown};
    use crate::study::tools::{cosine, mean_error, waits};

    /// Steps of the whole chain, and of the others that are made of some of its steps.
    const STEPS: usize = 1000;
    const SHORT: [usize; 3] = [100, 25, 10];
    /// Chains longer than this are not walked for samples.
    const WALKED: usize = 200;
    /// The chains of the claims.
    const FEW: usize = 25;
    const JUDGED: usize = 100;
    /// Terms of the whole chain's bound that are computed.
    const TERMS: usize = 120;
    /// Units of a hidden layer of a variance network, and Adam's rate.
    const WIDTH: usize = 64;
    const RATE: f64 = 6e-3;
    /// Digits along a side of a picture.
    const ACROSS: usize = 9;
    /// Steps of the whole chain at which pixels' variances are shown.
    const MAPPED: [usize; 3] = [50, 200, 400];
    /// Digits by which the learned variance is drawn while it is trained.
    const GLANCED: usize = 32;
    /// The variances, with their names among the layers.
    const KINDS: [(Variance, &str); 3] = [
        (Variance::Small, "small-variance"),
        (Variance::Large, "large-variance"),
        (Variance::Learned, "learned-variance"),
    ];

    /// What every part of the run needs.
    struct Run {
        context: StudyContext,
        settings: Settings,
        split: Split,
        known: GaussianFit,
        held_out: Rows,
        betas: Betas,
        lengths: Vec<usize>,
        done: usize,
    }

    /// A chain with the variance that was learned for it, and what is known of it.
    struct Found {
        length: usize,
        /// Bits per dimension of every digit, in the order of [`KINDS`].
        bits: [Vec<f64>; 3],
        /// The same, on average, with the best variance for all pixels of a step together.
        best: f64,
        /// Samples in the order of [`KINDS`], and their Fréchet distances.
        walked: Option<[(Vec<f32>, f64); 3]>,
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let split = Split::read(&context).await?;
        let mut lengths = vec![STEPS, settings.chain_walk];
        lengths.extend(SHORT);
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        let known = fit(split.seen().chunks_exact(PIXELS));
        let held_out = split.held_out();
        let betas = ChainTable::Linear.betas(STEPS);
        let mut run = Run { context, settings, split, known, held_out, betas, lengths, done: 0 };
        let mean = run.train_mean().await?;
        let mut found = Vec::new();
        for length in run.lengths.clone() {
            let betas = run.betas.strided(&even_subset(STEPS, length));
            let chain = Chain::new(&betas);
            let variance = run.train_variance(&mean, &chain).await?;
            let (bits, best) = run.bits(&mean, &variance, &chain).await?;
            let walked = if length > WALKED { None } else { Some(run.sample(&mean, &variance, &betas).await?) };
            found.push(Found { length, bits, best, walked });
            run.draw_found(&found);
        }
        run.judge(&found);
        Ok(())
    }

    impl Run {
        /// Training steps, and walks and terms by what they cost.
        fn step_done(&mut self) {
            let (chains, walked) = (self.lengths.len(), self.lengths.iter().filter(|l| **l <= WALKED).sum::<usize>());
            self.done += 1;
            let all = self.settings.fit_steps + chains * self.settings.variance_steps + 3 * walked;
            self.context.progress(self.done.min(all), all);
        }

        fn batch(&self, rng: &mut Rng) -> Vec<f32> {
            self.split.batch(rng, self.settings.fit_batch)
        }

        /// The network of the mean, on `L_simple`.
        async fn train_mean(&mut self) -> Result<LevelNet, StudyError> {
            let Settings { fit_steps: steps, fit_rate, fit_width: width, .. } = self.settings;
            let mut net = LevelNet::new(&self.context, Size { dimension: PIXELS, width, depth: 2, data: DATA }, 0);
            let chain = Chain::new(&self.betas);
            for step in 0..steps {
                self.step_done();
                self.context.yield_now().await;
                let mut rng = self.context.rng(Stream::Batch, step as u32);
                let data = self.batch(&mut rng);
                let noise = rng.normals(data.len());
                let times = chain.even_steps(self.settings.fit_batch, &mut rng);
                let rate = fit_rate * cosine(step, steps);
                net.train(&data, &noise, |i| chain.level(times[i]).ratio(), |_| 1.0, rate);
                if waits(step) {
                    net.wait().await?;
                }
                if self.context.due() {
                    self.draw_map(&net, None).await?;
                }
            }
            net.wait().await?;
            Ok(net)
        }

        /// A variance network for a chain: on the bound, in which the mean does not change.
        async fn train_variance(&mut self, mean: &LevelNet, chain: &Chain) -> Result<VarianceNet, StudyError> {
            let steps = self.settings.variance_steps;
            let preconditioning = Preconditioning { data: DATA };
            let form = VarianceForm { dimension: PIXELS, width: WIDTH, depth: 2, preconditioning };
            let mut net = VarianceNet::new(form, &self.context.compute, self.context.seed(), 1);
            for step in 0..steps {
                self.step_done();
                self.context.yield_now().await;
                let mut rng = self.context.rng(Stream::Batch, (self.settings.fit_steps + step) as u32);
                let data = Rows::from_f32(PIXELS, &self.batch(&mut rng));
                let times = chain.even_steps(self.settings.fit_batch, &mut rng);
                let mut x = data.clone();
                for (row, t) in x.values.chunks_exact_mut(PIXELS).zip(&times) {
                    row.iter_mut().for_each(|x| *x = chain.level(*t).mix(*x, rng.normal()));
                }
                let believed = mean.estimate(&x, |row| chain.level(times[row]), true).await?.data;
                self.context.yield_now().await;
                let batch = variance_batch(chain, &times, &data, &x, &believed);
                let terms = Terms { moments: &batch.moments, widths: &batch.widths };
                net.train(&batch.seen, &batch.sigmas, terms, RATE * cosine(step, steps));
                if waits(step) {
                    net.take_losses().await?;
                }
                if self.context.due() && chain.len() == STEPS {
                    self.draw_map(mean, Some(&net)).await?;
                    self.glance(&net, chain).await?;
                }
            }
            net.take_losses().await?;
            Ok(net)
        }

        /// Held-out digits at a level, with the noise of that step of a chain.
        fn noisy(&self, level: Level, index: usize, count: usize) -> Rows {
            let mut rng = self.context.rng(Stream::Noise, index as u32);
            let values = self.held_out.values.iter().take(count * PIXELS).map(|x| level.mix(*x, rng.normal()));
            Rows { dimension: PIXELS, values: values.collect() }
        }

        /// Bits per dimension of every held-out digit, and on average with the best constants.
        async fn bits(
            &self,
            mean: &LevelNet,
            net: &VarianceNet,
            chain: &Chain,
        ) -> Result<([Vec<f64>; 3], f64), StudyError> {
            let shown = Shown::new(chain.len(), TERMS);
            let mut terms: [Vec<Vec<f64>>; 4] = [const { Vec::new() }; 4];
            let mut places = Vec::new();
            for &t in &shown.steps {
                let level = chain.level(t);
                let x = self.noisy(level, t, Split::HELD_OUT);
                let mut model = Learned::new(&self.context, mean).clipped(1.0).with_variance(net);
                let estimate = model.estimate(&x, level).await?;
                for ((kind, _), terms) in KINDS.into_iter().zip(&mut terms) {
                    terms.push(chain.terms(t, &self.held_out, &estimate, kind).await);
                }
                if let Some(small) = terms[0].last() {
                    let best = self.best(chain, t, &estimate, small).await;
                    terms[3].push(best);
                }
                places.push((t, quartiles(estimate.variance)));
            }
            if chain.len() == STEPS {
                self.draw_where(&places);
                self.draw_map(mean, Some(net)).await?;
            }
            let prior = chain.prior_terms(&self.held_out).await;
            let bits = terms.each_ref().map(|terms| {
                let lists: Vec<&[f64]> = terms.iter().map(Vec::as_slice).collect();
                let sums = shown.sums(chain.len(), &lists).into_iter().zip(&prior);
                sums.map(|(sum, prior)| Bound::bits_per_dimension(sum + prior, PIXELS)).collect::<Vec<f64>>()
            });
            let [small, large, learned, best] = bits;
            Ok(([small, large, learned], mean_error(&best).0))
        }

        /// The terms of a step with the one variance that makes their mean least: the small one plus the mean square
        /// error of the mean. The decoder of the first step stays as it is.
        async fn best(&self, chain: &Chain, t: usize, estimate: &Estimate<Rows>, small: &[f64]) -> Vec<f64> {
            if t == 1 {
                return small.to_vec();
            }
            let posterior = chain.posterior(t);
            // With the small variance a term is half the square error over it.
            let excess = 2.0 * mean_error(small).0 / PIXELS as f64;
            step_divergences(&self.held_out, &estimate.data, posterior, posterior.variance * (1.0 + excess)).await
        }

        /// Samples with every variance from the same start and the same fresh noise, and how far they are from the data.
        async fn sample(
            &mut self,
            mean: &LevelNet,
            net: &VarianceNet,
            betas: &Betas,
        ) -> Result<[(Vec<f32>, f64); 3], StudyError> {
            let schedule = Schedule::table(betas.clone());
            let grid = whole_walk_back(betas);
            let shown = betas.len() == self.settings.chain_walk;
            let mut walked: [(Vec<f32>, f64); 3] = core::array::from_fn(|_| (Vec::new(), f64::NAN));
            for (place, (kind, _)) in KINDS.into_iter().enumerate() {
                let start = start(&self.context, PIXELS, self.settings.sample_count, 0);
                let sampler = Sampler::new(Solver::Ddpm(kind), schedule.clone(), grid.clone(), start);
                let context = self.context.clone();
                let mut model = Learned::new(&context, mean).clipped(1.0);
                if kind == Variance::Learned {
                    model = model.with_variance(net);
                }
                let mut look = |sampler: &Sampler<Rows>| {
                    self.step_done();
                    if shown && (self.context.due() || sampler.is_finished()) {
                        walked[place].0 = sampler.x().to_f32();
                        self.draw_samples(&walked);
                    }
                };
                let mut noise = fresh_noise(&context);
                let samples = walk(&context, sampler, &mut model, &mut noise, &mut look).await?.to_f32();
                context.yield_now().await;
                let distance = fit(samples.chunks_exact(PIXELS)).frechet(&self.known);
                walked[place] = (samples, distance);
            }
            Ok(walked)
        }

        /// Three rows of each variance, the small one's at the top.
        fn draw_samples(&self, walked: &[(Vec<f32>, f64); 3]) {
            let digit = |column: usize, row: usize| {
                let row = ACROSS - 1 - row;
                let (samples, _) = &walked[row / 3];
                samples.chunks_exact(PIXELS).nth(row % 3 * ACROSS + column)
            };
            self.context.draw("samples", "grey", digit_grid([ACROSS; 2], square(ACROSS), digit));
        }

        /// In threes of columns, for each of [`MAPPED`]: noisy digits, their estimates, and their pixels' variances.
        async fn draw_map(&self, mean: &LevelNet, net: Option<&VarianceNet>) -> Result<(), StudyError> {
            let chain = Chain::new(&self.betas);
            let mut columns: Vec<Vec<f32>> = Vec::new();
            for t in MAPPED {
                let level = chain.level(t);
                let x = self.noisy(level, t, ACROSS);
                let estimate = mean.estimate(&x, |_| level, true).await?;
                // As large as data, whatever the noise.
                let scale = DATA / (level.alpha * DATA).hypot(level.sigma);
                columns.push(x.values.iter().map(|v| (scale * v) as f32).collect());
                columns.push(estimate.data.to_f32());
                columns.push(match net {
                    Some(net) => stretched(&learned_variance(net, &x, level).await?.to_f32()),
                    None => Vec::new(),
                });
            }
            let digit = |column: usize, row: usize| columns[column].chunks_exact(PIXELS).nth(ACROSS - 1 - row);
            self.context.draw("map", "grey", digit_grid([ACROSS; 2], square(ACROSS), digit));
            Ok(())
        }

        /// The learned variance at some steps, by a few digits.
        async fn glance(&self, net: &VarianceNet, chain: &Chain) -> Result<(), StudyError> {
            let mut places = Vec::new();
            for t in Shown::new(chain.len(), 12).steps {
                let level = chain.level(t);
                let x = self.noisy(level, t, GLANCED);
                places.push((t, quartiles(Some(learned_variance(net, &x, level).await?))));
            }
            self.draw_where(&places);
            Ok(())
        }

        fn draw_where(&self, places: &[(usize, [f64; 3])]) {
            let context = &self.context;
            context.draw(
                "where",
                "middle-half",
                places.iter().flat_map(|(t, [low, _, high])| [*t as f64, *low, *high]),
            );
            context.draw(
                "where",
                "learned-variance",
                places.iter().flat_map(|(t, [_, middle, _])| [*t as f64, *middle]),
            );
        }

        fn draw_found(&self, found: &[Found]) {
            let line = |of: &dyn Fn(&Found) -> Option<f64>| -> Vec<f64> {
                found.iter().rev().filter_map(|f| Some([f.length as f64, of(f)?])).flatten().collect()
            };
            for (place, (_, name)) in KINDS.into_iter().enumerate() {
                self.context.draw("bits", name, line(&|f| Some(mean_error(&f.bits[place]).0)));
                self.context.draw("quality", name, line(&|f| f.walked.as_ref().map(|of| of[place].1)));
            }
            self.context.draw("bits", "best-constant", line(&|f| Some(f.best)));
        }

        fn judge(&self, found: &[Found]) {
            let of = |length: usize| found.iter().find(|f| f.length == length);
            let (Some(whole), Some(few), Some(judged)) = (of(STEPS), of(FEW), of(JUDGED)) else { return };
            let saved = |more: &[f64], less: &[f64]| -> (f64, f64) {
                mean_error(&more.iter().zip(less).map(|(a, b)| a - b).collect::<Vec<_>>())
            };
            let claims = [
                ("bound", saved(&whole.bits[1], &whole.bits[2]), 0.02),
                ("few", saved(&few.bits[1], &few.bits[2]), 0.3),
                ("more-steps", saved(&few.bits[2], &whole.bits[2]), 0.1),
            ];
            for (claim, (value, error), least) in claims {
                self.context.conclude(claim, value, error, [least, f64::INFINITY]);
            }
            let Some([small, large, learned]) = &judged.walked else { return };
            let fixed = if small.1 < large.1 { small } else { large };
            // Samples of the same start and fresh noise belong together.
            let (value, error) = frechet_ratio(&fixed.0, &learned.0, &self.known, self.context.seed());
            self.context.conclude("fixed", value, error, [0.8, 1.25]);
        }
    }

    /// What a training step of a variance network needs.
    struct VarianceBatch {
        seen: Vec<f32>,
        sigmas: Vec<f64>,
        moments: Vec<f32>,
        widths: Vec<f32>,
    }

    /// The rows of a batch, each at a step of its own: how far the mean is off, against the variances of the step. The
    /// first step, which decodes, counts as a Gaussian around its mean: it has no true variance besides.
    fn variance_batch(chain: &Chain, times: &[usize], data: &Rows, x: &Rows, believed: &Rows) -> VarianceBatch {
        let (mut seen, mut moments) = (Vec::with_capacity(x.values.len()), Vec::with_capacity(x.values.len()));
        let [mut sigmas, mut widths] = [(); 2].map(|()| Vec::with_capacity(times.len()));
        let d = data.dimension;
        for (row, &t) in times.iter().enumerate() {
            let (level, posterior) = (chain.level(t), chain.posterior(t));
            let part = row * d..(row + 1) * d;
            let [data, x, believed] = [data, x, believed].map(|rows| &rows.values[part.clone()]);
            seen.extend(x.iter().map(|v| (v / level.alpha) as f32));
            sigmas.push(level.ratio());
            let own = if t == 1 { 0.0 } else { 1.0 };
            moments.extend(data.iter().zip(believed).map(|(data, believed)| {
                let miss = posterior.data * (data - believed.clamp(-1.0, 1.0));
                (own + miss * miss / posterior.variance) as f32
            }));
            widths.push((posterior.forward / posterior.variance).ln());
        }
        VarianceBatch { seen, sigmas, moments, widths: widths.into_iter().map(|w| w as f32).collect() }
    }

    /// Quartiles of where learned variances lie between the smallest, 0, and the largest, 1.
    fn quartiles(variance: Option<Rows>) -> [f64; 3] {
        let mut sorted: Vec<f64> = variance.map_or(Vec::new(), |rows| rows.values);
        sorted.sort_unstable_by(f64::total_cmp);
        [1, 2, 3].map(|k| sorted.get(k * sorted.len() / 4).map_or(0.0, |v| 0.5 * (v + 1.0)))
    }

    /// Numbers stretched to reach from -1 to 1.
    fn stretched(values: &[f32]) -> Vec<f32> {
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let width = (most - least).max(f32::MIN_POSITIVE);
        values.iter().map(|v| 2.0 * (v - least) / width - 1.0).collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::diffusion::likelihood::learned_step_divergence;
        use crate::diffusion::now;
        use crate::lab::DeviceChoice;
        use crate::nn::device::open;

        /// Some rows at steps of a chain, and what the mean network might make of them.
        fn batch(chain: &Chain, times: &[usize]) -> [Rows; 3] {
            let mut rng = Rng::new(1, Stream::Test, 0);
            let mut draw = |scale: f64| -> Rows {
                let values = (0..times.len() * PIXELS).map(|_| (scale * rng.normal()).clamp(-1.0, 1.0)).collect();
                Rows { dimension: PIXELS, values }
            };
            let (data, noise, error) = (draw(0.8), draw(1.0), draw(0.1));
            let mut x = data.clone();
            for (i, x) in x.values.iter_mut().enumerate() {
                *x = chain.level(times[i / PIXELS]).mix(*x, noise.values[i]);
            }
            let mut believed = data.clone();
            believed.values.iter_mut().zip(&error.values).for_each(|(b, e)| *b = (*b + e).clamp(-1.0, 1.0));
            [data, x, believed]
        }

        #[test]
        fn what_is_trained_on_is_the_term_of_the_bound() {
            let compute = now(open(DeviceChoice::Cpu)).expect("this build has the CPU device");
            let form =
                VarianceForm { dimension: PIXELS, width: 8, depth: 2, preconditioning: Preconditioning { data: DATA } };
            let net = VarianceNet::new(form, &compute, 1, 1);
            for length in [10, 1000] {
                let chain = Chain::new(&ChainTable::Linear.betas(STEPS).strided(&even_subset(STEPS, length)));
                for t in [1, 2, length / 2, length] {
                    let times = [t; 3];
                    let [data, x, believed] = batch(&chain, &times);
                    let made = variance_batch(&chain, &times, &data, &x, &believed);
                    let terms = Terms { moments: &made.moments, widths: &made.widths };
                    let (loss, _) = net.gradient(&made.seen, &made.sigmas, terms);
                    let loss = f64::from(now(loss.read()).expect("a loss")[0]);
                    let outputs = now(net.outputs(&made.seen, &made.sigmas)).expect("outputs");
                    let outputs: Vec<f64> = outputs.into_iter().map(f64::from).collect();
                    let posterior = chain.posterior(t);
                    let exact: f64 = (0..3)
                        .map(|row| {
                            let part = row * PIXELS..(row + 1) * PIXELS;
                            let [data, believed] = [&data, &believed].map(|rows| &rows.values[part.clone()]);
                            learned_step_divergence(data, believed, &outputs[part], posterior)
                        })
                        .sum();
                    // As a Gaussian around the mean the first step lacks the true variance's share.
                    let own = |v: &f64| {
                        let width = (posterior.forward / posterior.variance).ln();
                        if t == 1 { 0.5 * (-0.5 * (v + 1.0) * width).exp() } else { 0.0 }
                    };
                    let exact = (exact - outputs.iter().map(own).sum::<f64>()) / 3.0;
                    assert!((loss - exact).abs() < 1e-4 * exact.abs().max(1.0), "{length} {t}: {loss} {exact}");
                }
            }
        }
    }
}
