//! Every named attack on CPU evidence before the production verifier: its base passes, and it gets its check and code
//! at each level, and no other.

#[path = "simulated_attacks/snp.rs"]
mod snp;
#[path = "simulated_attacks/table.rs"]
mod table;
#[path = "simulated_attacks/tdx.rs"]
mod tdx;
