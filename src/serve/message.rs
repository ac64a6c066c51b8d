//! Requests and answers of HTTP/1.1, as far as a server of files and of short messages needs them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::SystemTime;

use thiserror::Error;

/// Most bytes of a request's line and headers together.
pub const LONGEST_HEAD: usize = 16 << 10;
/// Most headers of a request.
const MOST_HEADERS: usize = 64;
/// Status of an answer that says that whoever asks has the content already.
pub const NOT_MODIFIED: u16 = 304;
/// Bytes that are sent at a time.
const PIECE: usize = 32 << 10;

/// Why a request is not answered as asked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadRequest {
    /// It is no request of HTTP/1.
    #[error("this is no request of HTTP/1.1; nothing was done: ask with a browser")]
    Malformed,
    /// Its line and headers are too long.
    #[error("the headers are too long; nothing was done: send at most 16 KiB and 64 of them")]
    TooLong,
    /// Its body's length is not said beforehand.
    #[error("the length of the body is not said; nothing was done: send it with Content-Length")]
    NoLength,
    /// It did not arrive in time.
    #[error("the request did not arrive in time; nothing was done: send it again")]
    TooSlow,
}

impl BadRequest {
    /// The status that says so.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::TooSlow => 408,
            Self::NoLength => 411,
            Self::TooLong => 431,
        }
    }
}

/// The line and the headers of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// `GET` and the like.
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub length: u64,
    /// Whether the connection can go on after it.
    pub stays: bool,
    /// Whether the body comes only after an answer to this.
    pub expects: bool,
}

impl Head {
    /// Reads a head, up to and with its empty line.
    ///
    /// # Errors
    /// When it is none, or says twice or not at all what must be said once.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRequest> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(status) if status.is_complete() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(BadRequest::TooLong),
            _ => return Err(BadRequest::Malformed),
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(BadRequest::Malformed);
        };
        let text = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
        };
        let headers: Vec<_> = request.headers.iter().map(text).collect();
        let mut head =
            Self { method: method.into(), target: target.into(), headers, length: 0, stays: false, expects: false };
        // Two servers that read two of them differently could be set against each other.
        let hosts = head.all("host").count();
        if hosts > 1 || (hosts == 0 && version > 0) || head.all("content-length").count() > 1 {
            return Err(BadRequest::Malformed);
        }
        if head.all("transfer-encoding").next().is_some() {
            return Err(BadRequest::NoLength);
        }
        let length = head.header("content-length");
        if !length.is_empty() {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            head.length = length.parse().ok().filter(|_| digits).ok_or(BadRequest::Malformed)?;
        }
        let last = head.header("connection").split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
        head.stays = version > 0 && !last;
        head.expects = head.header("expect").eq_ignore_ascii_case("100-continue");
        Ok(head)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What a header says, by its name in small letters; nothing where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }
}

/// A request: its head, and its body to be read.
pub struct Request<'c> {
    /// Its line and headers.
    pub head: Head,
    /// Ends with the body. Reading fails when the body comes too slowly.
    pub body: &'c mut dyn Read,
}

/// What is sent back.
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    content: Content,
}

/// What an answer consists of.
enum Content {
    Bytes(Vec<u8>),
    File(File, u64),
}

impl Answer {
    /// An answer of these bytes.
    #[must_use]
    pub fn bytes(status: u16, content: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), content: Content::Bytes(content.into()) }
    }

    /// A file of so many bytes.
    #[must_use]
    pub fn file(file: File, length: u64) -> Self {
        Self { status: 200, headers: Vec::new(), content: Content::File(file, length) }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends it, without its content if only the `head` was asked for, and says whether the connection `stays` open.
    ///
    /// # Errors
    /// When it cannot be sent, or a file has become shorter meanwhile.
    pub fn send(self, to: &mut dyn Write, only_head: bool, stays: bool) -> io::Result<()> {
        let (mut bytes, mut file);
        let (content, length): (&mut dyn Read, u64) = match self.content {
            Content::Bytes(content) => {
                let length = content.len() as u64;
                bytes = io::Cursor::new(content);
                (&mut bytes, length)
            }
            Content::File(content, length) => {
                file = content;
                (&mut file, length)
            }
        };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in self.headers {
            // Writing to a text does not fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let date = httpdate::fmt_http_date(SystemTime::now());
        let connection = if stays { "keep-alive" } else { "close" };
        let _ = write!(head, "Date: {date}\r\n");
        // The length would be that of what is not sent again.
        if self.status != NOT_MODIFIED {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        let _ = write!(head, "Connection: {connection}\r\n\r\n");
        let mut piece = head.into_bytes();
        let mut left = if only_head { 0 } else { length };
        loop {
            let room = left.min(PIECE.saturating_sub(piece.len()) as u64);
            let read = content.take(room).read_to_end(&mut piece)? as u64;
            if read < room {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all(&piece)?;
            piece.clear();
            left -= read;
            if left == 0 {
                return Ok(());
            }
        }
    }
}

/// The word for a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        NOT_MODIFIED => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, BadRequest> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn a_head_says_what_is_asked_and_how_the_connection_goes_on() {
        let head =
            parse("POST /a?b HTTP/1.1\r\nhOST: x\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\n").unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str(), head.length), ("POST", "/a?b", 12));
        assert_eq!((head.header("host"), head.header("accept")), ("x", ""));
        assert!(head.stays && head.expects);
        for last in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n"] {
            assert!(!parse(last).unwrap().stays, "{last}");
        }
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        let more = |headers: &str| parse(&format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n"));
        for headers in [
            "A: b",
            "Host: x\r\nHost: y",
            "Host: x\r\nContent-Length: 1\r\nContent-Length: 2",
            "Host: x\r\nContent-Length: +1",
            "Host: x\r\nContent-Length: -1",
            "Host: x\r\nContent-Length: 18446744073709551616",
            "Host: x\r\nContent-Length: 0x10",
            "Host : x",
            "Host: x\r\n folded: y",
        ] {
            assert_eq!(more(headers), Err(BadRequest::Malformed), "{headers}");
        }
        assert_eq!(more("Host: x\r\nTransfer-Encoding: chunked"), Err(BadRequest::NoLength));
        assert_eq!(more(&format!("Host: x{}", "\r\nA: b".repeat(MOST_HEADERS))), Err(BadRequest::TooLong));
        assert_eq!(parse("\x16\x03\x01 a TLS client\r\n\r\n"), Err(BadRequest::Malformed));
    }

    #[test]
    fn an_answer_is_sent_whole_and_its_head_alone_says_the_same_length() {
        let sent = |only_head| {
            let mut sent = Vec::new();
            let answer = Answer::bytes(200, vec![b'x'; 100_000]).with("A", "b");
            answer.send(&mut sent, only_head, true).unwrap();
            sent
        };
        let (all, head) = (sent(false), sent(true));
        assert!(all.starts_with(&head) && all.len() == head.len() + 100_000);
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("\r\nA: b\r\n") && head.contains("\r\nContent-Length: 100000\r\n"), "{head}");
    }
}
