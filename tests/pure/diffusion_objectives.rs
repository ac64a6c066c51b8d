//! Objectives and likelihoods against closed forms.

use std::convert::Infallible;

use crate::support::{Gaussian, Mixture};
use scorefield::diffusion::likelihood::{
    Bound, Diverges, JacobianProduct, Probes, bits_per_dimension, dequantise, flow_likelihood, variational_bound,
};
use scorefield::diffusion::objective::{
    BYTE_HALF_WIDTH, LossMemory, denoising, exact_discretised_log_probability, gaussian_implicit,
    gaussian_implicit_misprinted, hybrid, low_discrepancy_times, sliced,
};
use scorefield::diffusion::prediction::canonical;
use scorefield::diffusion::solver::Tolerance;
use scorefield::diffusion::{Denoiser, Estimate, Level, Prediction, Schedule, Spacing, Weighting, infallible, now};

/// The mean of a function under a density on the line, by the trapezoid rule, which converges faster than any power for
/// smooth functions that vanish at the ends.
fn average(density: impl Fn(f64) -> f64, f: impl Fn(f64) -> f64) -> f64 {
    let step = 0.002;
    (-6000..6000).map(|i| f64::from(i) * step).map(|x| density(x) * f(x) * step).sum()
}

const NOISY: Level = Level { t: 0.3, alpha: 0.9, sigma: 0.4 };

fn mixture() -> Mixture {
    Mixture(vec![(0.7, -0.8, 0.05), (0.3, 0.9, 0.2)])
}

/// Score and its derivative of a model that is not the truth.
fn model(x: f64) -> (f64, f64) {
    ((1.3 * x).sin() - 0.8 * x, 1.3 * (1.3 * x).cos() - 0.8)
}

/// Explicit score matching: half the squared distance of the score to the true one (Hyvärinen 2005).
fn explicit(score: &[f64], truth: &[f64]) -> f64 {
    0.5 * score.iter().zip(truth).map(|(s, t)| (s - t).powi(2)).sum::<f64>()
}

/// Implicit score matching: the trace of the score's Jacobian plus half its square. Its mean differs from that of
/// [`explicit`] by `1/2 E |true score|^2`, which no parameter changes.
fn implicit(score: &[f64], trace: f64) -> f64 {
    trace + 0.5 * score.iter().map(|s| s * s).sum::<f64>()
}

#[test]
fn implicit_is_explicit_score_matching_up_to_half_the_square_of_the_true_score() {
    let data = mixture();
    let density = |x| data.log_density(x, NOISY).exp();
    let truth = |x| -data.believe(x, NOISY).noise / NOISY.sigma;
    let left = average(density, |x| explicit(&[model(x).0], &[truth(x)]));
    let right =
        average(density, |x| implicit(&[model(x).0], model(x).1)) + average(density, |x| 0.5 * truth(x).powi(2));
    assert!((left - right).abs() < 1e-10, "{left} {right}");
}

#[test]
fn denoising_is_explicit_score_matching_of_the_noisy_density_up_to_a_constant() {
    // The constant is the same for every model: compare two.
    let data = mixture();
    let gap = |score: fn(f64) -> f64| {
        let truth = |x| -data.believe(x, NOISY).noise / NOISY.sigma;
        let of_density = average(|x| data.log_density(x, NOISY).exp(), |x| explicit(&[score(x)], &[truth(x)]));
        let mut of_pairs = 0.0;
        for (weight, mean, variance) in &data.0 {
            // Ten thousand pairs on a grid of both normal variables.
            for i in -60..=60 {
                for j in -60..=60 {
                    let (u, z) = (f64::from(i) * 0.1, f64::from(j) * 0.1);
                    let p = (-0.5 * (u * u + z * z)).exp() / std::f64::consts::TAU * 0.01;
                    let x = NOISY.mix(mean + variance.sqrt() * u, z);
                    of_pairs += weight * p * denoising(&[score(x)], &[z], NOISY.sigma);
                }
            }
        }
        of_pairs - of_density
    };
    let (one, other) = (gap(|x| model(x).0), gap(|x| -2.0 * x));
    assert!((one - other).abs() < 1e-6 && one > 0.1, "{one} {other}");
}

