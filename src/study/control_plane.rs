//! Section 4-2 in the plane: samples that obey a condition by a score that knows none.

use super::settings::{ScoreSource, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

/// Half the side of the window of standardised data.
const HALF: f64 = 3.5;

named_variants! {
    /// What is known of the data.
    Known {
        /// The first coordinate, as of an image of which a part is given.
        Left = "left",
        /// The sum of both coordinates, as of an image of which the grey is given.
        Grey = "grey",
        /// The mode.
        Class = "class",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        condition: Known = Known::Left;
        observed: f64 = 0.5, -2.0..=2.0;
        observed_noise: f64 = 0.0, 0.0..=0.5;
        #[only(condition = Known::Class)]
        wanted_mode: usize = 3, 1..=3;
        passes: usize = 5, 1..=20;
        scale: f64 = 1.0, 0.0..=8.0;
        score_source: ScoreSource = ScoreSource::Exact;
        chains: usize = 4000, 100..=20_000;
        #[only(score_source = ScoreSource::Learned)]
        fit_steps: usize = 2500, 10..=20_000;
        #[only(score_source = ScoreSource::Learned)]
        fit_batch: usize = 256, 16..=2048;
        #[only(score_source = ScoreSource::Learned)]
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        #[only(score_source = ScoreSource::Learned)]
        fit_width: usize = 64, 8..=256;
    }
}

const CLOUD: &[Layer] = &[Layer::new("conditional-density", Mark::Heat, 0), Layer::new("samples-here", Mark::Dots, 1)];
/// The methods, whose names are those of their figures, bars and dots.
const METHODS: [&str; 5] = ["free", "replace", "repaint", "project", "guided"];

/// The table.
pub const STUDY: Study = Study {
    id: "control-plane",
    chapter: 4,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane(METHODS[0], HALF, CLOUD),
        Figure::plane(METHODS[1], HALF, CLOUD),
        Figure::plane(METHODS[2], HALF, CLOUD),
        Figure::plane(METHODS[3], HALF, CLOUD),
        Figure::plane(METHODS[4], HALF, CLOUD),
        Figure::curves(
            "shares",
            Axis::of("mode", &["left-mode", "right-mode", "upper-mode"]),
            Axis::fixed("mode-share", 0.0, 1.0),
            &[
                Layer::new("exact-share", Mark::Bars, 0),
                Layer::new(METHODS[0], Mark::Dots, 1),
                Layer::new(METHODS[1], Mark::Dots, 2),
                Layer::new(METHODS[2], Mark::Dots, 3),
                Layer::new(METHODS[3], Mark::Dots, 4),
                Layer::new(METHODS[4], Mark::Dots, 5),
            ],
        ),
        Figure::curves(
            "obey",
            Axis::of("control-method", &METHODS),
            Axis::free("obeyed"),
            &[Layer::new("obeyed", Mark::Bars, 2)],
        ),
        Figure::curves(
            "passes",
            Axis::free("passes"),
            Axis::free("mode-distance"),
            &[Layer::new("passes-error", Mark::Band, 3), Layer::new("repaint", Mark::Line, 3)],
        ),
    ],
    claims: &[
        Claim { key: "without-training", source: Source::Report("4-2") },
        Claim { key: "replace", source: Source::Report("4-2") },
        Claim { key: "repaint", source: Source::Paper("Lugmayr et al. 2022, arXiv 2201.09865, section 4.2") },
        Claim { key: "kept", source: Source::Report("4-2") },
    ],
    notes: &["gradient", "replacement", "projection", "unknown"],
    brief: "chains=4000",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{HALF, Known, METHODS, Settings};
    use crate::choice::Choice as _;
    use crate::data::metrics::{bootstrap, modes};
    use crate::data::{Condition, Exact, ExactConstraint, Mixture};
    use crate::diffusion::constraint::{Constraint as _, Guidance, Method, repaint_moves};
    use crate::diffusion::schedule::clean;
    use crate::diffusion::solver::Variance;
    use crate::diffusion::{Sampler, Solver, Spacing, State as _};
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{repaint, start, walk_under};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Fit, Learned, LevelNet, Size};
    use crate::study::rows::{ExactRows, RowDenoiser, Rows};
    use crate::study::settings::{PlaneData, ScoreSource, Sde};
    use crate::study::tools::{at_most, difference, flat, heat_to_most, mean_error};

    /// Steps of a walk down the levels of the variance exploding equation.
    const STEPS: usize = 60;
    /// Passes of the chart, and those that a claim compares.
    const PASSES: [usize; 6] = [1, 2, 3, 5, 10, 20];
    const COMPARED: [usize; 2] = [1, 10];
    /// Points drawn of a cloud.
    const SHOWN: usize = 700;
    /// Exact draws for the shares of modes under a condition, and rounds of the bootstrap.
    const DRAWS: usize = 40_000;
    const ROUNDS: u32 = 30;
    /// Guided estimates stay so near the middle, and observations without noise are drawn so wide.
    const RADIUS: f64 = 20.0;
    const WIDTH: f64 = 0.08;

    impl Known {
        /// The condition on the data, with a mode counted from 1.
        fn condition(self, value: f64, noise: f64, mode: usize, modes: usize) -> Condition {
            let half = std::f64::consts::FRAC_1_SQRT_2;
            match self {
                Self::Left => Condition::Observation { direction: [1.0, 0.0], value, noise },
                Self::Grey => Condition::Observation { direction: [half, half], value: half * value, noise },
                Self::Class => Condition::Class((1..=modes).map(|of| of == mode).collect()),
            }
        }
    }

    /// The method of each of [`METHODS`]; the first is none.
    fn methods(passes: usize) -> [Option<Method>; METHODS.len()] {
        [None, Some(Method::Replace), Some(repaint(passes)), Some(Method::Project), Some(Method::Guide)]
    }

    /// What a condition makes of the data.
    struct Conditioned<'a> {
        condition: Condition,
        mixture: &'a Mixture,
        /// The mixture with the shares of its modes under the condition as weights.
        shares: Mixture,
    }

    impl<'a> Conditioned<'a> {
        fn new(context: &StudyContext, mixture: &'a Mixture, condition: Condition) -> Self {
            // Means of the responsibilities, as those of samples: where modes overlap a class has a part of the others.
            let draws = condition.draw(mixture, &mut context.rng(Stream::Data, 1), DRAWS);
            let shares = Mixture { weights: modes(&draws, mixture).weights, ..mixture.clone() };
            Self { condition, mixture, shares }
        }

        /// The root of the density as a map, that of an exact observation a little wide.
        fn map(&self) -> Vec<f64> {
            let of_class = matches!(self.condition, Condition::Class(_));
            let kept = if of_class { self.condition.kept(self.mixture) } else { self.mixture.clone() };
            let marginal = kept.at(clean());
            let miss = |x: [f64; 2]| match &self.condition {
                Condition::Class(_) => 0.0,
                Condition::Observation { direction, value, noise } => {
                    (value - direction[0] * x[0] - direction[1] * x[1]) / noise.max(WIDTH)
                }
            };
            let root = |x: f64, y: f64| (0.5 * marginal.log_density([x, y]) - 0.25 * miss([x, y]).powi(2)).exp();
            heat_to_most([96, 96], [-HALF, HALF, -HALF, HALF], root)
        }

        /// The mass that must move between modes, and its standard error by the bootstrap.
        fn distance(&self, samples: &[[f64; 2]], seed: u32) -> (f64, f64) {
            let distance = |samples: &[[f64; 2]]| modes(samples, self.mixture).total_variation(&self.shares);
            (distance(samples), bootstrap(samples, ROUNDS, seed, distance))
        }

        fn constraint(&self, scale: f64) -> ExactConstraint {
            ExactConstraint {
                condition: self.condition.clone(),
                mixture: self.mixture.clone(),
                guidance: Guidance { scale, interval: (0.0, f64::INFINITY) },
                radius: RADIUS,
            }
        }

        /// What samples miss of an observation, on average, or their share in the class; and its standard error.
        fn obeyed(&self, samples: &[[f64; 2]]) -> (f64, f64) {
            let clean = self.mixture.at(clean());
            let of = |x: &[f64; 2]| match &self.condition {
                Condition::Class(marked) => {
                    clean.responsibilities(*x).iter().zip(marked).filter(|(_, marked)| **marked).map(|(r, _)| r).sum()
                }
                Condition::Observation { direction, value, .. } => {
                    (value - direction[0] * x[0] - direction[1] * x[1]).abs()
                }
            };
            mean_error(&samples.iter().map(of).collect::<Vec<f64>>())
        }
    }

    struct Study<'a> {
        context: &'a StudyContext,
        model: &'a mut dyn RowDenoiser,
        chains: usize,
        done: usize,
        all: usize,
    }

    impl Study<'_> {
        /// Samples of a method, from the same noise for every one.
        async fn samples(
            &mut self,
            of: &Conditioned<'_>,
            method: Option<Method>,
            scale: f64,
        ) -> Result<Vec<[f64; 2]>, StudyError> {
            let schedule = Sde::Ve.schedule();
            let from = start(self.context, 2, self.chains, 0).scale(schedule.prior_std());
            let grid = schedule.grid(Spacing::Uniform, STEPS);
            let sampler = Sampler::new(Solver::Ddpm(Variance::Small), schedule, grid, from);
            let Self { context, model, done, all, .. } = self;
            let mut look = |_: &Sampler<Rows>| {
                *done += 1;
                context.progress((*done).min(*all), *all);
            };
            let constraint = method.map(|method| (of.constraint(scale), method));
            Ok(walk_under(context, sampler, constraint, *model, &mut look).await?.points())
        }
    }

    /// Steps of a run with these passes, up and down.
    fn steps(passes: usize) -> usize {
        repaint_moves(STEPS, 1, passes).len()
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = PlaneData::Three.mixture();
        let count = mixture.weights.len();
        let Settings { condition: known, observed, observed_noise, wanted_mode, .. } = settings;
        let condition = |known: Known, noise: f64| known.condition(observed, noise, wanted_mode, count);
        let chosen = Conditioned::new(&context, &mixture, condition(known, observed_noise));
        let map = chosen.map();
        for figure in METHODS {
            context.draw(figure, "conditional-density", map.iter().copied());
        }
        let shares = chosen.shares.weights.iter().enumerate();
        context.draw("shares", "exact-share", shares.flat_map(|(mode, share)| [mode as f64, *share, 0.0]));

        let Settings { fit_steps, fit_batch: batch, fit_rate: rate, .. } = settings;
        let learned = settings.score_source == ScoreSource::Learned;
        let before = if learned { fit_steps } else { 0 };
        let walks = 7 * STEPS + steps(settings.passes) + PASSES.map(steps).iter().sum::<usize>();
        let all = before + walks;
        let mut net = LevelNet::new(&context, Size { dimension: 2, width: settings.fit_width, depth: 2, data: 1.0 }, 0);
        if learned {
            let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
            let fit = Fit { steps: fit_steps, batch, rate, sigmas: Sde::SIGMAS };
            fit.train(&context, &mut net, draw, |step| context.progress(step, all)).await?;
        }
        let mut models = (Learned::new(&context, &net), ExactRows(Exact::new(&mixture)));
        let model: &mut dyn RowDenoiser = if learned { &mut models.0 } else { &mut models.1 };
        let mut study = Study { context: &context, model, chains: settings.chains, done: before, all };
        compare(&mut study, &settings, &chosen).await?;

        // One score for all three conditions, with the gradient that belongs to each.
        let mut worst = (0.0, 0.0);
        for known in Known::ALL {
            let of = Conditioned::new(&context, &mixture, condition(*known, 0.0));
            let samples = study.samples(&of, Some(Method::Guide), 1.0).await?;
            context.yield_now().await;
            let distance = of.distance(&samples, context.seed());
            worst = if distance.0 > worst.0 { distance } else { worst };
        }
        context.conclude("without-training", worst.0, worst.1, at_most(0.05));

        // What is known of a class cannot be replaced, and of an observation with noise it need not hold.
        let observation = if known == Known::Class { Known::Left } else { known };
        passes(&mut study, &Conditioned::new(&context, &mixture, condition(observation, 0.0))).await
    }

    /// Samples by every method under the visitor's condition.
    async fn compare(study: &mut Study<'_>, settings: &Settings, of: &Conditioned<'_>) -> Result<(), StudyError> {
        let (context, mut bars) = (study.context, Vec::new());
        for (place, (method, key)) in methods(settings.passes).into_iter().zip(METHODS).enumerate() {
            let samples = study.samples(of, method, settings.scale).await?;
            context.draw(key, "samples-here", samples.iter().take(SHOWN).copied().flatten());
            let shares = modes(&samples, of.mixture).weights;
            // Side by side.
            let aside = 0.12 * (place as f64 - 2.0);
            let dots = shares.iter().enumerate().flat_map(|(mode, share)| [mode as f64 + aside, *share]);
            context.draw("shares", key, dots);
            let (value, error) = of.obeyed(&samples);
            bars.extend([place as f64, value, error]);
            context.draw("obey", "obeyed", bars.iter().copied());
        }
        Ok(())
    }

    /// What more passes are worth, and what the methods keep of an exact observation.
    async fn passes(study: &mut Study<'_>, of: &Conditioned<'_>) -> Result<(), StudyError> {
        let (context, seed) = (study.context, study.context.seed());
        let (mut line, mut band, mut compared, mut missed) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
        for passes in PASSES {
            let samples = study.samples(of, Some(repaint(passes)), 1.0).await?;
            context.yield_now().await;
            let (distance, error) = of.distance(&samples, seed);
            line.extend([passes as f64, distance]);
            band.extend([passes as f64, distance - 2.0 * error, distance + 2.0 * error]);
            context.draw("passes", "repaint", line.iter().copied());
            context.draw("passes", "passes-error", band.iter().copied());
            missed = missed.max(of.constraint(1.0).residual(samples).await);
            if COMPARED.contains(&passes) {
                compared.push((distance, error));
            }
            if passes == 1 {
                context.conclude("replace", distance, error, at_most(0.1));
            }
        }
        if let [once, often] = compared[..] {
            let (gain, error) = difference(once, often);
            context.conclude("repaint", gain, error, [0.1, f64::INFINITY]);
        }
        let projected = study.samples(of, Some(Method::Project), 1.0).await?;
        missed = missed.max(of.constraint(1.0).residual(projected).await);
        context.conclude("kept", missed, 0.0, at_most(1e-9));
        Ok(())
    }
}
