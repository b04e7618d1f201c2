//! A bundle as its members, and what an audit says about it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tiltyard_audit::{Audit, Outcome, Pins, verify};
use tiltyard_provisioning::bundle::BundleWriter;

/// Members by name; what is changed here is indexed anew, as an adversary would.
#[derive(Clone)]
pub(crate) struct Members(pub(crate) BTreeMap<String, Vec<u8>>);

impl Members {
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut writer = BundleWriter::new();
        for (name, bytes) in &self.0 {
            writer.add(name, bytes.clone()).unwrap();
        }
        writer.finish()
    }

    pub(crate) fn audit(&self) -> Audit {
        self.audit_with(&Pins::default())
    }

    pub(crate) fn audit_with(&self, pins: &Pins) -> Audit {
        verify(&self.tar(), pins)
    }

    /// The same, changed.
    pub(crate) fn with(&self, edit: impl FnOnce(&mut Self)) -> Self {
        let mut members = self.clone();
        edit(&mut members);
        members
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> T {
        serde_json::from_slice(&self.0[name]).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn put<T: Serialize>(&mut self, name: &str, value: &T) {
        self.0.insert(name.to_owned(), serde_jcs::to_vec(value).unwrap());
    }

    pub(crate) fn remove(&mut self, name: &str) {
        assert!(self.0.remove(name).is_some(), "{name} is not there");
    }

    pub(crate) fn under(&self, folder: &str) -> Vec<String> {
        self.0.keys().filter(|name| name.starts_with(folder)).cloned().collect()
    }

    /// Leaf of this type, the `nth` of them: its member's name.
    pub(crate) fn leaf(&self, kind: &str, nth: usize) -> String {
        let is = |name: &String| self.read::<Value>(name)["type"] == kind;
        self.under("log/entries/")
            .into_iter()
            .filter(is)
            .nth(nth)
            .unwrap_or_else(|| panic!("no {kind} {nth}"))
    }

    /// Edits one leaf and leaves everything else as it is.
    pub(crate) fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut value: Value = self.read(name);
        edit(&mut value);
        self.put(name, &value);
    }

    /// The claims that fail, once each.
    pub(crate) fn failures(&self) -> Vec<&'static str> {
        failures(&self.audit())
    }
}

pub(crate) fn failures(audit: &Audit) -> Vec<&'static str> {
    ids(audit, Outcome::is_fail)
}

pub(crate) fn not_shown(audit: &Audit) -> Vec<&'static str> {
    ids(audit, Outcome::is_not_shown)
}

fn ids(audit: &Audit, which: fn(&Outcome) -> bool) -> Vec<&'static str> {
    let ids: BTreeSet<_> =
        audit.claims.iter().filter(|claim| which(&claim.outcome)).map(|claim| claim.id).collect();
    ids.into_iter().collect()
}

/// What was found in the first failure with this id.
pub(crate) fn found(audit: &Audit, id: &str) -> String {
    let failed = audit.claims.iter().find(|claim| claim.id == id && claim.outcome.is_fail());
    match &failed.unwrap_or_else(|| panic!("no {id} in {:?}", failures(audit))).outcome {
        Outcome::Fail { expected, found } => format!("expected {expected}, found {found}"),
        other => panic!("{other:?}"),
    }
}
