//! Predictive coding networks: against numbers of numpy, in double precision by a plain reference and in single precision
//! by the networks; and the laws that must hold whatever the numbers are.

use scorefield::diffusion::now;
use scorefield::nn::architecture::{Activation, Shape};
use scorefield::nn::array::Array;
use scorefield::nn::coding::{CodingForm, CodingNet, CodingTraining, Optimiser, OutputLoss, Skip};
use scorefield::nn::device::ComputeDevice;
use scorefield::nn::mlp::{Gradient, Jet, Mlp};
use scorefield::rng::{Rng, Stream};
use serde_json::Value;

use crate::networks::{assert_close, devices, doubles, numbers, read};

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/predictive_coding.json")).expect("the golden file is JSON")
}

fn flat(gradient: Gradient) -> Vec<f32> {
    read(gradient.flat())
}

/// Single precision after some steps of inference.
const ROUNDING: f64 = 1e-5;

fn form(golden: &Value, skip: Skip, loss: OutputLoss, backward: f64) -> CodingForm {
    let sizes = doubles(&golden["sizes"]);
    let (inputs, width, outputs) = (sizes[0] as usize, sizes[1] as usize, sizes[4] as usize);
    CodingForm { inputs, width, layers: 4, outputs, activation: Activation::Tanh, skip, loss, backward }
}

/// The cases of the golden file.
fn cases(golden: &Value) -> Vec<(&'static str, CodingForm)> {
    let form = |skip, loss, backward| form(golden, skip, loss, backward);
    vec![
        ("plain", form(Skip::None, OutputLoss::Square, 0.0)),
        ("cross-entropy", form(Skip::None, OutputLoss::CrossEntropy, 0.0)),
        ("skip", form(Skip::Plain, OutputLoss::Square, 0.0)),
        ("bidirectional", form(Skip::None, OutputLoss::Square, 0.25)),
        ("all", form(Skip::Plain, OutputLoss::CrossEntropy, 0.5)),
        ("scaled", form(Skip::MuPc, OutputLoss::Square, 0.0)),
    ]
}

/// A network in double precision, by the definitions: weights are `[out][in]`.
struct Reference {
    form: CodingForm,
    w: Vec<Vec<Vec<f64>>>,
    b: Vec<Vec<f64>>,
    v: Vec<Vec<Vec<f64>>>,
    c: Vec<Vec<f64>>,
    x: Vec<Vec<f64>>,
    y: Vec<Vec<f64>>,
}

/// States of one row.
type Row = Vec<Vec<f64>>;

