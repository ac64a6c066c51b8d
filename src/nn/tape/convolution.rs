//! Convolutions and matrices on a tape.

use std::borrow::Cow;
use std::cell::RefCell;

use kernels::native::bf16::convolution as bf16;
use kernels::native::channels::{add, add_bias, channel_sums};
use kernels::native::tiles;
use kernels::product::{Product, multiply};

use super::{Affine, Buffer, Factors, Gradients, Lines, Tape, Value};
use crate::nn::product::transpose_into;

thread_local! {
    /// What the last convolution worked in, for the next: a few megabytes at most.
    static ROOM: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static ROOM_BF16: RefCell<bf16::Room> = RefCell::default();
}

/// A convolution's epilogue: what is added to its results.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Numbers of `[images, outputs, 1, 1]`.
    pub shifts: Option<&'a Value>,
    /// As many as there are results.
    pub residual: Option<&'a Value>,
}

impl Tape {
    /// A convolution and its epilogue.
    pub fn convolve(
        &mut self,
        x: &Value,
        layer: Affine,
        stride: usize,
        pad: (usize, usize),
        epilogue: Epilogue<'_>,
    ) -> Value {
        if self.factors == Factors::Bfloat16 {
            return self.convolve_bf16(x, layer, stride, pad, epilogue);
        }
        if (layer.kernel, stride, pad) == (3, 1, (1, 1)) {
            return self.convolve_tiles(x, layer, epilogue);
        }
        let outputs = layer.bias.len();
        let unfolding = Unfolding::new(x.shape, layer.kernel, stride, pad);
        let shape = [x.shape[0], outputs, unfolding.rows, unfolding.columns];
        let weight = unfolding.transposed(&layer.weight, outputs);
        let (positions, taps) = (unfolding.positions(), unfolding.taps());
        let mut by_tap = vec![0.0; weight.len()];
        transpose_into(&weight, [outputs, taps], taps, &mut by_tap);
        let mut found = match epilogue.residual {
            Some(residual) => self.pool.copy(residual.numbers()),
            None => self.pool.any(shape.into_iter().product()),
        };
        for (part, found) in found.chunks_exact_mut((positions * outputs).max(1)).enumerate() {
            multiply(Product {
                rows: positions,
                inner: taps,
                columns: outputs,
                a: &unfolding.im2col(x.numbers(), part),
                a_steps: [taps, 1],
                b: &by_tap,
                b_step: outputs,
                c: found,
                c_step: outputs,
                add: epilogue.residual.is_some(),
            });
        }
        add_bias(&mut found, &layer.bias);
        if let Some(shifts) = epilogue.shifts {
            let images = found.chunks_exact_mut((unfolding.rows * unfolding.columns * outputs).max(1));
            images.zip(shifts.numbers().chunks_exact(outputs)).for_each(|(image, shifts)| add_bias(image, shifts));
        }
        let (x, back) = (x.clone(), Back::new(&layer, epilogue, shape));
        self.record(found, shape, move |gradients, gradient| {
            let mut of_weight = vec![0.0; weight.len()];
            let whole = unfolding.is_whole();
            let mut errors_unfolded = vec![0.0; if whole { 0 } else { positions * taps }];
            for (part, errors) in gradient.chunks_exact((positions * outputs).max(1)).enumerate() {
                multiply(Product {
                    rows: outputs,
                    inner: positions,
                    columns: taps,
                    a: errors,
                    a_steps: [1, outputs],
                    b: &unfolding.im2col(x.numbers(), part),
                    b_step: taps,
                    c: &mut of_weight,
                    c_step: taps,
                    add: true,
                });
                let product = |c, add| Product {
                    rows: positions,
                    inner: outputs,
                    columns: taps,
                    a: errors,
                    a_steps: [outputs, 1],
                    b: &weight,
                    b_step: taps,
                    c,
                    c_step: taps,
                    add,
                };
                if whole {
                    if let Some((of_x, add)) = gradients.place(&x) {
                        multiply(product(of_x, add));
                    }
                } else if let Some(of_x) = gradients.sum(&x) {
                    multiply(product(&mut errors_unfolded, false));
                    unfolding.fold(&errors_unfolded, part, of_x);
                }
            }
            gradients.learn(layer.ids.0, unfolding.turned_back(&of_weight, outputs));
            back.run(gradients, gradient);
        })
    }

