//! The simulator's report interface, asked as a guest asks a kernel, and its control socket.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tiltyard_attestation::binding::Runtime;
use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::measure::process_measurement;
use tiltyard_attestation::policy::{GpuFloor, Level, Product, SnpFloor, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{AppraisalPolicy, Backend, Hex, LaunchConfig, Role, TrustAnchors, Verifier};
use tiltyard_simulator::mint::{Guest, mint_evidence, sample_config};
use tiltyard_simulator::report::newest_tcb;
use tiltyard_simulator::tsm::{ENTRIES_MAX, GuestIdentity, Served, serve};
use tiltyard_simulator::{NOTICE, SimulatedPlatform};

const SIMULATOR: &str = env!("CARGO_BIN_EXE_tiltyard-simulator");
const SEED: [u8; 32] = [0x5a; 32];
const PATIENCE: Duration = Duration::from_secs(10);

fn platform() -> Arc<SimulatedPlatform> {
    static PLATFORM: OnceLock<Arc<SimulatedPlatform>> = OnceLock::new();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let make =
        || Arc::new(SimulatedPlatform::from_seed(&SEED, Product::Genoa, Some(cache)).expect("platform"));
    Arc::clone(PLATFORM.get_or_init(make))
}

fn identity() -> GuestIdentity {
    GuestIdentity { measurement: Hex([0x4d; 48]), host_data: Hex([0x48; 32]), report_version: 3 }
}

fn served() -> (TempDir, Served) {
    let folder = TempDir::new().expect("folder");
    let served = serve(platform(), identity(), folder.path()).expect("served");
    (folder, served)
}

/// One entry, used as configfs-tsm is used.
struct Entry(PathBuf);

impl Entry {
    fn create(root: &Path, name: &str) -> Self {
        let folder = root.join("report").join(name);
        DirBuilder::new().mode(0o700).create(&folder).expect("mkdir");
        wait_until("provider appears", || folder.join("provider").exists());
        Self(folder)
    }

    fn ask(&self, inblob: &[u8]) {
        let mut file = OpenOptions::new().write(true).open(self.0.join("inblob")).expect("inblob");
        file.write_all(inblob).expect("write inblob");
    }

    fn read(&self, attribute: &str) -> Vec<u8> {
        fs::read(self.0.join(attribute)).expect(attribute)
    }

    fn generation(&self) -> u64 {
        String::from_utf8(self.read("generation")).expect("text").trim_end().parse().expect("number")
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Certificates of a GHCB table, with their GUIDs' first bytes.
fn table_certificates(table: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let word = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().expect("word")) as usize;
    (0..)
        .map(|entry| entry * 24)
        .take_while(|at| table[*at..at + 16] != [0; 16])
        .map(|at| {
            let (offset, len) = (word(at + 16), word(at + 20));
            (table[at..at + 4].try_into().expect("guid"), table[offset..offset + len].to_vec())
        })
        .collect()
}

#[test]
fn a_guest_gets_a_report_over_its_data_and_the_launchers_facts() {
    let (folder, _served) = served();
    let entry = Entry::create(folder.path(), "tiltyard-1");
    assert_eq!(entry.read("provider"), b"sev_guest\n");
    assert_eq!(entry.generation(), 0);
    entry.ask(&[0x11; 64]);
    let report = entry.read("outblob");
    assert_eq!(report.len(), 1184);
    assert_eq!(report[..4], [3, 0, 0, 0]);
    assert_eq!(report[0x50..0x90], [0x11; 64]);
    assert_eq!(report[0x90..0xC0], [0x4d; 48]);
    assert_eq!(report[0xC0..0xE0], [0x48; 32]);
    let found = table_certificates(&entry.read("auxblob"));
    let guids: Vec<_> = found.iter().map(|(guid, _)| *guid).collect();
    assert_eq!(guids, [*b"\x63\xda\x75\x8d", *b"\x4a\xb7\xb3\x79", *b"\xc0\xb4\x06\xa4"]);
    let certificates: Vec<_> = found.into_iter().map(|(_, der)| der).collect();
    assert_eq!(certificates[..2], platform().certificates());
    assert_eq!(certificates[2], platform().ark());
    assert_eq!(entry.generation(), 1);
}

#[test]
fn a_served_report_passes_the_production_verifier() {
    let (image, nonce, now) = (Hex([0x1a; 32]), Hex([0x4e; 32]), 1_795_392_000);
    let guest = Guest::sample(sample_config(Role::Referee, Hex([0xc4; 32]), image), Hex([0x3e; 48]), 7);
    let mut evidence = mint_evidence(&platform(), &guest, 3, nonce);
    let folder = TempDir::new().expect("folder");
    let facts = GuestIdentity {
        measurement: guest.measurement,
        host_data: LaunchConfig::d256(evidence.config.as_ref()),
        report_version: 3,
    };
    let _served = serve(platform(), facts, folder.path()).expect("served");
    let entry = Entry::create(folder.path(), "attest");
    entry.ask(Runtime::report_data(evidence.runtime.as_ref()).bytes());
    let report = entry.read("outblob").into();
    let certificates = table_certificates(&entry.read("auxblob"));
    let certificates = certificates.into_iter().map(|(_, der)| der.into()).collect();
    evidence.cpu = CpuEvidence::Snp { report, certificates };

    let anchors = platform().anchors();
    let measured = ReferenceImage {
        name: "sample".to_owned(),
        backend: Backend::Process,
        image,
        measurement: guest.measurement,
        tdx: None,
    };
    let reference = ReferenceValues { images: vec![measured], foreign_anchors: Some(anchors.digest()) };
    let floor = SnpFloor {
        product: Product::Genoa,
        tcb: newest_tcb(Product::Genoa),
        guest_svn: 0,
        vmpl: 0,
        mitigations: None,
    };
    let (tee, gpu) = (TeeFloor { snp: vec![floor], tdx: None }, GpuFloor::none());
    let policy =
        AppraisalPolicy::from_floors(Level::Lab, &[Backend::Process], &tee, &gpu, &[]).expect("policy");
    let label = Anchors::NotVendor(anchors.digest());
    let verifier = Verifier::new(TrustAnchors::foreign(anchors).expect("anchors"), policy, reference);
    let collateral = platform().collateral(now).expect("collateral");
    let result = verifier.appraise(guest.challenge(nonce, now), &evidence, &collateral, now);
    assert_eq!(result.unwrap_or_else(|refusal| panic!("{refusal}")).anchors(), label);
}

#[test]
fn each_write_is_counted_before_the_next_read_and_changes_the_report() {
    let (folder, _served) = served();
    let entry = Entry::create(folder.path(), "again");
    for round in 1..=50_u8 {
        entry.ask(&[round; 64]);
        assert_eq!(entry.generation(), u64::from(round));
        let report = entry.read("outblob");
        assert_eq!(report[0x50..0x90], [round; 64]);
        assert_eq!(entry.read("outblob"), report, "the same question has the same answer");
    }
}

#[test]
fn input_that_is_not_64_bytes_gets_no_report() {
    let (folder, _served) = served();
    let entry = Entry::create(folder.path(), "short");
    assert!(entry.read("outblob").is_empty(), "nothing was asked");
    for wrong in [&[7; 63][..], &[7; 65], &[7; 4096]] {
        entry.ask(wrong);
        assert!(entry.read("outblob").is_empty(), "{} bytes", wrong.len());
        assert!(entry.read("auxblob").is_empty(), "{} bytes", wrong.len());
    }
    entry.ask(&[8; 64]);
    assert_eq!(entry.read("outblob").len(), 1184, "a good question is still answered");
}

#[test]
fn the_oldest_entry_makes_room_for_the_seventeenth() {
    let (folder, _served) = served();
    let entries: Vec<_> =
        (0..=ENTRIES_MAX).map(|number| Entry::create(folder.path(), &format!("entry-{number}"))).collect();
    wait_until("the first entry is gone", || !entries[0].0.exists());
    for entry in &entries[1..] {
        entry.ask(&[3; 64]);
        assert_eq!(entry.read("outblob").len(), 1184);
    }
}

#[test]
fn a_removed_entry_can_be_made_again() {
    let (folder, _served) = served();
    let entry = Entry::create(folder.path(), "same");
    entry.ask(&[1; 64]);
    assert_eq!(entry.generation(), 1);
    fs::remove_dir_all(&entry.0).expect("remove");
    let entry = Entry::create(folder.path(), "same");
    assert_eq!(entry.generation(), 0);
}

#[test]
fn a_guest_cannot_redirect_the_answer_to_another_file() {
    let (folder, _served) = served();
    let victim = folder.path().join("victim");
    fs::write(&victim, b"untouched").expect("victim");
    let entry = Entry::create(folder.path(), "hostile");
    entry.ask(&[1; 64]);
    fs::remove_file(entry.0.join("outblob")).expect("unlink");
    std::os::unix::fs::symlink(&victim, entry.0.join("outblob")).expect("symlink");
    let plain = entry.0.join("auxblob");
    fs::remove_file(&plain).expect("unlink");
    fs::write(&plain, b"plain").expect("plain");
    // A directory with a file in an attribute's place is refused too, and the others are served on.
    let made = folder.path().join("report/occupied");
    fs::create_dir(folder.path().join("occupied")).expect("mkdir");
    fs::write(folder.path().join("occupied/inblob"), b"").expect("file");
    fs::rename(folder.path().join("occupied"), made).expect("rename");
    let other = Entry::create(folder.path(), "honest");
    other.ask(&[2; 64]);
    assert_eq!(other.read("outblob").len(), 1184);
    assert_eq!(fs::read(&victim).expect("victim"), b"untouched");
    assert_eq!(fs::read(&plain).expect("plain"), b"plain");
}

#[test]
fn attributes_are_private_to_the_simulators_user() {
    let (folder, _served) = served();
    let entry = Entry::create(folder.path(), "modes");
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("report")), 0o700);
    for name in ["provider", "generation", "inblob", "outblob", "auxblob"] {
        assert_eq!(mode(&entry.0.join(name)), 0o600, "{name}");
    }
    assert!(fs::metadata(entry.0.join("outblob")).expect("metadata").file_type().is_fifo());
}

