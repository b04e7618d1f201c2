//! `tiltyard-broker`: see the library's documentation.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    tiltyard_broker::run(tiltyard_broker::LowArgs::parse())
}
