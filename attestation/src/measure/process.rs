//! The measurement of a guest that is a process.

use ring::digest::{Context, SHA384};

use super::hash::finish;
use crate::Hex;

/// Domain tag of the measurement of a `Process` guest.
const PROCESS_TAG: &[u8] = b"tiltyard-process-measurement-v1\0";

/// MEASUREMENT of a guest of backend `Process`: SHA-384(tag NUL || program bytes).
///
/// Only the simulator signs it, so it exists in `lab` charters only.
pub fn process_measurement(program: &[u8]) -> Hex<48> {
    let mut context = Context::new(&SHA384);
    context.update(PROCESS_TAG);
    context.update(program);
    Hex(finish(context))
}
