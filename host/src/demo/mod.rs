//! `tiltyard demo`: one enterprise, one operator, eight entrants and one machine without TEE hardware.
//!
//! Every party is a process of its own with its own folder, as in production; this module only starts them, in the
//! order in which people would, and shows what they print. It holds no key and reads no row.

mod charter;
mod parties;
mod results;
mod show;
mod tournament;

use std::path::{Path, PathBuf};
use std::time::Instant;

pub use show::DemoOutput;
use show::Show;

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

/// Marks a folder as ours to replace.
const MARKER: &str = ".tiltyard-demo";

/// Runs it all; leaves `bundle.tar`, `report.html` and `champion/` in the folder.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    let mut show = Show::new(args.output);
    let started = Instant::now();
    let layout = Layout::prepare(&args)?;
    show.step("parties", "owner, operator and entrants make their keys; the owner seals three datasets");
    let parties = parties::set_up(&layout, &mut show).await?;
    show.step("charter", "owner and operator sign what may run, on what, for whom");
    let charter = charter::agree(&layout, &parties, args.now, &mut show).await?;
    show.step("tournament", "guests are launched, attested and leased; entrants compete");
    let services = tournament::start(&layout, &parties, &charter).await?;
    let outcome = tournament::watch(&layout, services, &mut show).await?;
    show.step("results", "the owner opens the champion's artefact; the auditor checks the bundle");
    results::collect(&layout, &parties, &outcome, &mut show).await?;
    show.times(started);
    Ok(())
}

/// Where everything stands.
pub(crate) struct Layout {
    dir: PathBuf,
    model: PathBuf,
    dictionaries: Vec<(&'static str, PathBuf)>,
    programs: PathBuf,
    cache: PathBuf,
}

/// The base model's file and what the charter calls it.
pub(crate) const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
pub(crate) const MODEL_NAME: &str = "SmolLM2-135M-Instruct";
const DATASETS: [(&str, &str); 3] = [
    ("wordnet-noun", "wordnet-noun.jsonl"),
    ("wordnet-verb", "wordnet-verb.jsonl"),
    ("wordnet-adj", "wordnet-adj.jsonl"),
];

impl Layout {
    fn prepare(args: &DemoArgs) -> Result<Self, DemoError> {
        let input = |name: &str| {
            let path = args.inputs.join(name);
            if path.is_file() { Ok(path) } else { Err(DemoError::InputMissing { path }) }
        };
        let model = input(MODEL_FILE)?;
        let mut dictionaries = Vec::new();
        for (id, file) in DATASETS {
            dictionaries.push((id, input(file)?));
        }
        let own = std::env::current_exe().map_err(|source| io("this program", source))?;
        let programs = own.parent().map(Path::to_path_buf).unwrap_or_default();
        for program in ["tiltyard-broker", "tiltyard-enclave", "tiltyard-audit", "tiltyard-simulator"] {
            if !programs.join(program).is_file() {
                return Err(DemoError::ProgramMissing { program: program.to_owned() });
            }
        }
        let dir = fresh_folder(&args.dir)?;
        Ok(Self { dir, model, dictionaries, programs, cache: args.inputs.join("simulator") })
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Sealed objects and public documents, by digest: all that the host is given.
    pub(crate) fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }
}

fn fresh_folder(dir: &Path) -> Result<PathBuf, DemoError> {
    if dir.exists() {
        let ours = dir.join(MARKER).exists();
        let empty = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
        if !ours && !empty {
            return Err(DemoError::ForeignFolder { path: dir.to_path_buf() });
        }
        std::fs::remove_dir_all(dir).map_err(|source| io(&dir.display().to_string(), source))?;
    }
    std::fs::create_dir_all(dir.join("objects"))
        .and_then(|()| std::fs::write(dir.join(MARKER), b""))
        .and_then(|()| dir.canonicalize())
        .map_err(|source| io(&dir.display().to_string(), source))
}

pub(crate) fn io(what: &str, source: std::io::Error) -> DemoError {
    DemoError::Io { what: what.to_owned(), source }
}
