//! Channels between guests, and to a guest, whose ends are known by simulated evidence; and those who stand between.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the verifier alone")]
#[path = "simulated_snp/bench.rs"]
mod bench;

#[path = "attested_tls/attacks.rs"]
mod attacks;
#[path = "attested_tls/ends.rs"]
mod ends;
#[path = "attested_tls/handshake.rs"]
mod handshake;
#[path = "attested_tls/honest.rs"]
mod honest;
