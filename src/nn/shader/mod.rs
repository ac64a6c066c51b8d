//! Layers of a convolutional network on WebGPU, each in one pass over memory where a chain of tensor operations has ten:
//! shaders of our own between Burn's tensors.
//!
//! What is here computes what the tensor operations of `nn::layers::operations` compute; it has no derivatives. A shader
//! is written for what it does and how its work is divided; sizes are told at each launch, so that a network needs some
//! two dozen.

mod convolution;
mod program;
mod text;

use burn::backend::{Cube, DispatchDevice};
use burn::tensor::{DType, Device, Shape, Tensor};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::CubeCount;
use cubecl::ir::attributes::BufferIOAttr;
use cubecl::server::{KernelArguments, MetadataBindingInfo};

use convolution::{Convolution, Tile};
use program::{Attention, Instance, Linear, Normalisation, Program, Resample, Stack, Window, step};
use text::{Number, Rows};

pub use text::Then;

use crate::nn::device::is_software;
use crate::nn::resampling::Resampling;

/// Whether tensors of this device are worked on here: WebGPU's, without automatic differentiation.
#[must_use]
pub fn runs_on(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Cube(cubecl::Device::Wgpu(_)))
}

/// Numbers that a workgroup has in shared memory at most; WebGPU promises 4096. A browser sets all of them to zero before a
/// shader begins, which SwiftShader compiles into instructions for each: that is what its shaders take seconds for.
fn room(device: &Device) -> usize {
    if is_software(device) { 1024 } else { 3584 }
}

/// A convolution's prologue and epilogue, which are in the same pass.
#[derive(Debug, Default)]
pub struct Fused {
    /// What channels are multiplied by and what is then added, of [`normalisation`] or [`instance_normalisation`], and what
    /// follows.
    pub norm: Option<(Tensor<3>, Then)>,
    /// Whether every pixel is seen twice in both directions.
    pub upsample: bool,
    /// Numbers to be added to the channels, for all images or each: `[1 or images, channels]`.
    pub shifts: Option<Tensor<2>>,
    /// What is added in the end, of the result's shape.
    pub residual: Option<Tensor<4>>,
}

/// How kernels move over an image.
#[derive(Clone, Copy, Debug)]
pub struct Movement {
    /// Pixels from one place to the next.
    pub stride: usize,
    /// Zeros above and to the left, and below and to the right.
    pub pad: (usize, usize),
    /// Pixels from one number of a kernel to the next.
    pub dilation: usize,
}

fn buffer<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    into_contiguous(tensor.try_into_primitive::<Cube>().expect("a tensor of a device that this module runs on"))
}

fn number(buffer: &CubeTensor) -> Number {
    if buffer.dtype == DType::F16 { Number::Half } else { Number::Single }
}

fn rows(of: Option<&Tensor<2>>) -> Rows {
    Rows::new(of.map_or(0, |tensor| tensor.dims()[0]))
}

/// Runs a program on these buffers and with these sizes, each of at most 32 bits. `number` is what it writes.
fn launch<const D: usize>(
    program: Program,
    groups: [usize; 3],
    read: Vec<CubeTensor>,
    sizes: &[usize],
    shape: [usize; D],
    number: Number,
) -> Tensor<D> {
    let (client, device) = (read[0].client.clone(), read[0].device.clone());
    let (dtype, bytes) = match number {
        Number::Single => (DType::F32, 4),
        Number::Half => (DType::F16, 2),
    };
    let handle = client.empty(shape.iter().product::<usize>() * bytes);
    let mut arguments = KernelArguments::new();
    for buffer in read {
        arguments = arguments.with_buffer_io(buffer.handle.binding(), BufferIOAttr::ReadOnly);
    }
    // Two numbers of 32 bits in one of 64.
    let words =
        sizes.chunks(2).map(|pair| pair[0] as u64 | (pair.get(1).map_or(0, |size| *size as u64) << 32)).collect();
    let arguments = arguments
        .with_buffer_io(handle.clone().binding(), BufferIOAttr::WriteOnly)
        .with_info(MetadataBindingInfo::custom(words));
    let [x, y, z] = groups.map(|count| count as u32);
    client.launch(Box::new(program), CubeCount::Static(x, y, z), arguments);
    Tensor::from_primitive::<Cube>(CubeTensor::new_contiguous(client, device, Shape::from(shape), handle, dtype))
}

