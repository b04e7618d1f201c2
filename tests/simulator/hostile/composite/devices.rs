//! One device of many that is not what the charter wants: the others are genuine, and help it nothing.

use tiltyard_attestation::binding::Switched;
use tiltyard_attestation::policy::{PlatformId, PlatformKind};
use tiltyard_attestation::{Backend, Hex};

use super::{Board, CompositeVariant, Draft};
use crate::hostile::{DAY_S, variant};
use crate::nvidia::device::BROM;
use crate::nvidia::draft::DeviceDraft;
use crate::nvidia::ocsp::{CERTIFICATE_HOLD, Status};
use crate::nvidia::opaque::{FEATURE, OFF, ON, PDI, PROTECTED_PCIE};
use crate::nvidia::spdm::VALUE_BYTES;

/// The device that differs, and no other.
const PLACE: usize = 5;

pub(super) const VARIANTS: &[CompositeVariant] = &[
    variant!(Board::EightB200; "one-gpu-twice" "G4" Lab Gpu15 DuplicateDevice
        Signed(|draft| draft.devices.devices[PLACE] = draft.devices.devices[0].clone());
        "one enrolled GPU answers in the place of two"),
    variant!(Board::ProtectedPcie; "one-switch-twice" "G4" Lab Gpu15 DuplicateDevice
        [Lab Gpu18 TopologyMismatch]
        Signed(|draft| draft.devices.devices[11] = draft.devices.devices[8].clone());
        "one enrolled switch answers in the place of two"),
    variant!(Board::EightB200; "one-gpu-held-elsewhere" "G1" Lab Gpu15 DuplicateDevice
        Signed(|draft| draft.devices.expected.fleet = ueid(draft, PLACE));
        "one of the GPUs serves another guest of the federation at this time"),
    variant!(Board::ProtectedPcie; "one-switch-held-elsewhere" "G8" Lab Gpu15 DuplicateDevice
        Signed(|draft| draft.devices.expected.fleet = ueid(draft, 9));
        "one of the switches serves another guest at this time"),
    variant!(Board::EightB200; "one-gpu-unlisted" "G1" Lab Gpu16 UnknownDevice
        Signed(|draft| {
            let id = ueid(draft, PLACE);
            draft.devices.expected.platforms.retain(|row| !id.contains(&row.id));
        });
        "one of eight GPUs was never enrolled"),
    variant!(Board::OneH100; "gpu-listed-as-switch" "G1" Lab Gpu16 UnknownDevice
        Signed(|draft| {
            let rows = &mut draft.devices.expected.platforms;
            let mut other = rows.clone();
            other.iter_mut().for_each(|row| row.id = Hex([0x77; 20]).into());
            rows.iter_mut().for_each(|row| row.kind = PlatformKind::SwitchUeid);
            rows.extend(other);
        });
        "the GPU's number is enrolled, as that of a switch"),
    variant!(Board::ProtectedPcie; "one-gpu-revoked" "T8" Lab Gpu16 PlatformRevoked
        Signed(|draft| {
            let (id, now) = (ueid(draft, PLACE), draft.cpu.expected().now);
            let rows = draft.devices.expected.platforms.iter_mut().filter(|row| id.contains(&row.id));
            rows.for_each(|row| row.revoked_at = Some(now));
        });
        "one of eight GPUs was taken off the list this second"),
    variant!(Board::EightB200; "one-gpu-cc-off" "G2" Lab Gpu13 CcModeOff
        Signed(|draft| draft.devices.boot.gpus[7].cc_mode = Switched::Off);
        "confidential mode of the last GPU is off"),
    variant!(Board::ProtectedPcie; "one-gpu-devtools" "G2" Lab Gpu13 DevToolsMode
        Signed(|draft| draft.devices.boot.gpus[PLACE].devtools = Switched::On);
        "developer tools of one GPU are on"),
    variant!(Board::ProtectedPcie; "spt-among-ppcie" "G8" Lab Gpu14 GpuMode
        Signed(|draft| mode(draft, OFF, 0));
        "one of eight GPUs is in single-GPU mode"),
    variant!(Board::ProtectedPcie; "mpt-among-ppcie" "G8" Lab Gpu14 GpuMode
        Signed(|draft| mode(draft, OFF, 1));
        "one of eight GPUs is in multi-GPU mode"),
    variant!(Board::ProtectedPcie; "mode-contradicts-itself" "G8" Lab Gpu14 GpuMode
        Signed(|draft| mode(draft, OFF, 2));
        "one GPU says protected PCIe in its flag and off in its field"),
    variant!(Board::EightB200; "ppcie-among-mpt" "G8" Lab Gpu14 GpuMode
        Signed(|draft| mode(draft, ON, 2));
        "one of eight GPUs carries clear text on its links"),
    variant!(Board::ProtectedPcie; "switches-not-linked" "G8" Lab Gpu18 TopologyMismatch
        Signed(|draft| links_off(&mut draft.devices.devices[PLACE]));
        "one GPU names no switch at any of its links"),
    variant!(Board::ProtectedPcie; "driver-of-all-below-floor" "G6" Lab Gpu07 RimVersionMismatch
        Signed(|draft| {
            draft.floor().devices.iter_mut().for_each(|floor| floor.driver = "590.13".to_owned());
        });
        "a genuine driver with a genuine manifest, older than the charter's floor"),
    variant!(Board::EightB200; "manifest-of-the-vbios-missing" "G6" Lab Gpu09 RimMissing
        Signed(|draft| drop(draft.devices.rims.pop()));
        "what the VBIOS must measure to is withheld"),
    variant!(Board::EightB200; "one-gpu-measures-something-else" "G6" Lab Gpu10 MeasurementMismatch
        Signed(|draft| {
            let value = draft.devices.devices[PLACE].report.value_mut(9);
            value.into_iter().for_each(|value| *value = vec![0x5a; VALUE_BYTES]);
        });
        "one of eight GPUs runs other firmware and says so"),
    variant!(Board::EightB200; "one-gpu-on-hold" "G7" Lab Gpu08 CertRevoked
        Signed(|draft| {
            let at = draft.cpu.expected().now - DAY_S;
            let serial = draft.devices.devices[PLACE].chain[BROM].serial.clone();
            let answers = draft.devices.answers.iter_mut().filter(|answer| answer.serial == serial);
            answers.for_each(|answer| answer.status = Status::Revoked { at, reason: CERTIFICATE_HOLD });
        });
        "the identity of one of eight GPUs is on hold"),
    variant!(Board::EightB200; "backend-not-listed" "S1" Lab Pol01 BackendNotListed
        Signed(|draft| {
            let expected = draft.cpu.expected();
            let own = expected.guest.config.backend;
            expected.backends = vec![if own == Backend::Snp { Backend::Tdx } else { Backend::Snp }];
        });
        "everything is genuine, on a CPU that the charter does not list"),
    variant!(Board::EightB200; "roots-not-named" "S1" Lab Pol02 AnchorsNotVendor
        Signed(|draft| draft.cpu.expected().reference.foreign_anchors = None);
        "everything is genuine, under roots that the charter does not name"),
];

fn ueid(draft: &Draft, place: usize) -> Vec<PlatformId> {
    draft.devices.devices[place].ueid().into_iter().collect()
}

fn mode(draft: &mut Draft, protected: u8, feature: u8) {
    let report = &mut draft.devices.devices[PLACE].report;
    for (kind, data) in [(PROTECTED_PCIE, vec![protected]), (FEATURE, vec![feature, 0])] {
        report.opaque_mut(kind).into_iter().for_each(|field| field.data.clone_from(&data));
    }
}

fn links_off(device: &mut DeviceDraft) {
    let field = device.report.opaque_mut(PDI);
    field.into_iter().for_each(|field| field.data.fill(0));
}
