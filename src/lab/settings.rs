//! The parts of a row of settings, `name: type = preset, range, log`, for the macros that declare structures of settings.

/// The key of a setting: its name with hyphens.
macro_rules! key {
    ($name:ident) => {{
        const BYTES: [u8; stringify!($name).len()] = $crate::lab::settings::hyphenated(stringify!($name));
        const KEY: &str = match std::str::from_utf8(&BYTES) {
            Ok(key) => key,
            Err(_) => panic!("names are text"),
        };
        KEY
    }};
}
pub(crate) use key;

/// The bytes of a name with hyphens instead of underscores.
pub const fn hyphenated<const N: usize>(name: &str) -> [u8; N] {
    let (name, mut bytes, mut i) = (name.as_bytes(), [0; N], 0);
    while i < N {
        bytes[i] = if name[i] == b'_' { b'-' } else { name[i] };
        i += 1;
    }
    bytes
}

/// Whether two keys are the same, for tables that the compiler checks.
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b, mut i) = (a.as_bytes(), b.as_bytes(), 0);
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The kind of a setting, by its type and range.
macro_rules! kind {
    (f64, $range:expr) => {
        $crate::lab::value::Kind::real($range, false)
    };
    (f64, $range:expr, log) => {
        $crate::lab::value::Kind::real($range, true)
    };
    (u32, $range:expr) => {
        $crate::lab::value::Kind::whole($range)
    };
    (usize, $range:expr) => {
        $crate::lab::value::Kind::whole($range)
    };
    (Gaussians) => {
        $crate::lab::value::Kind::Gaussians
    };
    (Drawing) => {
        $crate::lab::value::Kind::Drawing
    };
    (Picture) => {
        $crate::lab::value::Kind::Picture
    };
    (ClassChoice) => {
        $crate::lab::value::Kind::Class
    };
    (Word) => {
        $crate::lab::value::Kind::Word
    };
    (ExperimentId) => {
        $crate::lab::value::Kind::Word
    };
    ($choice:ident) => {
        $crate::lab::value::Kind::Choice($choice::IDS)
    };
}
pub(crate) use kind;

/// What a setting of a study starts from, by its type.
macro_rules! preset {
    (f64, $preset:expr) => {
        $crate::lab::value::Preset::Real($preset)
    };
    (u32, $preset:expr) => {
        $crate::lab::value::Preset::Whole($preset)
    };
    (usize, $preset:expr) => {
        $crate::lab::value::Preset::Whole($preset)
    };
    ($choice:ident, $preset:expr) => {
        $crate::lab::value::Preset::Choice($preset.id())
    };
}
pub(crate) use preset;
