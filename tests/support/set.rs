//! A page whose server has a set of weights, small enough for a test.

use scorefield::diffusion::Prediction;
use scorefield::diffusion::convention::{InputScale, TimeConvention};
use scorefield::engine::images::self_test::{parameter, plain};
use scorefield::nn::checkpoint::{Manifest, ManifestFile, Precision, SearchedGrid, encode};
use scorefield::nn::unet::UNetConfig;

use crate::page::Page;

/// A network of two levels with attention and classes.
pub fn tiny() -> UNetConfig {
    UNetConfig { classes: 10, ..plain() }
}

/// A page whose server has the set `tiny` in two shards, first of two in the list.
pub fn page_with(config: &UNetConfig, precision: Precision) -> Page {
    let page = Page::open();
    let network = config.init(0, &burn::tensor::Device::flex()).unwrap();
    let parameters = network.parameters();
    let half = parameters.len() / 2;
    let shard = |range: std::ops::Range<usize>| {
        let parameters = &parameters[range];
        let values: Vec<Vec<f32>> = parameters.iter().map(|p| parameter(&p.name, &p.shape)).collect();
        encode(parameters, &values, precision).unwrap()
    };
    let shards = [("a.safetensors", shard(0..half)), ("b.safetensors", shard(half..parameters.len()))];
    let manifest = Manifest {
        format: 1,
        title: "Tiny".into(),
        architecture: config.clone(),
        prediction: Prediction::Karras { data_std: 0.5 },
        input: InputScale::Karras { data_std: 0.5 },
        time: TimeConvention::LogSigma { factor: 100.0 },
        image_size: 8,
        classes: (0..config.classes).map(|class| format!("class {class}")).collect(),
        files: shards.iter().map(|(name, bytes)| ManifestFile::describe(name, bytes)).collect(),
        licence: "MIT".into(),
        provenance: "made for a test".into(),
        fid: None,
        bits: None,
        grids: vec![SearchedGrid { ratios: vec![80.0, 2.0, 0.2], search: "for a test".into() }],
    };
    {
        let mut there = page.files().there.borrow_mut();
        let index = r#"{"format": 1, "sets": [
            {"id": "tiny", "title": "Tiny", "bytes": 1, "replaces": ["older"]}, {"id": "gone", "title": "Gone", "bytes": 1}]}"#;
        there.insert("weights/index.json".into(), index.as_bytes().to_vec());
        there.insert("weights/tiny/manifest.json".into(), manifest.to_json().unwrap().into_bytes());
        for (name, bytes) in shards {
            there.insert(format!("weights/tiny/{name}"), bytes);
        }
    }
    page
}