    /// As products of tiles.
    fn convolve_tiles(&mut self, x: &Value, layer: Affine, epilogue: Epilogue<'_>) -> Value {
        let ([images, inputs, height, width], outputs) = (x.shape, layer.bias.len());
        let sizes = tiles::Sizes { images, inputs, outputs, height, width };
        let shape = [images, outputs, height, width];
        let mut found = self.pool.any(images * outputs * height * width);
        let added = tiles::Epilogue {
            bias: &layer.bias,
            shifts: epilogue.shifts.map(|shifts| shifts.numbers()),
            residual: epilogue.residual.map(|residual| residual.numbers()),
        };
        let mut room = ROOM.take();
        tiles::convolve(&sizes, x.numbers(), &layer.weight, added, &mut room, &mut found);
        ROOM.set(room);
        let (x, back) = (x.clone(), Back::new(&layer, epilogue, shape));
        self.record(found, shape, move |gradients, gradient| {
            let mut of_weight = vec![0.0; layer.weight.len()];
            let mut room = ROOM.take();
            let of_x = gradients.sum(&x);
            tiles::convolve_back(&sizes, x.numbers(), &layer.weight, &gradient, &mut room, of_x, &mut of_weight);
            ROOM.set(room);
            gradients.learn(layer.ids.0, of_weight);
            back.run(gradients, gradient);
        })
    }
}

impl Tape {
    /// With factors in bfloat16.
    fn convolve_bf16(
        &mut self,
        x: &Value,
        layer: Affine,
        stride: usize,
        pad: (usize, usize),
        epilogue: Epilogue<'_>,
    ) -> Value {
        let ([images, inputs, height, width], outputs) = (x.shape, layer.bias.len());
        let sizes = bf16::Sizes { images, inputs, outputs, height, width, kernel: layer.kernel, stride, pad };
        let [rows, columns] = sizes.results();
        let shape = [images, outputs, rows, columns];
        let mut found = self.pool.any(shape.into_iter().product());
        let added = tiles::Epilogue {
            bias: &layer.bias,
            shifts: epilogue.shifts.map(|shifts| shifts.numbers()),
            residual: epilogue.residual.map(|residual| residual.numbers()),
        };
        // Single pixels are the rows of a matrix, and a kernel that reaches beyond the usual places needs its own.
        let single = (height * width, layer.kernel, stride) == (1, 1, 1) && epilogue.shifts.is_none();
        let sizes = if single { bf16::Sizes::matrix(images, inputs, outputs) } else { sizes };
        let usual = !single && layer.kernel <= 3 && pad.0.max(pad.1) <= 1;
        let own = (!usual).then(|| Lines::of(&self.pool, x.numbers(), inputs, sizes.grid()));
        let given = own.as_ref().map_or_else(|| x.lines(&self.pool).given(), Lines::given);
        let mut room = ROOM_BF16.take();
        bf16::convolve(&sizes, given, &layer.weight, added, &mut room, &mut found);
        ROOM_BF16.set(room);
        let (x, back) = (x.clone(), Back::new(&layer, epilogue, shape));
        self.record(found, shape, move |gradients, gradient| {
            let mut of_weight = vec![0.0; layer.weight.len()];
            let mut room = ROOM_BF16.take();
            let pool = gradients.pool.clone();
            let given = own.as_ref().map_or_else(|| x.lines(&pool).given(), Lines::given);
            let of_x = gradients.place(&x);
            bf16::convolve_back(&sizes, given, &layer.weight, &gradient, &mut room, of_x, &mut of_weight);
            ROOM_BF16.set(room);
            gradients.learn(layer.ids.0, of_weight);
            back.run(gradients, gradient);
        })
    }
}

/// How gradients go back to what was added to a convolution.
struct Back {
    bias: Option<burn::module::ParamId>,
    shape: [usize; 4],
    shifts: Option<Value>,
    residual: Option<Value>,
}

impl Back {
    fn new(layer: &Affine, epilogue: Epilogue<'_>, shape: [usize; 4]) -> Self {
        let (shifts, residual) = (epilogue.shifts.cloned(), epilogue.residual.cloned());
        Self { bias: layer.ids.1, shape, shifts, residual }
    }

