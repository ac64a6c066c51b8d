//! The layout of score_sde in JAX (Song et al. 2021): layers numbered by their classes, as flax names them, in the order in
//! which the network makes them; kernels and matrices with outputs last.

use super::error::CheckpointError;
use super::names::File;
use super::score_sde::{Part, part, row};
use crate::nn::unet::{Decoder, Encoder, Filter, NoiseEmbedding, Song, Style, UNetConfig};

/// A block's class.
const BLOCK: &str = "ResnetBlockBigGANpp";
/// Most blocks.
const MOST_BLOCKS: usize = 256;

/// Its class, when it is numbered with others in the row.
fn class(part: Part, encoder: Encoder) -> &'static str {
    match part {
        Part::TimeProj => "GaussianFourierProjection",
        Part::Linear(_) => "Dense",
        Part::ConvIn | Part::UpConv(_) | Part::ConvOut => "Conv",
        Part::Down(..) | Part::Halve(_) | Part::Middle(_) | Part::Up(..) | Part::Double(_) => BLOCK,
        Part::DownAttention(..) | Part::MiddleAttention | Part::UpAttention(_) => "AttnBlockpp",
        Part::Told(_) if encoder == Encoder::Residual => "Downsample",
        Part::Told(_) => "Combine",
        Part::UpNorm(_) | Part::NormOut => "GroupNorm",
    }
}

/// Its name of diffusers' parameter `name` in this network.
pub fn name(name: &str, config: &UNetConfig) -> Option<String> {
    let (at, inner) = part(name, config)?;
    let encoder = config.style.song()?.encoder;
    let (of, row) = (class(at, encoder), row(config));
    let number = row.iter().take_while(|other| **other != at).filter(|other| class(**other, encoder) == of).count();
    let kind = inner.rsplit('.').next()?;
    let layer = inner.strip_suffix(kind)?.trim_end_matches('.');
    // Layers of the research code itself call their numbers otherwise than flax's own.
    let own = layer.starts_with("NIN") || layer.starts_with("Conv2d") || at == Part::TimeProj;
    let norm = layer.starts_with("GroupNorm") || of == "GroupNorm";
    let kind = match kind {
        "weight" if norm => "scale",
        "weight" if !own => "kernel",
        same => same,
    };
    Some(if layer.is_empty() { format!("{of}_{number}/{kind}") } else { format!("{of}_{number}/{layer}/{kind}") })
}

/// The shape of the network, from its blocks; whether the rest agrees is seen when it is loaded. Names do not say which levels
/// have attention: see [`attended`].
pub fn infer(file: &File) -> Result<UNetConfig, CheckpointError> {
    let there = |name: &str| file.shape(name).is_ok();
    let (image_channels, channels) = (file.length("Conv_0/kernel", 2)?, file.length("Conv_0/kernel", 3)?);
    let is_block = |at: usize| there(&format!("{BLOCK}_{at}/Dense_0/kernel"));
    let halves = |at: usize| {
        let shape = file.shape(&format!("{BLOCK}_{at}/Conv_2/kernel"));
        matches!(shape, Ok([.., inputs, outputs]) if inputs == outputs)
    };
    let (mut multipliers, mut layers, mut in_level) = (Vec::new(), 0, 0);
    for at in (0..MOST_BLOCKS).take_while(|at| is_block(*at)) {
        if halves(at) {
            (layers, in_level) = (in_level, 0);
            continue;
        }
        // The lowest level ends where the middle begins.
        if layers > 0 && in_level == layers {
            break;
        }
        if in_level == 0 {
            let kernel = format!("{BLOCK}_{at}/Conv_0/kernel");
            let found = file.length(&kernel, 3)?;
            if found % channels != 0 {
                let shape = file.shape(&kernel)?.to_vec();
                let mut expected = shape.clone();
                expected[3] = channels.saturating_mul(found.div_ceil(channels));
                let tensor = format!("{}{kernel}", file.prefix);
                return Err(CheckpointError::Shape { tensor, expected, found: shape });
            }
            multipliers.push(found / channels);
        }
        in_level += 1;
    }
    let fourier = there("GaussianFourierProjection_0/W");
    let encoder = if there("Downsample_0/Conv2d_0/weight") {
        Encoder::Residual
    } else if there("Combine_0/Conv_0/kernel") {
        Encoder::Skip
    } else {
        Encoder::Standard
    };
    let decoder = if there("GroupNorm_1/scale") { Decoder::Skip } else { Decoder::Standard };
    let noise = if fourier { NoiseEmbedding::Fourier } else { NoiseEmbedding::Positional };
    // Filters leave no trace: as those have it who published such networks.
    let filter = if fourier || encoder != Encoder::Standard { Filter::Binomial } else { Filter::Box };
    let attention_levels = attended(file, channels, &multipliers, layers);
    Ok(UNetConfig {
        image_channels,
        channels,
        multipliers,
        layers,
        attention_levels,
        dropout: 0.0,
        style: Style::Song(Song { filter, encoder, decoder, noise }),
        ..UNetConfig::cifar10()
    })
}

/// The level that has attention beside the middle, if one has: in published networks that of 16 by 16 pixels, two above the
/// lowest of 4 by 4; where its channels are others, the first that has as many as the attention.
fn attended(file: &File, channels: usize, multipliers: &[usize], layers: usize) -> Vec<usize> {
    let count = (0..MOST_BLOCKS).take_while(|at| file.shape(&format!("AttnBlockpp_{at}/NIN_0/W")).is_ok()).count();
    // Behind every block on the way down, and once on the way up.
    let levels = count.saturating_sub(1) / (layers + 1);
    let Ok(width) = file.length("AttnBlockpp_0/NIN_0/W", 0) else { return Vec::new() };
    let usual = multipliers.len().saturating_sub(3);
    let fits = |level: &usize| multipliers.get(*level).is_some_and(|multiplier| multiplier * channels == width);
    let first = (0..multipliers.len()).find(fits);
    let level = if fits(&usual) { Some(usual) } else { first };
    if levels == 0 { Vec::new() } else { level.into_iter().collect() }
}

/// What names do not say, beside what score_sde's files never do.
pub fn assumed(config: &UNetConfig) -> Option<String> {
    let [level] = config.attention_levels[..] else { return None };
    Some(format!("flax does not name the level with attention: {level}, counted from full resolution, is assumed"))
}
