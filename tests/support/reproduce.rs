//! What a link promises bit for bit, as digests: the random numbers of its seed, the initial weights, the first batches;
//! and the sums of convolutions, whose instructions are written out for each machine.
//! The golden digests were written by the native build; the tests compare them there and in a browser.

use kernels::convolution;
use kernels::winograd::{self, Sizes};
use scorefield::data::{DatasetId, Drawing};
use scorefield::diffusion::Schedule;
use scorefield::digest::{fnv1a_64, of_singles};
use scorefield::engine::reproduction::Digests;
use scorefield::lab::{PredictionId, RunConfig, ScheduleId, WeightingId};
use scorefield::rng::{Rng, Stream};

/// Every stream, with its name in the golden file.
const STREAMS: [(&str, Stream); 11] = [
    ("weights", Stream::Weights),
    ("batch", Stream::Batch),
    ("times", Stream::Times),
    ("noise", Stream::Noise),
    ("prior", Stream::Prior),
    ("solver", Stream::Solver),
    ("corrector", Stream::Corrector),
    ("data", Stream::Data),
    ("directions", Stream::Directions),
    ("accept", Stream::Accept),
    ("test", Stream::Test),
];

/// 64-bit FNV-1a.
struct Digest(u64);

impl Digest {
    fn singles(values: &[f32]) -> Self {
        Self(of_singles(values.iter().copied()))
    }

    fn doubles(values: &[f64]) -> Self {
        // The sign of what is not a number differs between processors, and nobody looks at it.
        let bits = |v: &f64| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() };
        Self(fnv1a_64(values.iter().flat_map(|v| bits(v).to_le_bytes())))
    }
}

/// The first three batches of a run.
fn batches(config: &RunConfig) -> Digest {
    Digest(Digests::of(config).expect("a run with data").batches)
}

/// Results of the kernels for convolutions, of sizes that leave blocks unfilled.
fn convolutions() -> [(&'static str, Vec<f32>); 2] {
    let mut rng = Rng::new(5, Stream::Test, 0);
    let sizes = Sizes { inputs: 6, outputs: 10, height: 9, width: 22 };
    let pixels = sizes.height * sizes.width;
    let (images, bias) = (rng.normals(2 * sizes.inputs * pixels), rng.normals(12));
    let weights = rng.normals(9 * sizes.inputs * sizes.outputs);
    let mut tiles = vec![0.0; 2 * sizes.outputs * pixels];
    winograd::convolve(&sizes, &images, &weights, &bias, &mut Vec::new(), &mut tiles);
    let mut products = vec![0.0; sizes.outputs * pixels];
    let packed = convolution::pack(&weights[..sizes.inputs * sizes.outputs], sizes.inputs);
    convolution::multiply(&images, sizes.inputs, &packed, &bias, pixels, &mut products);
    [("convolutions", tiles), ("products at every pixel", products)]
}

/// One line a digest: what it is of, and sixteen hexadecimal digits.
pub fn digests() -> String {
    let mut lines = Vec::new();
    let mut add = |name: String, digest: Digest| lines.push(format!("{name} {:016x}\n", digest.0));
    for (name, stream) in STREAMS {
        let draw = |seed, index| {
            let mut rng = Rng::new(seed, stream, index);
            let mut values: Vec<f64> = (0..500).map(|_| rng.normal()).collect();
            values.extend((0..500).map(|_| rng.uniform()));
            values.extend((0..500).map(|_| f64::from(rng.below(1000)) * rng.sign()));
            values
        };
        add(format!("draws {name}"), Digest::doubles(&[draw(0, 0), draw(1, 1), draw(u32::MAX, u32::MAX)].concat()));
    }
    for (width, depth) in [(64, 4), (8, 1), (128, 3)] {
        let config = RunConfig { width, depth, seed: 1, ..RunConfig::default() };
        add(format!("weights {depth}x{width}"), Digest(Digests::of(&config).expect("a run with data").weights));
    }
    let mut drawing = Drawing::default();
    for i in 0..40 {
        drawing.push(f64::from(i % 7) / 7.0, f64::from(i) / 40.0);
    }
    for &dataset in DatasetId::ALL {
        let config = RunConfig { dataset, drawing: drawing.clone(), ..RunConfig::default() };
        add(format!("batches of dataset {}", dataset.id()), batches(&config));
    }
    for &schedule in ScheduleId::ALL {
        let config = RunConfig { schedule, ..RunConfig::default() };
        add(format!("batches of schedule {}", schedule.id()), batches(&config));
        let schedule = Schedule::from_config(&config);
        let levels = (0..=1000).flat_map(|i| {
            let level = schedule.level(f64::from(i) / 1000.0);
            [level.alpha, level.sigma, level.log_snr(), schedule.time_at_log_snr(f64::from(i - 500) / 50.0)]
        });
        add(format!("levels {}", config.schedule.id()), Digest::doubles(&levels.collect::<Vec<_>>()));
    }
    for &prediction in PredictionId::ALL {
        add(
            format!("batches of prediction {}", prediction.id()),
            batches(&RunConfig { prediction, ..RunConfig::default() }),
        );
    }
    for &weighting in WeightingId::ALL {
        add(
            format!("batches of weighting {}", weighting.id()),
            batches(&RunConfig { weighting, prediction: PredictionId::Velocity, ..RunConfig::default() }),
        );
    }
    for (seed, samples) in [(1, 500), (u32::MAX, 3)] {
        let config = RunConfig { seed, samples, ..RunConfig::default() };
        add(format!("prior of {samples}, seed {seed}"), Digest(Digests::of(&config).expect("a run with data").prior));
    }
    for (name, values) in convolutions() {
        add(name.to_owned(), Digest::singles(&values));
    }
    lines.concat()
}

/// The digests that every machine must have.
pub const GOLDEN: &str = include_str!("../golden/reproduce.txt");

/// The lines that differ from the golden ones.
pub fn differences() -> Vec<String> {
    let now = digests();
    let golden: Vec<&str> = GOLDEN.lines().collect();
    let mut differing: Vec<String> =
        now.lines().filter(|line| !golden.contains(line)).map(|line| format!("new: {line}")).collect();
    differing.extend(golden.iter().filter(|line| !now.lines().any(|n| n == **line)).map(|l| format!("golden: {l}")));
    differing
}
