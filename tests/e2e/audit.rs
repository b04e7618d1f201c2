//! The auditor over a whole bundle: one that holds, and the same with one thing wrong.
//!
//! The tournament, the broker's ledger and the signatures are real; only training is left out, and the evidence
//! is the simulator's. Each hostile case demands the exact set of claims that fail.

#![allow(clippy::unwrap_used)]

#[path = "audit/bundle.rs"]
mod bundle;
#[path = "audit/dishonest.rs"]
mod dishonest;
#[path = "audit/honest.rs"]
mod honest;
#[path = "audit/play.rs"]
mod play;
#[path = "audit/tampered.rs"]
mod tampered;
