//! Section 5-1-1: variational autoencoders, what equation 5-1 bounds, and what it costs.

use super::settings::{PlaneModes, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

named_variants! {
    /// The standard deviation of what the decoder adds.
    DecoderNoise {
        /// Learned.
        Learned = "learned",
        /// Held where it starts.
        Fixed = "fixed",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        vae_data: PlaneModes = PlaneModes::Eight;
        latent_size: usize = 2, 1..=16;
        fit_steps: usize = 3000, 10..=20_000;
        fit_width: usize = 64, 8..=256;
        hidden_layers: usize = 2, 1..=3;
        kl_weight: f64 = 1.0, 0.1..=4.0, log;
        decoder_noise: DecoderNoise = DecoderNoise::Learned;
        sample_count: usize = 2000, 100..=4000;
        digit_steps: usize = 1000, 10..=20_000;
    }
}

/// Half the side of the window of standardised data, and of latents.
const HALF: f64 = 2.4;
const LATENTS: f64 = 4.0;

/// The table.
pub const STUDY: Study = Study {
    id: "vae",
    chapter: 5,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane(
            "reconstruction",
            HALF,
            &[
                Layer::new("moved", Mark::Segments, 4),
                Layer::new("data", Mark::Dots, 0),
                Layer::new("reconstructed", Mark::Dots, 1),
            ],
        ),
        Figure::plane(
            "samples",
            HALF,
            &[Layer::new("with-decoder-noise", Mark::Dots, 2), Layer::new("decoded-means", Mark::Dots, 1)],
        ),
        Figure::plane(
            "latent",
            LATENTS,
            &[
                Layer::new("mode-1", Mark::Dots, 0),
                Layer::new("mode-2", Mark::Dots, 1),
                Layer::new("mode-3", Mark::Dots, 2),
                Layer::new("mode-4", Mark::Dots, 3),
                Layer::new("mode-5", Mark::Dots, 4),
                Layer::new("mode-6", Mark::Dots, 5),
            ],
        ),
        Figure::curves(
            "elbo",
            Axis::free("training-step"),
            Axis::free("nats"),
            &[
                Layer::new("negative-bound", Mark::Line, 0),
                Layer::new("reconstruction-term", Mark::Line, 1),
                Layer::new("latent-divergence", Mark::Line, 2),
                Layer::new("exact-likelihood", Mark::Dashed, 3),
            ],
        ),
        Figure::pictures("digits", Axis::free(""), Axis::free("")),
    ],
    claims: &[
        Claim { key: "bound", source: Source::Report("5-1-1, 5-1") },
        Claim { key: "covers", source: Source::Report("5-1-3") },
        Claim { key: "blurs", source: Source::Report("5-1-3") },
    ],
    notes: &["noise", "digits", "network"],
    brief: "fit-steps=1500&digit-steps=200",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{DecoderNoise, Settings};
    use crate::data::Mixture;
    use crate::data::digits::PIXELS;
    use crate::data::metrics::modes;
    use crate::diffusion::schedule::clean;
    use crate::nn::autoencoder::AutoencoderForm;
    use crate::rng::{Rng, Stream};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::generative::{AutoencoderFit, AutoencoderPlan};
    use crate::study::pictures::{Split, digit_grid, square};
    use crate::study::tools::{at_most, flat, mean_error, near, points};

    /// Points of which the bound is told, reconstructions and samples drawn, and points of the latents' picture.
    const JUDGED: usize = 4000;
    const RECONSTRUCTED: usize = 250;
    const SHOWN: usize = 700;
    const ENCODED: usize = 1000;
    const COLOURS: [&str; 6] = ["mode-1", "mode-2", "mode-3", "mode-4", "mode-5", "mode-6"];
    /// Of the digits: width, latents, points of a step, and digits along a side of the picture.
    const DIGIT_WIDTH: usize = 128;
    const DIGIT_LATENT: usize = 8;
    const DIGIT_BATCH: usize = 128;
    const ACROSS: usize = 10;

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = settings.vae_data.mixture();
        let plan = AutoencoderPlan {
            form: AutoencoderForm {
                dimension: 2,
                latent: settings.latent_size,
                width: settings.fit_width,
                depth: settings.hidden_layers,
            },
            steps: settings.fit_steps,
            batch: 256,
            rate: 2e-3,
            divergence_weight: settings.kl_weight,
            noise_learned: settings.decoder_noise == DecoderNoise::Learned,
        };
        let (steps, all) = (settings.fit_steps, settings.fit_steps + settings.digit_steps);
        let data = mixture.draw_labelled(&mut context.rng(Stream::Data, 0), JUDGED);
        let (labels, data): (Vec<usize>, Vec<[f64; 2]>) = data.into_iter().unzip();
        let marginal = mixture.at(clean());
        let exact: Vec<f64> = data.iter().map(|x| -marginal.log_density(*x)).collect();
        let entropy = mean_error(&exact).0;
        context.draw("elbo", "exact-likelihood", [0.0, entropy, steps as f64, entropy]);

        let mut fit = AutoencoderFit::new(&context, plan, 0);
        let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
        for step in 0..=steps {
            context.progress(step, all);
            if step == steps || (step > 0 && context.due()) {
                show(&context, &fit, &data, &labels).await?;
            }
            if step < steps {
                fit.step(&context, step, &draw).await?;
            }
        }
        let terms = fit.terms(&context, &flat(&data)).await?;
        let gaps: Vec<f64> = terms.iter().zip(&exact).map(|(term, exact)| term[0] + term[1] - exact).collect();
        let (gap, error) = mean_error(&gaps);
        context.conclude("bound", gap, error, [0.0, f64::INFINITY]);
        judge(&context, &fit, &mixture, settings.sample_count).await?;
        digits(&context, settings.digit_steps, [steps, all]).await
    }

    /// What the networks make of points of the data and of the prior.
    async fn show(
        context: &StudyContext,
        fit: &AutoencoderFit,
        data: &[[f64; 2]],
        labels: &[usize],
    ) -> Result<(), StudyError> {
        let encoded = fit.net.encode(&flat(&data[..ENCODED])).await?;
        let latents = fit.net.latents(&encoded, None);
        let size = latents.len() / ENCODED;
        let rebuilt: Vec<[f64; 2]> = points(&fit.net.decode(&latents[..RECONSTRUCTED * size]).await?);
        let pairs = || data.iter().zip(&rebuilt);
        context.draw("reconstruction", "moved", pairs().flat_map(|(a, b)| [a[0], a[1], b[0], b[1]]));
        context.draw("reconstruction", "data", pairs().flat_map(|pair| *pair.0));
        context.draw("reconstruction", "reconstructed", rebuilt.iter().copied().flatten());
        for (colour, key) in COLOURS.into_iter().enumerate() {
            // One latent number lies on a line, and of more than two the first two are shown.
            let place = |latent: &[f32]| [latent[0], latent.get(1).copied().unwrap_or(0.0)].map(f64::from);
            let of = latents.chunks_exact(size).zip(labels).filter(|(_, label)| *label % COLOURS.len() == colour);
            context.draw("latent", key, of.flat_map(|(latent, _)| place(latent)));
        }
        let [means, noise] = fit.decoded(context, SHOWN).await?;
        let std = fit.net.noise().await? as f32;
        let noisy = means.iter().zip(noise).map(|(mean, z)| f64::from(mean + std * z));
        context.draw("samples", "with-decoder-noise", noisy);
        context.draw("samples", "decoded-means", means.iter().copied().map(f64::from));
        let curve = |of: fn(&[f64; 3]) -> f64| fit.losses.iter().flat_map(move |loss| [loss[0], of(loss)]);
        context.draw("elbo", "negative-bound", curve(|loss| loss[1] + loss[2]));
        context.draw("elbo", "reconstruction-term", curve(|loss| loss[1]));
        context.draw("elbo", "latent-divergence", curve(|loss| loss[2]));
        Ok(())
    }

    async fn judge(
        context: &StudyContext,
        fit: &AutoencoderFit,
        mixture: &Mixture,
        count: usize,
    ) -> Result<(), StudyError> {
        let samples = fit.samples(context, count).await?;
        let all = mixture.weights.len() as f64;
        context.conclude("covers", modes(&samples, mixture).covered as f64, 0.0, [all, f64::INFINITY]);
        let (share, error) = near(&samples, mixture);
        context.conclude("blurs", share, error, at_most(0.9));
        Ok(())
    }

    /// The same with digits: in the upper half pairs of a digit and what the networks make of it, below samples.
    async fn digits(context: &StudyContext, steps: usize, [done, all]: [usize; 2]) -> Result<(), StudyError> {
        let split = Split::read(context).await?;
        let form = AutoencoderForm { dimension: PIXELS, latent: DIGIT_LATENT, width: DIGIT_WIDTH, depth: 2 };
        let plan = AutoencoderPlan {
            form,
            steps,
            batch: DIGIT_BATCH,
            rate: 2e-3,
            divergence_weight: 1.0,
            noise_learned: true,
        };
        let mut fit = AutoencoderFit::new(context, plan, 1);
        let held_out = split.held_out().to_f32();
        let shown = &held_out[..ACROSS * ACROSS / 4 * PIXELS];
        for step in 0..=steps {
            context.progress(done + step, all);
            if step == steps || context.due() {
                let latents = fit.net.latents(&fit.net.encode(shown).await?, None);
                let rebuilt = fit.net.decode(&latents).await?;
                let [samples, _] = fit.decoded(context, ACROSS * ACROSS / 2).await?;
                let digit = |column: usize, row: usize| {
                    let Some(pair) = row.checked_sub(ACROSS / 2) else {
                        return samples.chunks_exact(PIXELS).nth(row * ACROSS + column);
                    };
                    let of = if column.is_multiple_of(2) { shown } else { &rebuilt };
                    of.chunks_exact(PIXELS).nth(pair * ACROSS / 2 + column / 2)
                };
                context.draw("digits", "grey", digit_grid([ACROSS; 2], square(ACROSS), digit));
            }
            if step < steps {
                fit.step(context, step, &|rng, count| split.batch(rng, count)).await?;
            }
        }
        Ok(())
    }
}
