//! A server that behaves as the Hugging Face hub does, for tests: it lists the files of models, sends small ones itself and
//! redirects to another origin for large ones, which knows ranges. What goes wrong with a model is in its name.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A network that diffusers saved (`tests/golden/unet_reference.py`).
pub const WEIGHTS: &str = "unet_tiny.safetensors";
/// Its SHA-256.
pub const WEIGHTS_SHA256: &str = "b97466e52989b07879cbe5ace21a8f8c5afc73bb35279da651f55f45c6fd21be";
/// The commit that every model is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// What every model's card names.
pub const LICENCE: &str = "apache-2.0";

/// Settings of the network, as diffusers saves them.
const NETWORK: &str = r#"{"_class_name": "UNet2DModel", "_diffusers_version": "0.21.4", "act_fn": "silu", "attention_head_dim": null,
    "block_out_channels": [8, 16], "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "downsample_padding": 0,
    "flip_sin_to_cos": false, "freq_shift": 1, "in_channels": 3, "layers_per_block": 1, "norm_eps": 1e-06,
    "norm_num_groups": 4, "out_channels": 3, "sample_size": 8, "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}"#;
/// Settings of the scheduler.
const SCHEDULER: &str =
    r#"{"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 1000}"#;
/// What Git LFS has in the place of a large file.
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 104454\n";

/// The server. Its threads end with the test.
pub struct Hub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    weights: Vec<u8>,
    /// Where large files are.
    store: SocketAddr,
    /// What was asked for: paths, and the byte that a range began with.
    asked: Mutex<Vec<String>>,
    /// Models whose trouble is over.
    recovered: Mutex<BTreeSet<String>>,
}

/// What was asked.
struct Request {
    method: String,
    path: String,
    from: Option<usize>,
}

impl Hub {
    /// Models `lab/small` and `lab/pipeline` are as they should be, others are named after what is wrong with them:
    /// `closed`, `none`, `busy` (at first), `pointer`, `rotten` (other bytes), `other` (another network), `short` (always),
    /// `breaks` (half-way, at first), `whole` (the same, and knows no ranges), `stalls` (half-way, at first).
    pub fn start() -> Self {
        let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(WEIGHTS);
        let weights = fs::read(weights).expect("a golden file");
        let [(own, address), (others, store)] = [(); 2].map(|()| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = listener.local_addr().expect("an address");
            (listener, address)
        });
        let (asked, recovered) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { weights, store, asked, recovered });
        listen(own, &shared, answer);
        listen(others, &shared, send);
        Self { address, shared }
    }

    /// Where it is.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked for so far, a path with the byte that a range began with.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no panic").clone()
    }

    /// Forgets that.
    pub fn forget(&self) {
        self.shared.asked.lock().expect("no panic").clear();
    }

    /// How many bytes the weights have.
    pub fn bytes(&self) -> usize {
        self.shared.weights.len()
    }
}

impl Shared {
    /// Whether this model is in trouble for the first time.
    fn is_first(&self, model: &str) -> bool {
        self.recovered.lock().expect("no panic").insert(model.to_owned())
    }
}

fn listen(
    listener: TcpListener,
    shared: &Arc<Shared>,
    answer: fn(TcpStream, &Request, &Shared) -> std::io::Result<()>,
) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                if let Some(request) = stream.try_clone().ok().and_then(|stream| read(stream).ok()) {
                    // Who went away is no concern of ours.
                    drop(if request.method == "OPTIONS" {
                        respond(stream, "204 No Content", "Access-Control-Allow-Headers: Range\r\n", b"")
                    } else {
                        let range = request.from.map(|from| format!(" from {from}")).unwrap_or_default();
                        shared.asked.lock().expect("no panic").push(format!("{}{range}", request.path));
                        answer(stream, &request, &shared)
                    });
                }
            });
        }
    });
}

fn read(stream: TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut from = None;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    Ok(Request { method, path, from })
}

fn respond(mut stream: TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    head(&mut stream, status, headers, body.len())?;
    stream.write_all(body)
}

