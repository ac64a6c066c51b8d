//! `scorefield report`: every claim of the sources, measured by the studies, as a table and as data.

mod args;
mod markdown;
mod pictures;

use std::path::Path;
use std::time::Instant;

use super::device::wait;
use super::failure::{Failure, Kind, Outcome};
use super::progress::{Progress, clock};
use super::{files, interrupt};
use crate::lab::{DeviceChoice, Language, Texts};
use crate::nn::device::{ComputeDevice, open};
use crate::protocol::StudyUpdate;
use crate::report::{Counts, Report, ReportError, Settings, StudyRecord};
use crate::share::from_fragment;
use crate::study::{STUDIES, Study, StudyError, follow};

pub use args::ReportArgs;
pub use markdown::markdown;

/// Name of the data.
const DATA: &str = "report.json";
/// Name of the table.
const TABLE: &str = "report.md";

/// Does it.
///
/// # Errors
/// When a study is not known, cannot go on or was interrupted, a file cannot be used or written, or a verdict is not that
/// of the report that is checked.
pub fn run(args: &ReportArgs) -> Outcome {
    let chosen = chosen(args)?;
    // Before hours of work, not after it.
    let texts = texts(&args.web)?;
    match (&args.check, &args.pictures) {
        (Some(file), _) => check(args, file, &chosen),
        (None, Some(folder)) => paint(args, folder, &chosen),
        (None, None) => write(args, &texts, &chosen),
    }
}

/// Runs the studies and paints a figure of each; without a choice also what stands beside them in the table of contents.
fn paint(args: &ReportArgs, folder: &Path, chosen: &[&'static Study]) -> Outcome {
    let mut runs = Runs::begin(args, args.settings(), args.seed, chosen.len())?;
    // What may be missing first: before minutes of work, not after them.
    if args.only.is_empty() && args.from.is_none() {
        pictures::of_others(folder, &args.web, &runs.compute)?;
    }
    for study in chosen {
        pictures::of_study(folder, study, &runs.update(study)?)?;
    }
    say!("{} studies: {}", chosen.len(), folder.display())
}

/// The report in a file.
///
/// # Errors
/// When it cannot be read, or is not one.
pub fn read(path: &Path) -> Outcome<Report> {
    let bad = |why: ReportError| {
        Failure::input(path.display(), format!("{why}: name a report.json that `scorefield report` wrote"))
    };
    Report::from_json(&files::read_text(path)?).map_err(bad)
}

/// The studies that are asked for, in the order of the menu.
fn chosen(args: &ReportArgs) -> Outcome<Vec<&'static Study>> {
    let unknown = |id: &String| STUDIES.iter().all(|study| study.id != id);
    if let Some(id) = args.only.iter().chain(&args.from).find(|id| unknown(id)) {
        let ids: Vec<&str> = STUDIES.iter().map(|study| study.id).collect();
        return Err(Failure::usage(format!("there is no study {id:?}: the studies are {}", ids.join(", "))));
    }
    let from = args.from.as_ref().and_then(|id| STUDIES.iter().position(|study| study.id == id)).unwrap_or(0);
    let asked = |study: &&&Study| args.only.is_empty() || args.only.iter().any(|id| id == study.id);
    Ok(STUDIES.iter().skip(from).filter(asked).copied().collect())
}

/// The English texts of the page.
fn texts(web: &Path) -> Outcome<Texts> {
    let path = web.join(Language::English.file());
    let text = files::read_text(&path).map_err(|failure| beside(&failure.message))?;
    // As long as the program.
    Ok(Texts::read(text.leak()))
}

/// A file of the page is not there.
fn beside(why: &str) -> Failure {
    Failure::new(Kind::Input, format!("{why}: name the folder of the page with --web"))
}

