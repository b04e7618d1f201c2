//! The verifier through its public API: genuine reports of AMD chips, and reports minted under roots of
//! our own for what no public report shows.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "a test that panics has failed")]

mod binding;
mod bundle;
mod chain;
mod chip;
mod devices;
mod document;
mod examined;
mod genuine;
mod guest;
mod hostile;
mod minted;
#[path = "../shared/pcs.rs"]
mod pcs;
mod table;
mod token;
