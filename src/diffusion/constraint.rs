//! Constraints on the samples of a model that was never told of them, for any state: replacement, RePaint, projection and
//! guidance, as a denoiser around a denoiser and as what is done between the steps of a sampler.

use super::level::{Denoiser, Estimate, Level, State};
use super::solver::{NoiseUse, Sampler, StepReport};
use crate::rng::Stream;

/// A state whose elements can be multiplied one by one: what masks need.
pub trait Elementwise: State {
    /// The product, element by element.
    #[must_use]
    fn times(self, other: &Self) -> Self;

    /// `self` where the mask is 1, `other` where it is 0.
    #[must_use]
    fn select(self, other: Self, mask: &Self) -> Self {
        let change = self.blend(1.0, other.clone(), -1.0).times(mask);
        other.add(change)
    }
}

impl Elementwise for f64 {
    fn times(self, other: &Self) -> Self {
        self * other
    }
}

impl Elementwise for [f64; 2] {
    fn times(self, other: &Self) -> Self {
        [self[0] * other[0], self[1] * other[1]]
    }
}

impl Elementwise for Vec<[f64; 2]> {
    fn times(mut self, other: &Self) -> Self {
        self.iter_mut().zip(other).for_each(|(a, b)| *a = a.times(b));
        self
    }
}

impl<S: State> Estimate<S> {
    /// The estimate with this belief about the data: `x = alpha data + sigma noise` gives the noise.
    #[must_use]
    pub fn from_data(x: &S, data: S, level: Level) -> Self {
        let sigma = level.sigma.max(1e-12);
        let noise = x.clone().blend(1.0 / sigma, data.clone(), -level.alpha / sigma);
        Self::new(data, noise)
    }

    /// The estimate with this belief about the noise: `x = alpha data + sigma noise` gives the data.
    #[must_use]
    pub fn from_noise(x: &S, noise: S, level: Level) -> Self {
        let alpha = level.alpha.max(1e-6);
        let data = x.clone().blend(1.0 / alpha, noise.clone(), -level.sigma / alpha);
        Self::new(data, noise)
    }

    /// Classifier guidance (Song et al. 2021; Dhariwal and Nichol 2021): the estimate with `gradient`, that of
    /// `ln p(class | x)` with respect to `x` and already scaled, added to the score.
    #[must_use]
    pub fn guided(self, x: &S, gradient: S, level: Level) -> Self {
        let noise = self.noise.blend(1.0, gradient, -level.sigma);
        Self { variance: self.variance, ..Self::from_noise(x, noise, level) }
    }
}

/// Classifier-free guidance (Ho and Salimans 2022): `unconditional + scale (conditional - unconditional)`, of estimates or
/// of the outputs that are linear in them. Scale 0 ignores the condition, 1 is the conditional model, more exaggerates.
#[must_use]
pub fn classifier_free<S: State>(conditional: S, unconditional: S, scale: f64) -> S {
    conditional.blend(scale, unconditional, 1.0 - scale)
}

/// The scale of guidance within an interval of noise (Kynkäänniemi et al. 2024, arXiv 2404.07724).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// The scale: 1 samples the conditional distribution.
    pub scale: f64,
    /// The values of `sigma / alpha` between which it holds; outside, it is 1.
    pub interval: (f64, f64),
}

impl Guidance {
    /// The scale at a level.
    #[must_use]
    pub fn at(self, level: Level) -> f64 {
        let ratio = level.ratio();
        if ratio >= self.interval.0 && ratio <= self.interval.1 { self.scale } else { 1.0 }
    }
}

/// A linear observation `P data + noise P z = P y` of the data, with an orthogonal projection `P` and a standard normal
/// `z`: known pixels, the grey of an image, a coordinate.
pub trait Constraint<S: State> {
    /// Standard deviation of the observation's own noise; 0 for one that is exact.
    fn noise(&self) -> f64 {
        0.0
    }

    /// `x` with its observed part moved by this share of the way to that of `scale * y`, or with `fresh = (z, std)` of
    /// `scale * y + std * z`.
    fn toward(&self, x: S, scale: f64, fresh: Option<(S, f64)>, share: f64) -> S;

    /// The noisy sample with its observed part replaced by what was observed, noised to the level with the fresh unit noise
    /// `z`: score_sde's inpainting (Song et al. 2021, appendix I.2). The noise of the observation is part of the level's;
    /// at levels with less than it, nothing is replaced.
    #[must_use]
    fn replace(&self, x: S, level: Level, z: S) -> S {
        let left = level.sigma.powi(2) - (level.alpha * self.noise()).powi(2);
        if left < 0.0 {
            return x;
        }
        self.toward(x, level.alpha, Some((z, left.sqrt())), 1.0)
    }