/// Runs the studies, and writes what is known after each.
fn write(args: &ReportArgs, texts: &Texts, chosen: &[&'static Study]) -> Outcome {
    let (settings, seed) = (args.settings(), args.seed);
    let path = args.out.join(DATA);
    let mut report = if path.exists() { read(&path)? } else { Report::new(settings, seed) };
    if (report.settings, report.seed) != (settings, seed) {
        let (settings, seed) = (report.settings.id(), report.seed);
        return Err(Failure::usage(format!(
            "{} is of {settings} settings and seed {seed}: remove it, or name another folder with --out",
            path.display()
        )));
    }
    // What the program no longer knows.
    report.studies.retain(|known| STUDIES.iter().any(|study| study.id == known.study));
    let mut runs = Runs::begin(args, settings, seed, chosen.len())?;
    for (place, study) in chosen.iter().enumerate() {
        let record = runs.run(study).map_err(|failure| {
            let rest: Vec<&str> = chosen[place..].iter().map(|study| study.id).collect();
            let rest = if args.only.is_empty() {
                format!("--from {}", study.id)
            } else {
                format!("--only {}", rest.join(","))
            };
            let out = args.out.display();
            let words = format!("{}; {place} studies before it are in {out}; go on with {rest}", failure.message);
            Failure::new(failure.kind, words)
        })?;
        report.put(record);
        let files = [(TABLE, markdown(&report, texts)), (DATA, report.to_json().map_err(Failure::other)?)];
        files::write_all(&args.out, &files.map(|(name, text)| (name.to_owned(), text.into_bytes())))?;
    }
    let Counts { studies, claims, .. } = report.counts;
    let (words, table) = (report.counts.words(), args.out.join(TABLE));
    say!("{claims} claims of {studies} studies; {words}: {}", table.display())
}

/// Runs the studies of a report again, and names every verdict that is another.
fn check(args: &ReportArgs, file: &Path, chosen: &[&'static Study]) -> Outcome {
    let known = read(file)?;
    let all = args.only.is_empty() && args.from.is_none();
    // All that the program has are compared, and what it no longer has is a difference too.
    let mut changes: Vec<String> = Vec::new();
    let mut runs = Runs::begin(args, known.settings, known.seed, chosen.len())?;
    for study in chosen {
        match known.find(study.id) {
            Some(before) => {
                let found = differences(before, &runs.run(study)?);
                // At once too: who ends a long check has seen them.
                found.iter().for_each(|change| eprintln!("{change}"));
                changes.extend(found);
            }
            None => changes.push(format!("{}: not in the file", study.id)),
        }
    }
    let gone = known.studies.iter().filter(|study| all && STUDIES.iter().all(|other| other.id != study.study));
    changes.extend(gone.map(|study| format!("{}: there is no such study any more", study.study)));
    if changes.is_empty() {
        return say!("{} studies: every verdict is that of {}", chosen.len(), file.display());
    }
    Err(Failure::other(format!("{} differs in {}: {}", file.display(), changes.len(), changes.join("; "))))
}

/// What is another in the later record. Of times only a word is said: they are another machine's.
fn differences(before: &StudyRecord, after: &StudyRecord) -> Vec<String> {
    let find = |of: &StudyRecord, claim: &str| of.claims.iter().find(|other| other.claim == claim).cloned();
    let mut changes = Vec::new();
    for now in &after.claims {
        let name = format!("{}/{}", after.study, now.claim);
        match find(before, &now.claim) {
            None => changes.push(format!("{name}: not in the file")),
            Some(then) if then.verdict == now.verdict => {}
            Some(then) if now.timed => {
                eprintln!("scorefield: {name}, a ratio of times: {}, here {}", then.verdict, now.verdict);
            }
            Some(then) => changes.push(format!("{name}: {} there, {} here", then.verdict, now.verdict)),
        }
    }
    let gone = before.claims.iter().filter(|then| find(after, &then.claim).is_none());
    changes.extend(gone.map(|then| format!("{}/{}: there is no such claim any more", before.study, then.claim)));
    changes
}

/// Studies that are run one after the other.
struct Runs<'a> {
    web: &'a Path,
    settings: Settings,
    seed: u32,
    compute: ComputeDevice,
    progress: Progress,
    done: usize,
    all: usize,
}

impl<'a> Runs<'a> {
    fn begin(args: &'a ReportArgs, settings: Settings, seed: u32, all: usize) -> Outcome<Self> {
        let compute = wait(open(DeviceChoice::Cpu)).map_err(Failure::device)?;
        interrupt::listen();
        Ok(Self { web: &args.web, settings, seed, compute, progress: Progress::default(), done: 0, all })
    }

    /// Runs a study to its end, and says what it measured.
    fn run(&mut self, study: &'static Study) -> Outcome<StudyRecord> {
        let start = Instant::now();
        let update = self.update(study)?;
        let record = StudyRecord::new(study, &update)
            .map_err(|claim| Failure::other(format!("{}: the claim {claim} was not measured", study.id)))?;
        let (words, seconds) = (record.counts().words(), start.elapsed().as_secs_f64());
        say!("{}  {words}  {}", study.id, clock(seconds))?;
        Ok(record)
    }

    /// Runs a study to its end.
    fn update(&mut self, study: &'static Study) -> Outcome<StudyUpdate> {
        self.done += 1;
        let (settings, seed) = (if self.settings == Settings::Brief { study.brief } else { "" }, self.seed);
        let (link, rejected) = from_fragment(&format!("#experiment={}&{settings}&seed={seed}", study.id));
        if !rejected.is_empty() {
            return Err(Failure::other(format!("{}: its settings are wrong: {rejected:?}", study.id)));
        }
        let (progress, done, all) = (&mut self.progress, self.done, self.all);
        let ended = wait(follow(&link.config, &self.compute, self.web, |[step, of]| {
            if progress.is_due() {
                let share = 100.0 * f64::from(step) / f64::from(of.max(1));
                progress.show(&format!("{} ({done} of {all})  {share:.0} %", study.id));
            }
            !interrupt::asked()
        }));
        self.progress.end();
        let words = |why: &dyn std::fmt::Display| format!("{}: {why}", study.id);
        let update: Option<StudyUpdate> = ended.map_err(|error| match error {
            StudyError::Unreachable(why) => beside(&words(&why)),
            other => Failure::other(words(&other)),
        })?;
        update.ok_or_else(|| Failure::new(Kind::Interrupted, words(&"ended before its time")))
    }
}
