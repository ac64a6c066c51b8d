//! Checkpoints of score_sde in JAX, against what the same networks compute in torch: `tests/golden/flax_checkpoint.py` made
//! the files and the numbers.

use crate::unet_weights::{error, image};
use burn::tensor::Device;
use safetensors::SafeTensors;
use scorefield::diffusion::Convention;
use scorefield::engine::images::ImageModel;
use scorefield::nn::checkpoint::{Architecture, Checkpoint, Container, Names};
use scorefield::nn::unet::{Decoder, Encoder, Filter, NoiseEmbedding, Song, Style};

const REFERENCE: &[u8] = include_bytes!("../golden/flax_reference.safetensors");
const NCSN_PP: &[u8] = include_bytes!("../golden/flax_ncsn_pp.msgpack");
const DDPM_PP: &[u8] = include_bytes!("../golden/flax_ddpm_pp.msgpack");
const SKIPS: &[u8] = include_bytes!("../golden/flax_skips.msgpack");
/// Single precision on both sides, with sums of up to 150 products in different orders.
const TOLERANCE: f64 = 1e-5;

#[test]
fn every_network_is_recognised_by_its_layout_and_computes_what_torch_computes() {
    let device = Device::flex();
    let reference = SafeTensors::deserialize(REFERENCE).unwrap();
    let (filter, noise) = (Filter::Binomial, NoiseEmbedding::Positional);
    let skips = Song { filter, encoder: Encoder::Skip, decoder: Decoder::Skip, noise };
    for (case, file, song) in
        [("ncsn_pp", NCSN_PP, Song::NCSN_PP), ("ddpm_pp", DDPM_PP, Song::DDPM_PP), ("skips", SKIPS, skips)]
    {
        let checkpoint = Checkpoint::open(&[file]).unwrap();
        assert_eq!(checkpoint.container(), Container::Flax);
        let recognised = checkpoint.recognise().unwrap();
        let Architecture { names, config } = &recognised.architecture;
        // The first of two levels of as many channels: so it is said, and another would be as likely.
        assert_eq!((*names, config.style, &config.multipliers[..]), (Names::Jax, Style::Song(song), &[1, 1][..]));
        assert!(recognised.notes.iter().any(|note| note.contains("level with attention")), "{:?}", recognised.notes);
        let mut recognised = recognised;
        recognised.architecture.config.attention_levels = vec![1];
        let network = checkpoint.load(&recognised, &device).unwrap();
        let condition = network.condition(&[-0.9_f32, 1.1].map(f64::from), &[]).unwrap();
        let output = network.forward(image("input", [2, 3, 16, 16], &device), &condition);
        let wanted = reference.tensor(case).unwrap();
        let wanted: Vec<f32> =
            wanted.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let found = error(&output.into_data().try_into_vec::<f32>().unwrap(), &wanted);
        println!("{case}: {found:.1e}");
        assert!(found < TOLERANCE, "{case}: {found:e}");
    }
}

#[test]
fn averages_come_first_and_conventions_are_those_of_the_publication() {
    let device = Device::flex();
    for (file, convention, said) in [
        (NCSN_PP, Convention::ve(), "NCSN++ of score_sde in JAX (flax)"),
        (DDPM_PP, Convention::vp(), "DDPM++ of score_sde in JAX (flax)"),
    ] {
        let model = ImageModel::from_published(&[("checkpoint_26", file)], &device).unwrap();
        assert_eq!((model.convention, model.summary.recognised.as_str()), (convention, said));
        let provenance = &model.summary.provenance;
        assert!(!provenance.contains("averaged") && provenance.contains("is assumed"), "{provenance}");
    }
    let recognised = Checkpoint::open(&[NCSN_PP]).unwrap().recognise().unwrap();
    assert_eq!(recognised.prefix, "params_ema/");
}

#[test]
fn files_that_are_cut_short_or_altered_are_refused() {
    for length in (0..DDPM_PP.len()).step_by(997) {
        assert!(Checkpoint::open(&[&DDPM_PP[..length]]).is_err(), "{length}");
    }
    let after: Vec<u8> = DDPM_PP.iter().copied().chain([0]).collect();
    assert!(Checkpoint::open(&[&after]).is_err());
    // Whatever a byte becomes, it ends: as an error, or as weights that are looked at like any other's.
    for at in (0..DDPM_PP.len()).step_by(701).chain(0..200) {
        let mut altered = DDPM_PP.to_vec();
        altered[at] ^= 0x55;
        if let Ok(checkpoint) = Checkpoint::open(&[&altered]) {
            let _ = checkpoint.recognise().and_then(|recognised| checkpoint.load(&recognised, &Device::flex()));
        }
    }
}