    /// The estimate of the data projected onto those that agree with the observation, `data + A^+ (y - A data)` (DDNM, Wang
    /// et al. 2022, arXiv 2212.00490), or as near to it as its noise leaves it worth beside that of the estimate, which for
    /// data of unit variance is `sigma^2 / (alpha^2 + sigma^2)` (PiGDM, Song et al. 2023).
    #[must_use]
    fn project(&self, data: S, level: Level) -> S {
        let (doubt, noise) = (level.sigma.powi(2) / (level.alpha.powi(2) + level.sigma.powi(2)), self.noise());
        let share = if noise > 0.0 { doubt / (doubt + noise * noise) } else { 1.0 };
        self.toward(data, 1.0, None, share)
    }

    /// The estimate guided by the observation: given `x` and the observation in place of `x` alone. Without a gradient of
    /// its own it is the mean under a normal belief with the variance that [`Self::project`] takes, which is PiGDM's
    /// without the derivative of the network.
    #[must_use]
    fn guide(&self, x: &S, estimate: Estimate<S>, level: Level) -> Estimate<S> {
        let data = self.project(estimate.data, level);
        Estimate { variance: estimate.variance, ..Estimate::from_data(x, data, level) }
    }

    /// The Euclidean norm of what `data` miss of the observation, averaged over the batch.
    #[allow(async_fn_in_trait)]
    async fn residual(&self, data: S) -> f64 {
        let met = self.toward(data.clone(), 1.0, None, 1.0);
        data.blend(1.0, met, -1.0).mean_norm().await
    }
}

/// `scale * known`, or with `fresh = (z, std)` that plus `std * z`: what [`Constraint::toward`] moves to.
#[must_use]
pub fn scaled<S: State>(known: &S, scale: f64, fresh: Option<(S, f64)>) -> S {
    match fresh {
        // The noise first: what is known may be one sample for the whole batch.
        Some((z, std)) => z.blend(std, known.clone(), scale),
        None => known.clone().scale(scale),
    }
}

/// Known elements of the data: inpainting.
#[derive(Clone, Debug)]
pub struct Masked<S> {
    /// The data, of which only what is known counts.
    pub known: S,
    /// 1 where they are known, 0 elsewhere.
    pub mask: S,
    /// Standard deviation of their noise.
    pub noise: f64,
}

impl<S: Elementwise> Constraint<S> for Masked<S> {
    fn noise(&self) -> f64 {
        self.noise
    }

    fn toward(&self, x: S, scale: f64, fresh: Option<(S, f64)>, share: f64) -> S {
        let target = scaled(&self.known, scale, fresh);
        let target = if share < 1.0 { x.clone().blend(1.0 - share, target, share) } else { target };
        target.select(x, &self.mask)
    }
}

/// How a constraint is imposed on samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// [`Constraint::replace`] after every step.
    Replace,
    /// The same, going up and down again along the way (Lugmayr et al. 2022): see [`repaint_moves`].
    Repaint {
        /// Steps up at a time.
        jump: usize,
        /// How often each stretch is passed.
        resamples: usize,
    },
    /// [`Constraint::project`] of every estimate of the data.
    Project,
    /// [`Constraint::guide`] of every estimate.
    Guide,
}

impl Method {
    fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::Repaint { .. })
    }

    /// The moves of a run of so many steps, if they are not all down; the adaptive solver has no grid to go up on.
    fn moves(self, steps: Option<usize>) -> Option<Vec<Move>> {
        let Self::Repaint { jump, resamples } = self else { return None };
        Some(repaint_moves(steps?, jump, resamples))
    }

    /// Network evaluations of a run of this sampler under a constraint; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_evaluations<S: State>(self, sampler: &Sampler<S>) -> Option<u32> {
        let Some(moves) = self.moves(sampler.planned_steps()) else { return sampler.planned_evaluations() };
        let (mut position, mut count) = (0, 0);
        for step in moves {
            match step {
                Move::Down => {
                    position += 1;
                    count += sampler.solver().evaluations(sampler.levels().get(position)?.sigma == 0.0)?;
                }
                Move::Up => position -= 1,
            }
        }
        Some(count)
    }
}

/// A move of RePaint along the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// One step of the solver.
    Down,
    /// One step of the forward process: [`Sampler::raise`].
    Up,
}

/// RePaint's moves over a grid of `steps` steps: after every `jump` steps down, up again by as many, so that each such
/// stretch is passed `resamples` times (their `j` and `r`). The stretch that ends at the clean level is passed once:
/// nothing is above noise that is gone.
#[must_use]
pub fn repaint_moves(steps: usize, jump: usize, resamples: usize) -> Vec<Move> {
    let jump = jump.max(1);
    let mut moves = Vec::new();
    let mut done = 0;
    while done + jump < steps {
        for pass in 0..resamples.max(1) {
            if pass > 0 {
                moves.extend([Move::Up].repeat(jump));
            }
            moves.extend([Move::Down].repeat(jump));
        }
        done += jump;
    }
    moves.extend([Move::Down].repeat(steps - done));
    moves
}

