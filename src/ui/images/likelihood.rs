//! How likely the network finds a picture: the button and the numbers.

use super::known::at_hand;
use super::pixels::pixels;
use crate::lab::{PIXELS, Picture, RunConfig, TaskId};
use crate::protocol::Subject;
use crate::protocol::images::ImageProgress;
use crate::ui::element::Element;
use crate::ui::measures::numbers;
use crate::ui::parts::{button, note};
use crate::ui::state::{Page, page};

/// The image that is looked at, else the known one, else the first one of the run on show.
fn picture(page: Page) -> Option<Picture> {
    let known = || page.config.with_untracked(|c| (c.task != TaskId::Generate).then(|| c.picture.colours().to_vec()));
    let colours = pixels(page).or_else(|| known().filter(|colours| !colours.is_empty())).or_else(|| at_hand(page))?;
    Picture::new(colours, vec![true; PIXELS])
}

/// What the group of the likelihood's settings ends with.
pub fn picture_likelihood() -> [Element; 3] {
    let page = page();
    let start = move || {
        if let Some(picture) = picture(page) {
            let config = page.config.get_untracked();
            page.images.progress.set(ImageProgress::default());
            page.tell(|session| session.likelihood(&RunConfig { picture, ..config }));
        }
    };
    let none = move || {
        page.frames.track();
        page.config.track();
        picture(page).is_none()
    };
    [
        note("images.likelihood"),
        button("likelihood-start", "images.likelihood-start", start).attribute_when("disabled", none),
        numbers(Subject::Likelihood),
    ]
}
