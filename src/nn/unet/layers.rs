//! Layers whose parameters have the names and shapes of PyTorch's.

use burn::module::{Module, Param, ParamId};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::module::{conv2d, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{DType, Device, FloatDType, Int, Shape, Tensor, TensorData};

use crate::nn::cpu::{self, Then};
use crate::nn::elementwise;
#[cfg(feature = "gpu")]
use crate::nn::shader::{self, Around, Movement};
#[cfg(feature = "cli")]
use crate::nn::tape::{Affine, Plus, Tape, Value};
use crate::rng::{Rng, Stream};

use super::Style;

/// Added to variances by Ho et al.
const EPSILON: f64 = 1e-6;
/// Added to variances by Nichol and Dhariwal.
const IMPROVED_EPSILON: f64 = 1e-5;

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
    style: Style,
    made: u32,
}

impl<'a> Initialiser<'a> {
    /// For the network with this seed.
    pub fn new(seed: u32, device: &'a Device, style: Style) -> Self {
        Self { seed, device, style, made: 0 }
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

/// Whether a layer is computed by [`crate::nn::cpu`]: not where derivatives are asked for.
fn on_cpu<const D: usize, const E: usize>(x: &Tensor<D>, parameter: &Param<Tensor<E>>) -> bool {
    cpu::is_cpu(&x.device()) && cpu::is_cpu(&parameter.val().device())
}

/// Whether a layer is computed by [`crate::nn::shader`].
#[cfg(feature = "gpu")]
fn in_shaders<const D: usize, const E: usize>(x: &Tensor<D>, parameter: &Param<Tensor<E>>) -> bool {
    shader::runs_on(&x.device()) && shader::runs_on(&parameter.val().device())
}

/// The tensor in the precision of a parameter, which is half or single.
fn as_of<const D: usize, const E: usize>(x: Tensor<D>, parameter: &Param<Tensor<E>>) -> Tensor<D> {
    x.cast(FloatDType::from(parameter.val().dtype()))
}

/// The tensor in single precision.
pub fn full<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // There is nothing else on the CPU, and conversions of tensors are code.
    if cpu::ONLY { x } else { x.cast(FloatDType::F32) }
}

/// The sum.
pub fn add(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    if cpu::is_cpu(&a.device()) && cpu::is_cpu(&b.device()) { cpu::add(a, b) } else { a + b }
}

/// The channels of one, then those of the other.
pub fn stack(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    if cpu::is_cpu(&a.device()) && cpu::is_cpu(&b.device()) {
        return cpu::stack(a, b);
    }
    #[cfg(feature = "gpu")]
    if shader::runs_on(&a.device()) && shader::runs_on(&b.device()) && a.dtype() == b.dtype() {
        return shader::stack(a, b);
    }
    Tensor::cat(vec![a, b], 1)
}

/// Every pixel twice in both directions.
fn double(x: Tensor<4>) -> Tensor<4> {
    if cpu::is_cpu(&x.device()) {
        return cpu::double(x);
    }
    interpolate(x, InterpolateOptions::new(InterpolateMode::Nearest).with_scale_factor([2.0, 2.0]))
}

/// SiLU of an embedding.
fn activate(x: Tensor<2>) -> Tensor<2> {
    if cpu::is_cpu(&x.device()) { cpu::edit(x, elementwise::silu_in_place) } else { silu(x) }
}

/// The sum of rows, of which either may be one for all.
fn broadcast_add(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    if !(cpu::is_cpu(&a.device()) && cpu::is_cpu(&b.device())) {
        return a + b;
    }
    let ([rows, width], [others, _], device) = (a.dims(), b.dims(), a.device());
    let (a, b, count) = (cpu::numbers(a), cpu::numbers(b), rows.max(others));
    let at = |values: &[f32], row: usize, column: usize| values[(row * width + column) % values.len()];
    let values = (0..count * width).map(|i| at(&a, i / width, i % width) + at(&b, i / width, i % width)).collect();
    cpu::tensor(values, [count, width], &device)
}

/// A number added to each channel, for each image or the same for all.
pub fn add_to_channels(x: Tensor<4>, shifts: Tensor<2>) -> Tensor<4> {
    if cpu::is_cpu(&x.device()) && cpu::is_cpu(&shifts.device()) {
        return cpu::add_to_channels(x, &cpu::numbers(shifts));
    }
    let [rows, channels] = shifts.dims();
    x + shifts.reshape([rows, channels, 1, 1])
}

/// Attention of scaled queries, keys and values, `[images, channels, pixels]`, with channels divided among the heads.
pub fn attend(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    if cpu::is_cpu(&query.device()) {
        return cpu::attend(query, key, value, heads);
    }
    #[cfg(feature = "gpu")]
    if shader::runs_on(&query.device())
        && let Some(result) = shader::attend([&query, &key, &value], heads)
    {
        return result;
    }
    let [images, channels, pixels] = query.dims();
    let parts = |y: Tensor<3>| match heads {
        1 => y,
        heads => y.reshape([images * heads, channels / heads, pixels]),
    };
    let (query, key, value) = (parts(query), parts(key), parts(value));
    // [images, looking pixel, pixel looked at], for each head
    let precision = value.dtype();
    let weights = softmax(full(query.transpose().matmul(key)), 2).cast(precision);
    value.matmul(weights.transpose()).reshape([images, channels, pixels])
}

/// A convolution, or a product with `[outputs, inputs]` matrices at every pixel when the kernel has size 1.
#[derive(Module, Debug)]
pub struct Conv {
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
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

