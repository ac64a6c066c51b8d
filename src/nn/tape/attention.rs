//! Attention on a tape.

use kernels::native::bf16::convolution as bf16;
use kernels::native::channels::{weigh, weigh_back};
use kernels::native::tiles::Epilogue;
use kernels::product::{Product, multiply};

use super::{Buffer, Factors, Lines, Pool, Tape, Value};
use crate::nn::product::transpose_into;

/// Where the heads of `[images, pixels, channels]` are, whose channels are divided among them.
#[derive(Clone, Copy)]
struct Heads {
    images: usize,
    pixels: usize,
    channels: usize,
    heads: usize,
}

impl Heads {
    fn share(&self) -> usize {
        self.channels / self.heads.max(1)
    }

    /// Where the numbers of each head of each image begin.
    fn starts(self) -> impl Iterator<Item = usize> {
        let image =
            move |image| (0..self.heads).map(move |head| image * self.pixels * self.channels + head * self.share());
        (0..self.images).flat_map(image)
    }

    /// `c = a b` of a matrix `[pixels, pixels]`, or the other way round, and a head's numbers, for a head's.
    fn mix(&self, weights: &[f32], transposed: bool, values: &[f32], found: &mut [f32]) {
        multiply(Product {
            rows: self.pixels,
            inner: self.pixels,
            columns: self.share(),
            a: weights,
            a_steps: if transposed { [1, self.pixels] } else { [self.pixels, 1] },
            b: values,
            b_step: self.channels,
            c: found,
            c_step: self.channels,
            add: false,
        });
    }

    /// The products of the numbers of a head at every pixel with those at every pixel, `[pixels of a, pixels of b]`.
    fn compare(&self, a: &[f32], b: &[f32], room: &mut [f32], found: &mut [f32]) {
        transpose_into(b, [self.pixels, self.share()], self.channels, room);
        multiply(Product {
            rows: self.pixels,
            inner: self.share(),
            columns: self.pixels,
            a,
            a_steps: [self.channels, 1],
            b: room,
            b_step: self.pixels,
            c: found,
            c_step: self.pixels,
            add: false,
        });
    }
}

impl Tape {
    /// Attention of queries, keys and values with channels divided among the heads.
    pub fn attend(&mut self, [query, key, value]: [&Value; 3], heads: usize) -> Value {
        if self.factors == Factors::Bfloat16 {
            return self.attend_bf16([query, key, value], heads);
        }
        let [images, channels, height, width] = query.shape;
        let all = Heads { images, pixels: height * width, channels, heads };
        let (pixels, scale) = (all.pixels, (all.share() as f32).powf(-0.5));
        // Of each head [looking pixel, pixel looked at]
        let mut looks = self.pool.any(images * heads * pixels * pixels);
        let mut room = self.pool.any(all.share() * pixels);
        let mut found = self.pool.any(query.numbers().len());
        for (at, weights) in all.starts().zip(looks.chunks_exact_mut(pixels * pixels)) {
            all.compare(&query.numbers()[at..], &key.numbers()[at..], &mut room, weights);
            weigh(weights, pixels, scale);
            all.mix(weights, false, &value.numbers()[at..], &mut found[at..]);
        }
        let [query, key, value] = [query, key, value].map(Value::clone);
        self.record(found, query.shape, move |gradients, gradient| {
            let [mut of_query, mut of_key, mut of_value] = [(); 3].map(|()| gradients.pool.any(gradient.len()));
            let mut scores = gradients.pool.any(pixels * pixels);
            for (at, weights) in all.starts().zip(looks.chunks_exact(pixels * pixels)) {
                all.mix(weights, true, &gradient[at..], &mut of_value[at..]);
                all.compare(&gradient[at..], &value.numbers()[at..], &mut room, &mut scores);
                weigh_back(&mut scores, weights, pixels, scale);
                all.mix(&scores, false, &key.numbers()[at..], &mut of_query[at..]);
                all.mix(&scores, true, &query.numbers()[at..], &mut of_key[at..]);
            }
            gradients.add(&query, of_query);
            gradients.add(&key, of_key);
            gradients.add(&value, of_value);
        })
    }
}

/// Products of the numbers of a head with factors in bfloat16: as of pixels and kernels.
struct Products {
    all: Heads,
    pool: Pool,
    room: bf16::Room,
    zeros: Vec<f32>,
}

impl Products {
    fn new(all: Heads, pool: &Pool) -> Self {
        let zeros = vec![0.0; all.pixels.max(all.share())];
        Self { all, pool: pool.clone(), room: bf16::Room::default(), zeros }
    }

