//! What the networks of Song and Ermon are made of, as modules whose paths are the names of the parameters. How they are put
//! together, [`super::refine_graph`] says.

use burn::module::Module;
use burn::tensor::Device;

use super::config::UNetConfig;
use super::refine::{BLOCKS, Refine, dilation};
use super::table::Table;
use crate::nn::layers::modules::{Conv, Init, Initialiser, InstanceNorm};

/// Convolutions of a block of refinement.
pub const UNITS: usize = 2;

/// A convolution after ELU, and NCSN's normalisation before that.
#[derive(Module, Debug)]
pub struct Unit {
    pub(super) norm: Option<InstanceNorm>,
    pub(super) conv: Conv,
}

/// A residual block, dilated or not.
#[derive(Module, Debug)]
pub struct Block {
    pub(super) normalize1: InstanceNorm,
    pub(super) conv1: Conv,
    pub(super) normalize2: InstanceNorm,
    pub(super) conv2: Conv,
    /// Where the channels differ or a stage begins.
    pub(super) shortcut: Option<Conv>,
    /// Whether it halves, by means of four pixels.
    #[module(skip)]
    pub(super) halves: bool,
}

/// A block of refinement.
#[derive(Module, Debug)]
pub struct RefineBlock {
    /// For each of its inputs two residual blocks of two convolutions.
    pub(super) adapt: Vec<Vec<Unit>>,
    /// What its inputs become before they are added; nothing where there is one.
    pub(super) merge: Vec<Unit>,
    /// Chained residual pooling.
    pub(super) pool: Vec<Unit>,
    /// Residual blocks of two convolutions.
    pub(super) output: Vec<Unit>,
}

/// The network.
#[derive(Module, Debug)]
pub struct RefineNet {
    pub(super) begin_conv: Conv,
    pub(super) stages: Vec<Vec<Block>>,
    pub(super) refine: Vec<RefineBlock>,
    pub(super) normalizer: InstanceNorm,
    pub(super) end_conv: Conv,
    /// NCSN's noise levels, for pixels from 0 to 1, largest first.
    pub(super) sigmas: Option<Table>,
}

/// What makes layers, and the levels that their normalisations are told.
struct Maker<'a, 'b> {
    initialiser: &'a mut Initialiser<'b>,
    levels: usize,
}

impl Maker<'_, '_> {
    fn norm(&mut self, channels: usize) -> InstanceNorm {
        InstanceNorm::new(self.initialiser, channels, self.levels)
    }

    fn conv(&mut self, channels: [usize; 2], kernel: usize, dilation: usize) -> Conv {
        Conv::new(self.initialiser, channels, kernel, Init::Fan).dilated(dilation)
    }

    fn block(&mut self, inputs: usize, outputs: usize, begins: bool, dilation: usize) -> Block {
        // One that begins a stage widens with its second convolution, others with the first.
        let between = if begins { inputs } else { outputs };
        let side = if dilation > 1 { 3 } else { 1 };
        Block {
            normalize1: self.norm(inputs),
            conv1: self.conv([inputs, between], 3, dilation),
            normalize2: self.norm(between),
            conv2: self.conv([between, outputs], 3, dilation),
            shortcut: (begins || inputs != outputs).then(|| self.conv([inputs, outputs], side, dilation)),
            halves: begins && dilation == 1,
        }
    }

    fn unit(&mut self, [inputs, outputs]: [usize; 2], bias: bool) -> Unit {
        let norm = (self.levels > 0).then(|| self.norm(inputs));
        let conv = if bias {
            self.conv([inputs, outputs], 3, 1)
        } else {
            Conv::without_bias(self.initialiser, [inputs, outputs], 3)
        };
        Unit { norm, conv }
    }

    fn chain(&mut self, channels: usize, blocks: usize) -> Vec<Unit> {
        (0..UNITS * blocks).map(|_| self.unit([channels; 2], false)).collect()
    }

    fn refine(&mut self, inputs: &[usize], outputs: usize, last: bool) -> RefineBlock {
        let merged = if inputs.len() > 1 { inputs } else { &[] };
        RefineBlock {
            adapt: inputs.iter().map(|&channels| self.chain(channels, 2)).collect(),
            merge: merged.iter().map(|&channels| self.unit([channels, outputs], true)).collect(),
            pool: (0..UNITS).map(|_| self.unit([outputs; 2], false)).collect(),
            output: self.chain(outputs, if last { 3 } else { 1 }),
        }
    }
}

impl RefineNet {
    /// The network of a shape that was looked at, with initial parameters that depend on the seed only.
    pub(super) fn new(config: &UNetConfig, refine: Refine, seed: u32, device: &Device) -> Self {
        let mut initialiser = Initialiser::new(seed, device, 0.0);
        let sigmas = (refine.levels > 0).then(|| Table::new(&initialiser, refine.sigmas()));
        let mut make = Maker { initialiser: &mut initialiser, levels: refine.levels };
        let widths = config.widths();
        let begin_conv = make.conv([config.image_channels, config.channels], 3, 1);
        let mut width = config.channels;
        let mut stages = Vec::with_capacity(widths.len());
        for (stage, &outputs) in widths.iter().enumerate() {
            let dilation = dilation(stage, widths.len());
            stages.push(
                (0..BLOCKS)
                    .map(|block| {
                        let inputs = std::mem::replace(&mut width, outputs);
                        make.block(inputs, outputs, stage > 0 && block == 0, dilation)
                    })
                    .collect(),
            );
        }
        let mut refine = Vec::with_capacity(widths.len());
        let mut below = None;
        for (stage, &channels) in widths.iter().enumerate().rev() {
            let inputs: Vec<usize> = std::iter::once(channels).chain(below).collect();
            // What goes up already has the channels of the stage that it is added to.
            let outputs = widths[stage.saturating_sub(1)];
            refine.push(make.refine(&inputs, outputs, stage == 0));
            below = Some(outputs);
        }
        let normalizer = make.norm(config.channels);
        let end_conv = make.conv([config.channels, config.image_channels], 3, 1);
        Self { begin_conv, stages, refine, normalizer, end_conv, sigmas }
    }

    /// Which levels those are whose logarithms these times are nearest to.
    pub(super) fn levels(&self, times: &[f64]) -> Vec<usize> {
        let sigmas = self.sigmas.as_ref().map_or(&[][..], |table| &table.numbers);
        let logs: Vec<f64> = sigmas.iter().map(|sigma| libm::log(f64::from(sigma.max(f32::MIN_POSITIVE)))).collect();
        let nearest = |time: &f64| {
            let apart = |at: &usize| (logs[*at] - time).abs();
            (0..logs.len()).min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap_or(0)
        };
        if logs.is_empty() { Vec::new() } else { times.iter().map(nearest).collect() }
    }
}
