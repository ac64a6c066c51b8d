//! The network behind the Fréchet inception distance: Inception-v3 as released on 2015-12-05 (Szegedy et al. 2016), up
//! to its last pooling: 2048 features of an image.
//!
//! Weights come from the TorchScript file `default_1.pt`, of which only the raw numbers are read: every convolution in
//! order has its kernel, then shift, mean and variance of its normalisation. Nothing of the script is executed.

use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation::relu};

use super::checkpoint::{CheckpointError, raw_storages, sha256};
use crate::data::ImageSet;

/// Features of an image.
pub const FEATURES: usize = 2048;
/// Height and width that the network sees.
const SIDE: usize = 299;
/// Added to the variances of the normalisations.
const EPSILON: f32 = 1e-3;

/// A layer, read from the file in this order.
#[derive(Clone, Copy)]
enum Op {
    /// Convolution to so many channels with a kernel of `[height, width]`, a stride, and whether the size is kept.
    Conv(usize, [usize; 2], usize, bool),
    /// 3 x 3 maximum, half the size.
    Halve,
    /// 3 x 3 mean of what lies inside, same size.
    Mean,
    /// 3 x 3 maximum, same size.
    Largest,
}

use Op::{Conv, Halve, Largest, Mean};

/// A branch of a block: layers in a row, then layers side by side whose results are joined.
struct Branch(&'static [Op], &'static [Op]);

const fn one(channels: usize) -> Op {
    Conv(channels, [1, 1], 1, true)
}

const fn same(channels: usize, kernel: [usize; 2]) -> Op {
    Conv(channels, kernel, 1, true)
}

const STEM: Branch = Branch(
    &[
        Conv(32, [3, 3], 2, false),
        Conv(32, [3, 3], 1, false),
        same(64, [3, 3]),
        Halve,
        one(80),
        Conv(192, [3, 3], 1, false),
        Halve,
    ],
    &[],
);
const FIRST: &[Branch] = &[
    Branch(&[one(64)], &[]),
    Branch(&[one(48), same(64, [5, 5])], &[]),
    Branch(&[one(64), same(96, [3, 3]), same(96, [3, 3])], &[]),
    Branch(&[Mean, one(32)], &[]),
];
const SECOND: &[Branch] = &[
    Branch(&[one(64)], &[]),
    Branch(&[one(48), same(64, [5, 5])], &[]),
    Branch(&[one(64), same(96, [3, 3]), same(96, [3, 3])], &[]),
    Branch(&[Mean, one(64)], &[]),
];
const HALVING: &[Branch] = &[
    Branch(&[Conv(384, [3, 3], 2, false)], &[]),
    Branch(&[one(64), same(96, [3, 3]), Conv(96, [3, 3], 2, false)], &[]),
    Branch(&[Halve], &[]),
];
const STRIPS_128: &[Branch] = &[
    Branch(&[one(192)], &[]),
    Branch(&[one(128), same(128, [1, 7]), same(192, [7, 1])], &[]),
    Branch(&[one(128), same(128, [7, 1]), same(128, [1, 7]), same(128, [7, 1]), same(192, [1, 7])], &[]),
    Branch(&[Mean, one(192)], &[]),
];
const STRIPS_160: &[Branch] = &[
    Branch(&[one(192)], &[]),
    Branch(&[one(160), same(160, [1, 7]), same(192, [7, 1])], &[]),
    Branch(&[one(160), same(160, [7, 1]), same(160, [1, 7]), same(160, [7, 1]), same(192, [1, 7])], &[]),
    Branch(&[Mean, one(192)], &[]),
];
const STRIPS_192: &[Branch] = &[
    Branch(&[one(192)], &[]),
    Branch(&[one(192), same(192, [1, 7]), same(192, [7, 1])], &[]),
    Branch(&[one(192), same(192, [7, 1]), same(192, [1, 7]), same(192, [7, 1]), same(192, [1, 7])], &[]),
    Branch(&[Mean, one(192)], &[]),
];
const LAST_HALVING: &[Branch] = &[
    Branch(&[one(192), Conv(320, [3, 3], 2, false)], &[]),
    Branch(&[one(192), same(192, [1, 7]), same(192, [7, 1]), Conv(192, [3, 3], 2, false)], &[]),
    Branch(&[Halve], &[]),
];
const CROSS: &[Op] = &[same(384, [1, 3]), same(384, [3, 1])];
const WIDE_MEAN: &[Branch] = &[
    Branch(&[one(320)], &[]),
    Branch(&[one(384)], CROSS),
    Branch(&[one(448), same(384, [3, 3])], CROSS),
    Branch(&[Mean, one(192)], &[]),
];
const WIDE_LARGEST: &[Branch] = &[
    Branch(&[one(320)], &[]),
    Branch(&[one(384)], CROSS),
    Branch(&[one(448), same(384, [3, 3])], CROSS),
    Branch(&[Largest, one(192)], &[]),
];
const BLOCKS: [&[Branch]; 11] = [
    FIRST,
    SECOND,
    SECOND,
    HALVING,
    STRIPS_128,
    STRIPS_160,
    STRIPS_160,
    STRIPS_192,
    LAST_HALVING,
    WIDE_MEAN,
    WIDE_LARGEST,
];

