//! The graph of the network, over any way to compute its layers.

/// Height and width that the network sees.
pub(super) const SIDE: usize = 299;

/// A layer, read from the file in this order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Convolution to so many channels with a kernel of `[height, width]`, a stride, and whether the size is kept.
    Conv(usize, [usize; 2], usize, bool),
    /// 3 x 3 maximum, half the size.
    Halve,
    /// 3 x 3 mean of what lies inside, same size.
    Mean,
    /// 3 x 3 maximum, same size.
    Largest,
}

use Op::{Conv, Halve, Largest, Mean};

/// A branch of a block: layers in a row, then layers side by side whose results are joined.
pub(super) struct Branch(pub &'static [Op], pub &'static [Op]);

const fn one(channels: usize) -> Op {
    Conv(channels, [1, 1], 1, true)
}

const fn same(channels: usize, kernel: [usize; 2]) -> Op {
    Conv(channels, kernel, 1, true)
}

pub(super) const STEM: Branch = Branch(
    &[
        Conv(32, [3, 3], 2, false),
        Conv(32, [3, 3], 1, false),
        same(64, [3, 3]),
        Halve,
        one(80),
        Conv(192, [3, 3], 1, false),
        Halve,
    ],
    &[],
);
const FIRST: &[Branch] = &[
    Branch(&[one(64)], &[]),
    Branch(&[one(48), same(64, [5, 5])], &[]),
    Branch(&[one(64), same(96, [3, 3]), same(96, [3, 3])], &[]),
    Branch(&[Mean, one(32)], &[]),
];
const SECOND: &[Branch] = &[
    Branch(&[one(64)], &[]),
    Branch(&[one(48), same(64, [5, 5])], &[]),
    Branch(&[one(64), same(96, [3, 3]), same(96, [3, 3])], &[]),
    Branch(&[Mean, one(64)], &[]),
];
const HALVING: &[Branch] = &[
    Branch(&[Conv(384, [3, 3], 2, false)], &[]),
    Branch(&[one(64), same(96, [3, 3]), Conv(96, [3, 3], 2, false)], &[]),
    Branch(&[Halve], &[]),
];
const STRIPS_128: &[Branch] = &[
    Branch(&[one(192)], &[]),
    Branch(&[one(128), same(128, [1, 7]), same(192, [7, 1])], &[]),
    Branch(&[one(128), same(128, [7, 1]), same(128, [1, 7]), same(128, [7, 1]), same(192, [1, 7])], &[]),
    Branch(&[Mean, one(192)], &[]),
];
const STRIPS_160: &[Branch] = &[
    Branch(&[one(192)], &[]),
    Branch(&[one(160), same(160, [1, 7]), same(192, [7, 1])], &[]),
    Branch(&[one(160), same(160, [7, 1]), same(160, [1, 7]), same(160, [7, 1]), same(192, [1, 7])], &[]),
    Branch(&[Mean, one(192)], &[]),
];
const STRIPS_192: &[Branch] = &[
    Branch(&[one(192)], &[]),
    Branch(&[one(192), same(192, [1, 7]), same(192, [7, 1])], &[]),
    Branch(&[one(192), same(192, [7, 1]), same(192, [1, 7]), same(192, [7, 1]), same(192, [1, 7])], &[]),
    Branch(&[Mean, one(192)], &[]),
];
const LAST_HALVING: &[Branch] = &[
    Branch(&[one(192), Conv(320, [3, 3], 2, false)], &[]),
    Branch(&[one(192), same(192, [1, 7]), same(192, [7, 1]), Conv(192, [3, 3], 2, false)], &[]),
    Branch(&[Halve], &[]),
];
const CROSS: &[Op] = &[same(384, [1, 3]), same(384, [3, 1])];
const WIDE_MEAN: &[Branch] = &[
    Branch(&[one(320)], &[]),
    Branch(&[one(384)], CROSS),
    Branch(&[one(448), same(384, [3, 3])], CROSS),
    Branch(&[Mean, one(192)], &[]),
];
const WIDE_LARGEST: &[Branch] = &[
    Branch(&[one(320)], &[]),
    Branch(&[one(384)], CROSS),
    Branch(&[one(448), same(384, [3, 3])], CROSS),
    Branch(&[Largest, one(192)], &[]),
];
pub(super) const BLOCKS: [&[Branch]; 11] = [
    FIRST,
    SECOND,
    SECOND,
    HALVING,
    STRIPS_128,
    STRIPS_160,
    STRIPS_160,
    STRIPS_192,
    LAST_HALVING,
    WIDE_MEAN,
    WIDE_LARGEST,
];

/// A device's way to compute the network.
pub(super) trait Layers {
    /// Images on their way through it; copies share their numbers.
    type Images: Clone;

    /// One layer; a convolution is the next of all.
    fn apply(&mut self, op: &Op, x: Self::Images) -> Self::Images;

    /// Images side by side, channel after channel.
    fn join(&self, parts: Vec<Self::Images>) -> Self::Images;
}

/// All but the last mean.
pub(super) fn run<L: Layers>(layers: &mut L, x: L::Images) -> L::Images {
    let mut x = run_branch(layers, &STEM, x);
    for block in BLOCKS {
        let parts = block.iter().map(|branch| run_branch(layers, branch, x.clone())).collect();
        x = layers.join(parts);
    }
    x
}

fn run_branch<L: Layers>(layers: &mut L, branch: &Branch, mut x: L::Images) -> L::Images {
    for op in branch.0 {
        x = layers.apply(op, x);
    }
    if branch.1.is_empty() {
        return x;
    }
    let parts = branch.1.iter().map(|op| layers.apply(op, x.clone())).collect();
    layers.join(parts)
}

/// Rows and columns of zeros beyond each edge.
pub(super) fn pads(kernel: [usize; 2], kept: bool) -> [usize; 2] {
    if kept { kernel.map(|length| length / 2) } else { [0, 0] }
}

/// The two pixels of a row of `size` that a pixel of the enlarged one lies between, and the share of the second, as
/// TensorFlow 1's bilinear resizing has them, `align_corners` off: pixel `i` looks at `i * size / 299`, not at centres of
/// pixels, and past the last there is the last.
pub(super) fn neighbours(pixel: usize, size: usize) -> (usize, usize, f32) {
    let place = pixel as f64 * size as f64 / SIDE as f64;
    let low = place as usize;
    (low, (low + 1).min(size - 1), place.fract() as f32)
}
