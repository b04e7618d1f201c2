//! The broker: a secret owner's key release service, and the tool with which it seals and signs.
//!
//! A data owner, an operator or an entrant runs `tiltyard-broker` on its own machine. It keeps that
//! party's keys, wrapped under a passphrase, and gives each of them only to a guest whose evidence it
//! has appraised itself, in the role and at the stage that the charter names, after the release has
//! become durable in its ledger (PROVISIONING 4 to 7).
//!
//! The protocol's rules are [`Core`]: no socket, no clock of its own. `serve` puts TLS 1.3 and HTTP
//! around it. [`run`] is the command line.
//!
//! ```
//! use clap::Parser as _;
//! use tiltyard_broker::LowArgs;
//!
//! let typed = ["tiltyard-broker", "init", "--dir", "owner", "--role", "owner", "--passphrase-fd", "0"];
//! assert!(LowArgs::try_parse_from(typed).is_ok());
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics has failed"))]

mod cli;
mod clock;
mod command;
mod error;
mod file;
mod identity;
mod object;
mod passphrase;
mod protocol;
mod serve;
mod store;

pub use cli::{LowArgs, run, unparsed};
pub use clock::now;
pub use error::BrokerError;
pub use file::{read_limited, write_private};
pub use identity::{EntrantIdentity, Home, PublicIdentity};
pub use passphrase::{Passphrase, PassphraseSource};
pub use protocol::{Channel, Code, Core, Denial, Setup};
pub use store::{Store, StoreError};
