//! `scorefield serve`: the built page over HTTP, on this machine only.

use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, Outcome};
use crate::serve::Server;

/// Serves the built page on this machine, until Ctrl-C.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The folder of the built page
    #[arg(default_value = "dist")]
    pub folder: PathBuf,
    /// The port; 0 takes a free one
    #[arg(long, short, default_value_t = 8080)]
    pub port: u16,
}

/// Does it, for ever.
///
/// # Errors
/// When there is no page in the folder, or the port is taken.
pub fn run(args: &ServeArgs) -> Outcome {
    if !args.folder.join("index.html").is_file() {
        return Err(Failure::input(args.folder.display(), "there is no built page here: make dist builds one"));
    }
    let server = Server::start(&args.folder, "", args.port)
        .map_err(|error| Failure::other(format!("port {} of 127.0.0.1 cannot be had: {error}", args.port)))?;
    println!("scorefield is at http://{}/ (Ctrl-C ends it)", server.address());
    server.join();
    Ok(())
}
