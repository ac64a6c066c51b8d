//! Section 2-3-1 and equation 2-7: how NCSNv2 chooses its noise levels and steps, and what each choice is worth.
//!
//! The equation speaks of high dimensions: its overlap falls below one half only where `sqrt(2 D) > 3`. So the data here
//! are two far modes in many dimensions, whose score is known at every level.

use super::{Axis, Claim, Control, Figure, Layer, Mark, Source, Study};

const VARIANTS: &[&str] = &["all-choices", "small-sigma", "few-levels", "large-steps", "no-denoising"];

/// The table.
pub const STUDY: Study = Study {
    id: "ncsnv2",
    chapter: 2,
    live: false,
    controls: &[
        Control::whole("dimension", 8, 256, 64),
        Control::real("weight", 0.5, 0.99, 0.8),
        Control::real("overlap", 0.1, 0.9, 0.5),
        Control::whole("level-steps", 1, 500, 5),
        Control::log("sigma-last", 0.05, 0.9, 0.2),
        Control::whole("chains", 100, 20_000, 1500),
    ],
    figures: &[
        Figure {
            key: "overlap",
            square: false,
            x: Axis::log("ratio-less-one"),
            y: Axis::fixed("overlap", 0.0, 1.0),
            layers: &[
                Layer::new("overlap-here", Mark::Line, 0),
                Layer::new("overlap-cifar", Mark::Line, 1),
                Layer::new("overlap-celeba", Mark::Line, 2),
                Layer::new("wanted", Mark::Dashed, 4),
                Layer::new("published", Mark::Dots, 3),
                Layer::new("solved", Mark::Dots, 5),
            ],
            handles: &[],
        },
        Figure {
            key: "variance",
            square: false,
            x: Axis::log("step-share"),
            y: Axis::fixed("variance-ratio", 0.8, 1.6),
            layers: &[
                Layer::new("variance-here", Mark::Line, 0),
                Layer::new("variance-cifar", Mark::Line, 1),
                Layer::new("one", Mark::Dashed, 4),
                Layer::new("published", Mark::Dots, 3),
                Layer::new("solved", Mark::Dots, 5),
            ],
            handles: &[],
        },
        Figure {
            key: "shares",
            square: false,
            x: Axis::of("variant", VARIANTS),
            y: Axis::fixed("heavy-share", 0.0, 1.0),
            layers: &[Layer::new("share", Mark::Bars, 2), Layer::new("true-weight", Mark::Dashed, 0)],
            handles: &[],
        },
        Figure {
            key: "widths",
            square: false,
            x: Axis::of("variant", VARIANTS),
            y: Axis::log("excess-variance"),
            layers: &[Layer::new("excess", Mark::Bars, 1)],
            handles: &[],
        },
        Figure {
            key: "averaging",
            square: false,
            x: Axis::free("training-step"),
            y: Axis::log("fisher-divergence"),
            layers: &[Layer::new("last-weights", Mark::Line, 3), Layer::new("averaged-weights", Mark::Line, 2)],
            handles: &[],
        },
    ],
    claims: &[
        Claim { key: "published", source: Source::Report("2-7") },
        Claim { key: "sigma", source: Source::Report("2-3-1") },
        Claim { key: "levels", source: Source::Report("2-3-1, 2-7") },
        Claim { key: "step", source: Source::Paper("NCSNv2, Song and Ermon 2020, arXiv 2006.09011") },
        Claim { key: "denoising", source: Source::Paper("NCSNv2, Song and Ermon 2020, arXiv 2006.09011") },
        Claim { key: "averaging", source: Source::Paper("NCSNv2, Song and Ermon 2020, arXiv 2006.09011") },
    ],
    notes: &["symbol", "cdf", "dimension"],
    brief: "chains=800",
    #[cfg(feature = "engine")]
    run: |desk| Box::pin(work::run(desk)),
};

