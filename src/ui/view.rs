//! The big picture: what it shows, when it is painted anew, and its time slider.

use std::time::Duration;

use leptos::prelude::*;
use web_sys::Event;

use super::element::{Element, element};
use super::parts::{check, paint_when, quiet};
use super::scene::{FIELD_SIDE, Layers, Observed, View};
use super::state::{Page, effect, memo, page};
use super::{download, player};
use crate::decimal::fixed;
use crate::lab::{DenoiserId, ExperimentId, RunConfig};
use crate::session::Status;

/// Data points drawn behind the samples.
const DATA_POINTS: usize = 1500;
/// Pixels along a side of the picture's bitmap.
const PIXELS: u32 = 900;
/// Positions of the time slider while there are no frames.
const TIMES: usize = 200;
/// How long the score field waits for the slider to rest.
const REST: Duration = Duration::from_millis(80);

/// Keeps the scene in step with the configuration.
pub fn prepare(page: Page) {
    player::start(page);
    let source = memo(move || {
        // Images have no data set here, and their runs stay when a seed is changed.
        let of = |c: &RunConfig| {
            (c.experiment == ExperimentId::Plane).then(|| (c.dataset, c.drawing.clone(), c.gaussians.clone(), c.seed))
        };
        page.config.with(of)
    });
    effect(move || {
        let Some((.., seed)) = source.get() else { return };
        let data = page.config.with_untracked(RunConfig::data);
        page.scene.update_value(|scene| {
            scene.set_data(data.ok(), seed, DATA_POINTS);
            scene.forget_run(true);
        });
        page.reports.set(Default::default());
        page.frames.set((0, 0));
        page.paint();
    });
    // Timings are those of one network: it is timed when a worker is there and the settings rest.
    let untimed = memo(move || page.config.with(|c| page.session.with(|s| s.untimed(c))));
    let resting = StoredValue::new(None::<TimeoutHandle>);
    effect(move || {
        let network = untimed.get();
        if let Some(handle) = resting.get_value() {
            handle.clear();
        }
        let time = move || page.tell(|session| session.compare(&page.config.get_untracked()));
        resting.set_value(network.and_then(|_| set_timeout_with_handle(time, 8 * REST).ok()));
    });
    let known = memo(move || page.config.with(Observed::of));
    effect(move || {
        let observed = known.get();
        page.scene.update_value(|scene| scene.observed = observed);
        page.paint();
    });
    // The field of the network is asked for when the slider rests and the worker has time.
    let wanted = memo(move || {
        let trained = page.config.with(|c| c.denoiser == DenoiserId::Trained);
        let (able, step) = page.session.with(|s| {
            let able = s.has_weights() && matches!(s.status(), Status::Idle | Status::Done | Status::Paused);
            (able, s.checkpoint().map(|c| c.step))
        });
        let on = page.layers.get().score && trained && able;
        on.then(|| (page.level().t, step))
    });
    let waiting = StoredValue::new(None::<TimeoutHandle>);
    effect(move || {
        let wanted = wanted.get();
        if let Some(handle) = waiting.get_value() {
            handle.clear();
        }
        let Some((t, _)) = wanted else { return };
        let ask = move || {
            let config = page.config.get_untracked();
            page.tell(|session| {
                session.field(&config, t, FIELD_SIDE);
            });
        };
        waiting.set_value(set_timeout_with_handle(ask, REST).ok());
    });
}

/// The picture, its slider and its layers.
pub fn picture() -> Vec<Element> {
    let page = page();
    let side = PIXELS.to_string();
    let canvas = element("canvas").class("samples").test_id("samples").attribute("id", "picture");
    let canvas = canvas.attribute("width", &side).attribute("height", &side);
    paint_when(
        &canvas.canvas(),
        move || {
            page.repaint.track();
            page.frames.track();
            page.layers.track();
            page.dark.track();
            page.time.track();
            page.config.track();
        },
        move |canvas| {
            let view = View {
                frame: page.frames.get().1,
                level: page.level(),
                layers: page.layers.get(),
                dark: page.dark.get(),
                exact: page.config.with(|c| c.denoiser == DenoiserId::Exact),
            };
            page.scene.update_value(|scene| scene.paint(canvas, &view));
        },
    );
    let described = move || {
        let key = if page.frames.get().0 > 0 { "view.describe-samples" } else { "view.describe-data" };
        let data = page.config.with(|c| c.dataset.id());
        page.filled(key, &[("data", &page.text(&format!("choice.dataset.{data}")))])
    };
    let layers = element("fieldset").class("layers").holds(&[
        element("legend").class("unseen").says("view.layers"),
        layer("view.data", "show-data", |l| l.data, |l, on| l.data = on),
        layer("view.samples", "show-samples", |l| l.samples, |l, on| l.samples = on),
        layer("view.density", "show-density", |l| l.density, |l, on| l.density = on),
        layer("view.score", "show-score", |l| l.score, |l, on| l.score = on),
        layer("view.trajectories", "show-trajectories", |l| l.trajectories, |l, on| l.trajectories = on),
        layer("view.expected", "show-expected", |l| l.expected, |l, on| l.expected = on),
        layer("view.pairs", "show-pairs", |l| l.pairs, |l, on| l.pairs = on),
        layer("view.conditional", "show-conditional", |l| l.conditional, |l, on| l.conditional = on),
        layer("view.earlier", "show-earlier", |l| l.earlier, |l, on| l.earlier = on),
        quiet("export-png", "action.png", download::picture),
    ]);
    vec![canvas.attribute("role", "img").attribute_of("aria-label", described), time(), layers]
}

fn layer(name: &'static str, id: &'static str, get: fn(&Layers) -> bool, set: fn(&mut Layers, bool)) -> Element {
    let page = page();
    check(
        id,
        move || page.text(name),
        move || page.layers.with(get),
        move |on| page.layers.update(|layers| set(layers, on)),
    )
}

/// From noise, on the side where a line begins, to data.
pub fn time() -> Element {
    let page = page();
    let most = move || match page.frames.get().0 {
        0 => TIMES,
        count => count - 1,
    };
    let position = move || match page.frames.get() {
        (0, _) => ((1.0 - page.time.get()) * TIMES as f64).round() as usize,
        (_, index) => index,
    };
    let move_to = move |event: Event| {
        let Ok(value) = event_target_value(&event).parse::<usize>() else { return };
        page.playing.set(false);
        match page.frames.get_untracked().0 {
            0 => page.time.set(1.0 - value as f64 / TIMES as f64),
            count => page.frames.set((count, value.min(count - 1))),
        }
    };
    let words = move || {
        let level = page.level();
        page.filled("view.level", &[("t", &fixed(level.t, 2)), ("sigma", &fixed(level.sigma, 2))])
    };
    let replay = move || {
        page.frames.update(|f| f.1 = 0);
        page.playing.set(true);
    };
    let slider = element("input").attribute("type", "range").test_id("time").attribute("min", "0");
    // The most first: a value beyond it would be cut.
    let slider = slider
        .attribute_of("max", move || most().to_string())
        .property_of("value", move || position().to_string())
        .label("view.time")
        .attribute_of("aria-valuetext", words)
        .on("input", move_to);
    element("div").class("time").holds(&[
        quiet("replay", "action.replay", replay).attribute_when("disabled", move || page.frames.get().0 < 2),
        element("span").attribute("aria-hidden", "true").says("view.noise"),
        slider,
        element("span").attribute("aria-hidden", "true").says("view.clean"),
        element("output").class("level").words(words),
    ])
}
