//! The layout of score_sde in PyTorch (Song et al. 2021): all layers in a row, `all_modules.7.Conv_0.weight`; and averaged
//! weights as a list without names.

use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::names::File;
use super::noise_levels::{NoiseLevels, SIGMAS};
use super::tensors::Stored;
use crate::diffusion::convention::{Convention, TimeConvention};
use crate::nn::unet::{Decoder, Encoder, Filter, NoiseEmbedding, Song, Style, UNetConfig};

/// Layers of a module in the order in which torch lists their parameters.
const ORDER: [&str; 11] = [
    "GroupNorm_0",
    "Conv_0",
    "Dense_0",
    "GroupNorm_1",
    "Conv_1",
    "Conv_2",
    "NIN_0",
    "NIN_1",
    "NIN_2",
    "NIN_3",
    "Conv2d_0",
];
/// Levels of the published network that is told the place of one, for pixels from -1 to 1.
const PUBLISHED: NoiseLevels = NoiseLevels { count: 1000, largest: 100.0, smallest: 0.02 };
/// Most modules.
const MOST_MODULES: usize = 1024;

/// A module in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Frequencies at which the noise level is told.
    TimeProj,
    /// A layer that embeds times.
    Linear(usize),
    /// What sees the images.
    ConvIn,
    /// A block on the way down, by level and place.
    Down(usize, usize),
    /// The attention behind it.
    DownAttention(usize, usize),
    /// What halves after a level.
    Halve(usize),
    /// What the next level is told of the image.
    Told(usize),
    /// A block in the middle.
    Middle(usize),
    /// The attention between them.
    MiddleAttention,
    /// A block on the way up, by level from the lowest and place.
    Up(usize, usize),
    /// The attention after them.
    UpAttention(usize),
    /// The normalisation before a level's part of the output.
    UpNorm(usize),
    /// A level's part of the output.
    UpConv(usize),
    /// What doubles after a level.
    Double(usize),
    /// The last normalisation.
    NormOut,
    /// The last convolution.
    ConvOut,
}

/// All modules of a network, in a row.
pub fn row(config: &UNetConfig) -> Vec<Part> {
    let song = config.style.song().unwrap_or(Song::DDPM_PP);
    let (levels, layers) = (config.multipliers.len(), config.layers);
    let mut row = Vec::new();
    if song.noise == NoiseEmbedding::Fourier {
        row.push(Part::TimeProj);
    }
    row.extend([Part::Linear(0), Part::Linear(1), Part::ConvIn]);
    let attended = |level: usize| config.attention_levels.contains(&level);
    for level in 0..levels {
        for layer in 0..layers {
            row.push(Part::Down(level, layer));
            if attended(level) {
                row.push(Part::DownAttention(level, layer));
            }
        }
        if level + 1 < levels {
            row.push(Part::Halve(level));
            if song.encoder != Encoder::Standard {
                row.push(Part::Told(level));
            }
        }
    }
    row.extend([Part::Middle(0), Part::MiddleAttention, Part::Middle(1)]);
    for block in 0..levels {
        let level = levels - 1 - block;
        row.extend((0..=layers).map(|layer| Part::Up(block, layer)));
        if attended(level) {
            row.push(Part::UpAttention(block));
        }
        if song.decoder == Decoder::Skip && level > 0 {
            row.extend([Part::UpNorm(block), Part::UpConv(block)]);
        }
        if level > 0 {
            row.push(Part::Double(block));
        }
    }
    row.extend([Part::NormOut, Part::ConvOut]);
    row
}

/// Its name of diffusers' parameter `name` in this network.
pub fn name(name: &str, config: &UNetConfig) -> Option<String> {
    let (part, inner) = part(name, config)?;
    let at = row(config).iter().position(|other| *other == part)?;
    Some(format!("all_modules.{at}.{inner}"))
}

