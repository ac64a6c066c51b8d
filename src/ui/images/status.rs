//! What the page says of a run of images.

use crate::lab::{DeviceChoice, ExperimentId};
use crate::plot::label::number;
use crate::session::image_state::ImageWeights;
use crate::session::{Phase, Slot};
use crate::ui::parts::megabytes;
use crate::ui::state::Page;

/// Whether the page shows images, followed.
#[must_use]
pub fn are_shown(page: Page) -> bool {
    page.config.with(|config| config.experiment == ExperimentId::Images)
}

/// How far the run is, in words, followed; nothing before that is known.
#[must_use]
pub fn words(page: Page) -> Option<String> {
    let fetching = page.session.with(|session| match session.image_weights() {
        ImageWeights::Fetching { received, total, .. } => Some([*received, *total]),
        _ => None,
    });
    if let Some([received, total]) = fetching {
        let [received, total] = [received, total].map(megabytes);
        return Some(page.filled("images.status-fetching", &[("received", &received), ("total", &total)]));
    }
    let progress = page.images.progress.get();
    if !are_shown(page) || progress.evaluations <= 0.0 {
        return None;
    }
    let key = if progress.planned > 0 { "images.status" } else { "images.status-open" };
    let values = [
        ("done", number(progress.evaluations, 3)),
        ("planned", progress.planned.to_string()),
        ("rate", number(progress.rate, 3)),
        ("left", number(progress.left.ceil(), 4)),
    ];
    Some(page.filled(key, &values.each_ref().map(|(name, value)| (*name, value.as_str()))))
}

/// The share of the run that is done, followed; nothing when that is not known.
#[must_use]
pub fn share(page: Page) -> Option<f64> {
    let progress = page.images.progress.get();
    (are_shown(page) && progress.planned > 0).then(|| progress.evaluations / f64::from(progress.planned))
}

/// What computes, and what can be expected of it, followed.
#[must_use]
pub fn device(page: Page) -> String {
    let key = page.session.with(|session| {
        let software = session.info(Slot::Gpu).is_some_and(|info| info.software);
        match (session.active(), session.has_adapter(), session.phase(Slot::Gpu)) {
            (Slot::Remote, ..) => "device.remote",
            (Slot::Gpu, ..) if software => "images.device-software",
            (Slot::Gpu, ..) => "images.device-gpu",
            (_, None, _) if session.chosen_device() != DeviceChoice::Cpu => "device.looking",
            (_, Some(true), Phase::Fetching(_)) => "device.fetching",
            (_, _, Phase::Dead) => "device.gpu-failed",
            _ => "images.device-cpu",
        }
    });
    page.text(key)
}
