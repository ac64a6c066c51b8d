//! A line about how far something is: rewritten in place on a terminal, now and then anew elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Between lines in a file.
const FILE: Duration = Duration::from_secs(10);
/// Between changes of a line on a terminal.
const TERMINAL: Duration = Duration::from_millis(250);

/// Says how far something is, on the standard error output.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    shown: Option<Instant>,
    width: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Self { terminal: stderr().is_terminal(), shown: None, width: 0 }
    }
}

impl Progress {
    /// Whether it is time for a line.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let wait = if self.terminal { TERMINAL } else { FILE };
        self.shown.is_none_or(|shown| shown.elapsed() >= wait)
    }

    /// Shows a line.
    pub fn show(&mut self, line: &str) {
        self.shown = Some(Instant::now());
        if self.terminal {
            let width = std::mem::replace(&mut self.width, line.chars().count());
            eprint!("\r{line:width$}");
            // A closed terminal is no reason to end.
            drop(stderr().flush());
        } else {
            eprintln!("{line}");
        }
    }

    /// Ends the line.
    pub fn end(&mut self) {
        if self.terminal && self.width > 0 {
            eprintln!();
            self.width = 0;
        }
    }
}

/// A time in words: `3 s`, `2:05`, `1:02:05`.
#[must_use]
pub fn clock(seconds: f64) -> String {
    let whole = seconds.round().clamp(0.0, 1e9) as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn times_read_as_on_a_clock() {
        assert_eq!([clock(2.6), clock(125.0), clock(3725.0)], ["3 s", "2:05", "1:02:05"]);
        assert_eq!(clock(f64::NAN), "0 s");
    }
}
