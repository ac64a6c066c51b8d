//! Images whose pixels are repeated: their diffusion is that of the means of their blocks, with less noise.

use super::level::{Denoiser, Estimate, Level, State};

/// A denoiser for the block means of images every pixel of which is repeated `side` by `side` times, made of the denoiser of
/// the images before that.
///
/// The mean of a block of `side^2` pixels has the pixel's value and noise of `sigma / side`; what the pixels of a block
/// differ by is noise alone and says nothing of the data. So a sampler that walks the levels of the large images from
/// [`block_noise`] and with it makes the block means of the large samples, at the cost of small ones.
#[derive(Clone, Debug)]
pub struct BlockMeans<M> {
    /// The denoiser of the images whose pixels are not repeated.
    pub model: M,
    /// How many times a pixel is repeated along a side.
    pub side: usize,
}

/// The block means of an image of unit noise, from unit noise of as many numbers as there are blocks.
#[must_use]
pub fn block_noise<S: State>(unit: S, side: usize) -> S {
    unit.scale(1.0 / side as f64)
}

impl<S: State, M: Denoiser<S>> Denoiser<S> for BlockMeans<M> {
    type Error = M::Error;

    async fn estimate(&mut self, x: &S, level: Level) -> Result<Estimate<S>, Self::Error> {
        let seen = Level { sigma: level.sigma / self.side as f64, ..level };
        let estimate = self.model.estimate(x, seen).await?;
        // In units of the large images' noise: x = alpha data + sigma noise holds in both.
        Ok(Estimate { noise: estimate.noise.scale(1.0 / self.side as f64), ..estimate })
    }
}
