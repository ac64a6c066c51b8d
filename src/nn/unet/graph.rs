//! The graph of the U-Net, over any interpreter of its layers.

use super::blocks::{Attention, DownBlock, MidBlock, Resnet, UpBlock};
use super::config::{Style, UNetConfig};
use super::network::{Blocks, Body, UNet};
use super::refine_graph;
use super::song::Encoder;
use crate::nn::layers::modules::Conv;
use crate::nn::layers::{Fused, Layers, Source};
use crate::nn::resampling::{Filter, Resampling};

/// What sums are multiplied by in Song et al.'s networks, so that they keep their size.
const SUM: f32 = core::f32::consts::FRAC_1_SQRT_2;

/// What a network is told beside the images.
#[derive(Clone, Debug)]
pub enum Told<R> {
    /// The activated embedding of times and classes, `[1 or images, 4 channels]`.
    Embedding(R),
    /// The noise levels, one of all images or one of each, that normalisations have numbers of; none where it is told nothing.
    Levels(Vec<usize>),
}

/// What the network is told: of times, by their features, and of classes, by their rows in the table.
pub fn tell<L: Layers>(
    layers: &mut L,
    network: &UNet,
    times: &[f64],
    features: impl FnOnce(&mut L, Vec<f32>, [usize; 2]) -> L::Rows,
    classes: &[usize],
) -> Told<L::Rows> {
    match &network.body {
        Body::Blocks(blocks) => {
            let (values, shape) = (network.features(blocks, times), [times.len(), network.config.feature_width()]);
            let features = features(layers, values, shape);
            Told::Embedding(embed(layers, blocks, &network.config, features, classes))
        }
        Body::Refine(refine) => Told::Levels(refine.levels(times)),
    }
}

/// The activated embedding of times, by their features, and of classes, by their rows in the table.
fn embed<L: Layers>(
    layers: &mut L,
    network: &Blocks,
    config: &UNetConfig,
    features: L::Rows,
    classes: &[usize],
) -> L::Rows {
    let mut classes = network.class_embedding.as_ref().map(|table| layers.embed(table, classes));
    let mut features = features;
    if config.style.song().is_some()
        && let Some(classes) = classes.take()
    {
        features = layers.add_rows(features, classes);
    }
    let hidden = layers.linear_silu(&network.time_embedding.linear_1, features, None);
    // Every residual block begins by activating it, so it is done once.
    layers.linear_silu(&network.time_embedding.linear_2, hidden, classes)
}

/// The network's output for noisy images and what it is told beside them.
///
/// # Panics
/// When what it is told was made by a network of another kind.
pub fn evaluate<L: Layers>(layers: &mut L, network: &UNet, x: L::Maps, told: &Told<L::Rows>) -> L::Maps {
    match (&network.body, told) {
        (Body::Blocks(blocks), Told::Embedding(temb)) => through(layers, blocks, &network.config, x, temb),
        (Body::Refine(refine), Told::Levels(levels)) => refine_graph::evaluate(layers, refine, x, levels),
        _ => panic!("a condition that another network made"),
    }
}

/// Down, through the middle and up.
fn through<L: Layers>(layers: &mut L, network: &Blocks, config: &UNetConfig, x: L::Maps, temb: &L::Rows) -> L::Maps {
    let mut told = config.progressive_input().map(|_| x.clone());
    let mut h = layers.convolve(&network.conv_in, Source::Plain(x).into());
    let mut skips = vec![h.clone()];
    for block in &network.down_blocks {
        h = down(layers, block, config, h, temb, &mut told, &mut skips);
    }
    h = middle(layers, &network.mid_block, config, h, temb);
    let mut sum = None;
    for block in &network.up_blocks {
        h = up(layers, block, config, h, temb, &mut sum, &mut skips);
    }
    let h = layers.norm(&network.conv_norm_out, h, None, true);
    layers.convolve(&network.conv_out, Fused { source: Source::Normed(h), shifts: None, residual: sum })
}

/// A level on the way down. Leaves every intermediate result in `skips`; `told` is what it is told of the image, and then what
/// the next level is.
fn down<L: Layers>(
    layers: &mut L,
    block: &DownBlock,
    config: &UNetConfig,
    mut h: L::Maps,
    temb: &L::Rows,
    told: &mut Option<L::Maps>,
    skips: &mut Vec<L::Maps>,
) -> L::Maps {
    for (index, resnet) in block.resnets.iter().enumerate() {
        h = residual(layers, resnet, config, h, temb, None);
        if let Some(attention) = block.attentions.get(index) {
            h = attend(layers, attention, config, h);
        }
        skips.push(h.clone());
    }
    for downsampler in &block.downsamplers {
        // Ho et al. wrote this in TensorFlow, whose `SAME` padding is one row of zeros below and one column to the right.
        let pad = (config.details().padding, 1);
        h = layers.downsample(&downsampler.conv, h, pad);
        skips.push(h.clone());
    }
    if let Some(resnet) = &block.resnet_down {
        h = residual(layers, resnet, config, h, temb, Some(Resampling::Halve(filter(config))));
        if let (Some(conv), Some(image)) = (&block.skip_conv, told.take()) {
            let (sum, next) = tell_image(layers, conv, config, h, image);
            (h, *told) = (sum, Some(next));
        }
        skips.push(h.clone());
    }
    h
}

/// The filter of a network of Song et al.
fn filter(config: &UNetConfig) -> Filter {
    config.style.song().map_or(Filter::Box, |song| song.filter)
}

