//! Ctrl-C: the first ends the work in order, the second at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::Kind;

static ASKED: AtomicBool = AtomicBool::new(false);
static INSTALLED: Once = Once::new();

/// From now on Ctrl-C only asks for the end.
pub fn listen() {
    INSTALLED.call_once(|| {
        let answer = ctrlc::set_handler(|| {
            if ASKED.swap(true, Ordering::SeqCst) {
                std::process::exit(Kind::Interrupted as i32);
            }
            eprintln!("ending; once more ends at once");
        });
        if let Err(error) = answer {
            eprintln!("scorefield: Ctrl-C will end the program at once: {error}");
        }
    });
}

/// Whether the end was asked for.
#[must_use]
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
