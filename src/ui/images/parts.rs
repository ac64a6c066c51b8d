//! Pieces that the panels of the images share. Each is one type, whatever it does: the page grows with every other one.

use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{HtmlCanvasElement, ImageData};

use crate::plot::mosaic::Mosaic;
use crate::ui::scene::context;
use crate::ui::state::{effect, t};

/// A quiet button.
pub fn button(id: &'static str, key: &'static str, disabled: Option<Signal<bool>>, press: Box<dyn Fn()>) -> AnyView {
    let disabled = move || disabled.is_some_and(|disabled| disabled.get());
    view! {
        <button type="button" class="quiet" data-testid=id disabled=disabled on:click=move |_| press()>
            {t(key)}
        </button>
    }
    .into_any()
}

/// A box to tick.
pub fn check(id: &'static str, label: Signal<String>, checked: Signal<bool>, change: Box<dyn Fn(bool)>) -> AnyView {
    view! {
        <label class="toggle">
            <input
                type="checkbox"
                data-testid=id
                prop:checked=checked
                on:change=move |event| change(event_target_checked(&event))
            />
            <span>{label}</span>
        </label>
    }
    .into_any()
}

/// Paints again, once for each picture of the screen however often what `watch` looks at has changed.
pub fn paint_when(canvas: NodeRef<Canvas>, watch: Box<dyn Fn()>, paint: Box<dyn Fn(&HtmlCanvasElement)>) {
    let asked = StoredValue::new(false);
    let paint = StoredValue::new_local(paint);
    effect(move || {
        watch();
        if canvas.get().is_none() || asked.get_value() {
            return;
        }
        asked.set_value(true);
        request_animation_frame(move || {
            // What is shown may have gone in the meantime, and its memory with it.
            if asked.try_set_value(false).is_some() {
                return;
            }
            if let Some(canvas) = canvas.try_get_untracked().flatten() {
                paint.try_with_value(|paint| paint(&canvas));
            }
        });
    });
}

/// Writes pixels, red, green, blue and opacity, into a canvas, which takes their size.
pub fn put(canvas: &HtmlCanvasElement, pixels: &[u8], [width, height]: [usize; 2]) {
    canvas.set_width(width as u32);
    canvas.set_height(height as u32);
    let image = ImageData::new_with_u8_clamped_array(Clamped(pixels), width as u32);
    if let (Some(context), Ok(image)) = (context(canvas), image) {
        // Nothing of it can be foreign.
        let _ = context.put_image_data(&image, 0.0, 0.0);
    }
}

/// Paints images as a mosaic, and makes the canvas as wide on the screen as the mosaic says.
pub fn lay(canvas: &HtmlCanvasElement, images: &[u8], mosaic: &Mosaic) {
    let size = mosaic.size();
    put(canvas, &mosaic.pixels(images), size);
    // The height follows.
    let _ = web_sys::HtmlElement::style(canvas).set_property("width", &format!("{}px", size[0] * mosaic.zoom));
}

/// Room on the screen for what is in the parent of this canvas.
pub fn room(canvas: &HtmlCanvasElement) -> [usize; 2] {
    let width = canvas.parent_element().map_or(0, |parent| parent.client_width());
    let height = window().inner_height().ok().and_then(|height| height.as_f64()).unwrap_or(800.0);
    [width.max(0) as usize, (0.72 * height) as usize]
}

/// A canvas that is not in the page.
pub fn hidden_canvas() -> Option<HtmlCanvasElement> {
    document().create_element("canvas").ok()?.dyn_into().ok()
}
