//! One image looked at closely, and what can be made of it.

use super::canvas::lay;
use super::classes::name;
use super::pixels::pixels;
use super::{known, save};
use crate::lab::images::seed_of;
use crate::lab::{ArrangementId, ClassChoice, RunConfig, TaskId};
use crate::plot::mosaic::Mosaic;
use crate::ui::element::{Element, element};
use crate::ui::parts::{note, paint_when, quiet};
use crate::ui::runs;
use crate::ui::state::{Page, page};

/// Pixels of the screen for a pixel of the enlarged image.
const ZOOM: usize = 7;

/// The configuration, the number and the class of the image looked at.
fn looked_at(page: Page) -> Option<(RunConfig, usize, ClassChoice)> {
    let (row, image) = page.images.chosen.get()?;
    let config = page.images.rows.with_value(|rows| rows.get(row).map(|row| row.config.clone()))?;
    let class = class(page, row, &config, image);
    Some((config, image, class))
}

/// Whether a seed alone makes this image again.
fn has_seed(config: &RunConfig, image: usize) -> bool {
    match config.arrangement {
        ArrangementId::Independent => true,
        ArrangementId::Variations => image == 0,
        ArrangementId::Interpolation => image == 0 || image + 1 == config.images as usize,
    }
}

fn seed(config: &RunConfig, image: usize) -> u32 {
    if config.arrangement == ArrangementId::Interpolation && image > 0 {
        config.seed_to
    } else {
        seed_of(config, image as u32)
    }
}

/// The class of one image of a row, for a run of this image alone.
fn class(page: Page, row: usize, config: &RunConfig, image: usize) -> ClassChoice {
    if config.image_class != ClassChoice::Each {
        return config.image_class.clone();
    }
    let name = page.images.rows.with_value(|rows| rows.get(row)?.classes.iter().cycle().nth(image).cloned());
    name.map_or(ClassChoice::Any, ClassChoice::Named)
}

/// An image was clicked: it is looked at, or it is the other end of an interpolation.
pub fn choose(page: Page, row: usize, image: usize) {
    let images = page.images;
    let Some((_, first)) = images.pairing.get_untracked() else {
        let chosen = Some((row, image));
        return images.chosen.update(|now| *now = if *now == chosen { None } else { chosen });
    };
    images.pairing.set(None);
    let config = images.rows.with_value(|rows| rows.get(row).map(|row| row.config.clone()));
    let Some(config) = config else { return };
    if has_seed(&config, image) && has_seed(&config, first) && image != first {
        let class = class(page, row, &config, first);
        again(page, &config, first, class, |new| {
            new.arrangement = ArrangementId::Interpolation;
            new.seed_to = seed(&config, image);
            new.images = new.images.max(3);
        });
    }
}

/// A run that starts from this image.
fn again(page: Page, config: &RunConfig, image: usize, class: ClassChoice, change: impl FnOnce(&mut RunConfig)) {
    let mut new = page.config.get_untracked();
    (new.seed, new.image_class) = (seed(config, image), class);
    change(&mut new);
    page.images.compared.set(Vec::new());
    page.config.set(new);
    runs::sample(page);
}

/// The image that was clicked, enlarged.
pub fn detail() -> Element {
    let page = page();
    let images = page.images;
    let canvas = element("canvas").class("pixels").attribute("width", "32").attribute("height", "32");
    paint_when(
        &canvas.canvas(),
        move || {
            page.frames.track();
            images.chosen.track();
            images.expected.track();
        },
        move |canvas| {
            if let Some(pixels) = pixels(page) {
                let side = (pixels.len() / 3).isqrt();
                lay(canvas, &pixels, &Mosaic { count: 1, side, columns: 1, zoom: (ZOOM * 32 / side.max(1)).max(1) });
            }
        },
    );
    let words = move || {
        let Some((config, image, class)) = looked_at(page) else { return String::new() };
        let class = if class == ClassChoice::Any { String::new() } else { format!(" · {}", name(page, class.text())) };
        let key = if has_seed(&config, image) { "images.seed" } else { "images.seedless" };
        let values = [("number", (image + 1).to_string()), ("seed", seed(&config, image).to_string())];
        page.filled(key, &[(values[0].0, &values[0].1), (values[1].0, &values[1].1)]) + &class
    };
    let bound = move || looked_at(page).is_none_or(|(config, image, _)| !has_seed(&config, image));
    let vary = move || {
        if let Some((config, image, class)) = looked_at(page) {
            again(page, &config, image, class, |new| new.arrangement = ArrangementId::Variations);
        }
    };
    let as_known = move |task: TaskId| {
        if let Some(pixels) = pixels(page) {
            known::give(page, pixels, task);
        }
    };
    let pair = move || images.pairing.set(images.chosen.get_untracked());
    let about = element("div").class("about").holds(&[
        element("p").attribute("aria-live", "polite").words(words),
        element("div").class("row wrap").holds(&[
            quiet("vary", "images.vary", vary).attribute_when("disabled", bound),
            quiet("pair", "images.pair", pair).attribute_when("disabled", bound),
            quiet("fill-in", "images.fill-in", move || as_known(TaskId::Inpaint)),
            quiet("colour", "images.colour", move || as_known(TaskId::Colourise)),
            quiet("export-one", "images.png-one", move || save::one(page)),
            quiet("unchoose", "action.dismiss", move || images.chosen.set(None)),
        ]),
        note("images.pair-note").gone_when(move || images.pairing.get().is_none()),
    ]);
    let canvas = canvas.attribute("role", "img").attribute_of("aria-label", words);
    let detail = element("section").class("detail").test_id("detail");
    detail.gone_when(move || images.chosen.get().is_none()).holds(&[element("div").child(canvas), about])
}
