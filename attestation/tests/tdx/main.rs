//! TDX quotes, Intel's collateral and event logs through the public API: genuine vectors, and what an attacker can
//! make of them without a key. Quotes that are signed again are tested with the simulator that signs them.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "a test that panics has failed")]

mod collateral;
mod eventlog;
mod flips;
mod form;
mod genuine;
mod peer;
mod policy;
mod support;