/// A convolution with its normalisation folded in.
#[derive(Clone, Debug)]
struct Layer {
    weight: Tensor<4>,
    bias: Tensor<1>,
}

/// The network.
#[derive(Clone, Debug)]
pub struct Inception {
    layers: Vec<Layer>,
    device: Device,
    digest: String,
}

impl Inception {
    /// The network of the file's bytes.
    ///
    /// # Errors
    /// A [`CheckpointError`] when it is damaged, or another network.
    pub fn from_bytes(file: &[u8], device: &Device) -> Result<Self, CheckpointError> {
        let other = |detail: String| CheckpointError::Container { what: "file of the Inception network", detail };
        let storages = raw_storages(file)?;
        let mut reader = Reader { storages: &storages, next: 0, layers: Vec::new(), device, other: &other };
        let mut channels = reader.branch(&STEM, 3)?;
        for block in BLOCKS {
            let mut sum = 0;
            for branch in block {
                sum += reader.branch(branch, channels)?;
            }
            channels = sum;
        }
        let (layers, next) = (reader.layers, reader.next);
        if channels != FEATURES || next != storages.len() {
            return Err(other(format!("{} tensors, {next} were expected", storages.len())));
        }
        Ok(Self { layers, device: device.clone(), digest: sha256(file) })
    }

    /// SHA-256 of the file that the weights came from.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The features of images given as grey values, `[image, channel, row, column]`, of `channels` x `size` x `size`:
    /// resized as TensorFlow 1 does, `(x - 128) / 128`. One channel is grey. As many rows of [`FEATURES`] numbers.
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    pub fn features(&self, pixels: &[u8], channels: usize, size: usize) -> Result<Vec<f32>, String> {
        let images = pixels.len() / (channels * size * size).max(1);
        let values: Vec<f32> = pixels.iter().map(|value| f32::from(*value)).collect();
        let x = Tensor::<4>::from_data(TensorData::new(values, [images, channels, size, size]), &self.device);
        let x = if channels == 1 { x.repeat_dim(1, 3) } else { x };
        let rows = Tensor::<2>::from_data(TensorData::new(resize(size), [SIDE, size]), &self.device);
        let x = x.reshape([images * 3, size, size]);
        let x = rows.clone().unsqueeze::<3>().matmul(x).matmul(rows.transpose().unsqueeze::<3>());
        let x = (x.reshape([images, 3, SIDE, SIDE]) - 128.0) / 128.0;
        let mut layers = self.layers.iter();
        let mut x = run(&STEM, x, &mut layers);
        for block in BLOCKS {
            x = Tensor::cat(block.iter().map(|branch| run(branch, x.clone(), &mut layers)).collect(), 1);
        }
        let x: Tensor<2> = x.reshape([images as i32, FEATURES as i32, -1]).mean_dim(2).reshape([images, FEATURES]);
        x.try_into_vec_as::<f32>().map_err(|error| error.to_string())
    }

    /// The features of all images of a set, `batch` at a time in each of `threads` threads. `seen` is called with the
    /// number of images done, and ends the work by `false`; then there are fewer rows.
    ///
    /// # Errors
    /// What the device says when it no longer answers.
    pub fn features_of(
        &self,
        set: &ImageSet,
        batch: usize,
        threads: usize,
        mut seen: impl FnMut(usize) -> bool,
    ) -> Result<Vec<f32>, String> {
        let mut features = Vec::with_capacity(set.len() * FEATURES);
        let each = set.numbers();
        let pieces: Vec<&[u8]> = set.pixels().chunks(batch.max(1) * each).collect();
        for pieces in pieces.chunks(threads.max(1)) {
            let work = |piece: &&[u8]| self.features(piece, set.channels(), set.size());
            let rows: Vec<Result<Vec<f32>, String>> = if let [piece] = pieces {
                vec![work(piece)]
            } else {
                std::thread::scope(|scope| {
                    let handles: Vec<_> = pieces.iter().map(|piece| scope.spawn(move || work(piece))).collect();
                    let lost = || Err("a thread ended early: there may not be enough memory".to_owned());
                    handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| lost())).collect()
                })
            };
            for rows in rows {
                features.extend(rows?);
            }
            if !seen(features.len() / FEATURES) {
                break;
            }
        }
        Ok(features)
    }
}

