//! Why weights were not taken.

use crate::engine::error::ImageError;
use crate::nn::checkpoint::CheckpointError;
use crate::protocol::images::Refusal;

/// Most lines of a refusal.
const MOST_FINDINGS: usize = 20;

/// Why weights were not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadError {
    /// A command ended it.
    GivenUp,
    /// The page is told why.
    Refused(Refusal),
}

/// A file that cannot be used, and why, a line each.
pub fn refused(file: &str, mut findings: Vec<String>) -> LoadError {
    findings.truncate(MOST_FINDINGS);
    LoadError::Refused(Refusal { file: file.to_owned(), findings, ..Refusal::default() })
}

/// A file that cannot be had, and why.
pub fn unreachable(file: &str, why: String) -> LoadError {
    let refusal = Refusal { file: file.to_owned(), findings: vec![why], ..Refusal::default() };
    LoadError::Refused(Refusal { unreachable: true, ..refusal })
}

/// The error and what led to it, a line each.
pub fn findings(error: &ImageError) -> Vec<String> {
    if let ImageError::Checkpoint(CheckpointError::Several(differences)) = error {
        return differences.iter().map(ToString::to_string).collect();
    }
    let mut lines = vec![error.to_string()];
    if let ImageError::Checkpoint(CheckpointError::Unknown { .. }) = error {
        lines.push(
            "read are: the U-Net of DDPM as diffusers and the DDIM repository name it, and improved-diffusion's; \
             as safetensors, torch zip or older torch files"
                .to_owned(),
        );
    }
    lines
}
