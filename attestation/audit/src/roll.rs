//! The roll: what the operator admitted, and what the entrants signed, against the record's entries.

use std::collections::BTreeSet;

use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::RollEntry;
use tiltyard_provisioning::charter::OpenCharter;
use tiltyard_provisioning::order::{RollRow, Submission};
use tiltyard_provisioning::record::members;
use tiltyard_tournament::record::{EntryRefusedBody, LeafType};
use tiltyard_tournament::{Entry, Title};

use crate::claim::{Claims, Compared};
use crate::documents::Documents;
use crate::log::{Leaves, hex};

/// A row and a submission whose signatures held.
struct Admitted {
    row: RollRow,
    submission: Submission,
}

/// Checks each roll entry, then each entry leaf.
pub(crate) fn check(documents: &Documents, leaves: &Leaves, charter: &OpenCharter, claims: &mut Claims) {
    let title = "the operator signed the roll row, the entrant its submission";
    let mut admitted = Vec::new();
    for (name, entry) in &documents.roll {
        let result = admit(name, entry, charter);
        admitted.extend(claims.check("ROL-1", format!("roll {name}"), title, "Ed25519, both", result));
    }
    let mut entered = BTreeSet::new();
    for (at, entry) in leaves.bodies::<Entry>(LeafType::Entry) {
        entered.insert(Hex(*entry.submission.bytes()));
        leaf(at, &entry, &admitted, claims);
    }
    for (at, refused) in leaves.bodies::<EntryRefusedBody>(LeafType::EntryRefused) {
        entered.insert(Hex(*refused.entry.submission.bytes()));
        // A row whose signature did not hold is refused for that, and is no member.
        if refused.reason.is_external() {
            let title = "the refused entry is the operator's row";
            claims.not_shown("ROL-2", format!("leaf {at}"), title, refused.reason);
        } else {
            leaf(at, &refused.entry, &admitted, claims);
        }
    }
    for Admitted { row, .. } in admitted.iter().filter(|admitted| !entered.contains(&admitted.row.submission))
    {
        let title = "the admitted submission stands in the log";
        claims.fail("ROL-2", format!("roll {:06}", row.seq), title, "an entry leaf", "none");
    }
}

fn admit(name: &str, entry: &RollEntry, charter: &OpenCharter) -> Result<Admitted, String> {
    let row = entry.row.verify(&charter.tournament.roll_key).map_err(|error| error.to_string())?;
    let submission = entry.submission.verify(&entry.submission.key).map_err(|error| error.to_string())?;
    let digest = submission.digest();
    let entrant = Hex::sha256(entry.submission.key.bytes());
    let (row, submission) = (row.into_value(), submission.into_value());
    let differs = |what: &str| Err(format!("{what} differs between row, submission and key"));
    if digest != row.submission {
        return differs("the submission");
    }
    if entrant != row.entrant || entrant != submission.entrant {
        return differs("the entrant");
    }
    if submission.tournament != charter.tournament.id {
        return Err(format!("a submission to tournament {}", submission.tournament));
    }
    if members::roll(row.seq) != format!("roll/{name}.json") {
        return Err(format!("row {} under the name {name}", row.seq));
    }
    Ok(Admitted { row, submission })
}

fn leaf(at: usize, entry: &Entry, admitted: &[Admitted], claims: &mut Claims) {
    let title = "the entry is the operator's row and the entrant's submission";
    let subject = format!("leaf {at}");
    let id = Hex(*entry.submission.bytes());
    let Some(Admitted { row, submission }) = admitted.iter().find(|admitted| admitted.row.submission == id)
    else {
        claims.fail("ROL-2", subject, title, "a signed roll row", "none");
        return;
    };
    let compared = Compared::default()
        .field("entrant", row.entrant, Hex(*entry.entrant.bytes()))
        .field("normalised_sha256", submission.normalised_sha256, hex(&entry.normalised_sha256))
        .field("label", row.label.as_str(), entry.label.as_str())
        .field("seq", row.seq, entry.seq)
        .field("buy_in", row.buy_in, entry.buy_in.0)
        .field("stake", row.stake, entry.stake)
        .field("completed_entries", row.completed_entries, entry.completed_entries)
        .field("champion", row.champion.then(Title::first), entry.champion);
    claims.without("ROL-2", subject, title, row.label.as_str(), compared.0);
}
