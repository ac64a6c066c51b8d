//! Section 4-4-2: the code that the probability flow gives a point, and whether two networks that never met agree on it.

use super::settings::settings;
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        fit_steps: usize = 2500, 10..=20_000;
        fit_width: usize = 64, 8..=256;
        other_width: usize = 96, 8..=256;
        other_seed: usize = 1, 0..=100;
        points_judged: usize = 500, 100..=2000;
    }
}

/// Half the side of the window of standardised data, and of codes.
const HALF: f64 = 2.4;
const CODES: f64 = 3.5;
/// Points by the mode they belong to.
const MODES: &[Layer] = &[
    Layer::new("mode-1", Mark::Dots, 0),
    Layer::new("mode-2", Mark::Dots, 1),
    Layer::new("mode-3", Mark::Dots, 2),
    Layer::new("mode-4", Mark::Dots, 3),
    Layer::new("mode-5", Mark::Dots, 4),
    Layer::new("mode-6", Mark::Dots, 5),
];
/// What agrees with what.
const AGREED: &[&str] = &["codes-diffusion", "codes-exact", "codes-vae", "codes-vae-turned", "outputs-gan"];

/// The table.
pub const STUDY: Study = Study {
    id: "codes",
    chapter: 4,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("data", HALF, MODES),
        Figure::plane("code-a", CODES, MODES),
        Figure::plane("code-b", CODES, MODES),
        Figure::plane("vae-a", CODES, MODES),
        Figure::plane("vae-b", CODES, MODES),
        Figure::plane("gan-a", HALF, MODES),
        Figure::plane("gan-b", HALF, MODES),
        Figure::curves(
            "agreement",
            Axis::of("compared", AGREED),
            Axis::free("r-squared"),
            &[Layer::new("r-squared", Mark::Bars, 2)],
        ),
        Figure::curves(
            "back",
            Axis::log("solver-steps"),
            Axis::log("there-and-back"),
            &[Layer::new("first-network", Mark::Line, 1), Layer::new("other-network", Mark::Line, 2)],
        ),
    ],
    claims: &[
        Claim { key: "diffusion", source: Source::Report("4-4-2, 5-1-3, [16]") },
        Claim { key: "vae", source: Source::Report("5-1-3") },
        Claim { key: "gan", source: Source::Report("5-1-3") },
        Claim { key: "invertible", source: Source::Report("4-4-2") },
    ],
    notes: &["measure", "chance", "enough", "network"],
    brief: "fit-steps=800",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{AGREED, MODES, Settings};
    use crate::data::metrics::bootstrap;
    use crate::data::{Exact, Mixture};
    use crate::diffusion::solver::Churn;
    use crate::diffusion::{Level, Sampler, Solver, Spacing, State as _};
    use crate::nn::adversarial::Aim;
    use crate::nn::autoencoder::AutoencoderForm;
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{fresh_noise, walk};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::generative::{AutoencoderFit, AutoencoderPlan, Game, GamePlan};
    use crate::study::network::{Fit, Learned, LevelNet, Size};
    use crate::study::procrustes::turned;
    use crate::study::rows::{ExactRows, RowDenoiser, Rows};
    use crate::study::settings::{PlaneModes, Sde};
    use crate::study::tools::{at_most, flat, mean_error, points, squares};

    /// Steps of the flow in the chart of the way there and back; codes are those of the most.
    const COUNTS: [usize; 4] = [8, 15, 30, 60];
    const STEPS: usize = COUNTS[COUNTS.len() - 1];
    const ROUNDS: u32 = 40;
    /// From here on two networks agree: at random, autoencoders are turned against one another by less in one of twenty pairs.
    const AGREE: f64 = 0.9;
    /// Steps of the training of an autoencoder and of a game for each of a diffusion's.
    const VAE_SHARE: f64 = 1.0;
    const GAN_SHARE: f64 = 0.8;

    struct Study<'a> {
        context: &'a StudyContext,
        settings: &'a Settings,
        mixture: Mixture,
        labels: Vec<usize>,
        data: Vec<[f64; 2]>,
        bars: Vec<f64>,
        done: usize,
        all: usize,
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = PlaneModes::Eight.mixture();
        let drawn = mixture.draw_labelled(&mut context.rng(Stream::Data, 0), settings.points_judged);
        let (labels, data): (Vec<usize>, Vec<[f64; 2]>) = drawn.into_iter().unzip();
        let steps = settings.fit_steps;
        // Codes of two networks and the exact ones, and the ways back and forth of the chart.
        let walks = 3 * STEPS + 2 * COUNTS.iter().map(|count| 2 * count).sum::<usize>();
        let all = 2 * (steps + share(steps, VAE_SHARE) + share(steps, GAN_SHARE)) + walks;
        let mut study =
            Study { context: &context, settings: &settings, mixture, labels, data, bars: Vec::new(), done: 0, all };
        study.draw_by_mode("data", &study.data);
        study.diffusion().await?;
        study.autoencoders().await?;
        study.games().await
    }

    fn share(steps: usize, share: f64) -> usize {
        ((steps as f64 * share).round() as usize).max(1)
    }

    /// Of two that are compared: where its random numbers come from, whether it is the other, and its width.
    type One = (StudyContext, usize);

    impl Study<'_> {
        fn tick(&mut self) {
            self.done += 1;
            self.context.progress(self.done, self.all);
        }

        /// The two that are compared: they share nothing but the data's distribution.
        fn both(&self) -> [One; 2] {
            let other = self.context.seed().wrapping_add(self.settings.other_seed as u32);
            [
                (self.context.clone(), self.settings.fit_width),
                (self.context.with_seed(other), self.settings.other_width),
            ]
        }

        /// Points in the colours of the modes that the data came from.
        fn draw_by_mode(&self, figure: &str, points: &[[f64; 2]]) {
            for (colour, layer) in MODES.iter().enumerate() {
                let of = points.iter().zip(&self.labels).filter(|(_, label)| *label % MODES.len() == colour);
                self.context.draw(figure, layer.key, of.flat_map(|(x, _)| *x));
            }
        }

        /// How much of the first cloud the second tells point by point, as a bar in this place.
        fn agreement(&mut self, place: usize, a: &[[f64; 2]], b: &[[f64; 2]]) -> (f64, f64) {
            let pairs: Vec<[[f64; 2]; 2]> = a.iter().zip(b).map(|(a, b)| [*a, *b]).collect();
            let found = (determination(&pairs), bootstrap(&pairs, ROUNDS, self.context.seed(), determination));
            debug_assert!(place < AGREED.len());
            self.bars.extend([place as f64, found.0, found.1]);
            self.context.draw("agreement", "r-squared", self.bars.iter().copied());
            found
        }

        /// Follows the flow along these levels.
        async fn follow(
            &mut self,
            from: Rows,
            levels: Vec<Level>,
            model: &mut dyn RowDenoiser,
        ) -> Result<Rows, StudyError> {
            let (context, solver) = (self.context, Solver::EdmHeun(Churn::everywhere(0.0)));
            let sampler = Sampler::new(solver, Sde::Vp.schedule(), levels, from);
            let mut look = |_: &Sampler<Rows>| self.tick();
            walk(context, sampler, model, &mut fresh_noise(context), &mut look).await
        }

        /// The codes of the data: where the flow takes them, in so many steps.
        async fn encode(&mut self, steps: usize, model: &mut dyn RowDenoiser) -> Result<Rows, StudyError> {
            let levels = Sde::Vp.schedule().encoding_grid(Spacing::LogSnr, steps);
            let from = Rows::from_points(&self.data).scale(levels[0].alpha);
            self.follow(from, levels, model).await
        }

        /// The codes so far of a network in training, by an own walk that does not count.
        async fn glance(&mut self, figure: &str, net: &LevelNet) -> Result<(), StudyError> {
            let context = self.context;
            let done = self.done;
            let codes = self.encode(COUNTS[0], &mut Learned::new(context, net)).await?;
            self.done = done;
            self.draw_by_mode(figure, &codes.points());
            Ok(())
        }

        async fn diffusion(&mut self) -> Result<(), StudyError> {
            let context = self.context;
            let (steps, mut nets) = (self.settings.fit_steps, Vec::new());
            // The first is deeper, the other wider.
            for (((at, width), depth), figure) in self.both().into_iter().zip([3, 2]).zip(["code-a", "code-b"]) {
                let mut net = LevelNet::new(&at, Size { dimension: 2, width, depth, data: 1.0 }, 0);
                let fit = Fit { steps, batch: 256, rate: 4e-3, sigmas: [0.01, 160.0] };
                let mixture = self.mixture.clone();
                for step in 0..steps {
                    if step.is_multiple_of(steps.div_ceil(16)) {
                        self.glance(figure, &net).await?;
                    }
                    fit.step(&at, &mut net, |rng, count| flat(&mixture.draw(rng, count)), step).await?;
                    self.tick();
                }
                let codes = self.encode(STEPS, &mut Learned::new(context, &net)).await?.points();
                self.draw_by_mode(figure, &codes);
                nets.push((net, codes));
            }
            let (value, error) = self.agreement(0, &nets[0].1.clone(), &nets[1].1.clone());
            context.conclude("diffusion", value, error, [AGREE, f64::INFINITY]);
            let mixture = self.mixture.clone();
            let exact = self.encode(STEPS, &mut ExactRows(Exact::new(&mixture))).await?.points();
            self.agreement(1, &nets[0].1.clone(), &exact);
            self.there_and_back([&nets[0].0, &nets[1].0]).await
        }

        /// The way there and back in fewer and more steps.
        async fn there_and_back(&mut self, nets: [&LevelNet; 2]) -> Result<(), StudyError> {
            let context = self.context;
            for (place, (net, layer)) in nets.into_iter().zip(["first-network", "other-network"]).enumerate() {
                let mut curve = Vec::new();
                for steps in COUNTS {
                    let mut model = Learned::new(context, net);
                    let codes = self.encode(steps, &mut model).await?;
                    let mut levels = Sde::Vp.schedule().encoding_grid(Spacing::LogSnr, steps);
                    let scale = 1.0 / levels[0].alpha;
                    levels.reverse();
                    let back = self.follow(codes, levels, &mut model).await?.scale(scale).points();
                    // Of each of the two numbers.
                    let away: Vec<f64> = squares(&back, &self.data).into_iter().map(|square| 0.5 * square).collect();
                    let (square, error) = mean_error(&away);
                    let rms = square.sqrt();
                    curve.extend([steps as f64, rms]);
                    context.draw("back", layer, curve.iter().copied());
                    if (place, steps) == (0, STEPS) {
                        context.conclude("invertible", rms, 0.5 * error / rms.max(1e-12), at_most(0.02));
                    }
                }
            }
            Ok(())
        }

        async fn autoencoders(&mut self) -> Result<(), StudyError> {
            let (steps, mut codes) = (share(self.settings.fit_steps, VAE_SHARE), Vec::new());
            for ((at, width), figure) in self.both().into_iter().zip(["vae-a", "vae-b"]) {
                let form = AutoencoderForm { dimension: 2, latent: 2, width, depth: 2 };
                let (rate, divergence_weight, noise_learned) = (2e-3, 1.0, true);
                let plan = AutoencoderPlan { form, steps, batch: 128, rate, divergence_weight, noise_learned };
                let mut fit = AutoencoderFit::new(&at, plan, 1);
                let mixture = self.mixture.clone();
                for step in 0..=steps {
                    let last = step == steps;
                    if last || self.context.due() {
                        let encoded = fit.net.encode(&flat(&self.data)).await?;
                        let latents: Vec<[f64; 2]> = points(&fit.net.latents(&encoded, None));
                        self.draw_by_mode(figure, &latents);
                        if last {
                            codes.push(latents);
                            break;
                        }
                    }
                    fit.step(&at, step, &|rng: &mut Rng, count| flat(&mixture.draw(rng, count))).await?;
                    self.tick();
                }
            }
            let (value, error) = self.agreement(2, &codes[0], &codes[1]);
            self.context.conclude("vae", value, error, at_most(AGREE));
            let turned = turned(&codes[1], &codes[0]);
            self.agreement(3, &codes[0], &turned);
            Ok(())
        }

        /// What two games make of the same latents, which are coloured by their direction as the data are.
        async fn games(&mut self) -> Result<(), StudyError> {
            let (steps, mut outputs) = (share(self.settings.fit_steps, GAN_SHARE), Vec::new());
            let latents = self.context.rng(Stream::Prior, 0).normal_points(self.data.len());
            self.labels = latents.iter().map(|z| sector(*z)).collect();
            for ((at, width), figure) in self.both().into_iter().zip(["gan-a", "gan-b"]) {
                let (batch, rate, aim, noise) = (128, 1e-3, Aim::NonSaturating, None);
                let plan = GamePlan { latent: 2, width, depth: 2, batch, rate, aim, noise };
                let mut game = Game::new(&at, plan, 1);
                let mixture = self.mixture.clone();
                for step in 0..=steps {
                    let last = step == steps;
                    if last || self.context.due() {
                        let samples = game.outputs(&flat(&latents)).await?;
                        self.draw_by_mode(figure, &samples);
                        if last {
                            outputs.push(samples);
                            break;
                        }
                    }
                    game.step(&at, step, &|rng: &mut Rng, count| flat(&mixture.draw(rng, count))).await?;
                    self.tick();
                }
            }
            let (value, error) = self.agreement(4, &outputs[0], &outputs[1]);
            self.context.conclude("gan", value, error, at_most(AGREE));
            Ok(())
        }
    }

    /// The eighth of the plane that a point is in.
    fn sector([x, y]: [f64; 2]) -> usize {
        let turn = y.atan2(x) / std::f64::consts::TAU;
        ((8.0 * (turn + 0.5)) as usize).min(7)
    }

    /// The coefficient of determination of first points by the second of the pairs: `1 - |a - b|^2 / |a - mean a|^2`.
    fn determination(pairs: &[[[f64; 2]; 2]]) -> f64 {
        let count = pairs.len().max(1) as f64;
        let mean: [f64; 2] = core::array::from_fn(|axis| pairs.iter().map(|pair| pair[0][axis]).sum::<f64>() / count);
        let square = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
        let apart: f64 = pairs.iter().map(|[a, b]| square(*a, *b)).sum();
        1.0 - apart / pairs.iter().map(|pair| square(pair[0], mean)).sum::<f64>()
    }
}
