//! Compressed copies beside the files of the page, for servers that send such files to who takes them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is put after a file's name for its copy, as servers of static files expect it.
pub const ENDINGS: [&str; 2] = [".br", ".gz"];
/// Files of fewer bytes fit into one packet anyway.
const LEAST: usize = 1024;
/// Best of Brotli, and its largest window that every browser takes.
const BROTLI: (u32, u32) = (11, 24);

/// Whether a file is such a copy, by its name.
pub fn is_copy(path: &str) -> bool {
    ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// Writes the copies of all files of a folder. The same files make the same copies.
///
/// # Errors
/// When a file cannot be read or a copy not be written.
pub fn write(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            write(&path)?;
        } else if !path.to_str().is_some_and(is_copy) {
            write_of(&path)?;
        }
    }
    Ok(())
}

fn write_of(path: &Path) -> io::Result<()> {
    let content = fs::read(path)?;
    let zipped = gzip(&content)?;
    // What is hardly shorter, such as weights, is not worth the work of unpacking it, nor Brotli's, which is long.
    let worth = content.len() >= LEAST && zipped.len() < content.len() / 10 * 9;
    let copies = if worth { [Some(brotli(&content)?), Some(zipped)] } else { [None, None] };
    for (ending, copy) in ENDINGS.into_iter().zip(copies) {
        let place = beside(path, ending);
        match copy {
            Some(copy) => fs::write(place, copy)?,
            None if place.exists() => fs::remove_file(place)?,
            None => {}
        }
    }
    Ok(())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn brotli(content: &[u8]) -> io::Result<Vec<u8>> {
    let (quality, window) = BROTLI;
    let mut packed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut packed, 1 << 16, quality, window);
    writer.write_all(content)?;
    drop(writer);
    Ok(packed)
}

/// As a server with gzip sends it.
pub fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    // Its head says neither a name nor a time.
    let mut writer = GzEncoder::new(Vec::new(), Compression::best());
    writer.write_all(content)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_server_looks_for_copies_by_these_names() {
        let server = include_str!("../../serve/files.rs");
        let [br, gz] = ENDINGS;
        assert!(server.contains(&format!(r#"[("br", "{br}"), ("gzip", "{gz}")]"#)));
    }

    #[test]
    fn copies_are_shorter_say_the_same_and_are_the_same_each_time() {
        let folder = std::env::temp_dir().join(format!("scorefield-copies-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).unwrap();
        let text: String = (0..2000).map(|number: u32| format!("{} ", number * number)).collect();
        // Bits without an order: nothing makes them shorter.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(4096)
        .collect();
        fs::write(folder.join("inner/long.txt"), &text).unwrap();
        fs::write(folder.join("short.txt"), "a".repeat(LEAST - 1)).unwrap();
        fs::write(folder.join("noise.bin"), &noise).unwrap();
        // Of another build, when this file was longer.
        fs::write(folder.join("short.txt.gz"), "old").unwrap();
        write(&folder).unwrap();
        let read = |name: &str| fs::read(folder.join(name));
        let (br, gz) = (read("inner/long.txt.br").unwrap(), read("inner/long.txt.gz").unwrap());
        assert!(br.len() < gz.len() && gz.len() < text.len() * 2 / 3, "{} {} {}", br.len(), gz.len(), text.len());
        let (mut of_br, mut of_gz) = (String::new(), String::new());
        brotli::Decompressor::new(&*br, 4096).read_to_string(&mut of_br).unwrap();
        flate2::read::GzDecoder::new(&*gz).read_to_string(&mut of_gz).unwrap();
        assert!(of_br == text && of_gz == text);
        for name in ["short.txt.br", "short.txt.gz", "noise.bin.br", "noise.bin.gz"] {
            assert!(read(name).is_err(), "{name}");
        }
        write(&folder).unwrap();
        assert_eq!((read("inner/long.txt.br").unwrap(), read("inner/long.txt.gz").unwrap()), (br, gz));
        assert!(read("inner/long.txt.br.gz").is_err(), "a copy has no copies");
        fs::remove_dir_all(folder).unwrap();
    }
}
