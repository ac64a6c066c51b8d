//! `scorefield`: train, sample, evaluate and convert without a browser. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    scorefield::cli::main()
}
