//! `scorefield serve`: the built page over HTTP, and with `--remote` this machine as one of its devices.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::device::DeviceArgs;
use super::failure::{Failure, Outcome};
use super::remote::{Place, RemoteServer, secret};
use crate::serve::{Limits, Server, Site};

/// Serves the built page, until Ctrl-C. With --remote the page can choose to compute on this machine instead of in the
/// browser, under "Compute on".
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER)]
pub struct ServeArgs {
    /// The folder of the built page
    #[arg(default_value = "dist")]
    pub folder: PathBuf,
    /// The port; 0 takes a free one
    #[arg(long, short, default_value_t = 8080)]
    pub port: u16,
    /// The address of this machine that is listened at; 0.0.0.0 are all of them
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub listen: IpAddr,
    /// Lets the page compute on this machine: whoever has the printed address can use it
    #[arg(long)]
    pub remote: bool,
    /// Where to compute for the page
    #[command(flatten)]
    pub device: DeviceArgs,
}

const AFTER: &str = "\
With --remote and an address that other machines reach, a page has to know a token, which is printed as part of the \
page's address and is new each time. What travels is not encrypted: across a network that others share, rather listen \
at 127.0.0.1 and reach it through a tunnel, such as ssh -L 8080:127.0.0.1:8080 this-machine.";

/// Does it, for ever.
///
/// # Errors
/// When there is no page in the folder, the port is taken, or the device is not there.
pub fn run(args: &ServeArgs) -> Outcome {
    if !args.folder.join("index.html").is_file() {
        return Err(Failure::input(args.folder.display(), "there is no built page here: make dist builds one"));
    }
    let mut site = Site { folder: args.folder.clone(), ..Site::default() };
    let mut query = String::new();
    let mut device = None;
    if args.remote {
        let compute = args.device.open()?;
        device = Some(compute.info.name.clone());
        let token = if args.listen.is_loopback() {
            None
        } else {
            Some(secret().ok_or_else(|| Failure::other("this machine has no random numbers for a token"))?)
        };
        query = token.as_ref().map_or_else(String::new, |token| format!("?token={token}"));
        let place = Place { compute, folder: args.folder.clone(), threads: args.device.threads() };
        let hub = RemoteServer::new(place, token);
        site.head = RemoteServer::head();
        // Another site's page could otherwise have this machine compute, by a frame with a link that begins a run.
        site.headers = &[("Content-Security-Policy", "frame-ancestors 'self'")];
        site.beside = Some(Arc::new(move |request| hub.answer(request)));
    }
    let taken = |error| Failure::other(format!("port {} of {} cannot be had: {error}", args.port, args.listen));
    let server = Server::open(&site, (args.listen, args.port).into(), Limits::default()).map_err(taken)?;
    say!("scorefield is at http://{}/{query} (Ctrl-C ends it)", server.address())?;
    if args.listen.is_unspecified() {
        say!("from other machines: the same with this machine's own name in place of {}", args.listen)?;
    }
    if let Some(device) = device {
        say!("pages can compute here, on {device}: choose this under \"Compute on\"")?;
    }
    server.join();
    Ok(())
}
