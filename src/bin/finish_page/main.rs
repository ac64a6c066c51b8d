//! `finish_page FOLDER`: writes the tables of all studies beside the built page, which fetches them, makes HTML with MathML
//! of the prose in its texts, writes its contents with what was measured of every claim, paints the picture that other sites
//! show of a link to it, and makes its program smaller without a change of what it does; `finish_page --workers FOLDER`: does
//! the last for the programs of workers. `finish_page --offline FOLDER`, once all files of the page are there: writes the script
//! that keeps them for visits without a network. `finish_page --copies FOLDER`, last: writes compressed copies beside them all.
//! `finish_page --site ADDRESS PROBLEMS FOLDER`, by who publishes the page: writes its address and that for problems into it,
//! and that script and the copies anew.

mod card;
mod contents;
mod copies;
mod module;
mod offline;
mod order;
mod program;
mod prose;
mod site;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use contents::Contents;
use scorefield::lab::texts::WHOLE;
use scorefield::lab::{Language, Texts};
use scorefield::report::{Report, Times};
use scorefield::study::{FILE, STUDIES, to_bytes};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, done) = match arguments.as_slice() {
        [folder] => (folder, finish(Path::new(folder))),
        [flag, folder] if flag == "--workers" => (folder, programs(Path::new(folder))),
        [flag, folder] if flag == "--offline" => (folder, offline::write(Path::new(folder))),
        [flag, folder] if flag == "--copies" => (folder, copies::write(Path::new(folder))),
        [flag, address, problems, folder] if flag == "--site" => {
            let path = Path::new(folder);
            // The page is another file then: the list of all has its digest, and it has a copy.
            let written = site::write(path, address, problems);
            (folder, written.and_then(|()| offline::write(path)).and_then(|()| copies::write(path)))
        }
        _ => {
            eprintln!("usage: finish_page [--workers | --offline | --copies | --site ADDRESS PROBLEMS] FOLDER");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn finish(folder: &Path) -> io::Result<()> {
    fs::write(folder.join(FILE), to_bytes(STUDIES).map_err(io::Error::other)?)?;
    let (report, times) = (read_report()?, read_times()?);
    for language in Language::ALL {
        let path = folder.join(language.file());
        let finished = prose::finished(&fs::read_to_string(&path)?).map_err(io::Error::other)?;
        fs::write(path, format!("{finished}\n# {WHOLE}"))?;
        // As long as the program.
        let texts = Texts::read(finished.leak());
        let contents = Contents { language, texts: &texts, report: &report, times: &times };
        let path = folder.join(language.contents());
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, contents.html().map_err(io::Error::other)? + WHOLE)?;
        if language == Language::English {
            fs::write(folder.join(card::FILE), card::png(&texts)?)?;
        }
    }
    programs(folder)
}

/// Finishes all programs of a folder.
fn programs(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_str().is_some_and(|path| path.ends_with(program::ENDING)) {
            program::finish(&path)?;
        }
    }
    Ok(())
}

/// A file of the documentation.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// What was measured of the claims.
fn read_report() -> io::Result<Report> {
    let path = kept("report.json");
    let bad = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| bad(&error))?;
    Report::from_json(&text).map_err(|error| bad(&error))
}

/// How long the studies take; nothing where nobody has measured it.
fn read_times() -> io::Result<Times> {
    match fs::read_to_string(kept("times.json")) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Times::default()),
        Err(error) => Err(error),
    }
}