#[cfg(feature = "engine")]
mod work {
    use super::VARIANTS;
    use crate::diffusion::schedule::clean;
    use crate::diffusion::schedule::ncsn::{best_step, level_count, overlap, ratio_for_overlap, variance_ratio};
    use crate::engine::EngineError;
    use crate::engine::score::{Form, Objective, ScoreNet};
    use crate::rng::{Rng, Stream};
    use crate::study::Desk;
    use crate::study::tools::{
        curve, flat, mean_error, points, share_error, span, squares, three_modes, truths, units,
    };

    /// Standard deviation of a mode along every axis.
    const STD: f64 = 0.3;
    /// Half the distance of the modes.
    const REACH: f64 = 6.0;
    /// Published settings: dimension, largest and smallest noise, levels, steps a level, step.
    const PUBLISHED: [(usize, f64, f64, usize, u32, f64); 4] = [
        (3072, 50.0, 0.01, 232, 5, 6.2e-6),
        (12_288, 90.0, 0.01, 500, 5, 3.3e-6),
        (49_152, 190.0, 0.01, 1086, 3, 1.8e-6),
        (196_608, 348.0, 0.01, 2311, 3, 9e-7),
    ];

    /// A way to sample.
    #[derive(Clone, Copy)]
    struct Plan {
        first: f64,
        last: f64,
        ratio: f64,
        steps: u32,
        /// Step as a share of the level's variance.
        share: f64,
        denoise: bool,
    }

    /// What came of it: the share of the heavy mode, and each chain's mean square deviation from its mode per axis.
    struct Outcome {
        share: f64,
        variances: Vec<f64>,
    }

    /// Two modes at plus and minus [`REACH`] along the first axis.
    struct Pair {
        weight: f64,
        dimension: usize,
    }

    impl Pair {
        /// Writes the score at a level of noise.
        fn score(&self, x: &[f64], sigma: f64, score: &mut [f64]) {
            let variance = STD * STD + sigma * sigma;
            let logit = (self.weight / (1.0 - self.weight)).ln() + 2.0 * REACH * x[0] / variance;
            let side = (0.5 * logit).tanh();
            for (s, x) in score.iter_mut().zip(x) {
                *s = -x / variance;
            }
            score[0] += side * REACH / variance;
        }
    }

    pub async fn run(desk: Desk) -> Result<(), EngineError> {
        let pair = Pair { weight: desk.real("weight"), dimension: desk.whole("dimension") };
        let (steps, last) = (desk.whole("level-steps") as u32, desk.real("sigma-last"));
        // The largest distance among training data: between the modes, and across them.
        let first = largest_distance(&pair, &mut desk.rng(Stream::Data, 0));
        let ratio = ratio_for_overlap(desk.real("overlap"), pair.dimension);
        let share = best_step(steps, ratio, last) / (last * last);
        formulas(&desk, &pair, ratio, share, steps);

        let base = Plan { first, last, ratio, steps, share, denoise: true };
        let plans = [
            base,
            Plan { first: first / 12.0, ..base },
            Plan { ratio: ratio.powi(5), ..base },
            Plan { share: (4.0 * share).min(1.9), ..base },
            Plan { denoise: false, ..base },
        ];
        let mut outcomes = Vec::new();
        desk.draw("shares", "true-weight", [-0.5, pair.weight, VARIANTS.len() as f64 - 0.5, pair.weight]);
        for (variant, plan) in plans.into_iter().enumerate() {
            desk.progress(variant, plans.len() + 1);
            outcomes.push(sample(&desk, &pair, plan).await);
            let shares = outcomes
                .iter()
                .enumerate()
                .flat_map(|(i, o): (usize, &Outcome)| [i as f64, o.share, share_error(o.share, o.variances.len())]);
            desk.draw("shares", "share", shares.collect::<Vec<_>>());
            let excess = outcomes.iter().enumerate().flat_map(|(i, o): (usize, &Outcome)| {
                let (mean, error) = mean_error(&o.variances);
                [i as f64, mean / (STD * STD), error / (STD * STD)]
            });
            desk.draw("widths", "excess", excess.collect::<Vec<_>>());
        }
        conclude(&desk, &pair, &outcomes);
        desk.progress(plans.len(), plans.len() + 1);
        averaging(&desk).await
    }

