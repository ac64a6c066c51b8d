//! Plays the frames of a sampling run at a pace the eye can follow, however fast they were computed.

use std::time::Duration;

use leptos::prelude::*;

use super::memory::wants_less_motion;
use super::state::Page;

/// Time between two looks at the clock of the player.
const TICK: Duration = Duration::from_millis(33);
/// Ticks that a whole run takes to play, about two and a half seconds.
const TICKS: f64 = 75.0;

/// Starts the player.
pub fn start(page: Page) {
    let progress = StoredValue::new(0.0f64);
    set_interval(
        move || {
            if !page.playing.get_untracked() {
                return;
            }
            let (count, index) = page.frames.get_untracked();
            if count == 0 || index + 1 >= count {
                progress.set_value(0.0);
                return;
            }
            if wants_less_motion() {
                page.frames.set((count, count - 1));
                return;
            }
            let pace = progress.get_value() + (count as f64 / TICKS).max(0.25);
            progress.set_value(pace.fract());
            let next = (index + pace as usize).min(count - 1);
            if next != index {
                page.frames.set((count, next));
            }
        },
        TICK,
    );
}