fn head(stream: &mut TcpStream, status: &str, headers: &str, length: usize) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nAccess-Control-Allow-Origin: *\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// The hub itself: lists, small files, redirects.
fn answer(stream: TcpStream, request: &Request, shared: &Shared) -> std::io::Result<()> {
    let path = request.path.trim_start_matches('/');
    let missing = |stream| respond(stream, "404 Not Found", "", b"Entry not found");
    if let Some(rest) = path.strip_prefix("api/models/lab/") {
        let Some(model) = rest.strip_suffix("?blobs=true") else { return missing(stream) };
        return match model {
            "closed" => respond(stream, "401 Unauthorized", "", br#"{"error": "Invalid username or password."}"#),
            "none" => missing(stream),
            _ => respond(stream, "200 OK", "Content-Type: application/json\r\n", list(model, shared).as_bytes()),
        };
    }
    let parts: Vec<&str> = path.splitn(5, '/').collect();
    let ["lab", model, "resolve", COMMIT, file] = parts[..] else { return missing(stream) };
    match file.rsplit('/').next() {
        Some("config.json") if model == "other" => {
            respond(stream, "200 OK", "", NETWORK.replace("UNet2DModel", "UNet2DConditionModel").as_bytes())
        }
        Some("config.json") => respond(stream, "200 OK", "", NETWORK.as_bytes()),
        Some("scheduler_config.json") => respond(stream, "200 OK", "", SCHEDULER.as_bytes()),
        Some("diffusion_pytorch_model.safetensors") => {
            let place = format!("Location: http://{}/{model}/{file}\r\n", shared.store);
            respond(stream, "302 Found", &place, b"")
        }
        _ => missing(stream),
    }
}

/// The list of a model's files.
fn list(model: &str, shared: &Shared) -> String {
    let [network, scheduler] = if model == "pipeline" { ["unet/", "scheduler/"] } else { [""; 2] };
    let settings = if model == "other" { NETWORK.len() + "Condition".len() } else { NETWORK.len() };
    let bytes = shared.weights.len();
    format!(
        r#"{{"id": "lab/{model}", "sha": "{COMMIT}", "private": false, "gated": false, "tags": ["diffusers", "license:{LICENCE}"],
            "siblings": [{{"rfilename": ".gitattributes", "size": 7, "blobId": "a"}},
            {{"rfilename": "model_index.json", "size": 2, "blobId": "b"}},
            {{"rfilename": "{network}config.json", "size": {settings}, "blobId": "c"}},
            {{"rfilename": "{network}diffusion_pytorch_model.bin", "size": 9, "blobId": "d"}},
            {{"rfilename": "{network}diffusion_pytorch_model.safetensors", "size": {bytes}, "blobId": "e",
              "lfs": {{"sha256": "{WEIGHTS_SHA256}", "size": {bytes}, "pointerSize": 131}}}},
            {{"rfilename": "{scheduler}scheduler_config.json", "size": {}, "blobId": "f"}}]}}"#,
        SCHEDULER.len()
    )
}

/// The other origin, with the large files.
fn send(mut stream: TcpStream, request: &Request, shared: &Shared) -> std::io::Result<()> {
    let model = request.path.split('/').nth(1).unwrap_or_default();
    let mut file = shared.weights.clone();
    let middle = shared.weights.len() / 2;
    if model == "pointer" {
        file = POINTER.into();
    }
    if model == "rotten" {
        file[middle] ^= 1;
    }
    if model == "busy" && shared.is_first(model) {
        return respond(stream, "503 Service Unavailable", "", b"");
    }
    let from = request.from.filter(|from| model != "whole" && *from < file.len());
    let (status, range) = match from {
        Some(from) => {
            ("206 Partial Content", format!("Content-Range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len()))
        }
        None => ("200 OK", String::new()),
    };
    let body = &file[from.unwrap_or(0)..];
    head(&mut stream, status, &range, body.len())?;
    let half = &body[..middle.saturating_sub(from.unwrap_or(0)).min(body.len())];
    match model {
        "short" => stream.write_all(half),
        "breaks" | "whole" if shared.is_first(model) => {
            stream.write_all(half)?;
            // A browser forgets what it has not handed on when a connection breaks.
            thread::sleep(Duration::from_millis(300));
            Ok(())
        }
        "stalls" if shared.is_first(model) => {
            stream.write_all(half)?;
            // What can be read then is the other side's end.
            stream.set_read_timeout(Some(Duration::from_millis(50)))?;
            let mut reader = BufReader::new(stream);
            while !reader.fill_buf().is_ok_and(<[u8]>::is_empty) {
                thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
        _ => stream.write_all(body),
    }
}
