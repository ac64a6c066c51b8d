//! Autoencoders and adversarial networks against PyTorch, and where they should end: probabilistic principal components,
//! and the logarithm of the ratio of two densities.

use scorefield::diffusion::schedule::clean;
use scorefield::diffusion::solver::Posterior;
use scorefield::diffusion::{Schedule, now};
use scorefield::nn::adversarial::{AdversarialForm, Adversaries, Aim, View};
use scorefield::nn::architecture::{Activation, Initialisation, Shape};
use scorefield::nn::autoencoder::{Autoencoder, AutoencoderForm};
use scorefield::rng::{Rng, Stream};
use serde_json::Value;

use crate::networks::{assert_close, cpu, devices, numbers, read};

fn number(value: &Value) -> f32 {
    value.as_f64().expect("a number") as f32
}

fn size(golden: &Value, key: &str) -> usize {
    golden[key].as_u64().expect("a size") as usize
}

/// Single precision leaves about 1e-6 of each of a hundred summed terms.
const ROUNDING: f64 = 2e-5;

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

#[test]
fn the_bound_of_an_autoencoder_and_its_gradients_are_pytorchs() {
    let golden: Value = serde_json::from_str(include_str!("../golden/vae.json")).expect("the golden file is JSON");
    let [dimension, latent, width, depth] = ["dimension", "latent", "width", "depth"].map(|key| size(&golden, key));
    let form = AutoencoderForm { dimension, latent, width, depth };
    let [x, noise, encoder, decoder] = ["x", "noise", "encoder", "decoder"].map(|key| numbers(&golden[key]));
    let [reconstruction, divergence] = ["reconstruction", "divergence"].map(|key| numbers(&golden[key]));
    for compute in devices() {
        let net = Autoencoder::from_parameters(form, &compute, [&encoder, &decoder], number(&golden["std"]));
        let terms = now(net.terms(&x, &noise)).expect("terms");
        let [ours, theirs] = [0, 1].map(|term| terms.iter().map(|point| point[term] as f32).collect::<Vec<_>>());
        assert_close("reconstruction", &ours, &reconstruction, ROUNDING);
        assert_close("divergence", &theirs, &divergence, ROUNDING);
        for case in golden["cases"].as_array().expect("cases") {
            let of = net.gradients(&x, &noise, case["weight"].as_f64().expect("a weight"));
            assert_close("mean reconstruction", &read(of.reconstruction), &[mean(&reconstruction)], ROUNDING);
            assert_close("mean divergence", &read(of.divergence), &[mean(&divergence)], ROUNDING);
            assert_close("encoder", &read(of.encoder.flat()), &numbers(&case["encoder"]), ROUNDING);
            assert_close("decoder", &read(of.decoder.flat()), &numbers(&case["decoder"]), ROUNDING);
            assert_close("noise", &read(of.log_noise), &[number(&case["log_noise"])], ROUNDING);
        }
    }
}

#[test]
fn a_linear_autoencoder_finds_probabilistic_principal_components() {
    // Data of variances a > b along two turned axes: with one latent the likelihood is largest for noise of variance b and
    // is then that of the data, and a linear encoder reaches it (Tipping and Bishop 1999).
    let (a, b, turn) = (1.5_f64, 0.2_f64, 0.6_f64);
    let draw = |rng: &mut Rng, count: usize| -> Vec<f32> {
        let point = |_| {
            let (u, v) = (a.sqrt() * rng.normal(), b.sqrt() * rng.normal());
            [(turn.cos() * u - turn.sin() * v) as f32, (turn.sin() * u + turn.cos() * v) as f32]
        };
        (0..count).flat_map(point).collect()
    };
    let mut net = Autoencoder::new(AutoencoderForm { dimension: 2, latent: 1, width: 1, depth: 0 }, &cpu(), 1, 0);
    let (steps, batch) = (3000, 512);
    for step in 0..steps {
        let mut rng = Rng::new(1, Stream::Test, step);
        let (x, noise) = (draw(&mut rng, batch), rng.normals(batch));
        let rate = 0.01 * (1.0 + (std::f64::consts::PI * f64::from(step) / f64::from(steps)).cos()) / 2.0;
        net.train(&x, &noise, 1.0, true, rate);
    }
    let noise = now(net.noise()).expect("a number");
    assert!((noise.powi(2) - b).abs() < 0.01, "variance {} instead of {b}", noise.powi(2));
    let mut rng = Rng::new(1, Stream::Test, steps);
    let (x, unit) = (draw(&mut rng, 40_000), rng.normals(40_000));
    let terms = now(net.terms(&x, &unit)).expect("terms");
    // Point by point beside the log-density, so that the data's own chance drops out.
    let excess = terms.iter().zip(x.chunks_exact(2)).map(|(term, x)| {
        let [x, y] = [f64::from(x[0]), f64::from(x[1])];
        let (u, v) = (turn.cos() * x + turn.sin() * y, turn.cos() * y - turn.sin() * x);
        let log_density = -0.5 * (u * u / a + v * v / b) - (std::f64::consts::TAU * (a * b).sqrt()).ln();
        term[0] + term[1] + log_density
    });
    let gap = excess.sum::<f64>() / terms.len() as f64;
    assert!(gap.abs() < 0.01, "the bound is {gap} below the likelihood");
}

