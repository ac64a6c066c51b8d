//! The run that a link and the changes on the command line describe.

use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};
use crate::experiments;
use crate::lab::{FIELDS, RunConfig, Word};
use crate::share::from_fragment;

/// A run.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// A link of the page, or what follows its `#`
    #[arg(long)]
    pub link: Option<String>,
    /// Changes a value of the run, such as `steps=50`; `--set help` lists them
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub changes: Vec<String>,
}

impl ConfigArgs {
    /// The run. What a link says wrongly is corrected and reported, as on the page; a wrong change is refused.
    ///
    /// # Errors
    /// When a change names no value, or one out of range.
    pub fn config(&self) -> Outcome<RunConfig> {
        self.config_of("")
    }

    /// The same with another link where none was given.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn config_of(&self, default: &str) -> Outcome<RunConfig> {
        let (link, rejected) = from_fragment(self.fragment().unwrap_or(default));
        for rejection in rejected {
            eprintln!("scorefield: in the link: {rejection:?}");
        }
        self.changed(link.config)
    }

    fn fragment(&self) -> Option<&str> {
        self.link.as_deref().map(|link| link.split_once('#').map_or(link, |(_, fragment)| fragment))
    }

    /// The weights that link and changes name, if they are a model of the hub, which everybody has under this name.
    #[must_use]
    pub fn model(&self) -> Option<PathBuf> {
        let changed = self.changes.iter().rev().find_map(|change| change.strip_prefix("weights="));
        let linked = || from_fragment(self.fragment().unwrap_or_default()).0.config.weights;
        let word = changed.and_then(Word::read).unwrap_or_else(linked);
        word.hub().map(|_| PathBuf::from(word.as_str()))
    }

    /// This run with the changes, the link left aside.
    ///
    /// # Errors
    /// When a change names no value, or one out of range.
    pub fn changed(&self, mut config: RunConfig) -> Outcome<RunConfig> {
        for change in &self.changes {
            let (key, value) = change.split_once('=').unwrap_or((change, ""));
            let Some(field) = FIELDS.iter().find(|field| field.key == key) else {
                let keys: Vec<&str> = FIELDS.iter().map(|field| field.key).collect();
                return Err(Failure::usage(format!("--set {change}: the values are {}", keys.join(", "))));
            };
            if let Some(correction) = field.set_text(&mut config, value) {
                return Err(Failure::usage(format!("--set {change}: {correction:?}")));
            }
            if experiments::find(config.experiment.id()).is_none() {
                let ids: Vec<String> = experiments::all().map(|id| id.id().to_owned()).collect();
                return Err(Failure::usage(format!("--set {change}: the experiments are {}", ids.join(", "))));
            }
        }
        Ok(config)
    }
}
