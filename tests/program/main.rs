//! The native program and its server, as they are used.

#[path = "../support/golden.rs"]
mod golden;
#[path = "../support/hub.rs"]
mod hub;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/serving.rs"]
mod serving;
#[path = "../support/sharing.rs"]
mod sharing;
#[cfg(feature = "gpu")]
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/training.rs"]
mod training;
#[path = "../support/unet_weights.rs"]
mod unet_weights;
#[path = "../support/verdicts.rs"]
mod verdicts;
#[cfg(all(feature = "remote", unix))]
#[path = "../support/worker.rs"]
mod worker;

mod cli_bad_input;
mod cli_bfloat16;
mod cli_classes;
mod cli_devices;
mod cli_evaluation;
mod cli_hub;
mod cli_muon;
mod cli_published;
mod cli_remote;
#[cfg(all(feature = "remote", unix))]
mod cli_remote_devices;
mod cli_report;
mod cli_serve;
mod cli_training;
mod serve_compressed;
mod serve_load;
