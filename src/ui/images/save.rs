//! Images as files: PNG by the browser, moving ones as GIF.

use std::time::Duration;

use leptos::prelude::*;
use web_sys::HtmlCanvasElement;

use super::canvas::{hidden_canvas, lay, put};
use super::pixels::pixels;
use crate::plot::gif::Gif;
use crate::plot::mosaic::Mosaic;
use crate::session::film::shown;
use crate::ui::download;
use crate::ui::scene::context;
use crate::ui::state::Page;
use crate::ui::state::images::Row;

/// Pixels of the file for a pixel of an image.
const ZOOM: usize = 4;
/// The same for a single image.
const ZOOM_ONE: usize = 8;
/// Most frames of a moving picture.
const MOST_FRAMES: usize = 48;
/// Height of a caption.
const CAPTION: f64 = 22.0;
/// Hundredths of a second for a frame, and for the last one.
const DELAYS: [u16; 2] = [8, 200];

/// The layout of a file does not depend on the window.
fn layout(row: &Row, side: usize, compared: bool) -> Mosaic {
    let count = row.config.images as usize;
    if compared { Mosaic::line(count, side, 0) } else { Mosaic::fit(count, side, 1000, 800) }
}

fn compared(page: Page) -> bool {
    page.images.compared.with_untracked(|solvers| !solvers.is_empty())
}

/// A copy of a small canvas with large pixels, at some height of a large one.
fn enlarge(from: &HtmlCanvasElement, onto: &HtmlCanvasElement, top: f64, zoom: usize) {
    if let Some(context) = context(onto) {
        context.set_image_smoothing_enabled(false);
        let [width, height] = [from.width(), from.height()].map(|side| f64::from(side) * zoom as f64);
        // Both are ours and have a size.
        let _ = context.draw_image_with_html_canvas_element_and_dw_and_dh(from, 0.0, top, width, height);
    }
}

/// The images as they are shown, as PNG; those of a comparison with the names of their solvers.
pub fn grid(page: Page) {
    let (Some(small), Some(large)) = (hidden_canvas(), hidden_canvas()) else { return };
    let (count, index) = page.frames.get_untracked();
    let (expected, compared) = (page.images.expected.get_untracked(), compared(page));
    let caption = if compared { CAPTION } else { 0.0 };
    page.images.rows.with_value(|rows| {
        let laid: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                let frame = row.film.at(index, count)?;
                Some((row, frame, layout(row, frame.side as usize, compared)))
            })
            .collect();
        let sizes = laid.iter().map(|(.., mosaic)| mosaic.size().map(|side| (side * ZOOM) as u32));
        large.set_width(sizes.clone().map(|size| size[0]).max().unwrap_or(1));
        large.set_height(sizes.map(|size| size[1] + caption as u32).sum());
        let Some(context) = context(&large) else { return };
        context.set_fill_style_str("#fff");
        context.fill_rect(0.0, 0.0, f64::from(large.width()), f64::from(large.height()));
        let mut top = 0.0;
        for (row, frame, mosaic) in laid {
            if compared {
                let name = page.text(&format!("choice.solver.{}", row.config.solver.id()));
                context.set_fill_style_str("#222");
                context.set_font("14px sans-serif");
                let _ = context.fill_text(&format!("{name} · {}", frame.evaluations), 4.0, top + 16.0);
                top += caption;
            }
            lay(&small, shown(frame, expected), &mosaic);
            enlarge(&small, &large, top, ZOOM);
            top += (mosaic.size()[1] * ZOOM) as f64;
        }
    });
    download::picture_of(&large, "scorefield-images.png");
}

/// The image looked at, as PNG.
pub fn one(page: Page) {
    let (Some(small), Some(large)) = (hidden_canvas(), hidden_canvas()) else { return };
    let Some(pixels) = pixels(page) else { return };
    let side = (pixels.len() / 3).isqrt();
    let mosaic = Mosaic { count: 1, side, columns: 1, zoom: 1 };
    put(&small, &mosaic.pixels(&pixels), [side, side]);
    large.set_width((side * ZOOM_ONE) as u32);
    large.set_height((side * ZOOM_ONE) as u32);
    enlarge(&small, &large, 0.0, ZOOM_ONE);
    download::picture_of(&large, "scorefield-image.png");
}

/// The denoising as GIF, made frame by frame so that the page never stands still.
pub fn film(page: Page) {
    let (count, _) = page.frames.get_untracked();
    let frames = count.min(MOST_FRAMES);
    let size = page.images.rows.with_value(|rows| stacked(page, rows, 0, frames).map(|(_, size)| size));
    let Some([width, height]) = size.filter(|_| frames > 0) else { return };
    let zoom = (400 / width.max(1)).clamp(1, ZOOM);
    if let Some(gif) = Gif::new(width, height, zoom) {
        continue_film(page, gif, 0, frames);
    }
}

fn continue_film(page: Page, mut gif: Gif, index: usize, frames: usize) {
    let frame = page.images.rows.with_value(|rows| stacked(page, rows, index, frames));
    // The run on show may have become another one.
    let Some((pixels, _)) = frame else { return };
    gif.add(&pixels, DELAYS[usize::from(index + 1 == frames)]);
    if index + 1 == frames {
        download::save("scorefield-images.gif", "image/gif", &gif.finish());
    } else {
        set_timeout(move || continue_film(page, gif, index + 1, frames), Duration::ZERO);
    }
}

/// A moment of all rows, one below the other, on white: red, green and blue, and the size.
fn stacked(page: Page, rows: &[Row], index: usize, of: usize) -> Option<(Vec<u8>, [usize; 2])> {
    let expected = page.images.expected.get_untracked();
    let compared = compared(page);
    let (mut pixels, mut width, mut height) = (Vec::new(), 0, 0);
    for row in rows {
        let frame = row.film.at(index, of)?;
        let mosaic = layout(row, frame.side as usize, compared);
        let size = mosaic.size();
        // Rows of a comparison are equally wide.
        if width == 0 || size[0] == width {
            (width, height) = (size[0], height + size[1]);
            let white = |pixel: &[u8]| if pixel[3] == 0 { [255; 3] } else { [pixel[0], pixel[1], pixel[2]] };
            pixels.extend(mosaic.pixels(shown(frame, expected)).chunks_exact(4).flat_map(white));
        }
    }
    (height > 0).then_some((pixels, [width, height]))
}
