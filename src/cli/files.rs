//! Files: read with a clear word about what is wrong, written so that a reader sees all of them or nothing.

use std::fmt::Arguments;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _, stdout};
use std::path::{Path, PathBuf};

use super::failure::{Failure, Outcome};

/// What a file that is being written is called until it is complete.
const PART: &str = ".part";

/// Prints a line of the result. A reader that has gone has seen enough: that is no error.
///
/// # Errors
/// When the output cannot take it, such as a file on a full disk.
pub fn print(line: Arguments) -> Outcome {
    let mut out = stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::other(format!("the result cannot be printed: {error}")))
        }
        _ => Ok(()),
    }
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::input(path.display(), error))
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read or is not text.
pub fn read_text(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| Failure::input(path.display(), error))
}

/// The files of a folder, in the order of their names.
///
/// # Errors
/// When it cannot be read.
pub fn list(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let fail = |error| Failure::input(folder.display(), error);
    let entries = fs::read_dir(folder).map_err(fail)?;
    let mut paths = entries.map(|entry| Ok(entry.map_err(fail)?.path())).collect::<Outcome<Vec<_>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// The name of a file without its folder.
#[must_use]
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes a folder and those above it.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(folder: &Path) -> Outcome {
    fs::create_dir_all(folder).map_err(|error| Failure::other(format!("{}: {error}", folder.display())))
}

/// Writes a file under a temporary name, waits until it is on the disk, and gives it its name: whoever looks finds the
/// old file or the new one, never a part.
///
/// # Errors
/// When the disk is full or the folder cannot be written; the part is then removed.
pub fn write(path: &Path, bytes: &[u8]) -> Outcome {
    let part = part_of(path);
    let written = (|| {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    })();
    written.map_err(|error| {
        drop(fs::remove_file(&part));
        Failure::other(format!("{} cannot be written: {error}", path.display()))
    })
}

/// Writes several files of a folder: none gets its name before all are on the disk, and the last one last.
///
/// # Errors
/// When the disk is full or the folder cannot be written; the parts are then removed.
pub fn write_all(folder: &Path, files: &[(String, Vec<u8>)]) -> Outcome {
    make_folder(folder)?;
    let written = (|| {
        for (name, bytes) in files {
            let mut file = File::create(part_of(&folder.join(name)))?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        files.iter().try_for_each(|(name, _)| fs::rename(part_of(&folder.join(name)), folder.join(name)))
    })();
    written.map_err(|error| {
        for (name, _) in files {
            drop(fs::remove_file(part_of(&folder.join(name))));
        }
        Failure::other(format!("{} cannot be written: {error}", folder.display()))
    })
}

fn part_of(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}{PART}", name(path)))
}
