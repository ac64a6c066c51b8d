//! The networks of Song et al. and Karras et al., and the layouts of their files: `tests/golden/song_reference.py` made the
//! numbers, and `edm_pickle.py` a file as Karras et al. publish theirs.

use crate::golden::Golden;
use crate::unet_weights;
use std::collections::BTreeMap;

use crate::unet_weights::{error, file, hashed, image, parameter};
use burn::tensor::{Device, Tensor, TensorData};
use scorefield::diffusion::Convention;
use scorefield::diffusion::convention::TimeConvention;
use scorefield::engine::images::ImageModel;
use scorefield::nn::checkpoint::{Architecture, Checkpoint, CheckpointError, Container, Names};
use scorefield::nn::resampling::{Filter, Resampling, resample, resample_back};
use scorefield::nn::unet::{Decoder, Encoder, NoiseEmbedding, Song, Style, UNetConfig};

const REFERENCE: Golden = Golden(include_bytes!("../golden/song_reference.safetensors"));
const PICKLE: &[u8] = include_bytes!("../golden/edm_small.pkl");
const CHECKPOINT: &[u8] = include_bytes!("../golden/sde_small.pth");
/// Single precision on both sides, with sums of up to 600 products in different orders.
const TOLERANCE: f64 = 1e-5;

fn expected(case: &str) -> UNetConfig {
    let kind = case.split_once('_').unwrap().1;
    let song = match kind {
        "ncsn_pp" => Song::NCSN_PP,
        "counted" => Song { noise: NoiseEmbedding::Positional, ..Song::NCSN_PP },
        "skips" => Song {
            filter: Filter::Binomial,
            encoder: Encoder::Skip,
            decoder: Decoder::Skip,
            noise: NoiseEmbedding::Positional,
        },
        _ => Song::DDPM_PP,
    };
    let mut config = UNetConfig {
        channels: 16,
        multipliers: vec![1, 2, 2],
        layers: 1,
        attention_levels: vec![1],
        classes: if kind == "classes" { 10 } else { 0 },
        dropout: 0.0,
        style: Style::Song(song),
        ..UNetConfig::cifar10()
    };
    config.set_without_class(kind != "classes");
    config
}

const CASES: [&str; 8] = [
    "edm_ddpm_pp",
    "edm_ncsn_pp",
    "edm_skips",
    "edm_classes",
    "sde_ddpm_pp",
    "sde_ncsn_pp",
    "sde_skips",
    "sde_counted",
];

#[test]
fn every_network_is_recognised_by_its_layout_and_computes_what_the_reference_computes() {
    let device = Device::flex();
    for case in CASES {
        let file = file(&REFERENCE.tensors(case, ""));
        let checkpoint = Checkpoint::open(&[&file]).unwrap();
        let recognised = checkpoint.recognise().unwrap();
        let Architecture { names, config } = &recognised.architecture;
        assert_eq!(matches!(names, Names::Edm { side: 16 }), case.starts_with("edm"), "{names:?}");
        assert_eq!(*config, expected(case), "{case}");
        let network = checkpoint.load(&recognised, &device).unwrap();
        let labels: &[Option<usize>] = if case == "edm_classes" { &[Some(3), Some(8)] } else { &[] };
        let condition = network.condition(&[-0.9_f32, 1.1].map(f64::from), labels).unwrap();
        let output = network.forward(image("input", [2, 3, 16, 16], &device), &condition);
        let found = error(&output.into_data().try_into_vec::<f32>().unwrap(), &REFERENCE.numbers(case));
        println!("{case}: {found:.1e}");
        assert!(found < TOLERANCE, "{case}: {found:e}");
    }
}

#[test]
fn conventions_are_those_of_the_systems_that_published_them() {
    let device = Device::flex();
    for (case, convention) in [
        ("edm_ddpm_pp", None),
        ("sde_ddpm_pp", Some(Convention::vp())),
        ("sde_skips", Some(Convention::vp())),
        ("sde_ncsn_pp", Some(Convention::ve())),
    ] {
        let file = file(&REFERENCE.tensors(case, ""));
        let model = ImageModel::from_published(&[("a file", &file)], &device).unwrap();
        if let Some(convention) = convention {
            assert_eq!(model.convention, convention, "{case}");
            assert!(model.summary.provenance.contains("assumed"), "{}", model.summary.provenance);
        }
        let said = if case.ends_with("ncsn_pp") { "NCSN++" } else { "DDPM++" };
        assert!(model.summary.recognised.contains(said), "{}", model.summary.recognised);
    }
}

