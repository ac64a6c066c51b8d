//! Files of one folder as answers.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::message::{Answer, Head, NOT_MODIFIED, Request};

/// Kinds of compressed copies beside a file, the smallest first: the name of the coding, and what it puts after the file's.
const COPIES: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// What answers requests that are not for files; nothing for those that are not its own.
pub type Beside = Arc<dyn Fn(&mut Request<'_>) -> Option<Answer> + Send + Sync>;

/// What is served.
#[derive(Clone, Default)]
pub struct Site {
    /// The folder of the files.
    pub folder: PathBuf,
    /// The path they are under, `""` or `"/some/where"`.
    pub prefix: String,
    /// More headers for every file, by name and value.
    pub headers: &'static [(&'static str, &'static str)],
    /// What is put at the beginning of the page's head.
    pub head: String,
    /// What is served beside the files.
    pub beside: Option<Beside>,
}

impl Site {
    /// The answer to a request.
    #[must_use]
    pub fn answer(&self, request: &mut Request<'_>) -> Answer {
        self.beside.as_ref().and_then(|beside| beside(request)).unwrap_or_else(|| self.file(request))
    }

    fn file(&self, request: &Request<'_>) -> Answer {
        let head = &request.head;
        let asked = matches!(head.method.as_str(), "GET" | "HEAD");
        let name = asked.then(|| file_of(&head.target, &self.prefix)).flatten();
        let Some(path) = name.map(|name| self.folder.join(name)) else { return not_found() };
        let found = match changed(&path, self) {
            Some(page) => Ok(Answer::bytes(200, page)),
            None => Choice::of(path.clone(), head).and_then(|choice| choice.answer(head)),
        };
        // A new build must be seen at once, and as what it is.
        let own = [("Content-Type", kind(&path)), ("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff")];
        let headers = own.iter().chain(self.headers);
        found.map_or_else(refused, |answer| headers.fold(answer, |answer, &(name, value)| answer.with(name, value)))
    }
}

/// The file that is sent: the one that was asked for, or a compressed copy of it.
struct Choice {
    path: PathBuf,
    /// How it is compressed, if it is.
    coding: Option<&'static str>,
    /// Whether others could be sent another one.
    varies: bool,
}

impl Choice {
    /// The copy that whoever asks takes; the file itself where there is none, and for who wants a part of it.
    fn of(path: PathBuf, head: &Head) -> io::Result<Self> {
        let changed = changed_at(&path)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let mut varies = false;
        for (coding, ending) in COPIES {
            let mut name = name.clone();
            name.push(ending);
            let copy = path.with_file_name(name);
            // A copy from before its file was changed is one of something else.
            if !changed_at(&copy).is_ok_and(|copied| copied >= changed) {
                continue;
            }
            varies = true;
            if head.header("range").is_empty() && accepts(head.header("accept-encoding"), coding) {
                return Ok(Self { path: copy, coding: Some(coding), varies });
            }
        }
        Ok(Self { path, coding: None, varies })
    }

    fn answer(self, head: &Head) -> io::Result<Answer> {
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let tag = self.tag(&metadata);
        let known = tag.as_ref().is_some_and(|tag| is_known(head.header("if-none-match"), tag));
        let mut answer = if known { Answer::bytes(NOT_MODIFIED, "") } else { Answer::file(file, metadata.len()) };
        if let Some(tag) = tag {
            answer = answer.with("ETag", tag);
        }
        if self.varies {
            answer = answer.with("Vary", "Accept-Encoding");
        }
        Ok(match self.coding {
            Some(coding) => answer.with("Content-Encoding", coding),
            None => answer,
        })
    }

    /// What tells this content from any other at its address; nothing where the system keeps no time of changes.
    fn tag(&self, metadata: &Metadata) -> Option<String> {
        let changed = metadata.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_nanos();
        Some(format!("\"{:x}-{changed:x}-{}\"", metadata.len(), self.coding.unwrap_or("plain")))
    }
}

/// Whether a list of codings has this one, and not as one that is not wanted.
fn accepts(list: &str, coding: &str) -> bool {
    list.split(',').any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let weight = |part: &str| part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding))
            && parts.find_map(weight).unwrap_or(1.0) > 0.0
    })
}

/// Whether a list of tags has this one.
fn is_known(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn not_found() -> Answer {
    Answer::bytes(404, "not found")
}

/// A file that is there and cannot be opened now is not said to be none.
fn refused(error: io::Error) -> Answer {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound | NotADirectory | PermissionDenied | InvalidInput | InvalidFilename => not_found(),
        _ => Answer::bytes(503, "the file cannot be read now; nothing is lost: load the page again"),
    }
}

/// When a file was last changed, where the system keeps that. What is no file must not be opened: opening a pipe waits.
fn changed_at(path: &Path) -> io::Result<Option<SystemTime>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() { Ok(metadata.modified().ok()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The page with what is put into its head, where something is.
fn changed(path: &Path, site: &Site) -> Option<String> {
    let is_page = !site.head.is_empty() && path.file_name().is_some_and(|name| name == "index.html");
    let page = is_page.then(|| fs::read_to_string(path).ok())??;
    Some(page.replacen("<head>", &format!("<head>{}", site.head), 1))
}

/// The file an address asks for, relative to the folder; never one outside it.
fn file_of(url: &str, prefix: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next().unwrap_or_default().strip_prefix(prefix)?.strip_prefix('/')?;
    inside(if path.is_empty() { "index.html" } else { path })
}

/// The name of a file as a path below a folder; none of what could lie outside it.
#[must_use]
pub fn inside(name: &str) -> Option<PathBuf> {
    // Ours have plain names: an escape cannot be one of them.
    let path = Path::new(name);
    (!name.contains(['%', '\\', '\0']) && path.components().all(|c| matches!(c, Component::Normal(_))))
        .then(|| path.to_owned())
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_inside_the_folder_and_under_the_prefix_are_served() {
        assert_eq!(file_of("/a/b.js?x=1", "/a"), Some(PathBuf::from("b.js")));
        assert_eq!(file_of("/", ""), Some(PathBuf::from("index.html")));
        for url in ["/a/../secret", "/a//etc/passwd", "/b/x", "/ab", "/a/%2e%2e/x", "/a/..\\x"] {
            assert_eq!(file_of(url, "/a"), None, "{url}");
        }
    }

    #[test]
    fn a_coding_is_taken_by_name_unless_its_weight_is_none() {
        for list in ["br", "gzip, deflate, br, zstd", "BR", "gzip;q=1.0,br;q=0.1", " br ; q=1", "br;q=?"] {
            assert!(accepts(list, "br"), "{list}");
        }
        for list in ["", "gzip", "br;q=0", "br; q=0.000, gzip", "identity", "bro", "*"] {
            assert!(!accepts(list, "br"), "{list}");
        }
    }

    #[test]
    fn a_tag_is_known_among_others_and_weakly_too() {
        for list in ["\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(is_known(list, "\"a\""), "{list}");
        }
        for list in ["", "a", "\"b\"", "W/\"ab\""] {
            assert!(!is_known(list, "\"a\""), "{list}");
        }
    }
}
