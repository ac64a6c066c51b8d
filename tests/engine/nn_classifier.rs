//! Noise-conditional classifiers and learned variances against PyTorch, and where they should end: the posterior of two
//! normal distributions, and the variance that makes the bound least.

use scorefield::diffusion::objective::normal_divergence;
use scorefield::diffusion::prediction::learned_log_variance;
use scorefield::diffusion::{Denoiser, Estimate, Level, Schedule, now};
use scorefield::nn::architecture::Activation;
use scorefield::nn::array::Array;
use scorefield::nn::classifier::{Classifier, ClassifierForm};
use scorefield::nn::device::DeviceError;
use scorefield::nn::preconditioning::Preconditioning;
use scorefield::nn::variance::{Terms, VarianceForm, VarianceNet};
use scorefield::rng::{Rng, Stream};
use serde_json::Value;

use crate::networks::{assert_close, cpu, devices, numbers, read};

/// Single precision leaves about 1e-6 of each of a hundred summed terms.
const ROUNDING: f64 = 2e-5;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/classifier.json")).expect("the golden file is JSON")
}

fn size(golden: &Value, key: &str) -> usize {
    golden[key].as_u64().expect("a size") as usize
}

fn preconditioning(golden: &Value) -> Preconditioning {
    Preconditioning { data: golden["data"].as_f64().expect("a size of the data") }
}

fn levels(golden: &Value) -> Vec<f64> {
    numbers(&golden["sigma"]).into_iter().map(f64::from).collect()
}

#[test]
fn classifiers_have_pytorchs_probabilities_losses_and_gradients() {
    let golden = golden();
    let classes = golden["class"].as_array().expect("a list").iter();
    let classes: Vec<usize> = classes.map(|class| class.as_u64().expect("a class") as usize).collect();
    let (x, sigma) = (numbers(&golden["x"]), levels(&golden));
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 3);
    for (case, activation) in cases.iter().zip([Activation::Silu, Activation::Tanh, Activation::LeakyRelu(0.2)]) {
        let form = ClassifierForm {
            dimension: size(&golden, "dimension"),
            classes: size(&golden, "classes"),
            width: size(&golden, "width"),
            depth: size(&golden, "depth"),
            activation,
            preconditioning: preconditioning(&golden),
        };
        for compute in devices() {
            let net = Classifier::from_parameters(form, &compute, &numbers(&case["parameters"]));
            let what = |of: &str| format!("{activation:?}, {of}");
            let probabilities = now(net.probabilities(&x, &sigma)).expect("probabilities");
            assert_close(&what("probabilities"), &probabilities, &numbers(&case["probabilities"]), ROUNDING);
            let (loss, gradient) = net.gradient(&x, &sigma, &classes);
            let theirs = case["loss"].as_f64().expect("a loss") as f32;
            assert_close(&what("loss"), &read(loss), &[theirs], ROUNDING);
            assert_close(&what("gradient"), &read(gradient.flat()), &numbers(&case["gradient"]), ROUNDING);
            let slope = now(net.log_probability_gradients(&x, &sigma, &classes)).expect("gradients");
            assert_close(&what("gradient at x"), &slope, &numbers(&case["slope"]), ROUNDING);
        }
    }
}

