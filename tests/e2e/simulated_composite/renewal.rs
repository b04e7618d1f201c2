//! Renewals: evidence without devices that rests on an earlier appraisal of them (BND-10).

use std::collections::BTreeSet;

use tiltyard_attestation::binding::{BootDocument, Switched};
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::{CheckId, Code, DEVICES_LIFETIME_S, EarlierDevices, Hex, Verdict};
use tiltyard_simulator::hostile::Set;
use tiltyard_simulator::hostile::composite::{Board, Cpu, Draft};

use crate::{NOW, accepted, draft, findings, issue};

const STALE: (CheckId, Code) = (CheckId::Bnd10, Code::GpuEvidenceStale);
const COUNT: (CheckId, Code) = (CheckId::Gpu17, Code::TopologyMismatch);

/// Guests that have something to renew; a board for each CPU.
const GUESTS: [(Cpu, Board); 4] = [
    (Cpu::Genoa, Board::OneH100),
    (Cpu::Turin, Board::ProtectedPcie),
    (Cpu::TdxV4, Board::EightB200),
    (Cpu::TdxV5, Board::ProtectedPcie),
];

/// What the first, full appraisal of this guest leaves for renewals.
fn first(cpu: Cpu, board: Board) -> EarlierDevices {
    accepted(&issue(&draft(cpu, board))).devices_shown().expect("devices")
}

/// The guest's renewal `age_s` seconds after its first appraisal.
fn renewal(cpu: Cpu, board: Board, age_s: u64, edit: impl FnOnce(&mut Draft)) -> Set {
    let mut draft = draft(cpu, board);
    draft.renew(Some(first(cpu, board)));
    let expected = draft.cpu.expected();
    (expected.now, expected.issued_at) = (NOW + age_s, NOW + age_s - 5);
    edit(&mut draft);
    issue(&draft)
}

fn refused(set: &Set) -> BTreeSet<(CheckId, Code)> {
    findings(set, Level::Lab)
}

#[test]
fn a_renewal_rests_on_the_first_appraisal_for_an_hour() {
    for (cpu, board) in GUESTS {
        for age_s in [300, DEVICES_LIFETIME_S] {
            let set = renewal(cpu, board, age_s, |_| {});
            assert!(set.evidence.devices.is_empty());
            let accepted = accepted(&set);
            assert!(accepted.devices().is_empty(), "the rows of devices are those of the first appraisal");
            let verdict = |check: CheckId| {
                accepted.trace().iter().find(|row| row.check == check).map(|row| row.verdict)
            };
            for check in [CheckId::Bnd06, CheckId::Bnd10, CheckId::Gpu17] {
                assert_eq!(verdict(check), Some(Verdict::Pass), "{cpu:?} with {board:?}: {check}");
            }
            assert_eq!(verdict(CheckId::Gpu15), Some(Verdict::NotApplicable));
        }
        for level in [Level::Standard, cpu.highest()] {
            assert_eq!(findings(&renewal(cpu, board, 300, |_| {}), level), BTreeSet::new());
        }
    }
}

#[test]
fn bnd_10_a_renewal_after_the_hour() {
    for (cpu, board) in GUESTS {
        let set = renewal(cpu, board, DEVICES_LIFETIME_S + 1, |_| {});
        assert_eq!(refused(&set), BTreeSet::from([STALE]), "{cpu:?} with {board:?}");
    }
}

/// The first appraisal must not lie in the future of the renewal: then a clock went back, and an hour has no end.
#[test]
fn bnd_10_a_renewal_before_the_first_appraisal() {
    for (cpu, board) in GUESTS {
        let set = renewal(cpu, board, 300, |draft| {
            let earlier = draft.cpu.expected().earlier.as_mut().expect("earlier");
            earlier.appraised_at = NOW + 301;
        });
        assert_eq!(refused(&set), BTreeSet::from([STALE]), "{cpu:?} with {board:?}");
    }
}

/// A renewal shows no device, so that a row of them can't go on for ever.
#[test]
fn a_renewal_is_no_ground_for_the_next_one() {
    for (cpu, board) in GUESTS {
        assert_eq!(accepted(&renewal(cpu, board, 300, |_| {})).devices_shown(), None);
    }
}

#[test]
fn bnd_10_a_renewal_of_another_boot() {
    for (cpu, board) in GUESTS {
        let set = renewal(cpu, board, 300, |draft| draft.devices.boot.random = Hex([0xb1; 32]));
        assert_eq!(refused(&set), BTreeSet::from([STALE]), "{cpu:?} with {board:?}: the guest booted again");
    }
}

