//! `serve FOLDER PORT`: static files on 127.0.0.1.

use std::path::Path;
use std::process::ExitCode;

use scorefield::serve::Server;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, port] = arguments.as_slice() else {
        eprintln!("usage: serve FOLDER PORT");
        return ExitCode::FAILURE;
    };
    let Ok(port) = port.parse() else {
        eprintln!("{port} is not a port");
        return ExitCode::FAILURE;
    };
    match Server::start(Path::new(folder), "", port) {
        Ok(server) => {
            println!("scorefield is at http://{}/ (Ctrl-C ends it)", server.address());
            server.join();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("port {port} of 127.0.0.1 cannot be had: {error}; choose another one with PORT=");
            ExitCode::FAILURE
        }
    }
}
