//! Limits of a file of weights, and the names that its int8 tensors go by.

/// What follows the name of an int8 tensor in the name of its scales: one f32 or f16 for each index of the first
/// dimension, and `weight = scale * integer`.
pub const SCALE_SUFFIX: &str = ".scale";

/// Most tensors of a file: the largest network known here has some 1,500, its optimiser twice as many.
pub const MOST_TENSORS: usize = 1 << 14;
/// Longest name of a tensor, with the path to it.
pub const LONGEST_NAME: usize = 512;
