//! The layout of OpenAI's improved-diffusion (Nichol and Dhariwal 2021): all blocks of a side in a row, and the three
//! matrices of an attention in one.

use super::error::CheckpointError;
use super::names::File;
use crate::nn::unet::{Style, UNetConfig};

/// Heads of their networks for CIFAR-10.
const HEADS: usize = 4;
/// Most blocks of a side.
const MOST_BLOCKS: usize = 256;

/// Their name of diffusers' parameter `name`, in a network with so many layers a level.
pub fn name(name: &str, layers: usize, there: impl Fn(&str) -> bool) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |text: &str| text.parse::<usize>().ok();
    match &parts[..] {
        ["time_embedding", layer, kind] => {
            Some(format!("time_embed.{}.{kind}", if *layer == "linear_1" { 0 } else { 2 }))
        }
        ["class_embedding", kind] => Some(format!("label_emb.{kind}")),
        ["conv_in", kind] => Some(format!("input_blocks.0.0.{kind}")),
        ["conv_norm_out", kind] => Some(format!("out.0.{kind}")),
        ["conv_out", kind] => Some(format!("out.2.{kind}")),
        ["mid_block", "resnets", index, inner @ ..] => {
            Some(format!("middle_block.{}.{}", 2 * number(index)?, block(inner)?))
        }
        ["mid_block", "attentions", _, inner @ ..] => Some(format!("middle_block.1.{}", attention(inner)?)),
        ["down_blocks", level, kind, index, inner @ ..] => {
            let first = number(level)?.checked_mul(layers + 1)?.checked_add(1)?;
            let (at, rest) = match *kind {
                "resnets" => (number(index)?, format!("0.{}", block(inner)?)),
                "attentions" => (number(index)?, format!("1.{}", attention(inner)?)),
                _ => (layers, format!("0.op.{}", inner.last()?)),
            };
            Some(format!("input_blocks.{}.{rest}", first.checked_add(at)?))
        }
        ["up_blocks", level, kind, index, inner @ ..] => {
            let first = number(level)?.checked_mul(layers + 1)?;
            let (at, rest) = match *kind {
                "resnets" => (number(index)?, format!("0.{}", block(inner)?)),
                "attentions" => (number(index)?, format!("1.{}", attention(inner)?)),
                _ => {
                    // After the attention of the last block, where there is one.
                    let at = first.checked_add(layers)?;
                    let place =
                        |place: usize| format!("output_blocks.{at}.{place}.conv.{}", inner.last().unwrap_or(&""));
                    return Some(if there(&place(2)) { place(2) } else { place(1) });
                }
            };
            Some(format!("output_blocks.{}.{rest}", first.checked_add(at)?))
        }
        _ => None,
    }
}

fn block(inner: &[&str]) -> Option<String> {
    let [layer, kind] = inner else { return None };
    let layer = match *layer {
        "norm1" => "in_layers.0",
        "conv1" => "in_layers.2",
        "time_emb_proj" => "emb_layers.1",
        "norm2" => "out_layers.0",
        "conv2" => "out_layers.3",
        "conv_shortcut" => "skip_connection",
        _ => return None,
    };
    Some(format!("{layer}.{kind}"))
}

fn attention(inner: &[&str]) -> Option<String> {
    match inner {
        ["group_norm", kind] => Some(format!("norm.{kind}")),
        ["to_q" | "to_k" | "to_v", kind] => Some(format!("qkv.{kind}")),
        ["to_out", "0", kind] => Some(format!("proj_out.{kind}")),
        _ => None,
    }
}

/// The shape of the network, from the way down; whether the rest agrees is seen when it is loaded.
pub fn infer(file: &File) -> Result<UNetConfig, CheckpointError> {
    let there = |name: &str| file.shape(name).is_ok();
    let channels = file.length("input_blocks.0.0.weight", 0)?;
    let image_channels = file.length("input_blocks.0.0.weight", 1)?;
    let outputs = file.length("out.2.weight", 0)?;
    let (mut widths, mut attention_levels, mut layers) = (Vec::new(), Vec::new(), 0);
    let mut in_level = 0;
    for index in 1..MOST_BLOCKS {
        if there(&format!("input_blocks.{index}.0.op.weight")) {
            in_level = 0;
            continue;
        }
        let convolution = format!("input_blocks.{index}.0.in_layers.2.weight");
        if !there(&convolution) {
            break;
        }
        if in_level == 0 {
            let width = file.length(&convolution, 0)?;
            if width % channels != 0 {
                let mut expected = file.shape(&convolution)?.to_vec();
                expected[0] = channels.saturating_mul(width.div_ceil(channels));
                let found = file.shape(&convolution)?.to_vec();
                return Err(CheckpointError::Shape { tensor: convolution, expected, found });
            }
            widths.push(width / channels);
        }
        in_level += 1;
        if widths.len() == 1 {
            layers = in_level;
        }
        let level = widths.len() - 1;
        if there(&format!("input_blocks.{index}.1.qkv.weight")) && !attention_levels.contains(&level) {
            attention_levels.push(level);
        }
    }
    let mut config = UNetConfig {
        image_channels,
        channels,
        multipliers: widths,
        layers,
        attention_levels,
        classes: file.length("label_emb.weight", 0).unwrap_or(0),
        dropout: 0.0,
        learned_variance: outputs == image_channels.saturating_mul(2),
        groups: 32,
        heads: HEADS,
        style: Style::Improved,
        details: None,
    };
    // Its class-conditional networks are never without a class.
    config.set_without_class(config.classes == 0);
    Ok(config)
}