#[test]
fn sliced_score_matching_averages_to_the_implicit_one_over_directions() {
    let (score, jacobian) = ([0.7, -1.2], [[0.5, 0.3], [-0.9, -1.4]]);
    let exact = implicit(&score, jacobian[0][0] + jacobian[1][1]);
    let curvature =
        |v: [f64; 2]| (0..2).map(|i| (0..2).map(|j| v[i] * jacobian[i][j] * v[j]).sum::<f64>()).sum::<f64>();
    // Directions on a circle of radius sqrt(2) have E v v^T = I, and 64 of them average quadratics exactly.
    let directions = (0..64).map(|k| f64::from(k) * std::f64::consts::TAU / 64.0);
    let mut plain = 0.0;
    for angle in directions {
        let v = [2.0_f64.sqrt() * angle.cos(), 2.0_f64.sqrt() * angle.sin()];
        plain += sliced(&score, &v, curvature(v)) / 64.0;
    }
    assert!((plain - exact).abs() < 1e-12);
}

#[test]
fn the_gaussian_closed_form_is_smallest_at_the_datas_moments() {
    let (m, v) = (1.5, 8.86);
    let best = gaussian_implicit(m, v, m, v);
    assert!((best + 0.5 / v).abs() < 1e-15);
    for (mean, variance) in [(m + 0.1, v), (m - 0.1, v), (m, 1.02 * v), (m, 0.98 * v), (0.0, 1.0), (3.0, 100.0)] {
        assert!(gaussian_implicit(mean, variance, m, v) > best);
    }
    // It is the implicit objective, averaged.
    let density = |x: f64| (-(x - 0.3_f64).powi(2) / 1.2).exp() / (std::f64::consts::PI * 1.2).sqrt();
    let averaged = average(density, |x| implicit(&[-(x + 0.2) / 0.9], -1.0 / 0.9));
    assert!((averaged - gaussian_implicit(-0.2, 0.9, 0.3, 0.6)).abs() < 1e-12);
}

#[test]
fn the_articles_printed_loss_has_no_minimum() {
    let (m, v) = (1.5, 8.86);
    let mut last = f64::INFINITY;
    for exponent in 0..30 {
        let loss = gaussian_implicit_misprinted(m, 10.0_f64.powi(exponent), m, v);
        assert!(loss < last && loss > 0.0);
        last = loss;
    }
    assert!(last < 1e-28);
}

#[test]
fn the_decoders_probabilities_sum_to_one() {
    for values in [256, 17] {
        let half_width = 1.0 / f64::from(values - 1);
        let pixel = |value: i32| 2.0 * half_width * f64::from(value) - 1.0;
        for (mean, std) in [(0.0, 0.1), (-0.97, 0.3), (1.2, 0.05), (0.3, 2.0)] {
            let log = |value| exact_discretised_log_probability(pixel(value), mean, std, half_width);
            let total: f64 = (0..values).map(|value| log(value).exp()).sum();
            // Each bin may be lifted to 1e-12.
            assert!((total - 1.0).abs() < 1e-9, "{mean} {std}: {total}");
        }
    }
    assert_eq!(exact_discretised_log_probability(0.0, 5.0, 0.01, BYTE_HALF_WIDTH), 1e-12_f64.ln());
}

#[test]
fn the_hybrid_loss_has_a_thousandth_of_the_bound() {
    assert!((hybrid(0.5, 0.02, 4000) - 0.58).abs() < 1e-15);
}

/// The weight of the squared error of a prediction.
fn of_prediction(weighting: Weighting, prediction: Prediction, schedule: &Schedule, level: Level) -> f64 {
    let scale = prediction.output_scale(canonical(level).0);
    weighting.of_raw_output(prediction, schedule, level) / (scale * scale)
}

