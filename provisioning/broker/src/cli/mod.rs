//! The command line: as typed ([`LowArgs`]), then as meant ([`high::HiArgs`]); text ends here.

mod high;
mod low;
mod print;

use std::process::ExitCode;

use tiltyard_attestation::printable::plain_usage;

pub(crate) use high::{
    CharterSignArgs, CollateralSignArgs, Command, ContainerArgs, EnrolArgs, HiArgs, HomeArgs, InitArgs,
    OpenArgs, SealArgs, ServeArgs, SourceArgs, SubmitArgs,
};
pub use low::LowArgs;
pub(crate) use low::OutputForm;
pub(crate) use print::{Facts, path_text};

/// Runs one command; the exit code is that of STYLE 18.
pub fn run(low: LowArgs) -> ExitCode {
    let form = low.output;
    let outcome = HiArgs::try_from(low).map_err(Failure::Usage).and_then(|high| {
        crate::command::execute(high.command, form).map_err(|error| Failure::Command(Box::new(error)))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            print::failure(form, "E_USAGE", &error.to_string());
            ExitCode::from(2)
        }
        Err(Failure::Command(error)) => {
            print::failure(form, error.code(), &error.to_string());
            error.exit_code()
        }
    }
}

/// Tells of arguments that were not understood, or gives the help that was asked for.
pub fn unparsed(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        print::usage(&plain_usage(&error.to_string()));
        return ExitCode::from(2);
    }
    let _ = error.print();
    ExitCode::SUCCESS
}

enum Failure {
    Usage(high::UsageError),
    Command(Box<crate::BrokerError>),
}
