//! Links: a run as the fragment of the page's address, readable, versioned, and holding only what differs from the
//! experiment's defaults.
//!
//! `#experiment=plane&dataset=rings&steps=50&seed=7&run=1`
//!
//! Reading is total: whatever the fragment holds, a valid configuration comes out, with a list of what was corrected.

use crate::digest::fnv1a;
use crate::experiments::{defaults, field_of, fields_of, find};
use crate::lab::{Correction, ExperimentId, RunConfig, SolverId};

/// Version of the link format. A link without `v` is of version 1; a larger one is read as far as it is understood.
pub const VERSION: u32 = 1;
/// Most controls that a frame shows.
const MOST_CONTROLS: usize = 32;
/// Longest fragment that is read; what is beyond is dropped.
pub const MAX_LENGTH: usize = 8192;

/// What a link says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// The run.
    pub config: RunConfig,
    /// Whether to train and sample at once (`run=1`).
    pub run: bool,
    /// Solvers whose images are compared (`compare=ddim,heun`); none for a single run.
    pub compare: Vec<SolverId>,
    /// What to examine once everything is there (`test=1`, `benchmark=1`).
    pub examine: Examination,
    /// Whether it asks for nothing, or for the contents of the page (`#contents`), and no settings.
    pub contents: bool,
    /// The controls that a frame of another page shows (`embed=1&controls=steps,solver`); `None` for a page of its own.
    pub embed: Option<Vec<&'static str>>,
    /// Language the sender saw, if the link names one (`lang=fa`). It is a wish: an unknown one is ignored.
    pub language: Option<String>,
}

/// What a link asks the page to find out about the devices, in the experiment on images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// Whether they compute what the reference computed.
    pub self_test: bool,
    /// How fast they are.
    pub benchmark: bool,
}

/// Something in a link that could not be taken as it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The value of a known key was corrected.
    Value {
        /// The key, one of the experiment's [`fields_of`].
        key: &'static str,
        /// What the link said, cut to a length fit for a message.
        text: String,
        /// What was done.
        correction: Correction,
    },
    /// The key is not known.
    Key(String),
    /// The link is of a newer version.
    Version(u32),
    /// The link is longer than [`MAX_LENGTH`].
    TooLong,
}

/// Writes the fragment, with its `#`.
#[must_use]
pub fn to_fragment(link: &Link) -> String {
    let mut parts = if link.contents { vec!["contents".to_owned()] } else { settings(&link.config) };
    if !link.compare.is_empty() {
        let ids: Vec<&str> = link.compare.iter().map(|solver| solver.id()).collect();
        parts.push(format!("compare={}", ids.join(",")));
    }
    let flags = [(link.run, "run=1"), (link.examine.self_test, "test=1"), (link.examine.benchmark, "benchmark=1")];
    parts.extend(flags.iter().filter(|(set, _)| *set).map(|(_, part)| (*part).to_owned()));
    if let Some(controls) = &link.embed {
        parts.push("embed=1".to_owned());
        parts.extend((!controls.is_empty()).then(|| format!("controls={}", controls.join(","))));
    }
    if let Some(language) = &link.language {
        parts.push(format!("lang={language}"));
    }
    format!("#{}", parts.join("&"))
}

/// The experiment, and what of its settings differs from its defaults.
fn settings(config: &RunConfig) -> Vec<String> {
    let defaults = defaults(config.experiment);
    let mut parts = vec![format!("experiment={}", config.experiment.id())];
    for field in fields_of(config.experiment).filter(|f| f.key != "experiment") {
        if field.get(config) != field.get(&defaults) {
            parts.push(format!("{}={}", field.key, percent_encode(&field.text(config))));
        }
    }
    parts
}

/// Digest of what a run computes: its settings but for its seed and the device that it is done on.
#[must_use]
pub fn settings_digest(config: &RunConfig) -> u32 {
    let RunConfig { device, seed, .. } = defaults(config.experiment);
    fnv1a(settings(&RunConfig { device, seed, ..config.clone() }).join("&").as_bytes())
}

