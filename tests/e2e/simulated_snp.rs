//! The production verifier over simulated SNP evidence: what it accepts, and one broken rule at a time.
//!
//! Each negative test is named for the check that must refuse it, and demands the exact set of findings.

#[path = "simulated_snp/accepted.rs"]
mod accepted;
#[path = "simulated_snp/bench.rs"]
mod bench;
#[path = "simulated_snp/binding.rs"]
mod binding;
#[path = "simulated_snp/chain.rs"]
mod chain;
#[path = "simulated_snp/layout.rs"]
mod layout;
#[path = "simulated_snp/policy.rs"]
mod policy;
