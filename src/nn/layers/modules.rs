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
    /// Normal about 1 with deviation 0.02 in the first so many of every so many, and 0 in the rest of them (Song and
    /// Ermon 2019).
    AboutOne(usize, usize),
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

    /// So many numbers that are drawn at once, of this standard deviation.
    pub fn drawn(&mut self, count: usize, std: f32) -> Vec<f32> {
        let mut rng = Rng::new(self.seed, Stream::Weights, self.made);
        self.made += 1;
        rng.normals(count).into_iter().map(|z| std * z).collect()
    }

    /// The device of what is made.
    pub fn device(&self) -> &Device {
        self.device
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
                Init::AboutOne(first, of) => {
                    let number = |(at, z): (usize, f32)| if at % of < first { 1.0 + 0.02 * z } else { 0.0 };
                    rng.normals(count).into_iter().enumerate().map(number).collect()
                }
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
    pub(super) bias: Option<Param<Tensor<1>>>,
    /// Pixels from one number of the kernel to the next.
    #[module(skip)]
    pub(super) dilation: usize,
}

impl Conv {
    /// From `[inputs, outputs]` channels, with a square kernel.
    pub fn new(initialiser: &mut Initialiser, [inputs, outputs]: [usize; 2], kernel: usize, init: Init) -> Self {
        let fan = inputs * kernel * kernel;
        let weight = initialiser.parameter([outputs, inputs, kernel, kernel], fan, init);
        Self { weight, bias: Some(initialiser.parameter([outputs], fan, init)), dilation: 1 }
    }

    /// The same without anything to add.
    pub fn without_bias(initialiser: &mut Initialiser, [inputs, outputs]: [usize; 2], kernel: usize) -> Self {
        let fan = inputs * kernel * kernel;
        let weight = initialiser.parameter([outputs, inputs, kernel, kernel], fan, Init::Fan);
        Self { weight, bias: None, dilation: 1 }
    }

    /// The same with the numbers of its kernels so many pixels apart (Yu and Koltun 2016).
    #[must_use]
    pub fn dilated(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// What is added to each output: zeros where there is nothing.
    pub(super) fn shifts(&self) -> Tensor<1> {
        match &self.bias {
            Some(bias) => bias.val(),
            None => cpu::tensor(vec![0.0; self.shape()[0]], [self.shape()[0]], &self.device()),
        }
    }

    /// The shape of its kernels, `[outputs, inputs, side, side]`.
    pub fn shape(&self) -> [usize; 4] {
        shape(&self.weight)
    }

    /// Rows and columns of zeros before and after with which height and width stay the same.
    pub(super) fn pad(&self) -> (usize, usize) {
        let pad = self.shape()[2] / 2 * self.dilation;
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

/// What instance normalisation adds to variances, and to that of the channels' means.
pub(super) const INSTANCE_EPSILON: f32 = 1e-5;

/// The numbers of an instance normalisation with the channels' means (Song and Ermon 2019, appendix A): of every channel a
/// scale, the share of its mean, and a shift. The same for all noise levels, or of each its own.
#[derive(Module, Debug)]
pub struct InstanceNorm {
    pub(super) alpha: Option<Param<Tensor<1>>>,
    pub(super) gamma: Option<Param<Tensor<1>>>,
    pub(super) beta: Option<Param<Tensor<1>>>,
    /// Of every level the scales, then the shares, then the shifts.
    pub(super) embed: Option<Embedding>,
}

impl InstanceNorm {
    /// For this many channels, and noise levels that it is told; 0 for none.
    pub fn new(initialiser: &mut Initialiser, channels: usize, levels: usize) -> Self {
        if levels > 0 {
            let init = Init::AboutOne(2 * channels, 3 * channels);
            let embed = Embedding { weight: initialiser.parameter([levels, 3 * channels], channels, init) };
            return Self { alpha: None, gamma: None, beta: None, embed: Some(embed) };
        }
        let mut vector = |init| Some(initialiser.parameter([channels], channels, init));
        let [alpha, gamma] = [(); 2].map(|()| vector(Init::AboutOne(1, 1)));
        Self { alpha, gamma, beta: vector(Init::Zeros), embed: None }
    }

    /// Scales, shares and shifts that are the same for all levels, in this order.
    ///
    /// # Panics
    /// When it is told levels: then these are in a table.
    pub(super) fn vectors(&self) -> [&Param<Tensor<1>>; 3] {
        [&self.gamma, &self.alpha, &self.beta].map(|vector| vector.as_ref().expect("made by InstanceNorm::new"))
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
