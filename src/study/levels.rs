//! Section 2-3-1 and equation 2-7: how NCSNv2 chooses its noise levels and steps, and what each choice is worth.
//!
//! The equation speaks of high dimensions: its overlap falls below one half only where `sqrt(2 D) > 3`. So the data here
//! are two far modes in many dimensions, whose score is known at every level.

use super::settings::{Switch, settings};
use super::table::{Axis, Claim, Figure, Layer, Mark, Source, Study};
use crate::choice::named_variants;

const VARIANTS: &[&str] = &["chosen", "all-choices", "small-sigma", "few-levels", "large-steps", "no-denoising"];

named_variants! {
    /// How the largest noise is chosen.
    SigmaChoice {
        /// As the largest distance among the data.
        Distance = "distance",
        /// By the visitor.
        Own = "own",
    }
}

named_variants! {
    /// How the ratio of neighbouring levels is chosen.
    RatioChoice {
        /// By equation 2-7.
        Equation = "equation",
        /// By the visitor's number of levels.
        Own = "own",
    }
}

named_variants! {
    /// How the step is chosen.
    StepChoice {
        /// So that the variance at the end of a level is the level's.
        Variance = "variance",
        /// By the visitor.
        Own = "own",
    }
}

settings! {
    /// What a visitor may change.
    struct Settings {
        dimension: usize = 64, 8..=256;
        weight: f64 = 0.8, 0.5..=0.99;
        sigma_choice: SigmaChoice = SigmaChoice::Distance;
        #[only(sigma_choice = SigmaChoice::Own)]
        sigma_first: f64 = 5.0, 1.0..=50.0, log;
        sigma_last: f64 = 0.2, 0.05..=0.9, log;
        ratio_choice: RatioChoice = RatioChoice::Equation;
        #[only(ratio_choice = RatioChoice::Equation)]
        overlap: f64 = 0.5, 0.1..=0.9;
        #[only(ratio_choice = RatioChoice::Own)]
        level_count: usize = 5, 2..=50;
        level_steps: u32 = 5, 1..=500;
        step_choice: StepChoice = StepChoice::Variance;
        #[only(step_choice = StepChoice::Own)]
        step_share: f64 = 0.02, 0.001..=1.9, log;
        last_denoising: Switch = Switch::On;
        averaging: Switch = Switch::On;
        chains: usize = 1500, 100..=20_000;
    }
}

/// The table.
pub const STUDY: Study = Study {
    id: "ncsnv2",
    chapter: 2,
    live: false,
    controls: Settings::CONTROLS,
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
            key: "quality",
            square: false,
            x: Axis::of("variant", VARIANTS),
            y: Axis::log("frechet"),
            layers: &[Layer::new("frechet", Mark::Bars, 3)],
            handles: &[],
        },
        Figure::plane("averaged", 4.0, &[Layer::new("data", Mark::Dots, 0), Layer::new("annealed", Mark::Dots, 2)]),
        Figure {
            key: "averaging",
            square: false,
            x: Axis::free("training-step"),
            // Chains of bad weights can run away: off the chart.
            y: Axis { range: Some([0.05, 5.0]), ..Axis::log("sliced-distance") },
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
};

/// The work of the study.
#[cfg(feature = "engine")]
pub const WORK: super::context::Work = |context, config| Box::pin(work::run(context, Settings::read(config)));

#[cfg(feature = "engine")]
mod work {
    use super::{RatioChoice, Settings, SigmaChoice, StepChoice, Switch, VARIANTS};
    use crate::data::metrics::Slices;
    use crate::diffusion::schedule::ncsn::{best_step, level_count, overlap, ratio_for_overlap, variance_ratio};
    use crate::rng::{Rng, Stream};
    use crate::study::context::StudyContext;
    use crate::study::error::StudyError;
    use crate::study::network::{LevelNet, Size, geometric};
    use crate::study::tools::{curve, difference, flat, mean_error, points, share_error, span, three_modes};

