//! The network behind the Fréchet inception distance: Inception-v3 as released on 2015-12-05 (Szegedy et al. 2016), up
//! to its last pooling: 2048 features of an image.
//!
//! Weights come from the TorchScript file `default_1.pt`, of which only the raw numbers are read: every convolution in
//! order has its kernel, then shift, mean and variance of its normalisation. Nothing of the script is executed.

mod graph;
mod rows;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation::relu};

use super::checkpoint::{CheckpointError, raw_storages, sha256};
use super::cpu;
use crate::data::ImageSet;
use graph::Op::{Conv, Halve, Largest, Mean};
use graph::{BLOCKS, Branch, Layers, Op, SIDE, STEM, neighbours, pads, run};

/// Features of an image.
pub const FEATURES: usize = 2048;
/// Added to the variances of the normalisations.
const EPSILON: f32 = 1e-3;

/// The convolutions, where they are computed.
#[derive(Clone, Debug)]
enum Network {
    /// By what is written here for the CPU.
    Rows(Vec<rows::Layer>),
    /// By Burn's tensor operations.
    Tensors(Vec<Layer>),
}

/// A convolution with its normalisation folded in.
#[derive(Clone, Debug)]
struct Layer {
    weight: Tensor<4>,
    bias: Tensor<1>,
}

impl Layer {
    fn new(weight: Vec<f32>, bias: Vec<f32>, shape: [usize; 4], device: &Device) -> Self {
        let outputs = [shape[0]];
        Self {
            weight: Tensor::from_data(TensorData::new(weight, shape), device),
            bias: Tensor::from_data(TensorData::new(bias, outputs), device),
        }
    }
}

/// The network.
#[derive(Clone, Debug)]
pub struct Inception {
    network: Network,
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
        let empty = match cpu::is_cpu(device) {
            true => Network::Rows(Vec::new()),
            false => Network::Tensors(Vec::new()),
        };
        let mut reader = Reader { storages: &storages, next: 0, network: empty, device, other: &other };
        let mut channels = reader.branch(&STEM, 3)?;
        for block in BLOCKS {
            let mut sum = 0;
            for branch in block {
                sum += reader.branch(branch, channels)?;
            }
            channels = sum;
        }
        let (network, next) = (reader.network, reader.next);
        if channels != FEATURES || next != storages.len() {
            return Err(other(format!("{} tensors, {next} were expected", storages.len())));
        }
        Ok(Self { network, device: device.clone(), digest: sha256(file) })
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
        match &self.network {
            Network::Rows(layers) => {
                let images = rows::Images::enlarged(pixels, channels, size);
                Ok(run(&mut rows::Layers(layers.iter()), images).means())
            }
            Network::Tensors(layers) => {
                let images = pixels.len() / (channels * size * size).max(1);
                let x = run(&mut Tensors(layers.iter()), enlarged(pixels, channels, size, &self.device));
                let x: Tensor<2> = x.reshape([images as i32, FEATURES as i32, -1]).mean_dim(2).squeeze_dim(2);
                x.try_into_vec_as::<f32>().map_err(|error| error.to_string())
            }
        }
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
        let each = set.numbers();
        let pieces: Vec<&[u8]> = set.pixels().chunks(batch.max(1) * each).collect();
        let (next, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let work = |sender: mpsc::Sender<_>| {
            while !ended.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(piece) = pieces.get(index) else { break };
                let rows = self.features(piece, set.channels(), set.size());
                if sender.send((index, rows)).is_err() {
                    break;
                }
            }
        };
        let mut found: Vec<Option<Vec<f32>>> = vec![None; pieces.len()];
        std::thread::scope(|scope| {
            let work = &work;
            let spawn = |_| {
                let sender = sender.clone();
                scope.spawn(move || work(sender))
            };
            let threads: Vec<_> = (0..threads.clamp(1, pieces.len().max(1))).map(spawn).collect();
            drop(sender);
            let mut done = 0;
            let mut result = Ok(());
            for (index, rows) in receiver {
                match rows {
                    Ok(rows) => {
                        done += rows.len() / FEATURES;
                        found[index] = Some(rows);
                    }
                    Err(error) => result = Err(error),
                }
                if !seen(done) || result.is_err() {
                    ended.store(true, Ordering::Relaxed);
                }
            }
            for thread in threads {
                if thread.join().is_err() {
                    result = Err("a thread ended early: there may not be enough memory".to_owned());
                }
            }
            result
        })?;
        // Of what was ended only what has no gaps.
        Ok(found.into_iter().map_while(|rows| rows).flatten().collect())
    }
}

/// Grey values as the network sees them.
fn enlarged(pixels: &[u8], channels: usize, size: usize, device: &Device) -> Tensor<4> {
    let images = pixels.len() / (channels * size * size).max(1);
    let values: Vec<f32> = pixels.iter().map(|value| f32::from(*value)).collect();
    let x = Tensor::<4>::from_data(TensorData::new(values, [images, channels, size, size]), device);
    let x = if channels == 1 { x.repeat_dim(1, 3) } else { x };
    let mut matrix = vec![0.0; SIDE * size];
    for (pixel, row) in matrix.chunks_exact_mut(size).enumerate() {
        let (low, high, share) = neighbours(pixel, size);
        row[low] += 1.0 - share;
        row[high] += share;
    }
    let rows = Tensor::<2>::from_data(TensorData::new(matrix, [SIDE, size]), device);
    let x = x.reshape([images * 3, size, size]);
    let x = rows.clone().unsqueeze::<3>().matmul(x).matmul(rows.transpose().unsqueeze::<3>());
    (x.reshape([images, 3, SIDE, SIDE]) - 128.0) / 128.0
}

/// The convolutions by tensor operations, in order.
struct Tensors<'a>(std::slice::Iter<'a, Layer>);

impl Layers for Tensors<'_> {
    type Images = Tensor<4>;

    fn apply(&mut self, op: &Op, x: Tensor<4>) -> Tensor<4> {
        match *op {
            Conv(_, kernel, stride, kept) => match self.0.next() {
                Some(Layer { weight, bias }) => {
                    let pads = pads(kernel, kept).map(|pad| (pad, pad));
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
        }
    }

    fn join(&self, parts: Vec<Tensor<4>>) -> Tensor<4> {
        Tensor::cat(parts, 1)
    }
}

struct Reader<'a, F> {
    storages: &'a [&'a [u8]],
    next: usize,
    network: Network,
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
        let shape = [outputs, inputs, height, width];
        match &mut self.network {
            Network::Rows(layers) => layers.push(rows::Layer::new(&weight, shift, shape)),
            Network::Tensors(layers) => layers.push(Layer::new(weight, shift, shape, self.device)),
        }
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
        assert_eq!(neighbours(0, 32), (0, 1, 0.0));
        let (low, high, share) = neighbours(1, 32);
        assert_eq!((low, high), (0, 1));
        assert!((share - 32.0 / 299.0).abs() < 1e-6);
        assert_eq!(neighbours(298, 32).1, 31, "the last pixel is repeated");
        assert_eq!(neighbours(298, 32).0, 31);
    }
}
