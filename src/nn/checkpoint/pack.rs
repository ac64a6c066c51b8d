//! Weights as the page fetches them: shards and a manifest.

use super::encode::{self, Precision, encode};
use super::error::CheckpointError;
use super::manifest::{Manifest, ManifestError, ManifestFile};
use crate::nn::unet::Parameter;

/// A shard is shorter than this, in bytes: what every host of static files takes, and a download that is lost midway
/// is not a large one.
pub const LONGEST_SHARD: usize = 15_000_000;
/// What the header of a safetensors file takes for each tensor, at most, beside its name.
const HEADER: usize = 160;

/// The files of a set: shards `weights.00.safetensors` and so on, then `manifest.json`. What `manifest` says of its
/// files is replaced by what they are.
///
/// # Errors
/// A [`CheckpointError`] when a value cannot be written with this precision, or the manifest would not be read again.
pub fn pack(
    parameters: &[Parameter],
    values: &[Vec<f32>],
    precision: Precision,
    mut manifest: Manifest,
) -> Result<Vec<(String, Vec<u8>)>, CheckpointError> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut start = 0;
    while start < parameters.len() {
        let (mut end, mut length) = (start, 0);
        while let Some(parameter) = parameters.get(end) {
            let values = values.get(end).map_or(&[][..], Vec::as_slice);
            length += HEADER + 2 * parameter.name.len() + encode::bytes(precision, parameter, values);
            if end > start && length > LONGEST_SHARD {
                break;
            }
            end += 1;
        }
        let values = values.get(start..end).unwrap_or_default();
        let bytes = encode(&parameters[start..end], values, precision)?;
        files.push((format!("weights.{:02}.safetensors", files.len()), bytes));
        start = end;
    }
    manifest.files = files.iter().map(|(name, bytes)| ManifestFile::describe(name, bytes)).collect();
    let refuse = |error: ManifestError| CheckpointError::Container { what: "manifest", detail: error.to_string() };
    let json = manifest.to_json().map_err(refuse)?;
    Manifest::from_json(&json).map_err(refuse)?;
    files.push(("manifest.json".to_owned(), json.into_bytes()));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::checkpoint::Checkpoint;
    use crate::nn::objective::Objective;
    use crate::nn::unet::UNetConfig;

    fn manifest(architecture: UNetConfig) -> Manifest {
        let convention = Objective::Edm.convention();
        Manifest {
            format: 1,
            title: "test".into(),
            architecture,
            prediction: convention.prediction,
            input: convention.input,
            time: convention.time,
            image_size: 32,
            classes: Vec::new(),
            files: Vec::new(),
            licence: "MIT".into(),
            provenance: "made for a test".into(),
            fid: None,
            bits: None,
            grids: Vec::new(),
        }
    }

    #[test]
    fn every_shard_is_short_enough_and_all_of_them_hold_every_tensor_once() {
        let shape = [256, 256, 3, 3];
        let parameters: Vec<Parameter> =
            (0..16).map(|i| Parameter { name: format!("layer.{i}.weight"), shape: shape.to_vec() }).collect();
        let values: Vec<Vec<f32>> = (0..16).map(|i| vec![i as f32; shape.iter().product()]).collect();
        for (precision, shards) in [(Precision::Full, 3), (Precision::Half, 2), (Precision::Int8, 1)] {
            let files = pack(&parameters, &values, precision, manifest(UNetConfig::cifar10())).unwrap();
            let (json, weights) = files.split_last().unwrap();
            assert_eq!(weights.len(), shards);
            assert!(weights.iter().all(|(_, bytes)| bytes.len() < LONGEST_SHARD));
            let read = Manifest::from_json(std::str::from_utf8(&json.1).unwrap()).unwrap();
            for (file, (name, bytes)) in read.files.iter().zip(weights) {
                assert_eq!(&file.name, name);
                file.check(bytes).unwrap();
            }
            let bytes: Vec<&[u8]> = weights.iter().map(|(_, bytes)| bytes.as_slice()).collect();
            let file = Checkpoint::open(&bytes).unwrap();
            for (i, parameter) in parameters.iter().enumerate() {
                let first = file.values(&parameter.name).unwrap()[0];
                assert!((first - i as f32).abs() < 2e-3 * i as f32 + 1e-9, "{first} for {i}");
            }
        }
    }
}
