//! The networks of Song and Ermon and the layouts of their files: `tests/golden/refinenet_reference.py` made the numbers and
//! the files.

use crate::golden::Golden;
use std::collections::BTreeMap;

use crate::unet_weights::{error, file, hashed, image, parameter};
use burn::tensor::{Device, Tensor, TensorData};
use scorefield::diffusion::Convention;
use scorefield::diffusion::convention::TimeConvention;
use scorefield::engine::images::ImageModel;
use scorefield::nn::checkpoint::{Architecture, Checkpoint, CheckpointError, Names};
use scorefield::nn::resampling::{Resampling, resample, resample_back};
use scorefield::nn::unet::{REFINE_SHAPES, Refine, Style, UNet, UNetConfig};

const REFERENCE: Golden = Golden(include_bytes!("../golden/refinenet_reference.safetensors"));
const NCSN: &[u8] = include_bytes!("../golden/ncsn_small.pth");
const NCSN_V2: &[u8] = include_bytes!("../golden/ncsnv2_small.pth");
/// Single precision on both sides, with sums of up to 300 products in different orders through four dozen convolutions.
const TOLERANCE: f64 = 1e-5;
/// Noise levels of NCSN, for pixels from 0 to 1.
const LEVELS: usize = 10;

/// A level's logarithm.
fn log_of(level: usize) -> f64 {
    0.01_f64.ln() * level as f64 / (LEVELS - 1) as f64
}

struct Case {
    name: &'static str,
    shape: [usize; 4],
    levels: &'static [usize],
    /// Which of the shapes, and how many channels.
    network: (usize, usize),
}

const CASES: [Case; 5] = [
    Case { name: "ncsn", shape: [2, 3, 16, 16], levels: &[3, 8], network: (0, 8) },
    Case { name: "ncsn_grey", shape: [2, 1, 12, 12], levels: &[0, 9], network: (0, 8) },
    Case { name: "ncsnv2", shape: [2, 3, 16, 16], levels: &[], network: (0, 8) },
    Case { name: "ncsnv2_deeper", shape: [2, 3, 16, 16], levels: &[], network: (1, 4) },
    Case { name: "ncsnv2_deepest", shape: [2, 3, 24, 24], levels: &[], network: (2, 4) },
];

/// The network of one of the shapes.
fn shaped(refine: Refine, shape: usize, channels: usize) -> UNetConfig {
    UNetConfig { multipliers: REFINE_SHAPES[shape].to_vec(), ..UNetConfig::refine(refine, channels) }
}

impl Case {
    fn network(&self, device: &Device) -> UNet {
        let file = file(&REFERENCE.tensors(self.name, ""));
        let checkpoint = Checkpoint::open(&[&file]).unwrap();
        checkpoint.load(&checkpoint.recognise().unwrap(), device).unwrap()
    }

    /// What it is told: logarithms of its levels, or two times that it is not to look at.
    fn times(&self) -> Vec<f64> {
        if self.levels.is_empty() { vec![0.3, -2.0] } else { self.levels.iter().map(|level| log_of(*level)).collect() }
    }

    /// What the reference computes, as this project has it: the score times the noise level.
    fn wanted(&self) -> Vec<f32> {
        let mut wanted = REFERENCE.numbers(self.name);
        let size = wanted.len() / 2;
        for (image, level) in wanted.chunks_exact_mut(size).zip(self.levels) {
            image.iter_mut().for_each(|value| *value *= log_of(*level).exp() as f32);
        }
        wanted
    }
}

#[test]
fn every_network_is_recognised_by_its_layout_and_computes_what_the_reference_computes() {
    let device = Device::flex();
    for case in &CASES {
        let file = file(&REFERENCE.tensors(case.name, ""));
        let checkpoint = Checkpoint::open(&[&file]).unwrap();
        let recognised = checkpoint.recognise().unwrap();
        let Architecture { names, config } = &recognised.architecture;
        assert_eq!(*names, Names::Refine);
        let levels = if case.levels.is_empty() { 0 } else { LEVELS };
        let (shape, channels) = case.network;
        let wanted = UNetConfig { image_channels: case.shape[1], ..shaped(Refine { levels }, shape, channels) };
        assert_eq!(*config, wanted);
        let network = case.network(&device);
        let condition = network.condition(&case.times(), &[]).unwrap();
        let output = network.forward(image("input", case.shape, &device), &condition);
        let found = error(&output.into_data().try_into_vec::<f32>().unwrap(), &case.wanted());
        println!("{}: {found:.1e}", case.name);
        assert!(found < TOLERANCE, "{}: {found:e}", case.name);
    }
}

