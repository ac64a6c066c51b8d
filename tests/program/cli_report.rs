//! `scorefield report`: the claims of the sources as a file, written and checked.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::program::{Folder, failure, scorefield, success};
use crate::verdicts::{EXPECTED, unexpected};
use scorefield::cli::report::{markdown, read};
use scorefield::lab::{Language, Texts};
use scorefield::protocol::Verdict;
use scorefield::report::{Report, TIMED};
use scorefield::study::STUDIES;
use serde_json::Value;

/// A study that is over in a second.
const QUICK: &str = "gaussian-1d";
/// Another one.
const OTHER: &str = "score-1d";

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs it with the files of this repository's page.
fn report(arguments: &[&str]) -> Output {
    let web = home().join("web").to_string_lossy().into_owned();
    scorefield(["report", "--web", &web].iter().chain(arguments))
}

/// The JSON of a file, changed.
fn change(path: &str, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

fn texts() -> Texts {
    let path = home().join("web").join(Language::English.file());
    Texts::read(fs::read_to_string(path).unwrap().leak())
}

#[test]
fn a_report_is_written_study_by_study_and_checked_verdict_by_verdict() {
    let folder = Folder::new("report");
    let (out, file) = (folder.path("out"), folder.path("out/report.json"));
    success(&report(&["--only", QUICK, "--out", &out]));
    let first = read(Path::new(&file)).unwrap();
    let study = STUDIES.iter().find(|study| study.id == QUICK).unwrap();
    let keys: Vec<&str> = first.studies[0].claims.iter().map(|claim| claim.claim.as_str()).collect();
    assert_eq!(keys, study.claims.iter().map(|claim| claim.key).collect::<Vec<_>>());
    assert_eq!((first.counts.studies, first.counts.claims), (1, keys.len()));
    let table = fs::read_to_string(folder.path("out/report.md")).unwrap();
    assert_eq!(table, markdown(&first, &texts()));
    for claim in study.claims {
        let sentence = texts().get(&format!("claim.{QUICK}.{}", claim.key)).to_owned();
        assert!(table.contains(&sentence), "{sentence}");
    }
    assert!(table.contains(&first.counts.words()), "{table}");

    // Another study stands beside it, in the order of the menu.
    success(&report(&["--only", OTHER, "--out", &out]));
    let both = read(Path::new(&file)).unwrap();
    let place = |id: &str| STUDIES.iter().position(|study| study.id == id);
    let ids: Vec<&str> = both.studies.iter().map(|study| study.study.as_str()).collect();
    assert!(place(ids[0]) < place(ids[1]) && ids.len() == 2, "{ids:?}");
    assert_eq!(both.find(QUICK), first.find(QUICK));

    // What is written is what comes out again; a verdict that is another is named, and so is what is not there.
    success(&report(&["--check", &file, "--only", QUICK]));
    change(&file, |json| {
        let study = json["studies"].as_array_mut().unwrap().iter_mut().find(|study| study["study"] == QUICK).unwrap();
        let claim = &mut study["claims"][0];
        claim["verdict"] = if claim["verdict"] == "fails" { "holds".into() } else { "fails".into() };
    });
    let before = fs::read_to_string(&file).unwrap();
    let name = format!("{QUICK}/{}", study.claims[0].key);
    failure(&report(&["--check", &file, "--only", QUICK]), 1, &name);
    failure(&report(&["--check", &file, "--only", "ncsn,score-1d"]), 1, "ncsn: not in the file");
    change(&file, |json| json["studies"][0]["claims"][0]["claim"] = "another".into());
    change(&file, |json| json["studies"][1]["claims"][0]["claim"] = "another".into());
    failure(&report(&["--check", &file, "--only", QUICK]), 1, "another: there is no such claim any more");
    fs::write(&file, before).unwrap();

    // Runs that cannot be compared are not mixed.
    failure(&report(&["--only", QUICK, "--seed", "2", "--out", &out]), 2, "seed 1");
    failure(&report(&["--only", QUICK, "--full", "--out", &out]), 2, "brief settings");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_run() {
    let folder = Folder::new("report-bad");
    let out = folder.path("out");
    failure(&report(&["--only", "nothing", "--out", &out]), 2, "score-1d");
    failure(&report(&["--from", "nothing", "--out", &out]), 2, "score-1d");
    failure(&report(&["--check", &folder.path("none.json")]), 3, "none.json");
    for (name, text) in [
        ("empty.json", "{}"),
        ("words.json", "no report"),
        ("format.json", r#"{"format": 2, "settings": "brief", "seed": 1, "studies": []}"#),
        ("settings.json", r#"{"format": 1, "settings": "quick", "seed": 1, "studies": []}"#),
    ] {
        let path = folder.path(name);
        fs::write(&path, text).unwrap();
        failure(&report(&["--check", &path]), 3, "scorefield report");
    }
    let elsewhere = folder.path("no-page");
    failure(&scorefield(["report", "--web", &elsewhere, "--only", QUICK, "--out", &out]), 3, "--web");
    failure(&report(&["--check", "x.json", "--seed", "2"]), 2, "--seed");
    assert!(!Path::new(&out).exists());
    // A study whose data are not beside the texts says which they are; what was finished before it stays.
    let (web, bare) = (home().join("web/locales/en.txt"), folder.path("web/locales"));
    fs::create_dir_all(&bare).unwrap();
    fs::copy(web, format!("{bare}/en.txt")).unwrap();
    let bare = folder.path("web");
    let run = ["report", "--web", &bare, "--only", "score-1d,ncsn-digits", "--out", &out];
    let output = scorefield(run);
    failure(&output, 3, "digits");
    failure(&output, 3, "--only ncsn-digits");
    let kept = read(Path::new(&folder.path("out/report.json"))).unwrap();
    assert_eq!((kept.counts.studies, kept.studies[0].study.as_str()), (1, OTHER));
}

#[test]
fn what_was_finished_is_kept_when_ctrl_c_ends_the_rest() {
    let folder = Folder::new("report-interrupted");
    let (out, file) = (folder.path("out"), folder.path("out/report.json"));
    let web = home().join("web").to_string_lossy().into_owned();
    let only = format!("{QUICK},ncsn-digits");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scorefield"));
    command.args(["report", "--web", &web, "--only", &only, "--out", &out]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !Path::new(&file).exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before a study did");
        std::thread::sleep(Duration::from_millis(20));
    }
    success(&Command::new("kill").args(["-INT", &child.id().to_string()]).output().unwrap());
    let output = child.wait_with_output().unwrap();
    failure(&output, 130, "--only ncsn-digits");
    let kept = read(Path::new(&file)).unwrap();
    assert_eq!((kept.counts.studies, kept.studies[0].study.as_str()), (1, QUICK));
}

/// The report that is kept.
fn written() -> Report {
    read(&home().join("docs/report.json")).unwrap()
}

#[test]
fn the_report_that_is_kept_is_of_every_claim_and_has_the_verdicts_that_the_tests_expect() {
    let report = written();
    let found = |study: &str| report.find(study).unwrap_or_else(|| panic!("{study} is not in docs/report.json"));
    for study in STUDIES {
        let claims: Vec<&str> = found(study.id).claims.iter().map(|claim| claim.claim.as_str()).collect();
        assert_eq!(claims, study.claims.iter().map(|claim| claim.key).collect::<Vec<_>>(), "{}", study.id);
    }
    assert_eq!(report.studies.len(), STUDIES.len());
    for study in &report.studies {
        let verdict = |id: &str| [Verdict::Holds, Verdict::Fails, Verdict::Open].into_iter().find(|v| v.id() == id);
        let timed = |claim: &str| TIMED.contains(&(study.study.as_str(), claim));
        assert!(study.claims.iter().all(|claim| claim.timed == timed(&claim.claim)), "{}", study.study);
        // What another machine's clock says is not the tests' to expect.
        let claims = study.claims.iter().filter(|claim| !claim.timed);
        let verdicts: Vec<(&str, Verdict)> =
            claims.map(|claim| (claim.claim.as_str(), verdict(&claim.verdict).expect("a verdict"))).collect();
        assert_eq!(unexpected(EXPECTED, &study.study, &verdicts), Vec::<String>::new());
    }
}

#[test]
fn the_table_that_is_kept_and_the_readme_say_what_the_data_say() {
    let report = written();
    let table = fs::read_to_string(home().join("docs/report.md")).unwrap();
    assert!(
        table == markdown(&report, &texts()),
        "write docs/report.md anew: scorefield report --only {}",
        STUDIES[0].id
    );
    let readme = fs::read_to_string(home().join("README.md")).unwrap();
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = format!("{} claims of the sources ({})", report.counts.claims, report.counts.words());
    assert!(readme.contains(&words), "README.md does not say: {words}");
}

#[test]
fn studies_that_read_the_clock_have_their_claims_marked() {
    // Which file is which study's, its table says.
    let marked: BTreeSet<&str> = TIMED.iter().map(|(study, _)| *study).collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(home().join("src/study")).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        let reads = ["lasted()", "since_turn("].iter().any(|call| source.contains(call));
        let study = STUDIES.iter().find(|study| source.contains(&format!("id: \"{}\"", study.id)));
        if let (true, Some(study)) = (reads, study) {
            found.insert(study.id);
        }
    }
    assert_eq!(found, marked);
}

#[test]
fn a_picture_of_a_study_is_that_which_is_kept_and_no_report_is_written_with_it() {
    let folder = Folder::new("report-pictures");
    let pictures = folder.path("pictures");
    success(&report(&["--only", QUICK, "--pictures", &pictures]));
    let names: Vec<_> = fs::read_dir(&pictures).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [format!("{QUICK}.svg").as_str()]);
    // Of another processor a number may round to a neighbour; what is drawn is the same.
    let shape = |drawing: &str| drawing.split('"').skip(1).step_by(2).map(|part| part.len() > 60).collect::<Vec<_>>();
    let [made, kept] = [PathBuf::from(&pictures), home().join("web/pictures")]
        .map(|folder| fs::read_to_string(folder.join(format!("{QUICK}.svg"))).unwrap());
    assert_eq!(shape(&made), shape(&kept), "write web/pictures anew: scorefield report --pictures web/pictures");
    failure(&report(&["--pictures", &pictures, "--check", "x.json"]), 2, "--check");
}
