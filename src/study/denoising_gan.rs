//! Section 5-1-2: denoising adversarial networks, which walk back in a few large steps that are not Gaussian.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        big_steps: usize = 4, 1..=8;
        latent_size: usize = 2, 1..=64;
        fit_steps: usize = 1800, 30..=20_000;
        fit_width: usize = 64, 8..=256;
        hidden_layers: usize = 3, 1..=4;
        fit_rate: f64 = 2e-3, 1e-4..=0.05, log;
        fit_batch: usize = 128, 16..=2048;
    }
}

const GAUSSIANS: Source = Source::Paper("Denoising Diffusion GANs, Xiao et al. 2022, arXiv 2112.07804");

/// Rows of the picture of digits, from the bottom.
const DONE: &[&str] = &["large-steps-4", "large-steps-3", "large-steps-2", "large-steps-1", "large-steps-0"];

/// The table.
pub const STUDY: Study = Study {
    id: "denoising-gan",
    chapter: 5,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves(
            "true-step",
            Axis::free("x-before"),
            Axis::free("density"),
            &[
                Layer::new("generated-step", Mark::Band, 1),
                Layer::new("step-back", Mark::Line, 0),
                Layer::new("equal-moments", Mark::Dashed, 3),
            ],
        ),
        Figure::curves(
            "stages",
            Axis::free("large-steps-done"),
            Axis::fixed("y", -3.5, 3.5),
            &[Layer::new("true-stage", Mark::Dots, 0), Layer::new("generated-stage", Mark::Dots, 1)],
        ),
        Figure::curves(
            "quality",
            Axis::of("step-count", &["large-steps-1", "large-steps-2", "large-steps-4", "large-steps-8"]),
            Axis::fixed("share", 0.0, 1.0),
            &[
                Layer::new("near-a-mode", Mark::Bars, 1),
                Layer::new("recall", Mark::Dots, 2),
                Layer::new("mass-to-move", Mark::Dots, 3),
            ],
        ),
        Figure::curves(
            "equal",
            Axis::of("method", &["ddim", "denoising-gan", "single-gan"]),
            Axis::fixed("share", 0.0, 1.0),
            &[Layer::new("near-a-mode", Mark::Bars, 1), Layer::new("recall", Mark::Dots, 2)],
        ),
        Figure::pictures("digits", Axis::free(""), Axis::of("large-steps-done", DONE)),
        Figure::pictures("digits-drawn", Axis::free(""), Axis::free("")),
        Figure::curves(
            "digits-judged",
            Axis::of("", &["digits-held-out", "denoising-gan"]),
            Axis::fixed("share", 0.0, 1.0),
            &[Layer::new("precision", Mark::Bars, 1), Layer::new("recall", Mark::Dots, 2)],
        ),
    ],
    claims: &[
        Claim { key: "multimodal", source: Source::Report("3-1-2") },
        Claim { key: "few", source: Source::Report("5-1-2, [19]") },
        Claim { key: "covers", source: GAUSSIANS },
        Claim { key: "better-with-steps", source: GAUSSIANS },
        Claim { key: "digits-like", source: Source::Report("5-1-2, [19]") },
        Claim { key: "digits-diverse", source: Source::Report("5-1-2, [19]") },
    ],
    notes: &["pairs", "equal", "network", "digits"],
    brief: "fit-steps=2500&fit-batch=32",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::Settings;
    use crate::data::Mixture;
    use crate::data::digits::PIXELS;
    use crate::data::metrics::{modes, precision_recall};
    use crate::diffusion::schedule::spacing::even_subset;
    use crate::diffusion::{Sampler, Schedule, Solver};
    use crate::nn::adversarial::Aim;
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{fresh_noise, start, walk, walk_back};
    use crate::study::context::StudyContext;
    use crate::study::digits_chain::{judged, samples, shipped};
    use crate::study::error::StudyError;
    use crate::study::generative::{Game, GamePlan};
    use crate::study::large_steps::{Chain, ChainPlan};
    use crate::study::line::{Line, normal};
    use crate::study::network::{Fit, Learned, LevelNet, Size};
    use crate::study::pictures::{Split, digit_grid, square};
    use crate::study::settings::{ChainTable, PlaneModes};
    use crate::study::step_back::StepBack;
    use crate::study::tools::{curve, difference, flat, histogram, near, share_error, span};

    /// Numbers of large steps that are compared; one of them is the whole training's when it is chosen.
    const COMPARED: [usize; 4] = [1, 2, 4, 8];
    /// Samples that are judged, and fewer on the way; points of a stage's cloud.
    const JUDGED: usize = 4000;
    const SHOWN: usize = 300;
    /// First coordinate of the noisy points from which a step is looked at.
    const CUT: f64 = 0.2;
    const BINS: usize = 60;
    /// Digits beside each other, and those that are judged.
    const ACROSS: usize = 5;
    const DRAWN: usize = 10;
    const DIGITS_JUDGED: usize = 400;
    /// Places over which the divergence of a step from its Gaussian is averaged.
    const PLACES: usize = 41;
    /// Half the window of standardised data; what a stage's cloud is narrowed by.
    const HALF: f64 = 2.2;
    const NARROW: f64 = 0.18;

    /// The training of a chain of so many large steps.
    fn plan(settings: &Settings, steps: usize) -> ChainPlan {
        let Settings { latent_size: latent, fit_width: width, hidden_layers: depth, .. } = *settings;
        ChainPlan { dimension: 2, steps, latent, width, depth, batch: settings.fit_batch, rate: settings.fit_rate }
    }

    /// What is told of samples.
    #[derive(Clone, Copy)]
    struct Judged {
        near: (f64, f64),
        recall: (f64, f64),
        moved: f64,
    }

    impl Judged {
        fn new(samples: &[[f64; 2]], data: &[[f64; 2]], mixture: &Mixture) -> Self {
            let found = precision_recall(samples, data).unwrap_or_default();
            let moved = modes(samples, mixture).total_variation(mixture);
            Self { near: near(samples, mixture), recall: (found.recall, found.recall_error), moved }
        }
    }

    struct Study<'a> {
        context: &'a StudyContext,
        settings: &'a Settings,
        mixture: Mixture,
        data: Vec<[f64; 2]>,
        /// By the place in [`COMPARED`].
        compared: Vec<(usize, Judged)>,
        /// Steps done, and of all.
        done: usize,
        all: usize,
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = PlaneModes::Eight.mixture();
        let data = mixture.draw(&mut context.rng(Stream::Data, 0), JUDGED);
        let (steps, third) = (settings.fit_steps, settings.fit_steps / 3);
        let others = COMPARED.iter().filter(|count| **count != settings.big_steps).count();
        let all = 3 * steps + others * third;
        let mut study =
            Study { context: &context, settings: &settings, mixture, data, compared: Vec::new(), done: 0, all };
        let few = study.denoising().await?;
        let game = study.game().await?;
        study.diffusion(few, game).await?;
        study.numbers_of_steps().await?;
        digits(&context).await
    }

    /// The chain of digits that the page ships: its way from noise to digits, and how its samples are judged.
    async fn digits(context: &StudyContext) -> Result<(), StudyError> {
        let (split, chain) = (Split::read(context).await?, shipped(context).await?);
        let stages = chain.stages(context, ACROSS).await?;
        let grey: Vec<Vec<f32>> =
            stages.iter().map(|x| x.iter().map(|v| v.clamp(-1.0, 1.0) as f32).collect()).collect();
        let (rows, columns) = (grey.len(), ACROSS as f64);
        let window = [-0.5, columns - 0.5, -0.5, rows as f64 - 0.5];
        let digit = |column: usize, row: usize| grey[rows - 1 - row].chunks_exact(PIXELS).nth(column);
        context.draw("digits", "grey", digit_grid([ACROSS, rows], window, digit));
        context.yield_now().await;
        let samples = samples(context, &chain, DIGITS_JUDGED).await?;
        context.yield_now().await;
        let drawn = |column: usize, row: usize| samples.chunks_exact(PIXELS).nth(row * DRAWN + column);
        context.draw("digits-drawn", "grey", digit_grid([DRAWN; 2], square(DRAWN), drawn));
        context.yield_now().await;
        let (found, held_out) = (judged(&samples, &split), judged(&split.held_out().to_f32(), &split));
        let both = [(held_out, Split::HELD_OUT), (found, DIGITS_JUDGED)];
        let precision = both
            .iter()
            .enumerate()
            .flat_map(|(place, ((precision, _), count))| [place as f64, *precision, share_error(*precision, *count)]);
        context.draw("digits-judged", "precision", precision);
        context.draw("digits-judged", "recall", [0.0, held_out.1, 1.0, found.1]);
        for (claim, value) in [("digits-like", found.0), ("digits-diverse", found.1)] {
            context.conclude(claim, value, share_error(value, DIGITS_JUDGED), [0.5, 1.0]);
        }
        Ok(())
    }

    impl Study<'_> {
        fn tick(&mut self) {
            self.done += 1;
            self.context.progress(self.done, self.all);
        }

        async fn judge(&self, samples: &[[f64; 2]]) -> Judged {
            self.context.yield_now().await;
            Judged::new(samples, &self.data, &self.mixture)
        }

        /// Trains the chain of the chosen number of steps and tells how far its steps are from Gaussian.
        async fn denoising(&mut self) -> Result<Judged, StudyError> {
            let (context, settings) = (self.context, self.settings);
            let mut chain = Chain::new(context, plan(settings, settings.big_steps), 0);
            let divergences = (0..chain.steps()).map(|step| self.mean_divergence(&chain, step));
            let most = divergences.fold(0.0, f64::max);
            context.conclude("multimodal", most, 0.0, [0.05, f64::INFINITY]);
            self.draw_true_stages(&chain);
            for step in 0..=settings.fit_steps {
                let last = step == settings.fit_steps;
                if last || (step > 0 && context.due()) {
                    self.draw_stages(&chain).await?;
                }
                if let (true, Some(place)) =
                    (step == settings.fit_steps / 3, COMPARED.iter().position(|count| *count == settings.big_steps))
                {
                    let judged = self.judge(chain.samples(context, JUDGED).await?.as_chunks().0).await;
                    self.compare(place, judged);
                }
                if !last {
                    chain.train(context, step, &|rng, count| flat(&self.mixture.draw(rng, count))).await?;
                    self.tick();
                }
            }
            Ok(self.judge(chain.samples(context, JUDGED).await?.as_chunks().0).await)
        }

        /// The divergence, in nats, of a true step back from the Gaussian of its mean and variance, on the first axis, averaged
        /// over where it begins.
        fn mean_divergence(&self, chain: &Chain, step: usize) -> f64 {
            let (from, to) = (chain.levels[step + 1], chain.levels[step]);
            let [before, now] = [to, from].map(|level| Line::first_of(&self.mixture, level));
            let (mut sum, mut total) = (0.0, 0.0);
            for x in span(-HALF - 1.0, HALF + 1.0, PLACES) {
                let density = StepBack::new(from, to, x).marginal(&before);
                let ((mean, variance), weight) = (density.moments(), now.density(x));
                sum += weight * density.divergence(mean, variance);
                total += weight;
            }
            sum / total
        }

        fn draw_true_stages(&self, chain: &Chain) {
            let mut rng = self.context.rng(Stream::Data, 1);
            let stages = chain.levels.iter().rev().enumerate().flat_map(|(place, level)| {
                let data = self.mixture.draw(&mut rng, SHOWN);
                let cloud = data.into_iter().map(|x| level.mix(x, [rng.normal(), rng.normal()]));
                cloud.flat_map(|x| in_column(place, x)).collect::<Vec<f64>>()
            });
            self.context.draw("stages", "true-stage", stages);
            // The last step, seen from a place between the modes.
            let (from, to) = (chain.levels[1], chain.levels[0]);
            let density = StepBack::new(from, to, CUT).marginal(&Line::first_of(&self.mixture, to));
            let (mean, variance) = density.moments();
            let places = density.places().filter(|(x, _)| x.abs() < HALF).step_by(4).flat_map(|(x, p)| [x, p]);
            self.context.draw("true-step", "step-back", places);
            let gaussian = curve(span(-HALF, HALF, 200), |x| normal(x, mean, variance));
            self.context.draw("true-step", "equal-moments", gaussian);
        }

        async fn draw_stages(&self, chain: &Chain) -> Result<(), StudyError> {
            let stages = chain.stages(self.context, SHOWN).await?;
            let clouds = stages
                .iter()
                .enumerate()
                .flat_map(|(place, cloud)| cloud.as_chunks().0.iter().map(move |x| (place, *x)));
            self.context.draw("stages", "generated-stage", clouds.flat_map(|(place, x)| in_column(place, x)));
            // Noisy points of this first coordinate: their modes are as likely as they explain it, and the second coordinate
            // is that of the mode.
            let level = chain.levels[1];
            let weights = Line::first_of(&self.mixture, level);
            let shares: Vec<f64> = weights.0.iter().map(|(w, m, s)| w * normal(CUT, *m, s * s)).collect();
            let mut rng = self.context.rng(Stream::Data, 2);
            let noisy: Vec<f64> = (0..JUDGED)
                .flat_map(|_| {
                    let mut left = rng.uniform() * shares.iter().sum::<f64>();
                    let below = |share: &f64| {
                        left -= share;
                        left < 0.0
                    };
                    let mode = shares.iter().position(below).unwrap_or(0);
                    [CUT, level.alpha * self.mixture.means[mode][1] + weights.0[mode].2 * rng.normal()]
                })
                .collect();
            let before = chain.back(self.context, &noisy, 0, &mut rng).await?;
            let first: Vec<f64> = before.iter().step_by(2).copied().collect();
            self.context.draw("true-step", "generated-step", histogram(&first, [-HALF, HALF], BINS));
            Ok(())
        }

        /// A plain game with the same latent, in one step.
        async fn game(&mut self) -> Result<Judged, StudyError> {
            let Settings { latent_size: latent, fit_width: width, fit_batch: batch, fit_steps, .. } = *self.settings;
            let plan = GamePlan { latent, width, depth: 2, batch, rate: 1e-3, aim: Aim::NonSaturating, noise: None };
            let mut game = Game::new(self.context, plan, 8);
            for step in 0..fit_steps {
                game.step(self.context, step, &|rng, count| flat(&self.mixture.draw(rng, count))).await?;
                self.tick();
            }
            Ok(self.judge(&game.samples(self.context, JUDGED).await?).await)
        }

        /// DDIM with as many evaluations, and the claims on the three.
        async fn diffusion(&mut self, few: Judged, game: Judged) -> Result<(), StudyError> {
            let (context, settings) = (self.context, self.settings);
            let size = Size { dimension: 2, width: settings.fit_width, depth: 2, data: 1.0 };
            let mut net = LevelNet::new(context, size, 20);
            let fit = Fit { steps: settings.fit_steps, batch: 256, rate: 4e-3, sigmas: [0.01, 160.0] };
            let draw = |rng: &mut Rng, count: usize| flat(&self.mixture.draw(rng, count));
            let (done, all) = (self.done, self.all);
            fit.train(context, &mut net, draw, |step| context.progress(done + step, all)).await?;
            self.done += settings.fit_steps;
            let betas = ChainTable::Linear.betas(1000);
            let grid = walk_back(&betas, &even_subset(1000, settings.big_steps));
            let from = start(context, 2, JUDGED, 0);
            let sampler = Sampler::new(Solver::Ddim { eta: 0.0 }, Schedule::table(betas), grid, from);
            let mut model = Learned::new(context, &net);
            let samples = walk(context, sampler, &mut model, &mut fresh_noise(context), &mut |_| {}).await?;
            let ddim = self.judge(&samples.points()).await;
            let methods = || [ddim, few, game].into_iter().enumerate();
            let bars = methods().flat_map(|(place, judged)| [place as f64, judged.near.0, judged.near.1]);
            context.draw("equal", "near-a-mode", bars);
            context.draw("equal", "recall", methods().flat_map(|(place, judged)| [place as f64, judged.recall.0]));
            let (more, error) = difference(few.near, ddim.near);
            context.conclude("few", more, error, [0.3, f64::INFINITY]);
            let (more, error) = difference(few.recall, game.recall);
            context.conclude("covers", more, error, [0.1, f64::INFINITY]);
            Ok(())
        }

        /// Chains of other numbers of steps, all trained as long.
        async fn numbers_of_steps(&mut self) -> Result<(), StudyError> {
            for (place, count) in COMPARED.into_iter().enumerate() {
                if count == self.settings.big_steps {
                    continue;
                }
                let mut chain = Chain::new(self.context, plan(self.settings, count), 1 + place as u32);
                for step in 0..self.settings.fit_steps / 3 {
                    chain.train(self.context, step, &|rng, count| flat(&self.mixture.draw(rng, count))).await?;
                    self.tick();
                }
                let judged = self.judge(chain.samples(self.context, JUDGED).await?.as_chunks().0).await;
                self.compare(place, judged);
            }
            let of = |place: usize| self.compared.iter().find(|(at, _)| *at == place).map(|(_, judged)| judged.near);
            if let (Some(one), Some(eight)) = (of(0), of(3)) {
                let (more, error) = difference(eight, one);
                self.context.conclude("better-with-steps", more, error, [0.0, f64::INFINITY]);
            }
            Ok(())
        }

        fn compare(&mut self, place: usize, judged: Judged) {
            self.compared.push((place, judged));
            let all = || self.compared.iter().map(|(place, judged)| (*place as f64, judged));
            let near = all().flat_map(|(place, judged)| [place, judged.near.0, judged.near.1]);
            self.context.draw("quality", "near-a-mode", near);
            self.context.draw("quality", "recall", all().flat_map(|(place, judged)| [place, judged.recall.0]));
            self.context.draw("quality", "mass-to-move", all().flat_map(|(place, judged)| [place, judged.moved]));
        }
    }

    /// A point in the column of its stage.
    fn in_column(place: usize, x: [f64; 2]) -> [f64; 2] {
        [place as f64 + NARROW * x[0], x[1]]
    }
}
