//! In plain words: what the charter promised, what was shown by which claims, and what no bundle shows.

use std::collections::BTreeSet;

use serde::Serialize;
use tiltyard_attestation::result::Anchors;
use tiltyard_provisioning::record::Record;

use crate::claim::{Claim, Claims};
use crate::date::utc;
use crate::facts::CharterFacts;
use crate::guests::ShownGuests;

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    Shown,
    /// Some of it lies outside of the bundle.
    ShownInPart,
    Contradicted,
    NotShown,
}

/// One promise of the charter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promise {
    pub promised: String,
    pub kept: Kept,
    pub evidence: &'static str,
    /// Ids of the claims that it rests on.
    pub claims: Vec<&'static str>,
}

/// A limit that holds for every bundle (THREATS 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    pub id: &'static str,
    pub open: &'static str,
    pub instead: &'static str,
}

impl Kept {
    pub fn word(self) -> &'static str {
        match self {
            Self::Shown => "SHOWN",
            Self::ShownInPart => "SHOWN IN PART",
            Self::Contradicted => "CONTRADICTED",
            Self::NotShown => "NOT SHOWN",
        }
    }

    fn of(ids: &[&'static str], claims: &[Claim]) -> Self {
        let own = || claims.iter().filter(|claim| ids.contains(&claim.id));
        let passed: BTreeSet<_> =
            own().filter(|claim| claim.outcome.is_pass()).map(|claim| claim.id).collect();
        if own().any(|claim| claim.outcome.is_fail()) {
            Self::Contradicted
        } else if passed.is_empty() {
            Self::NotShown
        } else if passed.len() < ids.len() || own().any(|claim| claim.outcome.is_not_shown()) {
            Self::ShownInPart
        } else {
            Self::Shown
        }
    }
}

/// Every promise of a charter with what the claims say about it; none without a charter.
pub(crate) fn promises(charter: Option<&CharterFacts>, claims: &[Claim]) -> Vec<Promise> {
    let Some(charter) = charter else { return Vec::new() };
    let mut all = parties(charter);
    all.extend(keys(charter));
    all.extend(outcome(charter));
    all.into_iter()
        .map(|(promised, evidence, ids)| {
            let ids = ids.to_vec();
            Promise { promised, kept: Kept::of(&ids, claims), evidence, claims: ids }
        })
        .collect()
}