/// What a level is told of the image at half its size, added to its maps; and what the next is told half of.
fn tell_image<L: Layers>(
    layers: &mut L,
    conv: &Conv,
    config: &UNetConfig,
    h: L::Maps,
    image: L::Maps,
) -> (L::Maps, L::Maps) {
    if config.progressive_input() == Some(Encoder::Residual) {
        let blurred = layers.resample(Source::Plain(image), Resampling::Blur(filter(config)));
        let image = layers.downsample(conv, blurred, (0, 0));
        let sum = layers.add(h, image);
        let sum = layers.scale(sum, &[SUM]);
        (sum.clone(), sum)
    } else {
        let image = layers.resample(Source::Plain(image), Resampling::Halve(filter(config)));
        let source = Source::Plain(image.clone());
        (layers.convolve(conv, Fused { source, shifts: None, residual: Some(h) }), image)
    }
}

/// The lowest level.
fn middle<L: Layers>(layers: &mut L, block: &MidBlock, config: &UNetConfig, mut h: L::Maps, temb: &L::Rows) -> L::Maps {
    for (index, resnet) in block.resnets.iter().enumerate() {
        h = residual(layers, resnet, config, h, temb, None);
        if let Some(attention) = block.attentions.get(index) {
            h = attend(layers, attention, config, h);
        }
    }
    h
}

/// A level on the way up. Takes from `skips` what the way down left there, last first; `sum` is the output of the levels so
/// far, where it is summed over them.
fn up<L: Layers>(
    layers: &mut L,
    block: &UpBlock,
    config: &UNetConfig,
    mut h: L::Maps,
    temb: &L::Rows,
    sum: &mut Option<L::Maps>,
    skips: &mut Vec<L::Maps>,
) -> L::Maps {
    // Song et al.'s networks have attention after the last block only.
    let first = block.resnets.len() - block.attentions.len();
    for (index, resnet) in block.resnets.iter().enumerate() {
        let skip =
            skips.pop().expect("the way down leaves as many as the way up has residual blocks: UNetConfig::init");
        h = layers.concat(h, skip);
        h = residual(layers, resnet, config, h, temb, None);
        if let Some(attention) = index.checked_sub(first).and_then(|place| block.attentions.get(place)) {
            h = attend(layers, attention, config, h);
        }
    }
    for upsampler in &block.upsamplers {
        h = layers.convolve(&upsampler.conv, Source::Upsampled(h).into());
    }
    if let Some(resnet) = &block.resnet_up {
        let double = Resampling::Double(filter(config));
        if let (Some(norm), Some(conv)) = (&block.skip_norm, &block.skip_conv) {
            let source = Source::Normed(layers.norm(norm, h.clone(), None, true));
            let part = layers.convolve(conv, Fused { source, shifts: None, residual: sum.take() });
            *sum = Some(layers.resample(Source::Plain(part), double));
        }
        h = residual(layers, resnet, config, h, temb, Some(double));
    }
    h
}

/// Norm, SiLU, convolution, plus the embedding; norm, SiLU, dropout, convolution; plus what came in. Improved DDPM's
/// embedding is a scale and a shift after the second norm instead. Song et al.'s blocks may halve or double before the first
/// convolution, and divide the sum by the root of 2.
fn residual<L: Layers>(
    layers: &mut L,
    block: &Resnet,
    config: &UNetConfig,
    x: L::Maps,
    temb: &L::Rows,
    resampling: Option<Resampling>,
) -> L::Maps {
    let temb = layers.linear(&block.time_emb_proj, temb.clone());
    let (shifts, scale_shift) = match config.style {
        Style::Ddpm | Style::Song(_) | Style::Refine(_) => (Some(temb), None),
        Style::Improved => (None, Some(temb)),
    };
    let mut source = Source::Normed(layers.norm(&block.norm1, x.clone(), None, true));
    let mut x = x;
    if let Some(resampling) = resampling {
        source = Source::Plain(layers.resample(source, resampling));
        x = layers.resample(Source::Plain(x), resampling);
    }
    let h = layers.convolve(&block.conv1, Fused { source, shifts, residual: None });
    let x = match &block.conv_shortcut {
        Some(shortcut) => layers.convolve(shortcut, Source::Plain(x).into()),
        None => x,
    };
    let h = layers.norm(&block.norm2, h, scale_shift, true);
    let h = layers.dropout(&block.dropout, h);
    let sum = layers.convolve(&block.conv2, Fused { source: Source::Normed(h), shifts: None, residual: Some(x) });
    in_size(layers, config, sum)
}

/// A sum of two as the network has it: of the size of either in Song et al.'s.
fn in_size<L: Layers>(layers: &mut L, config: &UNetConfig, sum: L::Maps) -> L::Maps {
    if config.style.song().is_some() { layers.scale(sum, &[SUM]) } else { sum }
}

/// Every pixel looks at every other; plus what came in.
fn attend<L: Layers>(layers: &mut L, block: &Attention, config: &UNetConfig, x: L::Maps) -> L::Maps {
    let y = layers.norm(&block.group_norm, x.clone(), None, false);
    let mut y = layers.attend([&block.to_q, &block.to_k, &block.to_v], y, block.heads);
    let mut x = Some(x);
    let last = block.to_out.len() - 1;
    for (index, layer) in block.to_out.iter().enumerate() {
        let residual = if index == last { x.take() } else { None };
        y = layers.project(layer, y, residual);
    }
    in_size(layers, config, y)
}
