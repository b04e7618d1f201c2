//! Hostile or broken inputs of the parties themselves: rows and recipes.

use std::fs;

use tempfile::TempDir;
use tiltyard_training::Recipe;

use crate::parties::{DATASETS, parties, rows, try_seal};

/// Stands in a row of every refused file; no message may repeat it.
const CANARY: &str = "zebra-quartz-4471";

fn home() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    parties().copy_homes(dir.path());
    dir
}

/// Seals a source that must be refused with this code: no object is written, no version is used up.
fn seal_refuses(code: &str, source: &[u8]) -> String {
    let dir = home();
    let refused = try_seal(dir.path(), DATASETS[0], source);
    assert_eq!(refused.refusal(), (Some(3), code.to_owned()), "{}", refused.stderr);
    assert!(!refused.stderr.contains(CANARY), "a message repeats what stands in a row");
    assert!(!dir.path().join("sealed").exists(), "something was written");
    let next = try_seal(dir.path(), DATASETS[0], &rows(DATASETS[0]));
    assert_eq!(next.stdout["version"], 2, "{}", next.stderr);
    assert!(fs::read_dir(dir.path().join("sealed/objects")).unwrap().count() > 0);
    refused.stderr
}

#[test]
fn empty_dataset() {
    seal_refuses("E_SPLIT_EMPTY", b"");
    seal_refuses("E_SPLIT_EMPTY", format!("{{\"instruction\":\"{CANARY}\",\"output\":\"x\"}}\n").as_bytes());
}

#[test]
fn row_that_is_not_utf_8() {
    let mut source = rows(DATASETS[0]);
    source.extend_from_slice(format!("{{\"instruction\":\"{CANARY} ").as_bytes());
    source.extend_from_slice(b"\xff\xfe\",\"output\":\"x\"}\n");
    let message = seal_refuses("E_ROW", &source);
    assert!(message.contains("row 41: expected UTF-8"), "{message}");
}

#[test]
fn row_with_a_member_twice() {
    let mut source = rows(DATASETS[0]);
    source.extend_from_slice(
        format!("{{\"instruction\":\"a\",\"instruction\":\"{CANARY}\",\"output\":\"x\"}}\n").as_bytes(),
    );
    let message = seal_refuses("E_ROW", &source);
    assert!(message.contains("expected every key once"), "{message}");
}

const RECIPE: &str =
    "schema = 1\n[train]\nsteps = 10\n[adapter]\nr = 8\nalpha = 16\n[optimiser]\nlr = 0.0002\n";

/// Everything that is wrong with the recipe after one replacement, as `path: expected, got`.
fn wrong_with(from: &str, to: &str) -> Vec<String> {
    assert!(RECIPE.contains(from));
    let refused = Recipe::parse(RECIPE.replace(from, to).as_bytes()).unwrap_err();
    refused.0.iter().map(ToString::to_string).collect()
}

#[test]
fn recipe_value_out_of_range() {
    assert!(Recipe::parse(RECIPE.as_bytes()).is_ok(), "positive control");
    assert_eq!(wrong_with("r = 8", "r = 513"), ["adapter.r: expected 1 to 512, got 513"]);
    assert_eq!(wrong_with("r = 8", "r = -1"), ["adapter.r: expected 1 to 512, got -1"]);
    assert_eq!(
        wrong_with("steps = 10", "steps = 1000001"),
        ["train.steps: expected 1 to 1000000, got 1000001"]
    );
    assert_eq!(wrong_with("lr = 0.0002", "lr = inf"), ["optimiser.lr: expected 0 < lr <= 1, got inf"]);
}

#[test]
fn recipe_with_an_unknown_field() {
    assert_eq!(
        wrong_with("alpha = 16", "alpha = 16\nscale = 2"),
        ["adapter.scale: expected no field of this name, got one"]
    );
    assert_eq!(
        wrong_with("[train]", "[files]\nread = \"/etc/passwd\"\n[train]"),
        ["files: expected no field of this name, got one"]
    );
    let twice = wrong_with("r = 8", "r = 8\nr = 9");
    assert!(
        twice.len() == 1 && twice[0].starts_with("recipe: expected TOML with every field once"),
        "{twice:?}"
    );
}
