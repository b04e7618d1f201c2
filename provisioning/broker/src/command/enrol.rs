//! `enrol`: the operator admits a submission, keeps its key, signs a row of the roll.

use ring::rand::SystemRandom;
use rusqlite::Connection;
use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::RollEntry;
use tiltyard_provisioning::dek::{Dek, WrapAad, WrapKind};
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::order::{RollRow, Submission};
use tiltyard_provisioning::statement::{Signed, Verified};

use super::submit::Handover;
use super::{read_document, unlock};
use crate::cli::{EnrolArgs, Facts, OutputForm};
use crate::file::Target;
use crate::identity::{Secret, Unlocked};
use crate::store::deks::{self, Wrapped};
use crate::store::roll::{self, Admitted};
use crate::{BrokerError, now};

#[derive(Serialize)]
struct Enrolled {
    submission: Hex<32>,
    entrant: Hex<32>,
    label: String,
    seq: u64,
    champion: bool,
    /// The submission was in the roll already: this is the row of then.
    again: bool,
}

pub(super) fn enrol(args: EnrolArgs, form: OutputForm) -> Result<(), BrokerError> {
    let out = Target::new(&args.out, &[&args.home.dir, &args.submission])?;
    let handover: Handover = read_document(&args.submission)?;
    let mut home = unlock(&args.home)?;
    home.operator("enrol")?;
    let submission = verified(&handover.submission)?;
    let known = roll::entry_of(home.store.read(), &submission.digest())?;
    let again = known.is_some();
    let entry = match known {
        Some(entry) => entry,
        None => admit(&mut home, &args, &handover, &submission)?,
    };
    out.write(entry.as_bytes())?;

    let entry: RollEntry =
        serde_json::from_str(&entry).map_err(|_| crate::StoreError::Damaged { what: "a row of the roll" })?;
    let row: RollRow = serde_json::from_slice(&entry.row.payload.0)
        .map_err(|_| crate::StoreError::Damaged { what: "a row of the roll" })?;
    let RollRow { submission, entrant, label, seq, champion, .. } = row;
    Enrolled { submission, entrant, label, seq, champion, again }.print(form)
}

/// The entrant is the digest of the key that signed, so the key in the statement proves itself.
fn verified(signed: &Signed<Submission>) -> Result<Verified<Submission>, BrokerError> {
    let refused = |what: String| BrokerError::refused("E_SUBMISSION", what);
    let submission = signed.verify(&signed.key).map_err(|error| refused(error.to_string()))?;
    let expected = Hex::sha256(signed.key.bytes());
    if submission.entrant != expected {
        return Err(refused(format!("expected entrant {expected}, found {}", submission.entrant)));
    }
    if submission.v != 1 {
        return Err(refused(format!("expected version 1, found {}", submission.v)));
    }
    Ok(submission)
}

fn admit(
    home: &mut Unlocked,
    args: &EnrolArgs,
    handover: &Handover,
    submission: &Verified<Submission>,
) -> Result<String, BrokerError> {
    let id = submission.digest();
    let key = handover
        .escrow
        .open(&id, &home.hpke()?)
        .map_err(|error| BrokerError::refused(error.code(), format!("escrow: {error}")))?;
    let dek = Dek::from_bytes(key).map_err(BrokerError::coded)?;
    let key_id = KeyId::Submission(id);
    let aad = WrapAad { key_id: key_id.to_string(), kek_id: home.kek.id(), version: 1, kind: WrapKind::Dek };
    let bytes = home.kek.wrap(dek.expose(), &aad, &SystemRandom::new()).map_err(BrokerError::coded)?;
    let roll_key = home.ed25519(Secret::Roll)?;
    let now = now();
    home.store.write(|connection| {
        refuse_copies(connection, submission, args.champion)?;
        let seq = roll::next_seq(connection, &submission.tournament)?;
        let row = RollRow {
            entrant: submission.entrant,
            label: args.label.clone(),
            submission: id,
            seq,
            buy_in: args.buy_in,
            stake: args.stake,
            completed_entries: args.completed_entries,
            log_permitted: args.log_permitted,
            champion: args.champion,
        };
        let entry = RollEntry { row: Signed::sign(&row, &roll_key), submission: handover.submission.clone() };
        // Strings and integers only, which always serialise.
        let entry = serde_json::to_string(&entry).unwrap_or_default();
        deks::add(connection, &key_id, &Wrapped { version: 1, bytes }, None, now)?;
        let admitted = Admitted {
            tournament: &submission.tournament,
            seq,
            submission: id,
            normalised: submission.normalised_sha256,
            champion: args.champion,
            entry: &entry,
        };
        roll::admit(connection, &admitted)?;
        Ok::<_, BrokerError>(entry)
    })
}

/// TOURNAMENT 6, "Duplicates": the earlier sequence number stays, the later is refused. One champion a roll.
fn refuse_copies(
    connection: &Connection,
    submission: &Submission,
    champion: bool,
) -> Result<(), BrokerError> {
    let same = roll::same_content(connection, &submission.tournament, &submission.normalised_sha256)?;
    if let Some((seq, earlier)) = same {
        let what = format!("the same content as {earlier}, which is number {seq} of the roll");
        return Err(BrokerError::refused("E_DUPLICATE", what));
    }
    match roll::champion(connection, &submission.tournament)? {
        Some(holder) if champion => {
            Err(BrokerError::refused("E_CHAMPION", format!("{holder} holds the title already")))
        }
        Some(_) | None => Ok(()),
    }
}

impl Facts for Enrolled {
    fn lines(&self) -> Vec<String> {
        let title = if self.champion { ", champion" } else { "" };
        let again = if self.again { " (already in the roll)" } else { "" };
        vec![format!("{} is number {}{title}: {}{again}", self.label, self.seq, self.submission)]
    }
}
