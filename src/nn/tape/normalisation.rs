//! Group normalisation on a tape.

use burn::module::Param;
use burn::tensor::Tensor;
use kernels::native::bf16::places::Grid;
use kernels::native::channels::{Norm, normalise, normalise_back, normalise_to_lines};

use super::{Factors, Lines, Tape, Value};
use crate::nn::cpu::numbers;

impl Tape {
    /// Group normalisation with a scale and a shift of each channel, and SiLU after it if `silu`.
    pub fn group_norm(
        &mut self,
        x: &Value,
        [weight, bias]: [&Param<Tensor<1>>; 2],
        groups: usize,
        epsilon: f64,
        silu: bool,
    ) -> Value {
        let [images, channels, height, width] = x.shape;
        let ids = [weight.id, bias.id];
        let (weight, bias) = (numbers(weight.val()), numbers(bias.val()));
        let (pixels, epsilon) = (height * width, epsilon as f32);
        let mut statistics = self.pool.any(2 * images * channels);
        let norm = Norm { pixels, groups, epsilon, silu, weight: &weight, bias: &bias };
        let found = match self.factors {
            Factors::Single => {
                let mut found = self.pool.any(x.count());
                normalise(&norm, x.numbers(), &mut found, &mut statistics);
                Value::new(found, x.shape)
            }
            // It is convolutions that look at it, which round it: it is left to them as they need it.
            Factors::Bfloat16 => {
                let grid = Grid::usual(images, height, width);
                let mut lines = self.pool.lines(grid.lines(channels));
                normalise_to_lines(&norm, x.numbers(), &grid, &mut lines, &mut statistics);
                Value::of_lines(Lines { grid, lines }, x.shape)
            }
        };
        let x = x.clone();
        self.record_value(found, move |gradients, mut gradient| {
            let [mut of_weight, mut of_bias] = [(); 2].map(|()| vec![0.0; channels]);
            let norm = Norm { pixels, groups, epsilon, silu, weight: &weight, bias: &bias };
            normalise_back(&norm, x.numbers(), &statistics, &mut gradient, &mut of_weight, &mut of_bias);
            gradients.learn(ids[0], of_weight);
            gradients.learn(ids[1], of_bias);
            gradients.add(&x, gradient);
        })
    }
}
