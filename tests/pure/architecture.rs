//! The house rules that a compiler does not enforce: which module may know which.

mod callers;
mod graph;
mod made_up;
mod modules;
mod uses;

use crate::sources;
use std::sync::LazyLock;

use graph::{Edges, Graph, against_layers, cycles, describe};
use modules::Sources;

/// The modules of the crate from the bottom to the top, and for each the modules that it knows: these and no others.
const LAYERS: &[(&str, &str)] = &[
    ("base64", ""),
    ("choice", ""),
    ("digest", ""),
    ("lasting", ""),
    ("offline", ""),
    ("rng", ""),
    ("decimal", ""),
    ("diffusion", "rng"),
    ("data", "base64 choice rng diffusion"),
    ("plot", "base64 decimal lasting"),
    ("lab", "base64 choice lasting decimal diffusion data"),
    ("protocol", "lab data"),
    ("wire", "protocol"),
    ("nn", "digest rng diffusion data lab"),
    ("study", "choice digest lasting rng diffusion data plot lab protocol wire nn"),
    ("report", "lab plot protocol study"),
    ("experiments", "lab study"),
    ("session", "lab protocol"),
    ("share", "digest lab experiments"),
    ("engine", "digest rng diffusion data lab protocol wire nn study"),
    ("worker", "lab protocol wire nn engine"),
    ("serve", ""),
    ("cli", "digest rng diffusion data plot lab protocol wire nn study report experiments share engine serve"),
    ("ui", "offline rng decimal diffusion data plot lab protocol wire study experiments session share"),
];

/// What has a test in `diffusion/` and `data/` and waits for its caller in a chapter of the report, and which study that is.
const WAITING: &[(&str, &str)] = &[];

/// The longest file, in lines.
const LONGEST: usize = 600;

/// All of `src`.
fn sources() -> Sources {
    sources::sources("src")
}

/// The graph of `src`.
static GRAPH: LazyLock<Graph> = LazyLock::new(|| Graph::read(env!("CARGO_PKG_NAME"), &sources()));

fn assert_acyclic(edges: &Edges, of: &str) {
    let found: Vec<String> = cycles(edges).iter().map(|cycle| describe(cycle, edges)).collect();
    assert!(found.is_empty(), "{} cycles of {of}:\n{}", found.len(), found.join("\n\n"));
}

#[test]
fn dependencies_run_one_way() {
    println!("Modules from the bottom to the top, and what each knows:");
    for (module, _) in LAYERS {
        let known = GRAPH.knows.get(*module).map(|known| known.keys().map(String::as_str).collect::<Vec<_>>());
        println!("{module:12} {}", known.unwrap_or_default().join(" "));
    }
    let wrong = against_layers(&GRAPH, LAYERS);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_modules_side_by_side_know_one_another() {
    assert_acyclic(&GRAPH.siblings, "modules");
}

#[test]
fn no_files_use_one_another() {
    assert_acyclic(&GRAPH.files, "files");
}

#[test]
fn every_path_is_understood() {
    let missing: Vec<String> = GRAPH.missing.iter().map(ToString::to_string).collect();
    assert!(missing.is_empty(), "these begin in the crate and lead nowhere:\n{}", missing.join("\n"));
}

#[test]
fn only_nn_and_engine_know_burn_and_only_the_page_knows_leptos() {
    for (name, files) in &GRAPH.foreign {
        // `burn_cubecl` is Burn too.
        let homes: &[&str] = match name.split('_').next() {
            Some("burn" | "cubecl") => &["nn/", "engine/"],
            Some("leptos") => &["ui/"],
            _ => continue,
        };
        for file in files {
            assert!(homes.iter().any(|home| file.starts_with(home)), "{file} knows {name}");
        }
    }
}

/// The standard library's functions of the page's half are others than `libm`'s: a visitor would fetch both, tables
/// included.
#[test]
fn the_page_has_one_kind_of_mathematical_functions() {
    let functions =
        ["sin", "cos", "tan", "sin_cos", "atan2", "exp", "ln", "log2", "log10", "powf", "hypot", "tanh", "cbrt"];
    let mut found = Vec::new();
    for (file, source) in sources() {
        let home = file.split(['/', '.']).next().unwrap_or_default();
        if ["plot", "lab", "session", "share", "ui", "diffusion", "data", "rng", "experiments"].contains(&home) {
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            let called = |name: &&&str| source.contains(&format!(".{name}(")) && !file.ends_with("tests.rs");
            found.extend(functions.iter().filter(called).map(|name| format!("{file}: {name}")));
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn what_is_proved_is_what_runs() {
    let found = callers::uncalled(&sources(), &["diffusion/", "data/"]);
    let waits = |name: &str| WAITING.iter().any(|(waiting, _)| *waiting == name);
    let wrong: Vec<String> =
        found.iter().filter(|(name, _)| !waits(name)).map(|(n, file)| format!("{file}: {n}")).collect();
    assert!(wrong.is_empty(), "nobody calls these but tests:\n{}", wrong.join("\n"));
    for (name, study) in WAITING {
        assert!(
            found.contains_key(*name),
            "{name} waits for {study}, but it is called or not there: take it off the list"
        );
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{file} has {lines} lines");
    }
}
