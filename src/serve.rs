//! Static files over HTTP: what `make serve`, the tests in a browser and `scorefield serve` use.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread;

use tiny_http::{Header, Method, Request, Response, StatusCode};

/// What answers requests that are not for files; gives those back that are not its own.
pub type Beside = Arc<dyn Fn(Request) -> Option<Request> + Send + Sync>;

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

/// A server of one folder. It ends when dropped.
pub struct Server {
    http: Arc<tiny_http::Server>,
    address: SocketAddr,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// Serves `folder` under the path `prefix` (`""` or `"/some/where"`) of port `port` of 127.0.0.1; port 0 takes a
    /// free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(folder: &Path, prefix: &str, port: u16) -> io::Result<Self> {
        Self::start_with(folder, prefix, port, &[])
    }

    /// The same with more headers for every file, by name and value.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start_with(
        folder: &Path,
        prefix: &str,
        port: u16,
        headers: &'static [(&'static str, &'static str)],
    ) -> io::Result<Self> {
        let site = Site { folder: folder.to_owned(), prefix: prefix.to_owned(), headers, ..Site::default() };
        Self::open(&site, (Ipv4Addr::LOCALHOST, port).into())
    }

    /// Serves a site at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn open(site: &Site, address: SocketAddr) -> io::Result<Self> {
        let http = Arc::new(tiny_http::Server::http(address).map_err(io::Error::other)?);
        let address = http.server_addr().to_ip().ok_or_else(|| io::Error::other("no address"))?;
        // A browser asks for several files at once.
        let threads = (0..4)
            .map(|_| {
                let (http, site) = (Arc::clone(&http), site.clone());
                thread::spawn(move || {
                    while let Ok(request) = http.recv() {
                        let rest = match &site.beside {
                            Some(beside) => beside(request),
                            None => Some(request),
                        };
                        rest.into_iter().for_each(|request| answer(request, &site));
                    }
                })
            })
            .collect();
        Ok(Self { http, address, threads })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for ever.
    pub fn join(mut self) {
        for thread in self.threads.drain(..) {
            // A thread ends only by a fault of its own; the others go on.
            drop(thread.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for _ in 0..self.threads.len() {
            self.http.unblock();
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn answer(request: Request, site: &Site) {
    let file = match request.method() {
        Method::Get | Method::Head => file_of(request.url(), &site.prefix).map(|name| site.folder.join(name)),
        _ => None,
    };
    // A visitor who went away is no concern of ours.
    drop(match file.and_then(|path| Some((File::open(&path).ok().filter(is_file)?, path))) {
        Some((content, path)) => {
            if let Some(page) = changed(&path, site) {
                request.respond(with_headers(Response::from_string(page), &path, site))
            } else {
                request.respond(with_headers(Response::from_file(content), &path, site))
            }
        }
        None => request.respond(Response::from_string("not found").with_status_code(StatusCode(404))),
    });
}

/// The page with what is put into its head, where something is.
fn changed(path: &Path, site: &Site) -> Option<String> {
    let is_page = !site.head.is_empty() && path.file_name().is_some_and(|name| name == "index.html");
    let page = is_page.then(|| std::fs::read_to_string(path).ok())??;
    Some(page.replacen("<head>", &format!("<head>{}", site.head), 1))
}

fn with_headers<R: io::Read>(mut response: Response<R>, path: &Path, site: &Site) -> Response<R> {
    // A new build must be seen at once.
    let own = [("Content-Type", kind(path)), ("Cache-Control", "no-cache")];
    for &(name, value) in own.iter().chain(site.headers) {
        if let Ok(header) = Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    response
}

fn is_file(file: &File) -> bool {
    file.metadata().is_ok_and(|m| m.is_file())
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
