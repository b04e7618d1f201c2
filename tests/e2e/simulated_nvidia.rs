//! The simulator's NVIDIA sets under independent readers: x509-cert, ring, digests made by another XML library, and
//! the shapes of the genuine files.

#[path = "simulated_nvidia/answers.rs"]
mod answers;
#[path = "simulated_nvidia/attacks.rs"]
mod attacks;
#[path = "simulated_nvidia/chains.rs"]
mod chains;
#[path = "simulated_nvidia/files.rs"]
mod files;
#[path = "simulated_nvidia/genuine.rs"]
mod genuine;
#[path = "simulated_nvidia/manifests.rs"]
mod manifests;
#[path = "simulated_nvidia/reports.rs"]
mod reports;
#[path = "simulated_nvidia/tlv.rs"]
mod tlv;
#[path = "simulated_nvidia/verdicts.rs"]
mod verdicts;

use std::sync::OnceLock;

use tiltyard_simulator::nvidia::{EvidenceSet, Lab};

/// Seed of every set here; the golden digests do not depend on it.
const SEED: [u8; 32] = [7; 32];

fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::from_seed(SEED))
}

/// Name and set: one H100, eight B200, eight H100 and four LS10.
fn sets() -> &'static [(&'static str, EvidenceSet)] {
    static SETS: OnceLock<Vec<(&'static str, EvidenceSet)>> = OnceLock::new();
    SETS.get_or_init(|| {
        let lab = lab();
        vec![
            ("one_h100", lab.one_h100().issue()),
            ("eight_b200", lab.eight_b200().issue()),
            ("protected_pcie", lab.protected_pcie().issue()),
        ]
    })
}
