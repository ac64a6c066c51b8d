//! What the page keeps of a run of images: the whole way from noise to data, within a bound.

use crate::protocol::images::ImageFrame;

/// Bytes that are kept of all runs on show.
pub const MOST_KEPT: usize = 64 << 20;

/// The frames of a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Film {
    frames: Vec<ImageFrame>,
    /// Every how many frames one is kept, as a power of two, and how many came since.
    stride: u32,
    since: u32,
}

impl Film {
    /// Adds a frame; the latest is always there. When the frames would take more than about `most` bytes, every second
    /// one is kept, then every fourth, and so on, but never fewer than 8.
    pub fn push(&mut self, frame: ImageFrame, most: usize) {
        if frame.step == 0 {
            *self = Self::default();
        }
        // The last frame stands in for one that is to come; it stays if it is its turn.
        if self.since > 0 {
            self.frames.pop();
        }
        let size = frame.noisy.0.len() + frame.expected.0.len();
        self.frames.push(frame);
        self.since = (self.since + 1) % (1 << self.stride);
        if self.since == 0 && self.frames.len() > (most / size.max(1)).max(16) {
            let mut index = 0;
            self.frames.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            // After an odd number of frames the last one was kept and is in turn; after an even number it is not.
            self.stride += 1;
            self.since = if index % 2 == 1 { 0 } else { 1 << (self.stride - 1) };
        }
    }

    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frame at `index` of `of` positions: films of different lengths are shown side by side from beginning to end.
    #[must_use]
    pub fn at(&self, index: usize, of: usize) -> Option<&ImageFrame> {
        let last = self.frames.len().checked_sub(1)?;
        let steps = of.saturating_sub(1).max(1);
        self.frames.get((index.min(steps) * last + steps / 2) / steps)
    }

    /// The latest frame.
    #[must_use]
    pub fn last(&self) -> Option<&ImageFrame> {
        self.frames.last()
    }
}

/// The images of a frame: what the network expects of them when `expected`, and the noisy ones otherwise, or while
/// nothing is expected yet.
#[must_use]
pub fn shown(frame: &ImageFrame, expected: bool) -> &[u8] {
    if expected && !frame.expected.0.is_empty() { &frame.expected.0 } else { &frame.noisy.0 }
}

/// One image of a frame.
#[must_use]
pub fn one(frame: &ImageFrame, index: usize, expected: bool) -> Option<&[u8]> {
    let side = frame.side as usize;
    shown(frame, expected).chunks_exact((3 * side * side).max(1)).nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Bytes;

    fn frame(step: u32) -> ImageFrame {
        ImageFrame { step, noisy: Bytes(vec![0; 100]), ..ImageFrame::default() }
    }

    #[test]
    fn long_films_keep_their_ends_and_an_even_pace_within_the_bound() {
        for steps in [10, 21, 22, 40, 41, 1000, 1001] {
            let mut film = Film::default();
            for step in 0..=steps {
                film.push(frame(step), 2000);
                assert_eq!(film.last().map(|f| f.step), Some(step));
                assert!(film.len() <= 22, "{} of {steps}", film.len());
            }
            let kept: Vec<u32> = film.frames.iter().map(|f| f.step).collect();
            assert_eq!(kept[0], 0, "{steps}");
            let paces: Vec<u32> = kept.windows(2).map(|w| w[1] - w[0]).collect();
            let (last, all) = paces.split_last().expect("two frames");
            assert!(all.iter().all(|pace| pace == &paces[0]) && last <= &paces[0], "{steps}: {kept:?}");
        }
    }

    #[test]
    fn a_new_run_replaces_the_old_film() {
        let mut film = Film::default();
        for step in [0, 1, 2, 0, 1] {
            film.push(frame(step), MOST_KEPT);
        }
        assert_eq!(film.len(), 2);
    }

    #[test]
    fn films_of_other_lengths_begin_and_end_together() {
        let mut film = Film::default();
        assert!(film.at(0, 1).is_none());
        for step in 0..=4 {
            film.push(frame(step), MOST_KEPT);
        }
        let steps: Vec<u32> = (0..9).filter_map(|i| film.at(i, 9)).map(|f| f.step).collect();
        assert_eq!(steps, [0, 1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(film.at(7, 1).map(|f| f.step), Some(4));
    }
}