/// A convolution of square kernels, `[outputs, inputs, side, side]`, with its prologue and epilogue. The result has the
/// kernels' precision.
///
/// # Panics
/// When a tensor is of a device that [`runs_on`] refuses; so do the other functions here.
#[must_use]
pub fn convolve(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, moved: Movement, fused: Fused) -> Tensor<4> {
    let ([images, inputs, height, width], [outputs, _, side, _]) = (x.dims(), weight.dims());
    let (up, pads) = (1 + usize::from(fused.upsample), moved.pad.0 + moved.pad.1);
    let result = [height, width]
        .map(|length| (length * up + pads).saturating_sub((side - 1) * moved.dilation + 1) / moved.stride + 1);
    let channels = [inputs, outputs];
    let room = room(&x.device());
    let how = Plan { channels, source: [height, width], result, side, moved, factor: 1.0, room };
    how.run(images, buffer(x), buffer(weight), buffer(bias), fused)
}

/// A matrix `[outputs, inputs]` at every pixel of `[images, inputs, pixels]`, times a factor, with prologue and
/// epilogue.
#[must_use]
pub fn linear_pixels(x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>, factor: f64, fused: Fused) -> Tensor<4> {
    let ([images, inputs, pixels], [outputs, _]) = (x.dims(), weight.dims());
    let (channels, size) = ([inputs, outputs], [1, pixels]);
    let moved = Movement { stride: 1, pad: (0, 0), dilation: 1 };
    let room = room(&x.device());
    let how = Plan { channels, source: size, result: size, side: 1, moved, factor, room };
    how.run(images, buffer(x), buffer(weight), buffer(bias), fused)
}

struct Plan {
    channels: [usize; 2],
    source: [usize; 2],
    result: [usize; 2],
    side: usize,
    moved: Movement,
    factor: f64,
    room: usize,
}

impl Plan {
    fn run(self, images: usize, x: CubeTensor, weight: CubeTensor, bias: CubeTensor, fused: Fused) -> Tensor<4> {
        let number = number(&weight);
        let [height, width] = self.result;
        let steps = [self.moved.stride, self.moved.dilation];
        let tile = Tile::new(self.channels, self.result, self.side, steps, self.room);
        let convolution = Convolution {
            tile,
            side: self.side,
            stride: self.moved.stride,
            pad: self.moved.pad.0,
            double: fused.upsample,
            normed: fused.norm.is_some(),
            then: fused.norm.as_ref().map_or(Then::Nothing, |norm| norm.1),
            dilation: self.moved.dilation,
            shifts: rows(fused.shifts.as_ref()),
            added: fused.residual.is_some(),
            of: self::number(&x),
            number,
        };
        let mut read = vec![x, weight, bias];
        read.extend(fused.norm.map(|norm| buffer(norm.0)));
        read.extend(fused.shifts.map(buffer));
        read.extend(fused.residual.map(buffer));
        let [inputs, outputs] = self.channels;
        let factor = (self.factor as f32).to_bits() as usize;
        let sizes = [inputs, outputs, self.source[0], self.source[1], height, width, factor];
        let tiles = width / tile.size[0] * (height / tile.size[1]);
        let groups = [tiles, outputs.div_ceil(4 * tile.lanes), images];
        launch(Program::Convolution(convolution), groups, read, &sizes, [images, outputs, height, width], number)
    }
}

/// What group normalisation multiplies every channel of every image by, and what it then adds, with the scale and the shift
/// of each channel in it and, in the two halves of `scale_shift`, another scale (about 1) and shift: `[images, channels, 2]`, in
/// single precision.
#[must_use]
pub fn normalisation(
    x: Tensor<4>,
    [weight, bias]: [Tensor<1>; 2],
    groups: usize,
    epsilon: f64,
    scale_shift: Option<Tensor<2>>,
) -> Tensor<3> {
    let [images, channels, height, width] = x.dims();
    let rows = rows(scale_shift.as_ref());
    let mut read = vec![buffer(x), buffer(weight), buffer(bias)];
    read.extend(scale_shift.map(buffer));
    let numbers = [number(&read[0]), read.get(3).map_or(Number::Single, number)];
    let (pixels, share) = (height * width, channels / groups);
    let program = Program::Normalisation(Normalisation {
        threads: Normalisation::threads(share * pixels),
        step: step(pixels),
        epsilon: (epsilon as f32).to_bits(),
        scale_shift: rows,
        numbers,
    });
    let sizes = [channels, share, pixels];
    launch(program, [groups, images, 1], read, &sizes, [images, channels, 2], Number::Single)
}

