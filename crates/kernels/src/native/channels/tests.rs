//! Channels beside definitions, in double precision.

use super::super::bf16::places::round;
use super::*;
use crate::lanes::tests::{error, noise, with_each};

/// Images, groups, channels of a group, pixels: whole sixteens and not, more pixels than are added up at once.
const SIZES: [[usize; 4]; 6] =
    [[2, 4, 1, 9], [1, 32, 2, 70], [3, 3, 7, 1], [1, 1, 5, 100], [2, 8, 4, 64], [1, 2, 20, 33]];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The normalised images by the definition.
fn normalised(norm: &Norm<'_>, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let (channels, share) = (norm.channels(), norm.share());
    let mut found = vec![0.0; x.len()];
    for (index, x) in x.chunks_exact(channels * norm.pixels).enumerate() {
        for group in 0..norm.groups {
            let places = (0..norm.pixels * share).map(|i| i / share * channels + group * share + i % share);
            let count = (norm.pixels * share) as f64;
            let mean = places.clone().map(|at| x[at]).sum::<f64>() / count;
            let variance = places.clone().map(|at| (x[at] - mean).powi(2)).sum::<f64>() / count;
            for at in places {
                let unit = (x[at] - mean) / (variance + f64::from(norm.epsilon)).sqrt();
                let value = unit * weight[at % channels] + bias[at % channels];
                let place = index * channels * norm.pixels + at;
                found[place] = if norm.silu { value * sigmoid(value) } else { value };
            }
        }
    }
    found
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

#[test]
fn normalisation_and_its_gradients_are_those_of_the_definition() {
    with_each(|kind| {
        for ([images, groups, share, pixels], silu) in SIZES.into_iter().flat_map(|s| [(s, false), (s, true)]) {
            let channels = groups * share;
            // A mean far from zero.
            let x: Vec<f32> = noise(1, images * channels * pixels).iter().map(|x| 0.3 * x + 2.0).collect();
            let (weight, bias) = (noise(2, channels), noise(3, channels));
            let norm = Norm { pixels, groups, epsilon: 1e-6, silu, weight: &weight, bias: &bias };
            let (mut found, mut statistics) = (vec![0.0; x.len()], vec![0.0; 2 * images * channels]);
            normalise(&norm, &x, &mut found, &mut statistics);
            let grid = Grid::usual(images, 1, pixels);
            let [mut lines, mut rounded] = [(); 2].map(|()| vec![Line([7; LANES]); grid.lines(channels)]);
            let mut again = statistics.clone();
            normalise_to_lines(&norm, &x, &grid, &mut lines, &mut again);
            round(&found, channels, &grid, [1, pixels], 1, &mut rounded);
            assert!(lines == rounded && again == statistics, "{kind:?} {images} {groups} {share} {pixels} {silu}");
            let (x_, weight_, bias_) = (double(&x), double(&weight), double(&bias));
            let expected = normalised(&norm, &x_, &weight_, &bias_);
            if share * pixels == 1 {
                continue;
            }
            let off = error(&found, &expected);
            assert!(off < 2e-5, "{kind:?} {images} {groups} {share} {pixels} {silu}: {off:e}");

            let seen = noise(4, x.len());
            let mut of_x = seen.clone();
            let (mut of_weight, mut of_bias) = (vec![1.0; channels], vec![2.0; channels]);
            normalise_back(&norm, &x, &statistics, &mut of_x, &mut of_weight, &mut of_bias);
            // By differences of what the gradient is of.
            let value = |x: &[f64], weight: &[f64], bias: &[f64]| -> f64 {
                normalised(&norm, x, weight, bias).iter().zip(&seen).map(|(y, g)| y * f64::from(*g)).sum()
            };
            let slope = |of: &[f64], value: &dyn Fn(&[f64]) -> f64, start: f64| -> Vec<f64> {
                let at = |index: usize, step: f64| {
                    let mut moved = of.to_vec();
                    moved[index] += step;
                    value(&moved)
                };
                (0..of.len()).map(|index| start + (at(index, 1e-5) - at(index, -1e-5)) / 2e-5).collect()
            };
            let places = [
                (of_x, slope(&x_, &|x| value(x, &weight_, &bias_), 0.0)),
                (of_weight, slope(&weight_, &|weight| value(&x_, weight, &bias_), 1.0)),
                (of_bias, slope(&bias_, &|bias| value(&x_, &weight_, bias), 2.0)),
            ];
            for (index, (found, expected)) in places.iter().enumerate() {
                let off = error(found, expected);
                assert!(off < 5e-5, "{kind:?} {images} {groups} {share} {pixels} {silu} {index}: {off:e}");
            }
        }
    });
}

#[test]
fn weights_of_attention_and_their_gradients_are_those_of_the_definition() {
    with_each(|kind| {
        for width in [1, 3, 16, 50] {
            let (scale, rows) = (0.7_f32, 3);
            let scores: Vec<f32> = noise(1, rows * width).iter().map(|x| 5.0 * x).collect();
            let seen = noise(2, rows * width);
            let weigh_row = |row: &[f64]| -> Vec<f64> {
                let terms: Vec<f64> = row.iter().map(|x| (x * f64::from(scale)).exp()).collect();
                let sum: f64 = terms.iter().sum();
                terms.iter().map(|term| term / sum).collect()
            };
            let (mut found, mut gradient) = (scores.clone(), seen.clone());
            weigh(&mut found, width, scale);
            weigh_back(&mut gradient, &found, width, scale);
            let (mut expected, mut slopes) = (Vec::new(), Vec::new());
            for (row, seen) in double(&scores).chunks_exact(width).zip(double(&seen).chunks_exact(width)) {
                expected.extend(weigh_row(row));
                for index in 0..width {
                    let at = |step: f64| -> f64 {
                        let mut moved = row.to_vec();
                        moved[index] += step;
                        weigh_row(&moved).iter().zip(seen).map(|(w, g)| w * g).sum()
                    };
                    slopes.push((at(1e-5) - at(-1e-5)) / 2e-5);
                }
            }
            assert!(error(&found, &expected) < 1e-5, "{kind:?} {width}");
            let off = gradient.iter().zip(&slopes).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-6, "{kind:?} {width}: {off:e}");
        }
    });
}

