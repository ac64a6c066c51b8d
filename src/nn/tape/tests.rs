//! Operations beside their definitions, in double precision.

use std::cell::RefCell;

use super::*;
use crate::rng::{Rng, Stream};

type Seen = Rc<RefCell<Vec<f32>>>;

fn noise(seed: u32, count: usize) -> Vec<f32> {
    Rng::new(seed, Stream::Test, 0).normals(count)
}

/// A value that keeps the gradient it gets.
fn leaf(tape: &mut Tape, seed: u32, shape: [usize; 4]) -> (Value, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let numbers = noise(seed, shape.iter().product());
    let value = tape.record(numbers.into(), shape, move |_, gradient| *kept.borrow_mut() = gradient.to_vec());
    (value, seen)
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// The largest error, for the root mean square of what is expected.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64).sqrt();
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / scale
}

#[test]
fn convolutions_and_what_is_added_are_the_definition_and_so_are_their_gradients() {
    let kinds = [(3, 1, (1, 1)), (3, 2, (0, 1)), (3, 2, (1, 1)), (1, 1, (0, 0)), (5, 1, (2, 2))];
    let sizes = [[2, 3, 5, 6, 8], [1, 16, 32, 4, 4], [3, 20, 7, 5, 3], [1, 1, 1, 7, 7]];
    for ((kernel, stride, pad), [images, inputs, outputs, height, width]) in
        kinds.into_iter().flat_map(|kind| sizes.map(|sizes| (kind, sizes)))
    {
        if height.min(width) + pad.0 + pad.1 < kernel {
            continue;
        }
        let [rows, columns] = [height, width].map(|length| (length + pad.0 + pad.1 - kernel) / stride + 1);
        let (shape, pool) = ([images, outputs, rows, columns], Pool::default());
        // The second time in the memory of the first.
        for factors in [Factors::Single, Factors::Single, Factors::Bfloat16, Factors::Bfloat16] {
            let mut tape = Tape::new(&pool).with(factors);
            // Factors rounded to 8 bits are off by 2^-9 each; the largest error is some six times a mean one, and of
            // sums of a few terms more.
            let [of_results, of_gradients] = if factors == Factors::Single { [2.5e-5, 1e-4] } else { [0.015, 0.03] };
            let (x, of_x) = leaf(&mut tape, 1, [images, inputs, height, width]);
            let (shifts, of_shifts) = leaf(&mut tape, 2, [images, outputs, 1, 1]);
            let (rest, of_rest) = leaf(&mut tape, 3, shape);
            let weight = noise(4, outputs * inputs * kernel * kernel);
            let bias = noise(5, outputs);
            let ids = [ParamId::new(), ParamId::new()];
            let numbers = Borrowed::Numbers(weight.clone());
            let layer = Affine { weight: numbers, bias: bias.clone(), kernel, ids: (ids[0], Some(ids[1])) };
            let epilogue = Epilogue { shifts: Some(&shifts), residual: Some(&rest) };
            let found = tape.convolve(&x, layer, stride, pad, epilogue);
            assert_eq!(found.shape, shape);
            let errors = noise(6, found.numbers().len());

            let mut result = double(rest.numbers());
            let (mut expected_x, mut expected_weight) = (vec![0.0; x.numbers().len()], vec![0.0; weight.len()]);
            let (mut expected_bias, mut expected_shifts) = (vec![0.0; outputs], vec![0.0; images * outputs]);
            for at in 0..result.len() {
                let (output, place) = (at % outputs, at / outputs);
                let (image, row, column) =
                    (place / (rows * columns), place / columns % rows * stride, place % columns * stride);
                let e = f64::from(errors[at]);
                result[at] += f64::from(bias[output]) + f64::from(shifts.numbers()[image * outputs + output]);
                expected_bias[output] += e;
                expected_shifts[image * outputs + output] += e;
                for tap in 0..inputs * kernel * kernel {
                    let (input, y, x_) = (tap / (kernel * kernel), tap / kernel % kernel + row, tap % kernel + column);
                    if (pad.0..height + pad.0).contains(&y) && (pad.0..width + pad.0).contains(&x_) {
                        let from = ((image * height + y - pad.0) * width + x_ - pad.0) * inputs + input;
                        let w = output * inputs * kernel * kernel + tap;
                        result[at] += f64::from(x.numbers()[from]) * f64::from(weight[w]);
                        expected_x[from] += e * f64::from(weight[w]);
                        expected_weight[w] += e * f64::from(x.numbers()[from]);
                    }
                }
            }
            let what = format!("{kernel} {stride} {pad:?}, {images} {inputs} {outputs} {height} {width}");
            assert!(error(found.numbers(), &result) < of_results, "{what}: {:e}", error(found.numbers(), &result));
            let mut gradients = tape.backward(&found, errors.clone());
            let [of_weight, of_bias] = ids.map(|id| gradients.take(id).unwrap());
            let parts = [
                (&*of_x.borrow(), expected_x),
                (&of_weight, expected_weight),
                (&of_bias, expected_bias),
                (&*of_shifts.borrow(), expected_shifts),
                (&*of_rest.borrow(), double(&errors)),
            ];
            for (index, (found, expected)) in parts.into_iter().enumerate() {
                // Sums that nearly vanish, of a single output, are off by more of themselves.
                let off = error(found, &expected);
                assert!(off < of_gradients, "{what}, {factors:?}: gradient {index} is off by {off:e}");
            }
        }
    }
}

