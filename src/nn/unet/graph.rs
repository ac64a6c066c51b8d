//! The graph of the U-Net, over any interpreter of its layers.

use super::blocks::{Attention, DownBlock, MidBlock, Resnet, UpBlock};
use super::config::{Style, UNetConfig};
use super::network::UNet;
use crate::nn::layers::{Fused, Layers, Source};

/// The activated embedding of times, by their features, and of classes, by their rows in the table.
pub fn embed<L: Layers>(layers: &mut L, network: &UNet, features: L::Rows, classes: &[usize]) -> L::Rows {
    let classes = network.class_embedding.as_ref().map(|table| layers.embed(table, classes));
    let hidden = layers.linear_silu(&network.time_embedding.linear_1, features, None);
    // Every residual block begins by activating it, so it is done once.
    layers.linear_silu(&network.time_embedding.linear_2, hidden, classes)
}

/// The network's output for noisy images and the embedding of their times and classes.
pub fn evaluate<L: Layers>(layers: &mut L, network: &UNet, x: L::Maps, temb: &L::Rows) -> L::Maps {
    let config = &network.config;
    let mut h = layers.convolve(&network.conv_in, Source::Plain(x).into());
    let mut skips = vec![h.clone()];
    for block in &network.down_blocks {
        h = down(layers, block, config, h, temb, &mut skips);
    }
    h = middle(layers, &network.mid_block, config, h, temb);
    for block in &network.up_blocks {
        h = up(layers, block, config, h, temb, &mut skips);
    }
    let h = layers.norm(&network.conv_norm_out, h, None, true);
    layers.convolve(&network.conv_out, Source::Normed(h).into())
}

/// A level on the way down. Leaves every intermediate result in `skips`.
fn down<L: Layers>(
    layers: &mut L,
    block: &DownBlock,
    config: &UNetConfig,
    mut h: L::Maps,
    temb: &L::Rows,
    skips: &mut Vec<L::Maps>,
) -> L::Maps {
    for (index, resnet) in block.resnets.iter().enumerate() {
        h = residual(layers, resnet, config, h, temb);
        if let Some(attention) = block.attentions.get(index) {
            h = attend(layers, attention, h);
        }
        skips.push(h.clone());
    }
    for downsampler in &block.downsamplers {
        // Ho et al. wrote this in TensorFlow, whose `SAME` padding is one row of zeros below and one column to the right.
        let pad = (config.details().padding, 1);
        h = layers.downsample(&downsampler.conv, h, pad);
        skips.push(h.clone());
    }
    h
}

/// The lowest level.
fn middle<L: Layers>(layers: &mut L, block: &MidBlock, config: &UNetConfig, mut h: L::Maps, temb: &L::Rows) -> L::Maps {
    for (index, resnet) in block.resnets.iter().enumerate() {
        h = residual(layers, resnet, config, h, temb);
        if let Some(attention) = block.attentions.get(index) {
            h = attend(layers, attention, h);
        }
    }
    h
}

/// A level on the way up. Takes from `skips` what the way down left there, last first.
fn up<L: Layers>(
    layers: &mut L,
    block: &UpBlock,
    config: &UNetConfig,
    mut h: L::Maps,
    temb: &L::Rows,
    skips: &mut Vec<L::Maps>,
) -> L::Maps {
    for (index, resnet) in block.resnets.iter().enumerate() {
        let skip =
            skips.pop().expect("the way down leaves as many as the way up has residual blocks: UNetConfig::init");
        h = layers.concat(h, skip);
        h = residual(layers, resnet, config, h, temb);
        if let Some(attention) = block.attentions.get(index) {
            h = attend(layers, attention, h);
        }
    }
    for upsampler in &block.upsamplers {
        h = layers.convolve(&upsampler.conv, Source::Upsampled(h).into());
    }
    h
}

/// Norm, SiLU, convolution, plus the embedding; norm, SiLU, dropout, convolution; plus what came in. Improved DDPM's
/// embedding is a scale and a shift after the second norm instead.
fn residual<L: Layers>(layers: &mut L, block: &Resnet, config: &UNetConfig, x: L::Maps, temb: &L::Rows) -> L::Maps {
    let temb = layers.linear(&block.time_emb_proj, temb.clone());
    let (shifts, scale_shift) = match config.style {
        Style::Ddpm => (Some(temb), None),
        Style::Improved => (None, Some(temb)),
    };
    let h = layers.norm(&block.norm1, x.clone(), None, true);
    let h = layers.convolve(&block.conv1, Fused { source: Source::Normed(h), shifts, residual: None });
    let x = match &block.conv_shortcut {
        Some(shortcut) => layers.convolve(shortcut, Source::Plain(x).into()),
        None => x,
    };
    let h = layers.norm(&block.norm2, h, scale_shift, true);
    let h = layers.dropout(&block.dropout, h);
    layers.convolve(&block.conv2, Fused { source: Source::Normed(h), shifts: None, residual: Some(x) })
}

/// Every pixel looks at every other; plus what came in.
fn attend<L: Layers>(layers: &mut L, block: &Attention, x: L::Maps) -> L::Maps {
    let y = layers.norm(&block.group_norm, x.clone(), None, false);
    let mut y = layers.attend([&block.to_q, &block.to_k, &block.to_v], y, block.heads);
    let mut x = Some(x);
    let last = block.to_out.len() - 1;
    for (index, layer) in block.to_out.iter().enumerate() {
        let residual = if index == last { x.take() } else { None };
        y = layers.project(layer, y, residual);
    }
    y
}
