//! The tournament that is played once, and what was seen while it ran.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;
use tiltyard_host::demo::{self, Agreed, Answer, Layout, Outcome, Parties};

use crate::canaries::{self, Needles};
use crate::decided::unattested;
use crate::events;
use crate::processes::{self, Searched};
use crate::scenario::{self, Yard};

/// A decided tournament; its services have ended.
pub struct Whole {
    pub layout: Layout,
    pub parties: Parties,
    pub agreed: Agreed,
    pub outcome: Outcome,
    pub canaries: Vec<String>,
    pub seen: Seen,
    pub folder: TempDir,
}

/// What was asked and looked at while the agent ran.
pub struct Seen {
    /// Paths of the attested API with their answers.
    pub answers: Vec<(&'static str, Answer)>,
    /// A request on a connection that asked for no evidence.
    pub unattested: String,
    /// A request that names another server.
    pub wrong_host: Answer,
    /// A second agent on the same state directory, and the first one's process id.
    pub second_agent: (Output, u32),
    /// The memory of agent and simulator, while a trainer trained and at the end.
    pub memory: std::io::Result<Vec<(&'static str, Searched)>>,
}

const PATHS: [&str; 8] = [
    "/",
    "/v1/charter",
    "/v1/tournament",
    "/v1/standings",
    "/v1/record",
    "/v1/bundle",
    "/v1/log/checkpoint",
    "/v1/log/entries?limit=100",
];

/// The shared tournament; none where the inputs are absent.
pub fn whole() -> Option<&'static Whole> {
    static WHOLE: OnceLock<Option<Whole>> = OnceLock::new();
    WHOLE.get_or_init(|| Some(scenario::on_runtime(play(&scenario::inputs()?)))).as_ref()
}

async fn play(inputs: &Path) -> Whole {
    let canaries = canaries::draw();
    let yard = scenario::begin(inputs, 4, |index, line| canaries::plant(&canaries, index, line)).await;
    let Yard { layout, parties, agreed, mut services, mut show, folder } = yard;
    let needles = Needles::new(&canaries);
    let pids = [services.agent_pid().unwrap(), services.simulator_pid().unwrap()];
    let mid_training = async {
        events::event(&layout, Duration::from_secs(60), events::trainer_runs).await;
        tokio::task::block_in_place(|| {
            search(pids, ["agent in mid-training", "simulator in mid-training"], &needles)
        })
    };
    let (outcome, memory) = tokio::join!(demo::watch(&layout, &mut services, &mut show), mid_training);
    let outcome = outcome.unwrap();

    let mut answers = Vec::new();
    for path in PATHS.into_iter().chain(["/v1/bundle"]) {
        answers.push((path, services.get(path).await.unwrap()));
    }
    let wrong_host = services.get_as("evil.example", "/v1/standings").await.unwrap();
    let unattested = tokio::task::block_in_place(|| unattested(services.agent_port(), "/v1/standings"));
    let second = demo::agent_command(&layout, &parties, &agreed, &layout.host(), &layout.path("second.port"));
    let second = std::process::Command::new(&second[0]).args(&second[1..]).output().unwrap();
    let at_end = search(pids, ["agent at the end", "simulator at the end"], &needles);
    services.stop().await.unwrap();
    let seen = Seen {
        answers,
        unattested,
        wrong_host,
        second_agent: (second, pids[0]),
        memory: memory.and_then(|memory| Ok(memory.into_iter().chain(at_end?).collect())),
    };
    Whole { layout, parties, agreed, outcome, canaries, seen, folder }
}

fn search(
    pids: [u32; 2],
    names: [&'static str; 2],
    needles: &Needles,
) -> std::io::Result<Vec<(&'static str, Searched)>> {
    pids.into_iter()
        .zip(names)
        .map(|(pid, name)| Ok((name, processes::search_memory(pid, needles)?)))
        .collect()
}

impl Seen {
    /// The first answer that a path got.
    pub fn answer(&self, path: &str) -> &Answer {
        &self.answers.iter().find(|(asked, _)| *asked == path).unwrap().1
    }

    /// Every answer's bytes of one path.
    pub fn bodies(&self, path: &str) -> BTreeSet<&[u8]> {
        self.answers.iter().filter(|(asked, _)| *asked == path).map(|(_, got)| got.body.as_slice()).collect()
    }
}
