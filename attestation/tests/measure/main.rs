//! Launch measurement through its public API: digests that others published, digests that other calculators
//! give for the same files, and firmware that lies.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod boot;
mod golden;
mod hostile_sev;
mod hostile_tdvf;
mod manifest;
mod peers;
mod published;
mod synthetic;
