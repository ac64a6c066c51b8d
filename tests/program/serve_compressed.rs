//! Compressed copies beside the files of a page: who takes them gets them, everybody else the file itself, and whoever has
//! what is there already is told so.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use scorefield::serve::Server;

/// A program of the page, and what stands for its copies: the server does not look inside.
const FILES: [(&str, &str); 5] = [
    ("app.wasm", "the program"),
    ("app.wasm.br", "brotli"),
    ("app.wasm.gz", "gzipped"),
    ("style.css", "the style"),
    ("style.css.gz", "gzipped style"),
];

struct Served {
    server: Server,
    folder: PathBuf,
}

/// An answer's status, headers with their names in small letters, and content.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    content: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Served {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("scorefield-compressed-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in FILES {
            write(&folder.join(name), content, Duration::ZERO);
        }
        Self { server: Server::start(&folder, "", 0).unwrap(), folder }
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, content) = answer.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Answer { status, headers, content: content.to_owned() }
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask("GET", path, headers)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Writes a file that was changed so long after a time that is the same for all.
fn write(path: &Path, content: &str, later: Duration) {
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + later).unwrap();
}

#[test]
fn who_takes_a_compressed_copy_gets_the_smallest_that_there_is() {
    let served = Served::start("taken");
    for (path, accepted, coding, content) in [
        ("/app.wasm", "gzip, deflate, br, zstd", "br", "brotli"),
        ("/app.wasm", "gzip, br;q=0", "gzip", "gzipped"),
        ("/style.css", "gzip, deflate, br, zstd", "gzip", "gzipped style"),
    ] {
        let answer = served.get(path, &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!((answer.status, answer.content.as_str()), (200, content), "{path} {accepted}");
        assert_eq!(answer.header("content-encoding"), Some(coding), "{path} {accepted}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path} {accepted}");
        assert_eq!(answer.header("content-length"), Some(content.len().to_string().as_str()), "{path} {accepted}");
        let head = served.ask("HEAD", path, &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!((head.content.as_str(), head.header("content-encoding")), ("", Some(coding)), "{path} {accepted}");
    }
    // It is the program still, whatever it is wrapped in.
    let answer = served.get("/app.wasm", "Accept-Encoding: br\r\n");
    assert_eq!(answer.header("content-type"), Some("application/wasm"));
}

#[test]
fn everybody_else_gets_the_file_itself() {
    let served = Served::start("plain");
    for headers in [
        "",
        "Accept-Encoding: \r\n",
        "Accept-Encoding: identity\r\n",
        "Accept-Encoding: zstd\r\n",
        "Accept-Encoding: br;q=0, gzip;q=0.0\r\n",
        // A part is one of the file, and this server sends whole files to who asks for parts.
        "Accept-Encoding: br, gzip\r\nRange: bytes=0-3\r\n",
    ] {
        let answer = served.get("/app.wasm", headers);
        assert_eq!((answer.status, answer.content.as_str()), (200, "the program"), "{headers}");
        assert_eq!(answer.header("content-encoding"), None, "{headers}");
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{headers}: a cache on the way has to know");
    }
    // Who asks for a copy by its own name gets it as it is, and nothing differs by who asks.
    let copy = served.get("/app.wasm.br", "Accept-Encoding: br\r\n");
    assert_eq!((copy.content.as_str(), copy.header("content-encoding"), copy.header("vary")), ("brotli", None, None));
}

#[test]
fn a_copy_from_before_its_file_was_changed_is_not_sent() {
    let served = Served::start("old");
    write(&served.folder.join("app.wasm"), "a new program", Duration::from_secs(1));
    write(&served.folder.join("app.wasm.gz"), "new, gzipped", Duration::from_secs(1));
    let answer = |accepted: &str| served.get("/app.wasm", &format!("Accept-Encoding: {accepted}\r\n")).content;
    assert_eq!(answer("br"), "a new program");
    assert_eq!(answer("br, gzip"), "new, gzipped");
}

#[test]
fn who_has_the_content_already_is_told_so_and_a_new_one_is_sent() {
    let served = Served::start("known");
    let tag = |accepted: &str| {
        let answer = served.get("/app.wasm", &format!("Accept-Encoding: {accepted}\r\n"));
        answer.header("etag").expect("a tag").to_owned()
    };
    let tags = ["br", "gzip", "identity"].map(tag);
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    let again = |tag: &str| served.get("/app.wasm", &format!("Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n"));
    let same = again(&tags[0]);
    assert_eq!((same.status, same.content.as_str()), (304, ""));
    assert_eq!((same.header("etag"), same.header("vary")), (Some(tags[0].as_str()), Some("Accept-Encoding")));
    assert_eq!((same.header("cache-control"), same.header("content-length")), (Some("no-cache"), None));
    // What is held in another coding is not what would be sent.
    assert_eq!(again(&tags[2]).content, "brotli");
    // Of the same length, and of another time.
    write(&served.folder.join("app.wasm"), "our program", Duration::from_secs(1));
    write(&served.folder.join("app.wasm.br"), "Brotli", Duration::from_secs(1));
    let other = again(&tags[0]);
    assert_eq!((other.status, other.content.as_str()), (200, "Brotli"));
}
