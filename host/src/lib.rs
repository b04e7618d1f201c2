//! `tiltyard`: launches guests, feeds them, relays for them and remembers what happened.
//!
//! The host is the adversary of the whole system, so nothing here is needed for confidentiality: this
//! program sees ciphertext, evidence and signed records, and names no data, code or record key. What it
//! does wrong shows as refused evidence or as lost availability.

pub mod agent;
pub mod command;
pub mod connect;
pub mod demo;
pub mod journal;
pub mod launch;
pub mod log;
pub mod simulator;
pub mod store;
