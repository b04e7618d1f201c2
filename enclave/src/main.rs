//! `tiltyard-enclave`: the guest program. It takes no arguments and reads no environment.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tiltyard_enclave::run() {
        Ok(()) => ExitCode::SUCCESS,
        // The host has been told the code over the channel; nothing else may leave.
        Err(_) => ExitCode::FAILURE,
    }
}