#[test]
fn activations_and_sums_are_those_of_the_definition() {
    with_each(|kind| {
        let x: Vec<f32> = (-300..307).map(|i| 0.05 * i as f32).collect();
        let (mut found, mut slope) = (x.clone(), vec![2.0; x.len()]);
        crate::silu_in_place(&mut found);
        crate::times_silu_slope(&mut slope, &x);
        for ((x, found), slope) in double(&x).into_iter().zip(&found).zip(&slope) {
            let gate = sigmoid(x);
            let tolerance = 5e-7 * (1.0 + x.abs());
            assert!((f64::from(*found) - x * gate).abs() < tolerance, "{kind:?} {x}");
            let expected = 2.0 * gate * (1.0 + x * (1.0 - gate));
            assert!((f64::from(*slope) - expected).abs() < 2.0 * tolerance, "{kind:?} {x}");
        }
        let (channels, pixels) = (19, 70);
        let images = noise(1, 2 * channels * pixels);
        let mut sums = vec![f32::NAN; 2 * channels];
        channel_sums(&images, channels, pixels, &mut sums);
        let mut expected = vec![0.0; 2 * channels];
        for (at, value) in images.iter().enumerate() {
            expected[at / (channels * pixels) * channels + at % channels] += f64::from(*value);
        }
        assert!(error(&sums, &expected) < 1e-5, "{kind:?}");
        let (mut a, bias) = (images.clone(), noise(2, channels));
        add_bias(&mut a, &bias);
        add(&mut a, &images);
        for (at, (a, x)) in a.iter().zip(&images).enumerate() {
            assert_eq!(*a, (x + bias[at % channels]) + x, "{kind:?}");
        }
    });
}