/// The keys and values of a fragment, with or without its `#`, and whether it was cut.
fn pairs_of(fragment: &str) -> (Vec<(String, String)>, bool) {
    let mut text = fragment.strip_prefix('#').unwrap_or(fragment);
    let cut = text.len() > MAX_LENGTH;
    if cut {
        let mut end = MAX_LENGTH;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text = &text[..end];
    }
    let parts = text.split('&').filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (percent_decode(key), percent_decode(value))
    });
    (pairs.collect(), cut)
}

/// Reads a fragment, with or without its `#`.
#[must_use]
pub fn from_fragment(fragment: &str) -> (Link, Vec<Rejected>) {
    let (pairs, cut) = pairs_of(fragment);
    let mut rejected: Vec<Rejected> = cut.then_some(Rejected::TooLong).into_iter().collect();

    // The experiment first: its defaults are what the other keys change.
    let experiment = pairs
        .iter()
        .rev()
        .filter(|(key, _)| key == "experiment")
        .find_map(|(_, value)| find(value.trim()))
        .unwrap_or(ExperimentId::Plane);
    // Nothing but the language asks for no experiment.
    let contents = pairs.iter().all(|(key, _)| matches!(key.as_str(), "contents" | "lang" | "v"));
    let mut link = Link { config: defaults(experiment), contents, ..Link::default() };

    let mut controls = Vec::new();
    for (key, value) in &pairs {
        match key.as_str() {
            "contents" => {}
            "run" => link.run = value == "1",
            "embed" => link.embed = (value == "1").then(Vec::new),
            "controls" => {
                let names = value.split(',').filter(|name| !name.is_empty()).take(MOST_CONTROLS);
                let known = |name: &str| field_of(experiment, name).map(|field| field.key);
                read_list(key, names, known, &mut controls, &mut rejected);
            }
            "test" => link.examine.self_test = value == "1",
            "benchmark" => link.examine.benchmark = value == "1",
            "compare" => {
                link.compare.clear();
                let ids = value.split(',').take(SolverId::ALL.len());
                read_list(key, ids, SolverId::from_id, &mut link.compare, &mut rejected);
            }
            "lang" => {
                let tag: String = value.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
                link.language = (!tag.is_empty()).then_some(tag);
            }
            "v" => match value.parse::<u32>() {
                Ok(version) if version <= VERSION => {}
                Ok(version) => rejected.push(Rejected::Version(version)),
                Err(_) => rejected.push(Rejected::Key(short(&format!("v={value}")))),
            },
            _ => match field_of(experiment, key) {
                Some(field) if field.key == "experiment" => {
                    if find(value.trim()).is_none() {
                        let (key, correction) = (field.key, Correction::Unreadable);
                        rejected.push(Rejected::Value { key, text: short(value), correction });
                    }
                }
                Some(field) => {
                    if let Some(correction) = field.set_text(&mut link.config, value) {
                        rejected.push(Rejected::Value { key: field.key, text: short(value), correction });
                    }
                }
                None => rejected.push(Rejected::Key(short(key))),
            },
        }
    }
    match &mut link.embed {
        Some(shown) => *shown = controls,
        None if !controls.is_empty() => rejected.push(Rejected::Key("controls".to_owned())),
        None => {}
    }
    (link, rejected)
}

/// Reads what the names in a list mean, each once, and says which mean nothing.
fn read_list<'n, T: PartialEq>(
    key: &str,
    names: impl Iterator<Item = &'n str>,
    known: impl Fn(&str) -> Option<T>,
    found: &mut Vec<T>,
    rejected: &mut Vec<Rejected>,
) {
    for name in names {
        match known(name) {
            Some(one) if !found.contains(&one) => found.push(one),
            Some(_) => {}
            None => rejected.push(Rejected::Key(short(&format!("{key}={name}")))),
        }
    }
}

/// At most 40 characters, none of them a control character.
fn short(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    if clean.chars().count() > 40 { clean.chars().take(39).chain(['…']).collect() } else { clean }
}

/// Escapes what has a meaning in a link, or none: of a class's name. Nothing else has such signs.
fn percent_encode(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~,:;/@!*'()+".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)] as char));
        }
    }
    out
}

/// Decodes `%xx` and leaves alone what is not a valid escape. Invalid UTF-8 becomes the replacement character.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|&b| (b as char).to_digit(16));
        if bytes[i] == b'%'
            && let (Some(high), Some(low)) = (digit(i + 1), digit(i + 2))
        {
            out.push((high * 16 + low) as u8);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
