//! The running tournament: services started, the referee watched through its attested API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::charter::Agreed;
use super::parties::{Parties, answer, text};
use super::show::Show;
use super::{DemoError, Layout, io};

/// How long a service may take to come up.
const START_WAIT: Duration = Duration::from_secs(60);
/// How long the whole tournament may take before the demo gives up.
const TOURNAMENT_WAIT: Duration = Duration::from_secs(900);
const POLL: Duration = Duration::from_millis(500);
const ANSWER_MAX_BYTES: usize = 256 << 20;
/// Guests that run side by side: one per core.
const SLOTS: &str = "2";

/// Everything that runs; dropping it stops it.
pub(crate) struct Services {
    connect_port: u16,
    stop_file: PathBuf,
    host: Child,
    _others: Vec<Child>,
}

/// What the tournament left.
pub(crate) struct Outcome {
    pub(crate) standings: Value,
    pub(crate) tournament: Value,
}

/// Starts brokers, simulator, host agent and the client's connection.
pub(crate) async fn start(
    layout: &Layout,
    parties: &Parties,
    charter: &Agreed,
) -> Result<Services, DemoError> {
    let mut others = Vec::new();
    for (party, port) in [(&parties.owner, charter.ports[0]), (&parties.operator, charter.ports[1])] {
        let listen = format!("127.0.0.1:{port}");
        let port_file = party.dir.join("port");
        let args = [
            "serve",
            "--charter",
            text(&charter.envelope),
            "--anchors",
            text(&charter.anchors),
            "--collateral",
            text(&charter.collateral),
            "--listen",
            &listen,
            "--port-file",
            text(&port_file),
        ];
        let mut broker = party.spawn(layout, &args).await?;
        appear(&port_file, &mut broker, "tiltyard-broker serve").await?;
        others.push(broker);
    }
    let control = layout.path("simulator.sock");
    let mut simulator = service(
        layout,
        "tiltyard-simulator",
        &[
            "serve",
            "--seed-file",
            text(&charter.simulator_seed),
            "--product",
            "turin",
            "--report-version",
            "5",
            "--key-cache",
            text(&layout.cache),
            "--control",
            text(&control),
        ],
    )?;
    appear(&control, &mut simulator, "tiltyard-simulator serve").await?;
    others.push(simulator);

    let stop_file = layout.path("host.stop");
    let api_port = layout.path("api.port");
    let mut host = service(
        layout,
        "tiltyard",
        &[
            "run",
            "--dir",
            text(&layout.path("host")),
            "--charter",
            text(&charter.envelope),
            "--objects",
            text(&layout.objects()),
            "--roll",
            text(&parties.roll),
            "--enclave",
            text(&layout.program("tiltyard-enclave")),
            "--simulator",
            text(&control),
            "--slots",
            SLOTS,
            "--port-file",
            text(&api_port),
            "--until-file",
            text(&stop_file),
            "--output",
            "json",
        ],
    )?;
    appear(&api_port, &mut host, "tiltyard run").await?;
    let local_port = layout.path("connect.port");
    let referee = read_port(&api_port)?;
    let mut connect = service(
        layout,
        "tiltyard",
        &[
            "connect",
            "--to",
            &format!("127.0.0.1:{referee}"),
            "--charter",
            text(&charter.envelope),
            "--anchors",
            text(&charter.anchors),
            "--port-file",
            text(&local_port),
            "--output",
            "json",
        ],
    )?;
    appear(&local_port, &mut connect, "tiltyard connect").await?;
    let connect_port = read_port(&local_port)?;
    others.push(connect);
    Ok(Services { connect_port, stop_file, host, _others: others })
}

/// Follows the log through the attested API until the record is signed; keeps the bundle.
pub(crate) async fn watch(
    layout: &Layout,
    services: Services,
    show: &mut Show,
) -> Result<Outcome, DemoError> {
    let mut services = services;
    let begun = Instant::now();
    let mut seen: usize = 0;
    let mut story = Story::default();
    tokio::spawn(guests_to_log(services.host.stdout.take(), layout.path("host.events.jsonl")));
    let port = services.connect_port;
    loop {
        if let Ok(Some(status)) = services.host.try_wait() {
            return Err(DemoError::Undecided(format!(
                "the host agent ended early: {status}; see host.events.jsonl"
            )));
        }
        if begun.elapsed() > TOURNAMENT_WAIT {
            return Err(DemoError::Undecided("it took too long; see host.events.jsonl".to_owned()));
        }
        let path = match seen.checked_sub(1) {
            Some(last) => format!("/v1/log/entries?limit=100&after={last}"),
            None => "/v1/log/entries?limit=100".to_owned(),
        };
        if let Ok((200, body)) = get(port, &path).await {
            let page: Value = parse(&body)?;
            for leaf in page["data"].as_array().into_iter().flatten() {
                seen += 1;
                story.tell(leaf, show);
            }
        }
        if matches!(get(port, "/v1/record").await, Ok((200, _))) {
            break;
        }
        sleep(POLL).await;
    }
    let (_, bundle) = expect(port, "/v1/bundle").await?;
    super::parties::write(&layout.path("bundle.tar"), &bundle)?;
    let standings = parse(&expect(port, "/v1/standings").await?.1)?;
    let tournament = parse(&expect(port, "/v1/tournament").await?.1)?;
    super::parties::write(&layout.path("standings.html"), &expect(port, "/").await?.1)?;
    super::parties::write(&services.stop_file, b"")?;
    // The agent ends its guests and leaves its journal tidy; if it lingers, dropping it ends it.
    let _ = tokio::time::timeout(Duration::from_secs(20), services.host.wait()).await;
    Ok(Outcome { standings, tournament })
}