type Row = (String, &'static str, &'static [&'static str]);

fn parties(charter: &CharterFacts) -> Vec<Row> {
    vec![
        (
            format!(
                "Owner and operator agreed on one text: charter {}, version {}.",
                charter.id, charter.version
            ),
            "both signatures over the same bytes, and the parties' keys where the auditor knows them",
            &["CHT-1", "CHT-2", "CHT-3"],
        ),
        (
            format!("Everything happens between {} and {}.", utc(charter.not_before), utc(charter.not_after)),
            "the times of releases, orders, log entries and record, from the brokers' clocks",
            &["CHT-4"],
        ),
    ]
}

fn keys(charter: &CharterFacts) -> Vec<Row> {
    let images: Vec<&str> = charter.images.iter().map(|image| image.name.as_str()).collect();
    vec![
        (
            format!("Keys go to guests of the image {} only, appraised at level {}.", images.join(", "), charter.level),
            "each guest's evidence, appraised again from its bytes as of the time of its release",
            &["ANC-1", "EVD-1", "EVD-2", "EVD-3", "LSE-1", "LSE-2"],
        ),
        (
            "Each release of a key is written down before the key leaves.".to_owned(),
            "signed receipts with inclusion proofs in the owner's ledger",
            &["RCP-1", "RCP-2", "RCP-4", "LGR-1", "LGR-2"],
        ),
        (
            "Trainers see training rows only, evaluators test rows only, after training; the referee sees neither."
                .to_owned(),
            "the key names in each receipt against role, order and charter; their order in the ledger",
            &["RCP-3", "RCP-5"],
        ),
        (
            "Guests run on genuine confidential hardware.".to_owned(),
            "the roots that the evidence leads to, and the platforms it names",
            &["HW-1"],
        ),
    ]
}

fn outcome(charter: &CharterFacts) -> Vec<Row> {
    vec![
        (
            "The field is what the operator admitted and the entrants signed.".to_owned(),
            "signed roll rows and submissions against the record's entries",
            &["ROL-1", "ROL-2", "ROL-3"],
        ),
        (
            "Only the referee gives orders, on tasks that nobody could choose.".to_owned(),
            "orders signed by an attested key; the draw's seed against its commitment",
            &["ORD-1", "ORD-2", "DRW-1"],
        ),
        (
            format!(
                "Every score is an attested evaluator's, on {} held-out items of each task.",
                charter.test_items
            ),
            "results signed by attested keys against the record's outcomes and the artefacts' digests",
            &["RES-1", "RES-2", "ORD-3", "ITM-1"],
        ),
        (
            "The standings follow from the rulebook.".to_owned(),
            "the rulebook's digest, and a full replay that must give the same bytes",
            &["RUL-1", "RUL-2", "TRN-1", "TRN-2"],
        ),
        (
            "The record is one unbroken log, and nobody changed it afterwards.".to_owned(),
            "the log's root under a checkpoint of the referee's attested key, a proof for each leaf, the signed record",
            &["LOG-1", "LOG-2", "LOG-3", "REC-1", "REC-2", "WIT-1"],
        ),
    ]
}

/// What this bundle could not show even if every byte of it is right.
pub(crate) fn not_in_the_bundle(
    anchors: Option<Anchors>,
    guests: &ShownGuests,
    record: Option<&Record>,
    claims: &mut Claims,
) {
    let title = "the guests ran on genuine confidential hardware";
    match anchors {
        Some(Anchors::Vendor) if !guests.is_empty() => {
            claims.pass("HW-1", "guests", title, "evidence under the vendors' own roots");
        }
        Some(roots @ Anchors::NotVendor(_)) => {
            let backends: BTreeSet<String> =
                guests.values().map(|guest| format!("{:?}", guest.backend).to_lowercase()).collect();
            let backends: Vec<String> = backends.into_iter().collect();
            let why =
                format!("{roots}; backend {}: a simulator stands for the hardware", backends.join(", "));
            claims.not_shown("HW-1", "guests", title, why);
        }
        Some(Anchors::Vendor) | None => {
            claims.not_shown("HW-1", "guests", title, "no guest's evidence was accepted");
        }
    }
    let title = "somebody other than owner and operator saw this log grow";
    let unwitnessed = record.is_none_or(|record| record.unwitnessed);
    let why = if unwitnessed {
        "UNWITNESSED: no external witness cosigned; against a fork only the owner's broker stands"
    } else {
        "the record speaks of witnesses, but the bundle holds no cosignature"
    };
    claims.not_shown("WIT-1", "log", title, why);
    let rest = [
        (
            "NON-1",
            "each nonce was fresh when it was answered",
            "that it was issued at most 60 s before is the owner's broker's word",
        ),
        (
            "LGR-1",
            "the owner's broker released nothing else",
            "the bundle holds one receipt of each guest, not the whole ledger; the owner has it",
        ),
        (
            "LGR-2",
            "the operator's broker released submissions to their trainers only",
            "its receipts are not in the bundle; the operator has its ledger",
        ),
        (
            "ROL-3",
            "nobody whom the operator admitted was left out",
            "the rows are signed one by one, not the roll as a whole; the operator can compare it",
        ),
        (
            "ITM-1",
            "each score is the mean of its item losses, and copies are copies",
            "the item losses are the owner's; the bundle holds their salted roots (depth `record`)",
        ),
    ];
    for (id, title, why) in rest {
        claims.not_shown(id, "bundle", title, why);
    }
}

/// Out of scope of any bundle (THREATS 4).
pub const LIMITS: [Limit; 13] = [
    Limit {
        id: "R1",
        open: "physical attacks on a machine, and attestation keys that were taken out of one",
        instead: "enrolled machines with custody records, keys for one tournament, short leases",
    },
    Limit {
        id: "R2",
        open: "a CPU or GPU vendor that is dishonest or compelled, or its root key",
        instead: "roots are pinned and printed",
    },
    Limit {
        id: "R3",
        open: "denial of service: a host can always stop or withhold",
        instead: "it is recorded, and tried again as often as the rulebook says",
    },
    Limit {
        id: "R4",
        open: "trained weights carry information about their data, and this channel can't be closed",
        instead: "weights go to the data's owner only",
    },
    Limit {
        id: "R5",
        open: "side channels: caches, page faults, power, sizes, timing",
        instead: "constant-time cryptography and padding; the rest is stated",
    },
    Limit {
        id: "R6",
        open: "an escape from the trainer's sandbox together with a colluding host",
        instead: "damage ends at one task's training rows and one submission",
    },
    Limit {
        id: "R7",
        open: "parties that collude see what they may open together",
        instead: "no pair opens a third party's secret by protocol",
    },
    Limit {
        id: "R8",
        open: "that a GPU sits in the machine that names it",
        instead: "device lists and custody",
    },
    Limit {
        id: "R9",
        open: "a fork of the log by an owner who sides with the host",
        instead: "UNWITNESSED is printed wherever no external witness signed",
    },
    Limit {
        id: "R10",
        open: "trusted time inside a guest does not exist",
        instead: "nonces, brokers' times, windows with two sides",
    },
    Limit {
        id: "R11",
        open: "flaws that no advisory names yet",
        instead: "old bundles can be appraised again at a later time",
    },
    Limit {
        id: "R12",
        open: "that no copy of memory exists after deletion",
        instead: "the broker's key is destroyed, leases were bounded",
    },
    Limit {
        id: "R13",
        open: "whether the training was sensible, the rulebook fair, the data lawful",
        instead: "roll and charter are signed by those who answer for it",
    },
];
