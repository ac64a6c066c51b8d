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
    /// Would offer this machine's GPU to the page; says why it cannot be
    #[arg(long)]
    pub remote: bool,
}

/// Burn 0.22's remote device speaks through iroh or WebSocket. In a browser its iroh client reaches a server through a
/// relay of a third party only, and the WebSocket transport is for programs on a trusted network: neither is a page of
/// this machine using this machine's GPU, which the page's own WebGPU does.
const NOT_REMOTE: &str = "--remote is not offered: Burn 0.22's remote device reaches a browser only through another's \
     relay; the page uses this machine's GPU by WebGPU, and `scorefield train` uses it without a browser";

/// Does it, for ever.
///
/// # Errors
/// When there is no page in the folder, or the port is taken.
pub fn run(args: &ServeArgs) -> Outcome {
    if args.remote {
        return Err(Failure::usage(NOT_REMOTE));
    }
    if !args.folder.join("index.html").is_file() {
        return Err(Failure::input(args.folder.display(), "there is no built page here: make dist builds one"));
    }
    let server = Server::start(&args.folder, "", args.port)
        .map_err(|error| Failure::other(format!("port {} of 127.0.0.1 cannot be had: {error}", args.port)))?;
    say!("scorefield is at http://{}/ (Ctrl-C ends it)", server.address())?;
    server.join();
    Ok(())
}
