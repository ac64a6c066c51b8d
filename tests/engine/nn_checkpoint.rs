//! Files of weights: every layout and container, what is refused, and what hostile files cost.

use crate::counting::peak;
use crate::unet_weights::{image, network, parameter};
use burn::tensor::{Device, f16};
use safetensors::tensor::{Dtype, TensorView};
use scorefield::diffusion::convention::{InputScale, TimeConvention};
use scorefield::diffusion::{Level, Prediction};
use scorefield::nn::checkpoint::{
    Architecture, Checkpoint, CheckpointError, Container, Manifest, ManifestError, ManifestFile, Names, Number,
    Precision, SearchedGrid, encode,
};
use scorefield::nn::unet::{Parameter, UNet, UNetConfig};
use scorefield::rng::{Rng, Stream};

const SAFETENSORS: &[u8] = include_bytes!("../golden/unet_tiny.safetensors");
const OLD_NAMES: &[u8] = include_bytes!("../golden/unet_tiny_old_names.bin");
const DDIM: &[u8] = include_bytes!("../golden/unet_tiny_ddim.ckpt");
const DDIM_LEGACY: &[u8] = include_bytes!("../golden/unet_tiny_ddim_legacy.ckpt");
const VIEWS: &[u8] = include_bytes!("../golden/unet_views.pt");
const ATTACK: &[u8] = include_bytes!("../golden/unet_attack.pt");

fn tiny() -> UNetConfig {
    UNetConfig {
        channels: 8,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![1],
        groups: 4,
        dropout: 0.0,
        ..UNetConfig::cifar10()
    }
}

fn with_groups(recognised: &mut scorefield::nn::checkpoint::Recognised, count: usize) {
    recognised.architecture.config.groups = count;
}

fn load(file: &[u8]) -> Result<UNet, CheckpointError> {
    let checkpoint = Checkpoint::open(&[file])?;
    let mut recognised = checkpoint.recognise()?;
    with_groups(&mut recognised, 4);
    checkpoint.load(&recognised, &Device::flex())
}

fn values(net: &UNet) -> Vec<Vec<f32>> {
    net.values().into_iter().map(|value| value.into_data().try_into_vec().unwrap()).collect()
}

fn output(net: &UNet) -> Vec<f32> {
    let x = image("input", [2, 3, 8, 8], &Device::flex());
    let condition = net.condition(&[3.0, 737.0], &[]).unwrap();
    net.forward(x, &condition).into_data().try_into_vec().unwrap()
}

fn encoded(config: &UNetConfig, precision: Precision) -> Vec<u8> {
    let net = network(config, &Device::flex());
    encode(&net.parameters(), &values(&net), precision).unwrap()
}

fn relative(found: &[f32], expected: &[f32]) -> f32 {
    let scale = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    found.iter().zip(expected).fold(0.0_f32, |m, (a, b)| m.max((a - b).abs())) / scale
}

/// Zeros under these names, with these shapes.
fn zeros(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let data = vec![0; 1 << 16];
    let views = tensors.iter().map(|(name, shape)| {
        let length = 4 * shape.iter().product::<usize>();
        (name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), &data[..length]).unwrap())
    });
    safetensors::tensor::serialize(views, None).unwrap()
}

/// An archive as torch writes it, with this pickle.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let crc = |data: &[u8]| {
        !data.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
        })
    };
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in [("x/data.pkl", pickle), ("x/data/0", &[0; 64][..])] {
        let at = file.len() as u32;
        let mut fields = vec![0; 10];
        fields.extend(crc(data).to_le_bytes());
        fields.extend([data.len() as u32; 2].iter().flat_map(|v| v.to_le_bytes()));
        fields.extend([name.len() as u16, 0].iter().flat_map(|v| v.to_le_bytes()));
        file.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02\0\0", &fields[..], &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, length) = (file.len() as u32, directory.len() as u32);
    file.extend(directory);
    file.extend([b"PK\x05\x06", &[0, 0, 0, 0, 2, 0, 2, 0][..], &length.to_le_bytes(), &start.to_le_bytes()].concat());
    file.extend([0, 0]);
    file
}

