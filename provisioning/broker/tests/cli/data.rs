//! `seal`: what is written opens only with the right key, and shows nothing.

use tiltyard_attestation::Hex;
use tiltyard_provisioning::dsse::Envelope;
use tiltyard_provisioning::manifest::{MANIFEST_PAYLOAD_TYPE, Manifest};

use super::*;

const SEAL: &str = "seal --dir owner --tenant acme --dataset-id claims --input rows.jsonl --test-rows 5 \
                    --instruction question --output-column answer --group customer --out sealed --passphrase-fd 0";

fn rows(trial: &Trial) {
    let line = |i: usize| {
        format!(
            "{{\"question\":\"canary-{i}-question\",\"answer\":\"canary-{i}-answer\",\"customer\":\"c{}\"}}\n",
            i % 9
        )
    };
    trial.write("rows.jsonl", (0..40).map(line).collect::<String>());
}

#[test]
fn sealed_splits_are_signed_addressed_by_digest_and_show_no_row() {
    let trial = Trial::new();
    let owner = trial.init("owner", "owner");
    rows(&trial);
    let facts = trial.facts(SEAL);
    assert_eq!((&facts["version"], &facts["source_rows"]), (&1.into(), &40.into()));
    let key: Hex<32> = owner["signing_key"].as_str().unwrap().parse().unwrap();
    for split in facts["splits"].as_array().unwrap() {
        let name = split["split"].as_str().unwrap();
        let envelope = fs::read(trial.path(&format!("sealed/claims.{name}.manifest.json"))).unwrap();
        let envelope = Envelope::parse(&envelope).unwrap();
        let payload = envelope.verify(MANIFEST_PAYLOAD_TYPE, &key).unwrap();
        let digest = Hex::sha256(payload);
        assert_eq!(split["manifest_sha256"], digest.to_string());
        assert_eq!(fs::read(trial.path(&format!("sealed/objects/{digest}"))).unwrap(), payload);
        let manifest = Manifest::parse(payload, &digest).unwrap();
        assert_eq!(manifest.objects.len(), split["objects"].as_array().unwrap().len());
        for object in &manifest.objects {
            let bytes = fs::read(trial.path(&format!("sealed/objects/{}", object.sha256))).unwrap();
            assert_eq!((Hex::sha256(&bytes), bytes.len() as u64), (object.sha256, object.len));
        }
    }
    assert!(holds(&trial.path("rows.jsonl"), b"canary-7-answer"), "the search finds what is there");
    for path in files(&trial.path("sealed")).into_iter().chain(files(&trial.path("owner"))) {
        assert!(!holds(&path, b"canary-"), "{}", path.display());
    }
}

#[test]
fn sealing_again_is_the_next_version() {
    let trial = Trial::new();
    trial.init("owner", "owner");
    rows(&trial);
    let first = trial.facts(SEAL);
    let second = trial.facts(SEAL);
    assert_eq!(second["version"], 2);
    let train: Hex<32> = first["splits"][0]["manifest_sha256"].as_str().unwrap().parse().unwrap();
    let digest: Hex<32> = second["splits"][0]["manifest_sha256"].as_str().unwrap().parse().unwrap();
    let payload = fs::read(trial.path(&format!("sealed/objects/{digest}"))).unwrap();
    assert_eq!(Manifest::parse(&payload, &digest).unwrap().prev, Some(train));
}

#[test]
fn hostile_rows_leave_no_file_and_no_value_in_the_error() {
    let trial = Trial::new();
    trial.init("owner", "owner");
    for (rows, expected) in [
        (&b""[..], "E_SPLIT_EMPTY"),
        (b"{\"question\":\"canary\",\"answer\":\"x\",\"customer\":\"c\"}\n", "E_SPLIT_EMPTY"),
        (b"{\"question\":\"canary\xff\",\"answer\":\"x\"}\n", "E_ROW"),
        (b"{\"question\":\"canary\"}\n", "E_ROW"),
        (b"[\"canary\"]\n", "E_ROW"),
        (b"{\"question\":\"canary\",\"question\":\"canary\",\"answer\":\"x\"}\n", "E_ROW"),
    ] {
        trial.write("rows.jsonl", rows);
        let answer = trial.run(SEAL);
        assert_eq!(answer.failure(), (3, expected), "{}", answer.stderr);
        assert!(!answer.stderr.contains("canary"));
        assert!(!trial.path("sealed").exists());
    }
    fs::remove_file(trial.path("rows.jsonl")).unwrap();
    assert_eq!(trial.run(SEAL).failure(), (1, "E_IO"));
}

