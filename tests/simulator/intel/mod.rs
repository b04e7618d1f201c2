//! Plays Intel's provisioning, its certification service (PCS) and one TDX machine: NOT A VENDOR ROOT.
//!
//! A seed gives the P-256 keys of the SGX root, the PCK platform authority, the TCB signer, one PCK and one
//! attestation key. Everything else is fields, genuine by default: a test changes one and every signature is made
//! again by whoever signs it, or by somebody else where a field says so.
//!
//! - [`Draft`]: quote, collateral and event log of one TD before they are signed; [`Issued`]: the bytes.
//! - [`certificate`], [`sgx`], [`crl`]: the certificates with the extensions of a PCK, and the revocation lists.
//! - [`tcb_info`], [`qe_identity`], [`collateral`]: what the PCS signs, in its own texts and in dcap-qvl's file form.
//! - [`report`], [`quote`]: a TD's report and the quote around it, version 4, or version 5 with body type 2 or 3.
//! - [`event_log`]: a CCEL log that replays to the quote's registers, and the ACPI table that points to it.
//!
//! ```
//! use tiltyard_simulator::intel::{Form, SimulatedTdx};
//!
//! let machine = SimulatedTdx::from_seed(&[7; 32]);
//! let draft = machine.draft(Form::V4, 1_795_392_000);
//! let issued = machine.issue(&draft);
//! assert_eq!(issued.quote[..4], [4, 0, 2, 0]);
//! assert!(issued.collateral.to_json().contains("\"tcb_info\""));
//! ```

pub mod certificate;
pub mod collateral;
pub mod crl;
pub mod event_log;
pub mod keys;
mod machine;
pub mod pem;
pub mod qe_identity;
pub mod quote;
pub mod report;
pub mod sgx;
pub mod tcb_info;
mod text;

pub use keys::Key;
pub use machine::{Draft, Issued, SimulatedTdx};
pub use quote::Form;
pub use tcb_info::EVALUATION;
