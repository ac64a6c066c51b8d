//! Settings of diffusers beside weights, against what diffusers computes with them: `tests/golden/diffusers_settings.py`
//! made the numbers.

use crate::unet_weights;
use std::collections::BTreeMap;

use crate::unet_weights::{error, image};
use burn::tensor::Device;
use scorefield::diffusion::{Convention, Level, Prediction};
use scorefield::engine::images::ImageModel;
use scorefield::nn::checkpoint::diffusers::{self, SettingsError};
use scorefield::nn::unet::Parameter;
use serde::Deserialize;
use serde_json::{Value, json};

const REFERENCE: &str = include_str!("../golden/diffusers_settings.json");
/// Single precision on both sides, with sums in different orders.
const TOLERANCE: f64 = 2e-5;

#[derive(Deserialize)]
struct Reference {
    networks: Vec<Network>,
    schedulers: Vec<Scheduler>,
}

#[derive(Deserialize)]
struct Network {
    name: String,
    settings: String,
    time: f64,
    output: Vec<f32>,
}

#[derive(Deserialize)]
struct Scheduler {
    name: String,
    settings: String,
    kept: BTreeMap<usize, f64>,
}

fn reference() -> Reference {
    serde_json::from_str(REFERENCE).unwrap()
}

/// The settings of one of the networks, with some changed.
fn changed(name: &str, changes: Value) -> String {
    let network = reference().networks.into_iter().find(|network| network.name == name).unwrap();
    let mut settings: Value = serde_json::from_str(&network.settings).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        settings[field] = value.clone();
    }
    settings.to_string()
}

#[test]
fn a_network_computes_what_diffusers_computes_with_the_same_settings() {
    let device = Device::flex();
    let x = image("input", [1, 3, 8, 8], &device);
    let networks = reference().networks;
    for network in &networks {
        let described = diffusers::network(&network.settings).unwrap();
        assert_eq!(described.unread, Vec::<String>::new(), "{}", network.name);
        assert_eq!(described.of.image_size, Some(8));
        let config = described.of.config;
        let labels: &[Option<usize>] = if config.classes > 0 { &[Some(9)] } else { &[] };
        let unet = unet_weights::network(&config, &device);
        let output = unet.forward(x.clone(), &unet.condition(&[network.time], labels).unwrap());
        let output: Vec<f32> = output.into_data().try_into_vec().unwrap();
        let found = error(&output, &network.output);
        println!("{}: {found:.1e}", network.name);
        assert!(found < TOLERANCE, "{}: {found:e}", network.name);
    }
    // Each setting changes the output by far more than that, so that none could be left unread. Two networks are the same
    // only where they have other parameters.
    for network in &networks[1..] {
        let apart = error(&network.output, &networks[0].output);
        assert!(apart > 50.0 * TOLERANCE, "{}: {apart:e}", network.name);
    }
}

#[test]
fn a_network_without_a_row_for_no_class_wants_a_class() {
    let device = Device::flex();
    let config = diffusers::network(&changed("classes", json!({}))).unwrap().of.config;
    assert_eq!((config.classes, config.class_rows()), (10, 10));
    let unet = unet_weights::network(&config, &device);
    assert!(unet.condition(&[500.0], &[]).is_err());
    assert!(unet.condition(&[500.0], &[None]).is_err());
    assert!(unet.condition(&[500.0], &[Some(10)]).is_err());
    assert!(unet.condition(&[500.0], &[Some(0)]).is_ok());
}

#[test]
fn what_cannot_be_run_is_refused_by_the_name_of_the_setting() {
    for (field, value) in [
        ("act_fn", json!("relu")),
        ("time_embedding_type", json!("fourier")),
        ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
        ("downsample_type", json!("resnet")),
        ("upsample_type", json!("resnet")),
        ("mid_block_scale_factor", json!(2)),
        ("add_attention", json!(false)),
        ("center_input_sample", json!(true)),
        ("class_embed_type", json!("timestep")),
        ("attn_norm_num_groups", json!(8)),
        ("resnet_time_scale_shift", json!("scale_shift")),
        ("down_block_types", json!(["SkipDownBlock2D", "AttnDownBlock2D"])),
        ("up_block_types", json!(["UpBlock2D", "AttnUpBlock2D"])),
        ("block_out_channels", json!([32, 40])),
        ("block_out_channels", json!([])),
        ("out_channels", json!(4)),
        ("norm_eps", json!("small")),
        ("layers_per_block", json!([1, 2])),
        ("sample_size", json!(1e30)),
    ] {
        let refused = diffusers::network(&changed("ddpm", json!({ field: value }))).unwrap_err();
        assert!(matches!(&refused, SettingsError::Field { field: found, .. } if *found == field), "{field}: {refused}");
        assert!(refused.to_string().contains(field), "{refused}");
    }
    for (field, value) in [("norm_num_groups", json!(7)), ("attention_head_dim", json!(48)), ("freq_shift", json!(2))] {
        let refused = diffusers::network(&changed("ddpm", json!({ field: value }))).unwrap_err();
        assert!(matches!(refused, SettingsError::Config(_)), "{field}: {refused}");
    }
    for (field, value) in [
        ("mid_block_scale_factor", json!(1)),
        ("num_class_embeds", json!(10)),
        ("norm_num_groups", json!(16)),
        ("time_embedding_type", json!("learned")),
        ("out_channels", json!(6)),
        ("up_block_types", json!(["AttnUpBlock2D", "UpBlock2D"])),
        ("down_block_types", json!(["DownBlock2D", "AttnSkipDownBlock2D"])),
        ("block_out_channels", json!([32, 64])),
    ] {
        let refused = diffusers::network(&changed("skip_centred", json!({ field: value }))).unwrap_err();
        assert!(matches!(&refused, SettingsError::Field { field: found, .. } if *found == field), "{field}: {refused}");
    }
    let class = diffusers::network(&changed("ddpm", json!({ "_class_name": "UNet2DConditionModel" }))).unwrap_err();
    assert!(class.to_string().contains("UNet2DConditionModel"), "{class}");
    for not_settings in ["", "[]", "{", "\"UNet2DModel\"", "{}"] {
        diffusers::network(not_settings).unwrap_err();
        diffusers::convention(not_settings).unwrap_err();
    }
}

