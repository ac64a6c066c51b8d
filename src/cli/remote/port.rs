//! The engine's end of a line, natively: the same engine that is a worker in the browser, on a thread.

use std::fs::{self, File};
use std::future::{pending, poll_fn};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::line::Connection;
use crate::cli::device::wait_unless;
use crate::cli::files;
use crate::cli::http::{Body, Client};
use crate::cli::images::cache_folder;
use crate::engine::inbox::{Waiting, WorkerHandle};
use crate::engine::{self, Download, Fetching, Port, Unreachable};
use crate::nn::device::ComputeDevice;
use crate::protocol::pool::PoolEvent;
use crate::protocol::{Command, Event};
use crate::serve::inside;
use crate::wire;

/// Stack of an engine's thread: what the program's first thread has.
const STACK: usize = 8 << 20;
/// Bytes of a file that are read at a time.
const PIECE: u64 = 1 << 20;
/// What is said when the system gives no thread to read with.
const NO_THREAD: &str = "there is no thread to fetch it";

/// What an engine needs to know of the program around it.
#[derive(Clone)]
pub struct Place {
    /// What it computes on.
    pub compute: ComputeDevice,
    /// Where the page's files are.
    pub folder: PathBuf,
    /// How many cores there are.
    pub threads: usize,
}

/// Starts an engine at this end of a line. Its thread ends with the line.
///
/// # Errors
/// When there can be no more threads.
pub fn start(line: Arc<Connection>, place: Place) -> std::io::Result<()> {
    let work = move || {
        let compute = place.compute.clone();
        let mut port = NativePort { line: Arc::clone(&line), place, start: Instant::now() };
        // The future never ends: it is dropped when the line has ended.
        let serve = || wait_unless(engine::serve(&mut port, compute), || line.is_ended());
        if let Err(fault) = catch_unwind(AssertUnwindSafe(serve)) {
            line.report(&Event::Failed { run: None, failure: engine::last_words(engine::panic_words(fault.as_ref())) });
        }
        line.end();
    };
    thread::Builder::new().name("engine".to_owned()).stack_size(STACK).spawn(work).map(drop)
}

struct NativePort {
    line: Arc<Connection>,
    place: Place,
    start: Instant,
}

impl Port for NativePort {
    fn try_recv(&mut self) -> Option<Command> {
        self.line.command()
    }

    async fn recv(&mut self) -> Command {
        poll_fn(|context| self.line.poll_command(context)).await
    }

    fn send(&mut self, event: Event) {
        self.line.report(&event);
    }

    /// Other threads run anyway. After the end of the line there is nothing to go on for.
    async fn yield_now(&self) {
        if self.line.is_ended() {
            pending().await
        }
    }

    fn now_ms(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * 1e3
    }

    fn fetch(&self, address: &str, _: Option<&str>, from: u64) -> Fetching {
        let (address, folder) = (address.to_owned(), self.place.folder.clone());
        let loading = on_a_thread(move || load(&address, from, &folder));
        Box::pin(async move {
            let none = || Err(Unreachable::from(NO_THREAD.to_owned()));
            Ok(Box::new(loading.await.unwrap_or_else(none)?) as Box<dyn Download>)
        })
    }

    fn kept(&self, key: &str) -> Waiting<'static, Option<Vec<u8>>> {
        let place = pieces(key);
        Box::pin(async move { fs::read(place?).ok() })
    }

    /// What is served lies here already, and needs not be kept once more; what is of the hub is.
    fn keep(&self, key: &str, bytes: Option<&[u8]>) -> Waiting<'static, bool> {
        let kept = pieces(key).is_none_or(|place| match bytes {
            Some(bytes) => {
                place.parent().is_some_and(|folder| files::make_folder(folder).is_ok())
                    && files::write(&place, bytes).is_ok()
            }
            None => fs::remove_file(place).is_ok(),
        });
        Box::pin(async move { kept })
    }

    fn cores(&self) -> usize {
        self.place.threads
    }

    fn spawn(&self) -> Option<Box<dyn WorkerHandle>> {
        let line = Arc::new(Connection::new());
        start(Arc::clone(&line), self.place.clone()).ok()?;
        Some(Box::new(SpawnedWorker(line)))
    }

    fn after(&self, ms: u32) -> Waiting<'static, ()> {
        let slept = on_a_thread(move || thread::sleep(Duration::from_millis(u64::from(ms))));
        Box::pin(async move { slept.await.unwrap_or_default() })
    }
}

/// Another engine of ours. It ends when dropped.
struct SpawnedWorker(Arc<Connection>);

