//! `scorefield device`: this machine's processor or card for programs on other machines, by Burn's own server.

use std::net::{SocketAddr, TcpListener};

use clap::Args;

use super::device::{DeviceArgs, TOKEN};
use super::failure::{Failure, Outcome};
use super::remote::secret;
use crate::nn::remote::serve_device;

/// Offers a device to scorefield on other machines, until Ctrl-C: there it is --device remote:HOST:PORT.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER)]
pub struct OfferArgs {
    /// Address and port of this machine that are listened at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4100")]
    pub listen: SocketAddr,
    /// What to offer
    #[command(flatten)]
    pub device: DeviceArgs,
}

const AFTER: &str = "\
Whoever computes here has to know a token: that of the variable SCOREFIELD_TOKEN, on both machines, or else a new one, \
which is printed. Burn's protocol encrypts nothing, the token included, has no password for numbers that servers pass \
to each other, and lets a client have this machine open connections: keep it at 127.0.0.1 and reach it through a tunnel, \
such as ssh -L 4100:127.0.0.1:4100 this-machine. A processor computes by Burn's own kernels, on one core.";

/// Does it, until Ctrl-C.
///
/// # Errors
/// When the address is taken, or the device is not there or cannot be offered.
pub fn run(args: &OfferArgs) -> Outcome {
    if cfg!(not(feature = "remote")) {
        return Err(Failure::device(
            "this program was built without remote devices: build it with --features cli,remote",
        ));
    }
    let compute = args.device.open()?;
    let none = || Failure::other(format!("this machine has no random numbers for a token: set {TOKEN}"));
    let (token, own) = match std::env::var(TOKEN) {
        Ok(token) if !token.is_empty() => (token, true),
        _ => (secret().ok_or_else(none)?, false),
    };
    let taken = |error| Failure::other(format!("{} cannot be had: {error}", args.listen));
    let listener = TcpListener::bind(args.listen).map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    say!("{} is offered at {address} (Ctrl-C ends it)", compute.info.name)?;
    let port = address.port();
    if address.ip().is_loopback() {
        say!("from another machine: ssh -L {port}:{address} this-machine, and there --device remote:127.0.0.1:{port}")?;
    } else {
        say!("from other machines: --device remote:HOST:{port} with this machine's name for HOST")?;
        eprintln!(
            "scorefield: warning: what travels is not encrypted, and whoever reads it can use this device and have it \
             open connections: rather --listen 127.0.0.1:{port}, and on the other machine ssh -L \
             {port}:127.0.0.1:{port} this-machine"
        );
    }
    if own {
        say!("with the same {TOKEN}")?;
    } else {
        say!("with {TOKEN}={token}")?;
    }
    serve_device(&compute, listener, &token).map_err(Failure::device)
}
