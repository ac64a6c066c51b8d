//! Several solvers from the same noise, at the same price.

use super::config::RunConfig;
use super::resolve::planned_evaluations;
use super::solver::SolverId;

/// Most images of a row of a comparison.
pub const MOST_IMAGES: u32 = 8;

/// Solvers that are compared when nothing else is asked for.
pub const USUAL: [SolverId; 4] = [SolverId::Ddim, SolverId::Heun, SolverId::DpmPp2m, SolverId::UniPc3];

/// The run of another solver over the same noise levels, spaced the same way, with as many steps as `evaluations` allow, and at least one.
/// `None` for a solver that chooses its own steps.
#[must_use]
pub fn with_solver(config: &RunConfig, solver: SolverId, evaluations: u32) -> Option<RunConfig> {
    let images = config.images.min(MOST_IMAGES);
    let with = |steps| RunConfig { solver, steps, images, ..config.clone() };
    planned_evaluations(&with(1))?;
    // Every step costs something, and no solver costs less when it takes more of them.
    let (mut fits, mut beyond) = (1, evaluations.saturating_add(2));
    while fits + 1 < beyond {
        let middle = fits + (beyond - fits) / 2;
        if planned_evaluations(&with(middle)).is_some_and(|n| n <= evaluations) {
            fits = middle;
        } else {
            beyond = middle;
        }
    }
    Some(with(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_solver_takes_all_the_evaluations_it_can_and_no_more() {
        let config = RunConfig { images: 20, ..RunConfig::default() };
        for &solver in SolverId::ALL {
            for evaluations in [4, 10, 21] {
                let Some(run) = with_solver(&config, solver, evaluations) else {
                    assert_eq!(solver, SolverId::Rk45);
                    continue;
                };
                assert_eq!((run.solver, run.seed, run.images), (solver, config.seed, MOST_IMAGES));
                let taken = planned_evaluations(&run).expect("a fixed price");
                let more = planned_evaluations(&RunConfig { steps: run.steps + 1, ..run.clone() });
                assert!(taken <= evaluations, "{solver:?}: {taken} of {evaluations}");
                assert!(more > Some(evaluations), "{solver:?}: {more:?} would fit in {evaluations}");
            }
        }
    }

    #[test]
    fn a_price_below_one_step_buys_one_step() {
        let run = with_solver(&RunConfig::default(), SolverId::Dpm3, 1).expect("a fixed price");
        assert_eq!(run.steps, 1);
    }
}
