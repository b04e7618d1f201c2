//! Sealed data, the charter, key release and the ledger: what an owner of a secret needs, without I/O.
//!
//! No async runtime, no clock, no ambient randomness: `now`, random bytes and files come in as arguments.

pub mod bundle;
pub mod channel;
pub mod charter;
pub mod container;
pub mod dataset;
pub mod dek;
pub mod dsse;
pub mod hpke;
pub mod json;
pub mod keyfile;
pub mod keyid;
pub mod ledger;
pub mod manifest;
pub mod normalise;
pub mod order;
pub mod output;
pub mod record;
pub mod release;
pub mod stage;
pub mod statement;