#[test]
fn a_level_is_the_nearest_of_those_the_network_knows() {
    let device = Device::flex();
    let network = CASES[0].network(&device);
    let ask = |times: &[f64]| {
        let output = network.forward(image("input", [1, 3, 8, 8], &device), &network.condition(times, &[]).unwrap());
        output.into_data().try_into_vec::<f32>().unwrap()
    };
    assert_eq!(ask(&[log_of(4) + 0.2]), ask(&[log_of(4)]));
    assert_eq!(ask(&[9.0]), ask(&[log_of(0)]));
    assert_eq!(ask(&[f64::NEG_INFINITY]).len(), 192);
    assert!(ask(&[log_of(4)]) != ask(&[log_of(5)]));
}

#[test]
fn published_files_are_read_with_their_averages_and_levels() {
    let device = Device::flex();
    let model = |name: &str, bytes: &[u8]| ImageModel::from_published(&[(name, bytes)], &device).unwrap();
    let first = model("checkpoint.pth", NCSN);
    assert_eq!(first.convention, Convention::ve());
    assert_eq!(first.config().style, Style::Refine(Refine::NCSN));
    let said = &first.summary.provenance;
    assert!(said.contains("no averaged weights") && said.contains("published ones are assumed"), "{said}");
    assert!(said.contains("100 steps at each of 10 geometric levels from 2.0000 to 0.0200"), "{said}");
    assert!(first.summary.recognised.starts_with("NCSN (RefineNet"), "{}", first.summary.recognised);

    let second = model("checkpoint_300000.pth", NCSN_V2);
    assert_eq!(second.convention, Convention { time: TimeConvention::None, ..Convention::ve() });
    assert_eq!(second.config().style, Style::Refine(Refine::NCSN_V2));
    let said = &second.summary.provenance;
    assert!(!said.contains("averaged") && said.contains("levels are the file's"), "{said}");
    assert!(said.contains("5 steps at each of 232 geometric levels from 100.0000 to 0.0200"), "{said}");
    assert!(second.summary.recognised.starts_with("NCSNv2"), "{}", second.summary.recognised);
    // Averages, not the model's own numbers, which are half as large.
    let (names, numbers) = (second.network.parameters(), second.network.numbers().unwrap());
    let of = |name: &str| &numbers[names.iter().position(|parameter| parameter.name == name).unwrap()];
    let wanted = parameter("begin_conv.weight", &[4, 3, 3, 3]);
    let apart = of("begin_conv.weight").iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-3, "{apart}");
}

#[test]
fn files_that_are_cut_short_altered_or_of_another_network_are_refused() {
    for file in [NCSN, NCSN_V2] {
        for length in (0..file.len()).step_by(4999) {
            assert!(Checkpoint::open(&[&file[..length]]).is_err(), "{length}");
        }
        // Whatever a byte becomes, it ends: as an error, or as weights that are looked at like any other's.
        for at in (0..file.len()).step_by(3001) {
            let mut altered = file.to_vec();
            altered[at] ^= 0x55;
            if let Ok(checkpoint) = Checkpoint::open(&[&altered]) {
                let _ = checkpoint.recognise().and_then(|recognised| checkpoint.load(&recognised, &Device::flex()));
            }
        }
    }
    let load = |tensors: &[(String, Vec<usize>, Vec<f32>)]| {
        let file = file(tensors);
        let checkpoint = Checkpoint::open(&[&file])?;
        checkpoint.load(&checkpoint.recognise()?, &Device::flex()).map(|_| ())
    };
    let all = REFERENCE.tensors("ncsnv2", "0/module.");
    load(&all).unwrap();
    // A tensor that no network of the family has, and one that makes it a deeper network, the rest of which is not there.
    let with = |name: &str| {
        let mut all = all.clone();
        all.push((name.to_owned(), vec![16, 16, 3, 3], vec![0.0; 2304]));
        load(&all)
    };
    let beyond = with("0/module.res6.0.conv1.weight");
    assert!(matches!(beyond, Err(CheckpointError::Unexpected { tensor }) if tensor.contains("res6")));
    let deeper = with("0/module.res5.0.conv1.weight");
    assert!(matches!(deeper, Err(CheckpointError::Several(found)) if found.len() > 10));
    let mut short = all.clone();
    short.retain(|(name, ..)| !name.contains("crp.convs.1"));
    assert!(matches!(load(&short), Err(CheckpointError::Several(_))));
    let mut wide = all.clone();
    wide.iter_mut().filter(|(name, ..)| name.ends_with("normalizer.alpha")).for_each(|(_, shape, values)| {
        *shape = vec![9];
        values.push(0.0);
    });
    assert!(matches!(load(&wide), Err(CheckpointError::Shape { .. })));
    let mut endless = all;
    endless.iter_mut().for_each(|(_, _, values)| values[0] = f32::INFINITY);
    assert!(matches!(load(&endless), Err(CheckpointError::NotFinite { .. })));
    // Levels without end are no network's.
    let mut levels = REFERENCE.tensors("ncsn", "");
    levels.retain(|(name, ..)| name != "normalizer.embed.weight");
    levels.push(("normalizer.embed.weight".to_owned(), vec![20_000, 1], vec![0.0; 20_000]));
    assert!(matches!(load(&levels), Err(CheckpointError::Config(_))));
}

