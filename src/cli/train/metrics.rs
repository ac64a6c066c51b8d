//! The numbers of a run as a table that any program opens.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::files;

const HEADER: &str = "step,images,loss,learning_rate,images_per_second,seconds";

/// The table's file.
const NAME: &str = "metrics.csv";
/// Rows by which the speed is measured.
const RECENT: usize = 20;

/// Rows of the first steps. A row that a sudden end cut short has no end of line, and is none.
fn rows(text: &str, steps: u32) -> impl Iterator<Item = &str> {
    let is_kept = move |line: &&str| {
        let first = line.split(',').next().and_then(|s| s.parse::<u32>().ok());
        line.ends_with('\n') && first.is_some_and(|s| s <= steps)
    };
    text.split_inclusive('\n').filter(is_kept)
}

/// Seconds of a step of the run in this folder: of its last rows up to this step; `None` where there are too few.
#[must_use]
pub fn seconds_of_a_step(folder: &Path, step: u32) -> Option<f64> {
    let text = fs::read_to_string(folder.join(NAME)).ok()?;
    let time = |row: &str| -> Option<(f64, f64)> {
        let mut words = row.trim_end().split(',');
        Some((words.next()?.parse().ok()?, words.next_back()?.parse().ok()?))
    };
    let times: Vec<(f64, f64)> = rows(&text, step).filter_map(time).collect();
    let (first, last) = (times.get(times.len().saturating_sub(RECENT))?, times.last()?);
    let seconds = (last.1 - first.1) / (last.0 - first.0);
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Steps done.
    pub step: u32,
    /// Images seen.
    pub images: f64,
    /// Mean loss since the last row.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// Images a second since the last row.
    pub speed: f64,
    /// Seconds in all.
    pub seconds: f64,
}

/// `metrics.csv`.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
}

impl Metrics {
    /// The table of a run that starts after `step`: rows beyond it, of a part that is run again, are removed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn start(folder: &Path, step: u32) -> Outcome<Self> {
        let path = folder.join(NAME);
        let known = if step > 0 { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let mut text = format!("{HEADER}\n");
        text.extend(rows(&known, step));
        files::write(&path, text.as_bytes())?;
        Ok(Self { path })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&self, row: Row) -> Outcome {
        let Row { step, images, loss, rate, speed, seconds } = row;
        let line = format!("{step},{images:.0},{loss:.6},{rate:.4e},{speed:.1},{seconds:.1}\n");
        let file = OpenOptions::new().append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| Failure::other(format!("{} cannot be written: {error}", self.path.display())))
    }
}
