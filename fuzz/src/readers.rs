//! What is fuzzed. What comes out of a reader is read once more where the program would do so.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use scorefield::cli::images::png_file::Picture;
use scorefield::cli::images::store::Store;
use scorefield::experiments::settings::{from_values, to_json};
use scorefield::nn::checkpoint::hub::HubModel;
use scorefield::nn::checkpoint::published::Settings;
use scorefield::nn::checkpoint::{Checkpoint, Manifest, pickle, raw_storages};
use scorefield::nn::weights::WeightsFile;
use scorefield::protocol::images::WeightsIndex;
use scorefield::protocol::remote;
use scorefield::protocol::{Command, Event};
use scorefield::serve::{Head, Request, Site};
use scorefield::share::{from_fragment, to_fragment};
use scorefield::wire;

/// Weights of a small network, as diffusers names them.
const NETWORK: &[u8] = include_bytes!("../../tests/golden/unet_tiny.safetensors");

/// A reader.
pub type Reader = fn(&[u8]);

/// Bytes of memory for each byte of a file: names, nodes and tables are larger than what says them.
const USUAL: usize = 256;
/// Deflate makes 1032 bytes of one, and a pixel of one bit becomes four bytes.
const PICTURE: usize = 2 * 1032 * 32;

/// All, by the names of their folders in `corpus`, and how much memory each may take for a byte.
pub const READERS: [(&str, Reader, usize); 15] = [
    ("pickle", read_pickle, USUAL),
    ("zip", read_zip, USUAL),
    ("safetensors", read_safetensors, USUAL),
    ("torch", read_torch, USUAL),
    ("modules", read_modules, USUAL),
    ("flax", read_flax, USUAL),
    ("manifest", read_manifest, USUAL),
    ("wire", read_wire, USUAL),
    ("remote", read_remote, USUAL),
    ("link", read_link, USUAL),
    ("settings", read_settings, USUAL),
    ("png", read_png, PICTURE),
    ("archive", read_archive, USUAL),
    ("beside", read_beside, USUAL),
    ("request", read_request, USUAL),
];

fn read_pickle(bytes: &[u8]) {
    let _ = pickle::read(bytes);
}

fn read_zip(bytes: &[u8]) {
    let _ = raw_storages(bytes);
}

/// Everything that is done with a file of weights before a network is made of it; then its numbers, up to a bound.
fn checkpoint(bytes: &[u8]) {
    let Ok(checkpoint) = Checkpoint::open(&[bytes]) else { return };
    let _ = checkpoint.recognise();
    let small: Vec<String> = checkpoint
        .tensors()
        .filter(|(_, _, shape)| {
            shape.iter().try_fold(1_usize, |all, &n| all.checked_mul(n)).is_some_and(|n| n < 1 << 16)
        })
        .map(|(name, ..)| name.to_owned())
        .take(16)
        .collect();
    for name in small {
        let _ = checkpoint.values(&name);
    }
}

fn read_safetensors(bytes: &[u8]) {
    let _ = WeightsFile::from_bytes(bytes);
    checkpoint(bytes);
}

fn read_torch(bytes: &[u8]) {
    checkpoint(bytes);
}

/// Pickled modules begin as every pickle does.
fn read_modules(bytes: &[u8]) {
    checkpoint(bytes);
}

fn read_flax(bytes: &[u8]) {
    checkpoint(bytes);
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn read_manifest(bytes: &[u8]) {
    let json = text(bytes);
    if let Ok(manifest) = Manifest::from_json(&json) {
        let again = manifest.to_json().expect("what was read can be written");
        assert_eq!(Manifest::from_json(&again).as_ref(), Ok(&manifest), "what was written reads otherwise");
    }
    let _ = WeightsIndex::from_json(&json);
}

fn read_wire(bytes: &[u8]) {
    // Whatever the build, the bytes are its own messages.
    let Ok(mut message) = wire::encode(&Command::Pause) else { return };
    message.truncate(4);
    message.extend_from_slice(bytes);
    let _ = wire::decode::<Command>(&message);
    let _ = wire::decode::<Event>(&message);
    let _ = wire::decode::<Event>(bytes);
}

fn read_remote(bytes: &[u8]) {
    let found: Vec<Vec<u8>> = remote::messages(bytes).map(<[u8]>::to_vec).collect();
    assert!(bytes.starts_with(&remote::frame(&found)), "messages that are not in the frame");
    for message in found {
        let _ = wire::decode::<Event>(&message);
    }
}

fn read_link(bytes: &[u8]) {
    let (link, _) = from_fragment(&text(bytes));
    let written = to_fragment(&link);
    let (again, rejected) = from_fragment(&written);
    assert!(rejected.is_empty(), "{written} is rejected: {rejected:?}");
    assert_eq!(to_fragment(&again), written, "a link that changes when it is read");
}

fn read_settings(bytes: &[u8]) {
    let Ok(values) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes) else { return };
    let value = |name: &str| match values.get(name)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    if let Some((config, _)) = from_values(value) {
        let _ = to_json(&config);
    }
}

fn read_png(bytes: &[u8]) {
    if let Ok(picture) = Picture::decode(bytes) {
        assert_eq!(
            picture.pixels.len(),
            picture.width * picture.height * picture.channels,
            "pixels of another picture"
        );
    }
}

fn read_archive(bytes: &[u8]) {
    let folder = std::env::temp_dir().join(format!("scorefield-fuzz-{}", std::process::id()));
    let path = folder.join("images.tar");
    if std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, bytes)).is_err() {
        return;
    }
    if let Ok(store) = Store::open(&path.to_string_lossy(), Path::new("."), |_| true) {
        for name in store.names() {
            let _ = store.read(name);
        }
    }
}

fn read_beside(bytes: &[u8]) {
    let json = text(bytes);
    let _ = HubModel::from_answer(&json);
    let _ = HubModel::from_record(&json);
    let _ = scorefield::nn::checkpoint::diffusers::convention(&json);
    // Settings are read for a network that was recognised.
    let settings = Settings { network: Some(json.clone().into_owned()), scheduler: Some(json.into_owned()) };
    if let Ok(checkpoint) = Checkpoint::open(&[NETWORK])
        && let Ok(mut recognised) = checkpoint.recognise()
    {
        let _ = settings.describe(&mut recognised, None);
    }
}

/// A site of one page, and beside its folder what nobody may have.
fn site() -> Site {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("scorefield-fuzz-site-{}", std::process::id()));
        let written = std::fs::create_dir_all(folder.join("site"))
            .and_then(|()| std::fs::write(folder.join("site/index.html"), "a page"))
            .and_then(|()| std::fs::write(folder.join("a secret"), "a secret"));
        written.expect("a folder for the site");
        folder.join("site")
    });
    Site { folder: folder.clone(), prefix: "/x".to_owned(), ..Site::default() }
}

/// A request's head, and what the server of files says to it.
fn read_request(bytes: &[u8]) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    let (head, mut body) = bytes.split_at(end);
    let Ok(head) = Head::parse(head) else { return };
    assert!(!head.target.contains(|letter: char| letter.is_ascii_control() || letter == ' '), "{:?}", head.target);
    let (only_head, stays, mut sent) = (head.method == "HEAD", head.stays, Vec::new());
    let answer = site().answer(&mut Request { head, body: &mut body });
    answer.send(&mut sent, only_head, stays).expect("an answer that can be sent");
    let sent = String::from_utf8_lossy(&sent);
    let said = sent.lines().next().is_some_and(|line| ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"].contains(&line));
    assert!(said && !sent.contains("a secret"), "{sent}");
}
