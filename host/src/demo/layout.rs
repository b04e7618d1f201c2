//! Where everything of one run stands: folders, inputs, programs.

use std::path::{Path, PathBuf};

use super::scenario::Scenario;
use super::{DemoError, io};

/// The base model's file and what the charter calls it.
const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
pub(crate) const MODEL_NAME: &str = "SmolLM2-135M-Instruct";
/// Marks a folder as ours to replace.
const MARKER: &str = ".tiltyard-demo";
const PROGRAMS: [&str; 5] =
    ["tiltyard", "tiltyard-broker", "tiltyard-enclave", "tiltyard-audit", "tiltyard-simulator"];

/// The folders that a run is given.
#[derive(Debug, Clone)]
pub struct Places {
    /// Everything is made under this folder; a run of before is replaced.
    pub dir: PathBuf,
    /// The fetched inputs.
    pub inputs: PathBuf,
    /// The built programs.
    pub programs: PathBuf,
}

/// A prepared folder, and where the parts of the run are in it.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    model: PathBuf,
    programs: PathBuf,
    cache: PathBuf,
    scenario: Scenario,
}

impl Layout {
    /// Checks that everything is there, and empties the folder.
    pub fn prepare(places: &Places, scenario: Scenario) -> Result<Self, DemoError> {
        let model = places.inputs.join(MODEL_FILE);
        for path in scenario.datasets.iter().map(|rows| &rows.path).chain([&model]) {
            if !path.is_file() {
                return Err(DemoError::InputMissing { path: path.clone() });
            }
        }
        let programs = places.programs.clone();
        for program in PROGRAMS {
            if !programs.join(program).is_file() {
                return Err(DemoError::ProgramMissing { program: program.to_owned() });
            }
        }
        let dir = fresh_folder(&places.dir)?;
        Ok(Self { dir, model, programs, cache: places.inputs.join("simulator"), scenario })
    }

    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The base model.
    pub fn model(&self) -> &Path {
        &self.model
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Sealed objects and public documents, by digest: all that the host is given.
    pub fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// The host agent's state directory.
    pub fn host(&self) -> PathBuf {
        self.dir.join("host")
    }

    /// What the host agent tells of itself, a JSON line each.
    pub fn events(&self) -> PathBuf {
        self.dir.join("host.events.jsonl")
    }

    /// What the services print.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Keys of the simulated platform: slow to make, and worth nothing to anybody.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }
}

/// Where the fetching script keeps inputs.
pub fn default_inputs() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    folder("TILTYARD_INPUTS")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("tiltyard/inputs")))
        .or_else(|| Some(folder("HOME")?.join(".cache/tiltyard/inputs")))
        .unwrap_or_else(|| PathBuf::from("inputs"))
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
        .and_then(|()| std::fs::create_dir(dir.join("logs")))
        .and_then(|()| std::fs::write(dir.join(MARKER), b""))
        .and_then(|()| dir.canonicalize())
        .map_err(|source| io(&dir.display().to_string(), source))
}
