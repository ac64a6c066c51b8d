//! The variational bound of a chain of digits, term by term: what each step costs every digit.

use super::chain::chain_levels;
use super::rows::Rows;
use crate::data::digits::HALF_WIDTH;
use crate::diffusion::likelihood::{learned_step_divergence, prior_divergences, step_divergences};
use crate::diffusion::objective::{exact_discretised_log_probability, low_discrepancy_times};
use crate::diffusion::prediction::learned_log_variance;
use crate::diffusion::schedule::Betas;
use crate::diffusion::solver::{Posterior, Variance};
use crate::diffusion::{Estimate, Level};
use crate::rng::Rng;

/// A chain by its steps, counted from 1: step `t` goes back from the level after `t` forward steps to that before.
pub struct Chain {
    /// The clean level, and that after each forward step.
    levels: Vec<Level>,
}

impl Chain {
    /// The chain of these betas.
    pub fn new(betas: &Betas) -> Self {
        Self { levels: chain_levels(betas) }
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.levels.len() - 1
    }

    /// Steps for the points of a batch, rising, one in each of as many equal parts of the chain.
    pub fn even_steps(&self, count: usize, rng: &mut Rng) -> Vec<usize> {
        let length = self.len();
        let step = |u: f64| 1 + ((u * length as f64) as usize).min(length - 1);
        low_discrepancy_times(count, rng.uniform()).map(step).collect()
    }

    /// The level after `t` forward steps.
    pub fn level(&self, t: usize) -> Level {
        self.levels[t]
    }

    /// The posterior of a step. That of the first has no variance: as in DDPM's code it gets that of the second.
    pub fn posterior(&self, t: usize) -> Posterior {
        let between = |t: usize| Posterior::between(self.levels[t], self.levels[t - 1]);
        let variance = between(t.max(2).min(self.len())).variance;
        Posterior { variance, ..between(t) }
    }

    /// The variance of a step with a fixed one. The decoder of the first step has the small one, as in DDPM's code.
    pub fn fixed_variance(&self, t: usize, variance: Variance) -> f64 {
        let posterior = self.posterior(t);
        if variance == Variance::Large && t > 1 { posterior.forward } else { posterior.variance }
    }

    /// The bound's term of a step for every row, in nats: a divergence, or for the first step what decoding costs. A model that
    /// learned no variance has the small one.
    pub async fn terms(&self, t: usize, data: &Rows, estimate: &Estimate<Rows>, variance: Variance) -> Vec<f64> {
        let posterior = self.posterior(t);
        let d = data.dimension;
        let rows = || data.values.chunks_exact(d).zip(estimate.data.values.chunks_exact(d)).enumerate();
        let learned = if variance == Variance::Learned { estimate.variance.as_ref() } else { None };
        let fixed = self.fixed_variance(t, variance);
        match learned {
            _ if t == 1 => {
                let std = |place: usize| match learned {
                    Some(v) => {
                        (0.5 * learned_log_variance(v.values[place], posterior.variance, posterior.forward)).exp()
                    }
                    None => fixed.sqrt(),
                };
                let term = |(row, (data, estimated)): (usize, (&[f64], &[f64]))| {
                    let pixels = data.iter().zip(estimated).enumerate();
                    let log = |(i, (data, mean)): (usize, (&f64, &f64))| {
                        exact_discretised_log_probability(*data, *mean, std(row * d + i), HALF_WIDTH)
                    };
                    -pixels.map(log).sum::<f64>()
                };
                rows().map(term).collect()
            }
            Some(v) => {
                let v = |row: usize| &v.values[row * d..(row + 1) * d];
                rows().map(|(row, (data, of))| learned_step_divergence(data, of, v(row), posterior)).collect()
            }
            None => step_divergences(data, &estimate.data, posterior, fixed).await,
        }
    }

    /// The bound's last term, of the chain's end, for every row, in nats.
    pub async fn prior_terms(&self, data: &Rows) -> Vec<f64> {
        prior_divergences(data, self.levels[self.len()], 1.0).await
    }
}

