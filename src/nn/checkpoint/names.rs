//! Names of tensors in files.

use std::collections::BTreeMap;

use super::error::CheckpointError;
use super::tensors::Stored;

/// How a file names the tensors of the U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// diffusers' `UNet2DModel`; attention as `to_q`, `to_k`, `to_v`, `to_out.0` or, before 2023, as `query`, `key`,
    /// `value`, `proj_attn`.
    Diffusers,
    /// pesser/pytorch_diffusion and ermongroup/ddim, whose levels on the way up count from full resolution.
    Ddim,
    /// OpenAI's improved-diffusion and guided-diffusion, which number all blocks in a row.
    Improved,
    /// EDM's `SongUNet`, whose layers stand under the resolution that they work at.
    Edm {
        /// Height and width of its images.
        side: usize,
    },
    /// ncsn's and ncsnv2's, whose stages and blocks of refinement count from 1.
    Refine,
    /// score_sde's `NCSNpp` in PyTorch, which numbers all layers in a row.
    ScoreSde,
    /// score_sde's `NCSNpp` in JAX, where flax numbers layers by their classes.
    Jax,
}

/// Tensors of a file, without the beginning of their names.
pub(super) struct File<'a> {
    pub tensors: &'a BTreeMap<String, Stored<'a>>,
    pub prefix: &'a str,
}

impl File<'_> {
    /// Shape of a tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize], CheckpointError> {
        let name = format!("{}{name}", self.prefix);
        match self.tensors.get(&name) {
            Some(tensor) => Ok(&tensor.shape),
            None => Err(CheckpointError::Missing { tensor: name }),
        }
    }

    /// Length of a tensor along a dimension, more than 0.
    pub fn length(&self, name: &str, dimension: usize) -> Result<usize, CheckpointError> {
        let shape = self.shape(name)?;
        let found = || CheckpointError::Shape {
            tensor: format!("{}{name}", self.prefix),
            expected: vec![0; dimension + 1],
            found: shape.to_vec(),
        };
        shape.get(dimension).copied().filter(|length| *length > 0).ok_or_else(found)
    }
}
