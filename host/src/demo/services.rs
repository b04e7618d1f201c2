//! What runs while a tournament is held: two brokers, the simulator, the host agent, a client's connection.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::charter::Agreed;
use super::parties::{Parties, Party, answer, broker_command, send_passphrase, text, write};
use super::{DemoError, Layout, io};

/// How long a service may take to come up.
const START_WAIT: Duration = Duration::from_secs(60);
/// How long the host agent may take to end its guests.
const STOP_WAIT: Duration = Duration::from_secs(20);
const AGENT: &str = "agent";
const ANSWER_MAX_BYTES: usize = 256 << 20;

/// Everything that runs; dropping it stops it.
pub struct Services {
    agent: Child,
    connect: Child,
    agent_port: u16,
    connect_port: u16,
    simulator: Child,
    _brokers: Vec<Child>,
    stop_file: PathBuf,
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Starts brokers, simulator, host agent and the client's connection.
pub async fn start(layout: &Layout, parties: &Parties, charter: &Agreed) -> Result<Services, DemoError> {
    let mut brokers = Vec::new();
    for (name, party, port) in
        [("owner", &parties.owner, charter.ports[0]), ("operator", &parties.operator, charter.ports[1])]
    {
        brokers.push(serve_broker(layout, party, name, charter, port).await?);
    }
    let control = control(layout);
    let arguments = [
        "serve",
        "--seed-file",
        text(&charter.simulator_seed),
        "--product",
        "turin",
        "--report-version",
        "5",
        "--key-cache",
        text(layout.cache()),
        "--control",
        text(&control),
    ];
    let mut command = Command::new(layout.program("tiltyard-simulator"));
    command.args(arguments);
    let mut simulator = spawn(layout, command, "simulator")?;
    appear(layout, &control, &mut simulator, "simulator").await?;

    let (agent, agent_port) = start_agent(layout, parties, charter).await?;
    let (connect, connect_port) = start_connect(layout, charter, agent_port).await?;
    Ok(Services {
        agent,
        connect,
        agent_port,
        connect_port,
        simulator,
        _brokers: brokers,
        stop_file: stop_file(layout),
    })
}

impl Services {
    /// Process id of `tiltyard run`; none once it was reaped.
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent.id()
    }

    /// Process id of the simulator; none once it was reaped.
    pub fn simulator_pid(&self) -> Option<u32> {
        self.simulator.id()
    }

    /// Where the host relays raw connections to the referee.
    pub fn agent_port(&self) -> u16 {
        self.agent_port
    }

    /// Where `tiltyard connect` offers the attested API.
    pub fn connect_port(&self) -> u16 {
        self.connect_port
    }

    /// How the host agent ended, if it has.
    pub fn agent_ended(&mut self) -> Option<ExitStatus> {
        self.agent.try_wait().ok().flatten()
    }

    /// Waits until the host agent has ended by itself; none if it doesn't in time.
    pub async fn agent_end(&mut self, wait: Duration) -> Option<ExitStatus> {
        timeout(wait, self.agent.wait()).await.ok()?.ok()
    }

    /// SIGKILL to the host agent, as a crash of the machine's software would end it.
    pub async fn kill_agent(&mut self) -> Result<(), DemoError> {
        self.agent.kill().await.map_err(|source| io("tiltyard run", source))
    }

    /// Starts the host agent again on the state that the one before left, and the client's connection to it.
    pub async fn restart_agent(
        &mut self,
        layout: &Layout,
        parties: &Parties,
        charter: &Agreed,
    ) -> Result<(), DemoError> {
        (self.agent, self.agent_port) = start_agent(layout, parties, charter).await?;
        (self.connect, self.connect_port) = start_connect(layout, charter, self.agent_port).await?;
        Ok(())
    }

    /// Asks through `tiltyard connect`.
    pub async fn get(&self, path: &str) -> Result<Answer, DemoError> {
        let host = format!("127.0.0.1:{}", self.connect_port);
        get(self.connect_port, &host, path).await.map_err(|what| answer(path, &what))
    }

    /// Asks through `tiltyard connect`, with another `Host` header than the right one.
    pub async fn get_as(&self, host: &str, path: &str) -> Result<Answer, DemoError> {
        get(self.connect_port, host, path).await.map_err(|what| answer(path, &what))
    }

    /// The agent ends its guests and leaves its journal tidy; if it lingers, dropping it ends it.
    pub async fn stop(mut self) -> Result<(), DemoError> {
        write(&self.stop_file, b"")?;
        let _ = timeout(STOP_WAIT, self.agent.wait()).await;
        Ok(())
    }
}

