//! Section 3-5-2: the linear and the cosine schedule on images of any size, and how much of the way back is idle.

use super::settings::{ChainVariance, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

named_variants! {
    /// Pixels along a side of an image: those of a digit, or each of them repeated.
    Resolution {
        /// As the digits are.
        Eight = "8",
        /// Every pixel twice, along both sides.
        Sixteen = "16",
        /// Four times.
        ThirtyTwo = "32",
        /// Eight times.
        SixtyFour = "64",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        resolution: Resolution = Resolution::SixtyFour;
        left_out: f64 = 0.2, 0.05..=0.5;
        chain_walk: usize = 60, 20..=200;
        chain_variance: ChainVariance = ChainVariance::Small;
        sample_count: usize = 500, 100..=2000;
        fit_steps: usize = 2500, 10..=20_000;
        fit_batch: usize = 128, 16..=2048;
        fit_rate: f64 = 4e-3, 1e-4..=0.05, log;
        fit_width: usize = 128, 8..=256;
    }
}

/// Walks whose samples are shown.
const WALKS: &[&str] = &["linear-whole", "linear-part", "cosine-whole", "cosine-part"];

/// Divergences from the prior: beyond them nothing is shown.
const DIVERGENCES: Axis = Axis { key: "prior-divergence", range: Some([1e-4, 1e4]), log: true, names: &[] };

/// The table.
pub const STUDY: Study = Study {
    id: "skip",
    chapter: 3,
    live: false,
    controls: Settings::CONTROLS,
    figures: &[
        Figure::pictures("forward-linear", Axis::free("chain-share"), Axis::free("digit")),
        Figure::pictures("forward-cosine", Axis::free("chain-share"), Axis::free("digit")),
        Figure::curves(
            "known",
            Axis::fixed("chain-share", 0.0, 1.0),
            Axis::fixed("recovered-share", 0.0, 1.0),
            &[
                Layer::new("linear-here", Mark::Line, 0),
                Layer::new("cosine-here", Mark::Line, 1),
                Layer::new("linear-8", Mark::Line, 2),
                Layer::new("cosine-8", Mark::Line, 3),
                Layer::new("last-quarter", Mark::Dashed, 4),
            ],
        ),
        Figure::curves(
            "skip",
            Axis::free("left-out-share"),
            Axis::log("frechet"),
            &[
                Layer::new("linear-error", Mark::Band, 0),
                Layer::new("cosine-error", Mark::Band, 1),
                Layer::new("linear-table", Mark::Line, 0),
                Layer::new("cosine-table", Mark::Line, 1),
            ],
        ),
        Figure::pictures("pictures", Axis::of("walk", WALKS), Axis::free("sample")),
        Figure::curves(
            "mismatch",
            Axis::fixed("left-out-share", 0.0, 0.5),
            DIVERGENCES,
            &[
                Layer::new("linear-8", Mark::Line, 2),
                Layer::new("linear-16", Mark::Line, 1),
                Layer::new("linear-32", Mark::Line, 3),
                Layer::new("linear-64", Mark::Line, 0),
                Layer::new("cosine-8", Mark::Dashed, 2),
                Layer::new("cosine-64", Mark::Dashed, 0),
            ],
        ),
    ],
    claims: &[
        Claim { key: "linear", source: Source::Report("3-5-2") },
        Claim { key: "cosine", source: Source::Report("3-5-2, 3-4") },
        Claim { key: "any", source: Source::Report("3-5-2, 3-4") },
        Claim { key: "quarter", source: Source::Report("3-5-2, 3-3") },
        Claim { key: "low-high", source: Source::Report("3-5-2") },
    ],
    notes: &["caption", "source", "repeated", "network"],
    brief: "fit-steps=2000&fit-batch=64&sample-count=300",
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{Resolution, Settings, WALKS};
    use crate::data::digits::{Digits, PIXELS};
    use crate::data::metrics::gaussian::GaussianFit;
    use crate::data::metrics::spectrum::Spectrum;
    use crate::diffusion::blocks::{BlockMeans, block_noise};
    use crate::diffusion::schedule::Betas;
    use crate::diffusion::schedule::spacing::even_subset;
    use crate::diffusion::solver::Variance;
    use crate::diffusion::{Denoiser, Estimate, Level, NoiseUse, Sampler, Schedule, Solver, State as _};
    use crate::rng::Stream;
    use crate::study::chain::{fresh_noise, start, step, walk, walk_back};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{Fit, Learned, LevelNet};
    use crate::study::pictures::{SIDE, Split, digit_grid, fit, frechet, frechet_ratio, picture_grid};
    use crate::study::rows::Rows;
    use crate::study::settings::ChainTable;
    use crate::study::tools::{at_most, curve, span};

    /// Steps of a chain.
    const STEPS: usize = 1000;
    /// Noise that it is trained at.
    const SIGMAS: [f64; 2] = [0.02, 60.0];
    /// Shares of the way back that are left out.
    const SHARES: [f64; 7] = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5];
    /// How many times a pixel is repeated along a side in the images of most claims, of 64 by 64 pixels.
    const CLAIMED: usize = 8;
    const TABLES: [ChainTable; 2] = [ChainTable::Linear, ChainTable::Cosine];
    /// Claims on what leaving out a share does: the distance over that of whole walks.
    const RATIOS: [(&str, ChainTable, f64, [f64; 2]); 3] = [
        ("linear", ChainTable::Linear, 0.2, at_most(1.25)),
        ("cosine", ChainTable::Cosine, 0.2, [1.5, f64::INFINITY]),
        ("any", ChainTable::Cosine, 0.05, [1.1, f64::INFINITY]),
    ];
    /// Pictures along a side of those of the way there, and of the samples; columns of a walk.
    const ACROSS: usize = 5;
    const SHOWN: usize = 8;
    const COLUMNS: usize = SHOWN / WALKS.len();

    impl Resolution {
        /// How many times a pixel is repeated along a side.
        fn repeats(self) -> usize {
            match self {
                Self::Eight => 1,
                Self::Sixteen => 2,
                Self::ThirtyTwo => 4,
                Self::SixtyFour => 8,
            }
        }
    }

    /// A walk back that begins late.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Plan {
        table: ChainTable,
        side: usize,
        share: f64,
    }

    /// The steps of the whole walk that it makes, and how many are left out.
    fn kept(steps: usize, share: f64) -> (Vec<usize>, usize) {
        let whole = even_subset(STEPS, steps);
        let end = (1.0 - share) * STEPS as f64;
        let kept: Vec<usize> = whole.iter().copied().filter(|&step| (step + 1) as f64 <= end + 1e-6).collect();
        let left = whole.len() - kept.len();
        (kept, left)
    }

    /// A walk that is done.
    struct Done {
        plan: Plan,
        /// The share that it left out, of a whole number of steps.
        left: f64,
        samples: Vec<f32>,
        distance: (f64, f64),
    }

    /// What all walks share.
    struct Walks<'a> {
        context: &'a StudyContext,
        settings: &'a Settings,
        net: LevelNet,
        others: GaussianFit,
        done: Vec<Done>,
        /// Samples of each of [`WALKS`], as they are now.
        shown: [Vec<f32>; WALKS.len()],
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let split = Split::read(&context).await?;
        let others = fit(split.seen().chunks_exact(PIXELS));
        let side = settings.resolution.repeats();
        closed_forms(&context, &Spectrum::of(&others), side);
        for (table, figure) in TABLES.into_iter().zip(["forward-linear", "forward-cosine"]) {
            context.yield_now().await;
            context.draw(figure, "grey", there(&context, &split.digits, &table.betas(STEPS), side));
        }

        let mut shares = SHARES.to_vec();
        shares.push(settings.left_out);
        shares.sort_unstable_by(f64::total_cmp);
        shares.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        let mut plans: Vec<Plan> =
            shares.into_iter().flat_map(|share| TABLES.map(|table| Plan { table, side, share })).collect();
        if side != CLAIMED {
            let whole = TABLES.map(|table| Plan { table, side: CLAIMED, share: 0.0 });
            plans.extend(whole);
            plans.extend(RATIOS.map(|(_, table, share, _)| Plan { table, side: CLAIMED, share }));
        }
        let walked = |plan: &Plan| kept(settings.chain_walk, plan.share).0.len();
        let all = settings.fit_steps + plans.iter().map(walked).sum::<usize>();

        let Settings { fit_steps: steps, fit_batch: batch, fit_rate: rate, fit_width: width, .. } = settings;
        let learning = Fit { steps, batch, rate, sigmas: SIGMAS };
        let net = split.learn(&context, width, learning, |step| context.progress(step, all)).await?;

        let shown = [const { Vec::new() }; WALKS.len()];
        let mut walks = Walks { context: &context, settings: &settings, net, others, done: Vec::new(), shown };
        let mut before = settings.fit_steps;
        for plan in plans {
            walks.make(plan, before, all).await?;
            before += walked(&plan);
        }
        Ok(())
    }

    /// What needs no network: how much of an image is left along the chain, and how far its end is from the prior.
    fn closed_forms(context: &StudyContext, digits: &Spectrum, side: usize) {
        let chains = TABLES.map(|table| Schedule::table(table.betas(STEPS)));
        let [linear, cosine] = &chains;
        let recovered = |chain: &Schedule, side: usize, t: f64| digits.repeated(side).recovered(chain.level(t));
        for (key, chain, side) in [
            ("linear-here", linear, side),
            ("cosine-here", cosine, side),
            ("linear-8", linear, 1),
            ("cosine-8", cosine, 1),
        ] {
            context.draw("known", key, curve(span(0.0, 1.0, 101), |t| recovered(chain, side, t)));
        }
        context.draw("known", "last-quarter", [0.75, 0.0, 0.75, 1.0]);
        context.conclude("quarter", recovered(linear, 1, 0.75), 0.0, at_most(0.02));

        let divergence =
            |chain: &Schedule, side: usize, left: f64| digits.repeated(side).divergence(chain.level(1.0 - left));
        for (key, chain, side) in [
            ("linear-8", linear, 1),
            ("linear-16", linear, 2),
            ("linear-32", linear, 4),
            ("linear-64", linear, 8),
            ("cosine-8", cosine, 1),
            ("cosine-64", cosine, 8),
        ] {
            context.draw("mismatch", key, curve(span(0.0, 0.5, 101), |left| divergence(chain, side, left)));
        }
        let more = divergence(linear, CLAIMED, 0.2) / divergence(linear, 1, 0.2);
        context.conclude("low-high", more.log10(), 0.0, [1.0, f64::INFINITY]);
    }

    /// Digits along the chain, a row each, with the same noise in every picture of a row.
    fn there(context: &StudyContext, digits: &Digits, betas: &Betas, repeats: usize) -> Vec<f64> {
        let chain = Schedule::table(betas.clone());
        let (side, last) = (SIDE * repeats, (ACROSS - 1) as f64);
        let mut rows = Vec::new();
        for label in 0..ACROSS {
            let place = (0..digits.count()).find(|&i| usize::from(digits.labels[i]) == label).unwrap_or(label);
            let digit = digits.digit(place);
            let noise = context.rng(Stream::Noise, label as u32).normals(side * side);
            let at = |column: usize| -> Vec<f32> {
                let level = chain.level(column as f64 / last);
                let pixel = |(i, z): (usize, &f32)| {
                    let value = digit[i / side / repeats * SIDE + i % side / repeats];
                    level.mix(f64::from(value), f64::from(*z)) as f32
                };
                noise.iter().enumerate().map(pixel).collect()
            };
            rows.push((0..ACROSS).map(at).collect::<Vec<_>>());
        }
        let (half, step) = (0.5, 1.0 / last);
        let window = [-half * step, 1.0 + half * step, -half, last + half];
        picture_grid(side, [ACROSS; 2], window, |column, row| rows.get(row)?.get(column).map(Vec::as_slice))
    }

    /// No data: what is left of a walk then is its noise.
    struct Nothing;

    impl Denoiser<Rows> for Nothing {
        type Error = StudyError;

        async fn estimate(&mut self, x: &Rows, level: Level) -> Result<Estimate<Rows>, StudyError> {
            Ok(Estimate::from_data(x, x.clone().scale(0.0), level))
        }
    }

    /// Unit noise for the start of a walk that leaves out the first steps: the noise that the whole walk has there, of its own
    /// start and of what each step added. Then the two walks differ by the data that the one has found by then, and not by
    /// chance, and the ratio of their distances is known well.
    async fn late_start(
        context: &StudyContext,
        settings: &Settings,
        betas: &Betas,
        left_out: usize,
    ) -> Result<Rows, StudyError> {
        let first = start(context, PIXELS, settings.sample_count, 0);
        let grid = walk_back(betas, &even_subset(STEPS, settings.chain_walk));
        let sigma = grid.first().map_or(1.0, |level| level.sigma);
        // With the posterior's variance noise without data keeps the level's.
        let solver = Solver::Ddpm(Variance::Small);
        let mut early = Sampler::new(solver, Schedule::table(betas.clone()), grid, first.scale(sigma));
        let (mut nothing, mut fresh) = (Nothing, fresh_noise(context));
        for _ in 0..left_out {
            context.yield_now().await;
            step(&mut early, &mut nothing, &mut fresh).await?;
        }
        let sigma = early.level().sigma;
        Ok(early.x().clone().scale(1.0 / sigma))
    }

    impl Walks<'_> {
        /// Makes a walk, and draws and measures what it shows.
        async fn make(&mut self, plan: Plan, before: usize, all: usize) -> Result<(), StudyError> {
            let Self { context, settings, net, others, done, shown } = self;
            let Plan { table, side, share } = plan;
            let here = side == settings.resolution.repeats();
            let place = TABLES.iter().position(|known| *known == table).unwrap_or(0);
            let part = (share - settings.left_out).abs() < 1e-9;
            let panel = (here && (share == 0.0 || part)).then_some(2 * place + usize::from(part));

            let betas = table.betas(STEPS);
            let (steps, left_out) = kept(settings.chain_walk, share);
            let solver = Solver::Ddpm(settings.chain_variance.into());
            let schedule = Schedule::table(betas.clone());
            let mut fresh = fresh_noise(context);
            let from = late_start(context, settings, &betas, left_out).await?;
            // The whole walk's noise at every step of the chain that is left.
            let mut noise = |like: &Rows, of: NoiseUse| {
                block_noise(fresh(like, NoiseUse { index: of.index + left_out as u32, ..of }), side)
            };
            let grid = walk_back(&betas, &steps);
            let sampler = Sampler::new(solver, schedule, grid, block_noise(from, side));
            let mut model = BlockMeans { model: Learned::new(context, net).clipped(1.0), side };
            let mut step = 0;
            let mut look = |sampler: &Sampler<Rows>| {
                step += 1;
                context.progress(before + step, all);
                if let Some(panel) = panel
                    && (context.due() || sampler.is_finished())
                {
                    shown[panel] = sampler.x().to_f32();
                    draw_samples(context, shown);
                }
            };
            let samples = walk(context, sampler, &mut model, &mut noise, &mut look).await?.to_f32();
            context.yield_now().await;
            let distance = frechet(&samples, others, context.seed());
            let end = steps.last().map_or(0, |step| step + 1);
            done.push(Done { plan, left: 1.0 - end as f64 / STEPS as f64, samples, distance });
            context.yield_now().await;
            if here {
                self.draw_distances(table);
            }
            if side == CLAIMED {
                self.conclude(plan);
            }
            Ok(())
        }

        fn draw_distances(&self, table: ChainTable) {
            let here = self.settings.resolution.repeats();
            let known = || self.done.iter().filter(|done| done.plan.side == here && done.plan.table == table);
            let [line, band] = match table {
                ChainTable::Linear => ["linear-table", "linear-error"],
                ChainTable::Cosine => ["cosine-table", "cosine-error"],
            };
            self.context.draw("skip", line, known().flat_map(|done| [done.left, done.distance.0]));
            let bars = known().flat_map(|&Done { left, distance: (middle, error), .. }| {
                // A logarithm needs the low end above 0.
                [left, (middle - error).max(0.1 * middle), middle + error]
            });
            self.context.draw("skip", band, bars);
        }

        /// Concludes the claims that a walk decides.
        fn conclude(&self, plan: Plan) {
            let whole = self.done.iter().find(|done| done.plan == Plan { share: 0.0, ..plan });
            let part = self.done.iter().find(|done| done.plan == plan);
            let (Some(whole), Some(part)) = (whole, part) else { return };
            for (key, table, share, bound) in RATIOS {
                if (plan.table, plan.share) == (table, share) {
                    let seed = self.context.seed();
                    let (ratio, error) = frechet_ratio(&part.samples, &whole.samples, &self.others, seed);
                    self.context.conclude(key, ratio, error, bound);
                }
            }
        }
    }

    /// Samples of the walks side by side, two columns each.
    fn draw_samples(context: &StudyContext, shown: &[Vec<f32>; WALKS.len()]) {
        let window = [-0.5, WALKS.len() as f64 - 0.5, 0.5, SHOWN as f64 + 0.5];
        let digit = |column: usize, row: usize| {
            shown[column / COLUMNS].chunks_exact(PIXELS).nth(COLUMNS * row + column % COLUMNS)
        };
        context.draw("pictures", "grey", digit_grid([SHOWN; 2], window, digit));
    }
}
