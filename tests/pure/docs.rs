//! The documents: the list of the site that is made of them is whole, and their links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Documents beside the folder of the others.
const AT_THE_TOP: [&str; 4] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];
/// The site's list of documents, as mdBook reads it.
const LIST: &str = "docs/SUMMARY.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents in `docs/`, by their path in the repository, without the list.
fn documents() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("docs")).expect("docs/").map(|entry| entry.expect("an entry"));
    let names = entries.map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()));
    names.filter(|name| name.ends_with(".md") && name != LIST).collect()
}

/// The lines of a document that are prose, without its blocks of code and the code in its sentences.
fn prose(text: &str) -> String {
    let mut outside = true;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            outside = !outside;
        } else if outside {
            kept.extend([line, "\n"]);
        }
    }
    // Within a paragraph every second piece between backticks is code.
    let words = |paragraph: &str| paragraph.split('`').step_by(2).collect::<Vec<_>>().join("code");
    kept.split("\n\n").map(words).collect::<Vec<_>>().join("\n\n")
}

/// Where the links and pictures of a document lead.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// What GitHub and mdBook call a document's headings: letters, digits and hyphens, the second of two equal ones with a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut outside, mut seen) = (true, BTreeMap::new());
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            outside = !outside;
        }
        let title = line.trim_start_matches('#');
        if outside && title.len() < line.len() && title.starts_with(' ') {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let slug: String = title.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-");
            let count = seen.entry(slug.clone()).or_insert(0);
            found.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
            *count += 1;
        }
    }
    found
}

/// Where a link of a document leads, from the top of the repository; `None` for what is outside it.
fn target(document: &str, link: &str) -> Option<String> {
    let mut path = PathBuf::from(document);
    path.pop();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    Some(path.to_string_lossy().into_owned())
}

/// What is wrong with the links of a document.
fn broken(document: &str, text: &str) -> Vec<String> {
    let wrong = |link: &String| {
        if link.starts_with("https://") {
            return None;
        }
        let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, a)| (path, Some(a)));
        let other = if path.is_empty() {
            text.to_owned()
        } else {
            let Some(target) = target(document, path).filter(|target| root().join(target).exists()) else {
                return Some(format!("{document}: {link}: there is no such file"));
            };
            if anchor.is_some() { read(&target) } else { String::new() }
        };
        let missing = anchor.is_some_and(|anchor| !anchors(&other).contains(anchor));
        missing.then(|| format!("{document}: {link}: there is no such heading"))
    };
    links(text).iter().filter_map(wrong).collect()
}

#[test]
fn the_list_of_the_site_has_every_document_once() {
    let listed: Vec<String> =
        links(&read(LIST)).iter().map(|link| target(LIST, link).unwrap_or_else(|| panic!("{link}"))).collect();
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "twice in {LIST}: {listed:?}");
    let mut expected = documents();
    assert!(expected.len() > 10, "{expected:?}");
    expected.extend(AT_THE_TOP.map(str::to_owned));
    assert_eq!(once, expected, "{LIST} against the documents");
    assert_eq!(listed[0], "README.md", "what it is comes first");
}

#[test]
fn links_of_the_documents_lead_to_files_and_headings() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in documents().iter().map(String::as_str).chain(AT_THE_TOP).chain([LIST]) {
        let text = read(name);
        count += links(&text).len();
        wrong.extend(broken(name, &text));
    }
    assert!(count > 40, "{count} links");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn documents_that_are_named_in_passing_are_there() {
    let named = |text: &str| -> Vec<String> {
        let rest = text.split("docs/").skip(1);
        let name = |rest: &str| {
            rest.chars().take_while(|c| c.is_ascii_lowercase() || matches!(c, '-' | '.')).collect::<String>()
        };
        rest.map(name).filter_map(|name| Some(format!("docs/{}.md", name.split_once(".md")?.0))).collect()
    };
    let mut texts: Vec<String> = AT_THE_TOP.iter().map(|name| (*name).to_owned()).chain(documents()).collect();
    texts.extend(["fa", "en", "zh"].map(|language| format!("web/locales/{language}.txt")));
    texts.extend(["Cargo.toml", "src/lib.rs", "deny.toml"].map(str::to_owned));
    let there = documents();
    let all: Vec<String> = texts.iter().flat_map(|name| named(&read(name))).collect();
    assert!(all.len() > 15, "{all:?}");
    let missing: BTreeSet<&String> = all.iter().filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_leads_nowhere_is_noticed() {
    let text = "# A title, of `code`\n\n[a](#a-title-of-code) [b](core.md#sampling) [c](../src/lib.rs) [d](https://a.b/c)\n\
                `[no](link)`\n\n```\n[no](link)\n# none\n```\n\n## Twice\n## Twice\n[e](#twice-1)\n";
    assert_eq!(links(text).len(), 5);
    assert_eq!(broken("docs/a.md", text), Vec::<String>::new());
    let text =
        "# Title\n\n[a](#none) [b](core.md#none) [c](src/lib.rs) [d](http://a.b/c) [e](../../x) [f](nobody.md)\n";
    assert_eq!(broken("docs/a.md", text).len(), 6, "{:#?}", broken("docs/a.md", text));
}
