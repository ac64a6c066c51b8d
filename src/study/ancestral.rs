//! Equations 3-14 to 3-16: from noise to data by a thousand Gaussian steps, as they should be and as they are printed.

use super::settings::{ChainVariance, PlaneData, ScoreSource, Switch, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

/// Half the side of the window of standardised data.
const HALF: f64 = 3.5;

settings! {
    /// What a visitor may change.
    struct Settings {
        plane_data: PlaneData = PlaneData::Two;
        chain_steps: usize = 1000, 20..=1000;
        chain_variance: ChainVariance = ChainVariance::Large;
        last_noise: Switch = Switch::Off;
        chains: usize = 1500, 100..=20_000;
        score_source: ScoreSource = ScoreSource::Exact;
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

const ROOT: Layer = Layer::new("root-density", Mark::Heat, 0);

/// The table.
pub const STUDY: Study = Study {
    id: "ancestral",
    chapter: 3,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::plane("paths", HALF, &[ROOT, Layer::new("chain-paths", Mark::Segments, 2)]),
        Figure::plane("right", HALF, &[ROOT, Layer::new("right-formula", Mark::Dots, 2)]),
        Figure::plane("printed", HALF, &[ROOT, Layer::new("printed-formula", Mark::Dots, 3)]),
        Figure::curves(
            "shares",
            Axis::free("chain-step"),
            Axis::fixed("heavy-share", 0.0, 1.0),
            &[
                Layer::new("true-weight", Mark::Dashed, 0),
                Layer::new("right-formula", Mark::Line, 2),
                Layer::new("printed-formula", Mark::Line, 3),
            ],
        ),
        Figure::curves(
            "spread",
            Axis::free("chain-step"),
            Axis { range: Some([0.0, 2.0]), ..Axis::free("root-mean-square") },
            &[
                Layer::new("as-forward", Mark::Dashed, 0),
                Layer::new("right-formula", Mark::Line, 2),
                Layer::new("printed-formula", Mark::Line, 3),
            ],
        ),
    ],
    claims: &[
        Claim { key: "samples", source: Source::Report("3-16") },
        Claim { key: "no-bar", source: Source::Report("3-15, 3-16") },
        Claim { key: "variance", source: Source::Paper("DDPM, Ho et al. 2020, arXiv 2006.11239, section 3.2") },
    ],
    notes: &["printed", "last", "alike"],
    brief: "chain-steps=400&chains=1000",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{HALF, Settings};
    use crate::data::{Exact, Mixture};
    use crate::diffusion::NoiseUse;
    use crate::diffusion::schedule::{Betas, clean};
    use crate::diffusion::solver::{Posterior, Variance};
    use crate::diffusion::{Denoiser as _, Level, Sampler, Schedule, Solver, State as _};
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{fresh_noise, start, step, whole_walk_back};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Fit, Learned, LevelNet, Size};
    use crate::study::rows::{AnyDenoiser, ExactRows, RowDenoiser, Rows};
    use crate::study::settings::{ChainTable, ScoreSource, Switch};
    use crate::study::tools::{at_most, flat, heat_to_most, pieces, series, share_error};

    /// Points drawn of a cloud.
    const SHOWN: usize = 700;
    /// Chains whose way is drawn, and pieces of a way.
    const PATHS: usize = 40;
    const PIECES: usize = 60;
    /// Noise that a network is trained at.
    const SIGMAS: [f64; 2] = [0.01, 160.0];

    /// What is seen of chains on their way, step by step.
    #[derive(Default)]
    struct Seen {
        shares: Vec<f64>,
        spreads: Vec<f64>,
        ways: Vec<Vec<[f64; 2]>>,
    }

    impl Seen {
        /// Notes where chains are. `heavy` is the component whose share is told.
        fn note(&mut self, mixture: &Mixture, heavy: usize, points: &[[f64; 2]], level: Level) {
            let marginal = mixture.at(level);
            let count = points.len().max(1) as f64;
            self.shares.push(points.iter().filter(|x| marginal.nearest(**x) == heavy).count() as f64 / count);
            let square: f64 = points.iter().map(|x| x[0] * x[0] + x[1] * x[1]).sum();
            self.spreads.push((0.5 * square / count).sqrt());
            self.ways.push(points.iter().take(PATHS).copied().collect());
        }

        fn share(&self) -> f64 {
            self.shares.last().copied().unwrap_or(f64::NAN)
        }

        fn draw(&self, context: &StudyContext, key: &str, steps: usize) {
            // From the noisy end: the axis counts the steps that are left.
            let left = |values: &[f64]| -> Vec<f64> {
                series(values).chunks_exact(2).flat_map(|pair| [steps as f64 - pair[0], pair[1]]).collect()
            };
            context.draw("shares", key, left(&self.shares));
            context.draw("spread", key, left(&self.spreads));
        }
    }

    /// The data, the chain and its model.
    struct Chain<'a> {
        context: &'a StudyContext,
        mixture: &'a Mixture,
        heavy: usize,
        betas: Betas,
        levels: Vec<Level>,
        chains: usize,
        last_noise: bool,
        /// Steps of work before and between the walks.
        done: usize,
        all: usize,
    }

    impl Chain<'_> {
        fn steps(&self) -> usize {
            self.betas.len()
        }

        /// What the last step adds where noise is wanted there too.
        fn end(&self, x: Rows) -> Rows {
            if !self.last_noise {
                return x;
            }
            let of = NoiseUse { stream: Stream::Solver, index: self.steps() as u32 - 1, step: self.steps() - 1 };
            let noise = fresh_noise(self.context)(&x, of);
            x.blend(1.0, noise, self.betas.betas()[0].sqrt())
        }

        fn draw(&self, key: &str, figure: &str, points: &[[f64; 2]], seen: &Seen) {
            self.context.draw(figure, key, points.iter().take(SHOWN).copied().flatten());
            seen.draw(self.context, key, self.steps());
        }

        fn tell(&self, claim: &str, seen: &Seen, bound: [f64; 2], settled: bool) {
            self.context.tell(claim, (seen.share(), share_error(seen.share(), self.chains)), bound, settled);
        }

        /// The right chain, by the core's sampler. `shown` draws it on its way.
        async fn right(
            &mut self,
            model: &mut dyn RowDenoiser,
            variance: Variance,
            shown: bool,
        ) -> Result<Seen, StudyError> {
            let schedule = Schedule::table(self.betas.clone());
            let first = start(self.context, 2, self.chains, 0);
            let mut sampler = Sampler::new(Solver::Ddpm(variance), schedule, self.levels.clone(), first);
            let (mut noise, mut seen) = (fresh_noise(self.context), Seen::default());
            loop {
                let over = sampler.is_finished();
                let x = if over { self.end(sampler.x().clone()) } else { sampler.x().clone() };
                let points = x.points();
                seen.note(self.mixture, self.heavy, &points, sampler.level());
                self.context.progress(self.done, self.all);
                if shown && (over || self.context.due()) {
                    self.draw("right-formula", "right", &points, &seen);
                    self.context.draw("paths", "chain-paths", thinned(&seen.ways));
                    let weight = self.mixture.weights[self.heavy];
                    self.tell("samples", &seen, [weight - 0.06, weight + 0.06], over);
                }
                if over {
                    return Ok(seen);
                }
                self.context.yield_now().await;
                step(&mut sampler, model, &mut noise).await?;
                self.done += 1;
            }
        }

        /// The chain with the mean as equations 3-15 and 3-16 print it, `alpha_t` in the place of its running product:
        /// the noise estimate is taken out `beta / sqrt(1 - alpha) = sqrt(beta)` times.
        async fn printed(&mut self, model: &mut dyn RowDenoiser, variance: Variance) -> Result<Seen, StudyError> {
            let (mut model, mut noise, mut seen) = (AnyDenoiser(model), fresh_noise(self.context), Seen::default());
            let mut x = start(self.context, 2, self.chains, 0);
            for step in 0..=self.steps() {
                let over = step == self.steps();
                let level = self.levels[step];
                let points = x.points();
                seen.note(self.mixture, self.heavy, &points, level);
                self.context.progress(self.done, self.all);
                if over || self.context.due() {
                    self.draw("printed-formula", "printed", &points, &seen);
                    let weight = self.mixture.weights[self.heavy];
                    self.tell("no-bar", &seen, [weight + 0.15, f64::INFINITY], over);
                }
                if over {
                    break;
                }
                self.context.yield_now().await;
                let estimate = model.estimate(&x, level).await?;
                let beta = self.betas.betas()[self.steps() - 1 - step];
                x = x.blend(1.0, estimate.noise, -beta.sqrt()).scale(1.0 / (1.0 - beta).sqrt());
                let to = self.levels[step + 1];
                if to.sigma > 0.0 {
                    let posterior = Posterior::between(level, to);
                    let of = NoiseUse { stream: Stream::Solver, index: step as u32, step };
                    let size = if variance == Variance::Small { posterior.variance } else { posterior.forward };
                    let fresh = noise(&x, of);
                    x = x.blend(1.0, fresh, size.sqrt());
                } else {
                    x = self.end(x);
                }
                self.done += 1;
            }
            Ok(seen)
        }
    }

    /// Pieces of the ways of some chains, thinned; where they are now is among them.
    fn thinned(ways: &[Vec<[f64; 2]>]) -> Vec<f64> {
        let every = (ways.len() / PIECES).max(1);
        pieces(ways.iter().skip((ways.len() - 1) % every).step_by(every))
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let mixture = settings.plane_data.mixture();
        let heavy =
            (0..mixture.weights.len()).fold(0, |a, b| if mixture.weights[b] > mixture.weights[a] { b } else { a });
        let steps = settings.chain_steps;
        let betas = ChainTable::Linear.betas(steps);
        let weight = mixture.weights[heavy];
        let marginal = mixture.at(clean());
        let root = |x: f64, y: f64| (0.5 * marginal.log_density([x, y])).exp();
        let density = heat_to_most([72, 72], [-HALF, HALF, -HALF, HALF], root);
        for figure in ["paths", "right", "printed"] {
            context.draw(figure, "root-density", density.iter().copied());
        }
        context.draw("shares", "true-weight", [0.0, weight, steps as f64, weight]);
        context.draw("spread", "as-forward", [0.0, 1.0, steps as f64, 1.0]);

        let fit = Fit { steps: settings.fit_steps, batch: settings.fit_batch, rate: settings.fit_rate, sigmas: SIGMAS };
        let learned = settings.score_source == ScoreSource::Learned;
        let before = if learned { fit.steps } else { 0 };
        let mut chain = Chain {
            context: &context,
            mixture: &mixture,
            heavy,
            levels: whole_walk_back(&betas),
            betas,
            chains: settings.chains,
            last_noise: settings.last_noise == Switch::On,
            done: before,
            all: before + 3 * steps,
        };
        let size = Size { dimension: 2, width: settings.fit_width, depth: 2, data: 1.0 };
        let mut net = LevelNet::new(&context, size, 0);
        if learned {
            let draw = |rng: &mut Rng, count: usize| flat(&mixture.draw(rng, count));
            fit.train(&context, &mut net, draw, |step| context.progress(step, chain.all)).await?;
        }
        let mut models: (Learned<'_>, ExactRows<'_>) = (Learned::new(&context, &net), ExactRows(Exact::new(&mixture)));
        let model: &mut dyn RowDenoiser = if learned { &mut models.0 } else { &mut models.1 };
        let chosen = Variance::from(settings.chain_variance);
        let other = if chosen == Variance::Small { Variance::Large } else { Variance::Small };
        let right = chain.right(model, chosen, true).await?;
        chain.printed(model, chosen).await?;
        let other = chain.right(model, other, false).await?;
        let shares = [right.share(), other.share()];
        let error = shares.map(|share| share_error(share, settings.chains));
        context.conclude("variance", (shares[0] - shares[1]).abs(), error[0].hypot(error[1]), at_most(0.06));
        Ok(())
    }
}
