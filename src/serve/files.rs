//! Files of one folder as answers.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::message::{Answer, Request};

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
        let asked = matches!(request.head.method.as_str(), "GET" | "HEAD");
        let name = asked.then(|| file_of(&request.head.target, &self.prefix)).flatten();
        let Some(path) = name.map(|name| self.folder.join(name)) else { return not_found() };
        let found = match changed(&path, self) {
            Some(page) => Ok(Answer::bytes(200, page)),
            None => open(&path).map(|(file, length)| Answer::file(file, length)),
        };
        // A new build must be seen at once, and as what it is.
        let own = [("Content-Type", kind(&path)), ("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff")];
        let headers = own.iter().chain(self.headers);
        found.map_or_else(refused, |answer| headers.fold(answer, |answer, &(name, value)| answer.with(name, value)))
    }
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

/// A file and its length. What is no file is not opened: opening a pipe waits.
fn open(path: &Path) -> io::Result<(File, u64)> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
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
}
