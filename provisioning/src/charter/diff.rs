//! What a new version of a charter changes, for the people who sign it (PROVISIONING 4).

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::Charter;

/// One difference between two charters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Field path; list elements by what names them, as in `datasets[claims/train].min_version`.
    pub path: String,
    pub kind: ChangeKind,
    /// JSON text of the old value.
    pub old: Option<String>,
    /// JSON text of the new value.
    pub new: Option<String>,
    /// Lets more happen than before, or might: what cannot be told from the values counts as widening.
    pub widens: bool,
}

/// What happened to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// Every difference, widening ones first, each group by path. A first charter is held against nothing.
pub fn diff(old: Option<&Charter>, new: &Charter) -> Vec<Change> {
    // A charter holds strings, integers, lists and null only, which always serialise.
    let value = |charter: &Charter| serde_json::to_value(charter).unwrap_or_default();
    let mut changes = Vec::new();
    compare(&Path::default(), &old.map(value).unwrap_or_default(), &value(new), &mut changes);
    changes.sort_by(|a, b| (!a.widens, &a.path).cmp(&(!b.widens, &b.path)));
    changes
}

/// Where a value stands: as shown, and without the names of list elements, for the table of [`judge`].
#[derive(Default, Clone)]
struct Path {
    shown: String,
    pattern: String,
}

impl Path {
    fn member(&self, name: &str) -> Self {
        let join = |path: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        Self { shown: join(&self.shown), pattern: join(&self.pattern) }
    }

    fn element(&self, name: &str) -> Self {
        Self { shown: format!("{}[{name}]", self.shown), pattern: format!("{}[]", self.pattern) }
    }
}

fn compare(path: &Path, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(_), Value::Object(_)) => members(path, old, new, changes),
        // A first charter shows every field by itself.
        (Value::Null, Value::Object(_)) if !path.pattern.ends_with(']') => members(path, old, new, changes),
        (Value::Array(_) | Value::Null, Value::Array(_)) => elements(path, old, new, changes),
        (old, new) => changes.push(change(path, old, new)),
    }
}

fn members(path: &Path, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    let names: BTreeSet<&String> =
        [old, new].into_iter().filter_map(Value::as_object).flat_map(|object| object.keys()).collect();
    for name in names {
        let [old, new] = [old, new].map(|value| value.get(name).unwrap_or(&Value::Null));
        compare(&path.member(name), old, new, changes);
    }
}

fn elements(path: &Path, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    let [old, new] = [old, new].map(|list| named(&path.pattern, list));
    let names: BTreeSet<&String> = old.iter().chain(&new).map(|(name, _)| name).collect();
    for name in names {
        let find = |list: &[(String, Value)]| {
            list.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        compare(&path.element(name), &find(&old), &find(&new), changes);
    }
}

/// The elements of a list under the names that tell them apart.
fn named(pattern: &str, list: &Value) -> Vec<(String, Value)> {
    let mut out: Vec<(String, Value)> = Vec::new();
    for element in list.as_array().into_iter().flatten() {
        let text = |member: &str| element.get(member).and_then(Value::as_str).unwrap_or_default();
        let short = |member: &str| text(member).chars().take(16).collect::<String>();
        let name = match pattern {
            "reference_values.images" => {
                format!("{}/{}/{}", text("name"), text("backend"), short("measurement"))
            }
            "tee_floor.snp" => text("product").to_owned(),
            "platforms" => short("id"),
            "datasets" => format!("{}/{}", text("dataset_id"), text("split")),
            "brokers" => text("owner").to_owned(),
            "stages" => text("role").to_owned(),
            _ => element.as_str().map_or_else(|| element.to_string(), str::to_owned),
        };
        let twins = out.iter().filter(|(other, _)| *other == name).count();
        let name = if twins == 0 { name } else { format!("{name}#{twins}") };
        out.push((name, element.clone()));
    }
    out
}

fn change(path: &Path, old: &Value, new: &Value) -> Change {
    let kind = match (old, new) {
        (Value::Null, _) => ChangeKind::Added,
        (_, Value::Null) => ChangeKind::Removed,
        _ => ChangeKind::Changed,
    };
    let text = |value: &Value| (!value.is_null()).then(|| value.to_string());
    Change {
        path: path.shown.clone(),
        kind,
        old: text(old),
        new: text(new),
        widens: judge(&path.pattern, kind, old, new),
    }
}

/// Whether a change widens. A field that is not in this table widens with any change but its removal.
fn judge(pattern: &str, kind: ChangeKind, old: &Value, new: &Value) -> bool {
    let grew = || new.as_u64() > old.as_u64();
    let shrank = || new.as_u64() < old.as_u64();
    match (pattern, kind) {
        // Every version changes these.
        ("v" | "charter_id" | "version" | "prev", _) => false,
        // A revocation that goes away or moves on gives a machine back.
        ("platforms[].revoked_at", ChangeKind::Added) => false,
        ("platforms[].revoked_at", ChangeKind::Removed) => true,
        ("platforms[].revoked_at", ChangeKind::Changed) => grew(),
        // Deny-lists, values that must be equal, and lists that an empty one lifts.
        (
            "tee_floor.tdx.refused_advisories[]"
            | "tee_floor.tdx.modules[]"
            | "tee_floor.tdx.mrseam[]"
            | "reference_values.images[].tdx.rtmr1"
            | "reference_values.images[].tdx.rtmr2"
            | "gpu_floor.devices",
            ChangeKind::Removed,
        ) => true,
        (mitigations, ChangeKind::Removed) if mitigations.ends_with(".mitigations") => true,
        (_, ChangeKind::Removed) => false,
        (_, ChangeKind::Added) => true,
        // Caps and the window's end.
        (
            "not_after"
            | "limits.max_releases"
            | "limits.lease_s"
            | "output.cap_bits"
            | "output.log_max_bytes"
            | "output.artefact_max_bytes",
            _,
        ) => grew(),
        (budget, _) if budget.starts_with("tournament.budget.") => grew(),
        // Floors and the window's start.
        ("not_before" | "gpu_floor.count" | "tee_floor.snp[].guest_svn" | "datasets[].min_version", _) => {
            shrank()
        }
        (tcb, _) if tcb.starts_with("tee_floor.snp[].tcb.") => shrank(),
        ("level" | "kem_floor", _) => strictness(new) < strictness(old),
        _ => true,
    }
}

/// Rank of the named levels, laxest first.
fn strictness(value: &Value) -> Option<usize> {
    let name = value.as_str()?;
    [["lab", "classic"], ["standard", "hybrid"], ["strict", "hybrid"]]
        .iter()
        .position(|names| names.contains(&name))
}