#[test]
fn the_cross_entropy_is_its_definition_for_any_target_and_any_size_of_logits() {
    let mut rng = Rng::new(3, Stream::Test, 0);
    let (rows, columns) = (5, 4);
    // The last row is far beyond what an exponential can hold.
    let mut logits = rng.normals(rows * columns);
    logits[16..].copy_from_slice(&[-900.0, 800.0, 799.0, 0.0]);
    let target: Vec<f32> = (0..rows * columns).map(|_| rng.uniform() as f32).collect();
    let weight: Vec<f32> = (0..rows).map(|_| rng.uniform() as f32).collect();
    let (mut loss, mut gradient, mut shares) = (0.0, Vec::new(), Vec::new());
    for ((z, t), w) in logits.chunks(columns).zip(target.chunks(columns)).zip(&weight) {
        let largest = z.iter().copied().map(f64::from).fold(f64::MIN, f64::max);
        let log_sum = largest + z.iter().map(|z| (f64::from(*z) - largest).exp()).sum::<f64>().ln();
        let mass: f64 = t.iter().copied().map(f64::from).sum();
        for (z, t) in z.iter().zip(t) {
            let log_probability = f64::from(*z) - log_sum;
            loss -= 0.5 * f64::from(*w) * f64::from(*t) * log_probability;
            gradient.push((0.5 * f64::from(*w) * (mass * log_probability.exp() - f64::from(*t))) as f32);
            shares.push(log_probability.exp() as f32);
        }
    }
    for device in devices().map(|compute| compute.device) {
        let array = |values: &[f32], columns| Array::new(values.to_vec(), columns, &device);
        let (found, slope) = array(&logits, columns).cross_entropy(&array(&target, columns), &array(&weight, 1), 0.5);
        assert_close("loss", &read(found), &[loss as f32], 1e-6);
        assert_close("gradient", &read(slope), &gradient, 1e-6);
        assert_close("softmax", &read(array(&logits, columns).softmax()), &shares, 1e-6);
        let powers = read(array(&logits[..16], columns).exp());
        let exact: Vec<f32> = logits[..16].iter().map(|z| f64::from(*z).exp() as f32).collect();
        assert_close("exponentials", &powers, &exact, 1e-6);
    }
}

/// Twice what this much training leaves of errors in a probability, and in the slope of its logarithm in units of the
/// steepest: a test of whether the classifier learns what it should, not of how well.
const PROBABILITY: f64 = 0.08;
const SLOPE: f64 = 0.3;

