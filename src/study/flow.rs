//! Equation 4-8: the deterministic process with the marginals of an SDE, its paths, its likelihood and its cost.

use super::settings::{PlaneData, Sde, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};

settings! {
    /// What a visitor may change.
    struct Settings {
        plane_data: PlaneData = PlaneData::Eight;
        sde: Sde = Sde::Vp;
        error_allowed: f64 = 1e-5, 1e-7..=1e-2, log;
        points_judged: usize = 500, 100..=2000;
        chains: usize = 4000, 100..=20_000;
        fit_steps: usize = 5000, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 6e-3, 1e-4..=0.05, log;
        fit_width: usize = 64, 8..=256;
    }
}

/// Half the window of the line.
const HALF: f64 = 3.5;
const TIME: Axis = Axis::fixed("sde-time", 0.0, 1.0);
const LINE: Axis = Axis::fixed("x", -HALF, HALF);

/// The table.
pub const STUDY: Study = Study {
    id: "flow",
    chapter: 4,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::curves("paths-sde", TIME, LINE, &[Layer::new("reverse-paths", Mark::Segments, 2)]),
        Figure::curves("paths-flow", TIME, LINE, &[Layer::new("flow-paths", Mark::Segments, 1)]),
        Figure::curves(
            "order",
            Axis::of("process", &["sde-process", "flow-process"]),
            Axis::fixed("pairs-share", 0.0, 1.0),
            &[Layer::new("pairs-crossed", Mark::Bars, 2)],
        ),
        Figure::curves(
            "marginals",
            LINE,
            Axis::free("density"),
            &[
                Layer::new("exact-marginals", Mark::Segments, 0),
                Layer::new("sde-process", Mark::Dots, 2),
                Layer::new("flow-process", Mark::Dots, 1),
            ],
        ),
        Figure::curves(
            "likelihood",
            Axis::free("exact-log-density"),
            Axis::free("flow-log-density"),
            &[
                Layer::new("equal", Mark::Dashed, 0),
                Layer::new("flow-network", Mark::Dots, 2),
                Layer::new("flow-exact", Mark::Dots, 1),
            ],
        ),
        Figure::curves(
            "cost",
            Axis::log("evaluations"),
            Axis::log("error"),
            &[
                Layer::new("euler-ends", Mark::Line, 1),
                Layer::new("heun-ends", Mark::Line, 2),
                Layer::new("rk45-ends", Mark::Line, 3),
                Layer::new("rk45-density", Mark::Line, 4).dashed(1),
            ],
        ),
        Figure::curves(
            "bits",
            Axis::of("log-density-by", &["exact-value", "flow-exact", "flow-network", "bound-chain"]),
            Axis::free("nats-dimension"),
            &[Layer::new("nats-dimension", Mark::Bars, 2)],
        ),
    ],
    claims: &[
        Claim { key: "same", source: Source::Report("4-4-2") },
        Claim { key: "no-cross", source: Source::Report("4-4-2") },
        Claim { key: "exact", source: Source::Report("4-2, 4-4-2") },
        Claim { key: "learned", source: Source::Report("4-2, 4-4-2") },
        Claim { key: "efficient", source: Source::Report("4-4-2") },
        Claim { key: "bound", source: Source::Report("4-2") },
    ],
    notes: &["level", "order", "fair"],
    brief: "chains=4000",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{HALF, Settings};
    use crate::data::{Exact, Mixture};
    use crate::diffusion::solver::Tolerance;
    use crate::diffusion::{Denoiser, Estimate, Level, Sampler, Schedule, Solver, Spacing, State as _};
    use crate::rng::{Rng, Stream};
    use crate::study::chain::{InTurns, chain_bound, flow_densities, fresh_noise, start, step, walk, whole_walk_back};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::line::Line;
    use crate::study::network::{Fit, Learned, LevelNet, PLANE_LAYERS, Size};
    use crate::study::rows::{ExactRows, RowProducts, Rows};
    use crate::study::settings::{ChainTable, PlaneData, Sde};
    use crate::study::tools::{
        at_most, curve, difference, flat, histogram, kolmogorov, mean_error, near, pieces, share_error, span, squares,
    };

    /// Steps on the line, paths that are drawn, and pieces of each.
    const STEPS: usize = 200;
    const PATHS: usize = 40;
    const PIECES: usize = 100;
    /// Times at which marginals are compared; the claim's.
    const TIMES: [f64; 3] = [0.6, 0.3, 0.1];
    const CLAIMED: f64 = 0.3;
    const BINS: usize = 40;
    /// Evaluations of solvers with a grid, and errors that the adaptive one is allowed in the chart; the way it is compared
    /// with is followed this well.
    const COUNTS: [usize; 5] = [10, 20, 50, 100, 200];
    const ALLOWED: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
    const BEST: f64 = 1e-8;
    /// Errors that are shown in the place of smaller ones.
    const LEAST: f64 = 1e-8;
    /// Evaluations at which solvers of flow and SDE are compared, and samples for each of the line's.
    const FEW: usize = 20;
    const TIMES_AS_MANY: usize = 4;
    /// Steps of the bound's chain.
    const CHAIN: usize = 100;

    /// The exact denoiser of the first coordinate of a mixture.
    struct OnTheLine<'a>(&'a Mixture);

    impl Denoiser<Rows> for OnTheLine<'_> {
        type Error = StudyError;

        async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
            let line = Line::first_of(self.0, level);
            let noise = x.values.iter().map(|x| -level.sigma * line.score(*x)).collect();
            Ok(Estimate::from_noise(x, Rows { dimension: 1, values: noise }, level))
        }
    }

    struct Study<'a> {
        context: &'a StudyContext,
        schedule: Schedule,
        mixture: Mixture,
        done: usize,
        all: usize,
    }

    /// What a process on the line did.
    struct Process {
        /// Where its points were at each of [`TIMES`].
        at: Vec<Vec<f64>>,
        /// The share of neighbours at its start that end in the other order.
        crossed: f64,
    }

    /// Places in a grid of the levels that are nearest to [`TIMES`].
    fn looks(grid: &[Level]) -> [usize; TIMES.len()] {
        TIMES.map(|t| {
            let far = |place: &usize| (grid[*place].t - t).abs();
            (0..grid.len()).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(0)
        })
    }

    fn rk45(error: f64) -> Solver {
        Solver::Rk45(Tolerance { relative: error, absolute: error })
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let schedule = settings.sde.schedule();
        let mixture = settings.plane_data.mixture();
        let Settings { fit_steps: steps, fit_batch: batch, fit_rate: rate, chains, points_judged: judged, .. } =
            settings;
        let all = steps + 2 * STEPS + 2 * COUNTS.iter().sum::<usize>() + 2 * FEW;
        let mut study = Study { context: &context, schedule, mixture, done: 0, all };
        study.line(chains).await?;
        study.efficient(TIMES_AS_MANY * chains).await?;
        study.cost(judged).await?;
        let points = study.exact(judged, settings.error_allowed).await?;

        let mut net = LevelNet::new(
            &context,
            Size { dimension: 2, width: settings.fit_width, depth: PLANE_LAYERS, data: 1.0 },
            0,
        );
        let draw = |rng: &mut Rng, count: usize| flat(&study.mixture.draw(rng, count));
        let fit = Fit { steps, batch, rate, sigmas: [0.01, 160.0] };
        let before = study.done;
        fit.train(&context, &mut net, draw, |step| context.progress((before + step).min(all), all)).await?;
        study.learned(points, &net, settings.error_allowed).await
    }

    /// Points judged by the exact density at the smallest level and by the flow with the exact score.
    struct Judged {
        points: Rows,
        exact: Vec<f64>,
        bars: Vec<f64>,
    }

    impl Study<'_> {
        fn step_done(&mut self) {
            self.done += 1;
            self.context.progress(self.done.min(self.all), self.all);
        }

        /// Both processes on the line.
        async fn line(&mut self, chains: usize) -> Result<(), StudyError> {
            let data = PlaneData::Three.mixture();
            let grid = self.schedule.grid(Spacing::Uniform, STEPS);
            let mut lines = Vec::new();
            for place in looks(&grid) {
                let line = Line::first_of(&data, grid[place]);
                let points: Vec<[f64; 2]> = curve(span(-HALF, HALF, 121), |x| line.density(x)).as_chunks().0.to_vec();
                lines.extend(points.windows(2).flat_map(|pair| [pair[0][0], pair[0][1], pair[1][0], pair[1][1]]));
            }
            self.context.draw("marginals", "exact-marginals", lines);

            let mut found = Vec::new();
            let mut bars = Vec::new();
            for (place, (solver, figure, paths, name)) in [
                (Solver::EulerMaruyama, "paths-sde", "reverse-paths", "sde-process"),
                (Solver::Heun, "paths-flow", "flow-paths", "flow-process"),
            ]
            .into_iter()
            .enumerate()
            {
                let process = self.process(&data, solver, &grid, chains, (figure, paths)).await?;
                let dots = process.at.iter().flat_map(|at| {
                    // The middles of the bins that anything is in.
                    histogram(at, [-HALF, HALF], BINS)
                        .as_chunks::<6>()
                        .0
                        .iter()
                        .filter(|bin| bin[2] > 0.0)
                        .flat_map(|bin| [0.5 * (bin[0] + bin[3]), bin[2]])
                        .collect::<Vec<f64>>()
                });
                self.context.draw("marginals", name, dots);
                bars.extend([place as f64, process.crossed, share_error(process.crossed, chains)]);
                self.context.draw("order", "pairs-crossed", bars.iter().copied());
                found.push(process);
            }
            let [noisy, still] = &found[..] else { return Ok(()) };
            let place = TIMES.iter().position(|t| *t == CLAIMED).unwrap_or(0);
            let mut other = still.at[place].clone();
            other.sort_unstable_by(f64::total_cmp);
            let share = |x: f64| other.partition_point(|y| *y <= x) as f64 / other.len().max(1) as f64;
            let (distance, error) = kolmogorov(&noisy.at[place], share);
            // Both are samples.
            self.context.conclude("same", distance, error * 2.0_f64.sqrt(), at_most(0.06));
            self.context.conclude("no-cross", still.crossed, share_error(still.crossed, chains), at_most(0.02));
            Ok(())
        }

        async fn process(
            &mut self,
            data: &Mixture,
            solver: Solver,
            grid: &[Level],
            chains: usize,
            (figure, layer): (&str, &str),
        ) -> Result<Process, StudyError> {
            let context = self.context;
            let from = start(context, 1, chains, 0).scale(self.schedule.prior_std());
            let mut order: Vec<usize> = (0..chains).collect();
            order.sort_unstable_by(|a, b| from.values[*a].total_cmp(&from.values[*b]));
            let mut sampler = Sampler::new(solver, self.schedule.clone(), grid.to_vec(), from);
            let (mut model, mut noise) = (OnTheLine(data), fresh_noise(context));
            let (mut ways, mut at): (Vec<Vec<[f64; 2]>>, Vec<Vec<f64>>) = (Vec::new(), vec![Vec::new(); TIMES.len()]);
            let (looks, mut steps) = (looks(grid), 0);
            loop {
                let (t, over) = (sampler.level().t, sampler.is_finished());
                let x = sampler.x();
                if steps % (STEPS / PIECES) == 0 || over {
                    ways.push(x.values.iter().take(PATHS).map(|x| [t, *x]).collect());
                }
                if let Some(look) = looks.iter().position(|place| *place == steps) {
                    at[look].clone_from(&x.values);
                }
                if over || context.due() {
                    context.draw(figure, layer, pieces(&ways));
                }
                if over {
                    break;
                }
                context.yield_now().await;
                step(&mut sampler, &mut model, &mut noise).await?;
                steps += 1;
                self.step_done();
            }
            let ends = &sampler.x().values;
            let crossed = order.windows(2).filter(|pair| ends[pair[0]] > ends[pair[1]]).count();
            Ok(Process { at, crossed: crossed as f64 / (chains.max(2) - 1) as f64 })
        }

        /// Few evaluations of flow and SDE, both variance preserving, by the exact score.
        async fn efficient(&mut self, count: usize) -> Result<(), StudyError> {
            let mut shares = [(0.0, 0.0); 2];
            let schedule = Sde::Vp.schedule();
            for (share, solver) in shares.iter_mut().zip([Solver::Ddim { eta: 0.0 }, Solver::EulerMaruyama]) {
                let grid = schedule.grid(Spacing::Uniform, FEW);
                let sampler = Sampler::new(solver, schedule.clone(), grid, start(self.context, 2, count, 0));
                let ends = self.ends(sampler).await?;
                *share = near(&ends.points(), &self.mixture);
            }
            let (more, error) = difference(shares[0], shares[1]);
            self.context.conclude("efficient", more, error, [0.0, f64::INFINITY]);
            Ok(())
        }

        /// The end of a run with the exact score.
        async fn ends(&mut self, sampler: Sampler<Rows>) -> Result<Rows, StudyError> {
            let Self { context, mixture, done, all, .. } = self;
            let mut model = ExactRows(Exact::new(mixture));
            let mut look = |_: &Sampler<Rows>| {
                *done += 1;
                context.progress((*done).min(*all), *all);
            };
            walk(context, sampler, &mut model, &mut fresh_noise(context), &mut look).await
        }

        /// How far from the end of the flow solvers are with so many evaluations.
        async fn cost(&mut self, count: usize) -> Result<(), StudyError> {
            let from = start(self.context, 2, count, 0).scale(self.schedule.prior_std());
            let run = |schedule: &Schedule, solver: Solver, steps: usize| {
                let grid = solver.grid(schedule, Spacing::Uniform, steps);
                Sampler::new(solver, schedule.clone(), grid, from.clone())
            };
            let best = self.ends(run(&self.schedule, rk45(BEST), 1)).await?.points();
            let apart = |ends: &Rows| {
                let far: Vec<f64> = squares(&ends.points(), &best).into_iter().map(f64::sqrt).collect();
                mean_error(&far).0.max(LEAST)
            };
            for (key, solver) in [("euler-ends", Solver::Euler), ("heun-ends", Solver::Heun)] {
                let each = solver.evaluations(false).unwrap_or(1) as usize;
                let mut line = Vec::new();
                for count in COUNTS {
                    let sampler = run(&self.schedule, solver, count.div_ceil(each));
                    let evaluations = sampler.planned_evaluations().unwrap_or(0);
                    line.extend([f64::from(evaluations), apart(&self.ends(sampler).await?)]);
                    self.context.draw("cost", key, line.iter().copied());
                }
            }
            let mut line = Vec::new();
            for allowed in ALLOWED {
                let mut sampler = run(&self.schedule, rk45(allowed), 1);
                let mut model = ExactRows(Exact::new(&self.mixture));
                let mut noise = fresh_noise(self.context);
                while step(&mut sampler, &mut model, &mut noise).await? {
                    self.context.yield_now().await;
                }
                line.extend([f64::from(sampler.evaluations()), apart(sampler.x())]);
                self.context.draw("cost", "rk45-ends", line.iter().copied());
            }
            Ok(())
        }

        /// What the flow says of points with the exact score, at every tolerance, and the bound of a chain.
        async fn exact(&mut self, count: usize, allowed: f64) -> Result<Judged, StudyError> {
            let context = self.context;
            let data = Rows::from_points(&self.mixture.draw(&mut context.rng(Stream::Data, 0), count));
            // The flow begins at the smallest level, and gives the density there.
            let least = self.schedule.level(self.schedule.time_range().1);
            let noise = Rows::from_points(&context.rng(Stream::Noise, 0).normal_points(count));
            let points = least.mix(data.clone(), noise);
            let marginal = self.mixture.at(least);
            let exact: Vec<f64> = points.points().into_iter().map(|x| marginal.log_density(x)).collect();
            let ends =
                exact.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(*v), high.max(*v)]);
            context.draw("likelihood", "equal", [ends[0], ends[0], ends[1], ends[1]]);
            let mut line = Vec::new();
            for allowed in ALLOWED {
                let mut model = ExactRows(Exact::new(&self.mixture));
                let flow = flow_densities(context, &self.schedule, allowed, &mut model, points.clone()).await?;
                let off: Vec<f64> = flow.log_density.iter().zip(&exact).map(|(a, b)| (a - b).abs()).collect();
                line.extend([f64::from(flow.evaluations), mean_error(&off).0.max(LEAST)]);
                context.draw("cost", "rk45-density", line.iter().copied());
            }
            let mut judged = Judged { points, exact, bars: Vec::new() };
            let nats: Vec<f64> = judged.exact.iter().map(|log| -log).collect();
            judged.bar(context, 0, &nats);
            let mut model = ExactRows(Exact::new(&self.mixture));
            let flow = judged.flow(self, ("flow-exact", "exact", [-0.01, 0.01]), 1, allowed, &mut model).await?;

            // The chain's bound on the clean data that the points were made of.
            let mut rng = context.rng(Stream::Corrector, 0);
            let mut noise = || Rows::from_points(&rng.normal_points(count));
            let mut model = ExactRows(Exact::new(&self.mixture));
            let mut model = InTurns { context, model: &mut model };
            let levels = whole_walk_back(&ChainTable::Linear.betas(CHAIN));
            let bound = chain_bound(&levels, &mut model, &data, &mut noise).await?;
            judged.bar(context, 3, &bound.samples);
            let above: Vec<f64> = bound.samples.iter().zip(&flow).map(|(bound, log)| bound + log).collect();
            let (above, error) = mean_error(&above);
            context.conclude("bound", above, error, [0.0, f64::INFINITY]);
            Ok(judged)
        }

        async fn learned(&self, mut judged: Judged, net: &LevelNet, allowed: f64) -> Result<(), StudyError> {
            let mut model = Learned::new(self.context, net);
            judged.flow(self, ("flow-network", "learned", [-0.2, 0.2]), 2, allowed, &mut model).await?;
            Ok(())
        }
    }

    impl Judged {
        /// The bar of a mean in nats for each dimension.
        fn bar(&mut self, context: &StudyContext, place: usize, nats: &[f64]) {
            let (mean, error) = mean_error(nats);
            let bars = self.bars.as_chunks::<3>().0.iter().copied();
            let mut bars: Vec<[f64; 3]> = bars.chain([[place as f64, 0.5 * mean, 0.5 * error]]).collect();
            bars.sort_by(|a, b| a[0].total_cmp(&b[0]));
            self.bars = bars.into_flattened();
            context.draw("bits", "nats-dimension", self.bars.iter().copied());
        }

        /// The flow's log-densities with a model, drawn beside the exact ones and compared with them.
        async fn flow(
            &mut self,
            study: &Study<'_>,
            (layer, claim, bound): (&str, &str, [f64; 2]),
            place: usize,
            allowed: f64,
            model: &mut dyn RowProducts,
        ) -> Result<Vec<f64>, StudyError> {
            let context = study.context;
            let flow = flow_densities(context, &study.schedule, allowed, model, self.points.clone()).await?.log_density;
            context.draw("likelihood", layer, self.exact.iter().zip(&flow).flat_map(|(exact, log)| [*exact, *log]));
            let off: Vec<f64> = flow.iter().zip(&self.exact).map(|(log, exact)| log - exact).collect();
            let (mean, error) = mean_error(&off);
            context.conclude(claim, mean, error, bound);
            let nats: Vec<f64> = flow.iter().map(|log| -log).collect();
            self.bar(context, place, &nats);
            Ok(flow)
        }
    }
}