/// The matrix of TensorFlow 1's bilinear resizing, `align_corners` off: row `i` looks at `i * size / 299`, not at
/// centres of pixels.
fn resize(size: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; SIDE * size];
    for (i, row) in matrix.chunks_exact_mut(size).enumerate() {
        let place = i as f64 * size as f64 / SIDE as f64;
        let (low, share) = (place as usize, place.fract());
        row[low] += (1.0 - share) as f32;
        row[(low + 1).min(size - 1)] += share as f32;
    }
    matrix
}

fn run<'a>(branch: &Branch, mut x: Tensor<4>, layers: &mut impl Iterator<Item = &'a Layer>) -> Tensor<4> {
    let mut apply = |op: &Op, x: Tensor<4>| match *op {
        Conv(_, [height, width], stride, kept) => match layers.next() {
            Some(Layer { weight, bias }) => {
                let pad = if kept { (height / 2, width / 2) } else { (0, 0) };
                let pads = [(pad.0, pad.0), (pad.1, pad.1)];
                let options = ConvOptions::new_with_padding([stride; 2], pads, [1; 2], 1);
                relu(conv2d(x, weight.clone(), Some(bias.clone()), options))
            }
            None => x,
        },
        Halve => max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2])),
        Largest => max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1])),
        Mean => {
            let options = AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]);
            avg_pool2d(x, options.with_count_include_pad(false))
        }
    };
    for op in branch.0 {
        x = apply(op, x);
    }
    if branch.1.is_empty() { x } else { Tensor::cat(branch.1.iter().map(|op| apply(op, x.clone())).collect(), 1) }
}

struct Reader<'a, F> {
    storages: &'a [&'a [u8]],
    next: usize,
    layers: Vec<Layer>,
    device: &'a Device,
    other: &'a F,
}

impl<F: Fn(String) -> CheckpointError> Reader<'_, F> {
    /// The layers of a branch; says how many channels come out.
    fn branch(&mut self, branch: &Branch, mut channels: usize) -> Result<usize, CheckpointError> {
        for op in branch.0 {
            channels = self.layer(op, channels)?;
        }
        let mut sum = 0;
        for op in branch.1 {
            sum += self.layer(op, channels)?;
        }
        Ok(if branch.1.is_empty() { channels } else { sum })
    }

    fn layer(&mut self, op: &Op, inputs: usize) -> Result<usize, CheckpointError> {
        let &Conv(outputs, [height, width], ..) = op else { return Ok(inputs) };
        let each = inputs * height * width;
        let mut weight = self.numbers(outputs * each)?;
        let (mut shift, mean, variance) = (self.numbers(outputs)?, self.numbers(outputs)?, self.numbers(outputs)?);
        for (channel, row) in weight.chunks_exact_mut(each).enumerate() {
            let scale = 1.0 / (variance[channel] + EPSILON).sqrt();
            row.iter_mut().for_each(|value| *value *= scale);
            shift[channel] -= mean[channel] * scale;
        }
        self.layers.push(Layer {
            weight: Tensor::from_data(TensorData::new(weight, [outputs, inputs, height, width]), self.device),
            bias: Tensor::from_data(TensorData::new(shift, [outputs]), self.device),
        });
        Ok(outputs)
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<f32>, CheckpointError> {
        let bytes = self.storages.get(self.next).copied().unwrap_or_default();
        if bytes.len() != 4 * count {
            let (at, found) = (self.next, bytes.len() / 4);
            return Err((self.other)(format!("tensor {at} has {found} numbers instead of {count}")));
        }
        self.next += 1;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizing_weighs_two_neighbours_from_the_upper_left_corner() {
        let matrix = resize(32);
        let row = |i: usize| &matrix[i * 32..(i + 1) * 32];
        assert_eq!(row(0)[0], 1.0);
        assert!((row(1)[1] - 32.0 / 299.0).abs() < 1e-6);
        assert!(row(298)[31] > 0.999, "the last pixel is repeated");
        assert!(matrix.chunks_exact(32).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    }
}
