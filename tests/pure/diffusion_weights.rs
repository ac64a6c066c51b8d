//! Loss weights of training, for every prediction, weighting, schedule and level: what they are, and that their bits stay.

use scorefield::diffusion::prediction::canonical;
use scorefield::diffusion::{Level, Prediction, Schedule, Weighting};
use scorefield::lab::{PredictionId, RunConfig, ScheduleId, WeightingId};

/// The schedules of the page with the levels that a run is trained at.
fn each_level(mut check: impl FnMut(&Schedule, Level)) {
    for &id in ScheduleId::ALL {
        let schedule = Schedule::from_config(&RunConfig { schedule: id, ..RunConfig::default() });
        for i in 0..512 {
            check(&schedule, schedule.training_level((f64::from(i) + 0.5) / 512.0));
        }
    }
}

/// The weights as the papers have them, in terms of the signal-to-noise ratio. `s` is `alpha^2 / sigma^2`.
fn closed_form(weighting: WeightingId, prediction: Prediction, schedule: &Schedule, level: Level) -> f64 {
    let s = (level.alpha / level.sigma).powi(2);
    // Square of the error of the raw output for a unit error of the data, x being known.
    let error = match prediction {
        Prediction::Data => 1.0,
        // noise = (x - alpha data) / sigma; the score times sigma is minus that.
        Prediction::Noise | Prediction::Score => s,
        // data = alpha x - sigma v at alpha^2 + sigma^2 = 1
        Prediction::Velocity => 1.0 + s,
        // noise - data
        Prediction::Flow => (1.0 + s.sqrt()).powi(2),
        Prediction::Karras { .. } => return 1.0,
    };
    match weighting {
        WeightingId::Simple => 1.0,
        WeightingId::MinSnr => s.min(5.0) / error,
        // (sigma^2 + data_std^2) / (sigma data_std)^2 in terms of sigma / alpha, of data of unit variance as the page's
        // are, not of EDM's images of 0.5.
        WeightingId::Edm => (1.0 / s + 1.0) * s / error,
        // g^2 of the score's error: g^2 / sigma^2 of the noise's
        WeightingId::Likelihood => schedule.diffusion(level.t).powi(2) / level.sigma.powi(2) * s / error,
    }
}

#[test]
fn the_loss_weights_of_the_page_are_those_of_the_papers() {
    for &weighting in WeightingId::ALL {
        for &id in PredictionId::ALL {
            each_level(|schedule, level| {
                let prediction = Prediction::from(id);
                let found = Weighting::from(weighting).of_raw_output(prediction, schedule, level);
                let expected = closed_form(weighting, prediction, schedule, level);
                // A dozen roundings.
                let close = (found - expected).abs() <= 1e-12 * expected;
                assert!(close, "{weighting:?} {id:?} {schedule:?} {level:?}: {found} instead of {expected}");
            });
        }
    }
}

/// The arithmetic that the weights of runs before were computed with.
fn as_before(weighting: WeightingId, prediction: Prediction, schedule: &Schedule, level: Level) -> f64 {
    if matches!(prediction, Prediction::Karras { .. }) {
        return 1.0;
    }
    let (view, _) = canonical(level);
    let ratio = prediction.output_scale(view) / prediction.sensitivity(view);
    let of_data_error = match weighting {
        WeightingId::Simple => return 1.0,
        WeightingId::MinSnr => level.snr().min(5.0),
        WeightingId::Edm => 1.0 / (view.sigma * view.sigma),
        WeightingId::Likelihood => (schedule.diffusion(level.t) * level.alpha / (level.sigma * level.sigma)).powi(2),
    };
    of_data_error * ratio * ratio
}

#[test]
fn runs_go_on_with_the_same_loss_weights_bit_for_bit() {
    for &weighting in WeightingId::ALL {
        for &id in PredictionId::ALL {
            each_level(|schedule, level| {
                let prediction = Prediction::from(id);
                let found = Weighting::from(weighting).of_raw_output(prediction, schedule, level);
                let before = as_before(weighting, prediction, schedule, level);
                assert_eq!(found.to_bits(), before.to_bits(), "{weighting:?} {id:?} {schedule:?} {level:?}");
            });
        }
    }
}

#[test]
fn manifests_name_predictions_by_their_ids() {
    for prediction in Prediction::all(0.5) {
        let written = serde_json::to_value(prediction);
        if prediction == Prediction::Flow {
            assert!(written.is_err(), "format 1 has no flow");
            continue;
        }
        let written = written.unwrap();
        assert_eq!(written["kind"], prediction.id());
        assert_eq!(serde_json::from_value::<Prediction>(written).unwrap(), prediction);
    }
    let karras = serde_json::to_string(&Prediction::Karras { data_std: 0.5 }).unwrap();
    assert_eq!(karras, r#"{"kind":"karras","data_std":0.5}"#);
    assert!(serde_json::from_str::<Prediction>(r#"{"kind":"flow"}"#).is_err());
}