/// The steps of a chain whose terms are computed: all of a short one, and some of a long one, evenly in the logarithm.
pub struct Shown {
    /// The steps, counted from 1, rising; the first two and the last are among them.
    pub steps: Vec<usize>,
}

impl Shown {
    /// At most this many of the steps of a chain of this length.
    pub fn new(length: usize, count: usize) -> Self {
        if length <= count {
            return Self { steps: (1..=length).collect() };
        }
        let step = |i: usize| (length as f64).powf(i as f64 / (count.max(2) - 1) as f64).round() as usize;
        let mut steps: Vec<usize> = [1, 2].into_iter().chain((0..count).map(step)).collect();
        steps.sort_unstable();
        steps.dedup();
        Self { steps }
    }

    /// What each of them counts in the sum over the steps up to `last`: those left out lie on straight lines between
    /// their neighbours. The first, which decodes, counts for itself alone.
    pub fn counts(&self, last: usize) -> Vec<f64> {
        let mut counts = vec![0.0; self.steps.len()];
        counts[0] = 1.0;
        for (k, pair) in self.steps.windows(2).enumerate() {
            for t in (pair[0] + 1..=pair[1]).take_while(|t| *t <= last) {
                let share = (t - pair[0]) as f64 / (pair[1] - pair[0]) as f64;
                counts[k + 1] += share;
                counts[k] += 1.0 - share;
            }
        }
        counts
    }

    /// The sum over the steps up to `last` of terms, one list of all rows' for each shown step: one sum a row.
    pub fn sums(&self, last: usize, terms: &[&[f64]]) -> Vec<f64> {
        let mut sums = vec![0.0; terms.first().map_or(0, |terms| terms.len())];
        for (count, terms) in self.counts(last).iter().zip(terms) {
            sums.iter_mut().zip(*terms).for_each(|(sum, term)| *sum += count * term);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_is_summed_from_a_few_of_its_steps() {
        let shown = Shown::new(1000, 120);
        assert!(shown.steps.starts_with(&[1, 2, 3]) && shown.steps.ends_with(&[1000]) && shown.steps.len() <= 120);
        // Exact for terms on a line, and up to any step.
        for last in [1, 2, 50, 777, 1000] {
            let terms: Vec<[f64; 1]> = shown.steps.iter().map(|&t| [3.0 - 0.002 * t as f64]).collect();
            let terms: Vec<&[f64]> = terms.iter().map(<[f64; 1]>::as_slice).collect();
            let exact: f64 = (1..=last).map(|t| 3.0 - 0.002 * t as f64).sum();
            assert!((shown.sums(last, &terms)[0] - exact).abs() < 1e-9 * exact, "{last}");
        }
        // Nearly so for terms that fall as those of a bound do.
        let terms: Vec<[f64; 1]> = shown.steps.iter().map(|&t| [1.0 / t as f64]).collect();
        let terms: Vec<&[f64]> = terms.iter().map(<[f64; 1]>::as_slice).collect();
        let exact: f64 = (1..=1000).map(|t| 1.0 / f64::from(t)).sum();
        assert!((shown.sums(1000, &terms)[0] / exact - 1.0).abs() < 1e-3);
        assert_eq!(Shown::new(10, 120).steps, (1..=10).collect::<Vec<_>>());
        assert_eq!(Shown::new(10, 120).counts(7)[6..], [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_first_step_decodes_with_the_variance_of_the_second() {
        let betas = Betas::linear(1000, 1e-4, 0.02);
        let chain = Chain::new(&betas);
        let (first, second) = (chain.posterior(1), chain.posterior(2));
        assert_eq!((chain.len(), first.variance, first.data), (1000, second.variance, 1.0));
        assert!((first.forward - 1e-4).abs() < 1e-12 && first.variance < first.forward);
        assert_eq!(chain.fixed_variance(1, Variance::Large), second.variance);
        assert_eq!(chain.fixed_variance(2, Variance::Large), second.forward);
    }
}
