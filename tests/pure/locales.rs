//! The three locale files say the same things, and exactly what the page asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use scorefield::data::metrics::MEASURES;
use scorefield::experiments::{EXPERIMENTS, all};
use scorefield::lab::texts::{Language, entries};
use scorefield::lab::{CIFAR10, FASHION_MNIST, FIELDS, Kind};
use scorefield::protocol::FailureKind;
use scorefield::protocol::Verdict;
use scorefield::session::Status;
use scorefield::share::from_fragment;
use scorefield::study::{STUDIES, Source};

/// Every kind; the match makes a new one an error here.
const FAILURES: [FailureKind; 12] = [
    FailureKind::NoDevice,
    FailureKind::DeviceLost,
    FailureKind::Disconnected,
    FailureKind::Diverged,
    FailureKind::Untrained,
    FailureKind::BadFile,
    FailureKind::Unreachable,
    FailureKind::BadConfig,
    FailureKind::NoClass,
    FailureKind::OutOfMemory,
    FailureKind::Outdated,
    FailureKind::Internal,
];

/// The locale file, as the page fetches it.
fn file(language: Language) -> &'static str {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web").join(language.file());
    std::fs::read_to_string(path).expect("a locale file").leak()
}

fn texts(language: Language) -> BTreeMap<&'static str, &'static str> {
    entries(file(language)).collect()
}

fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// Formulas in LaTeX, between dollar signs.
fn formulas(text: &str) -> BTreeSet<&str> {
    text.split('$').skip(1).step_by(2).collect()
}

/// Settings that links of the prose lead to.
fn links(text: &str) -> BTreeSet<&str> {
    text.split("](#").skip(1).filter_map(|rest| rest.split_once(')')).map(|(settings, _)| settings).collect()
}

/// String literals of the page's sources that look like keys: words joined by dots, the first of them a section.
fn keys_in_sources() -> BTreeSet<String> {
    let sections = [
        "page",
        "controls",
        "action",
        "status",
        "run",
        "view",
        "drawing",
        "gaussian",
        "chart",
        "device",
        "link",
        "failure",
        "file",
        "share",
        "measure",
        "tour",
        "claims",
        "images",
        "catalogue",
        "values",
        "contents",
        "offline",
    ];
    let mut keys = BTreeSet::new();
    // The build writes some of what the page shows.
    let mut paths =
        ["src/ui", "src/bin/finish_page"].map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).to_vec();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(path).expect("a folder of sources").map(|e| e.expect("an entry").path()));
            continue;
        }
        let source = std::fs::read_to_string(path).expect("a source file");
        for literal in source.split('"') {
            let wordy = literal.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '-'));
            if wordy
                && literal.split_once('.').is_some_and(|(first, rest)| sections.contains(&first) && !rest.is_empty())
            {
                keys.insert(literal.to_owned());
            }
        }
    }
    keys
}

/// Keys that the page makes from the tables.
fn keys_from_tables() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for field in FIELDS {
        keys.extend(["label", "help"].map(|end| format!("field.{}.{end}", field.key)));
        if let Kind::Choice(ids) = field.kind {
            keys.extend(ids.iter().map(|id| format!("choice.{}.{id}", field.key)));
        }
    }
    // What CIFAR-10's classes are called; those of other weights have the names that these say.
    keys.extend(
        CIFAR10.iter().chain(&FASHION_MNIST).chain(&["any", "each"]).map(|class| format!("choice.image-class.{class}")),
    );
    keys.extend(all().map(|experiment| format!("choice.experiment.{}", experiment.id())));
    for experiment in EXPERIMENTS {
        keys.extend(["title", "lead", "see"].map(|end| format!("experiment.{}.{end}", experiment.id.id())));
        keys.extend(experiment.groups.iter().map(|group| format!("group.{}", group.id)));
    }
    for study in STUDIES {
        keys.extend(["title", "lead", "see"].map(|end| format!("experiment.{}.{end}", study.id)));
        keys.insert(format!("chapter.{}", study.chapter));
        keys.extend(["study", "run"].map(|group| format!("group.{group}")));
        for field in study.controls.iter().map(|control| &control.field) {
            keys.extend(["label", "help"].map(|end| format!("field.{}.{end}", field.key)));
            if let Kind::Choice(ids) = field.kind {
                keys.extend(ids.iter().map(|id| format!("choice.{}.{id}", field.key)));
            }
        }
        for figure in study.figures {
            keys.insert(format!("figure.{}.{}", study.id, figure.key));
            let axes = [&figure.x, &figure.y];
            let words = axes.iter().flat_map(|a| a.names.iter().chain([&a.key])).filter(|key| !key.is_empty());
            keys.extend(words.map(|key| format!("plot.{key}")));
            keys.extend(figure.layers.iter().map(|layer| format!("plot.{}", layer.key)));
        }
        for claim in study.claims {
            keys.extend(["", ".measured"].map(|end| format!("claim.{}.{}{end}", study.id, claim.key)));
        }
        keys.extend(study.notes.iter().map(|note| format!("note.{}.{note}", study.id)));
    }
    let sources = [Source::Report(""), Source::Magazine, Source::Article, Source::Blog("")];
    keys.extend(sources.map(|source| format!("source.{}", source.id().0)));
    for verdict in [Verdict::Holds, Verdict::Fails, Verdict::Open] {
        keys.extend(["verdict", "contents"].map(|of| format!("{of}.{}", verdict.id())));
    }
    keys.extend(MEASURES.iter().map(|id| format!("measure.{id}")));
    for kind in FAILURES {
        keys.extend([format!("failure.{kind:?}"), format!("failure.{kind:?}.advice")]);
    }
    keys.extend(["unavailable", "unwanted", "awaited", "there", "newer"].map(|copy| format!("offline.{copy}")));
    let shown = [Status::Loading, Status::Idle, Status::Paused, Status::Done, Status::Failed];
    keys.extend(shown.map(|status| format!("status.{}", status.id())));
    keys.extend(["left", "bottom", "centre", "frame", "random"].map(|mask| format!("images.mask-{mask}")));
    keys.extend(["system", "light", "dark"].map(|theme| format!("theme.{theme}")));
    keys
}