/// What must be mended is told row by row before anything is sealed, and needs no home.
#[test]
fn rows_are_checked_as_they_would_be_sealed() {
    let trial = Trial::new();
    trial.write("rows.csv", "question,answer,customer\nQ1,A1,c1\nQ2,,c2\nQ3\nQ4,A4,c4\n");
    let check = "check --input rows.csv --instruction question --output-column answer --group customer";
    let answer = trial.run(check);
    assert_eq!(answer.failure(), (3, "E_ROW"), "{}", answer.stderr);
    let report = &answer.out;
    assert_eq!(report["format"], "csv");
    assert_eq!(
        (&report["source_rows"], &report["kept"], &report["refused"]),
        (&4.into(), &2.into(), &2.into())
    );
    let rows: Vec<u64> =
        report["problems"].as_array().unwrap().iter().map(|row| row["number"].as_u64().unwrap()).collect();
    assert_eq!(rows, [3, 4]);
    assert_eq!(report["problems"][0]["column"], "answer");
    assert_eq!(report["fixes"].as_array().unwrap().len(), 2);

    trial.write("rows.csv", "question,answer,customer\nQ1,A1,c1\nQ2,A2,c2\n");
    assert_eq!(trial.facts(check)["kept"], 2);
    for (line, expected) in [
        (check.replace(".csv", ".txt"), (2, "E_USAGE")),
        (check.replace("--instruction question ", ""), (2, "E_USAGE")),
        (format!("{check} --chosen answer"), (2, "E_USAGE")),
        (format!("{check} --task dpo"), (2, "E_USAGE")),
        (check.replace("rows.csv", "absent.csv"), (1, "E_IO")),
        (format!("{check} --format json"), (3, "E_ROW")),
    ] {
        assert_eq!(trial.run(&line).failure(), expected, "{line}");
    }
}

#[test]
fn tables_and_every_kind_of_task_are_sealed() {
    let trial = Trial::new();
    trial.init("owner", "owner");
    let chat: Vec<Value> = (0..6)
        .map(|at| {
            serde_json::json!({"conversations": [
                {"from": "user", "value": format!("question {at}")}, {"from": "assistant", "value": "answer"},
            ]})
        })
        .collect();
    trial.write("chat.json", serde_json::to_string(&chat).unwrap());
    let table =
        |header: &str, row: &dyn Fn(usize) -> String| [header.to_owned(), (0..6).map(row).collect()].concat();
    trial.write("dpo.csv", table("p,c,r\n", &|at| format!("prompt {at},good,bad\n")));
    trial.write("grpo.csv", table("p,x\n", &|at| format!("prompt {at},\"{{\"\"a\"\":{at}}}\"\n")));
    trial.write("rows.csv", table("q,a\n", &|at| format!("question {at},answer\n")));
    for (id, source) in [
        ("chat", "chat.json --task chat --messages conversations"),
        ("dpo", "dpo.csv --task dpo --prompt p --chosen c --rejected r"),
        ("grpo", "grpo.csv --task grpo --prompt p --extra-column x"),
        ("instruct", "rows.csv --instruction q --output-column a"),
    ] {
        let facts = trial.facts(&format!(
            "seal --dir owner --tenant acme --dataset-id {id} --input {source} --test-rows 2 --out {id} --passphrase-fd 0"
        ));
        assert_eq!((&facts["version"], &facts["source_rows"]), (&1.into(), &6.into()), "{id}");
    }
}
