//! `tiltyard-audit`: checks a bundle offline. It trusts nothing and nobody trusts it with anything.

use std::process::ExitCode;

fn main() -> ExitCode {
    tiltyard_audit::main()
}
