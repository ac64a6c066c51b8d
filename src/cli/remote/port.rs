//! The engine's end of a line, natively: the same engine that is a worker in the browser, on a thread.

use std::any::Any;
use std::fs;
use std::future::{pending, poll_fn};
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::line::Connection;
use crate::cli::device::wait_unless;
use crate::engine::images::load::LONGEST_FILE;
use crate::engine::inbox::{Waiting, WorkerHandle};
use crate::engine::{self, Download, Fetching, Port};
use crate::nn::device::ComputeDevice;
use crate::protocol::pool::PoolEvent;
use crate::protocol::{Command, Event};
use crate::serve::inside;
use crate::wire;

/// Stack of an engine's thread: what the program's first thread has.
const STACK: usize = 8 << 20;
/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

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
            line.report(&Event::Failed { run: None, failure: engine::last_words(words(fault.as_ref())) });
        }
        line.end();
    };
    thread::Builder::new().name("engine".to_owned()).stack_size(STACK).spawn(work).map(drop)
}

/// What a panic said.
fn words(fault: &(dyn Any + Send)) -> String {
    let text = fault.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| fault.downcast_ref::<String>().cloned()).unwrap_or_default()
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

    fn fetch(&self, address: &str, _: Option<&str>) -> Fetching {
        let (address, folder) = (address.to_owned(), self.place.folder.clone());
        let loading = on_a_thread(move || load(&address, &folder));
        Box::pin(async move {
            let file = loading.await.unwrap_or_else(|| Err("there is no thread to fetch it".to_owned()))?;
            Ok(Box::new(Loaded(Some(file))) as Box<dyn Download>)
        })
    }

    /// What is served lies here already, and needs not be kept once more; other files are fetched again.
    fn keep(&self, _: &str, _: Option<&[u8]>) -> Waiting<'static, bool> {
        Box::pin(async { true })
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
        wire::decode(message).is_ok_and(|command| self.0.send(command))
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

/// A file that is there as a whole.
struct Loaded(Option<Vec<u8>>);

impl Download for Loaded {
    fn length(&self) -> Option<u64> {
        self.0.as_ref().map(|file| file.len() as u64)
    }

    fn is_kept(&self) -> bool {
        false
    }

    fn piece(&mut self) -> Waiting<'_, Result<Option<Vec<u8>>, String>> {
        let file = self.0.take();
        Box::pin(async move { Ok(file) })
    }
}

/// A file of the served folder, or what an address holds.
fn load(address: &str, folder: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    if address.starts_with("https://") || address.starts_with("http://") {
        let config = ureq::Agent::config_builder().timeout_connect(Some(PATIENCE)).build();
        let mut answer = ureq::Agent::new_with_config(config).get(address).call().map_err(|error| fail(&error))?;
        let mut bytes = Vec::new();
        let mut reader = answer.body_mut().as_reader().take(LONGEST_FILE + 1);
        reader.read_to_end(&mut bytes).map_err(|error| fail(&error))?;
        return Ok(bytes);
    }
    let Some(name) = inside(address.strip_prefix("./").unwrap_or(address)) else {
        return Err(fail(&"only what is served, and addresses on the web, can be had here"));
    };
    let path = folder.join(name);
    let length = fs::metadata(&path).map_err(|error| fail(&error))?.len();
    if length > LONGEST_FILE {
        return Err(fail(&format!("{length} bytes are too many")));
    }
    fs::read(&path).map_err(|error| fail(&error))
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
        assert_eq!(load("weights/a", &folder), Ok(b"abc".to_vec()));
        assert_eq!(load("./weights/a", &folder), Ok(b"abc".to_vec()));
        for address in ["../a", "weights/../../a", "/etc/hostname", "weights/none", "blob:x/../y", ""] {
            assert!(load(address, &folder).is_err(), "{address}");
        }
        fs::remove_dir_all(&folder).expect("a folder of ours");
    }
}
