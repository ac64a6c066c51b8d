//! The script that keeps the page for visits without a network: a service worker, written by the build because it lists
//! the files of this very build and their digests.

use std::fs;
use std::io;
use std::path::Path;

use scorefield::digest::hex;
use scorefield::offline::{PREFIX, RELAXED_MODULE, SCRIPT};
use sha2::{Digest, Sha256};

use crate::{card, copies};

/// What lies beside the page and is no part of it: the documents, and the picture for other sites.
const BESIDE: [&str; 2] = ["docs", card::FILE];

/// When a file is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// At once: without it the page does not work.
    Now,
    /// At once in a browser with relaxed vector instructions.
    Relaxed,
    /// At once in any other.
    Plain,
    /// When it is first asked for.
    Asked,
}

impl When {
    fn of(path: &str, default_set: &str) -> Self {
        match path {
            _ if path.starts_with("worker_cpu_relaxed") => Self::Relaxed,
            _ if path.starts_with("worker_cpu") => Self::Plain,
            _ if path.starts_with("worker_gpu") || path.starts_with("pictures/") => Self::Asked,
            // Sets of weights are large: the one that the page opens with, and the list of all.
            _ if path.starts_with("weights/") && path != "weights/index.json" && !path.starts_with(default_set) => {
                Self::Asked
            }
            _ => Self::Now,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Relaxed => "relaxed",
            Self::Plain => "plain",
            Self::Asked => "asked",
        }
    }
}

/// Writes the script for all files of a folder.
///
/// # Errors
/// When a file cannot be read or the script not be written.
pub fn write(folder: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    list(folder, "", &mut paths)?;
    paths.sort();
    let default_set = default_set(folder)?;
    let mut lines = Vec::new();
    let mut version = Sha256::new();
    for path in paths {
        let digest = hex(&Sha256::digest(fs::read(folder.join(&path))?));
        let when = When::of(&path, &default_set).word();
        version.update(format!("{path} {digest} {when}\n"));
        lines.push(format!("  {}: ['{digest}', '{when}'],", quoted(&path)?));
    }
    let version = hex(&version.finalize());
    let script = include_str!("service_worker.js.txt")
        .replace("PREFIX-OF-NAMES", PREFIX)
        .replace("VERSION", &version[..16])
        .replace("RELAXED-MODULE", &RELAXED_MODULE.map(|byte| byte.to_string()).join(", "))
        .replace("  FILES", &lines.join("\n"));
    fs::write(folder.join(SCRIPT), script)
}

/// The folder of the first set of weights in the list, which the page opens with.
fn default_set(folder: &Path) -> io::Result<String> {
    let list = fs::read_to_string(folder.join("weights/index.json"))?;
    let list: serde_json::Value = serde_json::from_str(&list).map_err(io::Error::other)?;
    let id =
        list["sets"][0]["id"].as_str().ok_or_else(|| io::Error::other("no set of weights in weights/index.json"))?;
    Ok(format!("weights/{id}/"))
}

fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| io::Error::other("a file whose name is not Unicode"))?;
        let path = format!("{prefix}{name}");
        if BESIDE.contains(&path.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), found)?;
        } else if path != SCRIPT && !copies::is_copy(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// A path as a text of the script.
fn quoted(path: &str) -> io::Result<String> {
    if path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) {
        return Ok(format!("'{path}'"));
    }
    Err(io::Error::other(format!("{path}: names of served files are of letters, digits and -_./ alone")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_when_it_is_needed() {
        let when = |path| When::of(path, "weights/first/");
        assert_eq!(when("index.html"), When::Now);
        assert_eq!(when("worker_cpu_bg.wasm"), When::Plain);
        assert_eq!(when("worker_cpu_relaxed.js"), When::Relaxed);
        assert_eq!(when("worker_gpu_bg.wasm"), When::Asked);
        assert_eq!(when("worker_study_bg.wasm"), When::Now);
        assert_eq!(when("weights/index.json"), When::Now);
        assert_eq!(when("weights/first/manifest.json"), When::Now);
        assert_eq!(when("weights/second/manifest.json"), When::Asked);
    }

    #[test]
    fn the_version_is_that_of_the_names_and_contents_of_all_files() {
        let folder = std::env::temp_dir().join(format!("scorefield-offline-{}", std::process::id()));
        fs::create_dir_all(folder.join("weights/first")).expect("a folder");
        fs::write(folder.join("weights/index.json"), r#"{"sets": [{"id": "first"}]}"#).expect("a file");
        fs::write(folder.join("weights/first/manifest.json"), "{}").expect("a file");
        fs::write(folder.join("index.html"), "one").expect("a file");
        let written = || {
            write(&folder).expect("a script");
            fs::read_to_string(folder.join(SCRIPT)).expect("a script")
        };
        let first = written();
        assert_eq!(first, written(), "the script does not list itself");
        fs::write(folder.join("index.html.br"), "one, compressed").expect("a file");
        fs::write(folder.join("weights/index.json.gz"), "compressed").expect("a file");
        assert_eq!(first, written(), "nor compressed copies");
        assert!(first.contains("'weights/first/manifest.json': ['44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', 'now'],"), "{first}");
        fs::write(folder.join("index.html"), "two").expect("a file");
        let second = written();
        let version = |script: &str| script.lines().find(|line| line.contains("const NAME")).map(str::to_owned);
        assert!(version(&first).is_some() && version(&first) != version(&second));
        // What is beside the page changes nothing.
        fs::create_dir_all(folder.join("docs")).expect("a folder");
        fs::write(folder.join("docs/it's"), "").expect("a file");
        fs::write(folder.join(card::FILE), "").expect("a file");
        assert_eq!(written(), second);
        fs::write(folder.join("it's"), "").expect("a file");
        assert!(write(&folder).is_err());
        fs::remove_dir_all(&folder).expect("the folder");
    }
}
