//! The studies without a network, whole: the numbers behind their figures and claims, with fixed seeds.
#![cfg(feature = "cpu")]

use scorefield::diffusion::now;
use scorefield::engine::open;
use scorefield::lab::{DeviceWish, RunConfig};
use scorefield::share::from_fragment;
use scorefield::study::{News, Verdict, complete};

fn config(link: &str) -> RunConfig {
    let (link, rejected) = from_fragment(link);
    assert_eq!(rejected, []);
    link.config
}

/// Runs the study of a link and prints what it measured.
fn run(link: &str) -> News {
    let config = config(link);
    let opened = now(open(DeviceWish::Cpu)).expect("this build has the CPU device");
    let report = now(complete(&config, &opened)).expect("the study goes through");
    let study = config.experiment.study().expect("a study");
    for m in &report.measured {
        let claim = study.claims[usize::from(m.claim)].key;
        println!("{link} {claim}: {} +- {} in [{}, {}] {:?}", m.value, m.error, m.low, m.high, m.verdict());
    }
    report
}

#[test]
fn all() {
    let mut bad = false;
    for link in ["#experiment=score-1d", "#experiment=gaussian-1d", "#experiment=langevin-weights"] {
        for seed in 1..=3 {
            let start = std::time::Instant::now();
            let report = run(&format!("{link}&seed={seed}"));
            println!("{:?}", start.elapsed());
            bad |= !report.measured.iter().all(|m| m.verdict() == Verdict::Holds);
        }
    }
    assert!(!bad);
}
