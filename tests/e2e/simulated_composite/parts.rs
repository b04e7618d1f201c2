//! Attacks on one part, made to a whole guest: what surrounds a broken part neither hides nor adds a finding.

use std::collections::BTreeSet;

use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code};
use tiltyard_simulator::hostile::composite::{Board, Cpu, CpuDraft};
use tiltyard_simulator::hostile::{Set, snp, tdx};
use tiltyard_simulator::nvidia::hostile as devices;

use crate::{draft, findings, issue, lab};

/// Attacks that a whole guest shows by another check than its devices alone would.
const BOUND_BEFORE: &[(&str, CheckId, Code, &str)] = &[(
    "switch-stale-nonce",
    CheckId::Bnd05,
    Code::CompositeBinding,
    "beside devices of this challenge, another nonce is seen before any signature is",
)];

/// Checks at which an appraisal stops: what else the same cause breaks is not reached.
fn stops(check: CheckId) -> bool {
    matches!(
        check,
        CheckId::Bnd05
            | CheckId::Bnd06
            | CheckId::Bnd09
            | CheckId::Gpu01
            | CheckId::Gpu02
            | CheckId::Gpu03
            | CheckId::Gpu04
            | CheckId::Gpu05
    )
}

fn board(base: devices::Base) -> Board {
    match base {
        devices::Base::Spt => Board::OneH100,
        devices::Base::Mpt => Board::EightB200,
        devices::Base::Ppcie => Board::ProtectedPcie,
    }
}

/// As the table of attacks on devices says, for a whole guest at `level`.
fn expected(variant: &devices::Variant, level: Level) -> BTreeSet<(CheckId, Code)> {
    let bound = BOUND_BEFORE.iter().find(|(name, ..)| *name == variant.name);
    let first = bound.map_or((variant.check, variant.code), |(_, check, code, _)| (*check, *code));
    let mut all = BTreeSet::new();
    if level >= variant.level {
        all.insert(first);
        if stops(first.0) {
            return all;
        }
        all.extend(variant.also);
    }
    if level > Level::Lab {
        all.extend(variant.also_above_lab);
    }
    all
}

#[test]
fn every_attack_on_devices_is_refused_beside_either_vendors_cpu() {
    let mut wrong = Vec::new();
    for (at, variant) in devices::variants().enumerate() {
        // Each CPU in turn: what it is decides nothing here.
        let cpu = Cpu::ALL[at % Cpu::ALL.len()];
        let mut draft = draft(cpu, board(variant.base));
        variant.before_signing(&mut draft.devices);
        // Where the attack counts fewer GPUs, the host launched fewer.
        let count = draft.devices.boot.pci_gpus.min(board(variant.base).counts().0);
        draft.launch(|config| config.gpus.truncate(count.into()));
        let set = lab().issue_edited(&draft, |set| variant.after_signing(set)).expect("signed");
        for level in [Level::Lab, cpu.highest()] {
            let (expected, found) = (expected(variant, level), findings(&set, level));
            if found != expected {
                let name = variant.name;
                wrong.push(format!("{name}, {cpu:?} at {level:?}: expected {expected:?}, found {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_odd_set_of_devices_that_passes_alone_passes_in_a_whole_guest() {
    for (at, odd) in devices::ACCEPTED.iter().enumerate() {
        let mut draft = draft(Cpu::ALL[at % Cpu::ALL.len()], board(odd.base));
        odd.edit(&mut draft.devices);
        assert_eq!(findings(&issue(&draft), Level::Lab), BTreeSet::new(), "{}, though {}", odd.name, odd.why);
    }
}

/// What is found at `lab` on a guest with one H100 whose CPU's part an attack changed.
fn cpu_part(
    cpu: Cpu,
    before: impl FnOnce(&mut CpuDraft),
    after: impl FnOnce(&mut Set),
) -> BTreeSet<(CheckId, Code)> {
    let mut draft = draft(cpu, Board::OneH100);
    before(&mut draft.cpu);
    let mut set = issue(&draft);
    after(&mut set);
    findings(&set, Level::Lab)
}

#[test]
fn every_attack_on_an_snp_report_is_refused_beside_a_gpu() {
    let mut wrong = Vec::new();
    for variant in snp::variants() {
        let cpu = match variant.base {
            // No lab here has a Milan machine.
            snp::Base::Milan => continue,
            snp::Base::Genoa => Cpu::Genoa,
            snp::Base::Turin => Cpu::Turin,
        };
        let edit = |draft: &mut CpuDraft| match draft {
            CpuDraft::Snp(draft) => variant.before_signing(draft),
            CpuDraft::Tdx(_) => {}
        };
        let found = cpu_part(cpu, edit, |set| variant.after_signing(set));
        let expected = variant.findings(Level::Lab);
        if found != expected {
            wrong.push(format!("{}: expected {expected:?}, found {found:?}", variant.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_attack_on_a_tdx_quote_is_refused_beside_a_gpu() {
    let mut wrong = Vec::new();
    for variant in tdx::variants() {
        let cpu = match variant.base {
            tdx::Base::V4 => Cpu::TdxV4,
            tdx::Base::V5Td15 => Cpu::TdxV5,
            tdx::Base::V5Td10 => continue,
        };
        let edit = |draft: &mut CpuDraft| match draft {
            CpuDraft::Tdx(draft) => variant.before_signing(draft),
            CpuDraft::Snp(_) => {}
        };
        let found = cpu_part(cpu, edit, |set| variant.after_signing(set));
        let expected = variant.findings(Level::Lab);
        if found != expected {
            wrong.push(format!("{}: expected {expected:?}, found {found:?}", variant.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
