//! `tiltyard-enclave`: the guest program. It reads no environment, and its only argument is its own: with it, it
//! reads one device for the guest that started it, and ends.

use std::process::ExitCode;

use tiltyard_enclave::collect::read_device;

fn main() -> ExitCode {
    if let Some(read) = read_device(std::env::args_os().skip(1)) {
        return read;
    }
    match tiltyard_enclave::run() {
        Ok(()) => ExitCode::SUCCESS,
        // The host has been told the code over the channel; nothing else may leave.
        Err(_) => ExitCode::FAILURE,
    }
}
