//! Figures 2-3 and 2-4: Langevin dynamics does not see the weights of far modes; annealed Langevin dynamics does.
//!
//! The set-up of the toy experiment in NCSN's released code: start even in `[-8, 8]^2`, steps with drift `a / 2` and noise
//! `sqrt(a)`; annealed, `a = epsilon (sigma_i / sigma_L)^2` and the components' standard deviation is `sigma_i` itself, so
//! that the last level, 1, is the density of the data.

use super::settings::{ScoreSource, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
/// Half the side of the window, and of the square of starting points.
const HALF: f64 = 8.0;

settings! {
    /// What a visitor may change.
    struct Settings {
        weight: f64 = 0.8, 0.5..=0.99;
        step_size: f64 = 0.1, 0.001..=0.5, log;
        langevin_steps: usize = 1000, 10..=5000;
        sigma_first: f64 = 20.0, 1.0..=50.0, log;
        level_count: usize = 10, 2..=50;
        level_steps: usize = 100, 1..=500;
        chains: usize = 4000, 100..=20_000;
        score_source: ScoreSource = ScoreSource::Exact;
        #[only(score_source = ScoreSource::Learned)]
        fit_steps: usize = 1500, 10..=20_000;
        #[only(score_source = ScoreSource::Learned)]
        fit_batch: usize = 256, 16..=2048;
        #[only(score_source = ScoreSource::Learned)]
        fit_rate: f64 = 5e-3, 1e-4..=0.05, log;
        #[only(score_source = ScoreSource::Learned)]
        fit_width: usize = 48, 8..=256;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "langevin-weights",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("plain", HALF, &[Layer::new("root-density", Mark::Heat, 0), Layer::new("plain", Mark::Dots, 1)]),
        Figure::plane(
            "adjusted",
            HALF,
            &[Layer::new("root-density", Mark::Heat, 0), Layer::new("adjusted", Mark::Dots, 3)],
        ),
        Figure::plane(
            "annealed",
            HALF,
            &[Layer::new("root-density", Mark::Heat, 0), Layer::new("annealed", Mark::Dots, 2)],
        ),
        Figure {
            key: "weights",
            square: false,
            x: Axis::free("langevin-step"),
            y: Axis::fixed("heavy-share", 0.0, 1.0),
            layers: &[
                Layer::new("true-weight", Mark::Dashed, 0),
                Layer::new("plain", Mark::Line, 1),
                Layer::new("adjusted", Mark::Line, 3),
                Layer::new("annealed", Mark::Line, 2),
            ],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "plain", source: Source::Report("2-2-2, 2-3") },
        Claim { key: "adjusted", source: Source::Report("2-2-2") },
        Claim { key: "annealed", source: Source::Report("2-2-6, 2-4") },
    ],
    notes: &["level-density", "limit", "learned"],
    brief: "",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{HALF, ScoreSource, Settings};
    use crate::diffusion::langevin::{Place, adjusted, unadjusted};
    use crate::rng::{Rng, Stream};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{LevelNet, Size, geometric};
    use crate::study::tools::{cosine, flat, heat, points, series, share_error, waits};

    /// Points drawn of a cloud.
    const SHOWN: usize = 700;
    /// Where the modes are: this and its opposite.
    const MODE: [f64; 2] = [5.0, 5.0];

    /// The report's mixture with components of any width.
    #[derive(Clone, Copy)]
    struct Modes {
        weight: f64,
        std: f64,
    }

    impl Modes {
        /// Log-density and score.
        fn look(self, [x, y]: [f64; 2]) -> (f64, [f64; 2]) {
            let variance = self.std * self.std;
            let square = |sign: f64| (x - sign * MODE[0]).powi(2) + (y - sign * MODE[1]).powi(2);
            let heavy = self.weight.ln() - square(1.0) / (2.0 * variance);
            let light = (1.0 - self.weight).ln() - square(-1.0) / (2.0 * variance);
            let top = heavy.max(light);
            let (a, b) = ((heavy - top).exp(), (light - top).exp());
            let side = (a - b) / (a + b);
            let score = [(side * MODE[0] - x) / variance, (side * MODE[1] - y) / variance];
            (top + (a + b).ln() - (std::f64::consts::TAU * variance).ln(), score)
        }
    }

    /// Chains of one kind, with the numbers they draw.
    struct Chains<S> {
        states: Vec<S>,
        rng: Rng,
        shares: Vec<f64>,
    }

    impl<S> Chains<S> {
        fn new(context: &StudyContext, count: usize, kind: u32, make: impl Fn([f64; 2]) -> S) -> Self {
            let mut rng = context.rng(Stream::Prior, 0);
            let mut even = || HALF * (2.0 * rng.uniform() - 1.0);
            let states = (0..count).map(|_| make([even(), even()])).collect();
            Self { states, rng: context.rng(Stream::Solver, kind), shares: Vec::new() }
        }

        /// Notes how many chains are nearer to the heavy mode.
        fn note(&mut self, at: impl Fn(&S) -> [f64; 2]) {
            let heavy = self.states.iter().filter(|state| at(state).iter().sum::<f64>() > 0.0).count();
            self.shares.push(heavy as f64 / self.states.len().max(1) as f64);
        }

        fn draw(&self, context: &StudyContext, key: &str, at: impl Fn(&S) -> [f64; 2]) {
            context.draw(key, key, self.states.iter().take(SHOWN).flat_map(at));
            context.draw("weights", key, series(&self.shares));
        }

        fn measure(&self, context: &StudyContext, key: &str, about: f64, settled: bool) {
            let share = self.shares.last().copied().unwrap_or(f64::NAN);
            context.tell(key, (share, share_error(share, self.states.len())), [about - 0.06, about + 0.06], settled);
        }
    }

    /// Where the chains' score comes from.
    enum Source {
        Exact,
        Learned(Box<LevelNet>),
    }

    impl Source {
        /// A step of every chain at the level of these modes.
        async fn step(
            &self,
            context: &StudyContext,
            modes: Modes,
            epsilon: f64,
            chains: &mut Chains<[f64; 2]>,
        ) -> Result<(), StudyError> {
            let Chains { states, rng, .. } = chains;
            match self {
                Self::Exact => {
                    context.yield_now().await;
                    for x in states {
                        *x = unadjusted(*x, modes.look(*x).1, epsilon, [rng.normal(), rng.normal()]);
                    }
                }
                Self::Learned(net) => {
                    let mut x = flat(states);
                    net.langevin(context, &mut x, modes.std, epsilon, rng, true).await?;
                    *states = points(&x);
                }
            }
            Ok(())
        }
    }

    /// Learns the scores of all levels from points with noise: at level `sigma` the modes with noise of that size are
    /// two points, so that the last level is the report's mixture.
    async fn learn(
        context: &StudyContext,
        settings: &Settings,
        modes: Modes,
        sigmas: &[f64],
        all: usize,
    ) -> Result<Source, StudyError> {
        let (steps, batch, rate) = (settings.fit_steps, settings.fit_batch, settings.fit_rate);
        let size = Size { dimension: 2, width: settings.fit_width, depth: 2, data: MODE[0] };
        let mut net = LevelNet::new(context, size, 0);
        for step in 0..steps {
            context.progress(step, all);
            context.yield_now().await;
            let mut rng = context.rng(Stream::Batch, step as u32);
            let side = |heavy: bool| if heavy { MODE[0] as f32 } else { -MODE[0] as f32 };
            let data: Vec<f32> = (0..batch).flat_map(|_| [side(rng.uniform() < modes.weight); 2]).collect();
            let noise = rng.normals(2 * batch);
            let sigma = |i: usize| sigmas[(i + step) % sigmas.len()];
            net.train(&data, &noise, sigma, |_| 1.0, rate * cosine(step, steps));
            if waits(step) {
                net.wait().await?;
            }
        }
        Ok(Source::Learned(Box::new(net)))
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let modes = Modes { weight: settings.weight, std: 1.0 };
        let (epsilon, steps) = (settings.step_size, settings.langevin_steps);
        let (levels, per_level) = (settings.level_count, settings.level_steps);
        let (first, annealing) = (settings.sigma_first, levels * per_level);
        let all = steps.max(annealing);
        let sigmas = geometric(first, modes.std, levels);

        let largest = modes.look(MODE).0.exp();
        let density = heat([72, 72], [-HALF, HALF, -HALF, HALF], [0.0, largest.sqrt()], |x, y| {
            // The root, so that the light mode can be seen.
            modes.look([x, y]).0.exp().sqrt()
        });
        for picture in ["plain", "adjusted", "annealed"] {
            context.draw(picture, "root-density", density.iter().copied());
        }
        context.draw("weights", "true-weight", [0.0, modes.weight, all as f64, modes.weight]);

        let (source, before) = match settings.score_source {
            ScoreSource::Exact => (Source::Exact, 0),
            ScoreSource::Learned => {
                let before = settings.fit_steps;
                (learn(&context, &settings, modes, &sigmas, before + all).await?, before)
            }
        };
        let mut plain = Chains::new(&context, settings.chains, 0, |x| x);
        let mut annealed = Chains::new(&context, settings.chains, 1, |x| x);
        let mut exact = Chains::new(&context, settings.chains, 2, |x| {
            let (log_density, score) = modes.look(x);
            Place { x, log_density, score }
        });
        let square = |v: &[f64; 2]| v[0] * v[0] + v[1] * v[1];
        for step in 0..=all {
            if step <= steps {
                plain.note(|x| *x);
                exact.note(|place| place.x);
            }
            if step <= annealing {
                annealed.note(|x| *x);
            }
            let last = step == all;
            context.progress(before + step, before + all);
            if last || context.due() {
                plain.draw(&context, "plain", |x| *x);
                exact.draw(&context, "adjusted", |place| place.x);
                annealed.draw(&context, "annealed", |x| *x);
                plain.measure(&context, "plain", 0.5, last);
                exact.measure(&context, "adjusted", 0.5, last);
                annealed.measure(&context, "annealed", modes.weight, last);
            }
            if last {
                break;
            }
            if step < steps {
                source.step(&context, modes, epsilon, &mut plain).await?;
                context.yield_now().await;
                let Chains { states, rng, .. } = &mut exact;
                for place in states {
                    let z = [rng.normal(), rng.normal()];
                    adjusted(place, epsilon, z, rng.uniform(), square, |x| modes.look(*x));
                }
            }
            if step < annealing {
                let noisy = Modes { std: sigmas[step / per_level], ..modes };
                source.step(&context, noisy, epsilon * noisy.std * noisy.std, &mut annealed).await?;
            }
        }
        Ok(())
    }
}
