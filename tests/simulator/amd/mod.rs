//! Plays AMD's provisioning and one chip's firmware: NOT A VENDOR ROOT.
//!
//! A seed gives ARK, ASK and ASVK, one chip's VCEK and one provider's VLEK with AMD's own certificate layout
//! (VCEK and KDS specification 57230), and reports V2 to V5 for Milan, Genoa and Turin under either key. No public
//! sample exists of a V4 or V5 report and of a Turin report: their layout is the specification's alone.
//!
//! - [`report`]: the fields of one report, each settable, so that a test breaks exactly one rule and signs again.
//! - [`certificates`]: the same for the certificates and the revocation list.
//! - [`platform`]: one machine that signs.

pub mod certificates;
pub mod certs_table;
mod issue;
pub mod keys;
pub mod platform;
pub mod report;