#[test]
fn weightings_agree_across_predictions() {
    // A weighting of the data error must weigh a given data error alike, whatever the network predicts.
    for schedule in [Schedule::Cosine, Schedule::Exploding { sigma_min: 0.01, sigma_max: 50.0 }, Schedule::Flow] {
        let (first, last) = schedule.time_range();
        for i in 0..=20 {
            let level = schedule.level(last + (first - last) * f64::from(i) / 20.0);
            let (seen, _) = canonical(level);
            for weighting in [Weighting::MinSnr { cap: 5.0 }, Weighting::Edm { data_std: 1.0 }, Weighting::Likelihood] {
                let of_data = of_prediction(weighting, Prediction::Data, &schedule, level);
                assert!(of_data.is_finite() && of_data > 0.0);
                for prediction in [Prediction::Noise, Prediction::Velocity, Prediction::Score, Prediction::Flow] {
                    let (a, b) = prediction.target(seen);
                    // A data error of 1 is a noise error of -alpha / sigma.
                    let error = a - b * seen.alpha / seen.sigma;
                    let loss = of_prediction(weighting, prediction, &schedule, level) * error * error;
                    assert!((loss / of_data - 1.0).abs() < 1e-9, "{weighting:?} {prediction:?} {level:?}");
                }
            }
            assert_eq!(of_prediction(Weighting::Simple, Prediction::Noise, &schedule, level), 1.0);
        }
    }
    let vp = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    let level = vp.level(0.4);
    // g^2 |score error|^2 = beta / sigma^2 |noise error|^2
    let expected = (0.1 + 19.9 * 0.4) / level.sigma.powi(2);
    assert!((of_prediction(Weighting::Likelihood, Prediction::Noise, &vp, level) / expected - 1.0).abs() < 1e-12);
    // EDM: c_out^-2 on the data is 1 on its own output.
    let ve = Level { t: 0.1, alpha: 1.0, sigma: 0.7 };
    let edm = Schedule::Edm { sigma_min: 0.01, sigma_max: 80.0 };
    let by_data = of_prediction(Weighting::Edm { data_std: 1.0 }, Prediction::Data, &edm, ve);
    assert!((by_data - Prediction::Karras { data_std: 1.0 }.sensitivity(ve).powi(2)).abs() < 1e-12);
}

#[test]
fn low_discrepancy_times_have_one_in_every_part() {
    let times = low_discrepancy_times(16, 0.83);
    let mut parts: Vec<usize> = times.map(|t| (t * 16.0) as usize).collect();
    parts.sort_unstable();
    assert_eq!(parts, (0..16).collect::<Vec<_>>());
}

#[test]
fn importance_sampling_follows_the_losses_and_stays_unbiased() {
    let mut memory = LossMemory::new(4);
    assert_eq!(memory.probabilities(), [0.25; 4]);
    for round in 0..25 {
        for step in 0..4 {
            // The old large losses must be forgotten.
            memory.note(step, if round < 15 { 100.0 } else { [4.0, 1.0, 1.0, 2.0][step] });
        }
    }
    memory.note(2, f64::NAN);
    memory.note(9, 1.0);
    let p = memory.probabilities();
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-14);
    assert!((p[0] - (0.999 * 0.5 + 0.00025)).abs() < 1e-12);
    // The mean of loss * weight over draws is the plain mean.
    let losses = [4.0, 1.0, 1.0, 2.0];
    let count = 100_000;
    let total: f64 =
        (0..count).map(|i| memory.draw((f64::from(i) + 0.5) / f64::from(count))).map(|(s, w)| losses[s] * w).sum();
    assert!((total / f64::from(count) - 2.0).abs() < 1e-3);
}

/// Data `N(mean, diag(variances))` in the plane, with everything known.
struct Plane {
    mean: [f64; 2],
    variances: [f64; 2],
}

impl Plane {
    fn axis(&self, i: usize) -> Gaussian {
        Gaussian::new(self.mean[i], self.variances[i])
    }
    fn believe(&self, x: &[f64; 2], level: Level) -> Estimate<[f64; 2]> {
        let (a, b) = (self.axis(0).believe(x[0], level), self.axis(1).believe(x[1], level));
        Estimate::new([a.data, b.data], [a.noise, b.noise])
    }
    fn slopes(&self, level: Level) -> [f64; 2] {
        [level.sigma / self.axis(0).total(level), level.sigma / self.axis(1).total(level)]
    }
}

