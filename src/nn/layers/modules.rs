//! The parameters of layers, with the names and shapes of PyTorch's; what is computed with them, interpreters of
//! [`super::Layers`] say.

use burn::module::{Module, Param, ParamId};
#[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
use burn::tensor::DType;
use burn::tensor::{Device, Shape, Tensor};

use crate::nn::cpu;
use crate::rng::{Rng, Stream};

/// How a parameter starts.
#[derive(Clone, Copy, Debug)]
pub enum Init {
    /// At 0.
    Zeros,
    /// At 1.
    Ones,
    /// Uniform within `1 / sqrt(inputs)`, PyTorch's default for convolutions and matrices.
    Fan,
    /// Standard normal.
    Normal,
}

/// Makes parameters, each from its own stream of the seed.
pub struct Initialiser<'a> {
    seed: u32,
    device: &'a Device,
    /// What normalisations add to variances.
    epsilon: f64,
    made: u32,
}

impl<'a> Initialiser<'a> {
    /// For the network with this seed, whose normalisations add `epsilon` to variances.
    pub fn new(seed: u32, device: &'a Device, epsilon: f64) -> Self {
        Self { seed, device, epsilon, made: 0 }
    }

    /// So many numbers that are drawn at once, of this standard deviation, and as a parameter.
    pub fn drawn(&mut self, count: usize, std: f32) -> (Param<Tensor<1>>, Vec<f32>) {
        let mut rng = Rng::new(self.seed, Stream::Weights, self.made);
        self.made += 1;
        let numbers: Vec<f32> = rng.normals(count).into_iter().map(|z| std * z).collect();
        let tensor = cpu::tensor(numbers.clone(), [count], self.device);
        (Param::initialized(ParamId::new(), tensor), numbers)
    }

    /// A parameter that is drawn when it is first used, so that loading draws nothing.
    fn parameter<const D: usize>(&mut self, shape: [usize; D], inputs: usize, init: Init) -> Param<Tensor<D>> {
        let (seed, index) = (self.seed, self.made);
        self.made += 1;
        let initialiser = move |device: &Device, require_grad: bool| {
            let count = shape.iter().product();
            let mut rng = Rng::new(seed, Stream::Weights, index);
            let bound = 1.0 / (inputs.max(1) as f64).sqrt();
            let values: Vec<f32> = match init {
                Init::Zeros => vec![0.0; count],
                Init::Ones => vec![1.0; count],
                Init::Fan => (0..count).map(|_| (bound * (2.0 * rng.uniform() - 1.0)) as f32).collect(),
                Init::Normal => rng.normals(count),
            };
            cpu::tensor(values, shape, device).set_require_grad(require_grad)
        };
        Param::uninitialized(ParamId::new(), initialiser, self.device.clone(), true, Shape::from(shape))
    }
}

/// The shape of a parameter, which is not initialised by asking.
fn shape<const D: usize>(parameter: &Param<Tensor<D>>) -> [usize; D] {
    let shape = parameter.lazy_shape();
    std::array::from_fn(|dimension| shape[dimension])
}

/// A convolution, or a product with `[outputs, inputs]` matrices at every pixel when the kernel has size 1.
#[derive(Module, Debug)]
pub struct Conv {
    pub(super) weight: Param<Tensor<4>>,
    pub(super) bias: Param<Tensor<1>>,
}

impl Conv {
    /// From `[inputs, outputs]` channels, with a square kernel.
    pub fn new(initialiser: &mut Initialiser, [inputs, outputs]: [usize; 2], kernel: usize, init: Init) -> Self {
        let fan = inputs * kernel * kernel;
        Self {
            weight: initialiser.parameter([outputs, inputs, kernel, kernel], fan, init),
            bias: initialiser.parameter([outputs], fan, init),
        }
    }

    /// The shape of its kernels, `[outputs, inputs, side, side]`.
    pub fn shape(&self) -> [usize; 4] {
        shape(&self.weight)
    }

    /// Rows and columns of zeros before and after with which height and width stay the same.
    pub(super) fn pad(&self) -> (usize, usize) {
        let pad = self.shape()[2] / 2;
        (pad, pad)
    }

    /// The device of the parameters.
    pub fn device(&self) -> Device {
        self.weight.lazy_device()
    }

    /// The precision of the parameters.
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    pub fn precision(&self) -> DType {
        self.weight.val().dtype()
    }
}

/// `x W^T + b`.
#[derive(Module, Debug)]
pub struct Linear {
    pub(super) weight: Param<Tensor<2>>,
    pub(super) bias: Param<Tensor<1>>,
}

impl Linear {
    /// With a matrix of `[outputs, inputs]`.
    pub fn new(initialiser: &mut Initialiser, inputs: usize, outputs: usize, init: Init) -> Self {
        Self {
            weight: initialiser.parameter([outputs, inputs], inputs, init),
            bias: initialiser.parameter([outputs], inputs, init),
        }
    }

    /// The shape of its matrix, `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        shape(&self.weight)
    }
}

/// Normalisation of groups of channels over all pixels (Wu and He 2018), then a scale and a shift of each channel.
#[derive(Module, Debug)]
pub struct GroupNorm {
    pub(super) weight: Param<Tensor<1>>,
    pub(super) bias: Param<Tensor<1>>,
    pub(super) groups: usize,
    pub(super) epsilon: f64,
}

impl GroupNorm {
    /// For this many channels, a multiple of `groups`.
    pub fn new(initialiser: &mut Initialiser, channels: usize, groups: usize) -> Self {
        Self {
            weight: initialiser.parameter([channels], channels, Init::Ones),
            bias: initialiser.parameter([channels], channels, Init::Zeros),
            groups,
            epsilon: initialiser.epsilon,
        }
    }
}

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    pub(super) weight: Param<Tensor<2>>,
}

impl Embedding {
    /// A table of this many rows.
    pub fn new(initialiser: &mut Initialiser, rows: usize, width: usize) -> Self {
        Self { weight: initialiser.parameter([rows, width], width, Init::Normal) }
    }

    /// The shape of the table, `[rows, width]`.
    pub fn shape(&self) -> [usize; 2] {
        shape(&self.weight)
    }
}