#[test]
fn a_guest_in_its_own_user_and_mount_namespace_is_served() {
    let (folder, _served) = served();
    let inside = TempDir::new().expect("mount point");
    let script = r#"
        mount --bind "$1" "$2" && mkdir "$2/report/ns" && cd "$2/report/ns" || exit 9
        until [ -e provider ]; do sleep 0.01; done
        head -c 64 /dev/zero > inblob && cat generation outblob
    "#;
    let run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .args([folder.path(), inside.path()])
        .output();
    let output = match run {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("unshare failed") => output,
        other => return eprintln!("SKIPPED: user namespaces are absent here: {other:?}"),
    };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout[..2], *b"1\n");
    assert_eq!(output.stdout.len(), 2 + 1184);
}

/// A running `tiltyard-simulator serve`.
struct Running {
    child: Child,
    socket: PathBuf,
    ready: Value,
    folder: TempDir,
}

impl Running {
    fn start() -> Self {
        let folder = TempDir::new().expect("folder");
        let (socket, seed) = (folder.path().join("control.sock"), folder.path().join("seed"));
        fs::write(&seed, Hex(SEED).to_string()).expect("seed");
        let mut child = Command::new(SIMULATOR)
            .args(["serve", "--product", "genoa", "--report-version", "3", "--key-cache"])
            .arg(env!("CARGO_TARGET_TMPDIR"))
            .arg("--seed-file")
            .arg(&seed)
            .arg("--control")
            .arg(&socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("simulator");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("ready line");
        let ready = serde_json::from_str(&line).expect("ready");
        Self { child, socket, ready, folder }
    }

    fn request(&self, line: &[u8]) -> Value {
        let mut stream = UnixStream::connect(&self.socket).expect("connect");
        stream.write_all(line).expect("request");
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).expect("reply");
        serde_json::from_str(&reply).expect("reply is JSON")
    }