    /// The device of the parameters.
    pub fn device(&self) -> Device {
        self.weight.lazy_device()
    }

    /// The precision of the parameters.
    #[cfg(any(not(target_arch = "wasm32"), feature = "gpu"))]
    pub fn precision(&self) -> DType {
        self.weight.val().dtype()
    }

    /// The same height and width.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let pad = self.weight.lazy_shape()[2] / 2;
        self.run(x, 1, (pad, pad))
    }

    /// Half the height and width. In Ho et al.'s style one row of zeros below and one column to the right, none above and
    /// to the left: they wrote this in TensorFlow, whose `SAME` padding it is.
    pub fn forward_halving(&self, x: Tensor<4>, style: Style) -> Tensor<4> {
        match style {
            Style::Ddpm => self.run(x, 2, (0, 1)),
            Style::Improved => self.run(x, 2, (1, 1)),
        }
    }

    /// [`Self::forward`] after a normalisation and SiLU.
    pub fn forward_after(&self, norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
        #[cfg(feature = "gpu")]
        if self.in_shaders(&x) {
            let normed = Some((norm.scales(x.clone(), None), true));
            return self.forward_around(x, Around { normed, ..Around::default() });
        }
        self.forward(norm.forward_silu(x))
    }

    /// [`Self::forward`] of an image with every pixel twice in both directions.
    pub fn forward_doubled(&self, x: Tensor<4>) -> Tensor<4> {
        #[cfg(feature = "gpu")]
        if self.in_shaders(&x) {
            return self.forward_around(x, Around { double: true, ..Around::default() });
        }
        self.forward(double(x))
    }

    /// Whether it is one pass with what is [`Around`] it.
    #[cfg(feature = "gpu")]
    pub fn in_shaders(&self, x: &Tensor<4>) -> bool {
        in_shaders(x, &self.weight)
    }

    /// [`Self::forward`] with what is around it; only where [`Self::in_shaders`] holds.
    #[cfg(feature = "gpu")]
    pub fn forward_around(&self, x: Tensor<4>, around: Around) -> Tensor<4> {
        let pad = self.weight.lazy_shape()[2] / 2;
        self.pass(x, Movement { stride: 1, pad: (pad, pad) }, around)
    }

    /// One pass of a shader; only where [`Self::in_shaders`] holds.
    #[cfg(feature = "gpu")]
    fn pass(&self, x: Tensor<4>, moved: Movement, around: Around) -> Tensor<4> {
        shader::convolve(x, self.weight.val(), self.bias.val(), moved, around)
    }

    /// [`Self::forward`] on a tape, and what is added to it.
    #[cfg(feature = "cli")]
    pub fn trace(&self, tape: &mut Tape, x: &Value, plus: Plus<'_>) -> Value {
        let pad = self.weight.lazy_shape()[2] / 2;
        tape.convolve(x, Affine::new(&self.weight, &self.bias), 1, (pad, pad), plus)
    }

    /// [`Self::forward_halving`] on a tape, in Ho et al.'s style.
    #[cfg(feature = "cli")]
    pub fn trace_halving(&self, tape: &mut Tape, x: &Value) -> Value {
        tape.convolve(x, Affine::new(&self.weight, &self.bias), 2, (0, 1), Plus::default())
    }

    fn run(&self, x: Tensor<4>, stride: usize, pad: (usize, usize)) -> Tensor<4> {
        if on_cpu(&x, &self.weight) {
            return cpu::convolve(x, &self.weight.val(), &cpu::numbers(self.bias.val()), stride, pad);
        }
        #[cfg(feature = "gpu")]
        if self.in_shaders(&x) {
            return self.pass(x, Movement { stride, pad }, Around::default());
        }
        let options = ConvOptions::new_with_padding([stride; 2], [pad; 2], [1; 2], 1);
        conv2d(as_of(x, &self.weight), self.weight.val(), Some(self.bias.val()), options)
    }
}