    /// Standard deviation of a mode along every axis.
    const STD: f64 = 0.3;
    /// Rounds of training and sampling with a network, training steps of each, and samples.
    const AVERAGED: usize = 80;
    const BETWEEN: usize = 25;
    const SAMPLED: usize = 500;
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

    /// What came of it: the share of the heavy mode, each chain's mean square deviation from its mode per axis, and the
    /// Fréchet distance of all from the data.
    struct Outcome {
        share: f64,
        variances: Vec<f64>,
        frechet: f64,
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

        /// The Fréchet distance between Gaussians with the means and variances of samples and of the data, FID's formula,
        /// for axes that are independent: the sum of the squares of what means and standard deviations differ by.
        fn frechet(&self, x: &[f64]) -> f64 {
            let along = |axis: usize| {
                let values = || x.iter().skip(axis).step_by(self.dimension);
                let count = values().len().max(1) as f64;
                let mean = values().sum::<f64>() / count;
                let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
                let (true_mean, spread) = if axis == 0 {
                    ((2.0 * self.weight - 1.0) * REACH, 4.0 * self.weight * (1.0 - self.weight) * REACH * REACH)
                } else {
                    (0.0, 0.0)
                };
                (mean - true_mean).powi(2) + (variance.sqrt() - (STD * STD + spread).sqrt()).powi(2)
            };
            (0..self.dimension).map(along).sum()
        }
    }