    fn run(self, gradients: &mut Gradients, gradient: Buffer) {
        let [images, outputs, height, width] = self.shape;
        let mut sums = gradients.pool.any(images * outputs);
        channel_sums(&gradient, outputs, height * width, &mut sums);
        if let Some(bias) = self.bias {
            let mut of_bias = vec![0.0; outputs];
            sums.chunks_exact(outputs.max(1)).for_each(|image| add(&mut of_bias, image));
            gradients.learn(bias, of_bias);
        }
        if let Some(shifts) = &self.shifts {
            gradients.add(shifts, sums);
        }
        if let Some(residual) = &self.residual {
            gradients.add(residual, gradient);
        }
    }
}

/// Convolutions as matrix products: what every place of the result looks at becomes a row of a matrix.
#[derive(Clone, Copy, Debug)]
struct Unfolding {
    images: usize,
    inputs: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    /// Rows and columns of zeros before.
    before: usize,
    /// Rows of the result.
    rows: usize,
    /// Columns of the result.
    columns: usize,
}

impl Unfolding {
    fn new(
        [images, inputs, height, width]: [usize; 4],
        kernel: usize,
        stride: usize,
        (before, after): (usize, usize),
    ) -> Self {
        let size = |length: usize| (length + before + after - kernel) / stride + 1;
        Self { images, inputs, height, width, kernel, stride, before, rows: size(height), columns: size(width) }
    }

    /// Whether the images are the matrix already.
    fn is_whole(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.before == 0
    }

    /// Rows of the matrix of a part: all images, or one.
    fn positions(&self) -> usize {
        self.rows * self.columns * if self.is_whole() { self.images } else { 1 }
    }

    /// Columns of the matrix: row and column of the kernel, then channels.
    fn taps(&self) -> usize {
        self.kernel * self.kernel * self.inputs
    }

    /// Says which run of the matrix of an image comes from where: start in the matrix, start in the image, length.
    fn runs(&self, mut run: impl FnMut(usize, usize, usize)) {
        let Self { inputs, height, width, kernel, stride, before, .. } = *self;
        for place in 0..self.rows * self.columns {
            let (row, column) = (place / self.columns * stride, place % self.columns * stride);
            // The columns of the kernel that are inside.
            let (start, end) = (before.saturating_sub(column), kernel.min((width + before).saturating_sub(column)));
            for down in 0..kernel {
                let y = (row + down).checked_sub(before).filter(|y| *y < height);
                if let Some(y) = y.filter(|_| start < end) {
                    let from = (y * width + column + start - before) * inputs;
                    run(((place * kernel + down) * kernel + start) * inputs, from, (end - start) * inputs);
                }
            }
        }
    }

    fn image(&self, part: usize) -> std::ops::Range<usize> {
        let size = self.height * self.width * self.inputs;
        part * size..(part + 1) * size
    }

    /// The matrix of a part, `[positions, taps]`.
    fn im2col<'a>(&self, x: &'a [f32], part: usize) -> Cow<'a, [f32]> {
        if self.is_whole() {
            return Cow::Borrowed(x);
        }
        let image = &x[self.image(part)];
        let mut matrix = vec![0.0; self.positions() * self.taps()];
        self.runs(|place, from, count| matrix[place..place + count].copy_from_slice(&image[from..from + count]));
        Cow::Owned(matrix)
    }

    /// Adds every number of a part's matrix to where it came from.
    fn fold(&self, matrix: &[f32], part: usize, x: &mut [f32]) {
        let image = &mut x[self.image(part)];
        self.runs(|place, from, count| add(&mut image[from..from + count], &matrix[place..place + count]));
    }

    /// Of kernels `[outputs, inputs, kernel, kernel]` the order of the matrix, `[outputs, taps]`.
    fn transposed(&self, weight: &[f32], outputs: usize) -> Vec<f32> {
        self.permuted(weight, outputs, [self.inputs, self.kernel * self.kernel])
    }

    /// The reverse.
    fn turned_back(&self, weight: &[f32], outputs: usize) -> Vec<f32> {
        self.permuted(weight, outputs, [self.kernel * self.kernel, self.inputs])
    }

    fn permuted(&self, weight: &[f32], outputs: usize, [rows, columns]: [usize; 2]) -> Vec<f32> {
        let mut found = vec![0.0; weight.len()];
        let each = (weight.len() / outputs.max(1)).max(1);
        for (weight, found) in weight.chunks_exact(each).zip(found.chunks_exact_mut(each)) {
            transpose_into(weight, [rows, columns], columns, found);
        }
        found
    }
}
