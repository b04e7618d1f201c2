//! The roll: who competes.

use tiltyard_attestation::Hex;
use tiltyard_provisioning::channel::{Ack, Entries, RollEntry};
use tiltyard_provisioning::record::members;
use tiltyard_tournament::{Digest, DrawSeed, Entry, Label, Minor, Title};

use super::{Desk, refused, rules};
use crate::error::GuestError;

impl Desk {
    /// Admits the roll, closes it, and sends out the first round.
    pub(super) async fn enter(&mut self, entries: Entries) -> Result<Ack, GuestError> {
        if self.closed {
            return Ok(refused("FieldClosed"));
        }
        let mut admitted: Vec<(Entry, RollEntry)> = Vec::new();
        for entry in entries.entries {
            // A row without both signatures is nobody's: the host made it up.
            if let Ok(body) = self.admit(&entry) {
                admitted.push((body, entry));
            }
        }
        // One order for one roll, whatever the host shuffles: the draw depends on it.
        admitted.sort_by_key(|(body, _)| (body.seq, body.submission));
        for (body, entry) in admitted {
            let name = members::roll(body.seq);
            // A refusal by the rules is a leaf of its own, with its reason.
            let taken = self.conductor.enter(self.now(), body).is_ok();
            if taken || !self.archive.holds(&name) {
                self.archive.add(name, &entry)?;
            }
        }
        // The broker has seen the entries before the draw that depends on them is made: a restart can't take others.
        self.flush().await?;
        self.renew().await?;
        self.close().await?;
        self.go_on().await?;
        Ok(Ack::Done)
    }

    pub(super) async fn close(&mut self) -> Result<(), GuestError> {
        self.conductor.close(self.now(), &DrawSeed::new(*self.seed)).map_err(rules)?;
        self.closed = true;
        self.flush().await
    }

    /// A roll entry whose signatures hold: the operator's over the row, the entrant's over the submission.
    pub(super) fn admit(&self, entry: &RollEntry) -> Result<Entry, GuestError> {
        let terms = &self.guest.charter.tournament;
        let row = entry.row.verify(&terms.roll_key).map_err(rules)?;
        let submission = entry.submission.verify(&entry.submission.key).map_err(rules)?;
        if submission.digest() != row.submission
            || submission.entrant != row.entrant
            || Hex::sha256(entry.submission.key.bytes()) != row.entrant
            || submission.tournament != terms.id
            || submission.v != 1
            || submission.base != self.guest.charter.base.name
        {
            return Err(GuestError::Tournament("roll row and submission differ".to_owned()));
        }
        Ok(Entry {
            entrant: (*row.entrant.bytes()).into(),
            submission: (*row.submission.bytes()).into(),
            normalised_sha256: Digest(*submission.normalised_sha256.bytes()),
            label: Label::new(&row.label).map_err(rules)?,
            seq: row.seq,
            buy_in: Minor(row.buy_in),
            stake: row.stake,
            completed_entries: row.completed_entries,
            champion: row.champion.then(Title::first),
        })
    }
}