/// The module in the row that diffusers' parameter `name` belongs to, and its name within that.
pub fn part(name: &str, config: &UNetConfig) -> Option<(Part, String)> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |text: &str| text.parse::<usize>().ok();
    Some(match &parts[..] {
        ["time_proj", _] => (Part::TimeProj, "W".to_owned()),
        ["time_embedding", layer, kind] => (Part::Linear(usize::from(*layer != "linear_1")), (*kind).to_owned()),
        ["conv_in", kind] => (Part::ConvIn, (*kind).to_owned()),
        ["conv_norm_out", kind] => (Part::NormOut, (*kind).to_owned()),
        ["conv_out", kind] => (Part::ConvOut, (*kind).to_owned()),
        ["mid_block", "resnets", index, inner @ ..] => (Part::Middle(number(index)?), block(inner)?),
        ["mid_block", "attentions", _, inner @ ..] => (Part::MiddleAttention, attention(inner)?),
        ["down_blocks", level, "resnets", index, inner @ ..] => {
            (Part::Down(number(level)?, number(index)?), block(inner)?)
        }
        ["down_blocks", level, "attentions", index, inner @ ..] => {
            (Part::DownAttention(number(level)?, number(index)?), attention(inner)?)
        }
        ["down_blocks", level, "resnet_down", inner @ ..] => (Part::Halve(number(level)?), block(inner)?),
        ["down_blocks", level, "skip_conv", kind] => {
            let layer = if config.progressive_input() == Some(Encoder::Residual) { "Conv2d_0" } else { "Conv_0" };
            (Part::Told(number(level)?), format!("{layer}.{kind}"))
        }
        ["up_blocks", block_at, "resnets", index, inner @ ..] => {
            (Part::Up(number(block_at)?, number(index)?), block(inner)?)
        }
        ["up_blocks", block_at, "attentions", _, inner @ ..] => {
            (Part::UpAttention(number(block_at)?), attention(inner)?)
        }
        ["up_blocks", block_at, "resnet_up", inner @ ..] => (Part::Double(number(block_at)?), block(inner)?),
        ["up_blocks", block_at, "skip_norm", kind] => (Part::UpNorm(number(block_at)?), (*kind).to_owned()),
        ["up_blocks", block_at, "skip_conv", kind] => (Part::UpConv(number(block_at)?), (*kind).to_owned()),
        _ => return None,
    })
}

fn block(inner: &[&str]) -> Option<String> {
    let [layer, kind] = inner else { return None };
    let layer = match *layer {
        "norm1" => "GroupNorm_0",
        "conv1" => "Conv_0",
        "time_emb_proj" => "Dense_0",
        "norm2" => "GroupNorm_1",
        "conv2" => "Conv_1",
        "conv_shortcut" => "Conv_2",
        _ => return None,
    };
    Some(format!("{layer}.{kind}"))
}

fn attention(inner: &[&str]) -> Option<String> {
    let (layer, kind) = match inner {
        ["group_norm", kind] => return Some(format!("GroupNorm_0.{kind}")),
        ["to_out", _, kind] => ("NIN_3", kind),
        ["to_q", kind] => ("NIN_0", kind),
        ["to_k", kind] => ("NIN_1", kind),
        ["to_v", kind] => ("NIN_2", kind),
        _ => return None,
    };
    Some(format!("{layer}.{}", if *kind == "weight" { "W" } else { "b" }))
}

/// Whether a tensor of this name is nothing that is learned: the noise levels.
pub fn is_idle(name: &str) -> bool {
    name == SIGMAS
}

/// The shape of the network, from the modules in a row; whether the rest agrees is seen when it is loaded.
pub fn infer(file: &File) -> Result<UNetConfig, CheckpointError> {
    let there = |at: usize, name: &str| file.shape(&format!("all_modules.{at}.{name}")).is_ok();
    let width = |at: usize, name: &str, dimension| file.length(&format!("all_modules.{at}.{name}"), dimension);
    let fourier = there(0, "W");
    let mut at = 2 + usize::from(fourier);
    let (channels, image_channels) = (width(at, "weight", 0)?, width(at, "weight", 1)?);
    at += 1;
    let (mut multipliers, mut attention_levels): (Vec<usize>, Vec<usize>) = (vec![], vec![]);
    let (mut layers, mut in_level) = (0, 0);
    let mut encoder = Encoder::Standard;
    let is_block = |at: usize| there(at, "Dense_0.weight");
    let halves = |at: usize| {
        let shape = file.shape(&format!("all_modules.{at}.Conv_2.weight"));
        matches!(shape, Ok([outputs, inputs, ..]) if outputs == inputs)
    };
    while at < MOST_MODULES && is_block(at) {
        if halves(at) {
            (layers, in_level, at) = (in_level, 0, at + 1);
            if there(at, "Conv2d_0.weight") {
                (encoder, at) = (Encoder::Residual, at + 1);
            } else if !is_block(at) && there(at, "Conv_0.weight") {
                (encoder, at) = (Encoder::Skip, at + 1);
            }
            continue;
        }
        // The lowest level ends where the middle begins.
        if layers > 0 && in_level == layers {
            break;
        }
        if in_level == 0 {
            let found = width(at, "Conv_0.weight", 0)?;
            if found % channels != 0 {
                let tensor = format!("{}all_modules.{at}.Conv_0.weight", file.prefix);
                let shape = file.shape(&format!("all_modules.{at}.Conv_0.weight"))?.to_vec();
                let mut expected = shape.clone();
                expected[0] = channels.saturating_mul(found.div_ceil(channels));
                return Err(CheckpointError::Shape { tensor, expected, found: shape });
            }
            multipliers.push(found / channels);
        }
        in_level += 1;
        at += 1;
        if there(at, "NIN_0.W") {
            let level = multipliers.len().saturating_sub(1);
            if !attention_levels.contains(&level) {
                attention_levels.push(level);
            }
            at += 1;
        }
    }
    let noise = if fourier { NoiseEmbedding::Fourier } else { NoiseEmbedding::Positional };
    // Filters leave no trace: as those have it who published such networks.
    let filter = if fourier || encoder != Encoder::Standard { Filter::Binomial } else { Filter::Box };
    let with = |decoder: Decoder| UNetConfig {
        image_channels,
        channels,
        multipliers: multipliers.clone(),
        layers,
        attention_levels: attention_levels.clone(),
        classes: 0,
        dropout: 0.0,
        learned_variance: false,
        groups: 32,
        heads: 1,
        style: Style::Song(Song { filter, encoder, decoder, noise }),
        details: None,
    };
    // A part of the output at every level makes the row longer.
    let skip = with(Decoder::Skip);
    let last = |config: &UNetConfig| there(row(config).len() - 1, "weight");
    Ok(if multipliers.len() > 1 && last(&skip) { skip } else { with(Decoder::Standard) })
}

