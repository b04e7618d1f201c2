//! The parsers of hostile bytes, one function each: what it reads, and what must hold of everything that it accepts.
//!
//! `make fuzz` gives them mutated inputs, `replay.rs` the seeds and the corpus. A panic is a finding in both, whether
//! in a parser or in an assertion here: nothing forged is accepted, what was read is written again as it was, no limit
//! is passed.

use std::path::{Path, PathBuf};

mod bundle;
mod ccel;
mod chain;
mod cmw;
mod collateral;
mod envelope;
mod files;
mod ground;
mod measure;
mod policy;
mod revocation;
mod rim;
mod snp;
mod spdm;
mod tcb;
mod tdx;
mod token;

/// One parser, or a few that read the same bytes.
#[allow(dead_code, reason = "fuzzing and replay each read some members")]
pub struct Target {
    /// Name of its corpus folder.
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs to start from, made of the genuine vectors and of the simulator's.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Inputs at the parser's own limit, or near it, that are made to cost as much as they can.
    pub costly: fn() -> Vec<Vec<u8>>,
    /// Longest input that the parser looks into, in bytes. `replay.rs` tries one byte more.
    pub limit_bytes: usize,
    /// Longest input that mutation makes: over the limit where the limit is low, else as long as is quick. What is
    /// longer is read, and no more than that where its properties would cost several readings: its time counts.
    pub mutated_bytes: usize,
    /// Texts that mutation would not guess.
    pub words: &'static [&'static str],
}

pub const TARGETS: &[Target] = &[
    snp::TARGET,
    tdx::TARGET,
    spdm::TARGET,
    chain::TARGET,
    revocation::TARGET,
    rim::TARGET,
    collateral::TARGET,
    tcb::TARGET,
    bundle::TARGET,
    ccel::TARGET,
    policy::TARGET,
    token::TARGET,
    envelope::TARGET,
    measure::TARGET,
    files::TARGET,
    cmw::TARGET,
];

/// Inputs that mutation found, kept because each reaches what no other does; and inputs that once were findings.
#[allow(dead_code, reason = "only replay reads it")]
pub fn corpus(target: &Target) -> PathBuf {
    ground::repository().join("tests/fuzz/corpus").join(target.name)
}

/// Files of a folder by name; none where there is no folder.
pub fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}
