//! The interpreter that leaves written-out derivatives on a tape: for training on the CPU, in Ho et al.'s style and
//! without dropout.

use burn::nn::Dropout;

use super::modules::{Conv, Embedding, GroupNorm, INSTANCE_EPSILON, InstanceNorm, Linear};
use super::{Fused, Layers, Source};
use crate::nn::resampling::Resampling;
use crate::nn::tape::{Affine, Epilogue, Tape, Value};

fn product(tape: &mut Tape, layer: &Linear, x: &Value, residual: Option<&Value>) -> Value {
    let layer = Affine::new(&layer.weight, Some(&layer.bias));
    tape.convolve(x, layer, 1, (0, 0), Epilogue { shifts: None, residual })
}

fn read(tape: &mut Tape, source: Source<Tape>) -> Value {
    match source {
        Source::Plain(x) | Source::Normed(x) => x,
        Source::Upsampled(x) => tape.double(&x),
    }
}

impl Layers for Tape {
    type Maps = Value;
    type Normed = Value;
    type Rows = Value;

    fn embed(&mut self, table: &Embedding, indices: &[usize]) -> Value {
        Self::rows(self, &table.weight, indices)
    }

    fn linear(&mut self, layer: &Linear, x: Value) -> Value {
        product(self, layer, &x, None)
    }

    fn linear_silu(&mut self, layer: &Linear, x: Value, added: Option<Value>) -> Value {
        let y = product(self, layer, &x, None);
        let sum = match added {
            Some(added) => Self::add(self, &y, &added),
            None => y,
        };
        self.silu(&sum)
    }

    /// # Panics
    /// With `scale_shift`: a network that has it is not traced.
    fn norm(&mut self, layer: &GroupNorm, x: Value, scale_shift: Option<Value>, silu: bool) -> Value {
        if scale_shift.is_some() {
            unreachable!("a network in Nichol and Dhariwal's style is not traced: UNet::is_traceable");
        }
        self.group_norm(&x, [&layer.weight, &layer.bias], layer.groups, layer.epsilon, silu)
    }

    /// # Panics
    /// When something is to be dropped: such a network is not traced.
    fn dropout(&mut self, layer: &Dropout, x: Value) -> Value {
        if layer.prob > 0.0 {
            unreachable!("a network with dropout is not traced: UNet::is_traceable");
        }
        x
    }

    fn convolve(&mut self, layer: &Conv, fused: Fused<Self>) -> Value {
        let x = read(self, fused.source);
        let epilogue = Epilogue { shifts: fused.shifts.as_ref(), residual: fused.residual.as_ref() };
        let affine = Affine::new(&layer.weight, layer.bias.as_ref());
        if layer.dilation == 1 {
            return Self::convolve(self, &x, affine, 1, layer.pad(), epilogue);
        }
        // Of the pixels that are so far apart, each phase by itself.
        let [_, _, height, width] = x.shape;
        let (step, pad) = (layer.dilation, layer.pad().0 / layer.dilation);
        let apart = self.phases(&x, step);
        let y = Self::convolve(self, &apart, affine, 1, (pad, pad), Epilogue::default());
        let y = self.whole(&y, step, [height, width]);
        debug_assert!(fused.shifts.is_none(), "no dilated convolution is told anything");
        match fused.residual {
            Some(residual) => Self::add(self, &y, &residual),
            None => y,
        }
    }

    fn downsample(&mut self, layer: &Conv, x: Value, pad: (usize, usize)) -> Value {
        Self::convolve(self, &x, Affine::new(&layer.weight, layer.bias.as_ref()), 2, pad, Epilogue::default())
    }

    fn attend(&mut self, projections: [&Linear; 3], x: Value, heads: usize) -> Value {
        let [query, key, value] = projections.map(|layer| product(self, layer, &x, None));
        Self::attend(self, [&query, &key, &value], heads)
    }

    fn project(&mut self, layer: &Linear, x: Value, residual: Option<Value>) -> Value {
        product(self, layer, &x, residual.as_ref())
    }

    fn concat(&mut self, a: Value, b: Value) -> Value {
        self.stack(&a, &b)
    }

    fn resample(&mut self, source: Source<Self>, how: Resampling) -> Value {
        let x = read(self, source);
        Self::resample(self, &x, how)
    }

    fn scale(&mut self, x: Value, k: &[f32]) -> Value {
        Self::scale(self, &x, k)
    }

    fn scales(&mut self, layer: &InstanceNorm, levels: &[usize]) -> Value {
        match &layer.embed {
            Some(table) => self.rows(&table.weight, levels),
            None => self.row(layer.vectors()),
        }
    }

    fn instance_norm(&mut self, x: Value, scales: Value, elu: bool) -> Value {
        let y = Self::instance_norm(self, &x, &scales, INSTANCE_EPSILON);
        if elu { Self::elu(self, &y) } else { y }
    }

    fn elu(&mut self, x: Value) -> Value {
        Self::elu(self, &x)
    }

    fn largest(&mut self, x: Value, side: usize) -> Value {
        Self::largest(self, &x, side)
    }

    fn add(&mut self, a: Value, b: Value) -> Value {
        Self::add(self, &a, &b)
    }

    fn add_rows(&mut self, a: Value, b: Value) -> Value {
        Self::add(self, &a, &b)
    }
}
