//! Loops for training on images, which no worker does: compiled for several instruction sets, of which the running
//! processor's widest is taken. Products are fused with sums where there are instructions for that, so results are the
//! same with AVX-512 and with AVX2, but not those of processors with neither.
//!
//! F32x16 of images lie pixel by pixel, `[images, height, width, channels]`: sixteen channels go together.

pub mod bf16;
pub mod channels;
pub mod tiles;
