//! What a run of the whole system is made of: who enters, under which rules, on which rows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tiltyard_provisioning::charter::Budget;

/// One tournament to set up.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub entrants: Vec<Entrant>,
    /// Changes to the `seed` rulebook.
    pub rules: Vec<RuleEdit>,
    pub budget: Budget,
    pub datasets: Vec<RowsFile>,
    /// Least rows that are held out of each dataset.
    pub test_rows: u64,
    /// Trainers and evaluators that run side by side.
    pub slots: u32,
    /// How long the tournament may take.
    pub patience: Duration,
}

/// Somebody who hands in a recipe.
#[derive(Debug, Clone)]
pub struct Entrant {
    pub label: String,
    /// TOML.
    pub recipe: String,
    pub stance: Stance,
}

/// What an entrant is out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    Challenges,
    /// Holds the title from the start.
    Defends,
}

/// One integer of the rulebook: `[table] key = value`.
#[derive(Debug, Clone, Copy)]
pub struct RuleEdit {
    pub table: &'static str,
    pub key: &'static str,
    pub value: i64,
}

/// A dataset's source: JSONL with the columns `instruction` and `output`.
#[derive(Debug, Clone)]
pub struct RowsFile {
    pub id: String,
    pub path: PathBuf,
}

/// The entrants of the demo: honestly different recipes, one bad, one too large for its guest, one too slow.
const ENTRANTS: [(&str, &str); 8] = [
    ("baseline", include_str!("recipes/baseline.toml")),
    ("careful", include_str!("recipes/careful.toml")),
    ("wide", include_str!("recipes/wide.toml")),
    ("attention", include_str!("recipes/attention.toml")),
    ("quick", include_str!("recipes/quick.toml")),
    ("bad", include_str!("recipes/bad.toml")),
    ("crash", include_str!("recipes/crash.toml")),
    ("overrun", include_str!("recipes/overrun.toml")),
];
const DATASETS: [&str; 3] = ["wordnet-noun", "wordnet-verb", "wordnet-adj"];

impl Scenario {
    /// The demo: a field of seven against the baseline, on three parts of the dictionary.
    pub fn demo(inputs: &Path) -> Self {
        let datasets = DATASETS
            .map(|id| RowsFile { id: id.to_owned(), path: inputs.join(format!("{id}.jsonl")) })
            .into();
        let entrants = ENTRANTS
            .map(|(label, recipe)| Entrant {
                label: label.to_owned(),
                recipe: recipe.to_owned(),
                stance: if label == "baseline" { Stance::Defends } else { Stance::Challenges },
            })
            .into();
        Self {
            entrants,
            // No break between rounds; four of seven go on from the group.
            rules: vec![
                RuleEdit { table: "schedule", key: "break_s", value: 0 },
                RuleEdit { table: "group", key: "skip_at", value: 4 },
                RuleEdit { table: "group", key: "advance", value: 4 },
            ],
            // Small budgets; nothing else is smaller than real.
            budget: Budget {
                train_wall_s: 20,
                evaluate_wall_s: 60,
                memory_mib: 3072,
                vcpus: 1,
                test_items: 12,
            },
            datasets,
            test_rows: 240,
            // One per core of a small machine.
            slots: 2,
            patience: Duration::from_secs(900),
        }
    }
}
