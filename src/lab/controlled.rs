//! A sampling run under control: what a configuration knows beforehand of the samples it wants, and how it is imposed on
//! a model that was never told. Without control this is the plain sampler.

use std::sync::Arc;

use super::choices::{ControlId, SolverId};
use super::config::RunConfig;
use crate::data::{Condition, Dataset, Mixture};
use crate::diffusion::control::{ClassifierGuided, Move, Observed, repaint_moves};
use crate::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, StepReport};
use crate::rng::Stream;

/// Points in the model's coordinates.
type Points = Vec<[f64; 2]>;

/// How far guided beliefs about the data may lie from the middle, in standard deviations, beyond what is observed:
/// strong guidance at few levels would otherwise throw the samples farther at every step.
const FARTHEST: f64 = 20.0;

/// What is known beforehand, in the model's coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// How it is imposed.
    pub how: ControlId,
    /// What is known.
    pub condition: Condition,
    mixture: Mixture,
    scale: f64,
    interval: (f64, f64),
    farthest: f64,
}

impl Control {
    /// The control of a run; `None` when it has none. Of classes beyond the last, the last is meant.
    #[must_use]
    pub fn from_config(config: &RunConfig, dataset: &Dataset) -> Option<Self> {
        let how = config.control;
        let (condition, farthest) = match how {
            ControlId::None => return None,
            ControlId::Class => {
                let last = dataset.classes.iter().copied().max().unwrap_or(0);
                let class = (config.class.max(1) as usize - 1).min(last);
                (Condition::Class(dataset.classes.iter().map(|&c| c == class).collect()), FARTHEST)
            }
            _ => {
                let angle = config.observe_angle.to_radians();
                let direction = [libm::cos(angle), libm::sin(angle)];
                let middle = direction[0] * dataset.centre[0] + direction[1] * dataset.centre[1];
                let value = (config.observe_value - middle) / dataset.scale;
                let noise = config.observe_noise / dataset.scale;
                (Condition::Observation { direction, value, noise }, FARTHEST + value.abs())
            }
        };
        Some(Self {
            how,
            condition,
            mixture: dataset.standard.clone(),
            scale: config.guidance,
            interval: (config.guidance_from, config.guidance_to),
            farthest,
        })
    }

    /// The gradient that guidance adds to the score: that of a perfect classifier, times the scale within the interval of
    /// `sigma / alpha` and plain outside it.
    fn gradient(&self, x: &Points, level: Level) -> Points {
        let ratio = level.sigma / level.alpha;
        let within = ratio >= self.interval.0 && ratio <= self.interval.1;
        let scale = if within { self.scale } else { 1.0 };
        let marginal = self.mixture.at(level);
        x.iter().map(|&x| self.condition.gradient(&marginal, x).map(|g| scale * g)).collect()
    }

    fn replaces(&self) -> bool {
        matches!(self.how, ControlId::Replace | ControlId::Repaint)
    }
}

/// A model whose beliefs about the data are held within a radius.
struct Held<'a, M> {
    model: &'a mut M,
    radius: f64,
}

impl<M: Denoiser<Points>> Denoiser<Points> for Held<'_, M> {
    type Error = M::Error;

    async fn estimate(&mut self, x: &Points, level: Level) -> Result<Estimate<Points>, M::Error> {
        let mut estimate = self.model.estimate(x, level).await?;
        for ((x, data), noise) in x.iter().zip(&mut estimate.data).zip(&mut estimate.noise) {
            let far = libm::hypot(data[0], data[1]);
            if far > self.radius {
                *data = data.map(|d| d * self.radius / far);
                *noise = [0, 1].map(|i| (x[i] - level.alpha * data[i]) / level.sigma.max(1e-12));
            }
        }
        Ok(estimate)
    }
}

/// A model under control: one type for all kinds of it, because a solver's code is made anew for every type of model.
struct Steered<'a, M> {
    model: &'a mut M,
    control: Option<&'a Control>,
}

