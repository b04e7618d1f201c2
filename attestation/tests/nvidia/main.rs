//! NVIDIA devices: genuine reports, minted ones, and what an adversary makes of them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod files;
mod form;
mod genuine;
mod hostile;
mod identity;
mod mint;
mod policy;
mod support;
mod topology;
