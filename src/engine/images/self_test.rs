//! What this device computes beside what diffusers computed: `tests/golden/unet_self_test.py` made the numbers.

use std::convert::Infallible;

use super::model::ImageModel;
use super::pictures::Pictures;
use super::pool::WorkerPool;
use super::reporter::{Reporter, Teller};
use super::run::ImageRun;
use crate::diffusion::Convention;
use crate::engine::error::{EngineError, ImageError};
use crate::engine::inbox::{Inbox, Port};
use crate::engine::sample::Outcome;
use crate::lab::{ExperimentId, RunConfig, ScheduleId, SolverId, SpacingId};
use crate::nn::device::ComputeDevice;
use crate::nn::unet::{Refine, Song, Style, UNet, UNetConfig};
use crate::protocol::Floats;
use crate::protocol::images::{SelfTest, SelfTestCase};

/// The outputs of the networks, in the order of [`CASES`], and the samples, one after the other, little-endian.
const EXPECTED: &[u8] = include_bytes!("self_test.bin");
/// What is computed.
const CASES: [&str; 6] = ["network", "network-classes", "network-song", "network-ncsn", "network-ncsnv2", "sample"];
/// Height and width of the test's images.
const SIDE: usize = 8;
/// Numbers shown of each case.
const SHOWN: usize = 16;
/// Single precision on both sides, sums of up to 600 products in different orders, through a dozen layers.
const TOLERANCE: f64 = 1e-4;
/// The same through five evaluations in a row, each of which feeds the next.
const SAMPLE_TOLERANCE: f64 = 5e-4;
/// A GPU may compute square roots, exponentials and quotients to a few units in the last place (WGSL, section 15.7.4).
const GPU_SLACK: f64 = 10.0;