/// `x W^T + b`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// With a matrix of `[outputs, inputs]`.
    pub fn new(initialiser: &mut Initialiser, inputs: usize, outputs: usize, init: Init) -> Self {
        Self {
            weight: initialiser.parameter([outputs, inputs], inputs, init),
            bias: initialiser.parameter([outputs], inputs, init),
        }
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        if on_cpu(&x, &self.weight) {
            return cpu::linear(x, &self.weight.val(), &cpu::numbers(self.bias.val()));
        }
        #[cfg(feature = "gpu")]
        if in_shaders(&x, &self.weight) {
            return shader::linear(x, (self.weight.val(), self.bias.val()), None, false);
        }
        as_of(x, &self.weight).matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze::<2>()
    }

    /// SiLU of [`Self::forward`] and, if there is one, another tensor; either may be one row for all.
    pub fn forward_activated(&self, x: Tensor<2>, rest: Option<Tensor<2>>) -> Tensor<2> {
        #[cfg(feature = "gpu")]
        if in_shaders(&x, &self.weight) {
            return shader::linear(x, (self.weight.val(), self.bias.val()), rest, true);
        }
        let y = self.forward(x);
        activate(match rest {
            Some(rest) => broadcast_add(y, rest),
            None => y,
        })
    }

    /// [`Self::forward`] on a tape.
    #[cfg(feature = "cli")]
    pub fn trace(&self, tape: &mut Tape, x: &Value) -> Value {
        tape.linear(x, Affine::new(&self.weight, &self.bias))
    }

    /// [`Self::forward_pixels`] on a tape, without a factor, and what is added to it.
    #[cfg(feature = "cli")]
    pub fn trace_pixels(&self, tape: &mut Tape, x: &Value, plus: Plus<'_>) -> Value {
        tape.convolve(x, Affine::new(&self.weight, &self.bias), 1, (0, 0), plus)
    }

    /// `[images, inputs, pixels]` to `[images, outputs, pixels]`, times `k`: at every pixel, without moving the channels
    /// last.
    pub fn forward_pixels(&self, x: Tensor<3>, k: f64) -> Tensor<3> {
        if on_cpu(&x, &self.weight) {
            return cpu::linear_pixels(x, &self.weight.val(), &cpu::numbers(self.bias.val()), k as f32);
        }
        let outputs = self.bias.lazy_shape()[0];
        let y = self.weight.val().unsqueeze::<3>().matmul(as_of(x, &self.weight))
            + self.bias.val().reshape([1, outputs, 1]);
        if k == 1.0 { y } else { y * k }
    }
}

#[cfg(feature = "gpu")]
impl Linear {
    /// Whether products at every pixel are one pass with what is [`Around`] them.
    pub fn in_shaders(&self, x: &Tensor<4>) -> bool {
        in_shaders(x, &self.weight)
    }

    /// [`Self::forward_pixels`] with what is around it, `[images, outputs, 1, pixels]`.
    pub fn forward_around(&self, x: Tensor<3>, k: f64, around: Around) -> Tensor<4> {
        shader::linear_pixels(x, self.weight.val(), self.bias.val(), k, around)
    }
}

