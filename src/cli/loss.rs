//! Other machines' devices that this program computes on, and what happens when one is lost: one line that names it, and
//! an end. Burn opens a session that ended never again, so there is nothing to go on with in the same program.
//!
//! Found out in two ways: what computes there fails, by an error or by a panic of Burn's, which [`guard`] catches; and one
//! that hangs is waited for without end, so that beside the work [`watch`] asks every server whether it is there.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::failure::{Failure, Kind, Outcome};
use crate::engine::panic_words;
use crate::nn::remote::answers;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked, and how long it may take to answer one question.
const ROUND: Duration = Duration::from_secs(4);

/// Places of the devices, as `host:port`.
static WATCHED: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What a run goes on from.
static STATE: Mutex<Option<PathBuf>> = Mutex::new(None);
/// What the first panic said.
static WORDS: Mutex<Option<String>> = Mutex::new(None);
/// Whoever has it says the last line.
static LAST: Mutex<()> = Mutex::new(());

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the program when the server at `host:port` has been silent for too long.
pub fn watch(place: &str) {
    static BEGUN: Once = Once::new();
    lock(&WATCHED).push(place.to_owned());
    BEGUN.call_once(|| {
        // What Burn's threads say of a line that broke is part of our one line.
        set_hook(Box::new(|panic| {
            let words = panic_words(panic.payload());
            let place = panic.location().map_or_else(String::new, |place| format!(" ({place})"));
            lock(&WORDS).get_or_insert(format!("{words}{place}"));
        }));
        let begun = thread::Builder::new().name("watch".to_owned()).spawn(|| ask(PATIENCE, ROUND));
        if begun.is_err() {
            eprintln!("scorefield: there is no thread to watch the remote devices: one that hangs is not noticed");
        }
    });
}

/// Tells what a run goes on from, for the line about a loss.
pub fn keeps(state: &Path) {
    *lock(&STATE) = Some(state.to_owned());
}

/// Asks every server in turn, until one has been silent for so long.
fn ask(patience: Duration, round: Duration) {
    let mut heard: Vec<Instant> = Vec::new();
    loop {
        thread::sleep(round);
        let places = lock(&WATCHED).clone();
        heard.resize(places.len(), Instant::now());
        for (place, heard) in places.iter().zip(&mut heard) {
            match answers(place, round) {
                Ok(()) => *heard = Instant::now(),
                Err(why) if heard.elapsed() >= patience => {
                    let _last = lock(&LAST);
                    let seconds = heard.elapsed().as_secs();
                    eprintln!("scorefield: {}", message(place, &format!("silent for {seconds} s; {why}")));
                    exit(Kind::Device as i32);
                }
                Err(_) => {}
            }
        }
    }
}

/// Does the work; what it fails with when a device of another machine was lost is told as that.
///
/// # Errors
/// Those of the work, and a loss.
pub fn guard(work: impl FnOnce() -> Outcome) -> Outcome {
    let found = catch_unwind(AssertUnwindSafe(work));
    let places = lock(&WATCHED).clone();
    if places.is_empty() {
        return found.unwrap_or_else(|panic| resume_unwind(panic));
    }
    let why = match &found {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) if failure.kind != Kind::Device => return Err(failure.clone()),
        Ok(Err(failure)) => failure.message.clone(),
        Err(panic) => lock(&WORDS).clone().unwrap_or_else(|| panic_words(panic.as_ref())),
    };
    // For good: who says the last line ends the program.
    std::mem::forget(lock(&LAST));
    if let Some((place, silence)) = places.iter().find_map(|place| Some((place, answers(place, ROUND).err()?))) {
        return Err(Failure::device(message(place, &silence)));
    }
    // All answer: one was started anew, or only its session broke.
    for place in &places {
        if let Some((_, why)) = why.split_once(&format!("remote:{place} was lost: ")) {
            return Err(Failure::device(message(place, why)));
        }
    }
    match found {
        Err(_) if why.contains("burn-remote") => Err(Failure::device(message(&places.join(" or remote:"), &why))),
        Err(_) => Err(Failure::other(format!("a fault of this program: {why}"))),
        Ok(other) => other,
    }
}

/// The one line.
fn message(place: &str, why: &str) -> String {
    let kept = match &*lock(&STATE) {
        None => "",
        Some(state) if state.exists() => {
            "; the last checkpoint stays, and --resume goes on from it, with these devices or others"
        }
        Some(_) => "; nothing was kept yet",
    };
    format!("remote:{place} was lost: {why}{kept}")
}
