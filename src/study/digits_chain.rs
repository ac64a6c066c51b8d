//! The denoising adversarial network of digits that the page ships: its file, and how the program trains it.

use super::context::StudyContext;
use super::error::StudyError;
use super::large_steps::{Chain, ChainPlan};
use super::pictures::Split;
use crate::data::digits::PIXELS;
use crate::data::metrics::gaussian::precision_recall;

/// A digit's neighbourhood reaches to so many others.
const NEIGHBOURS: usize = 5;

/// How it is trained.
pub const PLAN: ChainPlan =
    ChainPlan { dimension: PIXELS, steps: 4, latent: 8, width: 192, depth: 3, batch: 128, rate: 1e-3 };
/// The generator's parameters as bfloat16, the more significant half of a number in single precision, low byte first.
const FILE: &str = "data/digits-gan.bin";

/// The chain that the page ships.
///
/// # Errors
/// When the file cannot be had, or is not one.
pub async fn shipped(context: &StudyContext) -> Result<Chain, StudyError> {
    let file = context.file(FILE).await?;
    let (numbers, rest) = file.as_chunks::<2>();
    let generator: Vec<f32> =
        numbers.iter().map(|[low, high]| f32::from_le_bytes([0, 0, *low, *high])).filter(|v| v.is_finite()).collect();
    if !rest.is_empty() || generator.len() != PLAN.form().generator.parameters() {
        return Err(StudyError::File(FILE));
    }
    Ok(Chain::of_generator(context, PLAN, &generator))
}

/// Samples of a chain as grey values that a picture can have.
///
/// # Errors
/// The device's.
pub async fn samples(context: &StudyContext, chain: &Chain, count: usize) -> Result<Vec<f32>, StudyError> {
    Ok(chain.samples(context, count).await?.into_iter().map(|v| v.clamp(-1.0, 1.0) as f32).collect())
}

/// Precision and recall of samples against the digits that the networks see, as in the study of NCSN's digits.
pub fn judged(samples: &[f32], split: &Split) -> (f64, f64) {
    precision_recall(samples, split.seen(), PIXELS, NEIGHBOURS).unwrap_or((f64::NAN, f64::NAN))
}

#[cfg(feature = "cli")]
pub use training::{Trained, train};

#[cfg(feature = "cli")]
mod training {
    use std::cell::RefCell;
    use std::path::Path;
    use std::rc::Rc;

    use super::{PLAN, judged, samples};
    use crate::lab::RunConfig;
    use crate::nn::device::ComputeDevice;
    use crate::study::context::{Step, StudyContext, StudyRun};
    use crate::study::error::StudyError;
    use crate::study::large_steps::{Chain, ChainPlan};
    use crate::study::pictures::Split;
    use crate::study::table::Study;

    /// Share of the moving average that a step keeps: some thousand steps.
    const KEEP: f64 = 0.999;
    /// Samples that are judged.
    const JUDGED: usize = 400;

    /// A trained chain.
    #[derive(Clone, Debug, Default)]
    pub struct Trained {
        /// The file that the page ships.
        pub file: Vec<u8>,
        /// Precision and recall of its samples.
        pub found: (f64, f64),
    }

    /// Trains the chain of digits, as part of this study, for so many steps; `goes_on` is told of them, and ends it by `false`.
    ///
    /// # Errors
    /// When the digits cannot be read from the folder `web`, or the device no longer answers.
    pub async fn train(
        study: &'static Study,
        [seed, steps]: [u32; 2],
        compute: &ComputeDevice,
        web: &Path,
        mut goes_on: impl FnMut([u32; 2]) -> bool,
    ) -> Result<Option<Trained>, StudyError> {
        let trained = Rc::new(RefCell::new(Trained::default()));
        let result = Rc::clone(&trained);
        let work = |context: StudyContext, _: &RunConfig| -> Step {
            Box::pin(async move {
                *result.borrow_mut() = chain(&context, steps as usize).await?;
                Ok(())
            })
        };
        let config = RunConfig { seed, ..RunConfig::default() };
        let mut running = StudyRun::new(study, work, &config, compute);
        while !running.advance(false, || 0.0).await? {
            if let Some(name) = running.wanted() {
                running.give(std::fs::read(web.join(name)).map_err(|error| format!("{name}: {error}")));
            }
            if !goes_on(running.progress()) {
                return Ok(None);
            }
        }
        Ok(Some(trained.take()))
    }

    async fn chain(context: &StudyContext, steps: usize) -> Result<Trained, StudyError> {
        let split = Split::read(context).await?;
        let mut chain = Chain::new(context, PLAN, 0).with_average(KEEP);
        for step in 0..steps {
            // Half a cosine, to nothing: the two players come to rest.
            let share = std::f64::consts::PI * step as f64 / steps as f64;
            chain.plan = ChainPlan { rate: PLAN.rate * 0.5 * (1.0 + libm::cos(share)), ..PLAN };
            chain.train(context, step, &|rng, count| split.batch(rng, count)).await?;
            context.progress(step + 1, steps);
        }
        let generator = chain.generator().await?;
        let file = generator.iter().flat_map(|v| half(*v).to_le_bytes()).collect();
        // What is judged is what the file says.
        let rounded: Vec<f32> = generator.iter().map(|v| f32::from_bits(u32::from(half(*v)) << 16)).collect();
        let chain = Chain::of_generator(context, PLAN, &rounded);
        Ok(Trained { file, found: judged(&samples(context, &chain, JUDGED).await?, &split) })
    }

    /// The nearest number in bfloat16.
    fn half(value: f32) -> u16 {
        let bits = value.to_bits();
        ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
    }
}
