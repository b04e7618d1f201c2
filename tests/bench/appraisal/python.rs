//! NVIDIA's Python verifier as a process that is kept: it answers one line for one line (tests/peers/nvidia.py).

use std::error::Error;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

const SCRIPT: &str = "tests/peers/nvidia.py";

pub(crate) struct Python {
    child: Child,
    /// None once it was told to end.
    to: Option<ChildStdin>,
    from: Lines<BufReader<ChildStdout>>,
}

#[derive(Deserialize)]
struct Answer {
    passed: bool,
    /// From bytes in memory to the verdict, by the process's own clock: neither its start nor the pipe counts.
    seconds: f64,
}

impl Python {
    /// Starts it; an error says why there is no such peer here.
    pub(crate) fn start() -> Result<Self, String> {
        let python = |argument: &str| {
            let mut command = Command::new("python3");
            command.args([SCRIPT, argument]);
            command
        };
        let absent = |error: std::io::Error| format!("python3: {error}");
        // It may ask at the terminal whether it may fetch its packages; our own output may be a file.
        let fetched = python("--fetch").stdout(std::io::stderr()).status().map_err(absent)?;
        if !fetched.success() {
            return Err(format!(
                "its pinned packages are not here ({fetched}, its reason on stderr); run `python3 {SCRIPT} --fetch`, \
                 at a terminal or with CI=true"
            ));
        }
        let mut child = python("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(absent)?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes to python3".into());
        };
        let mut python = Self { child, to: Some(to), from: BufReader::new(from).lines() };
        match python.from.next() {
            Some(Ok(line)) if line == "ready" => Ok(python),
            _ => Err("the verifier did not start; `python3 tests/peers/nvidia.py FOLDER` says why".into()),
        }
    }

    /// Its own time for the set in `folder`, which it must pass.
    pub(crate) fn appraise(&mut self, folder: &Path) -> Result<Duration, Box<dyn Error>> {
        let to = self.to.as_mut().ok_or("python3 was told to end")?;
        writeln!(to, "{}", folder.display())?;
        let line = self.from.next().ok_or("python3 ended")??;
        let Answer { passed, seconds } = serde_json::from_str(&line)?;
        if passed {
            Ok(Duration::from_secs_f64(seconds))
        } else {
            Err(format!("NVIDIA's verifier refused {}", folder.display()).into())
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends with its input.
        self.to = None;
        let _ = self.child.wait();
    }
}
