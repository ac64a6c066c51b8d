//! Where the time of a training step goes, on the CPU device, natively.
//!
//!     cargo bench --profile dev --features cpu --bench training
//!
//! `scorefield bench` in the page (and `make bench`) times the same network in a browser.

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use scorefield::diffusion::Schedule;
use scorefield::diffusion::now;
use scorefield::engine::Trainer;
use scorefield::engine::batch::{Batch, Batches};
use scorefield::engine::learned::Learned;
use scorefield::engine::preview::prior;
use scorefield::lab::{DeviceChoice, RunConfig};
use scorefield::nn::adam::{Adam, Update};
use scorefield::nn::array::Array;
use scorefield::nn::device::open;
use scorefield::nn::mlp::Mlp;
use scorefield::nn::{Architecture, features};

/// Median time of `work` in milliseconds, over about half a second.
fn time(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || start.elapsed().as_secs_f64() < 0.5 {
        let begin = Instant::now();
        work();
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let config = RunConfig::default();
    let shapes = [("default", config.width, config.depth, config.batch), ("2 x 128", 128, 2, 256)];
    for (name, width, depth, batch) in shapes {
        measure(name, &RunConfig { width, depth, batch, ..config.clone() });
    }
}

fn measure(name: &str, config: &RunConfig) {
    let compute = now(open(DeviceChoice::Cpu)).expect("this build has the CPU device");
    let architecture = Architecture::from(config);
    let parameters = architecture.initial(config.seed);
    println!("{name}: {} parameters, batch {}", parameters.len(), config.batch);
    let report = |what: &str, ms: f64| println!("  {what:<44} {ms:8.3} ms");

    let batches = Batches::new(config).expect("the default run has data");
    let batch = batches.batch(0);
    report("making a batch", time(|| drop(black_box(batches.batch(black_box(3))))));

    let rows = config.batch as usize;
    let gradient = |mlp: &Mlp, device: &Device| {
        let array = |values: &[f32], columns| Array::new(values.to_vec(), columns, device);
        let (targets, weights) = (array(&batch.targets, 2), array(&batch.weights, 1));
        mlp.squared_error(array(&batch.inputs, features::COUNT), &targets, &weights, 0.5 / rows as f32)
    };
    let mut mlp = Mlp::new(architecture.shape(), &parameters, &compute.device);
    report("forward and backward", time(|| drop(black_box(gradient(&mlp, &compute.device)))));
    let inputs = || Array::new(batch.inputs.clone(), features::COUNT, &compute.device);
    report("forward", time(|| drop(black_box(mlp.forward(inputs())))));

    let (_, slope) = gradient(&mlp, &compute.device);
    let mut adam = Adam::new(mlp.parameters());
    let update = Update::new(1, 1e-3, 0.99);
    report("Adam", time(|| adam.update(mlp.parameters_mut(), &slope, update)));

    // The matrix products alone: what is left if everything else were free.
    let tensors: Vec<(Tensor<2>, Tensor<2>)> = architecture
        .layers()
        .iter()
        .map(|l| (filled(rows, l.inputs, &compute.device), filled(l.inputs, l.outputs, &compute.device)))
        .collect();
    report(
        "matrix products alone",
        time(|| {
            for (index, (x, w)) in tensors.iter().enumerate() {
                let z = x.clone().matmul(w.clone());
                black_box(x.clone().transpose().matmul(z.clone()));
                if index > 0 {
                    black_box(z.matmul(w.clone().transpose()));
                }
            }
        }),
    );

    // A device that records operations for automatic derivatives is worked on in tensor operations.
    let recording = compute.device.clone().autodiff();
    let plain = Mlp::new(architecture.shape(), &parameters, &recording);
    report("the same in tensor operations", time(|| drop(black_box(gradient(&plain, &recording)))));
    report("the same with Burn's autodiff", automatic(architecture, &parameters, &batch, &recording));

    let mut trainer = Trainer::new(config.clone(), &compute).expect("the default run has data");
    let step = time(|| {
        trainer.advance();
    });
    report("a training step in all", step);
    println!("  {:<44} {:8.0}", "training steps a second", 1e3 / step);

    let learned = Learned::new(&now(trainer.weights()).expect("the CPU answers"), &compute);
    let points = prior(1, config.samples as usize);
    let level = Schedule::from_config(config).level(0.5);
    let evaluation = time(|| {
        for chunk in points.chunks(learned.chunk()) {
            drop(black_box(now(learned.estimates(chunk, level))));
        }
    });
    report("a network evaluation of all samples", evaluation);
    let samples = f64::from(config.samples) * 1e3 / (evaluation * f64::from(config.steps));
    println!("  {:<44} {samples:8.0}", "samples a second");
}

fn filled(rows: usize, columns: usize, device: &Device) -> Tensor<2> {
    let values = (0..rows * columns).map(|i| (i % 17) as f32 * 0.1 - 0.8).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, [rows, columns]), device)
}

fn automatic(architecture: Architecture, parameters: &[f32], batch: &Batch, device: &Device) -> f64 {
    let array = |values: &[f32], columns| Array::new(values.to_vec(), columns, device);
    let flat = TensorData::new(parameters.to_vec(), [parameters.len(), 1]);
    time(|| {
        let parameters = Tensor::<2>::from_data(flat.clone(), device).require_grad();
        let mlp = Mlp::of(architecture.shape(), parameters.clone().into());
        let error = mlp.forward(array(&batch.inputs, features::COUNT)) - &array(&batch.targets, 2);
        let loss = (error.square() * &array(&batch.weights, 1)).into_tensor().mean();
        let gradients = loss.backward();
        drop(black_box(parameters.grad(&gradients)));
    })
}
