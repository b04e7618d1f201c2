//! The run-time registers: replayed from the digests that were extended into them.

use ring::digest::{Context, SHA384};

use crate::Hex;
use crate::measure::MeasureError;
use crate::measure::hash::finish;

/// Most events of one register.
pub const EVENTS_MAX: usize = 4096;

/// A register after `events`: r' = SHA-384(r || digest), from 48 zero bytes (348549, "RTMR").
pub fn rtmr(events: &[Hex<48>]) -> Hex<48> {
    events.iter().fold(Hex([0; 48]), |register, event| {
        let mut context = Context::new(&SHA384);
        context.update(&register.0);
        context.update(&event.0);
        Hex(finish(context))
    })
}

/// RTMR0 after `events`, each of which must be on the image's list.
///
/// The register follows what the VMM generates, its ACPI tables among them, so it is not predicted.
pub fn rtmr0(events: &[Hex<48>], allowed: &[Hex<48>]) -> Result<Hex<48>, MeasureError> {
    for got in [events.len(), allowed.len()] {
        if got > EVENTS_MAX {
            return Err(MeasureError::EventCount { limit: EVENTS_MAX, got });
        }
    }
    match events.iter().enumerate().find(|(_, event)| !allowed.contains(event)) {
        Some((index, got)) => Err(MeasureError::UnknownEvent { index, got: *got }),
        None => Ok(rtmr(events)),
    }
}
