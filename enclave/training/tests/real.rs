//! The real base model and real rows: held-out loss falls, and the artefact doesn't depend on threads.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Instant;
use tiltyard_training::{
    Adapter, BaseModel, Clock, Evaluation, Item, ItemValue, Recipe, TrainJob, Trained, evaluate, train,
};

struct Since(Instant);

impl Clock for Since {
    fn elapsed_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

/// The base model's bytes and the rows of a word list, or a printed reason.
fn inputs() -> Option<(Vec<u8>, String)> {
    let under = |name: &str, rest: &str| std::env::var_os(name).map(|d| PathBuf::from(d).join(rest));
    let folder = under("TILTYARD_INPUTS", "")
        .or_else(|| under("XDG_CACHE_HOME", "tiltyard/inputs"))
        .or_else(|| under("HOME", ".cache/tiltyard/inputs"))?;
    let model = std::fs::read(folder.join("SmolLM2-135M-Instruct.Q4_1.gguf"));
    let rows = std::fs::read_to_string(folder.join("wordnet-noun.jsonl"));
    match (model, rows) {
        (Ok(model), Ok(rows)) => Some((model, rows)),
        (Err(e), _) | (_, Err(e)) => {
            println!("SKIPPED: {}: {e}", folder.display());
            None
        }
    }
}

fn items(rows: &str, from: usize, count: usize) -> Vec<Item> {
    rows.lines().skip(from).take(count).map(|row| Item::from_row(row.as_bytes()).unwrap()).collect()
}

fn mean(values: &[ItemValue]) -> f64 {
    let sum: i64 = values.iter().map(|v| v.loss_micro.unwrap()).sum();
    sum as f64 / 1e6 / values.iter().map(|v| f64::from(v.labels)).sum::<f64>()
}

#[test]
fn held_out_loss_of_real_rows_falls_and_threads_change_no_bit() {
    let Some((model, rows)) = inputs() else { return };
    let base = BaseModel::from_gguf(&model).unwrap();
    let recipe = "schema = 1\n[objective]\nkind = \"sft\"\n[adapter]\nr = 8\nlayers = [22, 29]\n\
                  [train]\nepochs = 1\n[optimiser]\nlr = 1e-3\n";
    let recipe = Recipe::parse(recipe.as_bytes()).unwrap();
    let go = |threads, count| -> Trained {
        let items = items(&rows, 0, count);
        let (seed, deadline_ms) = ([9; 32], 600_000);
        let job = TrainJob { base: &base, recipe: &recipe, items, seed, deadline_ms, reserve_ms: 0, threads };
        train(job, &Since(Instant::now()), &mut |_| {}).unwrap()
    };
    assert_eq!(go(1, 16).artefact, go(2, 16).artefact);
    let trained = go(2, 64);
    assert_eq!(trained.steps, 8);
    let adapter = Adapter::check(&trained.artefact, &base, 64 << 20).unwrap();
    let held_out = items(&rows, 64, 24);
    let before = evaluate(&base, None, &held_out, 512, 2).unwrap();
    let after = evaluate(&base, Some(&adapter), &held_out, 512, 2).unwrap();
    println!("held-out loss {:.4} -> {:.4}", mean(&before), mean(&after));
    assert!(mean(&after) < mean(&before) - 0.3, "{} {}", mean(&before), mean(&after));
    let mut evaluation = Evaluation::new(&base, &held_out, 512, 1).unwrap();
    for _ in 0..2 {
        assert_eq!(evaluation.values(Some(&adapter)).unwrap(), after);
        assert_eq!(evaluation.values(None).unwrap(), before);
    }
}
