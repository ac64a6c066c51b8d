//! Scales, ticks and labels.

use scorefield::plot::scale::nice_step;
use scorefield::plot::{Scale, number};

fn labels(scale: Scale, count: usize) -> Vec<String> {
    scale.ticks(count).into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
}

#[test]
fn linear_ticks_are_round_and_exact() {
    assert_eq!(labels(Scale::Linear { from: 0.0, to: 1.0 }, 5), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    assert_eq!(labels(Scale::Linear { from: -1.0, to: 1.0 }, 4), ["-1", "-0.5", "0", "0.5", "1"]);
    assert_eq!(labels(Scale::Linear { from: 0.0, to: 0.3 }, 3), ["0", "0.1", "0.2", "0.3"]);
    assert_eq!(labels(Scale::Linear { from: 0.0, to: 20000.0 }, 4), ["0", "5000", "10000", "15000", "20000"]);
    assert_eq!(labels(Scale::Linear { from: 0.0, to: 2e6 }, 2), ["0", "1e6", "2e6"]);
    assert_eq!(labels(Scale::Linear { from: 0.0, to: 2e-6 }, 2), ["0", "1e-6", "2e-6"]);
}

#[test]
fn logarithmic_ticks_are_decades_or_their_parts() {
    assert_eq!(labels(Scale::Log { from: 1e-3, to: 1e2 }, 6), ["0.001", "0.01", "0.1", "1", "10", "100"]);
    assert_eq!(labels(Scale::Log { from: 1.0, to: 20.0 }, 6), ["1", "2", "5", "10", "20"]);
    let wide = Scale::Log { from: 1e-12, to: 1e12 };
    assert!(labels(wide, 6).len() <= 7 && wide.ticks(6).len() == 25);
}

#[test]
fn there_are_about_as_many_ticks_as_asked_for() {
    for count in [2, 4, 6, 9] {
        for to in [0.07, 1.0, 3.3, 12.0, 777.0, 1e5] {
            let ticks = Scale::Linear { from: 0.0, to }.ticks(count);
            // A step is at most 2.5 times finer than asked.
            assert!(ticks.len() <= count + 1 && ticks.len() * 3 >= count, "{count} {to}: {}", ticks.len());
        }
    }
}

#[test]
fn ticks_lie_where_their_values_are() {
    for scale in [Scale::Linear { from: -3.0, to: 11.0 }, Scale::Log { from: 0.02, to: 5e4 }] {
        for tick in scale.ticks(5) {
            assert!((0.0..=1.0 + 1e-12).contains(&tick.position));
            assert!((scale.value(tick.position) / tick.value - 1.0).abs() < 1e-12 || tick.value == 0.0);
        }
    }
}

#[test]
fn scales_hold_their_values() {
    let values = [3.2, -0.7, 5.5, f64::NAN, f64::INFINITY];
    let scale = Scale::linear(values);
    assert_eq!(scale.ends(), (-2.0, 6.0));
    let scale = Scale::log([0.03, 7.0, -1.0, 0.0]);
    assert_eq!(scale.ends(), (0.02, 10.0));
    assert!(scale.position(0.0).is_nan());
    for (low, high) in [(1e-300, 1e300), (0.999_999_999, 1.0), (1e-3, 1e-3), (9.99e22, 1e23)] {
        let (from, to) = Scale::log([low, high]).ends();
        assert!(from > 0.0 && to >= 2.0 * from && to.is_finite(), "{from} {to}");
    }
}

#[test]
fn degenerate_ranges_still_have_a_scale() {
    assert_eq!(Scale::linear([]).ends(), (0.0, 1.0));
    assert_eq!(Scale::log([]).ends(), (0.1, 1.0));
    for value in [0.0, 2.0, -1e9, 1e-9] {
        let scale = Scale::linear([value, value]);
        let position = scale.position(value);
        assert!((0.2..=0.8).contains(&position), "{value} at {position}");
        assert!(scale.ticks(5).len() >= 2);
    }
    assert!(Scale::Linear { from: f64::NAN, to: 1.0 }.ticks(5).is_empty());
    assert!(Scale::Linear { from: 1.0, to: 1.0 }.ticks(5).is_empty());
    assert!(Scale::Log { from: -1.0, to: 1.0 }.ticks(5).is_empty());
}

#[test]
fn nice_steps_are_one_two_five() {
    for (step, nice) in [(1.0, 1.0), (1.1, 2.0), (2.1, 5.0), (5.1, 10.0), (0.001, 0.001), (0.03, 0.05), (1e7, 1e7)] {
        assert!((nice_step(step) / nice - 1.0).abs() < 1e-12, "{step}");
    }
    assert_eq!(nice_step(f64::NAN), 1.0);
}

#[test]
fn numbers_are_short() {
    let cases = [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (0.123_456, "0.123"),
        (0.999_6, "1"),
        (99_999.0, "1e5"),
        (12_345.0, "12345"),
        (123_456.0, "1.23e5"),
        (0.001_5, "0.0015"),
        (0.000_15, "1.5e-4"),
        (1e-300, "1e-300"),
        (f64::NAN, "nan"),
        (f64::NEG_INFINITY, "-inf"),
    ];
    for (value, text) in cases {
        assert_eq!(number(value, 3), text);
    }
    assert_eq!(number(std::f64::consts::PI, 6), "3.14159");
}
