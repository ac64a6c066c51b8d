//! The numbers of a run as a table that any program opens.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::files;

const HEADER: &str = "step,images,loss,learning_rate,images_per_second,seconds";

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
        let path = folder.join("metrics.csv");
        let known = if step > 0 { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        // A row that a sudden end cut short has no end of line.
        let is_kept = |line: &&str| {
            let first = line.split(',').next().and_then(|s| s.parse::<u32>().ok());
            line.ends_with('\n') && first.is_some_and(|s| s <= step)
        };
        let mut text = format!("{HEADER}\n");
        text.extend(known.split_inclusive('\n').filter(is_kept));
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