/// Attention of scaled queries, keys and values, `[images, channels, pixels]`, with channels divided among the heads. None
/// where shared memory has no room for it.
#[must_use]
pub fn attend(parts: &[Tensor<3>; 3], heads: usize) -> Option<Tensor<3>> {
    let [images, channels, pixels] = parts[0].dims();
    let read: Vec<CubeTensor> = parts.iter().map(|part| buffer(part.clone())).collect();
    let number = number(&read[0]);
    let attention = Attention::new(pixels, number, room(&parts[0].device()))?;
    let groups = [pixels / attention.queries, images * heads, 1];
    let program = Program::Attention(attention);
    Some(launch(program, groups, read, &[channels / heads, pixels], [images, channels, pixels], number))
}

/// `x W^T + b`, in the matrix's precision, with what may be added to it and SiLU after that. `x` and what is added may be one
/// row for all rows of the other.
#[must_use]
pub fn linear(
    x: Tensor<2>,
    (weight, bias): (Tensor<2>, Tensor<1>),
    rest: Option<Tensor<2>>,
    activated: bool,
) -> Tensor<2> {
    let ([count, inputs], [outputs, _]) = (x.dims(), weight.dims());
    let rows = [Rows::new(count), rows(rest.as_ref())];
    let count = count.max(rest.as_ref().map_or(0, |rest| rest.dims()[0]));
    let mut read = vec![buffer(x), buffer(weight), buffer(bias)];
    read.extend(rest.map(buffer));
    let numbers = [number(&read[0]), number(&read[read.len() - 1]), number(&read[1])];
    let program = Program::Linear(Linear { step: step(inputs), rows, activated, numbers });
    launch(program, [outputs.div_ceil(64), count, 1], read, &[inputs, outputs], [count, outputs], numbers[2])
}

/// The channels of one, then those of the other.
#[must_use]
pub fn stack(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let ([images, first, height, width], second) = (a.dims(), b.dims()[1]);
    let read = vec![buffer(a), buffer(b)];
    let number = number(&read[0]);
    let sizes = [first, second].map(|channels| channels * height * width);
    let step = step(sizes[0]).min(step(sizes[1]));
    let groups = [(sizes[0] + sizes[1]).div_ceil(64 * step), 1, images];
    let (program, shape) = (Program::Stack(Stack { step, number }), [images, first + second, height, width]);
    launch(program, groups, read, &sizes.map(|size| size / step), shape, number)
}

/// Maps of another height and width, after a normalisation and what follows it if there is one.
#[must_use]
pub fn resample(x: Tensor<4>, norm: Option<(Tensor<3>, Then)>, how: Resampling) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let (rows, columns) = (how.length(height), how.length(width));
    let mut read = vec![buffer(x)];
    let number = number(&read[0]);
    let (normed, then) = (norm.is_some(), norm.as_ref().map_or(Then::Nothing, |norm| norm.1));
    read.extend(norm.map(|norm| buffer(norm.0)));
    let program = Program::Resample(Resample { how, normed, then, number });
    let groups = [(channels * rows * columns).div_ceil(64), 1, images];
    let sizes = [channels, height, width, rows, columns];
    launch(program, groups, read, &sizes, [images, channels, rows, columns], number)
}

/// The largest number in a square of this odd side around every pixel, and then what follows; with a side of 1 only that.
#[must_use]
pub fn window(x: Tensor<4>, side: usize, then: Then) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let read = vec![buffer(x)];
    let number = number(&read[0]);
    let groups = [(channels * height * width).div_ceil(64), 1, images];
    let program = Program::Window(Window { side, then, number });
    launch(program, groups, read, &[channels, height, width], [images, channels, height, width], number)
}

/// What an instance normalisation with the channels' means multiplies every channel of every image by, and what it then adds,
/// for `[1 or images, 3 channels]` scales, shares of means and shifts: as [`normalisation`].
#[must_use]
pub fn instance_normalisation(x: Tensor<4>, scales: Tensor<2>, epsilon: f32) -> Tensor<3> {
    let [images, channels, height, width] = x.dims();
    let rows = rows(Some(&scales));
    let read = vec![buffer(x), buffer(scales)];
    let numbers = [number(&read[0]), number(&read[1])];
    let program = Program::Instance(Instance { epsilon: epsilon.to_bits(), rows, numbers });
    let sizes = [channels, height * width];
    launch(program, [images, 1, 1], read, &sizes, [images, channels, 2], Number::Single)
}