/// A dictionary with the tensor `a`, a view of 16 floats with these 64-bit numbers.
fn view_pickle(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let long = |value: i64| [&[0x8a, 8][..], &value.to_le_bytes()].concat();
    let tuple =
        |values: &[i64]| [b"(".to_vec(), values.iter().flat_map(|v| long(*v)).collect(), b"t".to_vec()].concat();
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    [
        b"\x80\x02}".to_vec(),
        text("a"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        long(16),
        b"tQ".to_vec(),
        long(offset),
        tuple(shape),
        tuple(strides),
        b"\x89}tRs.".to_vec(),
    ]
    .concat()
}

#[test]
fn every_published_layout_and_container_gives_the_same_network() {
    let expected: Vec<Vec<f32>> = network(&tiny(), &Device::flex())
        .parameters()
        .iter()
        .map(|p| parameter(&p.name, &p.shape).iter().map(|v| f16::from_f32(*v).to_f32()).collect())
        .collect();
    for (file, container, names) in [
        (SAFETENSORS, Container::Safetensors, Names::Diffusers),
        (OLD_NAMES, Container::TorchZip, Names::Diffusers),
        (DDIM, Container::TorchZip, Names::Ddim),
        (DDIM_LEGACY, Container::TorchLegacy, Names::Ddim),
    ] {
        let checkpoint = Checkpoint::open(&[file]).unwrap();
        assert_eq!(checkpoint.container(), container);
        let mut recognised = checkpoint.recognise().unwrap();
        with_groups(&mut recognised, 4);
        assert_eq!(recognised.prefix, "");
        assert_eq!(recognised.architecture, Architecture { names, config: tiny() });
        let net = checkpoint.load(&recognised, &Device::flex()).unwrap();
        assert!(values(&net) == expected, "{container:?} {names:?}");
    }
}

#[test]
fn half_precision_and_int8_stay_close_and_shrink_the_file() {
    let config = UNetConfig { channels: 32, groups: 32, ..tiny() };
    let exact = output(&network(&config, &Device::flex()));
    let run = |precision| {
        let file = encoded(&config, precision);
        let checkpoint = Checkpoint::open(&[&file]).unwrap();
        let net = checkpoint.load(&checkpoint.recognise().unwrap(), &Device::flex()).unwrap();
        let error = relative(&output(&net), &exact);
        println!("{precision:?}: {} bytes, error of the output {error:.1e}", file.len());
        (file.len() as f64, error)
    };
    let (full, none) = run(Precision::Full);
    let (half, small) = run(Precision::Half);
    let (int8, larger) = run(Precision::Int8);
    assert_eq!(none, 0.0);
    // A weight is rounded by up to 2^-12 of itself in half precision, in int8 by up to 2^-8 of the largest of its
    // channel. Through this network of random weights, whose blocks hide nothing, that was measured to become 1.0e-3 and
    // 1.9e-2 of the largest output; the bounds are twice that.
    assert!(small > 0.0 && small < 2.0e-3, "{small}");
    assert!(larger > small && larger < 3.8e-2, "{larger}");
    assert!(half < 0.52 * full && int8 < 0.28 * full, "{full} {half} {int8}");
}

#[test]
fn shards_are_one_checkpoint_in_any_order() {
    let net = network(&tiny(), &Device::flex());
    let (parameters, numbers) = (net.parameters(), values(&net));
    let middle = parameters.len() / 2;
    let first = encode(&parameters[..middle], &numbers[..middle], Precision::Full).unwrap();
    let second = encode(&parameters[middle..], &numbers[middle..], Precision::Full).unwrap();
    let checkpoint = Checkpoint::open(&[&second, &first]).unwrap();
    let mut recognised = checkpoint.recognise().unwrap();
    with_groups(&mut recognised, 4);
    assert!(values(&checkpoint.load(&recognised, &Device::flex()).unwrap()) == numbers);
    assert!(matches!(Checkpoint::open(&[&first, &first]), Err(CheckpointError::Duplicate { .. })));
    let half = Checkpoint::open(&[&first]).unwrap();
    assert!(matches!(
        half.recognise().and_then(|r| half.load(&r, &Device::flex())),
        Err(CheckpointError::Missing { .. } | CheckpointError::Several(_))
    ));
}

#[test]
fn views_prefixes_and_nested_dictionaries_are_understood() {
    let checkpoint = Checkpoint::open(&[VIEWS]).unwrap();
    let found: Vec<_> = checkpoint.tensors().map(|(name, number, shape)| (name, number, shape.to_vec())).collect();
    assert_eq!(
        found,
        [
            ("model/module.a", Number::F32, vec![4, 3]),
            ("model/module.b", Number::F32, vec![4]),
            ("optimizer/state/0/exp_avg", Number::F64, vec![2]),
        ]
    );
    // The transposed view of 0..12 as 3 rows of 4, and a piece of the same storage.
    let transposed = checkpoint.values("model/module.a").unwrap();
    assert_eq!(transposed, [0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0]);
    assert_eq!(checkpoint.values("model/module.b").unwrap(), [4.0, 5.0, 6.0, 7.0]);
    assert_eq!(checkpoint.values("optimizer/state/0/exp_avg").unwrap(), [1.0, 1.0]);
}

#[test]
fn averaged_weights_come_before_raw_ones() {
    let net = network(&tiny(), &Device::flex());
    let (mut parameters, mut numbers) = (Vec::new(), Vec::new());
    for (prefix, factor) in [("model/", 2.0), ("model_ema/", 1.0)] {
        for (mut parameter, values) in net.parameters().into_iter().zip(values(&net)) {
            parameter.name.insert_str(0, prefix);
            parameters.push(parameter);
            numbers.push(values.into_iter().map(|v| factor * v).collect());
        }
    }
    let file = encode(&parameters, &numbers, Precision::Full).unwrap();
    assert_eq!(Checkpoint::open(&[&file]).unwrap().recognise().unwrap().prefix, "model_ema/");
    assert!(values(&load(&file).unwrap()) == values(&net));
}

#[test]
fn other_networks_are_recognised_and_refused_by_name() {
    // Named as in NCSN, of another shape.
    let file = zeros(&[("module.begin_conv.weight", &[4])]);
    let error = Checkpoint::open(&[&file]).unwrap().recognise().unwrap_err();
    assert!(matches!(error, CheckpointError::Shape { .. }), "{error}");
    let file = zeros(&[("encoder.layer.0.weight", &[4])]);
    let error = Checkpoint::open(&[&file]).unwrap().recognise().unwrap_err();
    assert_eq!(
        error,
        CheckpointError::Unknown { count: 1, examples: vec!["encoder.layer.0.weight".into()], foreign: vec![] }
    );
}

#[test]
fn a_command_in_a_pickle_is_not_executed_and_named() {
    let checkpoint = Checkpoint::open(&[ATTACK]).unwrap();
    assert_eq!(checkpoint.foreign(), ["posix.system"]);
    assert_eq!(checkpoint.tensors().map(|(name, ..)| name).collect::<Vec<_>>(), ["weight"]);
    let error = checkpoint.recognise().unwrap_err().to_string();
    assert!(error.contains("posix.system") && error.contains("nothing was executed"), "{error}");
    // Without any tensor there is nothing to read past it for.
    let getattr = archive(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.");
    let error = Checkpoint::open(&[&getattr]).unwrap_err();
    assert_eq!(error, CheckpointError::Refused { what: "builtins.eval".into() });
}

#[test]
fn things_beside_the_weights_are_read_past_in_every_container_and_protocol() {
    let files: [&[u8]; 5] = [
        include_bytes!("../golden/torch_beside.pt"),
        include_bytes!("../golden/torch_old_2.pt"),
        include_bytes!("../golden/torch_old_3.pt"),
        include_bytes!("../golden/torch_old_4.pt"),
        include_bytes!("../golden/torch_old_5.pt"),
    ];
    for file in files {
        let checkpoint = Checkpoint::open(&[file]).unwrap();
        let names: Vec<&str> = checkpoint.tensors().map(|(name, ..)| name).collect();
        assert_eq!(names, ["state_dict/bias", "state_dict/weight"]);
        assert_eq!(checkpoint.values("state_dict/weight").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(checkpoint.values("state_dict/bias").unwrap(), [0.5, -0.25]);
        assert!(checkpoint.foreign().iter().any(|name| name == "__main__.Settings"), "{:?}", checkpoint.foreign());
    }
}

#[test]
fn a_zip_without_checksums_is_read_and_a_wrong_checksum_is_not() {
    let whole: &[u8] = include_bytes!("../golden/torch_beside.pt");
    // The directory's records, each with its checksum 16 bytes behind its mark.
    let records: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(b"PK\x01\x02")).collect();
    assert!(records.len() > 2);
    let without = |checksum: [u8; 4]| {
        let mut file = whole.to_vec();
        records.iter().for_each(|at| file[at + 16..at + 20].copy_from_slice(&checksum));
        file
    };
    assert!(Checkpoint::open(&[&without([0; 4])]).is_ok());
    let wrong = Checkpoint::open(&[&without([1; 4])]).unwrap_err().to_string();
    assert!(wrong.contains("checksum"), "{wrong}");
}

#[test]
fn small_and_large_weights_keep_their_precision_in_every_way_to_write_them() {
    let shape = [4, 3, 3, 3];
    let count: usize = shape.iter().product();
    for power in [-12, -9, -7, -5, -4, -2, 0, 3, 6] {
        let size = 10_f32.powi(power);
        // Channels of sizes far apart, and one of zeros.
        let kernel = |i: usize| size * [1.0, 1e-3, 0.0, 0.3][i / 27] * ((i * 37 % 101) as f32 / 50.0 - 1.0);
        let values =
            vec![(0..count).map(kernel).collect::<Vec<f32>>(), (0..8).map(|i| size * (i as f32 - 3.0)).collect()];
        let parameters = [
            Parameter { name: "conv.weight".into(), shape: shape.to_vec() },
            Parameter { name: "conv.bias".into(), shape: vec![8] },
        ];
        for (precision, share) in
            [(Precision::Full, 0.0), (Precision::Half, 1.0 / 2048.0), (Precision::Int8, 1.0 / 254.0)]
        {
            let file = encode(&parameters, &values, precision).unwrap();
            let checkpoint = Checkpoint::open(&[&file]).unwrap();
            let near = |name: &str, wanted: &[f32], share: f32| {
                let found = checkpoint.values(name).unwrap();
                let largest = wanted.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                found.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= share * largest)
            };
            let found = checkpoint.values("conv.weight").unwrap();
            for (row, wanted) in found.chunks(27).zip(values[0].chunks(27)) {
                let largest = wanted.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                let of = if precision == Precision::Int8 { largest } else { size };
                let error = row.iter().zip(wanted).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
                // Half a scale, and the rounding of the scale itself: 127 of its 2048th.
                assert!(error <= 1.13 * share * of, "1e{power} {precision:?}: {error:e} of {of:e}");
            }
            assert!(near("conv.bias", &values[1], 1.0 / 2048.0), "1e{power} {precision:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_named_with_what_was_expected() {
    let net = network(&tiny(), &Device::flex());
    type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;
    let change = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors: Vec<_> =
            net.parameters().into_iter().zip(values(&net)).map(|(p, v)| (p.name, p.shape, v)).collect();
        change(&mut tensors);
        let parameters: Vec<_> = tensors
            .iter()
            .map(|(name, shape, _)| scorefield::nn::unet::Parameter { name: name.clone(), shape: shape.clone() })
            .collect();
        let numbers: Vec<_> = tensors.into_iter().map(|t| t.2).collect();
        load(&encode(&parameters, &numbers, Precision::Full).unwrap()).map(|_| ()).unwrap_err()
    };
    let at = |name: &str| net.parameters().iter().position(|p| p.name == name).unwrap();
    let name = "up_blocks.0.resnets.1.conv_shortcut.bias";
    let missing = change(&|t| drop(t.remove(at(name))));
    assert_eq!(missing, CheckpointError::Missing { tensor: name.into() });
    let shape = change(&|t| (t[at(name)].1, t[at(name)].2) = (vec![2, 8], vec![0.0; 16]));
    assert_eq!(shape, CheckpointError::Shape { tensor: name.into(), expected: vec![16], found: vec![2, 8] });
    let extra = change(&|t| t.push(("down_blocks.0.resnets.0.scale_shift".into(), vec![1], vec![1.0])));
    assert_eq!(extra, CheckpointError::Unexpected { tensor: "down_blocks.0.resnets.0.scale_shift".into() });
    let both = change(&|t| {
        (t[at(name)].1, t[at(name)].2) = (vec![2, 8], vec![0.0; 16]);
        drop(t.remove(at("conv_norm_out.bias")));
        t.push(("mid_block.attentions.1.to_q.weight".into(), vec![1], vec![1.0]));
    });
    let expected = [
        CheckpointError::Shape { tensor: name.into(), expected: vec![16], found: vec![2, 8] },
        CheckpointError::Missing { tensor: "conv_norm_out.bias".into() },
        CheckpointError::Unexpected { tensor: "mid_block.attentions.1.to_q.weight".into() },
    ];
    assert_eq!(both, CheckpointError::Several(expected.to_vec()));
    assert!(both.to_string().starts_with("3 differences: tensor up_blocks.0"), "{both}");
    assert!(matches!(load(b"<!DOCTYPE html><p>404"), Err(CheckpointError::NotWeights { length: 21, .. })));
    assert!(matches!(load(b""), Err(CheckpointError::NotWeights { length: 0, .. })));

    let mut infinite = encoded(&tiny(), Precision::Full);
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(matches!(load(&infinite), Err(CheckpointError::NotFinite { .. })));
    // Group normalisation of 32 groups does not divide 8 channels.
    let checkpoint = Checkpoint::open(&[SAFETENSORS]).unwrap();
    let error = checkpoint.load(&checkpoint.recognise().unwrap(), &Device::flex()).unwrap_err();
    assert!(matches!(error, CheckpointError::Config(_)), "{error}");
}

#[test]
fn int8_without_its_scales_is_refused() {
    let data = [1_u8; 4];
    let view = TensorView::new(Dtype::I8, vec![2, 2], &data).unwrap();
    let file = safetensors::tensor::serialize([("a", view.clone())], None).unwrap();
    let error = Checkpoint::open(&[&file]).unwrap().values("a").unwrap_err();
    assert_eq!(error, CheckpointError::Missing { tensor: "a.scale".into() });
    let scales = [f16::from_f32(0.5), f16::from_f32(-2.0)].map(|s| s.to_le_bytes()).concat();
    let scales = TensorView::new(Dtype::F16, vec![2], &scales).unwrap();
    let file = safetensors::tensor::serialize([("a", view), ("a.scale", scales)], None).unwrap();
    assert_eq!(Checkpoint::open(&[&file]).unwrap().values("a").unwrap(), [0.5, 0.5, -2.0, -2.0]);
}

#[test]
fn the_peak_of_loading_is_at_most_2_2_times_the_weights() {
    let config = UNetConfig { channels: 64, multipliers: vec![1, 2], ..UNetConfig::cifar10() };
    for (precision, most) in [(Precision::Full, 2.2), (Precision::Half, 1.7), (Precision::Int8, 1.5)] {
        let file = encoded(&config, precision);
        let ((net, weights), held) = peak(|| {
            let checkpoint = Checkpoint::open(&[&file]).unwrap();
            let net = checkpoint.load(&checkpoint.recognise().unwrap(), &Device::flex()).unwrap();
            let weights = 4 * net.parameters().iter().map(|p| p.count()).sum::<usize>();
            (net, weights)
        });
        let ratio = (held + file.len()) as f64 / weights as f64;
        println!("{precision:?}: {weights} bytes of weights, file and loading {ratio:.2} times that");
        assert!(ratio > 1.0 && ratio < most, "{precision:?}: {ratio}");
        drop(net);
    }
}

#[test]
#[ignore = "needs checkpoints of full size (tests/golden/full_size.py): SCOREFIELD_CHECKPOINTS=FILE:FILE"]
fn a_checkpoint_of_full_size_holds_beside_itself_at_most_1_2_times_its_weights() {
    for path in std::env::split_paths(&std::env::var_os("SCOREFIELD_CHECKPOINTS").expect("SCOREFIELD_CHECKPOINTS")) {
        let file = std::fs::read(&path).expect("a checkpoint");
        let (weights, held) = peak(|| {
            let checkpoint = Checkpoint::open(&[&file]).unwrap();
            let net = checkpoint.load(&checkpoint.recognise().unwrap(), &Device::flex()).unwrap();
            4 * net.parameters().iter().map(|p| p.count()).sum::<usize>()
        });
        let [beside, with] = [held, held + file.len()].map(|bytes| bytes as f64 / weights as f64);
        println!(
            "{}: {weights} bytes of weights, {beside:.2} times that held, {with:.2} with the file",
            path.display()
        );
        assert!(beside > 1.0 && beside < 1.2, "{beside}");
    }
}

/// Opens, recognises, loads: whatever happens, no panic, and memory within the bound that the module states.
fn survive(file: &[u8]) {
    let (_, held) = peak(|| load(file).is_ok());
    assert!(held < 32 * file.len() + (1 << 20), "{held} bytes for a file of {}", file.len());
}

#[test]
fn truncated_and_altered_files_neither_panic_nor_ask_for_memory() {
    let int8 = encoded(&tiny(), Precision::Int8);
    for (index, file) in [SAFETENSORS, OLD_NAMES, DDIM, DDIM_LEGACY, VIEWS, ATTACK, &int8].into_iter().enumerate() {
        let mut rng = Rng::new(5, Stream::Test, index as u32);
        for round in 0..250 {
            let length = rng.below(file.len() as u32) as usize;
            survive(&file[..length]);
            let mut altered = file.to_vec();
            for _ in 0..=round % 8 {
                // Half of them where the structure is: headers lie at the start, directories at the end.
                let within = if round % 2 == 0 { file.len() } else { file.len().min(20_000) } as u32;
                let at = rng.below(within) as usize;
                let at = if round % 4 == 3 { file.len() - 1 - at } else { at };
                altered[at] = rng.bits() as u8;
            }
            survive(&altered);
        }
    }
}

#[test]
fn altered_pickles_behind_a_right_checksum_neither_panic_nor_ask_for_memory() {
    let plain = view_pickle(0, &[4, 4], &[4, 1]);
    let checkpoint = archive(&plain);
    assert_eq!(Checkpoint::open(&[&checkpoint]).unwrap().values("a").unwrap(), [0.0; 16]);
    let mut rng = Rng::new(6, Stream::Test, 0);
    let opcodes = b"}](tuesaqhRQb.NKX\x85\x86\x87\x88\x8a\x93\x94\x95";
    for _ in 0..20_000 {
        let mut pickle = plain.clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(pickle.len() as u32) as usize;
            let byte = if rng.below(2) == 0 { rng.bits() as u8 } else { opcodes[rng.below(21) as usize] };
            match rng.below(3) {
                0 => pickle[at] = byte,
                1 => pickle.insert(at, byte),
                _ => drop(pickle.remove(at)),
            }
        }
        survive(&archive(&pickle));
    }
}

#[test]
fn nesting_sharing_and_self_reference_cost_no_more_than_their_length() {
    let nested = [vec![b']'; 100_000], vec![b'a'; 99_999], vec![b'.']].concat();
    let wide = [vec![b'('], vec![b'}'; 200_000], b"t.".to_vec()].concat();
    let own = b"}q\0X\x01\0\0\0ah\0s.".to_vec();
    // Thirty dictionaries, each holding the next twice: 2^30 paths.
    let mut shared = b"}q\x1e".to_vec();
    for level in (0..30).rev() {
        shared.extend(
            [b"}q", &[level][..], b"(X\x01\0\0\0ah", &[level + 1], b"X\x01\0\0\0bh", &[level + 1], b"u"].concat(),
        );
    }
    shared.push(b'.');
    for pickle in [nested, wide, own, shared] {
        let file = archive(&pickle);
        let (error, held) = peak(|| Checkpoint::open(&[&file]).map(|_| ()).unwrap_err());
        println!("{} bytes: {held} held; {error}", file.len());
        assert!(held < 256 * file.len() + (1 << 16), "{held}");
    }
    let too_many = archive(&[vec![b'N'; 1 << 21], vec![b'.']].concat());
    assert!(matches!(Checkpoint::open(&[&too_many]), Err(CheckpointError::TooMany { .. })));
}

#[test]
fn views_outside_their_storage_or_larger_than_it_are_refused() {
    for (offset, shape, strides) in [
        (1, &[4, 4][..], &[4, 1][..]),
        (0, &[4, 4], &[5, 1]),
        (0, &[1 << 40, 1], &[0, 1]),
        (0, &[32], &[0]),
        (i64::MAX, &[2], &[i64::MAX]),
        (0, &[i64::MAX, i64::MAX], &[1, 1]),
        (0, &[2, 2], &[1]),
    ] {
        let file = archive(&view_pickle(offset, shape, strides));
        let error = Checkpoint::open(&[&file]).map(|_| ()).unwrap_err();
        assert!(matches!(&error, CheckpointError::Extent { tensor, has: 16, .. } if tensor == "a"), "{error}");
    }
    let file = archive(&view_pickle(-1, &[1], &[1]));
    assert!(matches!(Checkpoint::open(&[&file]), Err(CheckpointError::Pickle { .. })));
}

#[test]
fn absurd_shapes_without_numbers_are_refused() {
    for shape in [vec![usize::MAX, 0], vec![0, usize::MAX], vec![0], vec![usize::MAX / 2, 0, 3, 3]] {
        let names =
            ["conv_in.weight", "conv_out.weight", "class_embedding.weight", "down_blocks.0.resnets.0.conv1.weight"];
        let views = names.map(|name| (name, TensorView::new(Dtype::F32, shape.clone(), &[]).unwrap()));
        let file = safetensors::tensor::serialize(views, None).unwrap();
        let error = load(&file).map(|_| ()).unwrap_err();
        let expected = matches!(error, CheckpointError::Config(_) | CheckpointError::Shape { .. });
        assert!(expected, "{shape:?}: {error}");
    }
}

fn manifest() -> Manifest {
    Manifest {
        format: 1,
        title: "A set".into(),
        architecture: UNetConfig { classes: 2, ..tiny() },
        prediction: Prediction::Karras { data_std: 0.5 },
        input: InputScale::Karras { data_std: 0.5 },
        time: TimeConvention::LogSigma { factor: 100.0 },
        image_size: 32,
        classes: vec!["cat".into(), "dog".into()],
        files: vec![ManifestFile::describe("ema.00.safetensors", b"abc")],
        licence: "MIT".into(),
        provenance: "a test".into(),
        fid: None,
        bits: None,
        grids: Vec::new(),
    }
}

#[test]
fn a_manifest_survives_its_json_and_impossible_ones_are_refused() {
    let good = manifest();
    assert_eq!(Manifest::from_json(&good.to_json().unwrap()).unwrap(), good);
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut bad = manifest();
        change(&mut bad);
        Manifest::from_json(&bad.to_json().unwrap()).expect_err("refused")
    };
    assert_eq!(refused(&|m| m.format = 2), ManifestError::Format { found: 2 });
    assert!(matches!(refused(&|m| m.architecture.groups = 3), ManifestError::Config(_)));
    type Change<'a> = &'a dyn Fn(&mut Manifest);
    let changes: [Change; 9] = [
        &|m| m.files.clear(),
        &|m| m.files[0].name = "../secret".into(),
        &|m| m.files[0].name = String::new(),
        &|m| m.files[0].bytes = 1 << 40,
        &|m| m.files[0].sha256.make_ascii_uppercase(),
        &|m| m.image_size = 33,
        &|m| drop(m.classes.pop()),
        &|m| m.time = TimeConvention::Steps { count: u32::MAX, first: 1e-4, last: 0.02 },
        &|m| m.input = InputScale::Karras { data_std: 0.0 },
    ];
    for change in changes {
        assert!(matches!(refused(change), ManifestError::Value { .. }));
    }
    assert!(matches!(Manifest::from_json("{"), Err(ManifestError::Json(_))));
}

#[test]
fn searched_grids_are_optional_in_a_manifest_and_impossible_ones_are_refused() {
    let with = |grids: &[&[f64]]| {
        let grid = |ratios: &&[f64]| SearchedGrid { ratios: ratios.to_vec(), search: "for a test".into() };
        Manifest { grids: grids.iter().map(grid).collect(), ..manifest() }
    };
    // A set without grids is written as before there were any, and what was written then is read.
    assert!(!manifest().to_json().unwrap().contains("grids"));
    let good = with(&[&[80.0, 1.0], &[80.0, 5.0, 0.3]]);
    assert_eq!(Manifest::from_json(&good.to_json().unwrap()).unwrap(), good);
    let falling: Vec<f64> = (0..1001).map(|i| f64::from(1001 - i)).collect();
    let all: [&[&[f64]]; 8] = [
        &[&[]],
        &[&[1.0, 1.0]],
        &[&[1.0, 2.0]],
        &[&[1.0, 0.0]],
        &[&[1.0, -1.0]],
        &[&falling],
        &[&[2.0, 1.0], &[3.0, 1.0]],
        &[&[3.0, 2.0, 1.0], &[3.0, 1.0]],
    ];
    for grids in all {
        let read = Manifest::from_json(&with(grids).to_json().unwrap());
        assert!(matches!(read, Err(ManifestError::Value { .. })), "{grids:?}");
    }
}

#[test]
fn a_file_is_checked_against_its_length_and_its_sha_256() {
    let file = ManifestFile::describe("a", b"abc");
    // FIPS 180-4's example.
    assert_eq!(file.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(file.check(b"abc"), Ok(()));
    assert!(matches!(file.check(b"abcd"), Err(ManifestError::Length { expected: 3, found: 4, .. })));
    assert!(matches!(file.check(b"abd"), Err(ManifestError::Checksum { .. })));
}

#[test]
fn times_are_those_the_networks_were_trained_with() {
    let level = |alpha: f64, sigma: f64| Level { t: 0.5, alpha, sigma };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * (1.0 + b.abs()), "{a} {b}");
    // Ho et al.: the product of 1 - beta up to step n belongs to time n, in whatever scaling x comes.
    let ddpm = TimeConvention::Steps { count: 1000, first: 1e-4, last: 0.02 };
    let mut kept = 1.0;
    for step in 0..1000 {
        kept *= 1.0 - (1e-4 + (0.02 - 1e-4) * f64::from(step) / 999.0);
        if step % 111 == 0 {
            let (alpha, sigma) = (f64::sqrt(kept), f64::sqrt(1.0 - kept));
            let times = ddpm.times(&[level(alpha, sigma), level(1.0, sigma / alpha)]);
            close(times[0], f64::from(step));
            close(times[1], f64::from(step));
        }
    }
    assert_eq!(ddpm.times(&[level(1.0, 1e-6), level(1e-6, 1.0)]), [0.0, 999.0]);
    // Nichol and Dhariwal: alpha^2 = cos^2 / cos^2 after n + 1 of 4000 steps, told in thousandths of the chain.
    let f = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let kept = f(1001.0 / 4000.0) / f(0.0);
    let cosine = TimeConvention::CosineSteps { count: 4000 };
    close(cosine.times(&[level(kept.sqrt(), (1.0 - kept).sqrt())])[0], 250.0);
    // Song et al.: alpha^2 = exp(-(0.1 t + 9.95 t^2)).
    let linear = TimeConvention::Linear { beta_min: 0.1, beta_max: 20.0, scale: 999.0 };
    for t in [1e-5, 0.3, 1.0_f64] {
        let kept = (-(0.1 * t + 9.95 * t * t)).exp();
        close(linear.times(&[level(kept.sqrt(), (-(-(0.1 * t + 9.95 * t * t)).exp_m1()).sqrt())])[0], 999.0 * t);
    }
    // Song et al. in steps: the place among levels that fall geometrically, and none beyond them.
    let levels = TimeConvention::Levels { count: 1000, largest: 100.0, smallest: 0.02 };
    for place in [0, 1, 500, 999] {
        let sigma = 100.0 * f64::powf(0.02 / 100.0, f64::from(place) / 999.0);
        let times = levels.times(&[level(1.0, sigma), level(0.5, 0.5 * sigma)]);
        times.into_iter().for_each(|time| close(time, f64::from(place)));
    }
    assert_eq!(levels.times(&[level(1.0, 200.0), level(1.0, 0.001)]), [0.0, 999.0]);
    let text = serde_json::to_string(&levels).unwrap();
    assert_eq!(serde_json::from_str::<TimeConvention>(&text).unwrap(), levels);
    for (count, largest, smallest) in [(1, 100.0, 0.02), (9, 0.02, 0.02), (9, f64::NAN, 0.02), (9, 1.0, 0.0)] {
        assert!(levels.is_possible() && !TimeConvention::Levels { count, largest, smallest }.is_possible());
    }
    let edm = TimeConvention::LogSigma { factor: 100.0 };
    close(edm.times(&[level(0.5, 1.0)])[0], 100.0 * 2.0_f64.ln());
    assert_eq!(TimeConvention::None.times(&[level(0.5, 1.0)]), [0.0]);
    close(InputScale::Karras { data_std: 0.5 }.scale(level(1.0, 0.5)), 2.0_f64.sqrt());
    close(InputScale::Exploding.scale(level(0.5, 3.0)), 2.0);
    close(InputScale::Preserving.scale(level(0.6, 0.8)), 1.0);
}
