//! `tiltyard run` with stand-in guests: orders, outcomes, log, restart; and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::{Entries, RollEntry};
use tiltyard_provisioning::charter;
use tiltyard_provisioning::order::{ObjectRef, RollRow, Submission, SubmissionKind};
use tiltyard_provisioning::statement::Signed;

/// A charter, a roll and objects on disk, for guests that play these parts.
struct Field {
    dir: tempfile::TempDir,
}

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn public(key: &Ed25519KeyPair) -> Hex<32> {
    Hex::from_slice(key.public_key().as_ref()).unwrap()
}

fn stand_in() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().unwrap().parent().unwrap().join("examples/stand-in-guest");
    assert!(path.exists(), "build it: cargo build -p tiltyard-host --example stand-in-guest");
    path
}

impl Field {
    fn new(parts: &[&str], change: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let objects = dir.path().join("objects");
        std::fs::create_dir(&objects).unwrap();
        let field = Self { dir };
        let base = field.object("model", b"the base model");
        let rulebook = field.object("rulebook.toml", b"rules");
        let manifests = ["train", "test"].map(|split| field.manifest(split));
        field.roll(parts);
        field.charter(&base, &rulebook, &manifests, change);
        field
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn object(&self, name: &str, bytes: &[u8]) -> Hex<32> {
        std::fs::write(self.path("objects").join(name), bytes).unwrap();
        Hex::sha256(bytes)
    }

    fn manifest(&self, split: &str) -> Hex<32> {
        let sealed =
            |kind: &str| self.object(&format!("{split}-{kind}"), format!("sealed {split} {kind}").as_bytes());
        let (shard, index) = (sealed("shard"), sealed("index"));
        let len = |kind: &str| format!("sealed {split} {kind}").len();
        let object = |kind: &str, word: &str, index: u32| {
            json!({"name": hex(index as u8 + 1, 16), "kind": kind, "header": hex(1, 56), "len": len(word),
                "parts_root": hex(2, 32), "index": index})
        };
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": hex(1, 16), "digest": {"sha256": shard}}, {"name": hex(2, 16), "digest": {"sha256": index}}],
            "predicateType": "https://tiltyard/manifest/v1",
            "predicate": {"tenant": "acme", "dataset_id": "d1", "version": 1, "prev_manifest_sha256": null,
                "kind": "dataset", "split": split, "length_bucket": "none", "licence": "private",
                "split_commitment": hex(3, 32), "not_after": 4_000_000_000u64,
                "objects": [object("dataset", "shard", 0), object("index", "index", 1)], "keys": []},
        });
        self.object(&format!("{split}-manifest"), serde_json::to_string(&statement).unwrap().as_bytes())
    }

    fn roll(&self, parts: &[&str]) {
        let operator = key(2);
        let mut entries = Vec::new();
        for (seq, part) in parts.iter().enumerate() {
            let (entrant, content) = (key(100 + seq as u8), format!("sealed code {seq}"));
            let sha256 = self.object(&format!("code-{seq}"), content.as_bytes());
            let submission = Signed::sign(
                &Submission {
                    v: 1,
                    kind: SubmissionKind::Recipe,
                    entrant: Hex::sha256(entrant.public_key().as_ref()),
                    tournament: "spring".into(),
                    content: ObjectRef {
                        name: Hex([1; 16]),
                        header: Hex([2; 56]),
                        sha256,
                        len_bytes: content.len() as u64,
                    },
                    normalised_sha256: sha256,
                    // The stand-in guest's part.
                    licence: (*part).into(),
                    base: "tiny".into(),
                },
                &entrant,
            );
            let row = RollRow {
                entrant: Hex::sha256(entrant.public_key().as_ref()),
                label: format!("entrant {seq}"),
                submission: submission.digest(),
                seq: seq as u64,
                buy_in: 0,
                stake: 0,
                completed_entries: 0,
                log_permitted: false,
                champion: false,
            };
            entries.push(RollEntry { row: Signed::sign(&row, &operator), submission });
        }
        let roll = serde_json::to_vec(&Entries { entries }).unwrap();
        std::fs::write(self.path("roll.json"), roll).unwrap();
    }

    fn charter(
        &self,
        base: &Hex<32>,
        rulebook: &Hex<32>,
        manifests: &[Hex<32>; 2],
        change: impl FnOnce(&mut Value),
    ) {
        let (owner, operator) = (key(1), key(2));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let broker = |owner: &str, n: u8| json!({"owner": owner, "address": "127.0.0.1:9", "tls_spki_sha256": hex(n, 32), "key": hex(n, 32)});
        let dataset = |split: &str, manifest: Hex<32>| json!({"dataset_id": "d1", "split": split, "manifest_sha256": manifest, "min_version": 1});
        let image = Hex::<32>::sha256(&std::fs::read(stand_in()).unwrap());
        let mut charter = json!({
            "v": 1, "charter_id": "c1", "tenant": "acme", "version": 1, "prev": null,
            "signers": {"owner": public(&owner), "operator": public(&operator)},
            "not_before": now - 60, "not_after": now + 3600, "level": "lab", "backends": ["process"],
            "reference_values": {"images": [{"name": "stand-in", "backend": "process", "image": image,
                "measurement": hex(0, 48)}], "foreign_anchors": null},
            "tee_floor": {"snp": []}, "gpu_floor": {"count": 0}, "platforms": [],
            "tournament": {"id": "spring", "rulebook_sha256": rulebook, "roll_key": public(&operator),
                "budget": {"train_wall_s": 2, "evaluate_wall_s": 2, "memory_mib": 512, "vcpus": 1, "test_items": 8}},
            "base": {"name": "tiny", "sha256": base, "len_bytes": 14},
            "datasets": [dataset("train", manifests[0]), dataset("test", manifests[1])],
            "stages": [{"role": "referee", "keys": ["draw/spring"]},
                {"role": "trainer", "keys": ["dataset/d1/train", "submission/*"]},
                {"role": "evaluator", "keys": ["dataset/d1/test", "artefact/*"]}],
            "brokers": [broker("owner", 1), broker("operator", 2)],
            "limits": {"max_releases": 10, "lease_s": 60},
            "output": {"owner_recipient": {"kem": 0x20, "public": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
                "cap_bits": 64, "log_max_bytes": 1024, "artefact_max_bytes": 1_000_000},
            "kem_floor": "classic",
        });
        change(&mut charter);
        let payload = serde_json::to_vec(&charter).unwrap();
        let envelope = charter::sign(&payload, None, &owner).unwrap();
        let envelope = charter::sign(&payload, Some(&envelope), &operator).unwrap();
        std::fs::write(self.path("charter.json"), envelope).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiltyard"));
        command.args(["--output", "json", "run", "--grace-s", "1"]);
        for (option, name) in [
            ("dir", "state"),
            ("charter", "charter.json"),
            ("objects", "objects"),
            ("roll", "roll.json"),
            ("port-file", "port"),
        ] {
            command.arg(format!("--{option}")).arg(self.path(name));
        }
        command.arg("--enclave").arg(stand_in()).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn start(&self, command: &mut Command) -> Agent {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Agent { child, output, seen: Vec::new() }
    }

    fn leaves(&self) -> Vec<String> {
        let bytes = std::fs::read(self.path("state/log/leaves")).unwrap();
        let (mut rest, mut leaves) = (&bytes[..], Vec::new());
        while let Some((len, tail)) = rest.split_first_chunk() {
            let (leaf, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
            leaves.push(String::from_utf8(leaf.to_vec()).unwrap().trim().to_owned());
            rest = tail;
        }
        leaves
    }
}

fn hex(byte: u8, len: usize) -> String {
    format!("{byte:02x}").repeat(len)
}

struct Agent {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    seen: Vec<Value>,
}

impl Agent {
    /// Reads events until one fits.
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            let n = self.output.read_line(&mut line).unwrap();
            assert!(n > 0, "the agent ended first: {:#?}", self.seen);
            let event: Value = serde_json::from_str(&line).unwrap();
            self.seen.push(event.clone());
            if fits(&event) {
                return event;
            }
        }
    }

    fn end(&mut self) -> (Option<i32>, Vec<Value>) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        self.seen.extend(rest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is(event: &Value, name: &str) -> bool {
    event["event"] == name
}

#[test]
fn every_order_has_one_outcome_in_the_log() {
    let field = Field::new(&["report", "crash", "lie", "hang"], |_| {});
    let (code, seen) = field.start(&mut field.command()).end();
    assert_eq!(code, Some(0), "{seen:#?}");

    // order -> part, and what became of it, as the agent says and as the referee logged.
    let mut ends = BTreeMap::new();
    for event in seen.iter().filter(|event| is(event, "order")) {
        let part = event["task"].as_str().unwrap().strip_prefix("train ").unwrap().to_owned();
        if matches!(event["phase"].as_str(), Some("reported" | "lost")) {
            let code = event["code"].as_str().unwrap_or("none").to_owned();
            assert!(ends.insert(part, (event["order"].clone(), code)).is_none(), "ended twice");
        }
    }
    let code_of = |part: &str| ends[part].1.as_str();
    assert_eq!(
        [code_of("report"), code_of("crash"), code_of("lie"), code_of("hang")],
        ["none", "E_GUEST_EXITED", "E_LIED", "E_WALL"]
    );
    let mut leaves = field.leaves();
    let mut expected: Vec<String> = ends
        .values()
        .map(|(order, code)| match (order.as_str().unwrap(), code.as_str()) {
            (order, "none") => format!("report {order} 1000"),
            (order, code) => format!("lost {order} {code}"),
        })
        .collect();
    leaves.sort();
    expected.sort();
    assert_eq!(leaves, expected);
    assert!(
        std::fs::read_to_string(field.path("state/log/checkpoint")).unwrap().starts_with("stand-in\n4\n")
    );

    // The artefact is in the store; the refused object is not; nothing of the guests is left.
    let artefact = Hex::sha256(&vec![42; 100_000]);
    assert!(field.path("state/objects").join(artefact.to_string()).is_file());
    assert_eq!(std::fs::read_dir(field.path("state/incoming")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(field.path("state/guests")).unwrap().count(), 0);
    let started = seen.iter().filter(|event| is(event, "guest_started")).count();
    let ended = seen.iter().filter(|event| is(event, "guest_ended")).count();
    assert_eq!((started, ended), (5, 5));
}

#[test]
fn the_api_is_relayed_until_the_file_appears() {
    let field = Field::new(&["report"], |_| {});
    let until = field.path("enough");
    let mut agent = field.start(field.command().arg("--until-file").arg(&until));
    agent.until(|event| is(event, "state") && event["state"] == "decided");
    let address = std::fs::read_to_string(field.path("port")).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(b"\0\0\0\x06\"echo\"and what follows").unwrap();
    let mut echoed = [0; 16];
    client.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"and what follows");
    std::fs::write(&until, "").unwrap();
    let (code, seen) = agent.end();
    assert_eq!(code, Some(0), "{seen:#?}");
}

#[test]
fn a_killed_agent_goes_on_from_its_journal_and_log() {
    let field = Field::new(&["report", "hang"], |charter| {
        charter["tournament"]["budget"]["train_wall_s"] = json!(600);
    });
    let mut agent = field.start(&mut field.command());
    // One is logged and gone, the other hangs.
    let hanging = loop {
        let running = |event: &&Value| event["state"] == "running" && event["role"] == "trainer";
        let gone: Vec<&Value> = agent.seen.iter().filter(|event| is(event, "guest_ended")).collect();
        let logged = agent.seen.iter().any(|event| is(event, "log_append"));
        let alive = agent.seen.iter().filter(running).find(|event| {
            logged && !gone.is_empty() && gone.iter().all(|other| other["lease"] != event["lease"])
        });
        match alive {
            Some(event) => break event["order"].clone(),
            None => drop(agent.until(|_| true)),
        }
    };
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    assert_eq!(field.leaves().len(), 1);

    let mut agent = field.start(&mut field.command());
    let left = agent.until(|event| is(event, "recovered") && !event["order"].is_null());
    assert_eq!(left["order"], hanging);
    // The referee is given its log, is told of the loss, and appends after what was there.
    let append = agent.until(|event| is(event, "log_append"));
    assert_eq!(append["first"], 1);
    let wait = Instant::now();
    while !field
        .leaves()
        .iter()
        .any(|leaf| *leaf == format!("lost {} E_HOST_RESTARTED", hanging.as_str().unwrap()))
    {
        assert!(wait.elapsed() < Duration::from_secs(30), "{:?}", field.leaves());
        std::thread::sleep(Duration::from_millis(20));
    }

    // A second agent on the same state is refused, and names the first.
    let second = field.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stdout).unwrap();
    assert!(said.contains(&format!("in use by process {}", agent.child.id())), "{said}");
}

#[test]
fn what_does_not_fit_is_refused_before_a_guest_starts() {
    let refused = |field: &Field, options: &[&str]| {
        let out = field.command().args(options).output().unwrap();
        assert_eq!(out.status.code(), Some(1));
        let said = String::from_utf8(out.stdout).unwrap();
        assert!(!said.contains("guest_started"), "{said}");
        said
    };
    let expired = Field::new(&[], |charter| {
        charter["not_before"] = json!(1000);
        charter["not_after"] = json!(2000);
    });
    assert!(refused(&expired, &[]).contains("expired"));

    let cut = Field::new(&[], |_| {});
    std::fs::write(cut.path("objects").join(hex(7, 32)), "not that").unwrap();
    assert!(refused(&cut, &[]).contains("its content is"));

    let missing = Field::new(&[], |_| {});
    std::fs::remove_file(missing.path("objects/rulebook.toml")).unwrap();
    assert!(refused(&missing, &[]).contains("rulebook"));

    let forged = Field::new(&[], |_| {});
    let envelope = std::fs::read_to_string(forged.path("charter.json")).unwrap();
    let mut envelope: Value = serde_json::from_str(&envelope).unwrap();
    envelope["signatures"][0]["sig"] = envelope["signatures"][1]["sig"].clone();
    std::fs::write(forged.path("charter.json"), envelope.to_string()).unwrap();
    assert!(refused(&forged, &[]).contains("charter"));

    let silent = Field::new(&[], |_| {});
    let socket = silent.path("no-simulator");
    assert!(refused(&silent, &["--simulator", socket.to_str().unwrap()]).contains("simulator"));
}

#[test]
fn a_dry_run_shows_the_plan_and_starts_nothing() {
    let field = Field::new(&[], |_| {});
    let dry = |role: &str| {
        Command::new(env!("CARGO_BIN_EXE_tiltyard"))
            .args(["launch", "--dry-run", "--output", "json", "--role", role, "--lease", &hex(4, 16)])
            .arg("--charter")
            .arg(field.path("charter.json"))
            .arg("--enclave")
            .arg(stand_in())
            .arg("--disk")
            .arg(field.path("objects/model"))
            .output()
            .unwrap()
    };
    let out = dry("referee");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let planned: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(planned["argv"][1], "guest-init");
    assert_eq!(planned["expected"]["image"].as_str().unwrap().len(), 64);
    // The same but for this process's id, which the guest is bound to.
    let again: Value = serde_json::from_slice(&dry("referee").stdout).unwrap();
    assert_eq!((&again["config"], &again["expected"]), (&planned["config"], &planned["expected"]));
    assert_eq!(dry("trainer").status.code(), Some(1));
    let usage = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_tiltyard")).args(args).output().unwrap();
    assert_eq!(usage(&["launch"]).status.code(), Some(2));
    let usage = usage(&["launch", "--output=json", "--no-such"]);
    let told: Value = serde_json::from_slice(&usage.stdout).unwrap();
    assert_eq!((usage.status.code(), &told["event"]), (Some(2), &Value::from("error")));
    assert!(told["what"].as_str().unwrap().contains("--no-such"), "{told}");
}

#[test]
fn a_path_is_no_place_for_surprises() {
    // The state directory may be given relative; guests' directories are absolute all the same.
    let field = Field::new(&[], |_| {});
    let mut command = field.command();
    command.current_dir(field.dir.path()).arg("--until-file").arg(Path::new("stop"));
    let mut agent = field.start(&mut command);
    agent.until(|event| is(event, "state") && event["state"] == "running");
    std::fs::write(field.path("stop"), "").unwrap();
    // Ended before a decision.
    assert_eq!(agent.end().0, Some(1));
}
