//! Random numbers that are the same on every machine.
//!
//! A run owns one `u32` seed. Each use of randomness reads its own stream, named by a [`Stream`] and an index (the
//! training step, the solver step, …), so that changing one use never shifts another, and so that the first samples of a
//! large run are those of a small one. The generator is ChaCha8 (Bernstein 2008), counter-based; normal numbers go
//! through `libm`, whose results do not depend on the platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// What a stream of numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Initial weights of a network; the index is the layer.
    Weights = 1,
    /// Which data are drawn; the index is the training step.
    Batch = 2,
    /// Noise levels of a training step.
    Times = 3,
    /// Noise added in a training step.
    Noise = 4,
    /// The noise a sampling run starts from.
    Prior = 5,
    /// Fresh noise of a stochastic solver; the index is the solver step.
    Solver = 6,
    /// Noise of a corrector or Langevin step inside a solver step.
    Corrector = 7,
    /// Reference data for plots and metrics.
    Data = 8,
    /// Random directions: sliced distances, Hutchinson probes, sliced score matching.
    Directions = 9,
    /// Uniform numbers for accept-reject decisions.
    Accept = 10,
    /// Whatever a test needs.
    Test = 11,
    /// Noise that control of a sampler adds: to what is known, and on the way back up.
    Control = 12,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    generator: ChaCha8Rng,
    spare: Option<f64>,
}

impl Rng {
    /// The stream `(stream, index)` of the run with this seed.
    #[must_use]
    pub fn new(seed: u32, stream: Stream, index: u32) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(u64::from(seed));
        generator.set_stream((u64::from(stream as u32) << 32) | u64::from(index));
        Self { generator, spare: None }
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.generator.next_u32()
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A whole number in `0..count`; 0 when `count` is 0. The bias of at most `count / 2^32` is below anything shown.
    pub fn below(&mut self, count: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(count)) >> 32) as u32
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let angle = core::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    /// -1 or 1 with equal probability.
    pub fn sign(&mut self) -> f64 {
        if self.bits() & 1 == 0 { -1.0 } else { 1.0 }
    }

    /// `count` standard normal numbers in `f32`.
    #[must_use]
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal() as f32).collect()
    }

    /// `count` points of the standard normal distribution in the plane.
    #[must_use]
    pub fn normal_points(&mut self, count: usize) -> Vec<[f64; 2]> {
        (0..count).map(|_| [self.normal(), self.normal()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_and_repeatable() {
        let draw = |seed, stream, index| Rng::new(seed, stream, index).normals(4);
        assert_eq!(draw(7, Stream::Noise, 3), draw(7, Stream::Noise, 3));
        assert_ne!(draw(7, Stream::Noise, 3), draw(7, Stream::Noise, 4));
        assert_ne!(draw(7, Stream::Noise, 3), draw(7, Stream::Times, 3));
        assert_ne!(draw(7, Stream::Noise, 3), draw(8, Stream::Noise, 3));
    }

    #[test]
    fn the_first_numbers_do_not_depend_on_how_many_are_drawn() {
        let few = Rng::new(1, Stream::Prior, 0).normals(6);
        let many = Rng::new(1, Stream::Prior, 0).normals(600);
        assert_eq!(few[..], many[..6]);
    }

    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let count = 200_000;
        let mut rng = Rng::new(0, Stream::Test, 0);
        let (mut mean, mut square, mut fourth) = (0.0, 0.0, 0.0);
        for _ in 0..count {
            let z = rng.normal();
            mean += z;
            square += z * z;
            fourth += z.powi(4);
        }
        let n = f64::from(count);
        // Five standard errors: 1/sqrt(n), sqrt(2/n), sqrt(96/n).
        assert!((mean / n).abs() < 5.0 / n.sqrt());
        assert!((square / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!((fourth / n - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::new(3, Stream::Test, 0);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[rng.below(7) as usize] = true;
        }
        assert!(seen.iter().all(|&s| s));
        assert_eq!(rng.below(0), 0);
    }
}