    fn largest_distance(pair: &Pair, rng: &mut Rng) -> f64 {
        let mut points = Vec::new();
        for _ in 0..200 {
            let side = if rng.uniform() < pair.weight { REACH } else { -REACH };
            let mut x: Vec<f64> = (0..pair.dimension).map(|_| STD * rng.normal()).collect();
            x[0] += side;
            points.push(x);
        }
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| (p - q).powi(2)).sum::<f64>();
        let pairs = points.iter().enumerate().flat_map(|(i, a)| points[..i].iter().map(move |b| distance(a, b)));
        pairs.fold(0.0_f64, f64::max).sqrt()
    }

    fn formulas(desk: &Desk, pair: &Pair, ratio: f64, share: f64, steps: u32) {
        let ratios = || span(-2.5, 0.5, 160).map(|e| 10f64.powf(e));
        for (key, dimension) in [("overlap-here", pair.dimension), ("overlap-cifar", 3072), ("overlap-celeba", 12_288)]
        {
            desk.draw("overlap", key, curve(ratios(), |r| overlap(1.0 + r, dimension)));
        }
        let wanted = desk.real("overlap");
        desk.draw("overlap", "wanted", [10f64.powf(-2.5), wanted, 10f64.powf(0.5), wanted]);
        desk.draw("overlap", "solved", [ratio - 1.0, overlap(ratio, pair.dimension)]);
        let gamma = |&(_, first, last, levels, ..): &(usize, f64, f64, usize, u32, f64)| {
            (first / last).powf(1.0 / (levels - 1) as f64)
        };
        let published: Vec<[f64; 2]> = PUBLISHED.iter().map(|p| [gamma(p) - 1.0, overlap(gamma(p), p.0)]).collect();
        desk.draw("overlap", "published", published.iter().copied().flatten());
        // Every published setting, by its distance from one half.
        let worst =
            published.iter().map(|p| p[1] - 0.5).fold(0.0_f64, |most, v| if v.abs() > most.abs() { v } else { most });
        desk.conclude("published", worst, 0.0, [-0.1, 0.1]);

        let shares = || span(-3.0, 0.0, 160).map(|e| 10f64.powf(e));
        desk.draw("variance", "variance-here", curve(shares(), |s| variance_ratio(s, steps, ratio, 1.0).min(9.0)));
        let cifar = gamma(&PUBLISHED[0]);
        desk.draw("variance", "variance-cifar", curve(shares(), |s| variance_ratio(s, 5, cifar, 1.0)));
        desk.draw("variance", "one", [1e-3, 1.0, 1.0, 1.0]);
        desk.draw("variance", "solved", [share, variance_ratio(share, steps, ratio, 1.0)]);
        let published = PUBLISHED.iter().flat_map(|p| {
            let share = p.5 / (p.2 * p.2);
            [share, variance_ratio(share, p.4, gamma(p), 1.0)]
        });
        desk.draw("variance", "published", published.collect::<Vec<_>>());
    }

    /// Annealed Langevin dynamics as NCSNv2's code does it: `x + a score + sqrt(2 a) z`.
    async fn sample(desk: &Desk, pair: &Pair, plan: Plan) -> Outcome {
        let (count, d) = (desk.whole("chains"), pair.dimension);
        let levels = level_count(plan.first, plan.last, plan.ratio).max(2);
        let ratio = (plan.first / plan.last).powf(1.0 / (levels - 1) as f64);
        let mut rng = desk.rng(Stream::Prior, 0);
        // Even in a cube as wide as the data, as NCSN starts even in the cube of images.
        let mut x: Vec<f64> = (0..count * d).map(|_| REACH * (2.0 * rng.uniform() - 1.0)).collect();
        let mut rng = desk.rng(Stream::Solver, 0);
        let mut score = vec![0.0; d];
        for level in 0..levels {
            let sigma = plan.first / ratio.powi(level as i32);
            let step = plan.share * sigma * sigma;
            for _ in 0..plan.steps {
                for (i, x) in x.chunks_exact_mut(d).enumerate() {
                    if i % 256 == 0 {
                        desk.turn().await;
                    }
                    pair.score(x, sigma, &mut score);
                    for (x, s) in x.iter_mut().zip(&score) {
                        *x += step * s + (2.0 * step).sqrt() * rng.normal();
                    }
                }
            }
        }
        if plan.denoise {
            for x in x.chunks_exact_mut(d) {
                pair.score(x, plan.last, &mut score);
                for (x, s) in x.iter_mut().zip(&score) {
                    *x += plan.last * plan.last * s;
                }
            }
        }
        let heavy = x.chunks_exact(d).filter(|x| x[0] > 0.0).count();
        let variances = x
            .chunks_exact(d)
            .map(|x| {
                let first = x[0].abs() - REACH;
                (first * first + x[1..].iter().map(|v| v * v).sum::<f64>()) / d as f64
            })
            .collect();
        Outcome { share: heavy as f64 / count.max(1) as f64, variances }
    }

    fn conclude(desk: &Desk, pair: &Pair, outcomes: &[Outcome]) {
        let miss = |o: &Outcome| (o.share - pair.weight).abs();
        let share = |o: &Outcome| share_error(o.share, o.variances.len());
        let (base, rest) = (&outcomes[0], &outcomes[1..]);
        let more = [0.02, f64::INFINITY];
        desk.conclude("sigma", miss(&rest[0]) - miss(base), share(&rest[0]).hypot(share(base)), more);
        let width = |o: &Outcome| {
            let (mean, error) = mean_error(&o.variances);
            // How far the variance is from that of the data, either way, in logarithms.
            ((mean / (STD * STD)).ln().abs(), error / mean)
        };
        let worse = |o: &Outcome| {
            let ((a, a_error), (b, b_error)) = (width(o), width(base));
            (a - b, a_error.hypot(b_error))
        };
        for (claim, outcome) in [("levels", &rest[1]), ("step", &rest[2]), ("denoising", &rest[3])] {
            let (difference, error) = worse(outcome);
            desk.conclude(claim, difference, error, more);
        }
    }

    /// A small network trained at one rate throughout: its last weights jump about, their average does not.
    async fn averaging(desk: &Desk) -> Result<(), EngineError> {
        let mixture = three_modes();
        let exact = mixture.at(clean());
        let judged = mixture.draw(&mut desk.rng(Stream::Data, 1), 1000);
        let truth = truths(&exact, &judged);
        let form = Form { dimension: 2, extra: 0, width: 32, depth: 2, scale: 1.5, energy: false };
        let mut net = ScoreNet::new(form, &desk.opened, desk.seed(), 0);
        let (mut last, mut averaged, mut gains) = (Vec::new(), Vec::new(), Vec::new());
        let (steps, sigma) = (1000, 0.3);
        for step in 1..=steps {
            desk.turn().await;
            let x = flat(&mixture.draw(&mut desk.rng(Stream::Batch, step), 64));
            let noise = desk.rng(Stream::Noise, step).normals(x.len());
            let noisy: Vec<f32> = x.iter().zip(&noise).map(|(x, z)| x + sigma * z).collect();
            let target: Vec<f32> = noise.iter().map(|z| -z / sigma).collect();
            net.train(&noisy, &[], Objective::Regression { target: &target, weight: &units(64) }, 1e-2);
            if step % 25 == 0 {
                net.take_losses().await?;
                let of = |scores: Vec<f32>| 0.5 * mean_error(&squares(&points::<2>(&scores), &truth)).0;
                let now = of(net.raw_scores(&flat(&judged), &[]).await?);
                let mean = of(net.scores(&flat(&judged), &[]).await?);
                last.extend([f64::from(step), now]);
                averaged.extend([f64::from(step), mean]);
                if step > steps / 2 {
                    gains.push((now / mean).ln());
                }
                if step == steps || desk.due() {
                    desk.draw("averaging", "last-weights", last.iter().copied());
                    desk.draw("averaging", "averaged-weights", averaged.iter().copied());
                }
            }
        }
        let (gain, error) = mean_error(&gains);
        desk.conclude("averaging", gain, error, [0.02, f64::INFINITY]);
        desk.progress(1, 1);
        Ok(())
    }
}
