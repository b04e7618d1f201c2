//! The broker as rollback witness of a referee's log: a log goes on, or the referee goes without (FEDERATION 6).

use rusqlite::Connection;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::ledger::{Checkpoint, NoteKey, verify_consistency};
use tiltyard_provisioning::release::AttestRequest;

use super::attest::Attested;
use super::{Code, Core, Denial, LogState};
use crate::store::ledger::{self, RefereeLog};

impl Core {
    /// Holds the checkpoint that a referee shows against the one remembered, and remembers the newer one.
    ///
    /// A log that has once been shown must be shown from then on, also by the next boot: a referee whose
    /// host hid the log from it would otherwise begin a second one.
    pub(super) fn hold_log(
        &self,
        connection: &Connection,
        attested: &Attested,
        request: &AttestRequest,
    ) -> Result<(), Denial> {
        let p = self.charter.p();
        let remembered = ledger::referee_log(connection, &p)?;
        let shown = match (&request.checkpoint, &remembered) {
            (None, None) => return Ok(()),
            (None, Some(old)) => return Err(rolled_back(old, "expected a checkpoint, found none")),
            (Some(note), old) => read(note, attested, old.as_ref())?,
        };
        if let Some(old) = &remembered {
            if shown.origin != old.origin {
                let detail = format!("expected log {}, found {}", old.origin, shown.origin);
                return Err(rolled_back(old, &detail));
            }
            verify_consistency(old.size, &old.root, shown.size, &shown.root, &request.consistency)
                .map_err(|error| rolled_back(old, &error.to_string()))?;
        }
        Ok(ledger::set_referee_log(connection, &p, &shown)?)
    }
}

/// Reads a checkpoint signed by this boot, or by the boot whose log it goes on with.
fn read(note: &str, attested: &Attested, old: Option<&RefereeLog>) -> Result<RefereeLog, Denial> {
    let origin = note.lines().next().unwrap_or_default();
    let open = |public: Hex<32>| {
        let key = NoteKey { name: origin.to_owned(), public };
        let Checkpoint { origin, size, root } = Checkpoint::open(note, &key)?;
        Ok(RefereeLog { origin, size, root, signing: public })
    };
    let own = open(attested.signing);
    let outcome = match (own, old) {
        (Err(_), Some(old)) => open(old.signing),
        (own, _) => own,
    };
    outcome.map_err(|error: tiltyard_provisioning::ledger::LedgerError| {
        Denial::new(Code::StateRolledBack, format!("the log's checkpoint: {error}"))
    })
}

fn rolled_back(old: &RefereeLog, detail: &str) -> Denial {
    let remembered = Some(LogState { size: old.size, root: old.root });
    Denial { remembered, ..Denial::new(Code::StateRolledBack, detail) }
}