/// `count` numbers in `[-1, 1)` with 24 bits each, from a hash of the name (FNV-1a) and a counter (murmur3's
/// finaliser): the same here and in the script.
pub fn hashed(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(2_166_136_261_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    (0..count as u32).map(move |i| {
        let mut x = i.wrapping_mul(0x9E37_79B9).wrapping_add(seed);
        x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
        x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        f64::from(x >> 8) / f64::from(1 << 23) - 1.0
    })
}

/// Values of a parameter that follow from its name: matrices and kernels of unit gain, scales and tables of them about 1,
/// shifts about 0.
#[must_use]
pub fn parameter(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    if name.ends_with("embed.weight") {
        hashed(name, count).map(|u| (0.5 * u + 1.0) as f32).collect()
    } else if shape.len() > 1 {
        let gain = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
        hashed(name, count).map(|u| (u * gain) as f32).collect()
    } else {
        let scales = ["weight", "gamma", "alpha"];
        let shift = if scales.iter().any(|scale| name.ends_with(scale)) { 1.0 } else { 0.0 };
        hashed(name, count).map(|u| (0.1 * u + shift) as f32).collect()
    }
}

/// The network of the first case: two levels, attention at the lower one.
#[must_use]
pub fn plain() -> UNetConfig {
    UNetConfig {
        channels: 16,
        multipliers: vec![1, 2],
        layers: 1,
        attention_levels: vec![1],
        dropout: 0.0,
        groups: 8,
        ..UNetConfig::cifar10()
    }
}

fn classes() -> UNetConfig {
    UNetConfig { classes: 10, learned_variance: true, attention_levels: vec![0], ..plain() }
}

fn song() -> UNetConfig {
    UNetConfig { style: Style::Song(Song::NCSN_PP), groups: 32, ..plain() }
}

/// A network small enough for any device, with the convention of DDPM and images of 8 by 8 pixels: for this test, and for
/// whoever needs a network without a file.
///
/// # Errors
/// [`ImageError::Internal`] when there is no such network, which would be a fault of the program.
pub fn model(compute: &ComputeDevice) -> Result<ImageModel, ImageError> {
    Ok(ImageModel::new(network(&plain(), compute)?, Convention::ddpm(), SIDE))
}

fn network(config: &UNetConfig, compute: &ComputeDevice) -> Result<UNet, ImageError> {
    let network = config.init(0, &compute.device).map_err(|error| ImageError::Internal(error.to_string()))?;
    // Noise levels are no weights.
    let levels = config.style.refine().map(Refine::sigmas);
    let Ok(network) = network.load(|name, shape| {
        Ok::<_, Infallible>(match &levels {
            Some(levels) if name.starts_with("sigmas.") => levels.clone(),
            _ => parameter(name, shape),
        })
    });
    Ok(network)
}

fn images(name: &str, count: usize, compute: &ComputeDevice) -> Pictures {
    let shape = [count, 3, SIDE, SIDE];
    let values = hashed(name, shape.iter().product()).map(|u| u as f32).collect();
    Pictures::new(values, shape, &compute.device)
}

/// The test; `None` when a command ended it.
///
/// # Errors
/// When the device no longer answers.
pub async fn self_test<P: Port>(
    compute: &ComputeDevice,
    inbox: &mut Inbox<'_, P>,
) -> Result<Option<SelfTest>, EngineError> {
    let start = inbox.port.now_ms();
    let slack = if compute.info.gpu { GPU_SLACK } else { 1.0 };
    let mut report = SelfTest { device: compute.info.clone(), ..SelfTest::default() };
    let mut expected = EXPECTED.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    for name in CASES {
        inbox.port.yield_now().await;
        inbox.breathe().await;
        if inbox.interrupted() {
            return Ok(None);
        }
        let (found, tolerance) = match name {
            "network" => (ask(&plain(), &[3.0, 737.0], &[], compute).await?, TOLERANCE),
            "network-classes" => {
                (ask(&classes(), &[-120.5, 0.0, 250.25], &[Some(7), None, Some(0)], compute).await?, TOLERANCE)
            }
            "network-song" => (ask(&song(), &[-0.9_f32, 1.1].map(f64::from), &[], compute).await?, TOLERANCE),
            "network-ncsn" => {
                let times = [3.0, 8.0].map(|level| level / 9.0 * libm::log(0.01));
                (ask(&UNetConfig::refine(Refine::NCSN, 8), &times, &[], compute).await?, TOLERANCE)
            }
            "network-ncsnv2" => {
                (ask(&UNetConfig::refine(Refine::NCSN_V2, 8), &[0.0; 2], &[], compute).await?, TOLERANCE)
            }
            _ => match sample(compute, inbox).await? {
                Some(found) => (found, SAMPLE_TOLERANCE),
                None => return Ok(None),
            },
        };
        let wanted: Vec<f32> = expected.by_ref().take(found.len()).collect();
        report.cases.push(case(name, wanted, found, slack * tolerance));
    }
    report.millis = inbox.port.now_ms() - start;
    Ok(Some(report))
}

async fn ask(
    config: &UNetConfig,
    times: &[f64],
    labels: &[Option<usize>],
    compute: &ComputeDevice,
) -> Result<Vec<f32>, EngineError> {
    let network = network(config, compute)?;
    let condition = network.condition(times, labels).map_err(|error| ImageError::Internal(error.to_string()))?;
    let output = network.forward(images("input", times.len(), compute).0, &condition);
    Ok(Pictures(output).values().await?)
}

/// Five steps of DDIM through the whole of the sampler, with the listener of every run: with another the CPU worker would
/// have all solvers twice. `None` when a command ended it.
async fn sample<P: Port>(compute: &ComputeDevice, inbox: &mut Inbox<'_, P>) -> Result<Option<Vec<f32>>, EngineError> {
    let model = model(compute)?;
    let config = RunConfig {
        experiment: ExperimentId::Images,
        schedule: ScheduleId::DdpmLinear,
        solver: SolverId::Ddim,
        spacing: SpacingId::Leading,
        steps: 5,
        eta: 0.0,
        images: 2,
        ..RunConfig::default()
    };
    let mut run = ImageRun::new(config, &model, compute)?.from_noise(images("noise", 2, compute));
    // This worker alone: the others are not tested.
    let (mut teller, mut pool) = (Teller::silent(), WorkerPool::nobody());
    let mut reporter = Reporter { inbox, teller: &mut teller, pool: &mut pool };
    loop {
        match run.step(&mut reporter).await? {
            Outcome::Stepped => {}
            Outcome::Finished => break,
            Outcome::GivenUp => return Ok(None),
        }
    }
    Ok(Some(run.sampler().x().values().await?))
}

fn case(name: &str, expected: Vec<f32>, found: Vec<f32>, tolerance: f64) -> SelfTestCase {
    let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let mut error = if expected.len() == found.len() && largest > 0.0 { 0.0 } else { f64::INFINITY };
    for (a, b) in found.iter().zip(&expected) {
        let difference = f64::from((a - b).abs() / largest);
        error = if difference.is_finite() { difference.max(error) } else { f64::INFINITY };
    }
    let first = |values: Vec<f32>| Floats(values.into_iter().take(SHOWN).collect());
    SelfTestCase { name: name.to_owned(), expected: first(expected), found: first(found), error, tolerance }
}
