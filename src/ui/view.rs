//! The big picture: what it shows, when it is painted anew, and its time slider.

use std::time::Duration;

use leptos::html::Canvas;
use leptos::prelude::*;

use super::scene::{FIELD_SIDE, Observed, View};
use super::state::{Layers, Page, effect, flag, memo, page, t, text};
use super::{export, player};
use crate::data::Dataset;
use crate::lab::{DenoiserId, Status};

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
    let source = memo(move || page.config.with(|c| (c.dataset, c.drawing.clone(), c.seed)));
    effect(move || {
        let (dataset, drawing, seed) = source.get();
        page.scene.update_value(|scene| {
            scene.set_data(Dataset::new(dataset, &drawing).ok(), seed, DATA_POINTS);
            scene.forget_run(true);
        });
        page.reports.set(Default::default());
        page.frames.set((0, 0));
        page.paint();
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
#[component]
pub fn Picture() -> impl IntoView {
    let page = page();
    let canvas = NodeRef::<Canvas>::new();
    let asked = StoredValue::new(false);
    effect(move || {
        page.repaint.track();
        page.frames.track();
        let (layers, dark, level) = (page.layers.get(), page.dark.get(), page.level());
        let exact = page.config.with(|c| c.denoiser == DenoiserId::Exact);
        let Some(canvas) = canvas.get() else { return };
        // However many signals change, one picture a frame; the last state wins.
        if asked.get_value() {
            LATEST.with(|latest| latest.set(Some((layers, dark, level, exact))));
            return;
        }
        asked.set_value(true);
        LATEST.with(|latest| latest.set(Some((layers, dark, level, exact))));
        request_animation_frame(move || {
            asked.set_value(false);
            let Some((layers, dark, level, exact)) = LATEST.with(std::cell::Cell::take) else { return };
            let (_, frame) = page.frames.get_untracked();
            let view = View { frame, level, layers, dark, exact };
            page.scene.update_value(|scene| scene.paint(&canvas, &view));
        });
    });
    let described = text(move || {
        let key = if page.frames.get().0 > 0 { "view.describe-samples" } else { "view.describe-data" };
        let data = page.config.with(|c| c.dataset.id());
        page.filled(key, &[("data", &page.text(&format!("choice.dataset.{data}")))])
    });
    view! {
        <canvas
            class="samples"
            data-testid="samples"
            id="picture"
            node_ref=canvas
            width=PIXELS
            height=PIXELS
            role="img"
            aria-label=described
        ></canvas>
        <Time />
        <fieldset class="layers">
            <legend class="unseen">{t("view.layers")}</legend>
            <Layer name="view.data" id="show-data" get=|l| l.data set=|l, on| l.data = on />
            <Layer name="view.samples" id="show-samples" get=|l| l.samples set=|l, on| l.samples = on />
            <Layer name="view.density" id="show-density" get=|l| l.density set=|l, on| l.density = on />
            <Layer name="view.score" id="show-score" get=|l| l.score set=|l, on| l.score = on />
            <Layer
                name="view.trajectories"
                id="show-trajectories"
                get=|l| l.trajectories
                set=|l, on| l.trajectories = on
            />
            <Layer name="view.expected" id="show-expected" get=|l| l.expected set=|l, on| l.expected = on />
            <button type="button" class="quiet" data-testid="export-png" on:click=move |_| export::picture()>
                {t("action.png")}
            </button>
        </fieldset>
    }
}

thread_local! {
    static LATEST: std::cell::Cell<Option<(Layers, bool, crate::diffusion::Level, bool)>> =
        const { std::cell::Cell::new(None) };
}

#[component]
fn Layer(name: &'static str, id: &'static str, get: fn(&Layers) -> bool, set: fn(&mut Layers, bool)) -> impl IntoView {
    let page = page();
    view! {
        <label class="toggle">
            <input
                type="checkbox"
                data-testid=id
                prop:checked=flag(move || page.layers.with(get))
                on:change=move |event| page.layers.update(|layers| set(layers, event_target_checked(&event)))
            />
            <span>{t(name)}</span>
        </label>
    }
    .into_any()
}

/// From noise, on the side where a line begins, to data.
#[component]
fn Time() -> impl IntoView {
    let page = page();
    let most = move || match page.frames.get().0 {
        0 => TIMES,
        count => count - 1,
    };
    let position = move || match page.frames.get() {
        (0, _) => ((1.0 - page.time.get()) * TIMES as f64).round() as usize,
        (_, index) => index,
    };
    let move_to = move |event| {
        let Ok(value) = event_target_value(&event).parse::<usize>() else { return };
        page.playing.set(false);
        match page.frames.get_untracked().0 {
            0 => page.time.set(1.0 - value as f64 / TIMES as f64),
            count => page.frames.set((count, value.min(count - 1))),
        }
    };
    let words = text(move || {
        let level = page.level();
        page.filled("view.level", &[("t", &format!("{:.2}", level.t)), ("sigma", &format!("{:.2}", level.sigma))])
    });
    view! {
        <div class="time">
            <button
                type="button"
                class="quiet"
                data-testid="replay"
                disabled=flag(move || page.frames.get().0 < 2)
                on:click=move |_| {
                    page.frames.update(|f| f.1 = 0);
                    page.playing.set(true);
                }
            >
                {t("action.replay")}
            </button>
            <span aria-hidden="true">{t("view.noise")}</span>
            <input
                type="range"
                data-testid="time"
                min="0"
                max=text(move || most().to_string())
                aria-label=t("view.time")
                aria-valuetext=words
                prop:value=text(move || {
                    // The most first: a value beyond it would be cut.
                    most();
                    position().to_string()
                })
                on:input=move_to
            />
            <span aria-hidden="true">{t("view.clean")}</span>
            <output class="level">{words}</output>
        </div>
    }
    .into_any()
}
