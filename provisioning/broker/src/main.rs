//! `tiltyard-broker`: see the library's documentation.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match tiltyard_broker::LowArgs::try_parse() {
        Ok(low) => tiltyard_broker::run(low),
        Err(error) => tiltyard_broker::unparsed(&error),
    }
}
