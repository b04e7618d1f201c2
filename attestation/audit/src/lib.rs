//! Re-checks a tournament's bundle from its bytes: evidence, signatures, proofs, and the rules replayed.
//!
//! No network, no clock, no keys: the same bundle and the same [`Pins`] always give the same [`Audit`]. Every
//! statement is a [`Claim`]: PASS and by what, FAIL with what was expected and found, or NOT SHOWN with the
//! reason.

mod appraise;
mod args;
mod claim;
mod date;
mod documents;
mod error;
mod facts;
mod guests;
mod log;
mod output;
mod promises;
mod report;
mod roll;
mod text;
mod token;
mod verify;
mod work;

pub use args::main;
pub use claim::{Claim, Outcome};
pub use facts::{CharterFacts, DatasetFacts, Entrant, EntrantTask, GuestFacts, ImageFacts, RecordFacts};
pub use promises::{Kept, LIMITS, Limit, Promise};
pub use report::html;
pub use text::{Detail, text};
pub use verify::{Audit, Overall, Pins, verify, verify_owned};
