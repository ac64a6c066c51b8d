//! Improved-diffusion's U-Net and the layout of its files: `tests/golden/improved_reference.py` made the numbers.

use std::collections::BTreeMap;

use crate::unet_weights::{hashed, image, parameter};
use burn::tensor::{Device, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use scorefield::diffusion::Convention;
use scorefield::engine::images::ImageModel;
use scorefield::nn::checkpoint::{Architecture, Checkpoint, CheckpointError, Container, Names};
use scorefield::nn::unet::{Style, UNetConfig};

const REFERENCE: &[u8] = include_bytes!("../golden/improved_reference.safetensors");
/// Single precision on both sides, with sums of up to 900 products in different orders.
const TOLERANCE: f32 = 1e-4;

type Shapes = BTreeMap<String, Vec<usize>>;

/// Names and shapes of the reference's parameters.
fn shapes() -> Shapes {
    let (_, metadata) = SafeTensors::read_metadata(REFERENCE).unwrap();
    serde_json::from_str(&metadata.metadata().as_ref().unwrap()["shapes"]).unwrap()
}

/// A file in the published layout with the reference's numbers.
fn file(shapes: &Shapes) -> Vec<u8> {
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .iter()
        .map(|(name, shape)| {
            let bytes = parameter(name, shape).iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.clone(), shape.clone(), bytes)
        })
        .collect();
    let views = data.iter().map(|(n, s, b)| (n.as_str(), TensorView::new(Dtype::F32, s.clone(), b).unwrap()));
    safetensors::tensor::serialize(views, None).unwrap()
}

#[test]
fn a_file_of_improved_diffusion_is_recognised_and_computes_what_the_reference_computes() {
    let file = file(&shapes());
    let checkpoint = Checkpoint::open(&[&file]).unwrap();
    let recognised = checkpoint.recognise().unwrap();
    let Architecture { names, config } = &recognised.architecture;
    assert_eq!(*names, Names::Improved);
    let expected = UNetConfig {
        channels: 32,
        multipliers: vec![1, 2, 1],
        layers: 2,
        attention_levels: vec![1],
        dropout: 0.0,
        learned_variance: true,
        heads: 4,
        style: Style::Improved,
        ..UNetConfig::cifar10()
    };
    assert_eq!(*config, expected);
    let device = Device::flex();
    let network = checkpoint.load(&recognised, &device).unwrap();
    let output =
        network.forward(image("input", [2, 3, 8, 8], &device), &network.condition(&[3.25, 737.0], &[]).unwrap());
    let output: Vec<f32> = output.into_data().try_into_vec().unwrap();
    let reference = SafeTensors::deserialize(REFERENCE).unwrap();
    let reference: Vec<f32> = reference
        .tensor("output")
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert_eq!(output.len(), reference.len());
    let scale = reference.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let error = output.iter().zip(&reference).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / scale;
    println!("improved: {error:.1e}");
    assert!(error < TOLERANCE, "{error:e}");

    let model = ImageModel::from_published(&[("cifar10_uncond_50M_500K.pt", &file)], &device).unwrap();
    assert_eq!(model.convention, Convention::improved());
    assert!(model.summary.learned_variance && model.summary.recognised.contains("improved-diffusion"));
}

/// What `tests/golden/checkpoint_small.py` writes under this name.
fn coarse(name: &str, shape: &[usize]) -> Vec<f32> {
    let gain = f64::sqrt(3.0 / shape[1..].iter().product::<usize>() as f64);
    let shift = if name.ends_with("weight") { 1.0 } else { 0.0 };
    let value = |u: f64| if shape.len() > 1 { u * gain } else { 0.1 * u + shift };
    let half = |u: f64| f16::from_f32(value((8.0 * u).floor() / 8.0) as f32).to_f32();
    hashed(name, shape.iter().product()).map(half).collect()
}

#[test]
fn files_as_torch_saves_them_in_both_published_layouts_hold_what_was_written() {
    for (file, names, conventions) in [
        (&include_bytes!("../golden/small_ddim.ckpt")[..], Names::Ddim, Convention::ddpm()),
        (&include_bytes!("../golden/small_improved.pt")[..], Names::Improved, Convention::improved()),
    ] {
        let checkpoint = Checkpoint::open(&[file]).unwrap();
        assert_eq!(checkpoint.container(), Container::TorchZip);
        for (name, _, shape) in checkpoint.tensors() {
            assert!(checkpoint.values(name).unwrap() == coarse(name, shape), "{name}");
        }
        let recognised = checkpoint.recognise().unwrap();
        assert_eq!(recognised.architecture.names, names);
        let model = ImageModel::from_published(&[("a file", file)], &Device::flex()).unwrap();
        assert_eq!((model.convention, model.config().channels), (conventions, 32));
        assert_eq!(model.summary.learned_variance, names == Names::Improved);
    }
}

#[test]
fn the_published_network_for_cifar10_has_52546438_parameters() {
    let config = UNetConfig {
        layers: 3,
        attention_levels: vec![1, 2],
        learned_variance: true,
        heads: 4,
        style: Style::Improved,
        ..UNetConfig::cifar10()
    };
    let count: usize = config.init(0, &Device::flex()).unwrap().parameters().iter().map(|p| p.count()).sum();
    assert_eq!(count, 52_546_438);
}

#[test]
fn tensors_of_other_shapes_and_those_that_are_missing_are_named() {
    let refused = |change: &dyn Fn(&mut Shapes)| {
        let mut shapes = shapes();
        change(&mut shapes);
        let file = file(&shapes);
        let checkpoint = Checkpoint::open(&[&file]).unwrap();
        checkpoint.load(&checkpoint.recognise().unwrap(), &Device::flex()).unwrap_err()
    };
    let qkv = "middle_block.1.qkv.weight".to_owned();
    let error = refused(&|shapes| shapes.insert(qkv.clone(), vec![32, 32, 1]).map(drop).unwrap());
    let expected = CheckpointError::Shape { tensor: qkv.clone(), expected: vec![96, 32], found: vec![32, 32, 1] };
    assert_eq!(error, expected);
    let error = refused(&|shapes| shapes.remove(&qkv).map(drop).unwrap());
    assert_eq!(error, CheckpointError::Missing { tensor: qkv.clone() });
    let error = refused(&|shapes| drop(shapes.insert("label_emb.bias".into(), vec![3])));
    assert_eq!(error, CheckpointError::Unexpected { tensor: "label_emb.bias".into() });
}
