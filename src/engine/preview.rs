//! Cheap samples and their quality while training goes on.

use super::error::{EngineError, Stopped};
use super::inbox::{Inbox, Port};
use super::learned::{Interruptible, Points, Source};
use crate::data::Dataset;
use crate::data::metrics::Judge;
use crate::data::metrics::Quality;
use crate::diffusion::NoiseUse;
use crate::diffusion::constraint::ConstrainedSampler;
use crate::lab::{ControlId, RunConfig, SolverId, SpacingId};
use crate::rng::{Rng, Stream};

/// Most samples of a preview.
const SAMPLES: u32 = 1000;
/// Solver steps of a preview.
const STEPS: u32 = 20;
/// Most samples that are judged: the rest of a large run would say little more and cost time.
const JUDGED: usize = 4000;

/// Unit noise of a run, named by its use.
#[must_use]
pub fn noise(seed: u32, count: usize, usage: NoiseUse) -> Points {
    Rng::new(seed, usage.stream, usage.index).normal_points(count)
}

/// A source of noise, as one type: a solver's code is made anew for every type of it.
pub type Draw<'a> = &'a mut dyn FnMut(&Points, NoiseUse) -> Points;

/// The unit noise that sampling starts from.
#[must_use]
pub fn prior(seed: u32, count: usize) -> Points {
    Rng::new(seed, Stream::Prior, 0).normal_points(count)
}

/// Points of the model's coordinates in the data's own.
#[must_use]
pub fn in_data(points: &[[f64; 2]], dataset: &Dataset) -> Points {
    points.iter().map(|&p| dataset.from_standard(p)).collect()
}

/// Judges samples of one run again and again.
#[derive(Default)]
pub struct Quantities {
    judge: Option<(usize, Judge)>,
}

impl Quantities {
    /// The quality of samples in the data's own coordinates.
    pub fn of(&mut self, samples: &[[f64; 2]], dataset: &Dataset, seed: u32) -> Quality {
        let samples = &samples[..samples.len().min(JUDGED)];
        if self.judge.as_ref().is_none_or(|(count, _)| *count != samples.len()) {
            self.judge = Some((samples.len(), Judge::new(dataset, samples.len(), seed)));
        }
        self.judge.as_ref().map_or_else(Quality::default, |(_, judge)| judge.quality(samples))
    }
}

/// Samples for a first look, in the data's own coordinates; `None` when given up for a command. Always the same noise,
/// so that previews of a run show the weights change and nothing else.
///
/// # Errors
/// When the device no longer answers.
pub async fn preview<P: Port>(
    config: &RunConfig,
    dataset: &Dataset,
    source: &mut Source<'_>,
    inbox: &mut Inbox<'_, P>,
) -> Result<Option<Points>, EngineError> {
    let count = config.samples.min(SAMPLES);
    let config = RunConfig {
        solver: SolverId::DpmPp2m,
        steps: STEPS,
        spacing: SpacingId::LogSnr,
        samples: count,
        control: ControlId::None,
        ..config.clone()
    };
    let count = count as usize;
    let mut run = ConstrainedSampler::from_config(&config, dataset, prior(config.seed, count));
    let mut draw = |x: &Points, usage| noise(config.seed, x.len(), usage);
    let mut draw: Draw<'_> = &mut draw;
    loop {
        let step = run.step(&mut Interruptible::new(source, inbox), &mut draw).await;
        let Some(report) = Stopped::unless_interrupted(step)? else { return Ok(None) };
        if report.is_none() {
            return Ok(Some(in_data(run.sampler().x(), dataset)));
        }
    }
}
