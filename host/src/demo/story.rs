//! The log's leaves, told in words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::show::Show;

/// Names of submissions, so that leaves can be told in words.
#[derive(Default)]
pub(super) struct Story {
    labels: BTreeMap<String, String>,
}

impl Story {
    fn name(&self, submission: &Value) -> String {
        let id = submission.as_str().unwrap_or("?");
        self.labels.get(id).cloned().unwrap_or_else(|| id.chars().take(8).collect())
    }

    pub(super) fn tell(&mut self, leaf: &Value, show: &mut Show) {
        let body = &leaf["body"];
        let line = match leaf["type"].as_str().unwrap_or_default() {
            "entry" => {
                let label = body["label"].as_str().unwrap_or("?").to_owned();
                self.labels.insert(body["submission"].as_str().unwrap_or_default().to_owned(), label.clone());
                let defends = if body["champion"].is_null() { "" } else { " (defends the title)" };
                format!("  entered   {label}{defends}")
            }
            "fixture" => {
                let names: Vec<String> =
                    body["participants"].as_array().into_iter().flatten().map(|id| self.name(id)).collect();
                format!(
                    "  fixture   {} on {}: {}",
                    plain(&body["id"]),
                    plain(&body["dataset"]),
                    names.join(", ")
                )
            }
            "order" => match body["submission"].is_null() {
                true => format!("  evaluate  {} (attempt {})", plain(&body["task"]), body["attempt"]),
                false => format!(
                    "  train     {} {} (attempt {})",
                    plain(&body["task"]),
                    self.name(&body["submission"]),
                    body["attempt"]
                ),
            },
            "outcome" if body["role"] == "train" => format!(
                "  trained   {} {}: {}",
                plain(&body["task"]),
                self.name(&body["submission"]),
                plain(&body["status"])
            ),
            "outcome" => self.scores(body),
            "round_settled" => format!("  settled   {}", self.round(&body["result"])),
            "decided" => {
                format!("  decided   title {}: {}", plain(&body["ending"]), self.name(&body["holder"]))
            }
            _ => return show.fact_for_programs(&json!({"event": "leaf", "leaf": leaf})),
        };
        show.fact(&line, &json!({"event": "leaf", "leaf": leaf}));
    }

    fn scores(&self, body: &Value) -> String {
        let mut line = format!(
            "  scored    {}: held-out loss before {}",
            plain(&body["task"]),
            decimal(&body["base"]["score"])
        );
        for score in body["scores"].as_array().into_iter().flatten() {
            let after =
                if score["score"].is_null() { plain(&score["status"]) } else { decimal(&score["score"]) };
            line.push_str(&format!("; {} {after}", self.name(&score["submission"])));
        }
        line
    }

    fn round(&self, result: &Value) -> String {
        let advanced: Vec<String> =
            result["advancing"].as_array().into_iter().flatten().map(|id| self.name(id)).collect();
        match advanced.is_empty() {
            true => format!("round {}", result["round"]),
            false => format!("round {}: {} go on", result["round"], advanced.join(", ")),
        }
    }
}

/// A score in steps of 1e-4, as a decimal.
fn decimal(steps: &Value) -> String {
    steps
        .as_i64()
        .map_or_else(|| "none".to_owned(), |steps| format!("{}.{:04}", steps / 10_000, steps.abs() % 10_000))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