#[test]
fn a_trained_classifier_is_the_posterior_of_two_normal_distributions() {
    // Classes of equal weight at -1 and 1 along a line, of standard deviation 0.5: with noise the posterior of the second
    // is the logistic function of 2 x / (0.25 + sigma^2).
    let (spread, compute) = (0.5_f64, cpu());
    let data = (1.0 + spread * spread).sqrt();
    let form = ClassifierForm {
        dimension: 1,
        classes: 2,
        width: 32,
        depth: 2,
        activation: Activation::Silu,
        preconditioning: Preconditioning { data },
    };
    let mut net = Classifier::new(form, &compute, 1, 0);
    let (steps, batch) = (1500, 256);
    for step in 0..steps {
        let mut rng = Rng::new(1, Stream::Test, step);
        let class: Vec<usize> = (0..batch).map(|i| i % 2).collect();
        let sigma: Vec<f64> = (0..batch).map(|_| (0.1_f64.ln() + 40.0_f64.ln() * rng.uniform()).exp()).collect();
        let x = class.iter().zip(&sigma).map(|(class, sigma)| {
            let mean = 2.0 * *class as f64 - 1.0;
            (mean + spread.hypot(*sigma) * rng.normal()) as f32
        });
        let x: Vec<f32> = x.collect();
        let rate = 4e-3 * (1.0 + (std::f64::consts::PI * f64::from(step) / f64::from(steps)).cos()) / 2.0;
        net.train(&x, &sigma, &class, rate);
    }
    let losses = now(net.take_losses()).expect("losses");
    assert_eq!(losses.len(), steps as usize);
    for sigma in [0.2, 0.5, 1.0, 2.0] {
        let variance = spread * spread + sigma * sigma;
        // Where both classes are likely: where one is certain, the cross-entropy no longer sees how certain.
        let x: Vec<f32> = (-5..=5).map(|i| (0.25 * f64::from(i) * variance) as f32).collect();
        let sigmas = vec![sigma; x.len()];
        let probabilities = now(net.probabilities(&x, &sigmas)).expect("probabilities");
        let second = now(net.log_probability_gradients(&x, &sigmas, &vec![1; x.len()])).expect("gradients");
        let first = now(net.log_probability_gradients(&x, &sigmas, &vec![0; x.len()])).expect("gradients");
        for (i, x) in x.iter().enumerate() {
            let exact = 1.0 / (1.0 + (-2.0 * f64::from(*x) / variance).exp());
            let found = f64::from(probabilities[2 * i + 1]);
            assert!((found - exact).abs() < PROBABILITY, "sigma {sigma}, x {x}: {found} instead of {exact}");
            assert!((f64::from(probabilities[2 * i]) + found - 1.0).abs() < 1e-6);
            // The slope of the logarithm is 2 / variance times the other class's probability; in units of 2 / variance.
            for (found, exact) in [(second[i], 1.0 - exact), (first[i], -exact)] {
                let found = f64::from(found) * variance / 2.0;
                assert!((found - exact).abs() < SLOPE, "sigma {sigma}, x {x}: slope {found} instead of {exact}");
            }
        }
    }
    // The unconditional denoiser with this gradient is the denoiser of the class, on any schedule.
    let mut model = TwoClasses { variance: spread * spread };
    for level in [Schedule::Cosine.level(0.3), Schedule::Flow.level(0.6), Level { t: 0.5, alpha: 1.0, sigma: 1.5 }] {
        let gradient = |x: f64| {
            // ln p(class | x) = ln p(class | x / alpha) at the noise of x / alpha.
            let (point, sigma) = ((x / level.alpha) as f32, level.sigma / level.alpha);
            let slope = now(net.log_probability_gradients(&[point], &[sigma], &[1])).expect("the CPU answers");
            f64::from(slope[0]) / level.alpha
        };
        let exact = |x: f64| TwoClasses { variance: spread * spread }.data(x, level, 1.0);
        let ratio = level.sigma / level.alpha;
        // An error of the gradient comes in times the variance of the noise.
        let bound = SLOPE * 2.0 * ratio * ratio / (spread * spread + ratio * ratio);
        for x in [-1.0, 0.0, 0.8].map(|share| share * level.alpha * (spread * spread + ratio * ratio)) {
            let unguided = now(model.estimate(&x, level)).expect("the CPU answers");
            let found = unguided.guided(&x, gradient(x), level).data;
            assert!((found - exact(x)).abs() < bound, "{level:?}, x {x}: {found} instead of {}", exact(x));
        }
    }
}

/// Data of two classes of equal weight, normal around -1 and 1.
struct TwoClasses {
    variance: f64,
}

impl TwoClasses {
    /// The data that a noisy number comes from, if its class has this mean.
    fn data(&self, x: f64, level: Level, mean: f64) -> f64 {
        let gain = level.alpha * self.variance / (level.alpha.powi(2) * self.variance + level.sigma.powi(2));
        mean + gain * (x - level.alpha * mean)
    }
}

impl Denoiser<f64> for TwoClasses {
    type Error = DeviceError;

    async fn estimate(&mut self, x: &f64, level: Level) -> Result<Estimate<f64>, DeviceError> {
        let total = level.alpha.powi(2) * self.variance + level.sigma.powi(2);
        let second = 1.0 / (1.0 + (-2.0 * level.alpha * x / total).exp());
        let data = second * self.data(*x, level, 1.0) + (1.0 - second) * self.data(*x, level, -1.0);
        Ok(Estimate::from_noise(x, (x - level.alpha * data) / level.sigma, level))
    }
}

fn variance_form(golden: &Value) -> VarianceForm {
    VarianceForm {
        dimension: size(golden, "dimension"),
        width: size(golden, "width"),
        depth: size(golden, "depth"),
        preconditioning: preconditioning(golden),
    }
}

