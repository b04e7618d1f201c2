//! The signed documents and proofs that owner, broker, guest and auditor exchange, through the public API.

#![allow(clippy::unwrap_used)]

mod bundle;
mod charter;
mod fixture;
mod hpke;
mod ledger;
mod stage;
