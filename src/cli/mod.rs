//! The native program: what the page does, without a browser, and what a page cannot do.

// First: what follows prints with its macro.
#[macro_use]
mod say;

pub mod bench;
pub mod configuration;
pub mod convert;
pub mod count;
pub mod device;
pub mod digits;
pub mod download;
pub mod evaluate;
pub mod failure;
pub mod files;
pub mod folder;
pub mod grid;
pub mod http;
pub mod images;
pub mod index;
pub mod interrupt;
pub mod loss;
pub mod offer;
pub mod progress;
pub mod remote;
pub mod report;
pub mod sample;
pub mod serve;
pub mod set;
pub mod source;
pub mod train;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use failure::Outcome;

/// Trains, samples, evaluates and converts diffusion models: what the page does, without a browser.
#[derive(Debug, Parser)]
#[command(name = "scorefield", version, propagate_version = true, after_help = AFTER)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a file or address cannot be used, 4 no such device, 130 Ctrl-C.
Errors are one line on the standard error output.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains on points in the plane or on images
    Train(Box<train::TrainArgs>),
    /// Draws images or points from weights
    Sample(Box<sample::SampleArgs>),
    /// Measures FID, precision and recall
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Searches grids of few steps for weights
    Grid(Box<grid::GridArgs>),
    /// Runs the studies of the report and writes or checks what they say of every claim
    Report(report::ReportArgs),
    /// Trains the small network of digits that one of the studies samples
    Digits(digits::DigitsArgs),
    /// Times training steps and evaluations
    Bench(bench::BenchArgs),
    /// Offers this machine's device to scorefield on other machines
    Device(offer::OfferArgs),
    /// Serves the built page, and computes for it with --remote
    Serve(serve::ServeArgs),
    /// Writes a checkpoint as the set of weights that the page reads
    Convert(convert::ConvertArgs),
    /// Prints the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Runs the program with the arguments it was started with.
#[must_use]
pub fn main() -> ExitCode {
    let command = Program::parse().command;
    match loss::guard(|| obey(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("scorefield: {}", failure.message);
            failure.code()
        }
    }
}

fn obey(command: Command) -> Outcome {
    match command {
        Command::Train(args) => train::run(&args),
        Command::Sample(args) => sample::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Grid(args) => grid::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Digits(args) => digits::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Device(args) => offer::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Program::command(), "scorefield", &mut script);
            say!("{}", String::from_utf8_lossy(&script).trim_end())
        }
    }
}
