//! Every named attack on SEV-SNP evidence before the production verifier: its base passes, and it gets its check and
//! code at each level, and no other. Those on TDX are run by `simulated_tdx`; the tables of both are held to their form
//! here.

#[path = "simulated_attacks/snp.rs"]
mod snp;
#[path = "simulated_attacks/table.rs"]
mod table;
