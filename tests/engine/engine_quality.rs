//! The default run of every data set reaches a stated quality. `docs/quality.md` has the table this prints:
//!
//!     QUALITY_SEEDS=4 cargo test --features cpu,models,studies --test engine engine_quality -- --nocapture
//!
//! `QUALITY_LINK='depth=3&steps=20'` tries other settings than the page's, `QUALITY_DATA=rings,grid` some data sets only.

use crate::page::Page;
use scorefield::data::metrics::Quality;
use scorefield::data::{DatasetId, Drawing};
use scorefield::lab::RunConfig;
use scorefield::protocol::{Command, Event, RunId};
use scorefield::share;

/// Largest Kullback-Leibler divergence over what data themselves have, in nats: twice the largest measured.
const ALLOWED: f64 = 0.04;

/// Largest sliced distance, in standard deviations of the data, beside about 0.03 for data themselves.
const SLICED: f64 = 0.09;

/// A drawing that every machine can make: a closed curve.
fn drawing() -> Drawing {
    let mut drawing = Drawing::default();
    for i in 0..120 {
        let angle = f64::from(i) * core::f64::consts::TAU / 120.0;
        drawing.push(0.7 * libm::cos(angle), 0.5 * libm::sin(2.0 * angle));
    }
    drawing
}

fn quality(config: &RunConfig) -> Quality {
    let mut page = Page::open();
    page.post(Command::Train { run: RunId(1), config: config.clone() });
    page.until(|e| matches!(e, Event::Done { .. }));
    page.post(Command::Sample { run: RunId(2), config: config.clone() });
    let events = page.until(|e| matches!(e, Event::Done { .. }));
    let quality = |e: &Event| if let Event::Quality { quality, .. } = e { Some(*quality) } else { None };
    events.iter().find_map(quality).expect("a finished run is judged")
}

#[test]
fn the_default_run_of_every_data_set_comes_close_to_the_data() {
    let seeds: u32 = std::env::var("QUALITY_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let (tried, rejected) = share::from_fragment(&std::env::var("QUALITY_LINK").unwrap_or_default());
    assert!(rejected.is_empty(), "{rejected:?}");
    let some = std::env::var("QUALITY_DATA").ok();
    let asked = |id: &DatasetId| some.as_ref().is_none_or(|some| some.split(',').any(|name| name == id.id()));
    let mut worst = Vec::new();
    for &dataset in DatasetId::ALL.iter().filter(|id| asked(id)) {
        let begin = std::time::Instant::now();
        let runs: Vec<Quality> = (1..=seeds)
            .map(|seed| quality(&RunConfig { dataset, seed, drawing: drawing(), ..tried.config.clone() }))
            .collect();
        let column = |value: fn(&Quality) -> f64| -> Vec<f64> { runs.iter().map(value).collect() };
        let text = |values: &[f64]| values.iter().map(|v| format!("{v:.4}")).collect::<Vec<_>>().join(" ");
        println!(
            "| {} | {} | {:.4} ± {:.4} | {} | {:.4} ± {:.4} | {:.1} s each",
            dataset.id(),
            text(&column(|q| q.kl)),
            runs[0].kl_floor,
            runs[0].kl_spread,
            text(&column(|q| q.sliced)),
            runs[0].sliced_floor,
            runs[0].sliced_spread,
            begin.elapsed().as_secs_f64() / f64::from(seeds),
        );
        for quality in runs {
            if quality.kl - quality.kl_floor > ALLOWED || quality.sliced > SLICED {
                worst.push((dataset, quality));
            }
        }
    }
    assert!(worst.is_empty(), "{worst:?}");
}
