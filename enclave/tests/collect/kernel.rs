//! A guest's kernel, played: configfs-tsm served through FIFOs, one script an entry, and the other places as files.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use tiltyard_attestation::Hex;
use tiltyard_enclave::collect::{CollectError, Collected, Collector, Gpus, Places, Reader};

pub(crate) const ASKED: Hex<64> = Hex([0x5a; 64]);
pub(crate) const REPORT_LEN: usize = 1184;

/// What an attribute is when the guest opens it.
#[derive(Clone)]
pub(crate) enum Attribute {
    Holds(Vec<u8>),
    LinksTo(PathBuf),
    Absent,
}

/// How one entry answers.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) provider: Attribute,
    /// `generation` before the write and after it.
    pub(crate) generations: [&'static str; 2],
    pub(crate) outblob: Attribute,
    pub(crate) auxblob: Attribute,
}

impl Script {
    pub(crate) fn snp(report: Vec<u8>, table: Vec<u8>) -> Self {
        Self {
            provider: Attribute::Holds(b"sev_guest\n".to_vec()),
            generations: ["0\n", "1\n"],
            outblob: Attribute::Holds(report),
            auxblob: Attribute::Holds(table),
        }
    }

    /// As a kernel with a TDX driver has it: no `auxblob`.
    pub(crate) fn tdx(buffer: Vec<u8>) -> Self {
        Self {
            provider: Attribute::Holds(b"tdx_guest\n".to_vec()),
            generations: ["0\n", "1\n"],
            outblob: Attribute::Holds(buffer),
            auxblob: Attribute::Absent,
        }
    }
}

/// A report over `ASKED`, with its HOST_DATA.
pub(crate) fn report(host_data: u8) -> Vec<u8> {
    let mut report = vec![0; REPORT_LEN];
    report[0x50..0x90].copy_from_slice(ASKED.bytes());
    report[0xC0..0xE0].fill(host_data);
    report
}

/// One machine's places, all of them empty at first.
pub(crate) struct Machine {
    folder: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            tsm: vec![self.at("tsm"), self.at("configfs")],
            sev_guest: self.at("sev-guest"),
            ccel_table: self.at("CCEL"),
            ccel_log: self.at("CCEL-data"),
            gpus: Gpus { pci: self.at("pci"), library: self.at("libnvidia-ml.so.1") },
            reader: Reader { program: self.at("reader"), deadline: Duration::from_secs(20) },
        }
    }

    /// Serves the scripts in turn, one for each directory that the guest makes.
    pub(crate) fn serves(&self, scripts: Vec<Script>) {
        let root = self.at("tsm");
        fs::create_dir(&root).unwrap();
        thread::spawn(move || {
            let mut seen = BTreeSet::new();
            for script in scripts {
                let Some(entry) = next_entry(&root, &mut seen) else { return };
                // The guest may give up half way, and the machine with it.
                let _ = serve(&entry, &script);
            }
        });
    }

    pub(crate) fn collect(&self) -> Result<Collected, CollectError> {
        Collector::find(self.places())?.cpu("entry", &ASKED)
    }

    /// A program in the reader's place: a shell script that another process wrote, so that no descriptor of ours
    /// keeps it from being started.
    pub(crate) fn reader(&self, script: &str) {
        let mut writer = std::process::Command::new("/bin/sh")
            .args(["-c", "cat > \"$1\" && chmod 700 \"$1\"", "sh"])
            .arg(self.at("reader"))
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
    }
}

fn next_entry(root: &Path, seen: &mut BTreeSet<OsString>) -> Option<PathBuf> {
    loop {
        for entry in fs::read_dir(root).ok()? {
            let name = entry.ok()?.file_name();
            if seen.insert(name.clone()) {
                return Some(root.join(name));
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn serve(entry: &Path, script: &Script) -> std::io::Result<()> {
    let private = Mode::S_IRUSR | Mode::S_IWUSR;
    for name in ["generation", "inblob"] {
        mkfifo(&entry.join(name), private)?;
    }
    for (name, attribute) in [("outblob", &script.outblob), ("auxblob", &script.auxblob)] {
        match attribute {
            Attribute::Holds(_) => mkfifo(&entry.join(name), private)?,
            Attribute::LinksTo(target) => symlink(target, entry.join(name))?,
            Attribute::Absent => {}
        }
    }
    // The guest waits for this one, so it comes last and whole.
    match &script.provider {
        Attribute::Holds(bytes) => {
            fs::write(entry.join(".provider"), bytes)?;
            fs::rename(entry.join(".provider"), entry.join("provider"))?;
        }
        Attribute::LinksTo(target) => symlink(target, entry.join("provider"))?,
        Attribute::Absent => return Ok(()),
    }
    say(entry, "generation", script.generations[0].as_bytes())?;
    if script.generations[0] != "0\n" {
        // The guest asks nothing more of an entry that it finds used.
        return Ok(());
    }
    let mut asked = Vec::new();
    File::open(entry.join("inblob"))?.read_to_end(&mut asked)?;
    fs::write(entry.join(".asked"), asked)?;
    for (name, attribute) in [("outblob", &script.outblob), ("auxblob", &script.auxblob)] {
        if let Attribute::Holds(bytes) = attribute {
            say(entry, name, bytes)?;
        }
    }
    say(entry, "generation", script.generations[1].as_bytes())
}

fn say(entry: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    // Opening waits for the reader.
    match fs::OpenOptions::new().write(true).open(entry.join(name))?.write_all(bytes) {
        // A reader that has enough goes away.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
