//! Every seed and every kept input through its target, without a fuzzer: what was found once stays mended.
//!
//! `make fuzz` (tests/fuzz/README.md) looks for more, and holds time and memory to their bounds.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use targets::{TARGETS, Target, corpus, files_of};

mod targets;

/// A kept input is small: mutation finds the same again in a shorter one.
const KEPT_MAX_BYTES: u64 = 32 * 1024;
const ALL_KEPT_MAX_BYTES: u64 = 3 * 1024 * 1024;

/// Runs one input; whose it was, when it panicked.
fn passes(target: &Target, name: &str, input: &[u8], failed: &mut Vec<String>) {
    if catch_unwind(|| (target.run)(input)).is_err() {
        failed.push(format!("{}: {name}", target.name));
    }
}

#[test]
fn every_seed_and_every_kept_input_passes_its_target() {
    let mut failed = Vec::new();
    for target in TARGETS {
        let seeds = (target.seeds)();
        let kept = files_of(&corpus(target));
        assert!(!seeds.is_empty() && !kept.is_empty(), "{}: no seeds, or no corpus", target.name);
        for (at, seed) in seeds.iter().enumerate() {
            passes(target, &format!("seed {at}"), seed, &mut failed);
        }
        for path in &kept {
            passes(target, &path.display().to_string(), &std::fs::read(path).unwrap(), &mut failed);
        }
        println!("{}: {} seeds, {} kept inputs", target.name, seeds.len(), kept.len());
    }
    assert!(failed.is_empty(), "{} inputs failed:\n  {}", failed.len(), failed.join("\n  "));
}

/// The empty input, every seed cut short, inputs at the parser's limit, and just over it.
#[test]
fn short_costly_and_oversized_inputs_pass_every_target() {
    let mut failed = Vec::new();
    for target in TARGETS {
        passes(target, "nothing", &[], &mut failed);
        for (at, input) in (target.costly)().iter().enumerate() {
            passes(target, &format!("costly input {at}"), input, &mut failed);
        }
        for (at, seed) in (target.seeds)().iter().enumerate() {
            for cut in [1, seed.len() / 2, seed.len().saturating_sub(1)] {
                let cut = cut.min(seed.len());
                passes(target, &format!("{cut} bytes of seed {at}"), &seed[..cut], &mut failed);
            }
            let mut longer = seed.clone();
            longer.resize((target.limit_bytes + 1).max(seed.len()), b' ');
            passes(target, &format!("seed {at} over the limit"), &longer, &mut failed);
        }
    }
    assert!(failed.is_empty(), "{} inputs failed:\n  {}", failed.len(), failed.join("\n  "));
}

#[test]
fn every_corpus_has_a_target_and_is_small() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len(), "a name stands twice");
    let home = corpus(&TARGETS[0]);
    let folders = files_of(home.parent().unwrap());
    let found: BTreeSet<String> =
        folders.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(found, names);
    let mut all = 0;
    for path in folders.iter().flat_map(|folder| files_of(folder)) {
        let len = path.metadata().unwrap().len();
        assert!(len <= KEPT_MAX_BYTES, "{}: {len} bytes", path.display());
        all += len;
    }
    assert!(all <= ALL_KEPT_MAX_BYTES, "{all} bytes");
}