/// Attention of `[images, pixels, channels]` by the definition.
fn attention([images, pixels, channels, heads]: [usize; 4], [query, key, value]: [&[f64]; 3]) -> Vec<f64> {
    let share = channels / heads;
    let mut found = vec![0.0; query.len()];
    for (image, head, looking) in
        (0..images * heads * pixels).map(|i| (i / (heads * pixels), i / pixels % heads, i % pixels))
    {
        let at = |pixel: usize| (image * pixels + pixel) * channels + head * share;
        let score = |looked: usize| -> f64 {
            (0..share).map(|c| query[at(looking) + c] * key[at(looked) + c]).sum::<f64>() / (share as f64).sqrt()
        };
        let weights: Vec<f64> = (0..pixels).map(|looked| score(looked).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for (looked, weight) in weights.iter().enumerate() {
            for c in 0..share {
                found[at(looking) + c] += weight / sum * value[at(looked) + c];
            }
        }
    }
    found
}

#[test]
fn attention_is_the_definition_and_so_are_its_gradients() {
    let sizes = [[2, 6, 4, 2], [1, 16, 16, 1], [1, 9, 6, 3], [1, 1, 2, 1]];
    let factors = [(Factors::Single, 1e-5), (Factors::Bfloat16, 0.05)];
    for (sizes, (factors, tolerance)) in sizes.into_iter().flat_map(|sizes| factors.map(|factors| (sizes, factors))) {
        let [images, pixels, channels, heads] = sizes;
        let mut tape = Tape::default().with(factors);
        let leaves = [1, 2, 3].map(|seed| leaf(&mut tape, seed, [images, channels, 1, pixels]));
        let found = tape.attend([&leaves[0].0, &leaves[1].0, &leaves[2].0], heads);
        let values = [0, 1, 2].map(|index: usize| double(leaves[index].0.numbers()));
        let value = |values: &[Vec<f64>; 3]| attention(sizes, [&values[0], &values[1], &values[2]]);
        assert!(error(found.numbers(), &value(&values)) < tolerance, "{sizes:?} {factors:?}");
        let errors = noise(4, found.numbers().len());
        drop(tape.backward(&found, errors.clone()));
        for (index, (_, seen)) in leaves.iter().enumerate() {
            let slope = |at: usize| {
                let moved = |step: f64| -> f64 {
                    let mut moved = values.clone();
                    moved[index][at] += step;
                    value(&moved).iter().zip(&errors).map(|(y, e)| y * f64::from(*e)).sum()
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            };
            for (at, found) in seen.borrow().iter().enumerate() {
                let expected = slope(at);
                let off = (f64::from(*found) - expected).abs();
                assert!(off < tolerance, "{sizes:?} {factors:?} {index} {at}: {found} {expected}");
            }
        }
    }
}

#[test]
fn numbers_that_are_moved_and_added_bring_their_gradients_back() {
    let (images, channels, height, width) = (2, 5, 3, 4);
    let mut tape = Tape::default();
    let (a, of_a) = leaf(&mut tape, 1, [images, channels, height, width]);
    let (b, of_b) = leaf(&mut tape, 2, [images, 3, height, width]);
    let (c, of_c) = leaf(&mut tape, 3, [images, channels, height, width]);
    let sum = tape.add(&a, &c);
    let stacked = tape.stack(&sum, &b);
    let doubled = tape.double(&stacked);
    let planes = tape.planes(&doubled);
    let all = channels + 3;
    assert_eq!(planes.shape, [images, all, 2 * height, 2 * width]);
    let errors = noise(4, planes.numbers().len());
    // Where each number comes from: image, channel, row, column.
    let from = |at: usize| {
        let pixels = 4 * height * width;
        let (image, channel, pixel) = (at / (all * pixels), at / pixels % all, at % pixels);
        let place = (image * height + pixel / (2 * width) / 2) * width + pixel % (2 * width) / 2;
        (place, channel)
    };
    let (mut expected_a, mut expected_b) = (vec![0.0; a.numbers().len()], vec![0.0; b.numbers().len()]);
    for (at, (found, e)) in planes.numbers().iter().zip(&errors).enumerate() {
        match from(at) {
            (place, channel) if channel < channels => {
                let index = place * channels + channel;
                assert_eq!(*found, a.numbers()[index] + c.numbers()[index]);
                expected_a[index] += f64::from(*e);
            }
            (place, channel) => {
                let index = place * 3 + channel - channels;
                assert_eq!(*found, b.numbers()[index]);
                expected_b[index] += f64::from(*e);
            }
        }
    }
    drop(tape.backward(&planes, errors));
    assert!(error(&of_a.borrow(), &expected_a) < 1e-6);
    assert!(error(&of_b.borrow(), &expected_b) < 1e-6);
    assert_eq!(*of_a.borrow(), *of_c.borrow());
    // And there, as images are given to it.
    let images = Tape::default().images(planes.numbers(), planes.shape);
    assert_eq!(*images.numbers(), *doubled.numbers());
}
