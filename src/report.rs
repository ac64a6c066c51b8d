//! What was measured of the claims of the studies, as `docs/report.json` keeps it, and how long the studies take, as
//! `docs/times.json` does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::lab::Texts;
use crate::lab::texts::fill;
use crate::plot::label::number;
use crate::protocol::{Measured, StudyUpdate, Verdict};
use crate::study::{STUDIES, Study};

/// Version of the format that is written and read.
const FORMAT: u32 = 1;
/// Digits after the first of a number that is kept: those beyond differ from machine to machine.
const DIGITS: usize = 3;

/// Study and claim of every number that is a ratio of times: it differs from machine to machine, and so may its verdict.
pub const TIMED: &[(&str, &str)] = &[
    ("score-matching", "cost"),
    ("few-steps", "slow"),
    ("trilemma", "slow"),
    ("trilemma", "train-vae"),
    ("trilemma", "train-gan"),
];

/// Why a file is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// It is not JSON, or not of a report.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Its format is another.
    #[error("format {0} of a report is not read, only {FORMAT}")]
    Format(u32),
    /// One of its claims has none.
    #[error("{0:?} is no verdict")]
    Verdict(String),
}

/// How the studies were run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settings {
    /// As the tests run them: each is over in about half a minute.
    Brief,
    /// As the page opens them.
    Full,
}

impl Settings {
    /// The word for them in messages.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Brief => "brief",
            Self::Full => "full",
        }
    }
}

/// How many claims have which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Studies that were run.
    pub studies: usize,
    /// Their claims.
    pub claims: usize,
    /// Those that hold.
    pub holds: usize,
    /// Those that do not.
    pub fails: usize,
    /// Those that this run did not decide.
    pub open: usize,
}

impl Counts {
    /// The verdicts in words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { holds, fails, open, .. } = self;
        format!("hold: {holds}, do not hold: {fails}, not decided: {open}")
    }
}

/// What was measured of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// Its key within the study: `claim.<study>.<key>` is its sentence in the locale files.
    pub claim: String,
    /// Where it says so: `source.<id>` in the locale files.
    pub source: String,
    /// The place there, or the name of a paper.
    pub place: String,
    /// The number; none where it is not finite.
    pub value: Option<f64>,
    /// Its standard error; 0 when nothing about it is random.
    pub error: Option<f64>,
    /// The claim holds from here; none without a bound below.
    pub low: Option<f64>,
    /// To here; none without a bound above.
    pub high: Option<f64>,
    /// `holds`, `fails` or `open`.
    pub verdict: String,
    /// Whether the number is one of times, which another machine measures differently.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed: bool,
}

impl ClaimRecord {
    /// The number with its error, and a † where another machine measures another; a dash where there is none.
    #[must_use]
    pub fn number(&self, texts: &Texts) -> String {
        let Some(value) = self.value else { return "–".to_owned() };
        let value = number(value, 4);
        let shown = match self.error.filter(|error| *error > 0.0) {
            Some(error) => fill(texts.get("claims.number"), &[("value", &value), ("error", &number(error, 2))]),
            None => value,
        };
        if self.timed { shown + "†" } else { shown }
    }

    /// Where the number has to be for the claim to hold; nothing without a number.
    #[must_use]
    pub fn bound(&self, texts: &Texts) -> String {
        if self.value.is_none() {
            return String::new();
        }
        let [low, high] = [self.low, self.high].map(|end| end.map_or_else(String::new, |end| number(end, 3)));
        let key = match (self.low, self.high) {
            (Some(_), Some(_)) => "claims.between",
            (Some(_), None) => "claims.least",
            _ => "claims.most",
        };
        fill(texts.get(key), &[("low", &low), ("high", &high)])
    }

    /// The name of its source and the place there.
    #[must_use]
    pub fn source(&self, texts: &Texts, comma: &str) -> String {
        match self.source.as_str() {
            // Names of papers stay as they are.
            "paper" => self.place.clone(),
            id => fill(texts.get(&format!("source.{id}")), &[("place", &self.place.replace(", ", comma))]),
        }
    }
}

/// What was measured of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Its id, as in links.
    pub study: String,
    /// Chapter of the report.
    pub chapter: u8,
    /// Its claims, in the order of the page.
    pub claims: Vec<ClaimRecord>,
}

/// What was measured of the studies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the format, 1.
    pub format: u32,
    /// How they were run.
    pub settings: Settings,
    /// Seed of every run.
    pub seed: u32,
    /// How many claims have which verdict; of what is below, whatever a file says.
    #[serde(default)]
    pub counts: Counts,
    /// The studies that were run, in the order of the menu.
    pub studies: Vec<StudyRecord>,
}

/// A number with as many digits as are kept.
fn kept(value: f64) -> Option<f64> {
    let rounded = format!("{value:.DIGITS$e}").parse().ok();
    rounded.filter(|rounded: &f64| rounded.is_finite())
}