impl Denoiser<[f64; 2]> for Plane {
    type Error = Infallible;

    async fn estimate(&mut self, x: &[f64; 2], level: Level) -> Result<Estimate<[f64; 2]>, Infallible> {
        Ok(self.believe(x, level))
    }
}

impl Diverges<[f64; 2]> for Plane {
    type Error = Infallible;

    async fn estimate_with_divergence(
        &mut self,
        x: &[f64; 2],
        level: Level,
    ) -> Result<(Estimate<[f64; 2]>, Vec<f64>), Infallible> {
        Ok((self.believe(x, level), vec![self.slopes(level).iter().sum()]))
    }
}

impl JacobianProduct<[f64; 2]> for Plane {
    type Error = Infallible;

    async fn estimate_with_product(
        &mut self,
        x: &[f64; 2],
        level: Level,
        v: &[f64; 2],
    ) -> Result<(Estimate<[f64; 2]>, [f64; 2]), Infallible> {
        let slopes = self.slopes(level);
        Ok((self.believe(x, level), [slopes[0] * v[0], slopes[1] * v[1]]))
    }
}

const TIGHT: Tolerance = Tolerance { relative: 1e-9, absolute: 1e-9 };

#[test]
fn the_flow_likelihood_is_the_exact_log_density() {
    let mut data = Plane { mean: [0.5, -0.3], variances: [0.5, 2.0] };
    let x = [1.0, 0.4];
    for schedule in [
        Schedule::Linear { beta_min: 0.1, beta_max: 20.0 },
        Schedule::SubVp { beta_min: 0.1, beta_max: 20.0 },
        Schedule::Exploding { sigma_min: 0.01, sigma_max: 2000.0 },
    ] {
        let (last, first) = schedule.time_range();
        let found = infallible(now(flow_likelihood(&schedule, TIGHT, &mut data, x)));
        let (start, end) = (schedule.level(first), schedule.level(last));
        let exact: f64 = (0..2)
            .map(|i| {
                let total = data.axis(i).total(start);
                let centred = x[i] - start.alpha * data.mean[i];
                -0.5 * ((std::f64::consts::TAU * total).ln() + centred * centred / total)
            })
            .sum();
        // The prior is N(0, prior_std^2) where the flow ends at N(alpha m, alpha^2 v + sigma^2): alpha at the end is
        // 0.0066, and 1 / 2000 of the noise for the exploding schedule.
        assert!((found.log_density[0] - exact).abs() < 5e-3, "{schedule:?}: {} {exact}", found.log_density[0]);
        for (i, (x, latent)) in x.iter().zip(found.latent).enumerate() {
            let code = data.axis(i).flow(*x, start, end);
            assert!((latent - code).abs() < 1e-5 * end.sigma.max(1.0), "{schedule:?}");
        }
    }
}

#[test]
fn hutchinsons_estimate_is_right_on_average() {
    let mut data = Plane { mean: [0.0, 0.0], variances: [0.5, 2.0] };
    let schedule = Schedule::Linear { beta_min: 0.1, beta_max: 20.0 };
    let x = [1.0, 0.4];
    let exact = infallible(now(flow_likelihood(&schedule, TIGHT, &mut data, x))).log_density[0];
    let with = |data: &mut Plane, probe| {
        let probes = [probe];
        let mut estimated = Probes { model: data, probes: &probes, weight: 1.0 };
        infallible(now(flow_likelihood(&schedule, TIGHT, &mut estimated, x))).log_density[0]
    };
    // The Jacobian is diagonal: any signs give the divergence itself.
    assert!((with(&mut data, [1.0, -1.0]) - exact).abs() < 1e-6);
    // Normal probes average to it: Gauss-Hermite's two points per axis have the normal's second moments, as signs do,
    // so take three, with weights 1/6, 2/3, 1/6.
    let nodes = [(-3.0_f64.sqrt(), 1.0 / 6.0), (0.0, 2.0 / 3.0), (3.0_f64.sqrt(), 1.0 / 6.0)];
    let mut mean = 0.0;
    for (u, p) in nodes {
        for (v, q) in nodes {
            mean += p * q * with(&mut data, [u, v]);
        }
    }
    assert!((mean - exact).abs() < 1e-6);
    assert!((with(&mut data, [3.0_f64.sqrt(), 0.0]) - exact).abs() > 0.1);
}

