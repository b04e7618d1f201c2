//! Whole files through the programs: the sealed container beside the tools that people seal files with.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::measure::{Leg, Row, Samples, Unit, interleave};

const FILE_MIB: usize = 1024;
const ROUNDS: usize = 3;
/// Source, sealed form and opened form of each program at once.
const NEEDED_BYTES: u64 = 12 << 30;
const FIGURES: [&str; 2] = ["container seal, 1 GiB file", "container open, 1 GiB file"];

/// One program's command line, and the most memory that it had.
struct Program {
    name: &'static str,
    /// Least share of this peer's speed that is promised.
    target: Option<f64>,
    command: Box<dyn Fn() -> Command>,
    /// What it makes: not there when it begins, as nobody pays for the old one's end.
    out: PathBuf,
    used: Used,
}

#[derive(Default)]
struct Used {
    cpu: Vec<Duration>,
    rss_kib: u64,
}

/// Seal and open a file of 1 GiB: ours by one thread and by two, `age`, `openssl` and a copy.
pub(crate) fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let skipped =
        |why: &str| FIGURES.map(|figure| Row::Skipped { figure: figure.into(), why: why.into() }).into();
    let broker = std::env::current_exe()?.with_file_name("tiltyard-broker");
    if !broker.is_file() {
        return Ok(skipped("tiltyard-broker is not built beside this program"));
    }
    let there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    if !there("age") || !there("openssl") {
        return Ok(skipped("age or openssl is not there: install them with the system's package manager"));
    }
    let folder = Folder::new()?;
    let free = nix::sys::statvfs::statvfs(&folder.0)?;
    if free.blocks_available() * free.fragment_size() < NEEDED_BYTES {
        return Ok(skipped("12 GiB of free disk are needed"));
    }
    folder.write_source()?;
    let identity = String::from_utf8(Command::new("age-keygen").output()?.stdout)?;
    fs::write(folder.path("identity"), &identity)?;
    let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap_or_default();
    fs::write(folder.path("recipient"), recipient)?;
    fs::write(folder.path("key"), [7; 32])?;

    let ours = |verb: &'static str, from: &str, to: &str, threads: &'static str| {
        let (broker, key) = (broker.clone(), folder.path("key"));
        let (from, to) = (folder.path(from), folder.path(to));
        command(move || {
            let mut command = Command::new(&broker);
            command.args(["container", verb, "--context", CONTEXT, "--threads", threads]);
            command.arg("--key-file").arg(&key).arg("--input").arg(&from).arg("--out").arg(&to);
            command
        })
    };
    let tool = |program: &'static str, args: Vec<String>| {
        command(move || {
            let mut command = Command::new(program);
            command.args(&args);
            command
        })
    };
    let text = |name: &str| folder.path(name).display().to_string();
    let openssl = |decrypt: bool, from: &str, to: &str| {
        // A stream cipher without authentication: what the machine's AES and disk give at most.
        let mut args: Vec<String> = ["enc", "-aes-256-ctr", "-K"].map(Into::into).into();
        args.extend([KEY_HEX.to_owned(), "-iv".into(), "0".repeat(32)]);
        args.extend(["-in".to_owned(), text(from), "-out".into(), text(to)]);
        args.extend(decrypt.then(|| "-d".to_owned()));
        tool("openssl", args)
    };
    let copy = |from: &str, to: &str| tool("cp", vec![text(from), text(to)]);
    let named = |name, target, out: &str, command| Program {
        name,
        target,
        command,
        out: folder.path(out),
        used: Used::default(),
    };

    let sealing = vec![
        named("one thread", None, "ours", ours("seal", "source", "ours", "1")),
        named("two threads", None, "ours2", ours("seal", "source", "ours2", "2")),
        // PROVISIONING 11.
        named(
            "age 1",
            Some(4.0),
            "age",
            tool(
                "age",
                ["-R", &text("recipient"), "-o", &text("age"), &text("source")].map(Into::into).into(),
            ),
        ),
        named(
            "openssl AES-256-CTR, nothing authenticated",
            None,
            "openssl",
            openssl(false, "source", "openssl"),
        ),
        named("cp", None, "copy", copy("source", "copy")),
    ];
    let opening = vec![
        named("one thread", None, "opened", ours("open", "ours", "opened", "1")),
        named("two threads", None, "opened2", ours("open", "ours", "opened2", "2")),
        named(
            "age 1",
            Some(4.0),
            "opened-age",
            tool(
                "age",
                ["-d", "-i", &text("identity"), "-o", &text("opened-age"), &text("age")]
                    .map(Into::into)
                    .into(),
            ),
        ),
        named(
            "openssl AES-256-CTR, nothing authenticated",
            None,
            "opened-openssl",
            openssl(true, "openssl", "opened-openssl"),
        ),
        named("cp", None, "copy", copy("ours", "copy")),
    ];
    let [seal, open] = FIGURES;
    let sealed = run(seal, sealing)?;
    for done in ["ours2", "copy"] {
        fs::remove_file(folder.path(done))?;
    }
    let rows = vec![sealed, run(open, opening)?];
    let same =
        |a: &str, b: &str| Ok::<_, Box<dyn Error>>(fs::read(folder.path(a))? == fs::read(folder.path(b))?);
    for opened in ["opened", "opened2", "opened-age", "opened-openssl"] {
        if !same("source", opened)? {
            return Err(format!("{opened} is not what was sealed").into());
        }
    }
    Ok(rows)
}

