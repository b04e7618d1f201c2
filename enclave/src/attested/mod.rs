//! Channels whose ends are known by evidence (ATTESTATION 11).
//!
//! The handshake proves that the peer holds the key of the certificate that it shows, and nothing else: the
//! exporter does not exist before the handshake is over, so no certificate can be bound to its own channel. The
//! first application messages are a nonce and evidence over it. That evidence names the exporter of this very
//! connection, whose context holds the nonce, the side that gives the evidence and the keys of both certificates.
//! An [`Unattested`] connection can do this exchange and nothing else; [`Attested`] carries bytes.
//!
//! TLS 1.3 only, without tickets, resumption or early data: each of them would carry an old binding into a new
//! channel. What holds is that relayed evidence is refused if the machine is on the charter's list and its key was
//! not extracted. There is no formal proof of the exchange.
//!
//! A certificate may carry evidence of the boot as well ([`Identity::certify`]), for readers elsewhere. Here it
//! decides nothing: it is as old as the boot, and anyone can copy it.

mod connection;
mod exchange;
mod handshake;
mod identity;

pub use connection::{ATTESTED_FOR_S, Attested, Shown, Unattested};
pub use exchange::{AttestError, Demand, EXCHANGE_MAX, Lease, Question};
pub use handshake::{Client, Clients, Peer, Server};
pub use identity::Identity;

pub(crate) use handshake::{exporter, spki};