/// The command line of the host agent on one state directory, program first.
pub fn agent_command(
    layout: &Layout,
    parties: &Parties,
    charter: &Agreed,
    state: &Path,
    port_file: &Path,
) -> Vec<String> {
    let own = |path: &Path| text(path).to_owned();
    let mut line = vec![own(&layout.program("tiltyard")), "run".to_owned()];
    for (option, value) in [
        ("--dir", own(state)),
        ("--charter", own(&charter.envelope)),
        ("--objects", own(&layout.objects())),
        ("--roll", own(&parties.roll)),
        ("--enclave", own(&layout.program("tiltyard-enclave"))),
        ("--simulator", own(&control(layout))),
        ("--slots", layout.scenario().slots.to_string()),
        ("--port-file", own(port_file)),
        ("--until-file", own(&stop_file(layout))),
        ("--output", "json".to_owned()),
    ] {
        line.extend([option.to_owned(), value]);
    }
    line
}

async fn start_agent(
    layout: &Layout,
    parties: &Parties,
    charter: &Agreed,
) -> Result<(Child, u16), DemoError> {
    let port_file = layout.path("api.port");
    forget(&port_file)?;
    let line = agent_command(layout, parties, charter, &layout.host(), &port_file);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    let mut agent = spawn(layout, command, AGENT)?;
    appear(layout, &port_file, &mut agent, AGENT).await?;
    Ok((agent, read_port(&port_file)?))
}

async fn start_connect(layout: &Layout, charter: &Agreed, referee: u16) -> Result<(Child, u16), DemoError> {
    let port_file = layout.path("connect.port");
    forget(&port_file)?;
    let mut command = Command::new(layout.program("tiltyard"));
    command.args([
        "connect",
        "--to",
        &format!("127.0.0.1:{referee}"),
        "--charter",
        text(&charter.envelope),
        "--anchors",
        text(&charter.anchors),
        "--port-file",
        text(&port_file),
        "--output",
        "json",
    ]);
    let mut connect = spawn(layout, command, "connect")?;
    appear(layout, &port_file, &mut connect, "connect").await?;
    Ok((connect, read_port(&port_file)?))
}

async fn serve_broker(
    layout: &Layout,
    party: &Party,
    name: &str,
    charter: &Agreed,
    port: u16,
) -> Result<Child, DemoError> {
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
    let mut command = broker_command(layout, &party.dir, &args);
    print_to(layout, &mut command, name)?;
    let mut broker = command.kill_on_drop(true).spawn().map_err(|source| io("tiltyard-broker", source))?;
    send_passphrase(&mut broker, party.passphrase()).await?;
    appear(layout, &port_file, &mut broker, name).await?;
    Ok(broker)
}

fn spawn(layout: &Layout, mut command: Command, name: &str) -> Result<Child, DemoError> {
    print_to(layout, &mut command, name)?;
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().map_err(|source| io(name, source))
}

/// What a service prints goes to files: nobody reads a pipe for as long as it runs.
fn print_to(layout: &Layout, command: &mut Command, name: &str) -> Result<(), DemoError> {
    let open = |path: PathBuf| {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| io("log of a service", source))
    };
    let out: File = open(output_log(layout, name))?;
    command.stdout(out).stderr(open(error_log(layout, name))?);
    Ok(())
}

/// Services answer in JSON: the agent's events, everybody's errors.
fn output_log(layout: &Layout, name: &str) -> PathBuf {
    if name == AGENT { layout.events() } else { layout.logs().join(format!("{name}.out")) }
}

fn error_log(layout: &Layout, name: &str) -> PathBuf {
    layout.logs().join(format!("{name}.err"))
}

fn last_words(layout: &Layout, name: &str) -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (said, printed) = (read(error_log(layout, name)), read(output_log(layout, name)));
    format!("{said}{}", printed.lines().last().unwrap_or_default())
}

/// Waits for a file that a service writes once it is up.
async fn appear(layout: &Layout, path: &Path, child: &mut Child, name: &str) -> Result<(), DemoError> {
    let begun = Instant::now();
    while begun.elapsed() < START_WAIT {
        if path.exists() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(DemoError::Program {
                program: name.to_owned(),
                status: status.to_string(),
                // What it said helps; that it ended is the error.
                stderr: last_words(layout, name),
            });
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(answer(name, "did not come up in time"))
}

fn control(layout: &Layout) -> PathBuf {
    layout.path("simulator.sock")
}

fn stop_file(layout: &Layout) -> PathBuf {
    layout.path("host.stop")
}

fn forget(path: &Path) -> Result<(), DemoError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("port file", error)),
        _ => Ok(()),
    }
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

async fn get(port: u16, host: &str, path: &str) -> Result<Answer, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| text(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header("host", host)
        .body(Empty::<Bytes>::new())
        .map_err(|error| text(&error))?;
    let response = sender.send_request(request).await.map_err(|error| text(&error))?;
    let status = response.status().as_u16();
    let body =
        Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await.map_err(|error| text(&error))?;
    Ok(Answer { status, body: body.to_bytes().into() })
}