#[test]
fn a_network_that_counts_levels_has_those_of_its_file_or_of_its_publication() {
    let device = Device::flex();
    let sigmas = |case: &str, sigmas: &[f32]| {
        let mut all = REFERENCE.tensors(case, "");
        all.extend((!sigmas.is_empty()).then(|| ("sigmas".to_owned(), vec![sigmas.len()], sigmas.to_vec())));
        file(&all)
    };
    let read = |file: &[u8], scheduler: &str| {
        let weights = ("checkpoint.pth", file);
        let settings = ("scheduler_config.json", scheduler.as_bytes());
        let files = [weights, settings];
        let model = ImageModel::from_published(&files[..if scheduler.is_empty() { 1 } else { 2 }], &device);
        model.map(|model| (model.convention, model.summary))
    };
    let of = |count, largest, smallest| Convention {
        time: TimeConvention::Levels { count, largest, smallest },
        ..Convention::ve()
    };
    // 11 levels from 32 to 1/32, for pixels from 0 to 1.
    let octaves: Vec<f32> = (0..11).map(|at| 2.0_f32.powi(5 - at)).collect();
    let counted = sigmas("sde_counted", &octaves);
    let (convention, summary) = read(&counted, "").unwrap();
    assert_eq!(convention, of(11, 64.0, 0.0625));
    assert_eq!(summary.recognised, "NCSN++ of score_sde (safetensors)");
    let said = &summary.provenance;
    assert!(said.contains("11 geometric levels from 64.0000 to 0.0625") && said.contains("in the file"), "{said}");
    for other in [&[][..], &[3.0, 2.0, 1.0]] {
        let (convention, summary) = read(&sigmas("sde_counted", other), "").unwrap();
        assert_eq!(convention, of(1000, 100.0, 0.02));
        assert!(summary.provenance.contains("with the published levels"), "{}", summary.provenance);
    }
    // Settings beside a file say which equation it is: the same network was trained with either.
    let (convention, summary) = read(&counted, r#"{ "_class_name": "DDPMScheduler" }"#).unwrap();
    assert_eq!(convention, Convention::ddpm());
    assert!(!summary.provenance.contains("level"), "{}", summary.provenance);
    let exploding =
        r#"{ "_class_name": "ScoreSdeVeScheduler", "sigma_max": 8, "sigma_min": 0.5, "num_train_timesteps": 5 }"#;
    assert_eq!(read(&counted, exploding).unwrap().0, of(11, 64.0, 0.0625));
    let (convention, summary) = read(&sigmas("sde_ddpm_pp", &[]), exploding).unwrap();
    assert_eq!(convention, of(5, 16.0, 1.0));
    assert!(summary.provenance.contains("as scheduler_config.json has them"), "{}", summary.provenance);
    assert_eq!(read(&sigmas("sde_ncsn_pp", &octaves), exploding).unwrap().0, Convention::ve());
    let swapped = exploding.replace("0.5", "9");
    let Err(error) = read(&sigmas("sde_ddpm_pp", &[]), &swapped) else { panic!("levels that rise") };
    assert!(error.to_string().contains("sigma_max"), "{error}");
}

#[test]
fn a_pickle_of_karras_et_al_is_read_without_executing_it() {
    let checkpoint = Checkpoint::open(&[PICKLE]).unwrap();
    assert_eq!(checkpoint.container(), Container::Pickle);
    assert!(checkpoint.foreign().contains(&"torch_utils.persistence._reconstruct_persistent_obj".to_owned()));
    let recognised = checkpoint.recognise().unwrap();
    assert_eq!(recognised.prefix, "ema/model.");
    assert_eq!(recognised.convention, Some(Convention::ve()));
    for (name, _, shape) in checkpoint.tensors() {
        let inner = name.strip_prefix("ema/model.").unwrap();
        if !inner.ends_with("resample_filter") {
            assert!(checkpoint.values(name).unwrap() == parameter(inner, shape), "{name}");
        }
    }
    let model = ImageModel::from_published(&[("edm-cifar10-32x32-uncond-ve.pkl", PICKLE)], &Device::flex()).unwrap();
    assert_eq!(model.config().style, Style::Song(Song::NCSN_PP));
    assert!(model.summary.recognised.contains("NCSN++"), "{}", model.summary.recognised);
}

#[test]
fn a_checkpoint_of_score_sde_gives_its_averages() {
    let checkpoint = Checkpoint::open(&[CHECKPOINT]).unwrap();
    let recognised = checkpoint.recognise().unwrap();
    assert_eq!(recognised.prefix, "model/module.");
    let device = Device::flex();
    let network = checkpoint.load(&recognised, &device).unwrap();
    // Averages, not the model's own numbers, which are half as large; frequencies are in the model alone.
    let (names, numbers) = (network.parameters(), network.numbers().unwrap());
    let of = |name: &str| &numbers[names.iter().position(|parameter| parameter.name == name).unwrap()];
    assert!(*of("conv_in.weight") == parameter("all_modules.3.weight", &[8, 3, 3, 3]));
    assert!(*of("time_proj.weight") == parameter("all_modules.0.W", &[8]));
    let model = ImageModel::from_published(&[("checkpoint_8.pth", CHECKPOINT)], &device).unwrap();
    assert_eq!((model.convention, model.config().style), (Convention::ve(), Style::Song(Song::NCSN_PP)));
    assert!(!model.summary.provenance.contains("averaged"), "{}", model.summary.provenance);
}

#[test]
fn pickles_that_are_cut_short_or_altered_are_refused() {
    for length in (0..PICKLE.len()).step_by(997) {
        assert!(Checkpoint::open(&[&PICKLE[..length]]).is_err(), "{length}");
    }
    // Whatever a byte becomes, it ends: as an error, or as weights that are looked at like any other's.
    for at in (0..PICKLE.len()).step_by(1499) {
        let mut altered = PICKLE.to_vec();
        altered[at] ^= 0x55;
        if let Ok(checkpoint) = Checkpoint::open(&[&altered]) {
            let _ = checkpoint.recognise().and_then(|recognised| checkpoint.load(&recognised, &Device::flex()));
        }
    }
}

#[test]
fn averages_in_a_list_are_taken_in_torchs_order() {
    let case = "sde_ncsn_pp";
    let mut all = REFERENCE.tensors(case, "model/module.");
    // The list has them in the order of the modules, which is not that of the names.
    let order = |name: &str| {
        let mut parts = name.split('.').skip(1);
        let at: usize = parts.next().unwrap().parse().unwrap();
        let (layer, kind) = match (parts.next().unwrap(), parts.next()) {
            (layer, Some(kind)) => (layer.to_owned(), kind.to_owned()),
            (kind, None) => (String::new(), kind.to_owned()),
        };
        let layers =
            ["", "GroupNorm_0", "Conv_0", "Dense_0", "GroupNorm_1", "Conv_1", "Conv_2", "NIN_0", "NIN_1", "NIN_2"];
        let place = layers.iter().position(|other| *other == layer).unwrap_or(layers.len());
        (at, place, kind == "bias" || kind == "b")
    };
    let mut names: Vec<(String, Vec<usize>)> =
        REFERENCE.shapes(case).into_iter().filter(|(name, _)| !name.ends_with("0.W") || name.contains("NIN")).collect();
    names.sort_by_key(|(name, _)| order(name));
    for (at, (name, shape)) in names.iter().enumerate() {
        all.push((format!("ema/shadow_params/{at}"), shape.clone(), parameter(&format!("{name} averaged"), shape)));
    }
    all.push(("model/module.sigmas".to_owned(), vec![4], vec![1.0; 4]));
    let whole = file(&all);
    let checkpoint = Checkpoint::open(&[&whole]).unwrap();
    let recognised = checkpoint.recognise().unwrap();
    assert!(recognised.notes.iter().all(|note| !note.contains("averaged")), "{:?}", recognised.notes);
    let network = checkpoint.load(&recognised, &Device::flex()).unwrap();
    let (names, numbers) = (network.parameters(), network.numbers().unwrap());
    let of = |name: &str| &numbers[names.iter().position(|parameter| parameter.name == name).unwrap()];
    let averaged = |name: &str, shape: &[usize]| parameter(&format!("{name} averaged"), shape);
    assert!(*of("conv_in.weight") == averaged("all_modules.3.weight", &[16, 3, 3, 3]));
    assert!(
        *of("conv_out.bias")
            == averaged(
                &format!(
                    "{}.bias",
                    REFERENCE
                        .shapes(case)
                        .keys()
                        .filter_map(|n| n.split('.').nth(1)?.parse::<usize>().ok())
                        .max()
                        .map(|at| format!("all_modules.{at}"))
                        .unwrap()
                ),
                &[3]
            )
    );
    // Frequencies are not among the averages.
    assert!(*of("time_proj.weight") == parameter("all_modules.0.W", &[16]));

    // A list of another length is of another network: not taken, and said.
    all.retain(|(name, ..)| name != "ema/shadow_params/0");
    let short = file(&all);
    let recognised = Checkpoint::open(&[&short]).unwrap().recognise().unwrap();
    assert!(recognised.averages.is_empty() && recognised.notes.iter().any(|note| note.contains("no averaged weights")));
}

#[test]
fn other_preconditionings_are_refused_by_name() {
    // Of the same length, so that the pickle stays whole.
    let place = PICKLE.windows(9).position(|window| window == b"VEPrecond").unwrap();
    let mut other = PICKLE.to_vec();
    other[place..place + 9].copy_from_slice(b"ZZPrecond");
    let error = Checkpoint::open(&[&other]).unwrap().recognise().unwrap_err();
    assert_eq!(error, CheckpointError::Preconditioning { class: "ZZPrecond".to_owned() });
}

#[test]
fn networks_have_as_many_parameters_as_the_papers_say() {
    let config = |song: Song, multipliers: &[usize], layers: usize| UNetConfig {
        multipliers: multipliers.to_vec(),
        layers,
        dropout: 0.0,
        style: Style::Song(song),
        ..UNetConfig::cifar10()
    };
    let (edm, sde) = (&[2, 2, 2][..], &[1, 2, 2, 2][..]);
    for (config, learned) in [
        // Published: 55,733,891, 55,735,299 and 56,397,827, with 9 numbers a channel for augmented images.
        (config(Song::DDPM_PP, edm, 4), 55_733_891 - 9 * 128),
        (UNetConfig { classes: 10, ..config(Song::DDPM_PP, edm, 4) }, 55_735_299 - 9 * 128 - 128),
        (config(Song::NCSN_PP, edm, 4), 56_397_827 - 9 * 256),
        // Published: 61.8, 62.8 and 107.6 million.
        (config(Song::DDPM_PP, sde, 4), 61_804_419),
        (config(Song::NCSN_PP, sde, 4), 62_758_787),
        (config(Song::NCSN_PP, sde, 8), 107_586_947),
    ] {
        let mut config = config;
        config.set_without_class(config.classes == 0);
        let network = config.init(0, &Device::flex()).unwrap();
        let count: usize = network
            .parameters()
            .iter()
            .filter(|parameter| parameter.name != "time_proj.weight")
            .map(scorefield::nn::unet::Parameter::count)
            .sum();
        assert_eq!(count, learned, "{config:?}");
    }
}

#[test]
fn a_resampling_and_its_gradient_belong_together_and_keep_what_is_constant() {
    for filter in [Filter::Box, Filter::Binomial] {
        for how in [Resampling::Halve(filter), Resampling::Double(filter), Resampling::Blur(filter)] {
            let size = [6, 8];
            let [rows, columns] = size.map(|length| how.length(length));
            let x: Vec<f32> = hashed("x", 2 * 3 * 48).map(|u| u as f32).collect();
            let g: Vec<f32> = hashed("g", 2 * 3 * rows * columns).map(|u| u as f32).collect();
            for inner in [1, 3] {
                let (y, back) = (resample(&x, size, inner, how), resample_back(&g, size, inner, how));
                let product =
                    |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                let difference = product(&y, &g) - product(&x, &back);
                assert!(difference.abs() < 1e-4, "{how:?}: {difference}");
            }
            // Within the edges a constant stays what it is.
            let y = resample(&[1.0; 48], size, 1, how);
            let middle = y[rows / 2 * columns + columns / 2];
            assert!((middle - 1.0).abs() < 1e-6, "{how:?}: {middle}");
        }
    }
    // Doubling a line by the wider filter is linear interpolation at quarters.
    let y = resample(&[0.0, 1.0, 2.0, 3.0], [1, 4], 1, Resampling::Double(Filter::Binomial));
    assert_eq!(y[1..7], [0.25, 0.75, 1.25, 1.75, 2.25, 2.75].map(|v| 0.75 * v));
}

#[cfg(feature = "cli")]
#[test]
fn gradients_are_torchs() {
    use scorefield::nn::tape::{Pool, Tape};
    let all: BTreeMap<String, BTreeMap<String, [f64; 2]>> =
        serde_json::from_str(&REFERENCE.metadata("gradients")).unwrap();
    for (case, song) in [("ddpm_pp", Song::DDPM_PP), ("ncsn_pp", Song::NCSN_PP)] {
        let config = UNetConfig {
            channels: 16,
            multipliers: vec![1, 2],
            layers: 1,
            attention_levels: vec![1],
            dropout: 0.0,
            style: Style::Song(song),
            ..UNetConfig::cifar10()
        };
        let network = unet_weights::network(&config, &Device::flex());
        let of = |name: &str| hashed(name, 2 * 3 * 64).map(|u| u as f32).collect::<Vec<f32>>();
        let mut tape = Tape::new(&Pool::default());
        let times = [-0.9_f32, 1.1].map(f64::from);
        let output = network.trace(&mut tape, &of("input"), 8, &times, &[None, None]).unwrap();
        let gradients = network.traced_gradients(tape.backward(&output, of("weights")));
        let largest = all[case].values().map(|[norm, _]| *norm).fold(0.0, f64::max);
        let mut compared = 0;
        for (parameter, gradient) in network.parameters().iter().zip(gradients) {
            let Some(gradient) = gradient else {
                assert_eq!(parameter.name, "time_proj.weight");
                continue;
            };
            let [norm, along] = all[case][&parameter.name];
            let found = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let name = format!("{} direction", parameter.name);
            let direction = hashed(&name, gradient.len());
            let product: f64 = gradient.iter().zip(direction).map(|(g, d)| f64::from(*g) * d).sum();
            let scale = norm.max(1e-3 * largest);
            assert!((found - norm).abs() < 1e-4 * scale, "{case}, {}: {found} for {norm}", parameter.name);
            assert!((product - along).abs() < 1e-4 * scale, "{case}, {}: {product} for {along}", parameter.name);
            compared += 1;
        }
        assert_eq!(compared, all[case].len());
    }
}

#[cfg(feature = "cli")]
#[test]
fn written_out_gradients_are_those_of_automatic_derivatives() {
    use scorefield::nn::tape::{Pool, Tape};
    for case in ["edm_ncsn_pp", "edm_skips", "edm_classes"] {
        let file = file(&REFERENCE.tensors(case, ""));
        let checkpoint = Checkpoint::open(&[&file]).unwrap();
        let recognised = checkpoint.recognise().unwrap();
        let device = Device::flex();
        let network = checkpoint.load(&recognised, &device).unwrap();
        assert!(network.is_traceable());
        let x: Vec<f32> = hashed("input", 2 * 3 * 256).map(|u| u as f32).collect();
        let weights: Vec<f32> = hashed("weights", 2 * 3 * 256).map(|u| u as f32).collect();
        let labels = if case == "edm_classes" { [Some(3), Some(8)] } else { [None, None] };
        let mut tape = Tape::new(&Pool::default());
        let output = network.trace(&mut tape, &x, 16, &[-0.9, 1.1], &labels).unwrap();
        let found = network.traced_gradients(tape.backward(&output, weights.clone()));

        let autodiff = Device::flex().autodiff();
        let network = checkpoint.load(&recognised, &autodiff).unwrap();
        let tensor =
            |values: &[f32]| Tensor::<4>::from_data(TensorData::new(values.to_vec(), [2, 3, 16, 16]), &autodiff);
        let condition = network.condition(&[-0.9, 1.1], &labels).unwrap();
        let loss = (network.forward(tensor(&x), &condition) * tensor(&weights)).sum();
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
                    // What is added to all keys changes no attention: that gradient is 0, and both have its rounding.
                    let scale = size(&wanted).max(1e-3 * largest);
                    let difference: Vec<f32> = found.iter().zip(&wanted).map(|(a, b)| a - b).collect();
                    let error = size(&difference) / scale;
                    assert!(error < 1e-4, "{case}, {}: {error:e}", parameter.name);
                }
                (None, None) => assert_eq!(parameter.name, "time_proj.weight"),
                _ => panic!("{case}, {}: one of the two has no gradient", parameter.name),
            }
        }
    }
}
