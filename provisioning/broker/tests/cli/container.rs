//! `container`: what other programs of the format write is read, and what is written they read.

use super::*;

const CONTEXT: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const KEY: [u8; 32] = [5; 32];

/// A trial with a key in both forms and a file of four chunks.
fn trial() -> Trial {
    let trial = Trial::new();
    trial.write("key", KEY);
    trial.write("key.hex", "05".repeat(32) + "\n");
    trial.write("plain", content());
    trial
}

fn content() -> Vec<u8> {
    (0..3 * 16_384 + 77).map(|at: u32| (at % 251) as u8).collect()
}

fn line(command: &str, key: &str, input: &str, out: &str) -> String {
    format!("container {command} --key-file {key} --context {CONTEXT} --input {input} --out {out}")
}

#[test]
fn other_implementations_read_ours_and_are_read() {
    let trial = trial();
    let peer = cobblestone::Key256::from_bytes(&KEY);
    for (key, threads) in [("key", ""), ("key.hex", " --threads 1"), ("key", " --threads 3")] {
        let facts = trial.facts(&(line("seal", key, "plain", "sealed") + threads));
        let sealed = fs::read(trial.path("sealed")).unwrap();
        assert_eq!(facts["len_bytes"], sealed.len());
        assert_eq!(facts["header"].as_str().unwrap().len(), 112);
        assert_eq!(cobblestone::decrypt(&peer, &[0x11; 32], &sealed).unwrap(), content());
    }
    for len in [0, 1, 16_383, 16_384, 16_385, 40_000] {
        let plaintext = &content()[..len];
        trial.write("theirs", cobblestone::encrypt(&peer, &[0x11; 32], plaintext).unwrap());
        let facts = trial.facts(&line("open", "key", "theirs", "opened"));
        assert_eq!(facts["len_bytes"], len);
        assert_eq!(fs::read(trial.path("opened")).unwrap(), plaintext);
        let seen =
            trial.facts(&format!("container inspect --input theirs --key-file key --context {CONTEXT}"));
        assert_eq!((&seen["plaintext_len"], &seen["verified"]), (&len.into(), &true.into()));
        assert_eq!(seen["chunks"], len / 16_384 + 1);
    }
}

#[test]
fn what_does_not_verify_is_refused_and_leaves_nothing() {
    let trial = trial();
    trial.facts(&line("seal", "key", "plain", "sealed"));
    let good = fs::read(trial.path("sealed")).unwrap();
    trial.write("other", [6; 32]);
    trial.write("opened", "an older file");
    let refused = |line: &str, expected: (i32, &str)| {
        let answer = trial.run(line);
        assert_eq!(answer.failure(), expected, "{line}: {}", answer.stderr);
        assert_eq!(fs::read(trial.path("opened")).unwrap(), b"an older file", "{line}");
    };
    refused(&line("open", "other", "sealed", "opened"), (3, "E_COMMITMENT"));
    refused(&line("open", "key", "sealed", "opened").replace("11 ", "12 "), (3, "E_COMMITMENT"));
    for (name, bytes, code) in [
        ("short", good[..55].to_vec(), "E_HEADER_SHORT"),
        ("cut", good[..56 + 16_400].to_vec(), "E_TRUNCATED"),
        ("header", [&[good[0] ^ 1], &good[1..]].concat(), "E_COMMITMENT"),
        ("bent", [&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat(), "E_CHUNK_AUTH"),
    ] {
        trial.write(name, bytes);
        refused(&line("open", "key", name, "opened"), (3, code));
        let with_key = format!("container inspect --input {name} --key-file key --context {CONTEXT}");
        refused(&with_key, (3, code));
    }
    // Without a key only the form is looked at.
    assert_eq!(trial.run("container inspect --input short").failure(), (3, "E_HEADER_SHORT"));
    assert_eq!(trial.run("container inspect --input cut").failure(), (3, "E_TRUNCATED"));
    assert_eq!(trial.facts("container inspect --input bent")["plaintext_len"], 3 * 16_384 + 77);

    for (name, bytes) in
        [("short-key", &[1; 31][..]), ("long-key", &[b'0'; 66]), ("no-key", b"not a key at all")]
    {
        trial.write(name, bytes);
        refused(&line("open", name, "sealed", "opened"), (3, "E_KEY_LEN"));
    }
    refused(&line("open", "key", "absent", "opened"), (1, "E_IO"));
    refused(&line("open", "absent", "sealed", "opened"), (1, "E_IO"));
    fs::create_dir(trial.path("folder")).unwrap();
    refused(&line("seal", "key", "folder", "opened"), (1, "E_NOT_A_FILE"));
    refused(&line("seal", "key", "plain", "plain"), (1, "E_KEPT"));
    refused(&line("seal", "key", "plain", "key"), (1, "E_KEPT"));
    refused(&line("seal", "key", "plain", "opened").replace(CONTEXT, "11"), (2, "E_USAGE"));
    refused(&(line("seal", "key", "plain", "opened") + " --threads 0"), (2, "E_USAGE"));
    assert_eq!(fs::read(trial.path("key")).unwrap(), KEY);
    assert_eq!(fs::read(trial.path("plain")).unwrap(), content());
}

#[test]
fn a_key_that_others_may_read_is_said() {
    use std::os::unix::fs::PermissionsExt as _;
    let trial = trial();
    for (mode, said) in [(0o600, false), (0o644, true)] {
        fs::set_permissions(trial.path("key"), fs::Permissions::from_mode(mode)).unwrap();
        let facts = trial.facts(&line("seal", "key", "plain", "sealed"));
        assert_eq!(facts.get("note").is_some(), said, "{mode:o}");
        let text = facts.to_string();
        assert!(!text.contains(&"05".repeat(32)), "the key is in no output");
    }
}
