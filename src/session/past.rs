//! What studies measured on this device, as the browser keeps it from visit to visit: the verdicts and the time of a run
//! under every settings, the latest first.
//!
//! A line for a run, after one with the version: `study settings verdicts tenths`, the settings as a digest, the verdicts a
//! letter for a claim, the time in tenths of a second. Whatever is found there, runs come out: what is none is left out.

use crate::lab::ExperimentId;
use crate::protocol::Verdict;

/// Version of the lines.
const VERSION: &str = "1";
/// Most runs that are kept, and bytes that are read.
const MOST: usize = 120;
const LONGEST: usize = 20_000;
/// Most claims of a study, and tenths of a second: more than there are, and less than would be in the way.
const MOST_CLAIMS: usize = 64;
const MOST_TENTHS: u32 = 1_000_000;

/// A run of a study that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRun {
    /// Id of the study.
    pub study: String,
    /// Digest of its settings.
    pub settings: u32,
    /// The verdicts on its claims, in the order of its table.
    pub verdicts: Vec<Verdict>,
    /// How long it took, in tenths of a second.
    pub tenths: u32,
}

/// The runs that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    runs: Vec<PastRun>,
}

/// The letter of a verdict: that which its id begins with.
fn letter(verdict: Verdict) -> u8 {
    verdict.id().as_bytes()[0]
}

impl PastRun {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut word = || words.next();
        let (study, settings, verdicts, tenths) = (word()?, word()?, word()?, word()?);
        let known = matches!(ExperimentId::named(study)?, ExperimentId::Study(_));
        let fits = known && verdicts.len() <= MOST_CLAIMS && word().is_none();
        let verdict = |byte: u8| Verdict::ALL.into_iter().find(|verdict| letter(*verdict) == byte);
        let tenths = tenths.parse().ok().filter(|tenths| *tenths <= MOST_TENTHS)?;
        let verdicts = verdicts.bytes().map(verdict).collect::<Option<Vec<_>>>()?;
        fits.then_some(Self { study: study.to_owned(), settings: settings.parse().ok()?, verdicts, tenths })
    }

    fn write(&self) -> String {
        let verdicts: String = self.verdicts.iter().map(|verdict| char::from(letter(*verdict))).collect();
        [&self.study, &self.settings.to_string(), &verdicts, &self.tenths.to_string()].map(String::as_str).join(" ")
    }
}

impl Past {
    /// The runs in a text, which may be anything.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut past = Self::default();
        let mut lines = text.lines();
        if text.len() > LONGEST || lines.next() != Some(VERSION) {
            return past;
        }
        for run in lines.filter_map(PastRun::read).take(MOST) {
            // Of the same settings the first is the latest.
            if past.runs.iter().all(|known| !known.is_like(&run)) {
                past.runs.push(run);
            }
        }
        past
    }

    /// The text of the runs.
    #[must_use]
    pub fn write(&self) -> String {
        let mut text = VERSION.to_owned();
        for run in &self.runs {
            text.push('\n');
            text.push_str(&run.write());
        }
        text
    }

    /// Puts a run before all others, in the place of one of the same settings.
    pub fn put(&mut self, mut run: PastRun) {
        run.verdicts.truncate(MOST_CLAIMS);
        run.tenths = run.tenths.min(MOST_TENTHS);
        self.runs.retain(|known| !known.is_like(&run));
        self.runs.insert(0, run);
        self.runs.truncate(MOST);
    }

    /// The latest run of a study.
    #[must_use]
    pub fn of(&self, study: &str) -> Option<&PastRun> {
        self.runs.iter().find(|run| run.study == study)
    }

    /// The latest run of a study with these settings.
    #[must_use]
    pub fn with(&self, study: &str, settings: u32) -> Option<&PastRun> {
        self.runs.iter().find(|run| run.study == study && run.settings == settings)
    }
}

impl PastRun {
    fn is_like(&self, other: &Self) -> bool {
        (&self.study, self.settings) == (&other.study, other.settings)
    }
}

/// The median of numbers, the lower one of two; none of none.
#[must_use]
pub fn median(mut numbers: Vec<f64>) -> Option<f64> {
    // By taking the largest away: there are thirty, and a sort would be more code than time.
    for _ in 0..numbers.len() / 2 {
        let largest = (0..numbers.len()).max_by(|a, b| numbers[*a].total_cmp(&numbers[*b]))?;
        numbers.swap_remove(largest);
    }
    numbers.into_iter().max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    fn run(study: &str, settings: u32, verdicts: &[Verdict], tenths: u32) -> PastRun {
        PastRun { study: study.to_owned(), settings, verdicts: verdicts.to_vec(), tenths }
    }

    #[test]
    fn runs_survive_their_text_and_the_latest_comes_first() {
        let mut past = Past::default();
        past.put(run("score-1d", 7, &[Verdict::Holds, Verdict::Open], 12));
        past.put(run("flow", 1, &[Verdict::Fails], 300));
        past.put(run("score-1d", 8, &[Verdict::Fails, Verdict::Fails], 40));
        assert_eq!(past.write(), "1\nscore-1d 8 ff 40\nflow 1 f 300\nscore-1d 7 ho 12");
        assert_eq!(Past::read(&past.write()), past);
        assert_eq!(past.of("score-1d").map(|run| run.settings), Some(8));
        assert_eq!(past.with("score-1d", 7).map(|run| run.tenths), Some(12));
        past.put(run("score-1d", 7, &[Verdict::Holds, Verdict::Holds], 11));
        assert_eq!(past.write(), "1\nscore-1d 7 hh 11\nscore-1d 8 ff 40\nflow 1 f 300");
        assert_eq!((past.of("gan"), past.with("flow", 2)), (None, None));
    }

    #[test]
    fn what_is_no_run_is_left_out_and_what_is_of_another_version_is_none() {
        let text = "1\nflow 1 h 3\n\nflow\nflow x h 3\nflow 1 hx 3\nflow 2 h -3\nplane 1 h 3\n<b> 1 h 3\nflow 3 h 3 4\n\
                    flow 4 h 99999999\nflow 5  3\nflow 1 f 9\ngan 2 hfo 5";
        let expected = [
            run("flow", 1, &[Verdict::Holds], 3),
            run("flow", 5, &[], 3),
            run("gan", 2, &[Verdict::Holds, Verdict::Fails, Verdict::Open], 5),
        ];
        assert_eq!(Past::read(text).runs, expected);
        for foreign in ["", "2\nflow 1 h 3", "{\"runs\": []}", "flow 1 h 3"] {
            assert_eq!(Past::read(foreign), Past::default(), "{foreign}");
        }
        let long = format!("1\n{}", "flow 1 h 3\n".repeat(3000));
        assert_eq!(Past::read(&long), Past::default());
    }

    #[test]
    fn whatever_is_found_is_read_and_written_again_within_bounds() {
        let mut rng = Rng::new(3, Stream::Test, 0);
        let letters: Vec<char> = "1\n flowhfo-9\u{6f1}\u{0}é".chars().collect();
        for _ in 0..500 {
            let text: String = (0..rng.below(200)).map(|_| letters[rng.below(letters.len() as u32) as usize]).collect();
            let past = Past::read(&format!("1\n{text}"));
            assert_eq!(Past::read(&past.write()), past, "{text:?}");
        }
        let mut past = Past::default();
        for settings in 0..1000 {
            past.put(run("a23456789012345678901234", u32::MAX - settings, &[Verdict::Holds; 99], u32::MAX));
        }
        assert_eq!(past.runs.len(), MOST);
        assert_eq!(Past::read(&past.write()), past, "what is written is short enough to be read");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.0));
    }
}