/// Normalisation of groups of channels over all pixels (Wu and He 2018), then a scale and a shift of each channel.
#[derive(Module, Debug)]
pub struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    /// For this many channels, a multiple of `groups`.
    pub fn new(initialiser: &mut Initialiser, channels: usize, groups: usize) -> Self {
        Self {
            weight: initialiser.parameter([channels], channels, Init::Ones),
            bias: initialiser.parameter([channels], channels, Init::Zeros),
            groups,
            epsilon: if initialiser.style == Style::Improved { IMPROVED_EPSILON } else { EPSILON },
        }
    }

    /// `[images, channels, height, width]`, as it came.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if on_cpu(&x, &self.weight) {
            return self.run_on_cpu(x, Then::default());
        }
        self.run(x)
    }

    /// With SiLU after it.
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        if on_cpu(&x, &self.weight) {
            return self.run_on_cpu(x, Then { scale_shift: None, silu: true });
        }
        silu(self.run(x))
    }

    /// With a scale (about 1) and a shift of each channel after it, from the two halves of `scale_shift`, and then SiLU.
    pub fn forward_scale_shift(&self, x: Tensor<4>, scale_shift: Tensor<2>) -> Tensor<4> {
        if on_cpu(&x, &self.weight) {
            return self.run_on_cpu(x, Then { scale_shift: Some(&cpu::numbers(scale_shift)), silu: true });
        }
        let [rows, count] = scale_shift.dims();
        let (scale_shift, channels) = (full(scale_shift).reshape([rows, count, 1, 1]), count / 2);
        let [scale, shift] =
            [scale_shift.clone().narrow(1, 0, channels) + 1.0, scale_shift.narrow(1, channels, channels)];
        let kind = x.dtype();
        if kind != DType::F32 {
            let [by, plus] = self.affine(&x);
            return silu(x * (by * scale.clone()).cast(kind) + (plus * scale + shift).cast(kind));
        }
        silu(self.run(x) * scale + shift)
    }

    /// What it multiplies every channel of every image by, and what it then adds, as in [`Self::forward_scale_shift`].
    #[cfg(feature = "gpu")]
    pub fn scales(&self, x: Tensor<4>, scale_shift: Option<Tensor<2>>) -> Tensor<3> {
        shader::normalisation(x, [self.weight.val(), self.bias.val()], self.groups, self.epsilon, scale_shift)
    }

    /// [`Self::forward`] on a tape, or [`Self::forward_silu`].
    #[cfg(feature = "cli")]
    pub fn trace(&self, tape: &mut Tape, x: &Value, silu: bool) -> Value {
        tape.group_norm(x, [&self.weight, &self.bias], self.groups, self.epsilon, silu)
    }

    fn run_on_cpu(&self, x: Tensor<4>, then: Then) -> Tensor<4> {
        let (weight, bias) = (cpu::numbers(self.weight.val()), cpu::numbers(self.bias.val()));
        cpu::group_norm(x, &weight, &bias, self.groups, self.epsilon, then)
    }

    fn run(&self, x: Tensor<4>) -> Tensor<4> {
        let kind = x.dtype();
        if kind != DType::F32 {
            let [by, plus] = self.affine(&x);
            return x * by.cast(kind) + plus.cast(kind);
        }
        let [images, channels, height, width] = x.dims();
        let share = channels / self.groups;
        let x = x.reshape([images, self.groups, share * height * width]);
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().square().mean_dim(2);
        let scale = (variance + self.epsilon).sqrt().recip().expand([images, self.groups, share]);
        // Both scales in one: a pass over a few channels instead of one over all pixels.
        let scale = scale.reshape([images, channels, 1, 1]) * self.weight.val().reshape([1, channels, 1, 1]);
        centred.reshape([images, channels, height, width]) * scale + self.bias.val().reshape([1, channels, 1, 1])
    }

    /// What every channel of every image is multiplied by, and then what is added: all of the normalisation that sums, in
    /// single precision, of numbers in another one.
    fn affine(&self, x: &Tensor<4>) -> [Tensor<4>; 2] {
        let [images, channels, height, width] = x.dims();
        let share = channels / self.groups;
        let x = full(x.clone()).reshape([images, self.groups, share * height * width]);
        let mean = x.clone().mean_dim(2);
        let variance = (x - mean.clone()).square().mean_dim(2);
        let channelwise =
            |of_group: Tensor<3>| of_group.expand([images, self.groups, share]).reshape([images, channels, 1, 1]);
        let scale = channelwise((variance + self.epsilon).sqrt().recip());
        let scale = scale * self.weight.val().reshape([1, channels, 1, 1]);
        let shift = self.bias.val().reshape([1, channels, 1, 1]) - channelwise(mean) * scale.clone();
        [scale, shift]
    }
}

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: Param<Tensor<2>>,
}

impl Embedding {
    /// A table of this many rows.
    pub fn new(initialiser: &mut Initialiser, rows: usize, width: usize) -> Self {
        Self { weight: initialiser.parameter([rows, width], width, Init::Normal) }
    }

    /// [`Self::forward`] on a tape.
    #[cfg(feature = "cli")]
    pub fn trace(&self, tape: &mut Tape, rows: &[usize]) -> Value {
        tape.rows(&self.weight, rows)
    }

    /// The rows of these indices.
    pub fn forward(&self, rows: &[i32]) -> Tensor<2> {
        let table = self.weight.val();
        let ([_, width], device) = (table.dims(), table.device());
        if cpu::is_cpu(&device) {
            let values = cpu::numbers(table);
            let row = |row: &i32| values.chunks_exact(width).nth(*row as usize).unwrap_or_default().iter().copied();
            return cpu::tensor(rows.iter().flat_map(row).collect(), [rows.len(), width], &device);
        }
        let rows = TensorData::new(rows.to_vec(), [rows.len()]);
        table.select(0, Tensor::<1, Int>::from_data(rows, &device))
    }
}