/// Names of submissions, so that leaves can be told in words.
#[derive(Default)]
struct Story {
    labels: BTreeMap<String, String>,
}

impl Story {
    fn name(&self, submission: &Value) -> String {
        let id = submission.as_str().unwrap_or("?");
        self.labels.get(id).cloned().unwrap_or_else(|| id.chars().take(8).collect())
    }

    fn tell(&mut self, leaf: &Value, show: &mut Show) {
        let body = &leaf["body"];
        let line = match leaf["type"].as_str().unwrap_or_default() {
            "entry" => {
                let label = body["label"].as_str().unwrap_or("?").to_owned();
                self.labels.insert(body["submission"].as_str().unwrap_or_default().to_owned(), label.clone());
                let defends = if body["champion"].is_null() { "" } else { " (defends the title)" };
                format!("  entered   {label}{defends}")
            }
            "fixture" => {
                let task = &body["task"];
                let names: Vec<String> =
                    task["participants"].as_array().into_iter().flatten().map(|id| self.name(id)).collect();
                format!(
                    "  fixture   {} on {}: {}",
                    plain(&task["id"]),
                    plain(&task["dataset"]),
                    names.join(", ")
                )
            }
            "order" => match body["submission"].is_null() {
                true => format!("  evaluate  {} (attempt {})", plain(&body["task"]), body["attempt"]),
                false => format!(
                    "  train     {} {} (attempt {})",
                    plain(&body["task"]),
                    self.name(&body["submission"]),
                    body["attempt"]
                ),
            },
            "outcome" if body["role"] == "train" => format!(
                "  trained   {} {}: {}",
                plain(&body["task"]),
                self.name(&body["submission"]),
                plain(&body["status"])
            ),
            "outcome" => self.scores(body),
            "round_settled" => format!("  settled   {}", self.round(&body["result"])),
            "decided" => {
                format!("  decided   title {}: {}", plain(&body["ending"]), self.name(&body["holder"]))
            }
            _ => return show.fact_for_programs(&json!({"event": "leaf", "leaf": leaf})),
        };
        show.fact(&line, &json!({"event": "leaf", "leaf": leaf}));
    }

    fn scores(&self, body: &Value) -> String {
        let mut line = format!(
            "  scored    {}: held-out loss before {}",
            plain(&body["task"]),
            decimal(&body["base"]["score"])
        );
        for score in body["scores"].as_array().into_iter().flatten() {
            let after =
                if score["score"].is_null() { plain(&score["status"]) } else { decimal(&score["score"]) };
            line.push_str(&format!("; {} {after}", self.name(&score["submission"])));
        }
        line
    }

    fn round(&self, result: &Value) -> String {
        let advanced: Vec<String> =
            result["advance"].as_array().into_iter().flatten().map(|id| self.name(id)).collect();
        match advanced.is_empty() {
            true => format!("round {}", result["round"]),
            false => format!("round {}: {} go on", result["round"], advanced.join(", ")),
        }
    }
}

/// A score in steps of 1e-4, as a decimal.
fn decimal(steps: &Value) -> String {
    steps
        .as_i64()
        .map_or_else(|| "none".to_owned(), |steps| format!("{}.{:04}", steps / 10_000, steps.abs() % 10_000))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The agent's own events: who was started, who ended and how. Kept beside the demo's results.
async fn guests_to_log(stdout: Option<tokio::process::ChildStdout>, path: PathBuf) {
    let Some(stdout) = stdout else { return };
    let mut lines = BufReader::new(stdout).lines();
    let mut kept = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        kept.push_str(&line);
        kept.push('\n');
        // Telling is best effort: the demo goes on without its log.
        let _ = tokio::fs::write(&path, &kept).await;
    }
}

fn service(layout: &Layout, program: &str, args: &[&str]) -> Result<Child, DemoError> {
    Command::new(layout.program(program))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| io(program, source))
}

/// Waits for a file that a service writes once it is up.
async fn appear(path: &Path, child: &mut Child, program: &str) -> Result<(), DemoError> {
    let begun = Instant::now();
    while begun.elapsed() < START_WAIT {
        if path.exists() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            let stderr = match child.stderr.take() {
                Some(mut stderr) => {
                    let mut said = String::new();
                    // What it said helps; that it ended is the error.
                    let _ = tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut said).await;
                    said
                }
                None => String::new(),
            };
            return Err(DemoError::Program {
                program: program.to_owned(),
                status: status.to_string(),
                stderr,
            });
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(answer(program, "did not come up in time"))
}

fn read_port(path: &Path) -> Result<u16, DemoError> {
    let written = std::fs::read_to_string(path).map_err(|source| io("port file", source))?;
    written
        .trim()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .ok_or_else(|| answer("port file", "expected a port"))
}

async fn expect(port: u16, path: &str) -> Result<(u16, Bytes), DemoError> {
    match get(port, path).await {
        Ok((200, body)) => Ok((200, body)),
        Ok((status, body)) => Err(answer(path, &format!("{status}: {}", String::from_utf8_lossy(&body)))),
        Err(error) => Err(answer(path, &error)),
    }
}

async fn get(port: u16, path: &str) -> Result<(u16, Bytes), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| text(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header("host", format!("127.0.0.1:{port}"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| text(&error))?;
    let response = sender.send_request(request).await.map_err(|error| text(&error))?;
    let status = response.status().as_u16();
    let body =
        Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await.map_err(|error| text(&error))?;
    Ok((status, body.to_bytes()))
}

fn parse(body: &[u8]) -> Result<Value, DemoError> {
    serde_json::from_slice(body).map_err(|error| answer("attested API", &error.to_string()))
}