impl<M: Denoiser<Points>> Denoiser<Points> for Steered<'_, M> {
    type Error = M::Error;

    async fn estimate(&mut self, x: &Points, level: Level) -> Result<Estimate<Points>, M::Error> {
        let Some(control) = self.control else { return self.model.estimate(x, level).await };
        match control.how {
            ControlId::None | ControlId::Replace | ControlId::Repaint => self.model.estimate(x, level).await,
            ControlId::Project => {
                let project = |data: Points, level: Level| {
                    data.into_iter().map(|data| control.condition.project(data, level)).collect()
                };
                Observed { model: self.model, project }.estimate(x, level).await
            }
            ControlId::Observe | ControlId::Class => {
                let gradient = async |x: &Points, level: Level| Ok(control.gradient(x, level));
                let mut guided = ClassifierGuided { model: self.model, gradient, scale: 1.0 };
                Held { model: &mut guided, radius: control.farthest }.estimate(x, level).await
            }
        }
    }
}

/// A sampling run that can be paused after every step, RePaint's steps up included.
#[derive(Clone, Debug)]
pub struct Controlled {
    sampler: Sampler<Points>,
    control: Option<Arc<Control>>,
    moves: Option<Vec<Move>>,
    done: usize,
    draws: u32,
}

/// RePaint's moves, if the configuration asks for them and its solver has a grid to go up on.
fn moves(config: &RunConfig, steps: Option<usize>) -> Option<Vec<Move>> {
    let steps = steps.filter(|_| config.control == ControlId::Repaint && config.solver != SolverId::Rk45)?;
    Some(repaint_moves(steps, config.jump as usize, config.resamples as usize))
}

/// Network evaluations that a run of this configuration takes per sample; `None` when the solver decides as it goes.
#[must_use]
pub fn planned_evaluations(config: &RunConfig) -> Option<u32> {
    let schedule = Schedule::from_config(config);
    let solver = Solver::from_config(config);
    let sampler = Sampler::new(
        solver,
        schedule.clone(),
        solver.grid(&schedule, config.spacing.into(), config.steps as usize),
        0.0,
    );
    let Some(moves) = moves(config, sampler.planned_steps()) else { return sampler.planned_evaluations() };
    let mut position = 0;
    let mut count = 0;
    for step in moves {
        match step {
            Move::Down => {
                position += 1;
                count += solver.evaluations(sampler.levels().get(position)?.sigma == 0.0)?;
            }
            Move::Up => position -= 1,
        }
    }
    Some(count)
}

impl Controlled {
    /// The run that a configuration describes, from unit noise.
    #[must_use]
    pub fn new(config: &RunConfig, dataset: &Dataset, unit_noise: Points) -> Self {
        let sampler = Sampler::from_config(config, unit_noise);
        let moves = moves(config, sampler.planned_steps());
        let control = Control::from_config(config, dataset).map(Arc::new);
        Self { sampler, control, moves, done: 0, draws: 0 }
    }

    /// The control, if there is one.
    #[must_use]
    pub fn control(&self) -> Option<&Control> {
        self.control.as_deref()
    }

    /// The sampler.
    #[must_use]
    pub fn sampler(&self) -> &Sampler<Points> {
        &self.sampler
    }

    /// Steps of the whole run, up and down; `None` when the solver decides as it goes.
    #[must_use]
    pub fn planned_steps(&self) -> Option<usize> {
        self.moves.as_ref().map(Vec::len).or(self.sampler.planned_steps())
    }

    /// One step. `None` when the run is over.
    ///
    /// # Errors
    /// The model's. The run is then as it was before the step, which can be made again.
    pub async fn step<M: Denoiser<Points>, N: FnMut(&Points, NoiseUse) -> Points>(
        &mut self,
        model: &mut M,
        noise: &mut N,
    ) -> Result<Option<StepReport>, M::Error> {
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
            let mut steered = Steered { model, control: self.control.as_deref() };
            let Some(report) = self.sampler.step(&mut steered, noise).await? else { return Ok(None) };
            StepReport { step, ..report }
        };
        self.done = step;
        if let Some(control) = self.control.clone().filter(|control| control.replaces() && report.accepted && !up) {
            let z = self.draw(noise, step);
            self.sampler.change(|x, level| {
                x.into_iter().zip(z).map(|(x, z)| control.condition.replace(x, level, z[0])).collect()
            });
        }
        Ok(Some(report))
    }

    fn draw<N: FnMut(&Points, NoiseUse) -> Points>(&mut self, noise: &mut N, step: usize) -> Points {
        let usage = NoiseUse { stream: Stream::Control, index: self.draws, step };
        self.draws += 1;
        noise(self.sampler.x(), usage)
    }
}
