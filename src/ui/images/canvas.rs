//! Canvases of images.

use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{HtmlCanvasElement, ImageData};

use crate::plot::mosaic::Mosaic;
use crate::ui::scene::context;

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
