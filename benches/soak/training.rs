//! A training on images that goes on until it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, process};

use super::bands::records;

/// The program on a small network and pictures of its own.
pub struct Training {
    program: Child,
    folder: PathBuf,
}

impl Training {
    pub fn start(program: &Path) -> Self {
        let folder = env::temp_dir().join(format!("scorefield-soak-training-{}", process::id()));
        let [data, out] = ["data", "out"].map(|name| folder.join(name));
        fs::create_dir_all(&data).expect("a folder");
        fs::write(data.join("data_batch_1.bin"), records(500)).expect("a file");
        let program = Command::new(program)
            .arg("train")
            .args(["--data".as_ref(), data.as_os_str(), "--out".as_ref(), out.as_os_str()])
            .args(["--channels", "8", "--multipliers", "1,2", "--layers", "1", "--groups", "4", "--batch", "16"])
            .args(["--threads", "1", "--minutes", "100000", "--checkpoint", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        Self { program, folder }
    }

    pub fn pid(&self) -> u32 {
        self.program.id()
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        drop((self.program.kill(), self.program.wait()));
        drop(fs::remove_dir_all(&self.folder));
    }
}
