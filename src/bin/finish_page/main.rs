//! `finish_page FOLDER`: writes the tables of all studies beside the built page, which fetches them, makes HTML with MathML
//! of the prose in its texts, writes its contents with what was measured of every claim, and takes the names of functions
//! out of it, which wasm-bindgen writes anew and no visitor reads; paints the picture that other sites show of a link to it.
//! `finish_page --offline FOLDER`, once all files of the page are there: writes the script that keeps them for visits
//! without a network. `finish_page --site ADDRESS PROBLEMS FOLDER`, by who publishes the page: writes its address and that
//! for problems into it, and that script anew.

mod card;
mod contents;
mod offline;
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
        [flag, folder] if flag == "--offline" => (folder, offline::write(Path::new(folder))),
        [flag, address, problems, folder] if flag == "--site" => {
            let path = Path::new(folder);
            // The page is another file then, and the list of all has its digest.
            (folder, site::write(path, address, problems).and_then(|()| offline::write(path)))
        }
        _ => {
            eprintln!("usage: finish_page [--offline | --site ADDRESS PROBLEMS] FOLDER");
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
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "wasm") {
            let file = fs::read(&path)?;
            let short = without_names(&file).ok_or_else(|| io::Error::other("a damaged WebAssembly file"))?;
            fs::write(path, short)?;
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

/// A WebAssembly module without its section of names; `None` for what is no module.
fn without_names(module: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = module.split_at_checked(8)?;
    let mut kept = head.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (size, content) = number(after)?;
        let (section, next) = content.split_at_checked(size)?;
        // Custom sections begin with the length of their name and the name.
        if !(id == 0 && section.starts_with(b"\x04name")) {
            kept.extend(&rest[..rest.len() - next.len()]);
        }
        rest = next;
    }
    head.starts_with(b"\0asm").then_some(kept)
}

/// A number of seven bits a byte, the lowest first, and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 127) << (7 * i);
        if byte < 128 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_are_taken_out() {
        let section = |id: u8, content: &[u8]| [&[id, content.len() as u8 | 128, 0], content].concat();
        let (code, names, features) =
            (section(10, &[1, 2, 3]), section(0, b"\x04name\x01\x00"), section(0, b"\x05other"));
        let head = b"\0asm\x01\0\0\0";
        let module = [head, &code[..], &names, &features].concat();
        assert_eq!(without_names(&module), Some([head, &code[..], &features].concat()));
        assert_eq!(without_names(&module[..module.len() - 1]), None);
        assert_eq!(without_names(b"<!DOCTYPE html>"), None);
        assert_eq!(without_names(b""), None);
    }
}
