//! What passes, and everything that is then known of it.

use std::collections::BTreeSet;

use tiltyard_attestation::checks::{CHECKS, Part};
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::policy::{Architecture, GpuMode, Level, Product, TcbStatus};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{AttestationResult, Backend, CheckId, Hex, LaunchConfig, Role, Verdict};
use tiltyard_simulator::hostile::composite::{Board, Cpu, Draft};

use crate::{accepted, draft, findings, issue, lab};

/// Every CPU with every board.
fn guests() -> impl Iterator<Item = (Cpu, Board)> {
    Cpu::ALL.into_iter().flat_map(|cpu| Board::ALL.map(|board| (cpu, board)))
}

/// Generation and mode of a board's GPUs, and the driver's version.
fn gpus(board: Board) -> Option<(Architecture, GpuMode, &'static str)> {
    match board {
        Board::Bare => None,
        Board::OneH100 => Some((Architecture::Hopper, GpuMode::Spt, "550.90.07")),
        Board::ProtectedPcie => Some((Architecture::Hopper, GpuMode::Ppcie, "590.12")),
        Board::EightB200 => Some((Architecture::Blackwell, GpuMode::Mpt, "590.12")),
    }
}

#[test]
fn every_cpu_with_every_board_is_accepted_and_told_for_what_it_is() {
    for (cpu, board) in guests() {
        let draft = draft(cpu, board);
        let set = issue(&draft);
        let accepted = accepted(&set);
        let what = format!("{cpu:?} with {board:?}");
        let digest = lab().anchors().digest();
        assert_eq!(accepted.anchors(), Anchors::NotVendor(digest), "{what}");
        assert!(accepted.anchors().to_string().starts_with("NOT A VENDOR ROOT"));
        let mut images = set.expected.reference.images.iter();
        let image = images.find(|image| image.backend == cpu.backend()).expect("an image");
        assert_eq!(accepted.cpu().measurement(), image.measurement, "{what}");
        assert_eq!(accepted.cpu().image_name(), image.name, "{what}");
        assert_eq!(accepted.evidence(), set.evidence.digest());
        assert_eq!(accepted.keys().digests(), accepted.runtime().profile.keys);
        launched_as(&accepted, cpu, board);
        of_cpu(&accepted, cpu);
        with_devices(&accepted, &draft, board);
    }
}

fn launched_as(accepted: &AttestationResult, cpu: Cpu, board: Board) {
    let LaunchConfig { role, backend, gpus, .. } = accepted.config();
    assert_eq!(*backend, cpu.backend());
    assert_eq!(*role, if board == Board::Bare { Role::Referee } else { Role::Evaluator });
    assert_eq!(gpus.len(), usize::from(board.counts().0));
}

fn of_cpu(accepted: &AttestationResult, cpu: Cpu) {
    match cpu {
        Cpu::Genoa | Cpu::Turin => {
            let facts = accepted.cpu().snp().expect("SNP");
            let (product, version) =
                if cpu == Cpu::Genoa { (Product::Genoa, 3) } else { (Product::Turin, 5) };
            assert_eq!((facts.product, facts.report_version), (product, version));
        }
        Cpu::TdxV4 | Cpu::TdxV5 => {
            let facts = accepted.cpu().tdx().expect("TDX");
            let version = if cpu == Cpu::TdxV4 { 4 } else { 5 };
            assert_eq!((facts.quote_version, facts.tcb_status), (version, Some(TcbStatus::UpToDate)));
            assert_eq!(facts.mrconfigid, LaunchConfig::d384(&accepted.config().to_bytes()));
        }
    }
}

fn with_devices(accepted: &AttestationResult, draft: &Draft, board: Board) {
    let devices = accepted.devices();
    let of = |kind: DeviceKind| devices.iter().filter(move |device| device.kind == kind);
    let (gpu_count, switch_count) = board.counts();
    assert_eq!(of(DeviceKind::Gpu).count(), usize::from(gpu_count), "{board:?}");
    assert_eq!(of(DeviceKind::Switch).count(), usize::from(switch_count), "{board:?}");
    for kind in [DeviceKind::Gpu, DeviceKind::Switch] {
        assert!(of(kind).map(|device| usize::from(device.index)).eq(0..of(kind).count()), "{board:?}");
    }
    // Whose they are: the leaf certificates' serial numbers, each once and in envelope order.
    let own: Vec<_> = draft.devices.devices.iter().filter_map(|device| device.ueid()).collect();
    let shown: Vec<_> = devices.iter().map(|device| device.ueid.clone()).collect();
    assert_eq!(shown, own, "{board:?}");
    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), devices.len());
    for gpu in of(DeviceKind::Gpu) {
        let told = (gpu.architecture, gpu.mode, gpu.driver.as_str());
        let expected = gpus(board).map(|(architecture, mode, driver)| (architecture, Some(mode), driver));
        assert_eq!(Some(told), expected, "{board:?}");
        assert!(gpu.matched > 0 && !gpu.vbios.is_empty());
    }
    for switch in of(DeviceKind::Switch) {
        assert_eq!((switch.architecture, switch.mode), (Architecture::Ls10, None));
        assert!(switch.matched > 0);
    }
    // The CPU's statement covers each of them, and the facts that the guest read.
    let runtime = accepted.runtime();
    assert_eq!(runtime.additional_evidence.len(), devices.len());
    assert_eq!(runtime.profile.boot, draft.devices.boot.digest());
    let shown = accepted.devices_shown();
    let counts = shown.map(|earlier| (earlier.gpus, earlier.switches, earlier.boot, earlier.appraised_at));
    let expected = (gpu_count, switch_count, runtime.profile.boot, accepted.appraised_at());
    assert_eq!(counts, (board != Board::Bare).then_some(expected));
}