#[test]
fn terms_with_a_learned_variance_are_pytorchs_and_the_bounds_own() {
    let golden = golden();
    let (case, form) = (&golden["variance"], variance_form(&golden));
    let (x, sigma) = (numbers(&golden["x"]), levels(&golden));
    let [smallest, largest, errors] = ["smallest", "largest", "errors"].map(|key| numbers(&case[key]));
    let dimension = form.dimension;
    let moments = errors.iter().enumerate().map(|(i, d)| 1.0 + d * d / smallest[i / dimension]);
    let moments: Vec<f32> = moments.collect();
    let widths: Vec<f32> = smallest.iter().zip(&largest).map(|(low, high)| (high / low).ln()).collect();
    for compute in devices() {
        let net = VarianceNet::from_parameters(form, &compute, &numbers(&case["parameters"]));
        let output = now(net.outputs(&x, &sigma)).expect("outputs");
        assert_close("output", &output, &numbers(&case["output"]), ROUNDING);
        let (loss, gradient) = net.gradient(&x, &sigma, Terms { moments: &moments, widths: &widths });
        let loss = read(loss);
        assert_close("loss", &loss, &[case["loss"].as_f64().expect("a loss") as f32], ROUNDING);
        assert_close("gradient", &read(gradient.flat()), &numbers(&case["gradient"]), ROUNDING);
        // The same by the formulas that the bound is made of.
        let terms = output.iter().zip(&errors).enumerate().map(|(i, (v, d))| {
            let [low, high] = [smallest[i / dimension], largest[i / dimension]].map(f64::from);
            let variance = learned_log_variance(f64::from(*v), low, high).exp();
            normal_divergence(f64::from(*d), low, 0.0, variance)
        });
        let exact = terms.sum::<f64>() / widths.len() as f64;
        assert_close("the bound", &loss, &[exact as f32], ROUNDING);
    }
}

#[test]
fn a_learned_variance_tends_to_the_one_that_makes_the_bound_least() {
    // Errors of the mean that are all equal: the best variance is that of the posterior plus their square.
    let form = VarianceForm { dimension: 2, width: 16, depth: 2, preconditioning: Preconditioning { data: 1.0 } };
    let mut net = VarianceNet::new(form, &cpu(), 1, 0);
    let (moment, width, batch) = (2.4_f32, 1.0_f32, 64);
    let (moments, widths) = (vec![moment; 2 * batch], vec![width; batch]);
    for step in 0..600 {
        let mut rng = Rng::new(2, Stream::Test, step);
        let sigma: Vec<f64> = (0..batch).map(|_| (4.0 * rng.uniform() - 2.0).exp()).collect();
        let x: Vec<f32> = rng.normals(2 * batch);
        let rate = if step < 400 { 1e-2 } else { 1e-3 };
        net.train(&x, &sigma, Terms { moments: &moments, widths: &widths }, rate);
    }
    let losses = now(net.take_losses()).expect("losses");
    // Two numbers a point, ln(1 + d^2 / smallest) / 2 each. Near the least term the excess is of second order.
    let least = moment.ln();
    assert!((losses[599] - least).abs() < 1e-3, "{} and {least}", losses[599]);
    assert!(losses[0] > least + 1e-2, "{}", losses[0]);
    let best = 2.0 * moment.ln() / width - 1.0;
    for v in now(net.outputs(&[0.3, -0.2, 1.0, 0.5], &[0.5, 2.0])).expect("outputs") {
        assert!((v - best).abs() < 0.05, "{v} instead of {best}");
    }
}

#[test]
fn a_class_that_there_is_not_has_no_gradient() {
    let form = ClassifierForm {
        dimension: 1,
        classes: 2,
        width: 4,
        depth: 1,
        activation: Activation::Tanh,
        preconditioning: Preconditioning { data: 1.0 },
    };
    let net = Classifier::new(form, &cpu(), 1, 0);
    let slope = now(net.log_probability_gradients(&[0.3, -0.4], &[1.0, 1.0], &[2, 1])).expect("gradients");
    assert_eq!(slope[0], 0.0);
    assert!(slope[1] != 0.0);
}