#[test]
fn a_deeper_network_is_read_with_its_own_size_and_sampled_as_its_publication_did() {
    let read = |case: &str, levels: u32, largest: f64| {
        let mut all = REFERENCE.tensors(case, "4/");
        let sigma = |at: u32| (largest * f64::powf(0.01 / largest, f64::from(at) / f64::from(levels - 1))) as f32;
        all.push(("0/module.sigmas".to_owned(), vec![levels as usize], (0..levels).map(sigma).collect()));
        ImageModel::from_published(&[("checkpoint.pth", &file(&all))], &Device::flex()).unwrap()
    };
    for (case, levels, largest, side, title, said) in [
        ("ncsnv2", 500, 90.0, 64, "NCSNv2 (", "5 steps at each of 500 geometric levels from 180.0000 to 0.0200"),
        ("ncsnv2_deeper", 788, 140.0, 96, "NCSNv2 for 128 pixels", "4 steps at each of 788"),
        ("ncsnv2_deeper", 1086, 190.0, 128, "NCSNv2 for 128 pixels", "3 steps at each of 1086"),
        ("ncsnv2_deepest", 2311, 348.0, 256, "NCSNv2 for 256 pixels", "3 steps at each of 2311"),
    ] {
        let model = read(case, levels, largest);
        assert_eq!(model.convention, Convention { time: TimeConvention::None, ..Convention::ve() });
        assert_eq!(model.summary.side, side, "{case}");
        assert!(model.summary.recognised.starts_with(title), "{}", model.summary.recognised);
        assert!(model.summary.provenance.contains(said), "{}", model.summary.provenance);
    }
}

#[test]
fn networks_have_as_many_parameters_as_the_papers_say() {
    for (refine, shape, channels, image_channels, published) in [
        (Refine::NCSN, 0, 128, 3, 30_117_635),
        (Refine::NCSN, 0, 64, 1, 7_638_657),
        (Refine::NCSN_V2, 0, 128, 3, 29_694_083),
        (Refine::NCSN_V2, 1, 128, 3, 83_445_379),
        (Refine::NCSN_V2, 2, 128, 3, 94_132_611),
    ] {
        let config = UNetConfig { image_channels, ..shaped(refine, shape, channels) };
        let network = config.init(0, &Device::flex()).unwrap();
        let learned = network.parameters();
        let learned = learned.iter().filter(|parameter| parameter.name != "sigmas.weight");
        assert_eq!(learned.map(scorefield::nn::unet::Parameter::count).sum::<usize>(), published);
        assert_eq!(config.size_multiple(), [2, 4, 8][shape]);
        // What halves and what is added at which size, the counter follows as well.
        assert!(network.cost(8 * config.size_multiple()).products > 0);
    }
    for wrong in [
        UNetConfig { layers: 3, ..UNetConfig::refine(Refine::NCSN, 8) },
        UNetConfig { classes: 10, ..UNetConfig::refine(Refine::NCSN, 8) },
        UNetConfig { dropout: 0.1, ..UNetConfig::refine(Refine::NCSN, 8) },
        UNetConfig::refine(Refine { levels: 1 }, 8),
        UNetConfig { multipliers: vec![1, 2, 2, 4], ..UNetConfig::refine(Refine::NCSN_V2, 8) },
        UNetConfig { multipliers: Vec::new(), ..UNetConfig::refine(Refine::NCSN_V2, 8) },
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
    }
}

