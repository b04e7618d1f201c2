//! `submit` and `enrol`: from an entrant's recipe to the operator's signed roll.

use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::RollEntry;

use super::*;

const RECIPE: &str = "rank = 8\nalpha = 16 # canary-recipe\n";

fn submit(trial: &Trial, entrant: &str, recipe: &str) -> Value {
    trial.write("recipe.toml", recipe);
    trial.facts(&format!(
        "submit --dir {entrant} --recipe recipe.toml --tournament cup --base small --licence Apache-2.0 \
         --escrow operator.json --out {entrant}-out --passphrase-fd 0"
    ))
}

fn enrol(trial: &Trial, entrant: &str, more: &str) -> Answer {
    trial.run(&format!(
        "enrol --dir operator --submission {entrant}-out/submission.json --label {entrant} {more} \
         --out {entrant}.entry.json --passphrase-fd 0"
    ))
}

fn yard() -> (Trial, Value) {
    let trial = Trial::new();
    let operator = trial.init("operator", "operator");
    trial.write("operator.json", operator.to_string());
    (trial, operator)
}

#[test]
fn a_submission_is_sealed_signed_and_admitted_once() {
    let (trial, operator) = yard();
    let identity = trial.entrant("ada");
    let submitted = submit(&trial, "ada", RECIPE);
    assert_eq!(submitted["entrant"], identity["entrant"]);
    for path in files(&trial.path("ada-out")) {
        assert!(!holds(&path, b"canary-recipe"), "{}", path.display());
    }
    let first = enrol(&trial, "ada", "--champion --buy-in 250");
    assert_eq!((first.code, &first.out["seq"], &first.out["again"]), (0, &1.into(), &false.into()));

    let entry: RollEntry = serde_json::from_slice(&fs::read(trial.path("ada.entry.json")).unwrap()).unwrap();
    let roll_key: Hex<32> = operator["roll_key"].as_str().unwrap().parse().unwrap();
    let row = entry.row.verify(&roll_key).unwrap();
    assert_eq!((row.submission, row.champion, row.buy_in), (entry.submission.digest(), true, 250));
    assert_eq!(submitted["submission"], row.submission.to_string());
    let payload = fs::read(trial.path(&format!("ada-out/objects/{}", row.submission))).unwrap();
    assert_eq!(payload, entry.submission.payload.0);

    let before = fs::read(trial.path("ada.entry.json")).unwrap();
    let again = enrol(&trial, "ada", "--buy-in 9");
    assert_eq!((again.code, &again.out["seq"], &again.out["again"]), (0, &1.into(), &true.into()));
    assert_eq!(fs::read(trial.path("ada.entry.json")).unwrap(), before);
}

#[test]
fn copies_a_second_champion_and_strangers_keys_are_refused() {
    let (trial, _) = yard();
    for entrant in ["ada", "bob", "cyd"] {
        trial.entrant(entrant);
    }
    submit(&trial, "ada", RECIPE);
    submit(&trial, "bob", "# mine\r\n\r\nrank = 8   \r\nalpha = 16 # canary-recipe");
    submit(&trial, "cyd", "rank = 9\n");
    assert_eq!(enrol(&trial, "ada", "--champion").code, 0);
    assert_eq!(enrol(&trial, "bob", "").failure(), (3, "E_DUPLICATE"));
    assert_eq!(enrol(&trial, "cyd", "--champion").failure(), (3, "E_CHAMPION"));
    assert_eq!(enrol(&trial, "cyd", "").out["seq"], 2);
    assert_eq!(
        trial
            .run("enrol --dir ada --submission ada-out/submission.json --label x --out x --passphrase-fd 0")
            .code,
        2
    );
}

#[test]
fn a_handover_that_was_changed_is_refused() {
    let (trial, _) = yard();
    trial.entrant("ada");
    trial.entrant("bob");
    submit(&trial, "ada", RECIPE);
    submit(&trial, "bob", "rank = 4\n");
    let path = trial.path("ada-out/submission.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let other: Value =
        serde_json::from_slice(&fs::read(trial.path("bob-out/submission.json")).unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        fs::write(&path, bad.to_string()).unwrap();
        enrol(&trial, "ada", "")
    };
    let resigned = refused(&|bad| bad["submission"]["key"] = other["submission"]["key"].clone());
    assert_eq!(resigned.failure(), (3, "E_SUBMISSION"), "another entrant's key");
    let replaced = refused(&|bad| bad["submission"]["payload"] = other["submission"]["payload"].clone());
    assert_eq!(replaced.failure(), (3, "E_SUBMISSION"), "another payload");
    let escrow = refused(&|bad| bad["escrow"] = other["escrow"].clone());
    assert_eq!(escrow.failure(), (3, "E_RELEASE_OPEN"), "another submission's key");
    let unknown = refused(&|bad| bad["extra"] = 1.into());
    assert_eq!(unknown.failure(), (1, "E_SYNTAX"), "unknown member");
    fs::write(&path, "{\"submission\":1,\"submission\":2}").unwrap();
    assert_eq!(enrol(&trial, "ada", "").failure(), (1, "E_SYNTAX"), "a member twice");
    assert!(!trial.path("ada.entry.json").exists());
    fs::write(&path, good.to_string()).unwrap();
    assert_eq!(enrol(&trial, "ada", "").code, 0);
}

#[test]
fn a_recipe_that_is_no_text_or_too_long_is_refused() {
    let (trial, _) = yard();
    trial.entrant("ada");
    let line = "submit --dir ada --recipe recipe.toml --tournament cup --base small --licence x \
                --escrow operator.json --out out --passphrase-fd 0";
    trial.write("recipe.toml", [0xff, 0xfe]);
    assert_eq!(trial.run(line).failure(), (1, "E_SYNTAX"));
    trial.write("recipe.toml", vec![b'#'; 64 * 1024 + 1]);
    assert_eq!(trial.run(line).failure(), (1, "E_TOO_LARGE"));
    assert!(!trial.path("out").exists());
}
