//! The layout of EDM's `SongUNet` (Karras et al. 2022): every layer under the resolution that it works at.

use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::names::File;
use super::pickle::Plain;
use crate::diffusion::Prediction;
use crate::diffusion::convention::{Convention, InputScale, TimeConvention};
use crate::nn::unet::{Decoder, Encoder, Filter, NoiseEmbedding, Song, Style, UNetConfig};

/// Most halvings.
const MOST_LEVELS: usize = 10;
/// What the first layer's name ends with.
const MARK: &str = "_conv.weight";

/// Where a network is, and the side of its images, when this is the name of its first layer: `enc.32x32_conv.weight`.
pub fn mark(name: &str) -> Option<(&str, usize)> {
    let (prefix, side) = name.strip_suffix(MARK)?.rsplit_once("enc.")?;
    let (height, width) = side.split_once('x')?;
    (height == width).then_some((prefix, height.parse().ok()?))
}

/// Its name of diffusers' parameter `name`, in a network of so many levels and layers for images of this side.
pub fn name(name: &str, side: usize, levels: usize, layers: usize, there: impl Fn(&str) -> bool) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |text: &str| text.parse::<usize>().ok();
    let at = |level: usize| {
        let side = side >> level.min(MOST_LEVELS);
        format!("{side}x{side}")
    };
    let full = at(0);
    Some(match &parts[..] {
        ["conv_in", kind] => format!("enc.{full}_conv.{kind}"),
        ["conv_norm_out", kind] => format!("dec.{full}_aux_norm.{kind}"),
        ["conv_out", kind] => format!("dec.{full}_aux_conv.{kind}"),
        ["time_proj", _] => "map_noise.freqs".to_owned(),
        ["time_embedding", "linear_1", kind] => format!("map_layer0.{kind}"),
        ["time_embedding", _, kind] => format!("map_layer1.{kind}"),
        ["class_embedding", kind] => format!("map_label.{kind}"),
        ["mid_block", "resnets", index, inner @ ..] => {
            format!("dec.{}_in{index}.{}", at(levels.checked_sub(1)?), block(inner)?)
        }
        ["mid_block", "attentions", _, inner @ ..] => {
            format!("dec.{}_in0.{}", at(levels.checked_sub(1)?), attention(inner)?)
        }
        ["down_blocks", level, rest @ ..] => {
            let level = number(level)?;
            match rest {
                ["resnets", index, inner @ ..] => format!("enc.{}_block{index}.{}", at(level), block(inner)?),
                ["attentions", index, inner @ ..] => format!("enc.{}_block{index}.{}", at(level), attention(inner)?),
                ["resnet_down", inner @ ..] => format!("enc.{}_down.{}", at(level + 1), block(inner)?),
                ["skip_conv", kind] => {
                    let residual = format!("enc.{}_aux_residual.{kind}", at(level + 1));
                    if there(&residual) { residual } else { format!("enc.{}_aux_skip.{kind}", at(level + 1)) }
                }
                _ => return None,
            }
        }
        ["up_blocks", level, rest @ ..] => {
            let level = levels.checked_sub(1)?.checked_sub(number(level)?)?;
            match rest {
                ["resnets", index, inner @ ..] => format!("dec.{}_block{index}.{}", at(level), block(inner)?),
                ["attentions", _, inner @ ..] => format!("dec.{}_block{layers}.{}", at(level), attention(inner)?),
                ["resnet_up", inner @ ..] => format!("dec.{}_up.{}", at(level.checked_sub(1)?), block(inner)?),
                ["skip_norm", kind] => format!("dec.{}_aux_norm.{kind}", at(level)),
                ["skip_conv", kind] => format!("dec.{}_aux_conv.{kind}", at(level)),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn block(inner: &[&str]) -> Option<String> {
    let [layer, kind] = inner else { return None };
    let layer = match *layer {
        "norm1" => "norm0",
        "conv1" => "conv0",
        "time_emb_proj" => "affine",
        "norm2" => "norm1",
        "conv2" => "conv1",
        "conv_shortcut" => "skip",
        _ => return None,
    };
    Some(format!("{layer}.{kind}"))
}

fn attention(inner: &[&str]) -> Option<String> {
    match inner {
        ["group_norm", kind] => Some(format!("norm2.{kind}")),
        ["to_q" | "to_k" | "to_v", kind] => Some(format!("qkv.{kind}")),
        ["to_out", "0", kind] => Some(format!("proj.{kind}")),
        _ => None,
    }
}

/// Whether a tensor of this name is nothing that has to be learned or told: filters, and what augmented images are told by.
pub fn is_idle(name: &str) -> bool {
    name.ends_with(".resample_filter") || name == "map_augment.weight"
}

/// The shape of the network, from the way down; whether the rest agrees is seen when it is loaded.
pub fn infer(file: &File, side: usize) -> Result<UNetConfig, CheckpointError> {
    let at = |level: usize| format!("{0}x{0}", side >> level);
    let there = |name: &str| file.shape(name).is_ok();
    let (first, last) = (format!("enc.{}{MARK}", at(0)), format!("dec.{}_aux_conv.weight", at(0)));
    let (channels, image_channels) = (file.length(&first, 0)?, file.length(&first, 1)?);
    let level_there = |level: &usize| there(&format!("enc.{}_block0.conv0.weight", at(*level)));
    let levels = (0..MOST_LEVELS).take_while(|level| side >> level > 0 && level_there(level)).count();
    let layers = (0..64).take_while(|i| there(&format!("enc.{}_block{i}.conv0.weight", at(0)))).count();
    let mut multipliers = Vec::with_capacity(levels);
    let mut attention_levels = Vec::new();
    for level in 0..levels {
        let name = format!("enc.{}_block0.conv0.weight", at(level));
        let width = file.length(&name, 0)?;
        if width % channels != 0 {
            let mut expected = file.shape(&name)?.to_vec();
            expected[0] = channels.saturating_mul(width.div_ceil(channels));
            let found = file.shape(&name)?.to_vec();
            return Err(CheckpointError::Shape { tensor: format!("{}{name}", file.prefix), expected, found });
        }
        multipliers.push(width / channels);
        if there(&format!("enc.{}_block0.qkv.weight", at(level))) {
            attention_levels.push(level);
        }
    }
    // The filter lies beside every convolution that changes the size.
    let filter = match file.shape(&format!("enc.{}_down.conv0.resample_filter", at(1))) {
        Ok([_, _, _, 4]) => Filter::Binomial,
        _ => Filter::Box,
    };
    let encoder = if there(&format!("enc.{}_aux_residual.weight", at(1))) {
        Encoder::Residual
    } else if there(&format!("enc.{}_aux_skip.weight", at(1))) {
        Encoder::Skip
    } else {
        Encoder::Standard
    };
    let below = there(&format!("dec.{}_aux_conv.weight", at(levels.saturating_sub(1))));
    let decoder = if levels > 1 && below { Decoder::Skip } else { Decoder::Standard };
    let fourier = there("map_noise.freqs") && file.length("map_layer0.weight", 1)? > channels;
    let noise = if fourier { NoiseEmbedding::Fourier } else { NoiseEmbedding::Positional };
    let mut config = UNetConfig {
        image_channels,
        channels,
        multipliers,
        layers,
        attention_levels,
        classes: file.length("map_label.weight", 1).unwrap_or(0),
        dropout: 0.0,
        learned_variance: file.length(&last, 0)? == image_channels.saturating_mul(2),
        groups: 32,
        heads: 1,
        style: Style::Song(Song { filter, encoder, decoder, noise }),
        details: None,
    };
    // Those that were told classes always were.
    config.set_without_class(config.classes == 0);
    Ok(config)
}

/// The convention that the preconditioning in the file says, by the settings beside the network; EDM's own when it says
/// nothing.
///
/// # Errors
/// The name of a preconditioning that does not run here.
pub fn convention(settings: &BTreeMap<String, Plain>, prefix: &str) -> Result<Convention, String> {
    // `ema/model.`: the preconditioning is what the network is in.
    let around = prefix.trim_end_matches("model.");
    let of = |name: &str| settings.get(&format!("{around}{name}"));
    let number = |name: &str, usual: f64| match of(name) {
        Some(Plain::Number(number)) => *number,
        _ => usual,
    };
    let class = match of("class_name") {
        Some(Plain::Text(class)) => class.as_str(),
        _ => "EDMPrecond",
    };
    Ok(match class {
        "EDMPrecond" => {
            let data_std = number("sigma_data", 0.5);
            Convention {
                prediction: Prediction::Karras { data_std },
                input: InputScale::Karras { data_std },
                time: TimeConvention::LogSigma { factor: 0.25 },
            }
        }
        "VEPrecond" => Convention::ve(),
        "VPPrecond" => {
            let (beta_min, growth) = (number("beta_min", 0.1), number("beta_d", 19.9));
            let time =
                TimeConvention::Linear { beta_min, beta_max: beta_min + growth, scale: number("M", 1000.0) - 1.0 };
            Convention { prediction: Prediction::Noise, input: InputScale::Preserving, time }
        }
        other => return Err(other.to_owned()),
    })
}