#[test]
fn resamplings_of_refinement_and_their_gradients_belong_together() {
    for how in [Resampling::Mean, Resampling::Stretch] {
        let size = [6, 8];
        let [rows, columns] = size.map(|length| how.length(length));
        let x: Vec<f32> = hashed("x", 48).map(|u| u as f32).collect();
        let g: Vec<f32> = hashed("g", rows * columns).map(|u| u as f32).collect();
        let (y, back) = (resample(&x, size, 1, how), resample_back(&g, size, 1, how));
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        assert!((product(&y, &g) - product(&x, &back)).abs() < 1e-4, "{how:?}");
    }
    // Corners upon corners, thirds between.
    assert_eq!(resample(&[0.0, 3.0], [1, 2], 1, Resampling::Stretch)[..4], [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(resample(&[25.0], [1, 1], 1, Resampling::Mean), [1.0]);
}

#[cfg(feature = "cli")]
mod gradients {
    use scorefield::nn::checkpoint::Recognised;
    use scorefield::nn::tape::{Pool, Tape};

    use super::*;

    /// Gradients of the output's product with numbers of a name, by this project's names; scaled back where the output is.
    fn traced(case: &Case, network: &UNet) -> Vec<Option<Vec<f32>>> {
        let count = case.shape.iter().product();
        let mut weights: Vec<f32> = hashed("weights", count).map(|u| u as f32).collect();
        for (image, level) in weights.chunks_exact_mut(count / 2).zip(case.levels) {
            image.iter_mut().for_each(|value| *value /= log_of(*level).exp() as f32);
        }
        let x: Vec<f32> = hashed("input", count).map(|u| u as f32).collect();
        let mut tape = Tape::new(&Pool::default());
        let output = network.trace(&mut tape, &x, case.shape[2], &case.times(), &[None, None]).unwrap();
        network.traced_gradients(tape.backward(&output, weights))
    }

    #[test]
    fn gradients_are_torchs() {
        let all: BTreeMap<String, BTreeMap<String, [f64; 2]>> =
            serde_json::from_str(&REFERENCE.metadata("gradients")).unwrap();
        for case in &CASES {
            let network = case.network(&Device::flex());
            assert!(network.is_traceable());
            let wanted = &all[case.name];
            let largest = wanted.values().map(|[norm, _]| *norm).fold(0.0, f64::max);
            let (mut compared, mut worst) = (0, 0.0_f64);
            for (parameter, gradient) in network.parameters().iter().zip(traced(case, &network)) {
                let Some(gradient) = gradient else {
                    assert_eq!(parameter.name, "sigmas.weight");
                    continue;
                };
                let name = Names::Refine.in_file(&parameter.name, network.config());
                let [norm, along] = wanted[&name];
                let found = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                let seed = format!("{name} direction");
                let direction = hashed(&seed, gradient.len());
                let product: f64 = gradient.iter().zip(direction).map(|(g, d)| f64::from(*g) * d).sum();
                let scale = norm.max(1e-3 * largest);
                let error = (found - norm).abs().max((product - along).abs()) / scale;
                assert!(error < 1e-4, "{}, {name}: {found} for {norm}, {product} for {along}", case.name);
                worst = worst.max(error);
                compared += 1;
            }
            println!("{}: {worst:.1e}", case.name);
            assert_eq!(compared, wanted.len());
        }
    }

    #[test]
    fn written_out_gradients_are_those_of_automatic_derivatives() {
        for case in &CASES {
            let file = file(&REFERENCE.tensors(case.name, ""));
            let checkpoint = Checkpoint::open(&[&file]).unwrap();
            let recognised: Recognised = checkpoint.recognise().unwrap();
            let found = traced(case, &case.network(&Device::flex()));
            let autodiff = Device::flex().autodiff();
            let network = checkpoint.load(&recognised, &autodiff).unwrap();
            let count = case.shape.iter().product();
            let numbers = |name: &str| hashed(name, count).map(|u| u as f32).collect::<Vec<f32>>();
            let tensor = |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, case.shape), &autodiff);
            let mut weights = numbers("weights");
            for (image, level) in weights.chunks_exact_mut(count / 2).zip(case.levels) {
                image.iter_mut().for_each(|value| *value /= log_of(*level).exp() as f32);
            }
            let condition = network.condition(&case.times(), &[]).unwrap();
            let loss = (network.forward(tensor(numbers("input")), &condition) * tensor(weights)).sum();
            let wanted: Vec<Option<Vec<f32>>> = network
                .gradients(&loss.backward())
                .into_iter()
                .map(|gradient| gradient.map(|gradient| gradient.into_data().try_into_vec().unwrap()))
                .collect();
            let size = |v: &[f32]| (v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / v.len() as f64).sqrt();
            let largest = wanted.iter().flatten().map(|gradient| size(gradient)).fold(0.0, f64::max);
            for ((parameter, found), wanted) in network.parameters().iter().zip(found).zip(wanted) {
                match (found, wanted) {
                    (Some(found), Some(wanted)) => {
                        let scale = size(&wanted).max(1e-3 * largest);
                        let difference: Vec<f32> = found.iter().zip(&wanted).map(|(a, b)| a - b).collect();
                        let error = size(&difference) / scale;
                        assert!(error < 1e-4, "{}, {}: {error:e}", case.name, parameter.name);
                    }
                    (None, None) => assert_eq!(parameter.name, "sigmas.weight"),
                    _ => panic!("{}, {}: one of the two has no gradient", case.name, parameter.name),
                }
            }
        }
    }
}
