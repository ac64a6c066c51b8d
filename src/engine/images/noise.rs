//! The noise of images: each from its own seed, whatever else is in the batch.

use burn::tensor::Device;

use super::pictures::Pictures;
use crate::diffusion::NoiseUse;
use crate::lab::RunConfig;
use crate::lab::images::{Other, Start, seed_of, start_of};
use crate::rng::{Rng, Stream};

/// The unit noise that a run of images starts from.
#[must_use]
pub fn starting_noise(config: &RunConfig, [images, channels, height, width]: [usize; 4], device: &Device) -> Pictures {
    let count = channels * height * width;
    let prior = |seed, index| Rng::new(seed, Stream::Prior, index).normals(count);
    let mut values = Vec::with_capacity(images * count);
    for image in 0..images as u32 {
        values.extend(match start_of(config, image) {
            Start::Seed(seed) => prior(seed, 0),
            Start::Between { from, to, share } => {
                let other = match to {
                    Other::Seed(seed) => prior(seed, 0),
                    Other::Neighbour(index) => prior(from, index),
                };
                great_circle(&prior(from, 0), &other, share)
            }
        });
    }
    Pictures::new(values, [images, channels, height, width], device)
}

/// Fresh unit noise for a step of a run of images.
#[must_use]
pub fn step_noise(config: &RunConfig, like: &Pictures, usage: NoiseUse) -> Pictures {
    let [images, channels, height, width] = like.0.dims();
    let count = channels * height * width;
    let mut values = Vec::with_capacity(images * count);
    for image in 0..images as u32 {
        values.extend(Rng::new(seed_of(config, image), usage.stream, usage.index).normals(count));
    }
    Pictures::new(values, like.0.dims(), &like.0.device())
}

/// The point at this share of the way from `a` to `b` along a great circle (Shoemake 1985), which keeps the length that
/// noise has, as a straight line would not. The ends are exact.
#[must_use]
pub fn great_circle(a: &[f32], b: &[f32], share: f64) -> Vec<f32> {
    if share <= 0.0 {
        return a.to_vec();
    }
    if share >= 1.0 {
        return b.to_vec();
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let angle = libm::acos(cosine.clamp(-1.0, 1.0));
    let sine = libm::sin(angle);
    let (from, to) = if sine.is_nan() || sine < 1e-6 {
        (1.0 - share, share)
    } else {
        (libm::sin((1.0 - share) * angle) / sine, libm::sin(share * angle) / sine)
    };
    a.iter().zip(b).map(|(a, b)| (from * f64::from(*a) + to * f64::from(*b)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_great_circle_keeps_the_length_and_halves_the_angle() {
        let (a, b) = ([1.0, 0.0], [0.0, 1.0]);
        let middle = great_circle(&a, &b, 0.5);
        assert!((middle[0] - 0.5_f32.sqrt()).abs() < 1e-6 && (middle[1] - 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(great_circle(&a, &b, 0.0), a);
        assert_eq!(great_circle(&a, &b, 1.0), b);
        assert_eq!(great_circle(&a, &a, 0.3), a);
        let third = great_circle(&a, &b, 1.0 / 3.0);
        assert!((third[1] - 0.5).abs() < 1e-6, "the sine of 30 degrees");
    }
}
