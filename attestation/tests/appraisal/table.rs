//! The checklist itself: unique ids, one place that reports each, a negative test for each.

use std::path::Path;

use tiltyard_attestation::checks::{CHECKS, Class};

/// Checks of the result token: their tests come with its test vectors.
const PENDING: [&str; 4] = ["TOK-01", "TOK-02", "TOK-03", "TOK-04"];

fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, into: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found
}

#[test]
fn ids_are_unique_and_rows_are_their_own() {
    for (at, row) in CHECKS.iter().enumerate() {
        assert!(CHECKS[..at].iter().all(|earlier| earlier.id.as_str() != row.id.as_str()), "{}", row.id);
        assert_eq!(row.id.row().id, row.id);
        assert!(!row.error.is_empty() && !row.title.is_empty() && !row.source.is_empty(), "{}", row.id);
    }
    assert_eq!(CHECKS.iter().filter(|row| row.id.as_str().starts_with("SNP-")).count(), 24);
    assert_eq!(CHECKS.iter().filter(|row| row.id.as_str().starts_with("BND-")).count(), 10);
    assert!(CHECKS.iter().any(|row| row.class == Class::Policy));
    let json = serde_json::to_value(CHECKS[0]).unwrap();
    assert_eq!(json["id"], "EVD-01");
    assert_eq!(json["class"], "always");
}

#[test]
fn each_id_is_reported_from_exactly_one_place() {
    let sources = sources("src");
    for row in CHECKS {
        let name = format!("CheckId::{:?}", row.id);
        let places: usize = sources
            .iter()
            .map(|(_, text)| {
                text.match_indices(&name).filter(|(at, _)| !word_goes_on(text, at + name.len())).count()
            })
            .sum();
        assert_eq!(places, 1, "{}", row.id);
    }
}

fn word_goes_on(text: &str, at: usize) -> bool {
    text[at..].starts_with(|next: char| next.is_ascii_alphanumeric())
}

#[test]
fn each_id_has_a_negative_test_named_for_it() {
    // Of this package, and of the simulator that signs what no public evidence shows.
    let folders = ["tests", "../tests/e2e"];
    let tests: String = folders.into_iter().flat_map(sources).map(|(_, text)| text).collect();
    for row in CHECKS {
        let name = format!("fn {}_", row.id.as_str().to_lowercase().replace('-', "_"));
        let pending = PENDING.contains(&row.id.as_str());
        assert_eq!(tests.contains(&name), !pending, "{}", row.id);
    }
}
