//! From a bundle's members to documents. A member that is in no place of the format is a FAIL of its own.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::bundle::{Bundle, INDEX};
use tiltyard_provisioning::channel::RollEntry;
use tiltyard_provisioning::json;
use tiltyard_provisioning::order::Order;
use tiltyard_provisioning::record::{AttestedGuest, Record, members};
use tiltyard_provisioning::statement::Signed;

use crate::claim::Claims;

/// All documents of a bundle, none of them checked yet.
pub(crate) struct Documents {
    pub(crate) charter: Option<Vec<u8>>,
    pub(crate) rulebook: Option<Vec<u8>>,
    pub(crate) anchors: Option<Vec<u8>>,
    pub(crate) roll: BTreeMap<String, RollEntry>,
    pub(crate) guests: BTreeMap<String, AttestedGuest>,
    pub(crate) orders: BTreeMap<Hex<32>, Signed<Order>>,
    pub(crate) results: BTreeMap<Hex<32>, Vec<u8>>,
    pub(crate) leaves: Vec<Vec<u8>>,
    pub(crate) proofs: Vec<String>,
    pub(crate) checkpoint: Option<String>,
    pub(crate) record: Option<Signed<Record>>,
}

impl Documents {
    pub(crate) fn of(bundle: &Bundle, claims: &mut Claims) -> Self {
        let mut documents = Self {
            charter: owned(bundle, members::CHARTER),
            rulebook: owned(bundle, members::RULEBOOK),
            anchors: owned(bundle, members::ANCHORS),
            roll: BTreeMap::new(),
            guests: BTreeMap::new(),
            orders: BTreeMap::new(),
            results: BTreeMap::new(),
            leaves: Vec::new(),
            proofs: Vec::new(),
            checkpoint: text(bundle, members::CHECKPOINT),
            record: None,
        };
        let mut broken = Vec::new();
        for name in bundle.names() {
            let bytes = bundle.get(name).unwrap_or_default();
            if documents.place(name, bytes).is_none() {
                broken.push(name.to_owned());
            }
        }
        if broken.is_empty() {
            claims.pass(
                "BDL-2",
                "bundle",
                "every member is a document of the format",
                "its name and its syntax",
            );
        } else {
            claims.fail(
                "BDL-2",
                "bundle",
                "every member is a document of the format",
                "known names and well-formed documents",
                broken.join(", "),
            );
        }
        documents
    }

    /// Puts one member in its place; `None` when it has none or is malformed.
    fn place(&mut self, name: &str, bytes: &[u8]) -> Option<()> {
        match name {
            INDEX | members::CHARTER | members::RULEBOOK | members::ANCHORS | members::CHECKPOINT => {}
            members::RECORD => self.record = Some(read(bytes)?),
            _ => match name.split('/').collect::<Vec<_>>().as_slice() {
                ["roll", file] => {
                    self.roll.insert(file.strip_suffix(".json")?.to_owned(), read(bytes)?);
                }
                ["guests", file] => {
                    self.guests.insert(file.strip_suffix(".json")?.to_owned(), read(bytes)?);
                }
                ["orders", file] => {
                    self.orders.insert(file.strip_suffix(".json")?.parse().ok()?, read(bytes)?);
                }
                ["results", file] => {
                    self.results.insert(file.strip_suffix(".json")?.parse().ok()?, bytes.to_vec());
                }
                // Names are sorted and numbers have one width, so that members come in the log's order.
                ["log", "entries", _] if name == members::leaf(self.leaves.len() as u64) => {
                    self.leaves.push(bytes.to_vec());
                }
                ["log", "proofs", _] if name == members::proof(self.proofs.len() as u64) => {
                    self.proofs.push(String::from_utf8(bytes.to_vec()).ok()?);
                }
                _ => return None,
            },
        }
        Some(())
    }
}

/// A document of ours; its size is bounded by the bundle's.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    json::read(bytes, bytes.len()).ok()
}

fn owned(bundle: &Bundle, name: &str) -> Option<Vec<u8>> {
    bundle.get(name).map(<[u8]>::to_vec)
}

fn text(bundle: &Bundle, name: &str) -> Option<String> {
    String::from_utf8(owned(bundle, name)?).ok()
}
