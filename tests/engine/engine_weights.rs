//! Files of weights: what is written is read back, and what is damaged is refused with a reason.

use scorefield::lab::RunConfig;
use scorefield::nn::{Architecture, WeightsError, WeightsFile};
use scorefield::rng::{Rng, Stream};

fn file() -> WeightsFile {
    let config = RunConfig { width: 8, depth: 2, ..RunConfig::default() };
    let parameters = Architecture::from(&config).initial(1);
    WeightsFile { config, step: 123, parameters }
}

/// The file with its header changed.
fn with_header(bytes: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).expect("a text");
    let header = change(header);
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header.as_bytes());
    changed.extend(&bytes[8 + length..]);
    changed
}

#[test]
fn weights_survive_a_round_trip_bit_for_bit() {
    let file = file();
    let bytes = file.to_bytes().expect("a file");
    assert_eq!(WeightsFile::from_bytes(&bytes).expect("our own file"), file);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = file().to_bytes().expect("a file");
    for end in 0..bytes.len() {
        assert!(WeightsFile::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn random_damage_never_panics() {
    let bytes = file().to_bytes().expect("a file");
    let mut rng = Rng::new(0, Stream::Test, 0);
    for _ in 0..2000 {
        let mut damaged = bytes.clone();
        // Mostly in the header, where the meaning is.
        let reach = if rng.bits() & 3 == 0 { bytes.len() } else { 1500.min(bytes.len()) };
        for _ in 0..=rng.below(4) {
            let place = rng.below(reach as u32) as usize;
            damaged[place] = rng.bits() as u8;
        }
        let _ = WeightsFile::from_bytes(&damaged);
    }
}

#[test]
fn a_tensor_of_another_shape_is_named_with_what_was_expected_and_found() {
    let bytes = file().to_bytes().expect("a file");
    let wrong = with_header(&bytes, |header| header.replacen("\"shape\":[8,8]", "\"shape\":[4,16]", 1));
    let error = WeightsFile::from_bytes(&wrong).expect_err("another shape");
    let WeightsError::Shape { name, expected, found } = error else { panic!("{error}") };
    assert_eq!((name.as_str(), expected, found), ("layers.1.weight", vec![8, 8], vec![4, 16]));
}

#[test]
fn a_missing_tensor_is_named() {
    let bytes = file().to_bytes().expect("a file");
    let wrong = with_header(&bytes, |header| header.replace("layers.2.bias", "layers.9.bias"));
    let error = WeightsFile::from_bytes(&wrong).expect_err("a missing tensor");
    assert!(matches!(&error, WeightsError::Missing { name } if name == "layers.2.bias"), "{error}");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let mut file = file();
    file.parameters[300] = f32::NAN;
    let error = WeightsFile::from_bytes(&file.to_bytes().expect("a file")).expect_err("not a number");
    assert!(matches!(error, WeightsError::NotFinite { .. }), "{error}");
}

#[test]
fn a_configuration_out_of_range_is_refused_before_anything_is_allocated() {
    let bytes = file().to_bytes().expect("a file");
    for (from, to) in [
        ("\\\"width\\\":8", "\\\"width\\\":4000000000"),
        ("\\\"depth\\\":2", "\\\"depth\\\":4000000000"),
        ("\\\"width\\\":8", "\\\"width\\\":\\\"eight\\\""),
    ] {
        let wrong = with_header(&bytes, |header| {
            assert!(header.contains(from));
            header.replace(from, to)
        });
        let error = WeightsFile::from_bytes(&wrong).expect_err("out of range");
        assert!(matches!(error, WeightsError::Config(_)), "{error}");
    }
}

#[test]
fn a_file_of_another_program_is_refused() {
    let bytes = file().to_bytes().expect("a file");
    let wrong = with_header(&bytes, |header| header.replace("scorefield.config", "somebody.config"));
    assert!(matches!(WeightsFile::from_bytes(&wrong), Err(WeightsError::Config(_))));
}

#[test]
fn too_few_parameters_make_no_file() {
    let mut file = file();
    file.parameters.pop();
    assert!(file.to_bytes().is_err());
}