    pub async fn run(context: StudyContext, settings: Settings) -> Result<(), StudyError> {
        let pair = Pair { weight: settings.weight, dimension: settings.dimension };
        let (steps, last) = (settings.level_steps, settings.sigma_last);
        // The largest distance among training data: between the modes, and across them.
        let first = largest_distance(&pair, &mut context.rng(Stream::Data, 0));
        let ratio = ratio_for_overlap(settings.overlap, pair.dimension);
        let share = best_step(steps, ratio, last) / (last * last);
        formulas(&context, settings.overlap, &pair, ratio, share, steps);

        let base = Plan { first, last, ratio, steps, share, denoise: true };
        let chosen_first = match settings.sigma_choice {
            SigmaChoice::Distance => first,
            SigmaChoice::Own => settings.sigma_first,
        }
        .max(1.01 * last);
        let chosen_ratio = match settings.ratio_choice {
            RatioChoice::Equation => ratio,
            RatioChoice::Own => (chosen_first / last).powf(1.0 / (settings.level_count - 1) as f64),
        };
        let chosen_share = match settings.step_choice {
            StepChoice::Variance => best_step(steps, chosen_ratio, last) / (last * last),
            StepChoice::Own => settings.step_share,
        };
        let chosen = Plan {
            first: chosen_first,
            ratio: chosen_ratio,
            share: chosen_share,
            denoise: settings.last_denoising == Switch::On,
            ..base
        };
        let plans = [
            chosen,
            base,
            Plan { first: first / 12.0, ..base },
            Plan { ratio: ratio.powi(5), ..base },
            Plan { share: (4.0 * share).min(1.9), ..base },
            Plan { denoise: false, ..base },
        ];
        let mut outcomes: Vec<Outcome> = Vec::new();
        context.draw("shares", "true-weight", [-0.5, pair.weight, VARIANTS.len() as f64 - 0.5, pair.weight]);
        let all = plans.len() + AVERAGED;
        for (variant, plan) in plans.into_iter().enumerate() {
            context.progress(variant, all);
            outcomes.push(sample(&context, &pair, plan, settings.chains).await);
            let bars = |bar: fn(&Outcome) -> [f64; 2]| -> Vec<f64> {
                let bars = outcomes.iter().map(bar).enumerate();
                bars.flat_map(|(i, [value, error]): (usize, [f64; 2])| [i as f64, value, error]).collect()
            };
            context.draw("shares", "share", bars(|o| [o.share, share_error(o.share, o.variances.len())]));
            context.draw(
                "widths",
                "excess",
                bars(|o| <[f64; 2]>::from(mean_error(&o.variances)).map(|v| v / (STD * STD))),
            );
            context.draw("quality", "frechet", bars(|o| [o.frechet, 0.0]));
        }
        conclude(&context, &pair, &outcomes[1..]);
        averaging(&context, &settings, all).await
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

    fn formulas(context: &StudyContext, wanted: f64, pair: &Pair, ratio: f64, share: f64, steps: u32) {
        let ratios = || span(-2.5, 0.5, 160).map(|e| 10f64.powf(e));
        for (key, dimension) in [("overlap-here", pair.dimension), ("overlap-cifar", 3072), ("overlap-celeba", 12_288)]
        {
            context.draw("overlap", key, curve(ratios(), |r| overlap(1.0 + r, dimension)));
        }
        context.draw("overlap", "wanted", [10f64.powf(-2.5), wanted, 10f64.powf(0.5), wanted]);
        context.draw("overlap", "solved", [ratio - 1.0, overlap(ratio, pair.dimension)]);
        let gamma = |&(_, first, last, levels, ..): &(usize, f64, f64, usize, u32, f64)| {
            (first / last).powf(1.0 / (levels - 1) as f64)
        };
        let published: Vec<[f64; 2]> = PUBLISHED.iter().map(|p| [gamma(p) - 1.0, overlap(gamma(p), p.0)]).collect();
        context.draw("overlap", "published", published.iter().copied().flatten());
        // Every published setting, by its distance from one half.
        let worst =
            published.iter().map(|p| p[1] - 0.5).fold(0.0_f64, |most, v| if v.abs() > most.abs() { v } else { most });
        context.conclude("published", worst, 0.0, [-0.1, 0.1]);

        let shares = || span(-3.0, 0.0, 160).map(|e| 10f64.powf(e));
        context.draw("variance", "variance-here", curve(shares(), |s| variance_ratio(s, steps, ratio, 1.0).min(9.0)));
        let cifar = gamma(&PUBLISHED[0]);
        context.draw("variance", "variance-cifar", curve(shares(), |s| variance_ratio(s, 5, cifar, 1.0)));
        context.draw("variance", "one", [1e-3, 1.0, 1.0, 1.0]);
        context.draw("variance", "solved", [share, variance_ratio(share, steps, ratio, 1.0)]);
        let published = PUBLISHED.iter().flat_map(|p| {
            let share = p.5 / (p.2 * p.2);
            [share, variance_ratio(share, p.4, gamma(p), 1.0)]
        });
        context.draw("variance", "published", published);
    }

    /// Annealed Langevin dynamics as NCSNv2's code does it: `x + a score + sqrt(2 a) z`.
    async fn sample(context: &StudyContext, pair: &Pair, plan: Plan, count: usize) -> Outcome {
        let d = pair.dimension;
        let levels = level_count(plan.first, plan.last, plan.ratio).max(2);
        let ratio = (plan.first / plan.last).powf(1.0 / (levels - 1) as f64);
        let mut rng = context.rng(Stream::Prior, 0);
        // Even in a cube as wide as the data, as NCSN starts even in the cube of images.
        let mut x: Vec<f64> = (0..count * d).map(|_| REACH * (2.0 * rng.uniform() - 1.0)).collect();
        let mut rng = context.rng(Stream::Solver, 0);
        let mut score = vec![0.0; d];
        for level in 0..levels {
            let sigma = plan.first / ratio.powi(level as i32);
            let step = plan.share * sigma * sigma;
            for _ in 0..plan.steps {
                for (i, x) in x.chunks_exact_mut(d).enumerate() {
                    if i % 256 == 0 {
                        context.yield_now().await;
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
        let frechet = pair.frechet(&x);
        let heavy = x.chunks_exact(d).filter(|x| x[0] > 0.0).count();
        let variances = x
            .chunks_exact(d)
            .map(|x| {
                let first = x[0].abs() - REACH;
                (first * first + x[1..].iter().map(|v| v * v).sum::<f64>()) / d as f64
            })
            .collect();
        Outcome { share: heavy as f64 / count.max(1) as f64, variances, frechet }
    }

    fn conclude(context: &StudyContext, pair: &Pair, outcomes: &[Outcome]) {
        let miss = |o: &Outcome| (o.share - pair.weight).abs();
        let share = |o: &Outcome| share_error(o.share, o.variances.len());
        let (base, rest) = (&outcomes[0], &outcomes[1..]);
        let more = [0.02, f64::INFINITY];
        context.conclude("sigma", miss(&rest[0]) - miss(base), share(&rest[0]).hypot(share(base)), more);
        let width = |o: &Outcome| {
            let (mean, error) = mean_error(&o.variances);
            // How far the variance is from that of the data, either way, in logarithms.
            ((mean / (STD * STD)).ln().abs(), error / mean)
        };
        let worse = |o: &Outcome| difference(width(o), width(base));
        for (claim, outcome) in [("levels", &rest[1]), ("step", &rest[2]), ("denoising", &rest[3])] {
            let (difference, error) = worse(outcome);
            context.conclude(claim, difference, error, more);
        }
    }

    /// A small network trained at one rate throughout: its last weights jump about, their average does not, and nor
    /// does what is sampled with them.
    async fn averaging(context: &StudyContext, settings: &Settings, all: usize) -> Result<(), StudyError> {
        let mixture = three_modes();
        let sigmas = geometric(4.0, 0.1, 10);
        let data = mixture.draw(&mut context.rng(Stream::Data, 1), 8 * SAMPLED);
        context.draw("averaged", "data", data.iter().take(SAMPLED).flatten().copied());
        let slices = Slices::new(&data, 32, context.seed());
        let mut net = LevelNet::new(context, Size { dimension: 2, width: 32, depth: 2, data: 1.5 }, 0);
        let [mut last, mut averaged] = [const { Vec::new() }; 2];
        let shown = settings.averaging == Switch::On;
        for round in 1..=AVERAGED {
            for step in (round - 1) * BETWEEN..round * BETWEEN {
                context.yield_now().await;
                let mut rng = context.rng(Stream::Batch, step as u32);
                let x = flat(&mixture.draw(&mut rng, 32));
                let noise = rng.normals(x.len());
                net.train(&x, &noise, |i| sigmas[(i + step) % sigmas.len()], |_| 1.0, 2e-2);
            }
            net.wait().await?;
            let mut distances = [0.0; 2];
            for (distance, average) in distances.iter_mut().zip([false, true]) {
                // The same starts and the same noise for both.
                let mut rng = context.rng(Stream::Test, round as u32);
                let mut x: Vec<f32> = rng.normals(2 * SAMPLED).iter().map(|z| sigmas[0] as f32 * z).collect();
                for &sigma in &sigmas {
                    for _ in 0..5 {
                        net.langevin(context, &mut x, sigma, 0.5 * sigma * sigma, &mut rng, average).await?;
                    }
                }
                net.denoise(&mut x, sigmas[sigmas.len() - 1], average).await?;
                *distance = slices.distance(&points(&x));
                if average == shown {
                    context.draw("averaged", "annealed", x.iter().map(|v| f64::from(*v)));
                }
            }
            let step = (round * BETWEEN) as f64;
            last.extend([step, distances[0]]);
            averaged.extend([step, distances[1]]);
            context.draw("averaging", "last-weights", last.iter().copied());
            context.draw("averaging", "averaged-weights", averaged.iter().copied());
            context.progress(all - AVERAGED + round, all);
        }
        // The first rounds are those of a network that has learned too little for either. Not by how much: with bad
        // weights chains can run away, and one such round would outweigh all others.
        let pairs = last.chunks_exact(2).zip(averaged.chunks_exact(2)).skip(AVERAGED / 5);
        let better: Vec<bool> = pairs.map(|(last, averaged)| averaged[1] < last[1]).collect();
        let share = better.iter().filter(|better| **better).count() as f64 / better.len() as f64;
        context.conclude("averaging", share, share_error(share, better.len()), [0.5, 1.0]);
        Ok(())
    }
}
