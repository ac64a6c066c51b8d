//! The network on a tape: its output, and later the gradients of its parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::{ConditionError, Style, UNet, UNetConfig, graph};
use crate::nn::cpu;
use crate::nn::tape::{Gradients, Tape, Value};

impl UNetConfig {
    /// Whether the derivatives of such a network are written out: without dropout, and not in Nichol and Dhariwal's
    /// style.
    #[must_use]
    pub fn has_written_derivatives(&self) -> bool {
        self.style != Style::Improved && self.dropout == 0.0
    }
}

impl UNet {
    /// Whether [`Self::trace`] can take this network: on the CPU without automatic differentiation, without dropout,
    /// and not in Nichol and Dhariwal's style.
    #[must_use]
    pub fn is_traceable(&self) -> bool {
        cpu::is_cpu(&self.device()) && self.config.has_written_derivatives()
    }

    /// The output for noisy images `x` of this height and width, each with its own time and label; both channel by
    /// channel.
    ///
    /// # Errors
    /// A [`ConditionError`] when there are not as many times as labels, or there is no such class.
    ///
    /// # Panics
    /// When [`Self::is_traceable`] says that it cannot, for its style or its dropout.
    pub fn trace(
        &self,
        tape: &mut Tape,
        x: &[f32],
        side: usize,
        times: &[f64],
        labels: &[Option<usize>],
    ) -> Result<Value, ConditionError> {
        self.check(times, labels)?;
        if times.len() != labels.len() {
            return Err(ConditionError::Count { times: times.len(), labels: labels.len() });
        }
        let images = times.len();
        let features =
            |tape: &mut Tape, values: Vec<f32>, [rows, width]: [usize; 2]| tape.value(values, [rows, width, 1, 1]);
        let told = graph::tell(tape, self, times, features, &self.class_rows(labels));
        let unit: Vec<f32> =
            if self.config.details().unit_pixels { x.iter().map(|x| 0.5 * x + 0.5).collect() } else { x.to_vec() };
        let x = tape.images(&unit, [images, self.config.image_channels, side, side]);
        let output = graph::evaluate(tape, self, x, &told);
        Ok(tape.planes(&output))
    }

    /// What a tape of this network found about its parameters, flat, in the order of [`UNet::parameters`]; none where
    /// nothing depends on one.
    #[must_use]
    pub fn traced_gradients(&self, gradients: Gradients) -> Vec<Option<Vec<f32>>> {
        let mut found = Traced { gradients, found: Vec::new() };
        self.visit(&mut found);
        found.found
    }
}

struct Traced {
    gradients: Gradients,
    found: Vec<Option<Vec<f32>>>,
}

impl ModuleVisitor for Traced {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push(self.gradients.take(param.id));
    }
}
