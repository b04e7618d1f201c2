//! Simulated TDX evidence before readers that are not ours, dcap-qvl and x509-cert, and before our own.
//!
//! What the simulator mints must be what Intel's own would be, or a verifier that accepts it proves nothing.

#[path = "simulated_tdx/attacks.rs"]
mod attacks;
#[path = "simulated_tdx/genuine_forms.rs"]
mod genuine_forms;
#[path = "simulated_tdx/peer.rs"]
mod peer;
#[path = "simulated_tdx/verdicts.rs"]
mod verdicts;
