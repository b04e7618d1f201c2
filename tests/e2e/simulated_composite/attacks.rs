//! Every attack on what binds a CPU and its devices, on a guest of each CPU. One test a check, named for its id.

use std::iter;

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code};
use tiltyard_simulator::hostile::composite::{Board, Cpu, variants};

use crate::{draft, findings, issue, lab};

/// Every attack that this check must refuse: at `lab` on each CPU, and on one of them in turn at the highest level that
/// would accept it.
fn refused_by(check: CheckId) {
    let rows: Vec<_> = variants().filter(|variant| variant.check == check).collect();
    assert!(!rows.is_empty(), "{check}: no attack");
    let mut wrong = Vec::new();
    for (at, variant) in rows.into_iter().enumerate() {
        for (place, cpu) in Cpu::ALL.into_iter().enumerate() {
            let set = variant.set(lab(), cpu).expect("signed");
            let in_turn = at % Cpu::ALL.len() == place;
            for level in iter::once(Level::Lab).chain(in_turn.then(|| cpu.highest())) {
                let (mut expected, found) = (variant.findings(level), findings(&set, level));
                // That these roots are nobody's is what every set shows above `lab`.
                if level > Level::Lab {
                    expected.retain(|(check, _)| *check != CheckId::Pol02);
                }
                if found != expected {
                    let name = variant.name;
                    wrong.push(format!(
                        "{name}, {cpu:?} at {level:?}: expected {expected:?}, found {found:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn evd_01_more_devices_than_any_guest_has() {
    refused_by(CheckId::Evd01);
}

#[test]
fn evd_02_the_other_vendors_cpu() {
    refused_by(CheckId::Evd02);
}

#[test]
fn bnd_01_nonce_of_another_challenge() {
    refused_by(CheckId::Bnd01);
}

#[test]
fn bnd_02_late_answer() {
    refused_by(CheckId::Bnd02);
}

#[test]
fn bnd_03_runtime_document_edited() {
    refused_by(CheckId::Bnd03);
}

#[test]
fn bnd_05_one_device_of_an_earlier_challenge() {
    refused_by(CheckId::Bnd05);
}

#[test]
fn bnd_06_other_devices_than_the_statement_covers() {
    refused_by(CheckId::Bnd06);
}

#[test]
fn bnd_07_another_guests_keys_role_or_order() {
    refused_by(CheckId::Bnd07);
}

#[test]
fn bnd_08_launched_for_something_else() {
    refused_by(CheckId::Bnd08);
}

#[test]
fn bnd_10_facts_of_another_boot_or_none() {
    refused_by(CheckId::Bnd10);
}

#[test]
fn chn_01_no_channel() {
    refused_by(CheckId::Chn01);
}

#[test]
fn pol_01_unlisted_backend() {
    refused_by(CheckId::Pol01);
}

#[test]
fn pol_02_unnamed_roots() {
    refused_by(CheckId::Pol02);
}

#[test]
fn gpu_01_a_switch_in_a_gpus_place() {
    refused_by(CheckId::Gpu01);
}

#[test]
fn gpu_04_all_devices_of_another_guest_or_challenge() {
    refused_by(CheckId::Gpu04);
}

#[test]
fn gpu_07_driver_below_the_floor() {
    refused_by(CheckId::Gpu07);
}

#[test]
fn gpu_08_one_device_on_hold() {
    refused_by(CheckId::Gpu08);
}

#[test]
fn gpu_09_a_manifest_missing() {
    refused_by(CheckId::Gpu09);
}

#[test]
fn gpu_10_one_device_measures_something_else() {
    refused_by(CheckId::Gpu10);
}

#[test]
fn gpu_13_one_device_without_protection() {
    refused_by(CheckId::Gpu13);
}

#[test]
fn gpu_14_one_device_in_another_mode() {
    refused_by(CheckId::Gpu14);
}

#[test]
fn gpu_15_one_device_twice_or_held_elsewhere() {
    refused_by(CheckId::Gpu15);
}

#[test]
fn gpu_16_one_device_unlisted_or_revoked() {
    refused_by(CheckId::Gpu16);
}

#[test]
fn gpu_17_counts_that_differ() {
    refused_by(CheckId::Gpu17);
}

#[test]
fn gpu_18_devices_that_are_no_fabric() {
    refused_by(CheckId::Gpu18);
}

#[test]
fn every_attack_is_run_by_a_test_of_its_check() {
    const OWN: &str = include_str!("attacks.rs");
    for variant in variants() {
        let call = format!("    refused_by(CheckId::{:?});", variant.check);
        assert!(OWN.contains(&call), "{}: no test of {}", variant.name, variant.check);
    }
}

/// A charter that says nothing of TDX modules and collateral accepts no quote, though it lists the backend.
#[test]
fn pol_01_a_quote_under_a_charter_without_a_floor_for_it() {
    for cpu in [Cpu::TdxV4, Cpu::TdxV5] {
        let mut draft = draft(cpu, Board::Bare);
        draft.cpu.expected().tee.tdx = None;
        let found = findings(&issue(&draft), Level::Lab);
        assert!(found.contains(&(CheckId::Pol01, Code::BackendNotListed)), "{cpu:?}: {found:?}");
    }
    let mut draft = draft(Cpu::Turin, Board::Bare);
    draft.cpu.expected().tee.tdx = None;
    assert!(findings(&issue(&draft), Level::Lab).is_empty(), "a report needs no such floor");
}
