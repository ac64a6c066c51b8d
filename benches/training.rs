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
use scorefield::engine::batch::Batches;
use scorefield::engine::learned::Learned;
use scorefield::engine::preview::prior;
use scorefield::lab::{DeviceChoice, RunConfig};
use scorefield::nn::adam::{Moments, Update};
use scorefield::nn::device::open;
use scorefield::nn::kernels::CpuMlp;
use scorefield::nn::{Architecture, Mlp, features};

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

    let cpu = CpuMlp::new(architecture, &parameters, &compute.device);
    let inputs = || batch.inputs.clone();
    report("forward and backward", time(|| drop(black_box(cpu.gradient(inputs(), &batch.targets, &batch.weights)))));
    let rows = config.batch as usize;
    report("forward", time(|| drop(black_box(cpu.forward(inputs(), rows)))));

    let (_, gradient) = cpu.gradient(inputs(), &batch.targets, &batch.weights);
    let (mut updated, mut moments, mut average) = (cpu.clone(), Moments::new(parameters.len()), cpu.parameters());
    let update = Update::new(1, 1e-3, 0.99);
    report("Adam", time(|| updated.update(gradient.clone(), &mut moments, &mut average, update)));

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

    let mlp = Mlp::new(architecture, &parameters, &compute.device);
    let matrix =
        |v: &[f32], columns| Tensor::<2>::from_data(TensorData::new(v.to_vec(), [rows, columns]), &compute.device);
    report(
        "the same in plain Burn operations",
        time(|| {
            let x = matrix(&batch.inputs, features::COUNT);
            drop(black_box(mlp.gradient(x, matrix(&batch.targets, 2), matrix(&batch.weights, 1))));
        }),
    );
    report("the same with Burn's autodiff", automatic(&mlp, &batch, &compute.device));

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

fn automatic(mlp: &Mlp, batch: &scorefield::engine::batch::Batch, device: &Device) -> f64 {
    let device = device.clone().autodiff();
    let rows = batch.weights.len();
    let matrix = |v: &[f32], columns| Tensor::<2>::from_data(TensorData::new(v.to_vec(), [rows, columns]), &device);
    let flat = mlp.parameters().clone().into_data();
    time(|| {
        let parameters = Tensor::<1>::from_data(flat.clone(), &device).require_grad();
        let mlp = Mlp::from_tensor(mlp.architecture(), parameters.clone());
        let error = mlp.forward(matrix(&batch.inputs, features::COUNT)) - matrix(&batch.targets, 2);
        let loss = (error.square() * matrix(&batch.weights, 1)).mean();
        let gradients = loss.backward();
        drop(black_box(parameters.grad(&gradients)));
    })
}
