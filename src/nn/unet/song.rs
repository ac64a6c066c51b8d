//! What distinguishes the networks of Song et al. 2021 (arXiv 2011.13456), DDPM++ and NCSN++, and Karras et al. 2022
//! (arXiv 2206.00364) who use the same, from Ho et al.'s.

use serde::{Deserialize, Serialize};

pub use crate::nn::resampling::Filter;

/// Details of a network of Song et al.: residual blocks that halve or double (Brock et al. 2019), sums divided by the root
/// of 2, attention once a level on the way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Song {
    /// The filter where height and width change.
    pub filter: Filter,
    /// What the way down is told of the image at lower resolution.
    pub encoder: Encoder,
    /// Where on the way up the output comes from.
    pub decoder: Decoder,
    /// How the network is told the noise level.
    pub noise: NoiseEmbedding,
}

impl Song {
    /// DDPM++.
    pub const DDPM_PP: Self = Self {
        filter: Filter::Box,
        encoder: Encoder::Standard,
        decoder: Decoder::Standard,
        noise: NoiseEmbedding::Positional,
    };
    /// NCSN++.
    pub const NCSN_PP: Self = Self {
        filter: Filter::Binomial,
        encoder: Encoder::Residual,
        decoder: Decoder::Standard,
        noise: NoiseEmbedding::Fourier,
    };
}

/// Progressive input: what the way down is told of the image at lower resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoder {
    /// Nothing.
    Standard,
    /// Convolutions that halve, from the image on, each added to the level below.
    Residual,
    /// The halved image, by a product at every pixel added to the level below.
    Skip,
}

/// Progressive output: where the output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// The level of full resolution.
    Standard,
    /// The sum over all levels, doubled from one to the next.
    Skip,
}

/// Features of a noise level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseEmbedding {
    /// Sines and cosines of even frequencies in the logarithm, as Ho et al.
    Positional,
    /// Sines and cosines of random frequencies, which are in the file (Tancik et al. 2020).
    Fourier,
}