impl StudyRecord {
    /// What the end of a study's run says.
    ///
    /// # Errors
    /// The key of a claim that was not measured.
    pub fn new(study: &Study, update: &StudyUpdate) -> Result<Self, &'static str> {
        let of = |(place, claim): (usize, &crate::study::Claim)| {
            let measured = update.measured.iter().find(|m| usize::from(m.claim) == place).ok_or(claim.key)?;
            let (source, place) = claim.source.id();
            let Measured { value, error, low, high, .. } = *measured;
            Ok::<_, &'static str>(ClaimRecord {
                claim: claim.key.to_owned(),
                source: source.to_owned(),
                place: place.to_owned(),
                value: kept(value),
                error: kept(error),
                low: kept(low),
                high: kept(high),
                verdict: measured.verdict().id().to_owned(),
                timed: TIMED.contains(&(study.id, claim.key)),
            })
        };
        let claims = study.claims.iter().enumerate().map(of).collect::<Result<Vec<_>, &'static str>>()?;
        Ok(Self { study: study.id.to_owned(), chapter: study.chapter, claims })
    }

    /// How many claims have which verdict.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |verdict: Verdict| self.claims.iter().filter(|claim| claim.verdict == verdict.id()).count();
        let [holds, fails, open] = [Verdict::Holds, Verdict::Fails, Verdict::Open].map(count);
        Counts { studies: 1, claims: self.claims.len(), holds, fails, open }
    }
}

impl Report {
    /// Nothing yet.
    #[must_use]
    pub fn new(settings: Settings, seed: u32) -> Self {
        Self { format: FORMAT, settings, seed, counts: Counts::default(), studies: Vec::new() }
    }

    /// The report in a file.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_json(json: &str) -> Result<Self, ReportError> {
        let mut report: Self = serde_json::from_str(json)?;
        if report.format != FORMAT {
            return Err(ReportError::Format(report.format));
        }
        let mut claims = report.studies.iter().flat_map(|study| &study.claims);
        if let Some(claim) = claims.find(|claim| Verdict::from_id(&claim.verdict).is_none()) {
            return Err(ReportError::Verdict(claim.verdict.clone()));
        }
        report.count();
        Ok(report)
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn to_json(&self) -> Result<String, ReportError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Puts a study in the place of what was known of it.
    pub fn put(&mut self, record: StudyRecord) {
        let place = |id: &str| STUDIES.iter().position(|study| study.id == id).unwrap_or(usize::MAX);
        self.studies.retain(|known| known.study != record.study);
        self.studies.push(record);
        self.studies.sort_by_key(|known| place(&known.study));
        self.count();
    }

    /// The study with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&StudyRecord> {
        self.studies.iter().find(|known| known.study == id)
    }

    fn count(&mut self) {
        let sum = |all: Counts, one: Counts| Counts {
            studies: all.studies + one.studies,
            claims: all.claims + one.claims,
            holds: all.holds + one.holds,
            fails: all.fails + one.fails,
            open: all.open + one.open,
        };
        self.counts = self.studies.iter().map(StudyRecord::counts).fold(Counts::default(), sum);
    }
}

/// How long the studies take at the settings that their links open with, by id, in seconds: measured in a browser.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Where they were measured.
    pub machine: String,
    /// The seconds of each that was.
    pub seconds: BTreeMap<String, f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_with_the_digits_that_machines_agree_on() {
        assert_eq!(kept(0.123_456), Some(0.1235));
        assert_eq!(kept(-123_456.0), Some(-123_500.0));
        assert_eq!(kept(0.0), Some(0.0));
        assert_eq!((kept(f64::INFINITY), kept(f64::NAN)), (None, None));
    }

    #[test]
    fn times_are_claims_that_there_are() {
        for (study, claim) in TIMED {
            let known = STUDIES.iter().find(|known| known.id == *study).expect("a study");
            assert!(known.claims.iter().any(|known| known.key == *claim), "{study}: {claim}");
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let report = |format: u32, verdict: &str| {
            format!(
                r#"{{"format": {format}, "settings": "brief", "seed": 1, "studies": [{{"study": "a", "chapter": 2, "claims": [
                {{"claim": "b", "source": "paper", "place": "", "value": null, "error": 0, "low": 1, "high": null,
                "verdict": "{verdict}"}}]}}]}}"#
            )
        };
        assert_eq!(Report::from_json(&report(1, "open")).expect("a report").counts.open, 1);
        assert!(matches!(Report::from_json(&report(2, "open")), Err(ReportError::Format(2))));
        assert!(matches!(Report::from_json(&report(1, "true")), Err(ReportError::Verdict(_))));
        assert!(matches!(Report::from_json("<!DOCTYPE html>"), Err(ReportError::Json(_))));
    }

    #[test]
    fn a_study_replaces_itself_and_the_counts_follow() {
        let record = |study: &str, verdicts: &[&str]| {
            let claim = |verdict: &&str| ClaimRecord {
                claim: "c".into(),
                source: "magazine".into(),
                place: String::new(),
                value: Some(1.0),
                error: Some(0.0),
                low: None,
                high: Some(2.0),
                verdict: (*verdict).to_owned(),
                timed: false,
            };
            StudyRecord { study: study.into(), chapter: 2, claims: verdicts.iter().map(claim).collect() }
        };
        let mut report = Report::new(Settings::Brief, 1);
        let [first, second] = [STUDIES[0].id, STUDIES[1].id];
        report.put(record(second, &["holds", "open"]));
        report.put(record(first, &["fails"]));
        report.put(record(second, &["holds", "holds", "fails"]));
        assert_eq!(report.studies.iter().map(|study| study.study.as_str()).collect::<Vec<_>>(), [first, second]);
        assert_eq!(report.counts, Counts { studies: 2, claims: 4, holds: 2, fails: 2, open: 0 });
        let json = report.to_json().expect("JSON");
        assert_eq!(Report::from_json(&json).expect("a report"), report);
    }
}