impl WorkerHandle for SpawnedWorker {
    fn post(&mut self, message: &[u8]) -> bool {
        wire::decode(message).is_ok_and(|command| self.0.send(command, Duration::ZERO))
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<PoolEvent>> {
        self.0.poll_event(context).map(|event| wire::decode(&event?).ok())
    }
}

impl Drop for SpawnedWorker {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Where something of the hub is kept; nowhere what is not of the hub.
fn pieces(key: &str) -> Option<PathBuf> {
    let name = key.starts_with("hub/").then(|| inside(key))?;
    // The names of models are those of folders too.
    Some(cache_folder().join("pieces").join(format!("{}.piece", name?.to_string_lossy())))
}

/// A file that is read piece by piece, from some byte on.
struct Opened {
    start: u64,
    length: Option<u64>,
    /// Nothing after the end, and while a piece is being read.
    rest: Option<Box<dyn Read + Send>>,
}

impl Download for Opened {
    fn length(&self) -> Option<u64> {
        self.length
    }

    fn start(&self) -> u64 {
        self.start
    }

    fn is_kept(&self) -> bool {
        false
    }

    fn piece(&mut self) -> Waiting<'_, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            let Some(mut rest) = self.rest.take() else { return Ok(None) };
            let reading = on_a_thread(move || {
                let mut piece = Vec::new();
                let read = rest.by_ref().take(PIECE).read_to_end(&mut piece);
                (rest, piece, read)
            });
            let (rest, piece, read) = reading.await.ok_or(NO_THREAD)?;
            // What came before it broke off is worth having.
            if piece.is_empty() {
                return read.map(|_| None).map_err(|error| error.to_string());
            }
            self.rest = Some(rest);
            Ok(Some(piece))
        })
    }
}

/// A file of the served folder, or what an address holds from some byte on.
fn load(address: &str, from: u64, folder: &Path) -> Result<Opened, Unreachable> {
    let fail = |error: &dyn std::fmt::Display| Unreachable::from(format!("{address}: {error}"));
    if address.starts_with("https://") || address.starts_with("http://") {
        let Body { start, length, reader } = Client::default().get(address, from)?;
        return Ok(Opened { start, length, rest: Some(reader) });
    }
    let Some(name) = inside(address.strip_prefix("./").unwrap_or(address)) else {
        return Err(fail(&"only what is served, and addresses on the web, can be had here"));
    };
    let file = File::open(folder.join(name)).map_err(|error| fail(&error))?;
    let about = file.metadata().map_err(|error| fail(&error))?;
    if !about.is_file() {
        return Err(fail(&"this is no file"));
    }
    Ok(Opened { start: 0, length: Some(about.len()), rest: Some(Box::new(file)) })
}

/// What a thread of its own found; `None` when it died or there was none to be had.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    struct Shared<T> {
        found: Option<T>,
        over: bool,
        waiting: Option<Waker>,
    }
    /// Tells the end however the thread ends.
    struct Bell<T>(Arc<Mutex<Shared<T>>>);
    impl<T> Drop for Bell<T> {
        fn drop(&mut self) {
            let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shared.over = true;
            let waker = shared.waiting.take();
            drop(shared);
            waker.into_iter().for_each(Waker::wake);
        }
    }
    let shared = Arc::new(Mutex::new(Shared { found: None, over: false, waiting: None }));
    let bell = Bell(Arc::clone(&shared));
    let started = thread::Builder::new().spawn(move || {
        let found = work();
        bell.0.lock().unwrap_or_else(PoisonError::into_inner).found = Some(found);
        drop(bell);
    });
    started.ok()?;
    poll_fn(|context| {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.over {
            return Poll::Ready(shared.found.take());
        }
        shared.waiting = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::device::wait;

    #[test]
    fn what_another_thread_found_is_waited_for_and_its_death_is_noticed() {
        let slow = || {
            thread::sleep(Duration::from_millis(20));
            7
        };
        assert_eq!(wait(on_a_thread(slow)), Some(7));
        assert_eq!(wait(on_a_thread(|| -> u8 { std::panic::resume_unwind(Box::new("gone")) })), None);
    }

    #[test]
    fn only_files_of_the_served_folder_are_read() {
        let folder = std::env::temp_dir().join(format!("scorefield-remote-{}", std::process::id()));
        fs::create_dir_all(folder.join("weights")).expect("a folder");
        fs::write(folder.join("weights/a"), b"abc").expect("a file");
        for address in ["weights/a", "./weights/a"] {
            let mut opened = load(address, 0, &folder).expect("a file");
            assert_eq!(
                (wait(opened.piece()), wait(opened.piece())),
                (Ok(Some(b"abc".to_vec())), Ok(None)),
                "{address}"
            );
        }
        for address in ["../a", "weights/../../a", "/etc/hostname", "weights/none", "blob:x/../y", ""] {
            assert!(load(address, 0, &folder).is_err(), "{address}");
        }
        fs::remove_dir_all(&folder).expect("a folder of ours");
    }
}
