//! Tiles beside the definition of a convolution, in double precision.

use std::cell::RefCell;

use super::*;
use crate::lanes::Kind;
use crate::lanes::tests::{error, noise, with_each};

/// Images, inputs, outputs, height, width: channels that fill no sixteen, images smaller than a tile, odd sides,
/// more tiles than are worked on together.
const SIZES: [[usize; 5]; 8] = [
    [2, 3, 5, 7, 6],
    [1, 1, 1, 1, 1],
    [2, 5, 9, 2, 3],
    [1, 3, 32, 32, 32],
    [3, 64, 48, 4, 4],
    [40, 33, 8, 8, 8],
    [1, 3, 3, 1, 70],
    [2, 40, 17, 9, 13],
];

struct Case {
    sizes: Sizes,
    x: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    shifts: Vec<f32>,
    plus: Vec<f32>,
}

impl Case {
    fn new([images, inputs, outputs, height, width]: [usize; 5]) -> Self {
        let size = images * height * width;
        Self {
            sizes: Sizes { images, inputs, outputs, height, width },
            x: noise(1, size * inputs),
            weights: noise(2, inputs * outputs * 9),
            bias: noise(3, outputs),
            shifts: noise(4, images * outputs),
            plus: noise(5, size * outputs),
        }
    }

    /// Calls for every product of the convolution: with the place of the result, the input and the weight.
    fn products(&self, mut product: impl FnMut(usize, usize, usize)) {
        let Sizes { images, inputs, outputs, height, width } = self.sizes;
        for place in 0..images * height * width {
            let (image, row, column) = (place / (height * width), place / width % height, place % width);
            for (output, input, tap) in (0..outputs * inputs * 9).map(|at| (at / (inputs * 9), at / 9 % inputs, at % 9))
            {
                let (y, x) = (row + tap / 3, column + tap % 3);
                if (1..=height).contains(&y) && (1..=width).contains(&x) {
                    let from = ((image * height + y - 1) * width + x - 1) * inputs + input;
                    product(place * outputs + output, from, (output * inputs + input) * 9 + tap);
                }
            }
        }
    }
}

#[test]
fn tiles_are_the_convolution_and_what_is_added() {
    with_each(|kind| {
        for sizes in SIZES {
            let case = Case::new(sizes);
            let Sizes { outputs, height, width, .. } = case.sizes;
            let mut expected: Vec<f64> = (0..case.plus.len())
                .map(|at| {
                    let (output, image) = (at % outputs, at / (outputs * height * width));
                    let told = [case.bias[output], case.shifts[image * outputs + output], case.plus[at]];
                    told.into_iter().map(f64::from).sum()
                })
                .collect();
            case.products(|y, x, w| expected[y] += f64::from(case.x[x]) * f64::from(case.weights[w]));
            let epilogue = Epilogue { bias: &case.bias, shifts: Some(&case.shifts), residual: Some(&case.plus) };
            let mut found = vec![f32::NAN; expected.len()];
            // What is in the room does not matter.
            let mut room = vec![f32::NAN; 1000];
            convolve(&case.sizes, &case.x, &case.weights, epilogue, &mut room, &mut found);
            // As for the tiles of evaluations (src/nn/host/convolution.rs): each number is weighed at 36 points.
            let error = error(&found, &expected);
            assert!(error < 2.5e-5, "{kind:?} {sizes:?}: {error:e}");
        }
    });
}

#[test]
fn gradients_of_tiles_are_those_of_the_convolution() {
    with_each(|kind| {
        for sizes in SIZES {
            let case = Case::new(sizes);
            let errors = noise(6, case.plus.len());
            let already = noise(7, case.x.len());
            let mut of_x: Vec<f64> = already.iter().map(|v| f64::from(*v)).collect();
            let mut of_weights = vec![0.0; case.weights.len()];
            case.products(|y, x, w| {
                of_x[x] += f64::from(errors[y]) * f64::from(case.weights[w]);
                of_weights[w] += f64::from(errors[y]) * f64::from(case.x[x]);
            });
            let (mut found_x, mut found_weights) = (already, vec![f32::NAN; case.weights.len()]);
            let mut room = vec![f32::NAN; 1000];
            let Case { sizes: of, x, weights, .. } = &case;
            convolve_back(of, x, weights, &errors, &mut room, Some(&mut found_x), &mut found_weights);
            let (error_x, error_weights) = (error(&found_x, &of_x), error(&found_weights, &of_weights));
            assert!(error_x < 2.5e-5, "{kind:?} {sizes:?}: {error_x:e}");
            // Sums over all pixels, up to 2560, instead of channels.
            assert!(error_weights < 5e-5, "{kind:?} {sizes:?}: {error_weights:e}");
            let mut alone = vec![f32::NAN; case.weights.len()];
            convolve_back(of, x, weights, &errors, &mut room, None, &mut alone);
            assert_eq!(alone, found_weights);
        }
    });
}

#[test]
fn fused_products_of_any_width_have_the_same_bits() {
    let case = Case::new([3, 40, 33, 9, 13]);
    let found: RefCell<Vec<[Vec<f32>; 3]>> = RefCell::default();
    with_each(|kind| {
        if kind == Kind::Plain {
            return;
        }
        let [mut y, mut of_x, mut of_weights] =
            [case.plus.len(), case.x.len(), case.weights.len()].map(|n| vec![0.0; n]);
        let epilogue = Epilogue { bias: &case.bias, shifts: None, residual: None };
        let (sizes, x, weights, mut room) = (&case.sizes, &case.x, &case.weights, Vec::new());
        convolve(sizes, x, weights, epilogue, &mut room, &mut y);
        convolve_back(sizes, x, weights, &y, &mut room, Some(&mut of_x), &mut of_weights);
        found.borrow_mut().push([y, of_x, of_weights]);
    });
    let found = found.into_inner();
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}
