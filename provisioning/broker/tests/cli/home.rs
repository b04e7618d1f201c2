//! `init`, `identity`, and the passphrase.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn an_identity_is_public_stable_and_different_for_each_home() {
    let trial = Trial::new();
    let owner = trial.init("owner", "owner");
    let operator = trial.init("operator", "operator");
    assert_eq!(owner["role"], "owner");
    assert_eq!(owner["roll_key"], Value::Null);
    assert!(operator["roll_key"].is_string());
    for key in ["signing_key", "broker_key", "tls_spki_sha256", "hpke"] {
        assert_ne!(owner[key], operator[key], "{key}");
    }
    let again = trial.run_with("identity --dir owner", "not asked for");
    assert_eq!((again.code, again.out), (0, owner));

    let entrant = trial.entrant("entrant");
    let key: tiltyard_attestation::Hex<32> = entrant["signing_key"].as_str().unwrap().parse().unwrap();
    let digest = tiltyard_attestation::Hex::<32>::sha256(key.bytes());
    assert_eq!(entrant["entrant"], digest.to_string());
}

#[test]
fn a_home_is_private_and_never_made_over_another() {
    let trial = Trial::new();
    trial.init("owner", "owner");
    for path in files(&trial.path("owner")) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    assert_eq!(fs::metadata(trial.path("owner")).unwrap().permissions().mode() & 0o777, 0o700);
    let before = fs::read(trial.path("owner/kek")).unwrap();
    let again = trial.run("init --dir owner --role owner --kdf-memory-mib 64 --passphrase-fd 0");
    assert_eq!(again.failure(), (1, "E_EXISTS"));
    assert_eq!(fs::read(trial.path("owner/kek")).unwrap(), before);
    assert_eq!(trial.run("identity --dir nowhere").failure(), (1, "E_NO_HOME"));
}

#[test]
fn bad_passphrases_parameters_and_key_files() {
    let trial = Trial::new();
    let init = |passphrase: &str, memory: u32| {
        let line = format!("init --dir new --role owner --kdf-memory-mib {memory} --passphrase-fd 0");
        trial.run_with(&line, passphrase)
    };
    assert_eq!(init("short", 64).failure(), (2, "E_PASSPHRASE"));
    assert_eq!(init("", 64).failure(), (2, "E_PASSPHRASE"));
    assert_eq!(init(PASSPHRASE, 63).failure(), (3, "E_KEK_PARAMS"));
    assert_eq!(init(PASSPHRASE, u32::MAX).failure(), (3, "E_KEK_PARAMS"));
    let closed = trial.run("init --dir new --role owner --passphrase-fd 99");
    assert_eq!(closed.failure(), (1, "E_PASSPHRASE"));
    assert!(!trial.path("new/kek").exists(), "no refused attempt leaves a home");

    trial.init("owner", "owner");
    trial.write("rows.jsonl", "{\"q\":\"a\",\"a\":\"b\"}\n");
    let seal = "seal --dir owner --tenant acme --dataset-id x --input rows.jsonl --test-rows 1 \
                --instruction q --output-column a --out sealed --passphrase-fd 0";
    let wrong = trial.run_with(seal, "another passphrase");
    assert_eq!(wrong.failure(), (3, "E_COMMITMENT"));
    assert!(!wrong.stderr.contains("another passphrase"));

    let kek = trial.path("owner/kek");
    let good = fs::read(&kek).unwrap();
    for (at, expected) in
        [(0, "E_KEK_HEADER"), (7, "E_KEK_HEADER"), (8, "E_KEK_PARAMS"), (30, "E_COMMITMENT")]
    {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&kek, bad).unwrap();
        assert_eq!(trial.run(seal).failure(), (3, expected), "byte {at}");
    }
    fs::write(&kek, &good[..50]).unwrap();
    assert_eq!(trial.run(seal).failure(), (3, "E_KEK_HEADER"));
    fs::write(&kek, &good).unwrap();
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(trial.run(seal).failure(), (3, "E_MODE"));

    // A secret that is mounted is a link to a file, whose mode counts; a pipe is not waited for.
    fs::rename(&kek, trial.path("mounted")).unwrap();
    std::os::unix::fs::symlink(trial.path("mounted"), &kek).unwrap();
    assert_eq!(trial.run(seal).failure(), (3, "E_MODE"));
    fs::set_permissions(trial.path("mounted"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(trial.run(seal).failure(), (3, "E_SPLIT_EMPTY"), "it opened, and one row has no two sides");
    fs::remove_file(&kek).unwrap();
    nix::unistd::mkfifo(&kek, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    assert_eq!(trial.run(seal).failure(), (1, "E_NOT_A_FILE"));
}

#[test]
fn usage_errors_have_exit_code_2() {
    let trial = Trial::new();
    assert_eq!(trial.run("no-such-command").failure(), (2, "E_USAGE"));
    assert_eq!(trial.run("serve --dir d --charter c --listen nowhere").failure(), (2, "E_USAGE"));
    let in_argv = trial.run("init --dir d --role owner --passphrase secret");
    assert_eq!(in_argv.failure(), (2, "E_USAGE"), "a passphrase never comes in argv");
}
