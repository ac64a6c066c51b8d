//! Convolutions without an im2col matrix: one product with shifted rows of a padded image.

use crate::four;

/// Output channels worked on at once.
pub const CHANNELS: usize = 4;
/// Positions worked on at once: with four channels, as many sums as there are vector registers in WebAssembly's engines
/// beside their operands.
pub const POSITIONS: usize = 12;

const GROUPS: usize = POSITIONS / 4;

/// The length of a row of results for this many positions.
#[must_use]
pub const fn row_length(positions: usize) -> usize {
    positions.next_multiple_of(POSITIONS)
}

/// `[outputs, taps]` weights in the order that [`convolve`] reads them: four outputs at a time, tap by tap; zeros fill up.
#[inline(never)]
#[must_use]
pub fn pack(weights: &[f32], taps: usize) -> Vec<f32> {
    let block = CHANNELS * taps.max(1);
    let mut packed = vec![0.0; weights.len().next_multiple_of(block)];
    for (packed, rows) in packed.chunks_exact_mut(block).zip(weights.chunks(block)) {
        for (index, row) in rows.chunks_exact(taps.max(1)).enumerate() {
            for (place, weight) in packed[index..].iter_mut().step_by(CHANNELS).zip(row) {
                *place = *weight;
            }
        }
    }
    packed
}

/// `out[c][p] = bias[c] + sum over taps of weight[c][tap] input[offsets[tap] + p]`, for positions up to `positions`, in
/// rows of [`row_length`]. `weights` are packed, `bias` and `out` are filled up to a multiple of [`CHANNELS`].
///
/// # Panics
/// When `input` ends before the last place and a row's length.
#[cfg_attr(all(target_arch = "wasm32", feature = "relaxed"), target_feature(enable = "relaxed-simd"))]
#[inline(never)]
pub fn convolve(input: &[f32], offsets: &[usize], weights: &[f32], bias: &[f32], positions: usize, out: &mut [f32]) {
    let length = row_length(positions);
    let blocks = weights.chunks_exact(CHANNELS * offsets.len().max(1)).zip(bias.chunks_exact(CHANNELS));
    for ((weights, bias), rows) in blocks.zip(out.chunks_exact_mut(CHANNELS * length.max(1))) {
        for start in (0..length).step_by(POSITIONS) {
            let mut sums = [[four::splat(0.0); GROUPS]; CHANNELS];
            for (sums, bias) in sums.iter_mut().zip(bias) {
                *sums = [four::splat(*bias); GROUPS];
            }
            for (place, weights) in offsets.iter().zip(weights.as_chunks::<CHANNELS>().0) {
                let input = &input[place + start..][..POSITIONS];
                let mut x = [four::splat(0.0); GROUPS];
                for (x, input) in x.iter_mut().zip(input.as_chunks().0) {
                    *x = four::load(input);
                }
                for (sums, weight) in sums.iter_mut().zip(weights) {
                    let weight = four::splat(*weight);
                    for (sum, x) in sums.iter_mut().zip(&x) {
                        *sum = four::multiply_add(weight, *x, *sum);
                    }
                }
            }
            for (row, sums) in rows.chunks_exact_mut(length).zip(&sums) {
                for (place, sum) in row[start..start + POSITIONS].as_chunks_mut().0.iter_mut().zip(sums) {
                    *place = four::numbers(*sum);
                }
            }
        }
    }
}

/// `out[c][p] = bias[c] + sum over channels of weight[c][channel] input[channel][p]` for every pixel, with `weights` packed and
/// `out` in rows of `pixels`. `bias` is filled up to a multiple of [`CHANNELS`].
///
/// # Panics
/// When `input` is shorter than channels of `pixels`.
#[inline(never)]
pub fn multiply(input: &[f32], channels: usize, weights: &[f32], bias: &[f32], pixels: usize, out: &mut [f32]) {
    let blocks = weights.chunks_exact(CHANNELS * channels.max(1)).zip(bias.chunks_exact(CHANNELS));
    for ((weights, bias), out) in blocks.zip(out.chunks_mut(CHANNELS * pixels.max(1))) {
        let mut start = 0;
        while start < pixels {
            // In an order that leaves no single group where there were four.
            start += 4 * match (pixels - start) / 4 {
                0 => multiply_groups::<1, false>(input, weights, bias, pixels, start, out),
                1 => multiply_groups::<1, true>(input, weights, bias, pixels, start, out),
                2 | 4 => multiply_groups::<2, true>(input, weights, bias, pixels, start, out),
                _ => multiply_groups::<GROUPS, true>(input, weights, bias, pixels, start, out),
            };
        }
    }
}

/// For `G` groups of four pixels that are all there, or for what is left. Says how many groups they were.
#[cfg_attr(all(target_arch = "wasm32", feature = "relaxed"), target_feature(enable = "relaxed-simd"))]
#[inline(never)]
fn multiply_groups<const G: usize, const FULL: bool>(
    input: &[f32],
    weights: &[f32],
    bias: &[f32],
    pixels: usize,
    start: usize,
    out: &mut [f32],
) -> usize {
    let mut sums = [[four::splat(0.0); G]; CHANNELS];
    for (sums, bias) in sums.iter_mut().zip(bias) {
        *sums = [four::splat(*bias); G];
    }
    let mut at = start;
    for weights in weights.as_chunks::<CHANNELS>().0 {
        let mut x = [four::splat(0.0); G];
        if FULL {
            for (x, line) in x.iter_mut().zip(input[at..at + 4 * G].as_chunks().0) {
                *x = four::load(line);
            }
        } else {
            x = [four::load_from(&input[..at - start + pixels], at); G];
        }
        at += pixels;
        for (sums, weight) in sums.iter_mut().zip(weights) {
            let weight = four::splat(*weight);
            for (sum, x) in sums.iter_mut().zip(&x) {
                *sum = four::multiply_add(weight, *x, *sum);
            }
        }
    }
    for (line, sums) in out.chunks_exact_mut(pixels).zip(sums) {
        for (outputs, sum) in line[start..pixels.min(start + 4 * G)].chunks_mut(4).zip(sums) {
            four::store_into(outputs, sum);
        }
    }
    G
}