/// A denoiser under a constraint: one type for every method and for none, because a solver's code is made anew for every
/// type of model.
pub struct Constrained<'a, M, C> {
    /// The model.
    pub model: &'a mut M,
    /// What is known, and how it is imposed.
    pub constraint: Option<&'a (C, Method)>,
}

impl<S: State, M: Denoiser<S>, C: Constraint<S>> Denoiser<S> for Constrained<'_, M, C> {
    type Error = M::Error;

    async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, Self::Error> {
        let estimate = self.model.estimate(x, level).await?;
        let Some((constraint, method)) = self.constraint else { return Ok(estimate) };
        Ok(match method {
            Method::Replace | Method::Repaint { .. } => estimate,
            Method::Project => {
                let Estimate { data, variance, .. } = estimate;
                Estimate { variance, ..Estimate::from_data(x, constraint.project(data, level), level) }
            }
            Method::Guide => constraint.guide(x, estimate, level),
        })
    }
}

/// A sampling run under a constraint, or under none, that can be paused after every step, RePaint's steps up included.
#[derive(Debug)]
pub struct ConstrainedSampler<S, C> {
    sampler: Sampler<S>,
    constraint: Option<(C, Method)>,
    moves: Option<Vec<Move>>,
    done: usize,
    draws: u32,
}

impl<S: State, C: Constraint<S>> ConstrainedSampler<S, C> {
    /// The run of this sampler, from its start.
    #[must_use]
    pub fn new(sampler: Sampler<S>, constraint: Option<(C, Method)>) -> Self {
        let moves = constraint.as_ref().and_then(|(_, method)| method.moves(sampler.planned_steps()));
        Self { sampler, constraint, moves, done: 0, draws: 0 }
    }

    /// The run from another start: a sample of the first level.
    #[must_use]
    pub fn from_start(mut self, start: S) -> Self {
        self.sampler.change(|_, _| start);
        self
    }

    /// The constraint, if there is one.
    #[must_use]
    pub fn constraint(&self) -> Option<&C> {
        self.constraint.as_ref().map(|(constraint, _)| constraint)
    }

    /// The sampler.
    #[must_use]
    pub fn sampler(&self) -> &Sampler<S> {
        &self.sampler
    }

    /// Steps of the whole run, up and down; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_steps(&self) -> Option<usize> {
        self.moves.as_ref().map(Vec::len).or(self.sampler.planned_steps())
    }

    /// Network evaluations of the whole run; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_evaluations(&self) -> Option<u32> {
        match &self.constraint {
            Some((_, method)) => method.planned_evaluations(&self.sampler),
            None => self.sampler.planned_evaluations(),
        }
    }

    /// One step. `None` when the run is over. Noise beside the solver's own is drawn from [`Stream::Control`].
    ///
    /// # Errors
    /// The model's. The run is then as it was before the step, which can be made again.
    pub async fn step<M: Denoiser<S>, N: FnMut(&S, NoiseUse) -> S>(
        &mut self,
        model: &mut M,
        noise: &mut N,
    ) -> Result<Option<StepReport>, M::Error> {
        let down = async |sampler: &mut Sampler<S>, constraint: Option<&(C, Method)>, noise: &mut N| {
            sampler.step(&mut Constrained { model, constraint }, noise).await
        };
        self.step_by(noise, down).await
    }

    /// The same with the sampler's step made by the caller, who has a denoiser for it in [`Constrained`] with the
    /// constraint that is given: for callers whose samplers' steps are all made in one place.
    ///
    /// # Errors
    /// Those of `down`.
    pub async fn step_by<N: FnMut(&S, NoiseUse) -> S, E>(
        &mut self,
        noise: &mut N,
        down: impl AsyncFnOnce(&mut Sampler<S>, Option<&(C, Method)>, &mut N) -> Result<Option<StepReport>, E>,
    ) -> Result<Option<StepReport>, E> {
        if self.sampler.is_finished() {
            return Ok(None);
        }
        let step = self.done + 1;
        let up = self.moves.as_ref().is_some_and(|moves| moves.get(self.done) == Some(&Move::Up));
        let report = if up {
            let z = self.draw(noise, step);
            self.sampler.raise(z);
            StepReport { step, level: self.sampler.level(), evaluations: 0, accepted: true }
        } else {
            let Some(report) = down(&mut self.sampler, self.constraint.as_ref(), noise).await? else { return Ok(None) };
            StepReport { step, ..report }
        };
        self.done = step;
        if report.accepted && !up && self.constraint.as_ref().is_some_and(|(_, method)| method.replaces()) {
            let z = self.draw(noise, step);
            if let Some((constraint, _)) = &self.constraint {
                self.sampler.change(|x, level| constraint.replace(x, level, z));
            }
        }
        Ok(Some(report))
    }

    fn draw<N: FnMut(&S, NoiseUse) -> S>(&mut self, noise: &mut N, step: usize) -> S {
        let usage = NoiseUse { stream: Stream::Control, index: self.draws, step };
        self.draws += 1;
        noise(self.sampler.x(), usage)
    }
}