const CONTEXT: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const KEY_HEX: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn command(make: impl Fn() -> Command + 'static) -> Box<dyn Fn() -> Command> {
    Box::new(make)
}

/// The first program against the others.
fn run(figure: &str, mut programs: Vec<Program>) -> Result<Row, Box<dyn Error>> {
    let legs: Vec<Leg<'_>> = programs
        .iter_mut()
        .map(|Program { command, used, out, .. }| {
            let leg: Leg<'_> = Box::new(move || used.run(&mut command(), out));
            leg
        })
        .collect();
    let seconds = interleave(ROUNDS, legs)?;
    let peers: Vec<(&str, Option<f64>)> =
        programs[1..].iter().map(|program| (program.name, program.target)).collect();
    let told: Vec<String> = programs.iter().map(|program| program.used.told()).collect();
    let unit = Unit::rate(FILE_MIB as f64, "MiB");
    let checks: Vec<&str> = told[1..].iter().map(String::as_str).collect();
    Ok(Samples::of(figure, unit, seconds, &peers).checking(&told[0], &checks).row())
}

impl Used {
    /// Wall time of one run, without what was written before being on disk.
    fn run(&mut self, command: &mut Command, out: &Path) -> Result<Duration, Box<dyn Error>> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let cpu = || -> Result<Duration, Box<dyn Error>> {
            let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
            let of = |time: nix::sys::time::TimeVal| {
                Duration::from_micros(u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000)
                    + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
            };
            Ok(of(usage.user_time()) + of(usage.system_time()))
        };
        if out.exists() {
            fs::remove_file(out)?;
        }
        nix::unistd::sync();
        let (before, start) = (cpu()?, Instant::now());
        let mut child = command.spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let exit = loop {
            if let Some(exit) = child.try_wait()? {
                break exit;
            }
            let peak = fs::read_to_string(&status).unwrap_or_default();
            let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = peak.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
            self.rss_kib = self.rss_kib.max(kib);
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = start.elapsed();
        self.cpu.push(cpu()?.saturating_sub(before));
        if !exit.success() {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                std::io::Read::read_to_string(&mut stderr, &mut said)?;
            }
            return Err(format!("{command:?}: {said}").into());
        }
        Ok(took)
    }

    fn told(&self) -> String {
        let mut cpu = self.cpu.clone();
        cpu.sort_unstable();
        let median = cpu.get(cpu.len() / 2).copied().unwrap_or_default();
        format!("{:.2} s of processor time, {} MiB of memory", median.as_secs_f64(), self.rss_kib / 1024)
    }
}

/// Removed with all that is in it.
struct Folder(PathBuf);

impl Folder {
    /// In memory where there is room, so that the programs are compared and not the disk.
    fn new() -> Result<Self, Box<dyn Error>> {
        let room = |path: &str| {
            let free = nix::sys::statvfs::statvfs(path).ok()?;
            (free.blocks_available() * free.fragment_size() >= NEEDED_BYTES).then(|| PathBuf::from(path))
        };
        let path = room("/dev/shm").unwrap_or_else(|| "target/bench".into());
        let path = path.join(format!("tiltyard-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path.canonicalize()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write_source(&self) -> Result<(), Box<dyn Error>> {
        let mut file = BufWriter::new(File::create(self.path("source"))?);
        let mut block = vec![0; 1 << 20];
        let rng = SystemRandom::new();
        for _ in 0..FILE_MIB {
            rng.fill(&mut block)?;
            file.write_all(&block)?;
        }
        Ok(file.flush()?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
