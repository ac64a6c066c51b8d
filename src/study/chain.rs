//! Chains of the plane and of digits: their betas, the distributions they start from, and walks back with the core's
//! sampler.

use super::context::StudyContext;
use super::error::StudyError;
use super::rows::{AnyDenoiser, AnyProducts, RowDenoiser, RowProducts, Rows};
use super::settings::{ChainTable, ChainVariance, PlaneData, Sde};
use super::tools::{dataset, three_modes, two_modes};
use crate::data::{DatasetId, Mixture};
use crate::diffusion::constraint::{Constrained, ConstrainedSampler, Constraint, Method};
use crate::diffusion::likelihood::{Bound, FlowLikelihood, Probes, decoder_std, flow_likelihood, variational_bound};
use crate::diffusion::schedule::{Betas, clean};
use crate::diffusion::solver::{Posterior, Tolerance, Variance};
use crate::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, State as _, StepReport};
use crate::rng::{Rng, Stream};

impl ChainTable {
    /// The betas of a chain of this many steps. The linear ones keep their sum when there are fewer or more than a
    /// thousand.
    pub fn betas(self, steps: usize) -> Betas {
        let times = 1000.0 / steps as f64;
        match self {
            Self::Linear => Betas::linear(steps, 1e-4 * times, (0.02 * times).min(0.999)),
            Self::Cosine => Betas::cosine(steps),
        }
    }
}

impl Sde {
    /// Noise of the variance exploding one, least and largest, for data of unit variance.
    pub const SIGMAS: [f64; 2] = [0.01, 50.0];

    /// The schedule with the betas of the papers.
    pub fn schedule(self) -> Schedule {
        self.schedule_of([0.1, 20.0], Self::SIGMAS)
    }

    /// The schedule with these betas at both ends, and of the variance exploding one these noises.
    pub fn schedule_of(self, [beta_min, beta_max]: [f64; 2], [sigma_min, sigma_max]: [f64; 2]) -> Schedule {
        match self {
            Self::Ve => Schedule::Exploding { sigma_min, sigma_max },
            Self::Vp => Schedule::Linear { beta_min, beta_max },
            Self::SubVp => Schedule::SubVp { beta_min, beta_max },
        }
    }
}

impl From<ChainVariance> for Variance {
    fn from(variance: ChainVariance) -> Self {
        match variance {
            ChainVariance::Small => Self::Small,
            ChainVariance::Large => Self::Large,
        }
    }
}

impl PlaneData {
    /// The distribution, of mean zero and of unit variance per axis on average.
    pub fn mixture(self) -> Mixture {
        let mixture = match self {
            Self::Two => two_modes(0.8),
            Self::Eight => dataset(DatasetId::EightGaussians).mixture,
            Self::Three => three_modes(),
        };
        let (centre, scale) = mixture.mean_and_scale();
        mixture.standardised(centre, scale)
    }
}

/// Levels of a chain: the clean one, and that after each of its steps.
pub fn chain_levels(betas: &Betas) -> Vec<Level> {
    whole_walk_back(betas).into_iter().rev().collect()
}

/// The grid of a walk back over every step of a chain, which ends at the clean level.
pub fn whole_walk_back(betas: &Betas) -> Vec<Level> {
    walk_back(betas, &(0..betas.len()).collect::<Vec<_>>())
}

/// The grid of a walk back over these steps of a chain, counted from 0 in rising order, that ends at the clean level.
pub fn walk_back(betas: &Betas, steps: &[usize]) -> Vec<Level> {
    let schedule = Schedule::table(betas.clone());
    steps.iter().rev().map(|&step| schedule.level(betas.time(step))).chain([clean()]).collect()
}

fn normal_rows(rng: &mut Rng, dimension: usize, count: usize) -> Rows {
    Rows { dimension, values: (0..dimension * count).map(|_| rng.normal()).collect() }
}

/// Unit noise for the start of `count` samples: those of more begin with those of fewer.
pub fn start(context: &StudyContext, dimension: usize, count: usize, index: u32) -> Rows {
    normal_rows(&mut context.rng(Stream::Prior, index), dimension, count)
}

/// Fresh noise for a sampler: of the stream and the index it asks for, row by row.
pub fn fresh_noise(context: &StudyContext) -> impl FnMut(&Rows, NoiseUse) -> Rows + use<> {
    let context = context.clone();
    move |like, of| normal_rows(&mut context.rng(of.stream, of.index), like.dimension, like.count())
}

/// One step of a sampler; whether there was one to make.
///
/// # Errors
/// The model's.
pub async fn step(
    sampler: &mut Sampler<Rows>,
    model: &mut dyn RowDenoiser,
    noise: &mut dyn FnMut(&Rows, NoiseUse) -> Rows,
) -> Result<bool, StudyError> {
    Ok(reported_step(sampler, model, noise).await?.is_some())
}