    /// A head's numbers without those of others, `[pixels, share]`.
    fn alone(&self, values: &[f32]) -> Buffer {
        let (share, mut found) = (self.all.share(), self.pool.any(self.all.pixels * self.all.share()));
        for (pixel, found) in values.chunks(self.all.channels).zip(found.chunks_exact_mut(share)) {
            found.copy_from_slice(&pixel[..share]);
        }
        found
    }

    /// The reverse.
    fn among(&self, alone: &[f32], values: &mut [f32]) {
        for (pixel, alone) in values.chunks_mut(self.all.channels).zip(alone.chunks_exact(self.all.share())) {
            pixel[..alone.len()].copy_from_slice(alone);
        }
    }

    fn turned(&self, values: &[f32], sizes: [usize; 2]) -> Buffer {
        let mut found = self.pool.any(values.len());
        transpose_into(values, sizes, sizes[1], &mut found);
        found
    }

    /// Of `[pixels, inputs]` and `[outputs, inputs]` the products of all rows, `[pixels, outputs]`.
    fn multiply(&mut self, a: &[f32], b: &[f32], [inputs, outputs]: [usize; 2]) -> Buffer {
        let sizes = bf16::Sizes::matrix(self.all.pixels, inputs, outputs);
        let lines = Lines::of(&self.pool, a, inputs, sizes.grid());
        let mut found = self.pool.any(self.all.pixels * outputs);
        let epilogue = Epilogue { bias: &self.zeros[..outputs], shifts: None, residual: None };
        bf16::convolve(&sizes, lines.given(), b, epilogue, &mut self.room, &mut found);
        found
    }

    /// The gradients of both for that of the products.
    fn back(&mut self, a: &[f32], b: &[f32], errors: &[f32], [inputs, outputs]: [usize; 2]) -> [Buffer; 2] {
        let sizes = bf16::Sizes::matrix(self.all.pixels, inputs, outputs);
        let lines = Lines::of(&self.pool, a, inputs, sizes.grid());
        let [mut of_a, mut of_b] = [a, b].map(|values| self.pool.any(values.len()));
        let asked = Some((&mut *of_a, false));
        bf16::convolve_back(&sizes, lines.given(), b, errors, &mut self.room, asked, &mut of_b);
        [of_a, of_b]
    }
}

impl Tape {
    /// [`Self::attend`] with the factors of products in bfloat16; the weights are computed in single precision.
    fn attend_bf16(&mut self, [query, key, value]: [&Value; 3], heads: usize) -> Value {
        let [images, channels, height, width] = query.shape;
        let all = Heads { images, pixels: height * width, channels, heads };
        let (pixels, share, scale) = (all.pixels, all.share(), (all.share() as f32).powf(-0.5));
        let mut products = Products::new(all, &self.pool);
        let mut looks = self.pool.any(images * heads * pixels * pixels);
        let mut found = self.pool.any(query.count());
        for (at, weights) in all.starts().zip(looks.chunks_exact_mut(pixels * pixels)) {
            let [query, key, value] = [query, key, value].map(|x| products.alone(&x.numbers()[at..]));
            weights.copy_from_slice(&products.multiply(&query, &key, [share, pixels]));
            weigh(weights, pixels, scale);
            let turned = products.turned(&value, [pixels, share]);
            let mixed = products.multiply(weights, &turned, [pixels, share]);
            products.among(&mixed, &mut found[at..]);
        }
        let [query, key, value] = [query, key, value].map(Value::clone);
        self.record(found, query.shape, move |gradients, gradient| {
            let [mut of_query, mut of_key, mut of_value] = [(); 3].map(|()| gradients.pool.any(gradient.len()));
            for (at, weights) in all.starts().zip(looks.chunks_exact(pixels * pixels)) {
                let [q, k, v] = [&query, &key, &value].map(|x| products.alone(&x.numbers()[at..]));
                let (errors, turned) = (products.alone(&gradient[at..]), products.turned(&v, [pixels, share]));
                let [mut scores, of_turned] = products.back(weights, &turned, &errors, [pixels, share]);
                products.among(&products.turned(&of_turned, [share, pixels]), &mut of_value[at..]);
                weigh_back(&mut scores, weights, pixels, scale);
                let [of_q, of_k] = products.back(&q, &k, &scores, [share, pixels]);
                products.among(&of_q, &mut of_query[at..]);
                products.among(&of_k, &mut of_key[at..]);
            }
            gradients.add(&query, of_query);
            gradients.add(&key, of_key);
            gradients.add(&value, of_value);
        })
    }
}