/// What a check of the whole must say of an honest guest with this board.
fn verdict(board: Board, check: CheckId) -> Verdict {
    match check {
        // No channel, and no bundle.
        CheckId::Chn01 | CheckId::Chn02 | CheckId::Col01 | CheckId::Col02 | CheckId::Col04 => {
            Verdict::NotApplicable
        }
        CheckId::Bnd05 | CheckId::Bnd10 | CheckId::Gpu15 if board == Board::Bare => Verdict::NotApplicable,
        CheckId::Gpu18 if board != Board::ProtectedPcie => Verdict::NotApplicable,
        _ => Verdict::Pass,
    }
}

#[test]
fn every_check_of_every_part_ran_once_and_passed() {
    for (cpu, board) in guests() {
        let accepted = accepted(&issue(&draft(cpu, board)));
        let trace = accepted.trace();
        for check in CHECKS.iter().filter(|row| row.id.covers(Part::Envelope)) {
            let rows: Vec<_> = trace.iter().filter(|row| row.check == check.id).collect();
            assert_eq!(rows.len(), 1, "{cpu:?} with {board:?}: {}", check.id);
            assert_eq!(rows[0].verdict, verdict(board, check.id), "{cpu:?} with {board:?}: {:?}", rows[0]);
        }
        let (gpus, switches) = board.counts();
        let devices = [("gpu", gpus, Part::Gpu), ("nvswitch", switches, Part::Switch)];
        for (name, count, part) in devices {
            for submod in (0..count).map(|index| format!("{name}{index}")) {
                for check in CHECKS.iter().filter(|row| row.id.covers(part)) {
                    let rows = trace.iter().filter(|row| row.check == check.id && row.submod == submod);
                    assert!(rows.count() > 0, "{cpu:?} with {board:?}: {} of {submod}", check.id);
                }
            }
        }
        let odd = |verdict| !matches!(verdict, Verdict::Pass | Verdict::NotApplicable);
        let odd: Vec<_> = trace.iter().filter(|row| odd(row.verdict)).collect();
        assert!(odd.is_empty(), "{cpu:?} with {board:?}: {odd:?}");
    }
}

#[test]
fn above_lab_only_the_roots_are_refused() {
    for (cpu, board) in guests() {
        let set = issue(&draft(cpu, board));
        for level in [Level::Standard, Level::Strict].into_iter().filter(|level| *level <= cpu.highest()) {
            assert_eq!(findings(&set, level), BTreeSet::new(), "{cpu:?} with {board:?} at {level:?}");
        }
    }
}

#[test]
fn a_trainer_has_the_evaluators_devices() {
    for (cpu, board) in guests().filter(|(_, board)| *board != Board::Bare) {
        let mut draft = draft(cpu, board);
        draft.launch(|config| config.role = Role::Trainer);
        let accepted = accepted(&issue(&draft));
        assert_eq!(accepted.config().role, Role::Trainer);
        assert_eq!(accepted.runtime().profile.role, Role::Trainer);
    }
}

/// A fleet that holds other devices, and a list with more than this guest's, change nothing.
#[test]
fn devices_of_others_stand_in_nobodys_way() {
    for cpu in Cpu::ALL {
        let mut other = draft(cpu, Board::EightB200);
        other.devices.expected.fleet = vec![Hex([0x31; 20]).into()];
        let mut platforms = draft(cpu, Board::ProtectedPcie).devices.expected.platforms;
        platforms.extend(other.devices.expected.platforms);
        other.devices.expected.platforms = platforms;
        assert_eq!(accepted(&issue(&other)).devices().len(), 8);
    }
}

#[test]
fn the_same_guest_gives_the_same_bytes_and_travels_as_json() {
    for (cpu, board) in guests() {
        let draft = draft(cpu, board);
        let mut set = issue(&draft);
        assert_eq!(set.evidence, issue(&draft).evidence, "{cpu:?} with {board:?}");
        let json = serde_json::to_vec(&set.evidence).expect("JSON");
        assert!(json.len() <= tiltyard_attestation::evidence::EVIDENCE_MAX_BYTES);
        set.evidence = serde_json::from_slice(&json).expect("read back");
        assert_eq!(accepted(&set).config().backend, cpu.backend());
        assert!(matches!(cpu.backend(), Backend::Snp | Backend::Tdx));
    }
}
