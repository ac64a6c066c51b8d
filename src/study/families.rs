//! The families of generative models that chapter 5 compares, as large as one another: points of the plane in, points out.

use super::chain::{fresh_noise, start, step as walk_step, walk, walk_back};
use super::context::StudyContext;
use super::error::StudyError;
use super::generative::{AutoencoderFit, AutoencoderPlan, Draw, Game, GamePlan};
use super::large_steps::{Chain, ChainPlan};
use super::network::{Fit, Learned, LevelNet, Size};
use super::rows::Rows;
use super::settings::ChainTable;
use crate::diffusion::schedule::spacing::even_subset;
use crate::diffusion::solver::Variance;
use crate::diffusion::{Sampler, Schedule, Solver};
use crate::nn::adversarial::Aim;
use crate::nn::autoencoder::AutoencoderForm;
use crate::rng::Stream;

/// Steps of the diffusion's chain, and large steps of the denoising adversarial network's.
pub const CHAIN: usize = 1000;
pub const LARGE_STEPS: usize = 4;
/// Parameters that a family's networks have together, as nearly as their widths allow.
const PARAMETERS: usize = 17_500;
/// Hidden layers of each of two networks; one alone has one more.
const DEPTH: usize = 3;

/// A family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A variational autoencoder.
    Autoencoder,
    /// An adversarial network.
    Game,
    /// A diffusion model.
    Diffusion,
    /// A denoising adversarial network.
    Chain,
}

/// A model in training.
pub enum Model {
    /// A variational autoencoder.
    Autoencoder(Box<AutoencoderFit>),
    /// An adversarial network.
    Game(Box<Game>),
    /// A diffusion model.
    Diffusion(Box<LevelNet>, Fit),
    /// A denoising adversarial network.
    Chain(Box<Chain>),
}

/// The width of layers, in whole lanes of a processor, with which networks are nearest to the size of all.
fn width(parameters: impl Fn(usize) -> usize) -> usize {
    (8..=256).step_by(4).min_by_key(|width| parameters(*width).abs_diff(PARAMETERS)).unwrap_or(8)
}

impl Family {
    /// All, in the order in which they are trained.
    pub const ALL: [Self; 4] = [Self::Autoencoder, Self::Game, Self::Diffusion, Self::Chain];

    /// Steps of its training: about as much computation for each but the autoencoder, which gains little from more.
    pub const fn steps(self) -> usize {
        match self {
            Self::Autoencoder => 2700,
            Self::Game | Self::Chain => 2300,
            Self::Diffusion => 4500,
        }
    }

    /// The model of the run, trained in so many steps of so many points, and the number of its parameters.
    pub fn begin(self, context: &StudyContext, latent: usize, steps: usize, batch: usize) -> (Model, usize) {
        match self {
            Self::Autoencoder => {
                let form = |width| AutoencoderForm { dimension: 2, latent, width, depth: DEPTH };
                let form = form(width(|width| form(width).parameters()));
                let (rate, divergence_weight, noise_learned) = (2e-3, 1.0, true);
                let plan = AutoencoderPlan { form, steps, batch, rate, divergence_weight, noise_learned };
                (Model::Autoencoder(Box::new(AutoencoderFit::new(context, plan, 0))), form.parameters())
            }
            Self::Game => {
                let (rate, aim, noise) = (1e-3, Aim::NonSaturating, None);
                let plan = |width| GamePlan { latent, width, depth: DEPTH, batch, rate, aim, noise };
                let plan = plan(width(|width| plan(width).form().parameters()));
                (Model::Game(Box::new(Game::new(context, plan, 1))), plan.form().parameters())
            }
            Self::Diffusion => {
                let size = |width| Size { dimension: 2, width, depth: DEPTH + 1, data: 1.0 };
                let size = size(width(|width| size(width).parameters()));
                let fit = Fit { steps, batch, rate: 4e-3, sigmas: [0.01, 160.0] };
                (Model::Diffusion(Box::new(LevelNet::new(context, size, 4)), fit), size.parameters())
            }
            Self::Chain => {
                let (steps, rate) = (LARGE_STEPS, 2e-3);
                let plan = |width| ChainPlan { dimension: 2, steps, latent, width, depth: DEPTH, batch, rate };
                let plan = plan(width(|width| plan(width).form().parameters()));
                (Model::Chain(Box::new(Chain::new(context, plan, 3))), plan.form().parameters())
            }
        }
    }
}

/// A run of the chain from unit noise over so many of its steps: DDPM over all of them, DDIM over fewer.
fn sampler(context: &StudyContext, count: usize, evaluations: usize) -> Sampler<Rows> {
    let betas = ChainTable::Linear.betas(CHAIN);
    let grid = walk_back(&betas, &even_subset(CHAIN, evaluations));
    let solver = if evaluations == CHAIN { Solver::Ddpm(Variance::Small) } else { Solver::Ddim { eta: 0.0 } };
    Sampler::new(solver, Schedule::table(betas), grid, start(context, 2, count, 0))
}

impl Model {
    /// The step of training with this number.
    pub async fn step(&mut self, context: &StudyContext, step: usize, draw: Draw<'_>) -> Result<(), StudyError> {
        match self {
            Self::Autoencoder(fit) => fit.step(context, step, draw).await,
            Self::Game(game) => game.step(context, step, draw).await,
            Self::Diffusion(net, fit) => fit.step(context, net, draw, step).await,
            Self::Chain(chain) => chain.train(context, step, draw).await,
        }
    }

    /// Samples, the same noise every time; of a diffusion with so many evaluations. `look` sees them on their way there.
    pub async fn samples(
        &self,
        context: &StudyContext,
        count: usize,
        evaluations: usize,
        look: &mut dyn FnMut(&Sampler<Rows>),
    ) -> Result<Vec<[f64; 2]>, StudyError> {
        match self {
            Self::Autoencoder(fit) => fit.samples(context, count).await,
            Self::Game(game) => game.samples(context, count).await,
            Self::Diffusion(net, _) => {
                let (mut model, mut noise) = (Learned::new(context, net), fresh_noise(context));
                let sampler = sampler(context, count, evaluations);
                Ok(walk(context, sampler, &mut model, &mut noise, look).await?.points())
            }
            Self::Chain(chain) => Ok(chain.samples(context, count).await?.as_chunks().0.to_vec()),
        }
    }

    /// How long an evaluation of the network and the step with it take for so many samples, in milliseconds.
    pub async fn evaluation_time(&self, context: &StudyContext, count: usize) -> Result<f64, StudyError> {
        match self {
            Self::Autoencoder(_) | Self::Game(_) => {
                self.samples(context, count, 1, &mut |_| {}).await?;
            }
            Self::Diffusion(net, _) => {
                let (mut model, mut noise) = (Learned::new(context, net), fresh_noise(context));
                walk_step(&mut sampler(context, count, CHAIN), &mut model, &mut noise).await?;
            }
            Self::Chain(chain) => {
                let from = start(context, 2, count, 0).values;
                chain.back(context, &from, 0, &mut context.rng(Stream::Solver, 0)).await?;
            }
        }
        Ok(since_turn(context).await)
    }
}

/// How long the work since the last turn took, in milliseconds.
pub async fn since_turn(context: &StudyContext) -> f64 {
    context.yield_now().await;
    context.lasted()
}
