//! Section 5-1-2: generative adversarial networks, the modes they leave out, and noise at the critic's input.

use super::settings::{PlaneModes, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

named_variants! {
    /// Which form of equation 5-2 the generator is trained on.
    Saturating {
        /// The usual one, with a slope where the critic is sure.
        No = "no",
        /// As it is printed.
        Yes = "yes",
    }
}

named_variants! {
    /// Where the training data come from.
    DataSupply {
        /// Fresh ones for every step.
        Endless = "endless",
        /// A hundred, again and again.
        Hundred = "hundred",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        gan_data: PlaneModes = PlaneModes::Eight;
        latent_size: usize = 16, 1..=64;
        fit_width: usize = 64, 8..=256;
        hidden_layers: usize = 2, 1..=3;
        fit_steps: usize = 4500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 1e-3, 1e-4..=0.05, log;
        saturating: Saturating = Saturating::No;
        data_supply: DataSupply = DataSupply::Endless;
        diffusion_noise: f64 = 1.0, 0.0..=1.0;
        diffusion_longest: usize = 1000, 10..=1000;
        critic_target: f64 = 0.6, 0.5..=0.9;
    }
}

/// Half the side of the window of standardised data.
const HALF: f64 = 2.4;
const BELIEF: Layer = Layer::new("critics-belief", Mark::Heat, 0);

/// The table.
pub const STUDY: Study = Study {
    id: "gan",
    chapter: 5,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("samples", HALF, &[BELIEF, Layer::new("plain-game", Mark::Dots, 1)]),
        Figure::plane("noisy", HALF, &[BELIEF, Layer::new("noisy-game", Mark::Dots, 1)]),
        Figure::curves(
            "shares",
            Axis::free("mode"),
            Axis::free("mode-share"),
            &[
                Layer::new("plain-game", Mark::Bars, 1),
                Layer::new("noisy-game", Mark::Dots, 2),
                Layer::new("even-share", Mark::Dashed, 0),
            ],
        ),
        Figure::curves(
            "game",
            Axis::free("training-step"),
            Axis::fixed("told-right", 0.0, 1.0),
            &[
                Layer::new("plain-data", Mark::Line, 1),
                Layer::new("plain-samples", Mark::Line, 3),
                Layer::new("noisy-critic-data", Mark::Line, 2),
                Layer::new("noisy-critic-samples", Mark::Line, 5),
                Layer::new("saddle-point", Mark::Dashed, 0),
            ],
        ),
        Figure::curves(
            "adaptive",
            Axis::free("training-step"),
            Axis::free("chain-length"),
            &[Layer::new("noisy-game", Mark::Line, 2)],
        ),
        Figure::curves(
            "covered",
            Axis::free("training-step"),
            Axis::free("modes-covered"),
            &[Layer::new("plain-game", Mark::Line, 1), Layer::new("noisy-game", Mark::Line, 2)],
        ),
    ],
    claims: &[
        Claim { key: "collapse", source: Source::Report("5-1-3") },
        Claim { key: "quality", source: Source::Report("5-1-3") },
        Claim { key: "cure", source: Source::Report("5-1-2, [18]") },
        Claim { key: "saddle", source: Source::Report("5-1-2") },
    ],
    notes: &["printed", "latent", "length", "adaptive", "network"],
    brief: "fit-steps=3500&fit-batch=64&fit-rate=0.002",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{DataSupply, HALF, Saturating, Settings};
    use crate::data::Mixture;
    use crate::data::metrics::modes;
    use crate::nn::adversarial::Aim;
    use crate::rng::{Rng, Stream};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::generative::{CriticNoise, Game, GamePlan, total_variation};
    use crate::study::tools::{at_most, cells, difference, flat, heat_of, mean_error, near};

    /// Points drawn of a cloud, samples that are judged, and fewer of them on the way.
    const SHOWN: usize = 700;
    const JUDGED: usize = 8000;
    const COUNTED: usize = 1000;
    /// Places of the critic's map along a side.
    const CELLS: usize = 40;
    /// Times that modes are counted.
    const COUNTS: usize = 40;
    /// Steps at the end of which the critic's accuracy is told.
    const LAST: f64 = 200.0;
    /// Figure and layer of a game, and the layers of its critic.
    const KEYS: [(&str, &str, [&str; 2]); 2] = [
        ("samples", "plain-game", ["plain-data", "plain-samples"]),
        ("noisy", "noisy-game", ["noisy-critic-data", "noisy-critic-samples"]),
    ];

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = settings.gan_data.mixture();
        let plain = GamePlan {
            latent: settings.latent_size,
            width: settings.fit_width,
            depth: settings.hidden_layers,
            batch: settings.fit_batch,
            rate: settings.fit_rate,
            aim: if settings.saturating == Saturating::Yes { Aim::Saturating } else { Aim::NonSaturating },
            noise: None,
        };
        let noise = CriticNoise {
            std: settings.diffusion_noise,
            longest: settings.diffusion_longest,
            target: settings.critic_target,
        };
        let plans = [plain, GamePlan { noise: Some(noise), ..plain }];
        let mut games = [0, 1].map(|index| Game::new(&context, plans[index], index as u32));
        let few = flat(&mixture.draw(&mut context.rng(Stream::Data, 0), 100));
        let draw = |rng: &mut Rng, count: usize| match settings.data_supply {
            DataSupply::Endless => flat(&mixture.draw(rng, count)),
            DataSupply::Hundred => (0..count).flat_map(|_| few.as_chunks::<2>().0[rng.below(100) as usize]).collect(),
        };
        let (steps, count) = (settings.fit_steps, mixture.weights.len() as f64);
        context.draw("shares", "even-share", [1.0, 1.0 / count, count, 1.0 / count]);
        context.draw("game", "saddle-point", [0.0, 0.5, steps as f64, 0.5]);
        let mut covered = [Vec::new(), Vec::new()];
        for step in 0..=steps {
            context.progress(step, steps);
            let last = step == steps;
            if last || step.is_multiple_of(steps.div_ceil(COUNTS)) {
                for (game, covered) in games.iter().zip(&mut covered) {
                    let samples = game.samples(&context, COUNTED).await?;
                    covered.extend([step as f64, modes(&samples, &mixture).covered as f64]);
                }
            }
            if last || (step > 0 && context.due()) {
                for ((game, keys), covered) in games.iter().zip(KEYS).zip(&covered) {
                    show(&context, game, &mixture, keys).await?;
                    context.draw("covered", keys.1, covered.iter().copied());
                }
            }
            if !last {
                for game in &mut games {
                    game.step(&context, step, &draw).await?;
                }
            }
        }
        judge(&context, &games, &mixture, steps).await
    }

    async fn show(
        context: &StudyContext,
        game: &Game,
        mixture: &Mixture,
        (figure, key, critic): (&str, &str, [&str; 2]),
    ) -> Result<(), StudyError> {
        let samples = game.samples(context, COUNTED).await?;
        context.draw(figure, key, samples.iter().take(SHOWN).copied().flatten());
        let beliefs = game.beliefs(&cells(HALF, CELLS)).await?;
        context.draw(figure, "critics-belief", heat_of(HALF, [0.0, 1.0], beliefs.into_iter()));
        for (place, layer) in critic.into_iter().enumerate() {
            let curve = smooth(&game.seen, place + 1);
            context.draw("game", layer, curve);
        }
        if key == "noisy-game" {
            context.draw("adaptive", key, game.seen.iter().flat_map(|seen| [seen[0], seen[3]]));
        }
        let found = modes(&samples, mixture);
        let shares = found.weights.iter().zip(&found.errors).enumerate();
        if key == "plain-game" {
            context.draw("shares", key, shares.flat_map(|(mode, (share, error))| [mode as f64 + 1.0, *share, *error]));
        } else {
            context.draw("shares", key, shares.flat_map(|(mode, (share, _))| [mode as f64 + 1.0, *share]));
        }
        Ok(())
    }

    /// What was seen in this place, averaged over ten times it was looked at.
    fn smooth(seen: &[[f64; 4]], place: usize) -> Vec<f64> {
        let mean = |seen: &[[f64; 4]], place: usize| seen.iter().map(|s| s[place]).sum::<f64>() / seen.len() as f64;
        seen.chunks(10).flat_map(|seen| [mean(seen, 0), mean(seen, place)]).collect()
    }

    async fn judge(
        context: &StudyContext,
        games: &[Game; 2],
        mixture: &Mixture,
        steps: usize,
    ) -> Result<(), StudyError> {
        let plain = games[0].samples(context, JUDGED).await?;
        let noisy = games[1].samples(context, JUDGED).await?;
        let moved = total_variation(&plain, mixture, context.seed());
        context.conclude("collapse", moved.0, moved.1, [0.1, f64::INFINITY]);
        let (share, error) = near(&plain, mixture);
        context.conclude("quality", share, error, [0.75, f64::INFINITY]);
        context.yield_now().await;
        let (less, error) = difference(moved, total_variation(&noisy, mixture, context.seed()));
        context.conclude("cure", less, error, [0.05, f64::INFINITY]);
        let late = games[0].seen.iter().filter(|seen| seen[0] >= steps as f64 - LAST);
        let right: Vec<f64> = late.map(|seen| 0.5 * (seen[1] + seen[2])).collect();
        let (right, error) = mean_error(&right);
        context.conclude("saddle", (right - 0.5).abs(), error, at_most(0.1));
        Ok(())
    }
}
