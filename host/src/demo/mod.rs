//! `tiltyard demo`: one enterprise, one operator, eight entrants and one machine without TEE hardware.
//!
//! Every party is a process of its own with its own folder, as in production; this module only starts them, in the
//! order in which people would, and shows what they print. It holds no key and reads no row. The steps are public,
//! so that a test of the whole system walks them with a [`Scenario`] of its own.

mod charter;
mod layout;
mod parties;
mod results;
mod scenario;
mod services;
mod show;
mod story;
mod tournament;

use std::path::{Path, PathBuf};
use std::time::Instant;

pub use charter::{Agreed, agree};
pub use layout::{Layout, Places, default_inputs};
pub use parties::{Parties, Party, set_up};
pub use results::{Champion, Verdict, audit, open_champion};
pub use scenario::{Entrant, RowsFile, RuleEdit, Scenario, Stance};
pub use services::{Answer, Services, agent_command, start};
pub use show::{DemoOutput, Show};
pub use tournament::{Outcome, watch};

/// What to run, and how to tell of it.
pub struct DemoArgs {
    /// Everything is made under this folder; a demo of before is replaced.
    pub dir: PathBuf,
    /// The fetched inputs: base model and dictionary.
    pub inputs: PathBuf,
    pub output: DemoOutput,
    /// Today, Unix seconds: the charter's window begins here.
    pub now: u64,
}

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    #[error(
        "{path}: expected an earlier demo or nothing, found other files\n  name another folder with --dir"
    )]
    ForeignFolder { path: PathBuf },
    #[error("{path}: not there\n  run `make setup`, which fetches it and checks its digest")]
    InputMissing { path: PathBuf },
    #[error("{program}: not beside this program\n  build the whole workspace: `make build`")]
    ProgramMissing { program: String },
    #[error("{program} failed with {status}\n{stderr}")]
    Program { program: String, status: String, stderr: String },
    #[error("{program}: {what}")]
    Answer { program: String, what: String },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("the tournament ended without a record\n  {0}")]
    Undecided(String),
}

/// Runs it all; leaves `bundle.tar`, `report.html` and `champion/` in the folder.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    let mut show = Show::new(args.output);
    let started = Instant::now();
    let own = std::env::current_exe().map_err(|source| io("this program", source))?;
    let programs = own.parent().map(Path::to_path_buf).unwrap_or_default();
    let scenario = Scenario::demo(&args.inputs);
    let layout = Layout::prepare(&Places { dir: args.dir, inputs: args.inputs, programs }, scenario)?;

    show.step("parties", "owner, operator and entrants make their keys; the owner seals three datasets");
    let parties = set_up(&layout, &mut show).await?;
    show.step("charter", "owner and operator sign what may run, on what, for whom");
    let charter = agree(&layout, &parties, args.now, &mut show).await?;
    show.step("tournament", "guests are launched, attested and leased; entrants compete");
    let mut services = start(&layout, &parties, &charter).await?;
    let outcome = watch(&layout, &mut services, &mut show).await?;
    services.stop().await?;
    show.step("results", "the owner opens the champion's artefact; the auditor checks the bundle");
    results::collect(&layout, &parties, &outcome, &mut show).await?;
    show.times(started);
    Ok(())
}

pub(crate) fn io(what: &str, source: std::io::Error) -> DemoError {
    DemoError::Io { what: what.to_owned(), source }
}
