//! The one program inside a guest: it shows what it is, is leased a role, does that role's work, and ends.
//!
//! A guest has no network and no disk of its own. It has one stream to the host (hostile), read-only inputs
//! found by digest, and the platform's report interface. Everything that leaves is sealed to an attested or
//! pinned key, or is a signed statement, or is an enum.

pub mod attested;
mod attester;
mod boot;
mod broker;
mod channel;
pub mod collect;
mod error;
mod evaluator;
mod inputs;
mod losses;
mod referee;
mod session;
mod trainer;

pub use boot::run;
pub use error::GuestError;
