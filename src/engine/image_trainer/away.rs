//! Shares of a batch on devices of other machines.
//!
//! Every read is a journey there and back, so a step has one for each device: all parameters travel as one tensor, and
//! loss and gradient come back as another. Each device has a thread here that tells it what to do and waits for it. The
//! sum is taken where the optimiser is. Burn's own `all_reduce` would not need that, but reaches no further than the devices
//! of one server, and those only through CUDA (docs/remote.md).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};

use super::{Gradient, ImageBatch, ImageTrainer, StepError};
use crate::engine::panic_words;
use crate::nn::cpu;

/// Parameters of a step, one after the other, and how many numbers each has.
pub struct Flat {
    numbers: Vec<f32>,
    counts: Vec<usize>,
}

impl ImageTrainer {
    /// The parameters of now, to be sent.
    ///
    /// # Errors
    /// [`StepError::Lost`] when the device that has them no longer answers.
    pub(super) fn flat(&self) -> Result<Flat, StepError> {
        let counts = self.slots.iter().map(|slot| slot.value.dims()[0]).collect();
        let all = Tensor::cat(self.slots.iter().map(|slot| slot.value.clone()).collect(), 0);
        let lost = |why: String| StepError::Lost { device: self.home.clone(), why };
        Ok(Flat { numbers: all.try_into_vec_as::<f32>().map_err(|error| lost(error.to_string()))?, counts })
    }

    /// The gradient of these pieces of a batch of `total` numbers, by a device of another machine; none of no pieces.
    ///
    /// # Errors
    /// [`StepError::Lost`] when it no longer answers, and what else [`ImageTrainer::gradient`] may find.
    pub(super) fn sum_away(
        &self,
        index: usize,
        flat: &Flat,
        pieces: &[ImageBatch],
        total: usize,
    ) -> Result<Option<Gradient>, StepError> {
        let (replica, begin) = (&self.replicas[index], Instant::now());
        let found = catch_unwind(AssertUnwindSafe(|| self.told(index, flat, pieces, total)));
        // Burn's client panics where a line that broke leaves it without an answer.
        let lost = |why| StepError::Lost { device: replica.name.clone(), why };
        let Some((numbers, waited)) = found.unwrap_or_else(|panic| Err(lost(panic_words(&*panic))))? else {
            return Ok(None);
        };
        if numbers.len() != flat.numbers.len() + 1 {
            return Err(lost(format!("it sent {} numbers instead of {}", numbers.len(), flat.numbers.len() + 1)));
        }
        replica.took(pieces, begin, waited);
        let tensor = |values: &[f32]| cpu::tensor(values.to_vec(), [values.len()], &self.device);
        let (loss, mut rest) = numbers.split_at(1);
        let parts = flat.counts.iter().map(|count| {
            let (part, after) = rest.split_at(*count);
            rest = after;
            tensor(part)
        });
        let parts = parts.collect();
        Ok(Some(Gradient { loss: tensor(loss), parts }))
    }

    /// The loss and then the gradient, as they arrive, and for how many seconds they were waited for.
    fn told(
        &self,
        index: usize,
        flat: &Flat,
        pieces: &[ImageBatch],
        total: usize,
    ) -> Result<Option<(Vec<f32>, f64)>, StepError> {
        let replica = &self.replicas[index];
        let data = TensorData::new(flat.numbers.clone(), [flat.numbers.len()]);
        let parameters = Tensor::<1>::from_data(data, &replica.device).split_with_sizes(flat.counts.clone(), 0);
        self.seed(index);
        let Some(Gradient { loss, parts }) = self.sum_of(replica, &parameters, pieces, total)? else { return Ok(None) };
        let (all, told) = (Tensor::cat(std::iter::once(loss).chain(parts).collect(), 0), Instant::now());
        let found = all.try_into_vec_as::<f32>().map(|numbers| Some((numbers, told.elapsed().as_secs_f64())));
        found.map_err(|error| StepError::Lost { device: replica.name.clone(), why: error.to_string() })
    }
}