#[test]
fn bits_per_dimension_of_uniform_noise_are_eight() {
    // Uniform on [0, 1]: log-density 0. Uniform on [-1, 1]: -D ln 2.
    assert_eq!(bits_per_dimension(0.0, 3072, 1.0), 8.0);
    assert!((bits_per_dimension(-3072.0 * std::f64::consts::LN_2, 3072, 2.0) - 8.0).abs() < 1e-12);
    assert_eq!((dequantise(0, 0.0), dequantise(255, 1.0)), (0.0, 1.0));
}

/// The bound at one point, averaged exactly over the noise of every level: the terms are quadratic in it, and three
/// Gauss-Hermite nodes are exact for that.
fn bound_at(x: f64, levels: &[Level], data: Gaussian, exact_variance: bool) -> Bound {
    let nodes = [(-3.0_f64.sqrt(), 1.0 / 6.0), (0.0, 2.0 / 3.0), (3.0_f64.sqrt(), 1.0 / 6.0)];
    let spread = |level: Level| data.variance * level.sigma.powi(2) / data.total(level);
    let last = levels[levels.len() - 2];
    let decoder = spread(last);
    let mut sum = Bound { prior: 0.0, steps: vec![0.0; levels.len() - 2], reconstruction: 0.0, samples: vec![0.0] };
    for (z, weight) in nodes {
        let top = levels[0];
        // The prior that matches the chain's end needs data of mean 0, and this variance.
        let prior_std = data.total(top).sqrt();
        let bound = infallible(now(variational_bound(
            levels,
            &mut data.clone(),
            &x,
            &mut |_| z,
            prior_std,
            |posterior, from, _| {
                posterior.variance + if exact_variance { posterior.data.powi(2) * spread(from) } else { 0.0 }
            },
            async |data: &f64, mean: &f64| {
                Ok(vec![-0.5 * ((std::f64::consts::TAU * decoder).ln() + (data - mean).powi(2) / decoder)])
            },
        )));
        sum.prior += weight * bound.prior;
        sum.reconstruction += weight * bound.reconstruction;
        // One sample: its own sum is the bound's.
        assert!((bound.samples[0] - bound.total()).abs() < 1e-12);
        sum.steps.iter_mut().zip(bound.steps).for_each(|(s, b)| *s += weight * b);
    }
    sum
}

#[test]
fn the_variational_bound_of_linear_gaussian_data_is_the_exact_log_likelihood() {
    let data = Gaussian::new(0.0, 0.7);
    for schedule in [Schedule::Cosine, Schedule::Exploding { sigma_min: 0.01, sigma_max: 5.0 }] {
        for steps in [2, 5, 40] {
            let levels = schedule.grid(Spacing::Uniform, steps);
            for x in [0.0, 0.6, -2.1] {
                let exact = -0.5 * ((std::f64::consts::TAU * data.variance).ln() + x * x / data.variance);
                let bound = bound_at(x, &levels, data, true);
                assert_eq!(bound.steps.len(), steps - 1);
                assert!((bound.total() + exact).abs() < 1e-9, "{schedule:?} {steps}: {} {exact}", bound.total());
                // With DDPM's small variance it is a bound only on average over the data.
            }
            let average = |exact_variance| {
                [(-3.0_f64.sqrt(), 1.0 / 6.0), (0.0, 2.0 / 3.0), (3.0_f64.sqrt(), 1.0 / 6.0)]
                    .iter()
                    .map(|(u, w)| w * bound_at(data.variance.sqrt() * u, &levels, data, exact_variance).total())
                    .sum::<f64>()
            };
            assert!(average(false) > average(true), "the exact reversal must have the best bound");
        }
    }
    assert!((Bound::bits_per_dimension(std::f64::consts::LN_2 * 6.0, 2) - 3.0).abs() < 1e-15);
}
