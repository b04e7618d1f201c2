//! The command line: what was typed becomes what was meant, then one function runs.

mod args;
mod launch;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use tiltyard_attestation::printable::{asks_for_json, plain_lines, plain_usage};

use crate::agent::{self, Event, Events, Output};
use crate::connect;
use crate::demo::{self, DemoArgs, DemoOutput};
use args::{HiArgs, LowArgs, Task};

/// STYLE 18.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Parses the command line, runs it and gives the exit code.
pub fn main() -> ExitCode {
    let low = match LowArgs::try_parse() {
        Ok(low) => low,
        Err(error) => {
            // Help and version are answers, not mistakes.
            if !error.use_stderr() {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            let text = plain_usage(&error.to_string());
            if asks_for_json(std::env::args_os()) {
                tell(Output::Json, &text);
            } else {
                eprintln!("{text}");
            }
            return ExitCode::from(USAGE);
        }
    };
    let output = low.output();
    match HiArgs::try_from(low) {
        Ok(args) => match run(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell(output, &error);
                ExitCode::from(FAILED)
            }
        },
        Err(error) => {
            tell(output, &error.to_string());
            ExitCode::from(USAGE)
        }
    }
}

fn run(args: HiArgs) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    match args.task {
        Task::Run(settings) => {
            let events = Events::new(args.output);
            on_runtime(agent::run(*settings, events, unix_now))?.map_err(|error| text(&error))
        }
        Task::Launch(dry) => launch::dry_run(&dry, args.output).map_err(|error| text(&error)),
        Task::Demo { dir, inputs } => {
            let output = match args.output {
                Output::Text => DemoOutput::Text,
                Output::Json => DemoOutput::Json,
            };
            let demo = DemoArgs { dir, inputs, output, now: unix_now() };
            on_runtime(demo::run(demo))?.map_err(|error| text(&error))
        }
        Task::Connect(settings) => {
            let ready = |local| match args.output {
                Output::Json => println!("{{\"event\":\"listening\",\"address\":\"{local}\"}}"),
                Output::Text => println!("http://{local} forwards to the attested referee"),
            };
            on_runtime(connect::run(&settings, unix_now, ready))?.map_err(|error| text(&error))
        }
    }
}

fn on_runtime<F: Future>(work: F) -> Result<F::Output, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("runtime: {error}"))?;
    let done = runtime.block_on(work);
    // A relay's last reads must not hold the process.
    runtime.shutdown_background();
    Ok(done)
}

/// The one place where this program reads the clock.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn tell(output: Output, error: &str) {
    match output {
        Output::Json => Events::new(output).send(&Event::Error { what: error.to_owned() }),
        Output::Text => eprintln!("tiltyard: {}", plain_lines(error)),
    }
}