#[test]
fn the_losses_of_both_players_and_their_gradients_are_pytorchs() {
    let golden: Value = serde_json::from_str(include_str!("../golden/gan.json")).expect("the golden file is JSON");
    let [dimension, latent, width, depth] = ["dimension", "latent", "width", "depth"].map(|key| size(&golden, key));
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 3);
    for (case, (condition, beside)) in cases.iter().zip([(0, 0), (0, 1), (dimension + 1, dimension + 1)]) {
        let form = AdversarialForm::even(condition + latent, dimension, beside, width, depth);
        let of = |key: &str| numbers(&case[key]);
        let [inputs, real, scale, added] = ["inputs", "real", "scale", "added"].map(of);
        let view = View { scale: &scale, added: &added };
        let name = case["name"].as_str().expect("a name");
        for compute in devices() {
            let net = Adversaries::from_parameters(form, &compute, [&of("generator"), &of("critic")]);
            let (loss, gradient, logits) = net.critic_gradient(&real, &inputs, view);
            assert_close(&format!("{name}: critic's loss"), &read(loss), &[number(&case["critic_loss"])], ROUNDING);
            assert_close(&format!("{name}: critic"), &read(gradient.flat()), &of("critic_gradient"), ROUNDING);
            assert_close(&format!("{name}: logits"), &read(logits), &of("logits"), ROUNDING);
            for (aim, key) in [(Aim::NonSaturating, "non_saturating"), (Aim::Saturating, "saturating")] {
                let (loss, gradient) = net.generator_gradient(&inputs, view, aim);
                assert_close(&format!("{name}: {key}"), &read(loss), &[number(&case[key]["loss"])], ROUNDING);
                let theirs = numbers(&case[key]["gradient"]);
                assert_close(&format!("{name}: generator, {key}"), &read(gradient.flat()), &theirs, ROUNDING);
            }
        }
    }
}

#[test]
fn the_levels_and_the_posterior_of_a_denoising_game_are_those_of_its_chain() {
    let golden: Value = serde_json::from_str(include_str!("../golden/gan.json")).expect("the golden file is JSON");
    let process = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    let time = |step: usize| 1e-3 + (1.0 - 1e-3) * step as f64 / 4.0;
    let levels: Vec<_> = std::iter::once(clean()).chain((1..=4).map(|step| process.level(time(step)))).collect();
    let powers: Vec<f64> = golden["levels"].as_array().expect("levels").iter().filter_map(Value::as_f64).collect();
    assert_eq!(powers.len(), levels.len());
    for (level, power) in levels.iter().zip(powers) {
        assert!((level.alpha.powi(2) - power).abs() < 1e-12, "{level:?} {power}");
    }
    let case = &golden["cases"][2];
    let posterior = Posterior::between(levels[3], levels[2]);
    assert!((posterior.data - f64::from(numbers(&case["scale"])[0])).abs() < 1e-6, "{posterior:?}");
    assert!((posterior.variance - case["variance"].as_f64().expect("a number")).abs() < 1e-12, "{posterior:?}");
}

#[test]
fn a_critic_between_two_normal_distributions_tends_to_the_logarithm_of_their_ratio() {
    // A generator that gives back its input: data N(0, 1), samples N(1, 1), so that ln p - ln q = 1/2 - x.
    let (activation, compute) = (Activation::LeakyRelu(0.2), cpu());
    let generator = Shape { inputs: 1, width: 1, depth: 0, outputs: 1, activation };
    let critic = Shape { inputs: 1, width: 32, depth: 2, outputs: 1, activation };
    let form = AdversarialForm { generator, critic };
    let parameters = critic.initial(Initialisation::HE, 1, 0);
    let mut net = Adversaries::from_parameters(form, &compute, [&[1.0, 0.0], &parameters]);
    let (steps, batch) = (1500, 1024);
    let (ones, zeros) = (vec![1.0; batch], vec![0.0; batch]);
    for step in 0..steps {
        let mut rng = Rng::new(1, Stream::Test, step);
        let (real, fake) = (rng.normals(batch), rng.normals(batch).iter().map(|z| z + 1.0).collect::<Vec<_>>());
        let rate = 5e-3 * (1.0 + (std::f64::consts::PI * f64::from(step) / f64::from(steps)).cos()) / 2.0;
        net.train_critic(&real, &fake, View { scale: &ones, added: &zeros }, rate);
    }
    let x: Vec<f32> = (-3..=7).map(|i| 0.25 * i as f32).collect();
    for (x, logit) in x.iter().zip(now(net.logits(&x)).expect("logits")) {
        assert!((logit - (0.5 - x)).abs() < 0.15, "at {x}: {logit}");
    }
    // The least loss is 2 ln 2 - 2 JSD, by quadrature.
    let density = |x: f64, mean: f64| (-0.5 * (x - mean).powi(2)).exp() / std::f64::consts::TAU.sqrt();
    let least: f64 = (-8000..=9000)
        .map(|i| {
            let x = f64::from(i) * 1e-3;
            let logit = 0.5 - x;
            1e-3 * (density(x, 0.0) * (-logit).exp().ln_1p() + density(x, 1.0) * logit.exp().ln_1p())
        })
        .sum();
    let [losses, none] = now(net.take_losses()).expect("losses");
    assert_eq!((losses.len(), none.len()), (steps as usize, 0));
    let last = f64::from(mean(&losses[losses.len() - 300..]));
    assert!((last - least).abs() < 0.02, "{last} instead of {least}");
}
