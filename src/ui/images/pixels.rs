//! The image looked at, in numbers.

use crate::session::film::one;
use crate::ui::state::Page;

/// The pixels of the image looked at, as it is shown at this moment.
pub fn pixels(page: Page) -> Option<Vec<u8>> {
    let (row, image) = page.images.chosen.get_untracked()?;
    let (count, index) = page.frames.get_untracked();
    let expected = page.images.expected.get_untracked();
    page.images.rows.with_value(|rows| {
        let frame = rows.get(row)?.film.at(index, count)?;
        one(frame, image, expected).map(<[u8]>::to_vec)
    })
}