/// Whatever the guest counts or reads now stands in its boot document, and so in the digest that was appraised.
#[test]
fn bnd_10_a_renewal_after_the_devices_changed() {
    let changes: [fn(&mut BootDocument); 3] = [
        |boot| boot.pci_gpus -= 1,
        |boot| boot.gpus.truncate(boot.gpus.len() - 1),
        |boot| boot.gpus[0].cc_mode = Switched::Off,
    ];
    for (cpu, board) in GUESTS {
        for change in changes {
            let set = renewal(cpu, board, 300, |draft| {
                change(&mut draft.devices.boot);
                // Zero on the bus would leave the document out.
                draft.devices.boot.pci_gpus = draft.devices.boot.pci_gpus.max(1);
                draft.devices.boot.random.0[0] ^= 1;
            });
            assert_eq!(refused(&set), BTreeSet::from([STALE]), "{cpu:?} with {board:?}");
        }
    }
}

#[test]
fn bnd_10_facts_edited_in_a_renewal() {
    for (cpu, board) in GUESTS {
        let mut set = renewal(cpu, board, 300, |_| {});
        let boot = set.evidence.boot.as_mut().expect("boot document");
        let mut read: BootDocument = serde_json::from_slice(&boot.0).expect("boot document");
        read.pci_gpus += 1;
        *boot = read.to_bytes().into();
        let other = (CheckId::Bnd10, Code::CompositeBinding);
        assert_eq!(refused(&set), BTreeSet::from([other]), "{cpu:?} with {board:?}");
    }
}

#[test]
fn gpu_17_a_renewal_without_the_facts_that_it_rests_on() {
    for (cpu, board) in GUESTS {
        let mut set = renewal(cpu, board, 300, |_| {});
        set.evidence.boot = None;
        assert_eq!(refused(&set), BTreeSet::from([COUNT]), "{cpu:?} with {board:?}");
    }
}

#[test]
fn gpu_17_a_renewal_of_a_set_that_the_charter_does_not_want() {
    for (cpu, board) in GUESTS {
        // The charter changed, or the appraisal was of another one's set.
        let set = renewal(cpu, board, 300, |draft| draft.floor().count += 1);
        assert_eq!(refused(&set), BTreeSet::from([COUNT]), "{cpu:?} with {board:?}");
        let set = renewal(cpu, board, 300, |draft| {
            draft.cpu.expected().earlier.iter_mut().for_each(|earlier| earlier.switches += 1);
        });
        assert_eq!(refused(&set), BTreeSet::from([COUNT]), "{cpu:?} with {board:?}");
    }
}

/// Either all devices or none: evidence of some counts as what it shows.
#[test]
fn gpu_17_a_renewal_with_some_of_the_devices() {
    for (cpu, board) in [(Cpu::Turin, Board::EightB200), (Cpu::TdxV5, Board::EightB200)] {
        let shown = draft(cpu, board).devices.devices;
        let set = renewal(cpu, board, 300, |draft| draft.devices.devices = shown[..7].to_vec());
        assert_eq!(refused(&set), BTreeSet::from([COUNT]), "{cpu:?} with {board:?}");
    }
}

#[test]
fn bnd_07_a_renewal_of_another_role_or_lease() {
    use tiltyard_attestation::Role;
    for (cpu, board) in GUESTS {
        let set = renewal(cpu, board, 300, |draft| draft.cpu.runtime().profile.role = Role::Trainer);
        let role = (CheckId::Bnd07, Code::RoleMismatch);
        assert_eq!(refused(&set), BTreeSet::from([role]), "{cpu:?} with {board:?}");
        let set = renewal(cpu, board, 300, |draft| draft.cpu.runtime().profile.lease = Hex([0xe1; 16]));
        let lease = (CheckId::Bnd07, Code::LeaseMismatch);
        assert_eq!(refused(&set), BTreeSet::from([lease]), "{cpu:?} with {board:?}");
    }
}

/// A full appraisal needs no earlier one, and starts a new hour.
#[test]
fn devices_shown_again_start_a_new_hour() {
    for (cpu, board) in GUESTS {
        let age_s = DEVICES_LIFETIME_S + 1;
        let shown = draft(cpu, board).devices.devices;
        let set = renewal(cpu, board, age_s, |draft| draft.devices.devices.clone_from(&shown));
        let shown = accepted(&set).devices_shown().expect("devices");
        assert_eq!(shown, EarlierDevices { appraised_at: NOW + age_s, ..first(cpu, board) });
    }
}
