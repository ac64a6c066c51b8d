//! What an evaluation of a network costs.

use super::UNetConfig;

/// What one evaluation of one image costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications, each with an addition.
    pub products: u64,
    /// Most bytes of single-precision numbers that are needed at once, about: what the way down leaves for the way up,
    /// and the copies that the widest layer makes.
    pub bytes: u64,
    /// Bytes of the largest single tensor.
    pub largest: u64,
}

/// Copies of its input that a layer may make.
const COPIES: u64 = 6;
/// What products of matrices and convolutions keep to work in, whatever their size.
const BUFFERS: u64 = 4 << 20;

impl Cost {
    fn layer(&mut self, inputs: usize, outputs: usize, kernel: u64, pixels: u64) {
        let (inputs, outputs) = (inputs as u64, outputs as u64);
        self.products += inputs * outputs * kernel * kernel * pixels;
        self.largest = self.largest.max(4 * inputs.max(outputs) * pixels);
    }

    fn resnet(&mut self, inputs: usize, outputs: usize, temb: usize, pixels: u64) {
        self.layer(inputs, outputs, 3, pixels);
        self.layer(temb, outputs, 1, 1);
        self.layer(outputs, outputs, 3, pixels);
        if inputs != outputs {
            self.layer(inputs, outputs, 1, pixels);
        }
    }

    fn attention(&mut self, channels: usize, pixels: u64) {
        for _ in 0..4 {
            self.layer(channels, channels, 1, pixels);
        }
        self.products += 2 * channels as u64 * pixels * pixels;
        self.largest = self.largest.max(4 * pixels * pixels);
    }
}

impl UNetConfig {
    /// What one evaluation of one image of this height and width costs.
    #[must_use]
    pub fn cost(&self, side: usize) -> Cost {
        let mut cost = Cost::default();
        let pixels = |level: usize| ((side >> level) as u64).pow(2);
        let temb = self.embedding_width();
        let widths = self.widths();
        let lowest = widths.len().saturating_sub(1);
        let mut skips = vec![self.channels];
        let mut kept = self.channels as u64 * pixels(0);
        let mut width = self.channels;
        cost.layer(self.image_channels, self.channels, 3, pixels(0));
        for (level, &output) in widths.iter().enumerate() {
            for _ in 0..self.layers {
                cost.resnet(width, output, temb, pixels(level));
                width = output;
                if self.attention_levels.contains(&level) {
                    cost.attention(output, pixels(level));
                }
                skips.push(output);
                kept += output as u64 * pixels(level);
            }
            if level < lowest {
                cost.layer(output, output, 3, pixels(level + 1));
                skips.push(output);
                kept += output as u64 * pixels(level + 1);
            }
        }
        cost.resnet(width, width, temb, pixels(lowest));
        cost.attention(width, pixels(lowest));
        cost.resnet(width, width, temb, pixels(lowest));
        for (level, &output) in widths.iter().enumerate().rev() {
            for _ in 0..=self.layers {
                cost.resnet(width + skips.pop().unwrap_or(0), output, temb, pixels(level));
                width = output;
                if self.attention_levels.contains(&level) {
                    cost.attention(output, pixels(level));
                }
            }
            if level > 0 {
                cost.layer(output, output, 3, pixels(level - 1));
            }
        }
        cost.layer(width, self.output_channels(), 3, pixels(0));
        cost.bytes = 4 * kept + COPIES * cost.largest + BUFFERS;
        cost
    }
}
