//! Equations 3-6 to 3-14 and 3-17: the variational bound of a chain, step by step, for a network of digits trained on the
//! bound itself and for one trained on `L_simple`.

use super::settings::{ChainTable, ChainVariance, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        chain_table: ChainTable = ChainTable::Linear;
        chain_variance: ChainVariance = ChainVariance::Large;
        fit_steps: usize = 2000, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 128, 8..=256;
        terms_shown: usize = 120, 20..=1000;
        sample_count: usize = 1500, 100..=2000;
    }
}

const HO: Source = Source::Paper("DDPM, Ho et al. 2020, arXiv 2006.11239");

/// The table.
pub const STUDY: Study = Study {
    id: "bound",
    chapter: 3,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves(
            "terms",
            Axis::log("step-of-chain"),
            Axis::log("bits-of-term"),
            &[
                Layer::new("trained-simple", Mark::Line, 1),
                Layer::new("trained-bound", Mark::Line, 2),
                Layer::new("end-terms", Mark::Dots, 0),
            ],
        ),
        Figure::curves(
            "cumulative",
            Axis::fixed("chain-share", 0.0, 1.0),
            Axis::fixed("bound-share", 0.0, 1.0),
            &[Layer::new("trained-simple", Mark::Line, 1), Layer::new("trained-bound", Mark::Line, 2)],
        ),
        Figure::curves(
            "errors",
            Axis::log("step-of-chain"),
            Axis::log("noise-error"),
            &[
                Layer::new("trained-simple", Mark::Line, 1),
                Layer::new("trained-bound", Mark::Line, 2),
                Layer::new("bound-weight", Mark::Dashed, 0),
            ],
        ),
        Figure::pictures("samples", Axis::free(""), Axis::free("")),
        Figure::curves(
            "bits",
            Axis::of("", &["simple-small", "simple-large", "bound-small", "bound-large"]),
            Axis::free("bits-per-dimension"),
            &[
                Layer::new("bits-held-out", Mark::Bars, 1),
                Layer::new("uniform-greys", Mark::Dashed, 0),
                Layer::new("independent-pixels", Mark::Dashed, 3),
            ],
        ),
    ],
    claims: &[
        Claim { key: "early", source: Source::Report("3-5-1") },
        Claim { key: "quality", source: Source::Report("3-4") },
        Claim { key: "bits", source: HO },
        Claim { key: "likelihood", source: Source::Report("3-5") },
        Claim { key: "score", source: Source::Report("3-3") },
    ],
    notes: &["greys", "training", "misprints"],
    brief: "fit-steps=1000&terms-shown=60",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::Settings;
    use crate::data::digits::{GREYS, PIXELS, independent_pixel_bits};
    use crate::data::metrics::gaussian::precision_recall;
    use crate::diffusion::likelihood::Bound;
    use crate::diffusion::objective::{LossMemory, low_discrepancy_times};
    use crate::diffusion::schedule::Betas;
    use crate::diffusion::schedule::spacing::even_subset;
    use crate::diffusion::solver::Variance;
    use crate::diffusion::{Denoiser as _, Level, Sampler, Schedule, Solver};
    use crate::rng::Stream;
    use crate::study::chain::{fresh_noise, start, walk, walk_back};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Learned, LevelNet, Size};
    use crate::study::pictures::{DATA, Split, digit_grid, square};
    use crate::study::rows::Rows;
    use crate::study::terms::{Chain, Shown};
    use crate::study::tools::{cosine, difference, mean_error, share_error, waits};

    /// Steps of the chain.
    const STEPS: usize = 1000;
    /// Neighbouring steps whose losses are remembered together, and how many such groups there are.
    const TOGETHER: usize = 20;
    const GROUPS: usize = STEPS / TOGETHER;
    /// Points of a training step whose losses are remembered.
    const NOTED: usize = 32;
    /// Steps of a walk back.
    const WALK: usize = 60;
    /// The first steps, as a share of the chain.
    const EARLY: f64 = 0.05;
    /// Digits along a side of the picture of samples.
    const ACROSS: usize = 10;
    /// A digit's neighbourhood reaches to so many others.
    const NEIGHBOURS: usize = 5;
    /// The names of the networks among the layers.
    const NAMES: [&str; 2] = ["trained-simple", "trained-bound"];
    /// The fixed variances, in the order of the bars.
    const VARIANCES: [Variance; 2] = [Variance::Small, Variance::Large];

    /// The places from 0 to below `count`, in an order that soon has some of everywhere: every eighth, then those after.
    fn scattered(index: usize, count: usize) -> usize {
        let columns = count.div_ceil(8);
        (index % columns * 8 + index / columns % 8).min(count - 1)
    }

    /// What every part of the run needs.
    struct Run {
        context: StudyContext,
        settings: Settings,
        split: Split,
        betas: Betas,
        chain: Chain,
        shown: Shown,
        held_out: Rows,
        /// The bound's term of the chain's end for every digit, in nats.
        prior: Vec<f64>,
        /// The bound's weight of the squared error of the noise, in nats, by the step before.
        weights: Vec<f64>,
    }

    /// What one network costs at the steps that are shown, as far as it is known.
    type Terms = Vec<Option<Term>>;

    /// What one network costs at a step.
    struct Term {
        /// The bound's term for every digit, in nats, with each of [`VARIANCES`].
        nats: [Vec<f64>; 2],
        /// Mean square error of the noise, a pixel.
        error: f64,
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let split = Split::read(&context).await?;
        let betas = settings.chain_table.betas(STEPS);
        let chain = Chain::new(&betas);
        let shown = Shown::new(STEPS, settings.terms_shown);
        let held_out = split.held_out();
        let prior = chain.prior_terms(&held_out).await;
        let variance = settings.chain_variance.into();
        let weights = (1..=STEPS).map(|t| noise_weight(&chain, t, variance)).collect();
        let run = Run { context, settings, split, betas, chain, shown, held_out, prior, weights };
        run.draw_known();
        let nets = run.train().await?;
        run.compare_gradients(&nets[0]).await?;
        let mut terms = [(); 2].map(|()| run.unknown());
        for place in 0..run.shown.steps.len() {
            run.progress(run.settings.fit_steps + place / 2);
            run.measure(&nets, &mut terms, place).await?;
            if run.context.due() {
                run.draw_terms(&terms);
            }
        }
        run.draw_terms(&terms);
        run.judge_bits(terms);
        run.sample(&nets).await
    }

    /// The bound's weight of the squared error of the noise, in nats: with the data estimate off by `d`, a term is
    /// `(c d)^2 / (2 V)` and what no network changes, and an error of the noise is `alpha / sigma` times one of the data.
    /// The first step decodes, with noise so far below the distance of grey values that an error of the noise costs
    /// nothing.
    fn noise_weight(chain: &Chain, t: usize, variance: Variance) -> f64 {
        if t == 1 {
            return 0.0;
        }
        (chain.posterior(t).data * chain.level(t).ratio()).powi(2) / (2.0 * chain.fixed_variance(t, variance))
    }

    impl Run {
        fn all(&self) -> usize {
            self.settings.fit_steps + self.shown.steps.len() / 2 + 2 * WALK
        }

        fn progress(&self, step: usize) {
            self.context.progress(step, self.all());
        }

        fn unknown(&self) -> Terms {
            self.shown.steps.iter().map(|_| None).collect()
        }

        /// What needs no network.
        fn draw_known(&self) {
            let weights = self.shown.steps.iter().filter(|t| **t > 1);
            let weights = weights.map(|&t| (t, Bound::bits_per_dimension(self.weights[t - 1], 1)));
            self.context.draw("errors", "bound-weight", weights.flat_map(|(t, weight)| [t as f64, weight]));
            let across = |value: f64| [-0.5, value, 3.5, value];
            self.context.draw("bits", "uniform-greys", across((GREYS as f64).log2()));
            let (independent, _) = mean_error(&independent_pixel_bits(self.split.seen(), &self.held_out.to_f32()));
            self.context.draw("bits", "independent-pixels", across(independent));
        }

        /// Two networks with the same start, digits and noise: one at steps drawn evenly and with equal weights, one with
        /// the bound's weights at steps drawn by the size of their losses (Nichol and Dhariwal 2021, section 3.3).
        async fn train(&self) -> Result<[LevelNet; 2], StudyError> {
            let Settings { fit_steps: steps, fit_batch: batch, fit_rate, fit_width: width, .. } = self.settings;
            let size = Size { dimension: PIXELS, width, depth: 2, data: DATA };
            let mut nets = [(); 2].map(|()| LevelNet::new(&self.context, size, 0));
            let mut memory = LossMemory::new(GROUPS);
            let (mut terms, mut frame) = ([(); 2].map(|()| self.unknown()), 0);
            let apart = (batch / NOTED).max(1);
            for step in 0..steps {
                self.progress(step);
                self.context.yield_now().await;
                let mut rng = self.context.rng(Stream::Batch, step as u32);
                let data = self.split.batch(&mut rng, batch);
                let noise = rng.normals(data.len());
                let rate = fit_rate * cosine(step, steps);
                let mut times = self.context.rng(Stream::Times, step as u32);
                let ratio = |t: usize| self.chain.level(t).ratio();

                let even = self.chain.even_steps(batch, &mut times);
                nets[0].train(&data, &noise, |i| ratio(even[i]), |_| 1.0, rate);
                self.context.yield_now().await;

                let us = low_discrepancy_times(batch, times.uniform());
                let mut draw = |u: f64| {
                    let (group, unbiased) = memory.draw(u);
                    let t = 1 + group * TOGETHER + times.below(TOGETHER as u32) as usize;
                    (t, unbiased * self.weights[t - 1])
                };
                let drawn: Vec<(usize, f64)> = us.map(&mut draw).collect();
                // Of all parts of the batch alike: its steps rise.
                let noted = (0..batch).skip(step % apart).step_by(apart);
                self.note(&nets[1], &mut memory, [&data, &noise], noted.map(|i| (i, drawn[i].0)).collect()).await?;
                nets[1].train(&data, &noise, |i| ratio(drawn[i].0), |i| drawn[i].1, rate);
                if waits(step) {
                    nets[0].wait().await?;
                    nets[1].wait().await?;
                }
                if self.context.due() {
                    // Some steps of the chain a frame, so that frames stay quick.
                    for _ in 0..2 {
                        self.measure(&nets, &mut terms, scattered(frame, self.shown.steps.len())).await?;
                        frame += 1;
                    }
                    self.draw_terms(&terms);
                }
            }
            nets[0].wait().await?;
            nets[1].wait().await?;
            Ok(nets)
        }

        /// Remembers the losses of some points of a batch, given by their places and steps.
        async fn note(
            &self,
            net: &LevelNet,
            memory: &mut LossMemory,
            [data, noise]: [&[f32]; 2],
            noted: Vec<(usize, usize)>,
        ) -> Result<(), StudyError> {
            let level = |row: usize| self.chain.level(noted[row].1);
            let rows = |of: &[f32]| -> Vec<f64> {
                let rows = noted.iter().flat_map(|(i, _)| &of[i * PIXELS..(i + 1) * PIXELS]);
                rows.map(|v| f64::from(*v)).collect()
            };
            let (data, noise) = (rows(data), rows(noise));
            let mixed = data.iter().zip(&noise).enumerate().map(|(place, (x, z))| level(place / PIXELS).mix(*x, *z));
            let x = Rows { dimension: PIXELS, values: mixed.collect() };
            let believed = net.estimate(&x, level, false).await?.noise;
            let pairs = believed.values.chunks_exact(PIXELS).zip(noise.chunks_exact(PIXELS));
            for ((believed, noise), (_, t)) in pairs.zip(&noted) {
                let square: f64 = believed.iter().zip(noise).map(|(a, b)| (a - b).powi(2)).sum();
                memory.note((t - 1) / TOGETHER, self.weights[t - 1] * square);
            }
            Ok(())
        }

        /// How far apart two gradients of the same batch are: of the squared error of the noise, and of denoising score
        /// matching.
        async fn compare_gradients(&self, net: &LevelNet) -> Result<(), StudyError> {
            let batch = self.settings.fit_batch;
            let mut rng = self.context.rng(Stream::Batch, self.settings.fit_steps as u32);
            let data = self.split.batch(&mut rng, batch);
            let noise = rng.normals(data.len());
            let level = |_| self.chain.level(1 + rng.below(STEPS as u32) as usize);
            let levels: Vec<Level> = (0..batch).map(level).collect();
            let [of_noise, of_score] = net.gradients(&data, &noise, &levels).await?;
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
            let pairs = of_noise.iter().zip(&of_score);
            let apart = norm(&mut pairs.map(|(a, b)| f64::from(a - b)));
            let size = norm(&mut of_noise.iter().map(|v| f64::from(*v)));
            self.context.conclude("score", apart / size, 0.0, [0.0, 1e-5]);
            Ok(())
        }

        /// What a step costs both networks, with the same noise.
        async fn measure(&self, nets: &[LevelNet; 2], terms: &mut [Terms; 2], place: usize) -> Result<(), StudyError> {
            let t = self.shown.steps[place];
            let level = self.chain.level(t);
            let noise = self.context.rng(Stream::Noise, t as u32).normals(self.held_out.values.len());
            let noise = Rows::from_f32(PIXELS, &noise);
            let x = level.mix(self.held_out.clone(), noise.clone());
            for (net, terms) in nets.iter().zip(terms) {
                let estimate = Learned::new(&self.context, net).clipped(1.0).estimate(&x, level).await?;
                let squares = estimate.noise.values.iter().zip(&noise.values).map(|(a, b)| (a - b).powi(2));
                let error = squares.sum::<f64>() / noise.values.len() as f64;
                let [small, large] = VARIANCES.map(|variance| self.chain.terms(t, &self.held_out, &estimate, variance));
                terms[place] = Some(Term { nats: [small.await, large.await], error });
            }
            Ok(())
        }

        /// The place of the chosen variance among [`VARIANCES`].
        fn chosen(&self) -> usize {
            let chosen = Variance::from(self.settings.chain_variance);
            VARIANCES.iter().position(|variance| *variance == chosen).unwrap_or(0)
        }

        fn draw_terms(&self, terms: &[Terms; 2]) {
            let bits = |nats: &[f64]| Bound::bits_per_dimension(mean_error(nats).0, PIXELS);
            let steps = &self.shown.steps;
            for (name, terms) in NAMES.into_iter().zip(terms) {
                let known = || steps.iter().zip(terms).filter_map(|(&t, term)| Some((t, term.as_ref()?)));
                let term = |(t, term): (usize, &Term)| [t as f64, bits(&term.nats[self.chosen()])];
                self.context.draw("terms", name, known().filter(|(t, _)| *t > 1).flat_map(term));
                self.context.draw("errors", name, known().flat_map(|(t, term)| [t as f64, term.error]));
            }
            let first = terms.iter().filter_map(|terms| terms.first()?.as_ref());
            let first = first.flat_map(|term| [1.0, bits(&term.nats[self.chosen()])]);
            let last = [STEPS as f64, bits(&self.prior)];
            self.context.draw("terms", "end-terms", first.chain(last));
        }

        /// The sums of the terms, and what they say.
        fn judge_bits(&self, terms: [Terms; 2]) {
            let bits = |nats: f64| Bound::bits_per_dimension(nats, PIXELS);
            let lists = |which: usize, variance: usize| -> Vec<&[f64]> {
                terms[which].iter().flatten().map(|term| term.nats[variance].as_slice()).collect()
            };
            let total = |which: usize, variance: usize| -> Vec<f64> {
                let sums = self.shown.sums(STEPS, &lists(which, variance));
                sums.iter().zip(&self.prior).map(|(sum, prior)| bits(sum + prior)).collect()
            };
            let bars = (0..4).map(|bar| (bar, mean_error(&total(bar / 2, bar % 2))));
            self.context.draw("bits", "bits-held-out", bars.flat_map(|(bar, (mean, error))| [bar as f64, mean, error]));

            let chosen = self.chosen();
            let totals = [0, 1].map(|which| total(which, chosen));
            for (which, name) in NAMES.into_iter().enumerate() {
                let lists = lists(which, chosen);
                let (whole, _) = mean_error(&totals[which]);
                let share = |&t: &usize| {
                    let (sum, _) = mean_error(&self.shown.sums(t, &lists));
                    [t as f64 / STEPS as f64, bits(sum) / whole]
                };
                self.context.draw(
                    "cumulative",
                    name,
                    [0.0, 0.0].into_iter().chain(self.shown.steps.iter().flat_map(share)),
                );
            }

            let early = self.shown.sums((EARLY * STEPS as f64) as usize, &lists(0, chosen));
            let early: Vec<f64> = early.into_iter().map(bits).collect();
            let (whole, _) = mean_error(&totals[0]);
            let share = mean_error(&early).0 / whole;
            // The error of a ratio: that of the mean of what the digits' numbers differ by.
            let apart: Vec<f64> = early.iter().zip(&totals[0]).map(|(e, all)| (e - share * all) / whole).collect();
            self.context.conclude("early", share, mean_error(&apart).1, [0.5, 1.0]);

            let paired = |other: &[f64]| -> (f64, f64) {
                mean_error(&totals[0].iter().zip(other).map(|(a, b)| a - b).collect::<Vec<_>>())
            };
            let (gain, error) = paired(&totals[1]);
            self.context.conclude("bits", gain, error, [0.0, f64::INFINITY]);
            let (gap, error) = paired(&independent_pixel_bits(self.split.seen(), &self.held_out.to_f32()));
            self.context.conclude("likelihood", gap, error, [0.5, f64::INFINITY]);
        }

        /// Samples of both, from the same noise with the same fresh noise, and their precision.
        async fn sample(&self, nets: &[LevelNet; 2]) -> Result<(), StudyError> {
            let grid = walk_back(&self.betas, &even_subset(STEPS, WALK));
            let schedule = Schedule::table(self.betas.clone());
            let solver = Solver::Ddpm(self.settings.chain_variance.into());
            let count = self.settings.sample_count;
            let mut shown = [const { Vec::new() }; 2];
            let mut precisions = Vec::new();
            for (which, net) in nets.iter().enumerate() {
                let begun = self.all() - (2 - which) * WALK;
                let sampler =
                    Sampler::new(solver, schedule.clone(), grid.clone(), start(&self.context, PIXELS, count, 0));
                let mut step = 0;
                let mut look = |sampler: &Sampler<Rows>| {
                    step += 1;
                    self.progress(begun + step);
                    if self.context.due() || sampler.is_finished() {
                        shown[which] = sampler.x().values.iter().take(ACROSS * ACROSS / 2 * PIXELS).copied().collect();
                        self.draw_samples(&shown);
                    }
                };
                let mut model = Learned::new(&self.context, net).clipped(1.0);
                let mut noise = fresh_noise(&self.context);
                let samples = walk(&self.context, sampler, &mut model, &mut noise, &mut look).await?;
                let found = precision_recall(&samples.to_f32(), self.split.seen(), PIXELS, NEIGHBOURS);
                precisions.push(found.map_or(f64::NAN, |(precision, _)| precision));
            }
            let [simple, bound] = [0, 1].map(|net| (precisions[net], share_error(precisions[net], count)));
            let (gain, error) = difference(simple, bound);
            self.context.conclude("quality", gain, error, [0.0, f64::INFINITY]);
            Ok(())
        }

        /// The upper half of the first network, the lower of the second.
        fn draw_samples(&self, shown: &[Vec<f64>; 2]) {
            let shown = shown.each_ref().map(|values| values.iter().map(|v| *v as f32).collect::<Vec<f32>>());
            let half = ACROSS / 2;
            let digit = |column: usize, row: usize| {
                let which = usize::from(row < half);
                shown[which].chunks_exact(PIXELS).nth(row % half * ACROSS + column)
            };
            self.context.draw("samples", "grey", digit_grid([ACROSS; 2], square(ACROSS), digit));
        }
    }
}