/// Every study's steps are made here, so that the solvers are compiled once for all of them.
async fn reported_step(
    sampler: &mut Sampler<Rows>,
    model: &mut dyn RowDenoiser,
    noise: &mut dyn FnMut(&Rows, NoiseUse) -> Rows,
) -> Result<Option<StepReport>, StudyError> {
    let mut noise = |like: &Rows, of: NoiseUse| noise(like, of);
    sampler.step(&mut AnyDenoiser(model), &mut noise).await
}

/// RePaint with every step made this many times.
pub fn repaint(passes: usize) -> Method {
    Method::Repaint { jump: 1, resamples: passes }
}

/// Walks a sampler under a constraint, or under none, to its end and gives the samples. `look` is called after every step,
/// RePaint's steps up included, between others' turns.
///
/// # Errors
/// The model's.
pub async fn walk_under<C: Constraint<Rows>>(
    context: &StudyContext,
    sampler: Sampler<Rows>,
    constraint: Option<(C, Method)>,
    model: &mut dyn RowDenoiser,
    look: &mut dyn FnMut(&Sampler<Rows>),
) -> Result<Rows, StudyError> {
    let (mut run, mut noise) = (ConstrainedSampler::new(sampler, constraint), fresh_noise(context));
    let mut model = AnyDenoiser(model);
    loop {
        let step = run.step_by(&mut noise, async |sampler, constraint, noise| {
            reported_step(sampler, &mut Constrained { model: &mut model, constraint }, noise).await
        });
        if step.await?.is_none() {
            return Ok(run.sampler().x().clone());
        }
        look(run.sampler());
        context.yield_now().await;
    }
}

/// A model with others' turns before every estimate.
pub struct InTurns<'a> {
    /// Where others have their turn.
    pub context: &'a StudyContext,
    /// The model.
    pub model: &'a mut dyn RowDenoiser,
}

impl Denoiser<Rows> for InTurns<'_> {
    type Error = StudyError;

    async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
        self.context.yield_now().await;
        self.model.believe(x, level).await
    }
}

/// The logarithm of a normal density around a mean for every row of differences from it.
pub fn log_normal(miss: &Rows, variance: f64) -> Vec<f64> {
    let fixed = -0.5 * miss.dimension as f64 * (std::f64::consts::TAU * variance).ln();
    let rows = miss.values.chunks_exact(miss.dimension);
    rows.map(|row| fixed - 0.5 * row.iter().map(|v| v * v).sum::<f64>() / variance).collect()
}

/// The variational bound of a chain with the forward steps' variance, over continuous data.
///
/// # Errors
/// The model's.
pub async fn chain_bound(
    levels: &[Level],
    model: &mut dyn RowDenoiser,
    data: &Rows,
    noise: &mut dyn FnMut() -> Rows,
) -> Result<Bound, StudyError> {
    let variance = decoder_std(levels).powi(2);
    let decode =
        async |data: &Rows, mean: &Rows| Ok(log_normal(&data.clone().blend(1.0, mean.clone(), -1.0), variance));
    let of_step = |posterior: Posterior, _: Level, _: Level| posterior.forward;
    let mut noise = |_: usize| noise();
    variational_bound(levels, &mut AnyDenoiser(model), data, &mut noise, 1.0, of_step, decode).await
}

/// Log-densities along the probability flow with the exact divergence, in nats.
///
/// # Errors
/// The model's.
pub async fn flow_densities(
    context: &StudyContext,
    schedule: &Schedule,
    tolerance: f64,
    model: &mut dyn RowProducts,
    x: Rows,
) -> Result<FlowLikelihood<Rows>, StudyError> {
    let unit = |axis: usize| {
        let values = (0..x.values.len()).map(|i| f64::from(u8::from(i % x.dimension == axis))).collect();
        Rows { dimension: x.dimension, values }
    };
    let probes: Vec<Rows> = (0..x.dimension).map(unit).collect();
    let tolerance = Tolerance { relative: tolerance, absolute: tolerance };
    let mut model = AnyProducts { context, model };
    flow_likelihood(schedule, tolerance, &mut Probes { model: &mut model, probes: &probes, weight: 1.0 }, x).await
}

/// Walks a sampler to its end and gives the samples. `look` sees it after every step, between others' turns.
///
/// # Errors
/// The model's.
pub async fn walk(
    context: &StudyContext,
    mut sampler: Sampler<Rows>,
    model: &mut dyn RowDenoiser,
    noise: &mut dyn FnMut(&Rows, NoiseUse) -> Rows,
    look: &mut dyn FnMut(&Sampler<Rows>),
) -> Result<Rows, StudyError> {
    while step(&mut sampler, model, noise).await? {
        look(&sampler);
        context.yield_now().await;
    }
    Ok(sampler.x().clone())
}
