//! What `scorefield report` is asked.

use std::path::PathBuf;

use clap::Args;

use crate::report::Settings;

/// Runs the studies of the report on this processor and writes what they measure of every claim: OUT/report.md, a table
/// to read, and OUT/report.json.
///
/// The files are written after every study, each in the place of what was known of it before: what is finished stays,
/// whatever ends the rest. All studies take some minutes on one core.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// Only these studies, with commas between their ids
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "from")]
    pub only: Vec<String>,
    /// Only this study and those after it, as after an interruption
    #[arg(long, value_name = "ID")]
    pub from: Option<String>,
    /// Runs them as the page opens them, which takes several times as long, not with the tests' brief settings
    #[arg(long)]
    pub full: bool,
    /// Seed of every run
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// The folder to write
    #[arg(long, short, default_value = "docs")]
    pub out: PathBuf,
    /// Writes nothing: runs the studies of this report.json as it says and fails where a verdict is another
    #[arg(long, value_name = "FILE", conflicts_with_all = ["full", "seed", "out"])]
    pub check: Option<PathBuf>,
    /// Writes no report: of every study a small picture for the table of contents to this folder, ID.svg
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["out", "check"])]
    pub pictures: Option<PathBuf>,
    /// The folder of the page, with its texts and data
    #[arg(long, value_name = "FOLDER", default_value = "web")]
    pub web: PathBuf,
}

impl ReportArgs {
    /// How the studies are run.
    #[must_use]
    pub fn settings(&self) -> Settings {
        if self.full { Settings::Full } else { Settings::Brief }
    }
}
