//! The network on a tape: its output, and later the gradients of its parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::{ConditionError, Style, UNet, time_features};
use crate::nn::cpu;
use crate::nn::tape::{Gradients, Plus, Tape, Value};

impl UNet {
    /// Whether [`Self::trace`] can take this network: on the CPU without automatic differentiation, in Ho et al.'s
    /// style and without dropout.
    #[must_use]
    pub fn is_traceable(&self) -> bool {
        cpu::is_cpu(&self.device()) && self.config.style == Style::Ddpm && self.config.dropout == 0.0
    }

    /// The output for noisy images `x` of this height and width, each with its own time and label; both channel by
    /// channel.
    ///
    /// # Errors
    /// A [`ConditionError`] when there are not as many times as labels, or there is no such class.
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
        let (images, channels) = (times.len(), self.config.channels);
        let features = tape.value(time_features(times, channels, self.config.style), [images, channels, 1, 1]);
        let hidden = self.time_embedding.linear_1.trace(tape, &features);
        let hidden = tape.silu(&hidden);
        let mut temb = self.time_embedding.linear_2.trace(tape, &hidden);
        if let Some(table) = &self.class_embedding {
            let rows: Vec<usize> = labels.iter().map(|label| label.unwrap_or(self.config.classes)).collect();
            let class = table.trace(tape, &rows);
            temb = tape.add(&temb, &class);
        }
        let temb = tape.silu(&temb);
        let x = tape.images(x, [images, self.config.image_channels, side, side]);
        let mut h = self.conv_in.trace(tape, &x, Plus::default());
        let mut skips = vec![h.clone()];
        for block in &self.down_blocks {
            h = block.trace(tape, h, &temb, &mut skips);
        }
        h = self.mid_block.trace(tape, h, &temb);
        for block in &self.up_blocks {
            h = block.trace(tape, h, &temb, &mut skips);
        }
        let h = self.conv_norm_out.trace(tape, &h, true);
        let h = self.conv_out.trace(tape, &h, Plus::default());
        Ok(tape.planes(&h))
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