#[test]
fn every_language_has_the_same_keys_once_each() {
    let english: Vec<&str> = entries(file(Language::English)).map(|(key, _)| key).collect();
    for language in Language::ALL {
        let keys: Vec<&str> = entries(file(language)).map(|(key, _)| key).collect();
        let once: BTreeSet<&str> = keys.iter().copied().collect();
        assert_eq!(once.len(), keys.len(), "{}: a key twice", language.tag());
        let expected: BTreeSet<&str> = english.iter().copied().collect();
        assert_eq!(once, expected, "{}", language.tag());
    }
}

#[test]
fn every_text_has_the_places_of_its_english_original_and_says_something() {
    let english = texts(Language::English);
    for language in Language::ALL {
        for (key, text) in texts(language) {
            assert!(!text.is_empty(), "{}: {key} is empty", language.tag());
            assert_eq!(places(text), places(english[key]), "{}: {key}", language.tag());
            assert_eq!(formulas(text), formulas(english[key]), "{}: {key}", language.tag());
            assert_eq!(links(text), links(english[key]), "{}: {key}", language.tag());
        }
    }
}

#[test]
fn links_of_the_prose_are_settings_that_the_page_reads_without_a_word() {
    let all: BTreeSet<&str> = texts(Language::English).into_values().flat_map(links).collect();
    assert!(!all.is_empty());
    for settings in all {
        let (link, rejected) = from_fragment(settings);
        assert!(rejected.is_empty(), "{settings}: {rejected:?}");
        assert!(settings.contains(link.config.experiment.id()), "{settings}");
    }
}

#[test]
fn the_texts_are_those_the_page_asks_for_and_no_others() {
    let mut asked = keys_in_sources();
    asked.extend(keys_from_tables());
    let given: BTreeSet<String> = texts(Language::English).into_keys().map(str::to_owned).collect();
    let missing: Vec<_> = asked.difference(&given).collect();
    let unused: Vec<_> = given.difference(&asked).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert!(unused.is_empty(), "unused: {unused:?}");
}

#[test]
fn the_list_of_failures_is_complete() {
    for kind in FAILURES {
        // A kind that is not in the list does not compile here.
        match kind {
            FailureKind::NoDevice
            | FailureKind::DeviceLost
            | FailureKind::Disconnected
            | FailureKind::Diverged
            | FailureKind::Untrained
            | FailureKind::BadFile
            | FailureKind::Unreachable
            | FailureKind::BadConfig
            | FailureKind::NoClass
            | FailureKind::OutOfMemory
            | FailureKind::Outdated
            | FailureKind::Internal => {}
        }
    }
}

#[test]
fn persian_numbers_have_persian_digits_and_names_keep_their_own() {
    let persian = |text: &str| Language::Persian.digits(text);
    assert_eq!(persian("20 گام، 0.25 ± 1.5e-6."), "۲۰ گام، ۰٫۲۵ ± ۱٫۵e-۶.");
    assert_eq!(persian("DPM-Solver++(2M) · 20 · int8"), "DPM-Solver++(2M) · ۲۰ · int8");
    assert_eq!(Language::English.digits("20 steps"), "20 steps");
}