#[test]
fn a_setting_that_is_not_known_here_is_said() {
    let described = diffusers::network(&changed("ddpm", json!({ "new_setting": 3, "_name_or_path": "x" }))).unwrap();
    assert_eq!(described.unread, ["new_setting"]);
}

#[test]
fn a_network_is_told_the_step_at_which_diffusers_has_the_same_level() {
    for scheduler in reference().schedulers {
        let described = diffusers::convention(&scheduler.settings).unwrap();
        let convention = described.of;
        let prediction = match scheduler.name.as_str() {
            "velocity" => Prediction::Velocity,
            "data" => Prediction::Data,
            _ => Prediction::Noise,
        };
        assert_eq!(convention.prediction, prediction, "{}", scheduler.name);
        for (step, kept) in scheduler.kept {
            let level = Level { alpha: kept.sqrt(), sigma: (1.0 - kept).sqrt(), t: 0.5 };
            let time = convention.time_of(level);
            // diffusers multiplies its betas in single precision.
            assert!((time - step as f64).abs() < 0.02, "{}: {time} for {step}", scheduler.name);
        }
    }
}

#[test]
fn a_scheduler_of_another_kind_is_refused_by_name() {
    let settings = reference().schedulers.remove(0).settings;
    let with = |field: &str, value: Value| {
        let mut settings: Value = serde_json::from_str(&settings).unwrap();
        settings[field] = value;
        diffusers::convention(&settings.to_string()).unwrap_err().to_string()
    };
    for (field, value) in [
        ("_class_name", json!("ScoreSdeVpScheduler")),
        ("beta_schedule", json!("sigmoid")),
        ("prediction_type", json!("flow")),
        ("trained_betas", json!([0.1, 0.2])),
        ("rescale_betas_zero_snr", json!(true)),
        ("beta_start", json!(0.5)),
        ("num_train_timesteps", json!(1e9)),
    ] {
        let shown = value.as_str().map_or(field.to_owned(), str::to_owned);
        let refused = with(field, value);
        assert!(refused.contains(&shown), "{field}: {refused}");
    }
}

#[test]
fn a_network_of_skip_blocks_is_read_with_and_without_its_settings() {
    let device = Device::flex();
    let described = diffusers::network(&changed("skip_centred", json!({}))).unwrap();
    let network = unet_weights::network(&described.of.config, &device);
    let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = network
        .parameters()
        .into_iter()
        // Published files have the frequencies under both names.
        .flat_map(|p| if p.name == "time_proj.weight" { vec![p.clone(), named(p, "time_proj.W")] } else { vec![p] })
        .map(|p| {
            let values = unet_weights::parameter(&p.name.replace(".W", ".weight"), &p.shape);
            (p.name, p.shape, values)
        })
        .collect();
    let file = unet_weights::file(&tensors);
    let settings = changed("skip_centred", json!({}));
    let scheduler = r#"{ "_class_name": "ScoreSdeVeScheduler", "sigma_max": 1348 }"#;
    let chain = r#"{ "_class_name": "DDPMScheduler" }"#;
    let read = |files: &[(&str, &[u8])]| ImageModel::from_published(files, &device);
    let weights = ("model.safetensors", &file[..]);
    let alone = read(&[weights]).unwrap();
    let beside = read(&[weights, ("config.json", settings.as_bytes())]).unwrap();
    let all = read(&[weights, ("config.json", settings.as_bytes()), ("scheduler_config.json", scheduler.as_bytes())])
        .unwrap();
    for model in [&alone, &beside, &all] {
        assert_eq!(model.convention, Convention::ve());
        assert_eq!((model.config().style, model.config().multipliers.clone()), (alone.config().style, vec![1, 4]));
        assert!(model.summary.recognised.contains("NCSN++"), "{}", model.summary.recognised);
    }
    assert_eq!((alone.side, beside.side), (32, 8));
    assert!(alone.summary.provenance.contains("variance-exploding"), "{}", alone.summary.provenance);
    assert!(all.summary.provenance.is_empty(), "{}", all.summary.provenance);
    // What tells steps of betas tells such a network nothing.
    let Err(error) =
        read(&[weights, ("config.json", settings.as_bytes()), ("scheduler_config.json", chain.as_bytes())])
    else {
        panic!("a chain of betas beside frequencies of sigma")
    };
    assert!(error.to_string().contains("ScoreSdeVeScheduler"), "{error}");
}

fn named(parameter: Parameter, name: &str) -> Parameter {
    Parameter { name: name.to_owned(), ..parameter }
}
