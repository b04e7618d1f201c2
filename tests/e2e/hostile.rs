//! Attacks on the real pieces, each with the error that it gets: no key is released, and no ledger grows.
//!
//! The broker is the shipped program behind its own TLS; guests are made of keys and simulated evidence, so that
//! each case can lie about exactly one thing. What a host does to a running tournament (killed guests, a killed
//! agent) is shown on the whole system elsewhere.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "hostile/charters.rs"]
mod charters;
#[path = "hostile/client.rs"]
mod client;
#[path = "hostile/devices.rs"]
mod devices;
#[path = "hostile/evidence.rs"]
mod evidence;
#[path = "hostile/guest.rs"]
mod guest;
#[path = "hostile/inputs.rs"]
mod inputs;
#[path = "hostile/nonces.rs"]
mod nonces;
#[path = "hostile/objects.rs"]
mod objects;
#[path = "hostile/parties.rs"]
mod parties;
#[path = "hostile/program.rs"]
mod program;
#[path = "hostile/record.rs"]
mod record;
#[path = "../../enclave/tournament/tests/sim/mod.rs"]
mod sim;
#[path = "hostile/stages.rs"]
mod stages;
#[path = "hostile/tokens.rs"]
mod tokens;
#[path = "hostile/wire.rs"]
mod wire;
#[path = "hostile/yard.rs"]
mod yard;
