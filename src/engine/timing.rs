//! Repeated measurements of time, for the benchmarks.

/// Longest budget, in milliseconds.
const LONGEST: f64 = 60_000.0;
/// Fewest and most measurements behind a median.
const FEWEST: usize = 3;
const MOST: usize = 10_000;

/// A budget as it was asked for, in milliseconds: what is no number is none.
#[must_use]
pub fn budget(ms: f64) -> f64 {
    if ms.is_nan() { 0.0 } else { ms.clamp(0.0, LONGEST) }
}

/// Measurements within a budget of time, in milliseconds.
pub struct Timings {
    /// The first one, where it is no measurement because it compiles and fills memory.
    pub warm_up: Option<f64>,
    found: Vec<f64>,
    start: f64,
    budget: f64,
}

impl Timings {
    /// None yet.
    #[must_use]
    pub fn new(budget: f64, now: f64) -> Self {
        Self { warm_up: None, found: Vec::new(), start: now, budget }
    }

    /// Whether there is to be another: there are too few, or there is time left.
    #[must_use]
    pub fn wants_more(&self, now: f64) -> bool {
        let count = self.found.len();
        count < FEWEST || (now - self.start < self.budget && count < MOST)
    }

    /// Notes a measurement.
    pub fn add(&mut self, ms: f64) {
        self.found.push(ms);
    }

    /// Notes a measurement, the first one as the warm-up.
    pub fn add_after_warm_up(&mut self, ms: f64) {
        if self.warm_up.is_some() { self.add(ms) } else { self.warm_up = Some(ms) }
    }

    /// How many there are, without the warm-up.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.found.len() as u32
    }

    /// The median; of an even number the larger of the two in the middle, of none 0.
    #[must_use]
    pub fn median(mut self) -> f64 {
        self.found.sort_by(f64::total_cmp);
        self.found.get(self.found.len() / 2).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_three_measurements_at_least_and_no_more_than_the_budget_has_time_for() {
        let mut timings = Timings::new(budget(f64::NAN), 100.0);
        for ms in [9.0, 1.0, 4.0] {
            assert!(timings.wants_more(1e9));
            timings.add(ms);
        }
        assert!(!timings.wants_more(100.0));
        assert_eq!((timings.count(), timings.median()), (3, 4.0));
        let mut timings = Timings::new(budget(1e9), 0.0);
        (0..4).for_each(|_| timings.add(1.0));
        assert!(timings.wants_more(LONGEST - 1.0) && !timings.wants_more(LONGEST));
        assert_eq!(Timings::new(0.0, 0.0).median(), 0.0);
        let mut timings = Timings::new(0.0, 0.0);
        [50.0, 2.0].into_iter().for_each(|ms| timings.add_after_warm_up(ms));
        assert_eq!((timings.warm_up, timings.count(), timings.median()), (Some(50.0), 1, 2.0));
    }
}