/// The convention that such a network usually has: variance-exploding with frequencies that are drawn or, told the place of a
/// level, where the way down is told of the image; else variance-preserving. The last two leave the same trace where both were
/// trained, which only the former was published of.
pub fn convention(config: &UNetConfig, levels: Option<NoiseLevels>) -> Convention {
    match config.style.song() {
        Some(Song { noise: NoiseEmbedding::Positional, encoder: Encoder::Residual, .. }) => {
            levels.unwrap_or(PUBLISHED).convention()
        }
        Some(song) => continuous(song.noise),
        None => Convention::vp(),
    }
}

/// The convention of networks that were trained at all levels between the largest and the smallest.
pub fn continuous(noise: NoiseEmbedding) -> Convention {
    match noise {
        NoiseEmbedding::Fourier => Convention::ve(),
        NoiseEmbedding::Positional => Convention::vp(),
    }
}

/// What leaves no trace in such a file, beside the equation, and is taken to be as those have it who published such networks.
pub fn assumed(config: &UNetConfig) -> String {
    let song = config.style.song().unwrap_or(Song::DDPM_PP);
    let filter = match song.filter {
        Filter::Box => "[1, 1]",
        Filter::Binomial => "[1, 3, 3, 1]",
    };
    format!("the file does not say its filter: {filter} is assumed")
}

/// The equation of a convention, in words.
pub fn equation(convention: &Convention) -> String {
    match convention.time {
        TimeConvention::LogScaled { .. } => "variance-exploding, told the logarithm of sigma".to_owned(),
        TimeConvention::Levels { count, largest, smallest } => format!(
            "variance-exploding, told the place among {count} geometric levels from {largest:.4} to {smallest:.4} for pixels \
             from -1 to 1"
        ),
        _ => "variance-preserving, told 999 times the time of betas from 0.1 to 20".to_owned(),
    }
}

/// The names of averaged weights, which lie in a list: those of the network's parameters in torch's order, and where each is
/// in the list. None where there is no such list, or it is of another length.
pub fn averages(tensors: &BTreeMap<String, Stored>, prefix: &str) -> Option<BTreeMap<String, String>> {
    let list = |at: usize| format!("ema/shadow_params/{at}");
    let count = (0..).take_while(|at| tensors.contains_key(&list(*at))).count();
    let mut names: Vec<(usize, usize, bool, &str)> = tensors
        .keys()
        .filter_map(|name| {
            let inner = name.strip_prefix(prefix)?.strip_prefix("all_modules.")?;
            let (at, rest) = inner.split_once('.')?;
            let (layer, kind) = rest.split_once('.').unwrap_or(("", rest));
            let rank = ORDER.iter().position(|other| *other == layer).unwrap_or(0);
            // Frequencies are not trained.
            (rest != "W").then_some((at.parse().ok()?, rank, matches!(kind, "bias" | "b"), name.as_str()))
        })
        .collect();
    names.sort_unstable();
    (count > 0 && count == names.len())
        .then(|| names.into_iter().enumerate().map(|(at, (.., name))| (name.to_owned(), list(at))).collect())
}
