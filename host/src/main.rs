//! `tiltyard`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: a sandbox can be entered only while this process has one thread.
    if let Some(code) = tiltyard_host::launch::jail::run_stage(std::env::args_os().skip(1)) {
        return code;
    }
    tiltyard_host::command::main()
}
