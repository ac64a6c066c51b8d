//! The graph of the networks of Song and Ermon, over any interpreter of its layers.

use super::refine_net::{Block, RefineBlock, RefineNet, UNITS, Unit};
use crate::nn::layers::{Fused, Layers, Source};
use crate::nn::resampling::{Filter, Resampling};

/// Side of the squares that NCSNv2 takes the largest number of; NCSN takes means of as many.
const POOL: usize = crate::nn::resampling::MEAN;

/// The network's output for noisy images of these levels, one of all or one of each; none where it is told nothing. It is the
/// score times the noise level.
pub fn evaluate<L: Layers>(layers: &mut L, network: &RefineNet, x: L::Maps, levels: &[usize]) -> L::Maps {
    let mut h = layers.convolve(&network.begin_conv, Source::Plain(x).into());
    let mut outputs = Vec::with_capacity(network.stages.len());
    for stage in &network.stages {
        for block in stage {
            h = residual(layers, block, h, levels);
        }
        outputs.push(h.clone());
    }
    let mut below = None;
    for block in &network.refine {
        // As many stages as blocks of refinement: RefineNet::new.
        let inputs: Vec<L::Maps> = outputs.pop().into_iter().chain(below.take()).collect();
        // What comes from below a stage that halves is half as large.
        let lower = network.stages.get(outputs.len() + 1).and_then(|stage| stage.first());
        below = Some(refine(layers, block, inputs, lower.is_some_and(|block| block.halves), levels));
    }
    let h = below.unwrap_or(h);
    let scales = layers.scales(&network.normalizer, levels);
    let h = layers.instance_norm(h, scales, true);
    let h = layers.convolve(&network.end_conv, Source::Normed(h).into());
    match &network.sigmas {
        // NCSN says the score itself.
        Some(sigmas) => layers.scale(h, &levels.iter().map(|level| sigmas.numbers[*level]).collect::<Vec<_>>()),
        None => h,
    }
}

/// Norm, ELU, convolution, twice; plus what came in.
fn residual<L: Layers>(layers: &mut L, block: &Block, x: L::Maps, levels: &[usize]) -> L::Maps {
    let scales = layers.scales(&block.normalize1, levels);
    let h = layers.instance_norm(x.clone(), scales, true);
    let h = layers.convolve(&block.conv1, Source::Normed(h).into());
    let scales = layers.scales(&block.normalize2, levels);
    let h = layers.instance_norm(h, scales, true);
    let x = match &block.shortcut {
        Some(shortcut) => layers.convolve(shortcut, Source::Plain(x).into()),
        None => x,
    };
    let sum = layers.convolve(&block.conv2, Fused { source: Source::Normed(h), shifts: None, residual: Some(x) });
    // Means of a sum are the sum of means.
    if block.halves { layers.resample(Source::Plain(sum), Resampling::Halve(Filter::Box)) } else { sum }
}

/// A convolution after ELU, and after a normalisation if there is one; plus what may be added.
fn unit<L: Layers>(layers: &mut L, unit: &Unit, x: L::Maps, residual: Option<L::Maps>, levels: &[usize]) -> L::Maps {
    let source = match &unit.norm {
        Some(norm) => {
            let scales = layers.scales(norm, levels);
            Source::Normed(layers.instance_norm(x, scales, true))
        }
        None => Source::Plain(layers.elu(x)),
    };
    layers.convolve(&unit.conv, Fused { source, shifts: None, residual })
}

/// Residual blocks of two convolutions.
fn chain<L: Layers>(layers: &mut L, units: &[Unit], mut x: L::Maps, levels: &[usize]) -> L::Maps {
    for pair in units.chunks_exact(UNITS) {
        let mut rest = Some(x.clone());
        for (index, of) in pair.iter().enumerate() {
            let residual = if index + 1 == pair.len() { rest.take() } else { None };
            x = unit(layers, of, x, residual, levels);
        }
    }
    x
}

/// A block of refinement: adapts its inputs, adds them at the size of the first, pools in a chain, and adapts the result.
fn refine<L: Layers>(
    layers: &mut L,
    block: &RefineBlock,
    inputs: Vec<L::Maps>,
    doubles: bool,
    levels: &[usize],
) -> L::Maps {
    let mut sum: Option<L::Maps> = None;
    for (index, (units, x)) in block.adapt.iter().zip(inputs).enumerate() {
        let mut x = chain(layers, units, x, levels);
        if let Some(merge) = block.merge.get(index) {
            let source = match &merge.norm {
                Some(norm) => {
                    let scales = layers.scales(norm, levels);
                    Source::Normed(layers.instance_norm(x, scales, false))
                }
                None => Source::Plain(x),
            };
            let lower = doubles && index > 0;
            let residual = if lower { None } else { sum.take() };
            x = layers.convolve(&merge.conv, Fused { source, shifts: None, residual });
            if lower {
                x = layers.resample(Source::Plain(x), Resampling::Stretch);
            }
        }
        sum = Some(match sum {
            Some(sum) => layers.add(sum, x),
            None => x,
        });
    }
    // There always is an input.
    let Some(sum) = sum else { unreachable!("a block of refinement has inputs: RefineNet::new") };
    let mut sum = layers.elu(sum);
    let mut path = sum.clone();
    for of in &block.pool {
        path = match &of.norm {
            Some(norm) => {
                let scales = layers.scales(norm, levels);
                let normed = layers.instance_norm(path, scales, false);
                layers.resample(Source::Normed(normed), Resampling::Mean)
            }
            None => layers.largest(path, POOL),
        };
        path = layers.convolve(&of.conv, Source::Plain(path).into());
        sum = layers.add(sum, path.clone());
    }
    chain(layers, &block.output, sum, levels)
}
