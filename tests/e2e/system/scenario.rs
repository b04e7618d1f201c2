//! A small tournament: one challenger against the baseline, one task, recipes of a few steps on the top blocks.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tiltyard_host::demo::{
    self, Agreed, DemoOutput, Entrant, Layout, Parties, Places, RowsFile, RuleEdit, Scenario, Services, Show,
    Stance,
};
use tiltyard_provisioning::charter::Budget;

/// Rows of each dataset.
const ROWS: usize = 300;
const SOURCES: [&str; 2] = ["wordnet-noun", "wordnet-verb"];

/// One case at a time has the machine.
static TURN: Mutex<()> = Mutex::new(());

pub fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fetched inputs; none, loudly, where they were not fetched.
pub fn inputs() -> Option<PathBuf> {
    let inputs = demo::default_inputs();
    let missing = ["SmolLM2-135M-Instruct.Q4_1.gguf", "wordnet-noun.jsonl", "wordnet-verb.jsonl"]
        .into_iter()
        .find(|name| !inputs.join(name).is_file());
    if let Some(missing) = missing {
        eprintln!("SKIPPED: {} absent: run `make setup`, which fetches it", inputs.join(missing).display());
        return None;
    }
    Some(inputs)
}

/// A tournament whose services run.
pub struct Yard {
    pub layout: Layout,
    pub parties: Parties,
    pub agreed: Agreed,
    pub services: Services,
    pub show: Show,
    pub folder: TempDir,
}

/// Sets everything up and starts it; both recipes take `train_steps` steps, `edit` changes each source row.
pub async fn begin(inputs: &Path, train_steps: u32, edit: impl Fn(usize, &str) -> String) -> Yard {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows");
    std::fs::create_dir(&rows).unwrap();
    let datasets = SOURCES.map(|id| source(inputs, &rows, id, &edit)).into();
    let scenario = Scenario {
        entrants: vec![
            entrant("baseline", Stance::Defends, train_steps, "5e-4"),
            entrant("challenger", Stance::Challenges, train_steps, "2e-3"),
        ],
        rules: vec![
            RuleEdit { table: "schedule", key: "break_s", value: 0 },
            RuleEdit { table: "field", key: "min", value: 1 },
            RuleEdit { table: "boss", key: "tasks", value: 1 },
        ],
        budget: Budget { train_wall_s: 60, evaluate_wall_s: 60, memory_mib: 3072, vcpus: 1, test_items: 6 },
        datasets,
        test_rows: 60,
        slots: 2,
        patience: Duration::from_secs(120),
    };
    let places = Places { dir: folder.path().join("yard"), inputs: inputs.to_owned(), programs: programs() };
    let layout = Layout::prepare(&places, scenario).unwrap();
    let mut show = Show::new(DemoOutput::Text);
    let parties = demo::set_up(&layout, &mut show).await.unwrap();
    let agreed = demo::agree(&layout, &parties, now(), &mut show).await.unwrap();
    let services = demo::start(&layout, &parties, &agreed).await.unwrap();
    Yard { layout, parties, agreed, services, show, folder }
}

pub fn on_runtime<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// The workspace's programs stand where this test's folder stands.
fn programs() -> PathBuf {
    std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn source(inputs: &Path, to: &Path, id: &str, edit: &impl Fn(usize, &str) -> String) -> RowsFile {
    let path = to.join(format!("{id}.jsonl"));
    let text = std::fs::read_to_string(inputs.join(format!("{id}.jsonl"))).unwrap();
    let mut file = std::fs::File::create(&path).unwrap();
    for (index, line) in text.lines().take(ROWS).enumerate() {
        writeln!(file, "{}", edit(index, line)).unwrap();
    }
    RowsFile { id: id.to_owned(), path }
}

fn entrant(label: &str, stance: Stance, steps: u32, rate: &str) -> Entrant {
    let recipe = format!(
        "schema = 1\n[adapter]\nr = 4\nalpha = 8\ntargets = [\"q\", \"v\"]\nlayers = [26, 29]\n\
         [train]\nsteps = {steps}\nwindow_items = 4\n[optimiser]\nlr = {rate}\n\
         [schedule]\nkind = \"constant\"\nwarmup_ratio = 0.0\n"
    );
    Entrant { label: label.to_owned(), recipe, stance }
}