    fn guest(&self, name: &str, host_data: u8) -> PathBuf {
        let tsm_dir = self.folder.path().join(name);
        let guest = json!({ "program": SIMULATOR, "host_data": Hex([host_data; 32]), "tsm_dir": tsm_dir });
        assert_eq!(
            self.request(format!("{}\n", json!({ "guest": guest })).as_bytes()),
            json!({ "ok": true })
        );
        tsm_dir
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_control_socket_serves_each_guest_with_its_own_host_data() {
    let running = Running::start();
    assert_eq!(running.ready["notice"], NOTICE);
    assert_eq!(running.ready["anchors"], json!(platform().anchors().digest()));
    let mode = fs::metadata(&running.socket).expect("socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut program = Vec::new();
    File::open(SIMULATOR).expect("program").read_to_end(&mut program).expect("program");
    for (name, host_data) in [("a", 0xaa), ("b", 0xbb)] {
        let entry = Entry::create(&running.guest(name, host_data), "x");
        entry.ask(&[9; 64]);
        let report = entry.read("outblob");
        assert_eq!(report[0xC0..0xE0], [host_data; 32], "{name}");
        assert_eq!(report[0x90..0xC0], *process_measurement(&program).bytes(), "{name}");
    }
    let tsm_dir = running.folder.path().join("a");
    let again = json!({ "guest": { "program": SIMULATOR, "host_data": Hex([1; 32]), "tsm_dir": tsm_dir } });
    let reply = running.request(format!("{again}\n").as_bytes());
    assert!(reply["error"].as_str().expect("refused").contains("served already"), "{reply}");
    let end = format!("{}\n", json!({ "end": { "tsm_dir": tsm_dir } }));
    assert_eq!(running.request(end.as_bytes()), json!({ "ok": true }));
    assert!(!tsm_dir.join("report").exists());
    assert!(running.request(end.as_bytes())["error"].as_str().expect("refused").contains("is not served"));
}

#[test]
fn bad_requests_are_refused_by_name() {
    let running = Running::start();
    let long = [vec![b' '; 20_000], b"\n".to_vec()].concat();
    let zeros = "0".repeat(64);
    let guest = |program: &str, tsm: &str, more: &str| {
        format!(
            "{{\"guest\":{{\"program\":\"{program}\",\"host_data\":\"{zeros}\",\"tsm_dir\":\"{tsm}\"{more}}}}}\n"
        )
    };
    let cases = [
        (String::from_utf8(long).expect("text"), "at most 16384 bytes"),
        ("{\"mint\":{}}\n".to_owned(), "unknown variant `mint`"),
        (guest("/a", "/b", ",\"debug\":true"), "unknown field `debug`"),
        (guest("bin/sh", "/b", ""), "expected an absolute path"),
        (guest("/bin/sh", "b", ""), "expected an absolute path"),
        (guest("/nonexistent/program", "/b", ""), "program /nonexistent/program"),
    ];
    for (line, expected) in cases {
        let reply = running.request(line.as_bytes());
        assert!(reply["error"].as_str().is_some_and(|text| text.contains(expected)), "{expected}: {reply}");
    }
}

#[test]
fn every_output_says_not_a_vendor_root() {
    let folder = TempDir::new().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("path").to_owned();
    let machine = |command: &'static str| {
        let cache = env!("CARGO_TARGET_TMPDIR").to_owned();
        let fixed = ["--product", "genoa", "--seed-file"].map(str::to_owned);
        [vec![command.to_owned()], fixed.to_vec(), vec![path("seed"), "--key-cache".to_owned(), cache]]
            .concat()
    };
    let with_out = |command, name: &str| [machine(command), vec!["--out".to_owned(), path(name)]].concat();
    fs::write(path("seed"), Hex(SEED).to_string()).expect("seed");
    let commands = [
        machine("chip"),
        with_out("anchors", "anchors.json"),
        with_out("collateral", "collateral.json"),
        vec!["measure".to_owned(), "/bin/sh".to_owned()],
        vec!["seed".to_owned(), "--out".to_owned(), path("fresh")],
    ];
    for arguments in commands {
        let output = Command::new(SIMULATOR).args(&arguments).output().expect("run");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(printed["notice"], NOTICE, "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(NOTICE), "{arguments:?}");
    }
    let anchors = fs::read(path("anchors.json")).expect("anchors");
    assert_eq!(Hex::sha256(&anchors), platform().anchors().digest());
    assert_eq!(fs::metadata(path("fresh")).expect("seed").permissions().mode() & 0o777, 0o600);
}

#[test]
fn cached_keys_are_private_and_a_damaged_cache_is_refused() {
    let cache = TempDir::new().expect("cache");
    let digest = |cache: &Path| {
        SimulatedPlatform::from_seed(&SEED, Product::Genoa, Some(cache)).map(|made| made.anchors().digest())
    };
    assert_eq!(digest(cache.path()).expect("made"), platform().anchors().digest(), "the seed alone decides");
    let files: Vec<_> =
        fs::read_dir(cache.path()).expect("cache").map(|entry| entry.expect("entry").path()).collect();
    assert!(files.len() >= 2, "a file for each authority in use, found {files:?}");
    for file in files {
        assert_eq!(fs::metadata(&file).expect("metadata").permissions().mode() & 0o777, 0o600);
        let whole = fs::read(&file).expect("keys");
        fs::write(&file, &whole[..whole.len() - 1]).expect("damage");
        let error = digest(cache.path()).expect_err("refused").to_string();
        assert!(error.contains("does not hold an RSA-4096 key"), "{error}");
        fs::write(&file, &whole).expect("mend");
    }
    assert_eq!(digest(cache.path()).expect("read"), platform().anchors().digest(), "mended");
}
