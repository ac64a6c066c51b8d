//! The drawing pad: the visitor's own data set, by mouse, touch, pen or keyboard.

use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::html::Canvas;
use leptos::prelude::*;

use super::scene::context;
use super::state::{effect, flag, memo, page, t, text};
use crate::lab::drawing::{GRID, MAX_POINTS};

/// Pixels along a side of the pad's bitmap.
const SIDE: u32 = 384;

/// The pad. The arrow keys move a cursor, space or Enter sets a point.
#[component]
pub fn Pad() -> impl IntoView {
    let page = page();
    let canvas = NodeRef::<Canvas>::new();
    let drawing = RwSignal::new(false);
    let cursor = RwSignal::new([0.0, 0.0]);
    let focused = RwSignal::new(false);
    // Lengths of the drawing before each stroke.
    let strokes = RwSignal::new(Vec::<usize>::new());
    let count = memo(move || page.config.with(|c| c.drawing.cells().len()));

    let push = move |x: f64, y: f64| {
        let mut copy = page.config.with_untracked(|c| c.drawing.clone());
        if copy.push(x, y) {
            page.config.update(|c| c.drawing = copy);
        }
    };
    let place = move |event: &PointerEvent| {
        let Some(canvas) = canvas.get_untracked() else { return };
        let rect = canvas.get_bounding_client_rect();
        if rect.width() > 0.0 && rect.height() > 0.0 {
            let x = (f64::from(event.client_x()) - rect.left()) / rect.width() * 2.0 - 1.0;
            let y = 1.0 - (f64::from(event.client_y()) - rect.top()) / rect.height() * 2.0;
            push(x, y);
        }
    };
    let begin = move || {
        let length = count.get_untracked();
        strokes.update(|s| s.push(length));
    };
    let undo = move |_| {
        let mut earlier = strokes.get_untracked();
        // Without a memory of strokes, as after a link, one point at a time.
        let length = earlier.pop().unwrap_or(count.get_untracked().saturating_sub(1));
        strokes.set(earlier);
        page.config.update(|c| c.drawing.truncate(length));
    };
    let clear = move |_| {
        strokes.set(Vec::new());
        page.config.update(|c| c.drawing.truncate(0));
    };
    let key = move |event: KeyboardEvent| {
        let step = 2.0 / f64::from(GRID) * if event.shift_key() { 6.0 } else { 2.0 };
        let moved = match event.key().as_str() {
            "ArrowLeft" => [-step, 0.0],
            "ArrowRight" => [step, 0.0],
            "ArrowUp" => [0.0, step],
            "ArrowDown" => [0.0, -step],
            " " | "Enter" => {
                event.prevent_default();
                begin();
                let [x, y] = cursor.get_untracked();
                return push(x, y);
            }
            "Backspace" => {
                event.prevent_default();
                return undo(());
            }
            _ => return,
        };
        event.prevent_default();
        cursor.update(|c| *c = [(c[0] + moved[0]).clamp(-1.0, 1.0), (c[1] + moved[1]).clamp(-1.0, 1.0)]);
    };

    effect(move || {
        let points: Vec<[f64; 2]> = page.config.with(|c| c.drawing.points().collect());
        let (dark, focused, [cx, cy]) = (page.dark.get(), focused.get(), cursor.get());
        let Some(canvas) = canvas.get() else { return };
        let Some(context) = context(&canvas) else { return };
        let side = f64::from(SIDE);
        let pixel = |v: f64| (v + 1.0) / 2.0 * side;
        context.clear_rect(0.0, 0.0, side, side);
        context.set_fill_style_str(if dark { "#ff9e5c" } else { "#ce4a22" });
        for [x, y] in points {
            context.fill_rect(pixel(x) - 3.0, side - pixel(y) - 3.0, 6.0, 6.0);
        }
        if focused {
            context.set_stroke_style_str(if dark { "#d8e4fa" } else { "#182c52" });
            context.set_line_width(2.0);
            context.stroke_rect(pixel(cx) - 7.0, side - pixel(cy) - 7.0, 14.0, 14.0);
        }
    });

    view! {
        <canvas
            class="pad"
            data-testid="drawing"
            node_ref=canvas
            width=SIDE
            height=SIDE
            tabindex="0"
            role="application"
            aria-labelledby="drawing-label"
            aria-describedby="drawing-help"
            on:pointerdown=move |event| {
                event.prevent_default();
                if let Some(canvas) = canvas.get_untracked() {
                    let _ = canvas.focus();
                    // Without capture a stroke merely ends at the edge.
                    let _ = canvas.set_pointer_capture(event.pointer_id());
                }
                begin();
                drawing.set(true);
                place(&event);
            }
            on:pointermove=move |event| {
                if drawing.get_untracked() {
                    place(&event);
                }
            }
            on:pointerup=move |_| drawing.set(false)
            on:pointercancel=move |_| drawing.set(false)
            on:keydown=key
            on:focus=move |_| focused.set(true)
            on:blur=move |_| focused.set(false)
        ></canvas>
        <div class="row">
            <button type="button" class="quiet" data-testid="undo" disabled=flag(move || count.get() == 0) on:click=move |_| undo(())>
                {t("action.undo")}
            </button>
            <button type="button" class="quiet" data-testid="clear" disabled=flag(move || count.get() == 0) on:click=clear>
                {t("action.clear")}
            </button>
            <output class="count" aria-live="polite">
                {text(move || page.filled("drawing.count", &[("count", &count.get().to_string()), ("most", &MAX_POINTS.to_string())]))}
            </output>
        </div>
    }
    .into_any()
}