fn matrices(all: &Value, sizes: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<Vec<f64>>> {
    let (all, mut at) = (doubles(all), 0);
    let matrix = |(rows, columns): (usize, usize)| {
        let part = all[at..at + rows * columns].chunks(columns).map(<[f64]>::to_vec).collect();
        at += rows * columns;
        part
    };
    sizes.map(matrix).collect()
}

fn product(weights: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    weights.iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn transposed(weights: &[Vec<f64>], e: &[f64]) -> Vec<f64> {
    (0..weights[0].len()).map(|i| weights.iter().zip(e).map(|(row, e)| row[i] * e).sum()).collect()
}

fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect()
}

fn half_square(e: &[f64]) -> f64 {
    0.5 * e.iter().map(|e| e * e).sum::<f64>()
}

impl Reference {
    fn new(golden: &Value, form: CodingForm) -> Self {
        let sizes: Vec<usize> = doubles(&golden["sizes"]).into_iter().map(|n| n as usize).collect();
        let pairs = || sizes.iter().copied().zip(sizes.iter().copied().skip(1));
        let one = |values: Vec<Vec<Vec<f64>>>| values.into_iter().map(|mut m| m.remove(0)).collect();
        let rows = |key: &str, size: usize| doubles(&golden[key]).chunks(size).map(<[f64]>::to_vec).collect();
        Self {
            form,
            w: matrices(&golden["w"], pairs().map(|(a, b)| (b, a))),
            b: one(matrices(&golden["b"], pairs().map(|(_, b)| (1, b)))),
            v: matrices(&golden["v"], pairs()),
            c: one(matrices(&golden["c"], pairs().map(|(a, _)| (1, a)))),
            x: rows("x", sizes[0]),
            y: rows("y", sizes[4]),
        }
    }

    /// The parameters in the order of the networks.
    fn parameters(&self) -> Vec<f32> {
        let layer = |w: &[Vec<f64>], b: &[f64]| {
            let turned = (0..w[0].len()).flat_map(|i| w.iter().map(move |row| row[i]));
            turned.chain(b.iter().copied()).map(|v| v as f32).collect::<Vec<f32>>()
        };
        let forwards = self.w.iter().zip(&self.b);
        let backwards = self.v.iter().zip(&self.c).rev().filter(|_| self.form.backward > 0.0);
        forwards.chain(backwards).flat_map(|(w, b)| layer(w, b)).collect()
    }

    fn scale(&self, l: usize) -> f64 {
        let (inputs, width) = (self.form.inputs as f64, self.form.width as f64);
        match (self.form.skip, l) {
            (Skip::MuPc, 0) => inputs.powf(-0.5),
            (Skip::MuPc, 3) => 1.0 / width,
            (Skip::MuPc, _) => (width * 4.0).powf(-0.5),
            _ => 1.0,
        }
    }

    fn skips(&self, l: usize) -> bool {
        self.form.skip != Skip::None && (l == 1 || l == 2)
    }

    fn active(x: &[f64], l: usize) -> Vec<f64> {
        if l == 0 || l == 4 { x.to_vec() } else { x.iter().map(|x| x.tanh()).collect() }
    }

    fn predict(&self, l: usize, x: &[f64]) -> Vec<f64> {
        let u = product(&self.w[l], &Self::active(x, l));
        let u = zip(&u, &self.b[l], |u, b| self.scale(l) * u + b);
        if self.skips(l) { zip(&u, x, |u, x| u + x) } else { u }
    }

    fn softmax(u: &[f64]) -> Vec<f64> {
        let sum: f64 = u.iter().map(|u| u.exp()).sum();
        u.iter().map(|u| u.exp() / sum).collect()
    }

    fn errors(&self, xs: &Row) -> Row {
        let mut errors: Row = (0..4).map(|l| zip(&xs[l + 1], &self.predict(l, &xs[l]), |x, u| x - u)).collect();
        if self.form.loss == OutputLoss::CrossEntropy {
            errors[3] = zip(&xs[4], &Self::softmax(&self.predict(3, &xs[3])), |y, p| y - p);
        }
        errors
    }

    fn mismatches(&self, xs: &Row) -> Row {
        let back = |l: usize| zip(&product(&self.v[l], &Self::active(&xs[l + 1], l + 1)), &self.c[l], |v, c| v + c);
        (0..4).map(|l| zip(&xs[l], &back(l), |x, g| x - g)).collect()
    }

    fn energies(&self, xs: &Row) -> Vec<f64> {
        let mut energies: Vec<f64> = self.errors(xs).iter().map(|e| half_square(e)).collect();
        if self.form.loss == OutputLoss::CrossEntropy {
            let p = Self::softmax(&self.predict(3, &xs[3]));
            energies[3] = -xs[4].iter().zip(p).map(|(y, p)| y * p.ln()).sum::<f64>();
        }
        if self.form.backward > 0.0 {
            energies.extend(self.mismatches(xs).iter().map(|d| self.form.backward * half_square(d)));
        }
        energies
    }

    fn step(&self, xs: &Row, rate: f64) -> Row {
        let (e, d, mut moved) = (self.errors(xs), self.mismatches(xs), xs.clone());
        for l in 1..4 {
            let bend: Vec<f64> = xs[l].iter().map(|x| 1.0 - x.tanh().powi(2)).collect();
            let down = zip(&transposed(&self.w[l], &e[l]), &bend, |t, f| self.scale(l) * t * f);
            let mut slope = zip(&e[l - 1], &down, |e, t| e - t);
            if self.skips(l) {
                slope = zip(&slope, &e[l], |s, e| s - e);
            }
            let back = zip(&d[l], &zip(&transposed(&self.v[l - 1], &d[l - 1]), &bend, |t, f| t * f), |d, t| d - t);
            slope = zip(&slope, &back, |s, d| s + self.form.backward * d);
            moved[l] = zip(&xs[l], &slope, |x, s| x - rate * s);
        }
        moved
    }

    /// The states of every row after some steps, and the energies of all rows before every step and after the last.
    fn infer(&self, steps: usize, rate: f64) -> (Vec<Row>, Vec<Vec<f64>>) {
        let mut rows: Vec<Row> = Vec::new();
        let mut energies = vec![Vec::new(); steps + 1];
        for (x, y) in self.x.iter().zip(&self.y) {
            let mut xs = vec![x.clone()];
            (0..3).for_each(|l| xs.push(self.predict(l, &xs[l])));
            xs.push(y.clone());
            for (step, sums) in energies.iter_mut().enumerate() {
                if step > 0 {
                    xs = self.step(&xs, rate);
                }
                let more = self.energies(&xs);
                *sums = if sums.is_empty() { more } else { zip(sums, &more, |a, b| a + b) };
            }
            rows.push(xs);
        }
        (rows, energies)
    }

    /// `-dE/dW_l` layer by layer, mean over the rows.
    fn learning(&self, rows: &[Row]) -> Vec<f64> {
        let mut all = Vec::new();
        for l in 0..4 {
            for o in 0..self.w[l].len() {
                for i in 0..self.w[l][0].len() {
                    let of = |xs: &Row| self.scale(l) * self.errors(xs)[l][o] * Self::active(&xs[l], l)[i];
                    all.push(rows.iter().map(of).sum::<f64>() / rows.len() as f64);
                }
            }
        }
        all
    }
}

/// What was numbers of layers' weights `[out][in]`, of a network's gradient with the sign of `-dE/dW`.
fn weights_of(gradient: &Gradient, form: CodingForm) -> Vec<f32> {
    let layers = form.layers();
    let mut all = Vec::new();
    for (layer, part) in layers.iter().zip(gradient.parts().iter().step_by(2)).take(form.layers) {
        let values = read(part.clone());
        all.extend(
            (0..layer.outputs)
                .flat_map(|o| (0..layer.inputs).map(move |i| (o, i)))
                .map(|(o, i)| -values[i * layer.outputs + o]),
        );
    }
    all
}

fn biases_of(gradient: &Gradient, form: CodingForm) -> Vec<f32> {
    let parts = gradient.parts().iter().skip(1).step_by(2).take(form.layers);
    parts.flat_map(|part| read(part.clone())).map(|v| -v).collect()
}

/// Hidden states of all rows, layer by layer.
fn by_layer(rows: &[Row]) -> Vec<f64> {
    (1..4).flat_map(|l| rows.iter().flat_map(move |xs| xs[l].clone())).collect()
}

#[test]
fn inference_and_learning_are_numpys_in_double_and_in_single_precision() {
    let golden = golden();
    let (steps, rate) = (golden["steps"].as_u64().expect("steps") as usize, golden["eta"].as_f64().expect("a rate"));
    let [x, y] = ["x", "y"].map(|key| numbers(&golden[key]));
    for (name, form) in cases(&golden) {
        let case = &golden["cases"][name];
        let reference = Reference::new(&golden, form);
        let (rows, energies) = reference.infer(steps, rate);
        for (ours, theirs) in energies.iter().zip(case["energies"].as_array().expect("steps")) {
            assert_close(&format!("{name}, energies"), ours, &doubles(theirs), 1e-10);
        }
        assert_close(&format!("{name}, states"), &by_layer(&rows), &doubles(&case["states"]), 1e-10);
        assert_close(&format!("{name}, weights"), &reference.learning(&rows), &doubles(&case["dw"]), 1e-10);

        for compute in devices() {
            let net = CodingNet::new(form, &reference.parameters(), &compute.device);
            let array = |values: &[f32], columns| Array::new(values.to_vec(), columns, &compute.device);
            let begin = || net.infer(array(&x, form.inputs), array(&y, form.outputs));
            let mut inference = begin();
            for (step, expected) in energies.iter().enumerate() {
                let found = read(inference.energies());
                assert_close(&format!("{name}, energies {step}"), &found, expected, ROUNDING);
                if step < steps {
                    inference.step(rate);
                }
            }
            let states: Vec<f32> = inference.states()[1..4].iter().flat_map(|x| read(x.clone())).collect();
            assert_close(&format!("{name}, states"), &states, &by_layer(&rows), ROUNDING);
            let gradient = inference.gradient();
            assert_close(&format!("{name}, weights"), &weights_of(&gradient, form), &doubles(&case["dw"]), ROUNDING);
            assert_close(&format!("{name}, biases"), &biases_of(&gradient, form), &doubles(&case["db"]), ROUNDING);
            let forward = begin();
            let back = weights_of(&forward.backpropagation(), form);
            assert_close(&format!("{name}, backpropagation"), &back, &doubles(&case["backprop"]), ROUNDING);
            if form.backward == 0.0 {
                let mut inference = begin();
                (0..steps).for_each(|_| inference.step_errors(rate));
                let states: Vec<f32> = inference.states()[1..4].iter().flat_map(|x| read(x.clone())).collect();
                assert_close(&format!("{name}, errors"), &states, &doubles(&case["error-inference"]), ROUNDING);
            }
            if name == "plain" {
                let training = CodingTraining::new(net.clone(), Optimiser::LayerAdaptive);
                let ratios = now(training.trust_ratios(&gradient, 0.001)).expect("ratios");
                assert_close("trust ratios", &ratios, &doubles(&golden["trust"]), ROUNDING);
            }
        }
    }
}

/// A network of this form, images and labels.
fn drawn(form: CodingForm, rows: usize, compute: &ComputeDevice) -> (CodingNet, Array, Array) {
    let mut rng = Rng::new(7, Stream::Test, 0);
    let net = CodingNet::new(form, &form.initial(1.0, 3, 0), &compute.device);
    let x = Array::new(rng.normals(rows * form.inputs), form.inputs, &compute.device);
    let labels =
        (0..rows * form.outputs).map(|i| f32::from(u8::from(i % form.outputs == i / form.outputs % form.outputs)));
    (net, x, Array::new(labels.collect(), form.outputs, &compute.device))
}

fn deep(layers: usize, skip: Skip, loss: OutputLoss) -> CodingForm {
    CodingForm { inputs: 9, width: 12, layers, outputs: 5, activation: Activation::Tanh, skip, loss, backward: 0.0 }
}

/// The length of a difference over that of the second.
fn relative(a: &[f32], b: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    assert_eq!(a.len(), b.len());
    length(&mut a.iter().zip(b).map(|(a, b)| a - b)) / length(&mut b.iter().copied())
}

#[test]
fn frozen_predictions_and_zero_divergence_are_backpropagation() {
    for compute in devices() {
        for skip in [Skip::None, Skip::Plain, Skip::Scaled, Skip::MuPc] {
            for loss in [OutputLoss::Square, OutputLoss::CrossEntropy] {
                let form = deep(6, skip, loss);
                let (net, x, y) = drawn(form, 7, &compute);
                let back = flat(net.infer(x.clone(), y.clone()).backpropagation());
                let mut frozen = net.infer(x.clone(), y.clone());
                frozen.sweep_frozen();
                assert!(relative(&flat(frozen.gradient()), &back) < 1e-6, "{skip:?} {loss:?}");
                let apart = relative(&flat(net.infer(x.clone(), y.clone()).zero_divergence()), &back);
                assert!(apart < 1e-6, "{skip:?} {loss:?}: {apart}");
            }
        }
        // The perceptron's own backpropagation.
        let form = deep(4, Skip::None, OutputLoss::Square);
        let (net, x, y) = drawn(form, 7, &compute);
        let CodingForm { inputs, width, layers, outputs, activation, .. } = form;
        let shape = Shape { inputs, width, depth: layers - 1, outputs, activation };
        let mlp = Mlp::of(shape, net.parameters().clone());
        assert_close("forward", &read(mlp.forward(x.clone())), &read(net.forward(x.clone())), 1e-6);
        let (output, trace) = mlp.push(x.clone(), None, false);
        let slope = (output.value - &y) * (1.0 / 7.0);
        let theirs = flat(mlp.gradient(trace, Jet::value(slope)));
        assert!(relative(&flat(net.infer(x, y).backpropagation()), &theirs) < 1e-6);
    }
}

#[test]
fn an_error_comes_down_by_a_layer_a_step_and_below_it_all_are_exactly_zero() {
    let form = deep(9, Skip::Plain, OutputLoss::Square);
    for compute in devices() {
        let (net, x, y) = drawn(form, 4, &compute);
        let mut inference = net.infer(x.clone(), y);
        for step in 0..=form.layers {
            // What is remembered, and what the states say anew.
            let errors: Vec<bool> =
                inference.errors().iter().map(|e| read(e.clone()).iter().all(|v| *v == 0.0)).collect();
            let still: Vec<bool> = (0..form.layers).map(|l| l + 1 + step < form.layers).collect();
            assert_eq!(errors, still, "after {step} steps");
            let forward = net.infer(x.clone(), inference.states()[form.layers].clone());
            for l in 0..form.layers.saturating_sub(step + 1) {
                let [a, b] = [&forward, &inference].map(|of| read(of.states()[l].clone()));
                assert_eq!(a, b, "layer {l} after {step} steps");
            }
            inference.step(0.1);
        }
    }
}

#[test]
fn the_energy_of_a_linear_network_comes_to_rest_at_its_closed_form() {
    let golden = golden();
    // A rectifier of slope 1 is the identity.
    let linear =
        CodingForm { activation: Activation::LeakyRelu(1.0), ..form(&golden, Skip::None, OutputLoss::Square, 0.0) };
    let [x, y] = ["x", "y"].map(|key| numbers(&golden[key]));
    for compute in devices() {
        let parameters = Reference::new(&golden, linear).parameters();
        let net = CodingNet::new(linear, &parameters, &compute.device);
        let array = |values: &[f32], columns| Array::new(values.to_vec(), columns, &compute.device);
        let mut inference = net.infer(array(&x, linear.inputs), array(&y, linear.outputs));
        let loss = golden["linear"]["loss"].as_f64().expect("a loss");
        assert_close("loss", &[read(inference.energies()).iter().sum::<f32>()], &[loss], ROUNDING);
        (0..1500).for_each(|_| inference.step(0.2));
        let energy: f32 = read(inference.energies()).iter().sum();
        assert_close("energy", &[energy], &[golden["linear"]["energy"].as_f64().expect("an energy")], ROUNDING);
        let states: Vec<f32> = inference.states()[1..4].iter().flat_map(|x| read(x.clone())).collect();
        assert_close("states", &states, &doubles(&golden["linear"]["states"]), 1e-4);
    }
}

#[test]
fn the_gradient_of_the_energy_is_its_difference_quotient() {
    // In all parameters at once, backward predictions among them.
    let form = CodingForm { backward: 0.3, ..deep(4, Skip::Plain, OutputLoss::CrossEntropy) };
    let [compute, _] = devices();
    let (net, x, y) = drawn(form, 6, &compute);
    let mut inference = net.infer(x, y);
    (0..5).for_each(|_| inference.step(0.1));
    let gradient = flat(inference.gradient());
    let mut rng = Rng::new(8, Stream::Test, 0);
    let along: Vec<f32> = gradient.iter().zip(rng.normals(gradient.len())).map(|(g, z)| g + 0.05 * z).collect();
    let energy = |h: f32| -> f64 {
        let moved = net.parameters().clone() + &Array::new(along.iter().map(|v| h * v).collect(), 1, &compute.device);
        read(inference.energies_with(&net.with(moved))).iter().map(|v| f64::from(*v)).sum()
    };
    let quotient = (energy(0.02) - energy(-0.02)) / (2.0 * 0.02 * 6.0);
    let exact: f64 = gradient.iter().zip(&along).map(|(g, v)| f64::from(*g) * f64::from(*v)).sum();
    assert!((quotient / exact - 1.0).abs() < 1e-3, "{quotient} {exact}");
}

#[test]
fn every_optimiser_lowers_the_energy_of_what_it_learns() {
    for compute in devices() {
        for (optimiser, rate) in [(Optimiser::Adam, 0.01), (Optimiser::Momentum, 0.1), (Optimiser::LayerAdaptive, 0.01)]
        {
            let form = CodingForm { backward: 0.1, ..deep(3, Skip::None, OutputLoss::Square) };
            let (net, x, y) = drawn(form, 8, &compute);
            let mut training = CodingTraining::new(net, optimiser);
            let mut energies = Vec::new();
            for _ in 0..30 {
                let mut inference = training.net().infer(x.clone(), y.clone());
                (0..5).for_each(|_| inference.step(0.1));
                energies.push(read(inference.energies()).iter().sum::<f32>());
                let gradient = inference.gradient();
                now(training.step(gradient, rate)).expect("a step");
            }
            assert!(energies[29] < 0.8 * energies[0], "{optimiser:?}: {energies:?}");
            let images = read(training.net().imagine(y));
            assert!(images.len() == 8 * 9 && images.iter().all(|v| v.is_finite()));
        }
    }
}
