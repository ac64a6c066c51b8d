//! Attention on a tape.

use kernels::native::channels::{weigh, weigh_back};
use kernels::native::product::{Product, multiply};

use super::{Tape, Value, transpose_into};

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
        let [images, channels, height, width] = query.shape;
        let all = Heads { images, pixels: height * width, channels, heads };
        let (pixels, scale) = (all.pixels, (all.share() as f32).powf(-0.5));
        // Of each head [looking pixel, pixel looked at]
        let mut looks = self.pool.any(images * heads * pixels * pixels);
        let mut room = self.pool.any(all.share() * pixels);
        let mut found = self.pool.any(query.numbers.len());
        for (at, weights) in all.starts().zip(looks.chunks_exact_mut(pixels * pixels)) {
            all.compare(&query.numbers[at..], &key.numbers[at..], &mut room, weights);
            weigh(weights, pixels, scale);
            all.mix(weights, false, &value.numbers[at..], &mut found[at..]);
        }
        let [query, key, value] = [query, key, value].map(Value::clone);
        self.record(found, query.shape, move |gradients, gradient| {
            let [mut of_query, mut of_key, mut of_value] = [(); 3].map(|()| gradients.pool.any(gradient.len()));
            let mut scores = gradients.pool.any(pixels * pixels);
            for (at, weights) in all.starts().zip(looks.chunks_exact(pixels * pixels)) {
                all.mix(weights, true, &gradient[at..], &mut of_value[at..]);
                all.compare(&gradient[at..], &value.numbers[at..], &mut room, &mut scores);
                weigh_back(&mut scores, weights, pixels, scale);
                all.mix(&scores, false, &key.numbers[at..], &mut of_query[at..]);
                all.mix(&scores, true, &query.numbers[at..], &mut of_key[at..]);
            }
            gradients.add(&query, of_query);
            gradients.add(&key, of_key);
            gradients.add(&value, of_value);
        })
    }
}
