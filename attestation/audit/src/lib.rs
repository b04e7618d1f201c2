//! Re-checks a tournament's bundle from its bytes: evidence, signatures, proofs, and the rules replayed.
//!
//! No network, no clock but the one read for today's date, no keys. Every statement is a [`Claim`]: PASS, FAIL
//! with what was expected and found, or NOT SHOWN with the reason.

mod args;
mod claim;
mod documents;
mod guests;
mod log;
mod promises;
mod report;
mod verify;

pub use args::main;
pub use claim::{Claim, Outcome};
pub use verify::{Audit, Entrant, Pins, verify};
