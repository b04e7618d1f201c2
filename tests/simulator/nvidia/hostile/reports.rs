//! Reports of other bytes, other firmware, another time or another mode.

use tiltyard_attestation::{CheckId, Code};

use super::{Base, Variant, first, first_sent};
use crate::nvidia::certificate::Extension;
use crate::nvidia::draft::Draft;
use crate::nvidia::keys::KeyName;
use crate::nvidia::opaque::{self, FEATURE, NVDEC0, ON, OpaqueField, PROTECTED_PCIE, VERSION};
use crate::nvidia::spdm::VALUE_BYTES;

/// Index of a manifest that is left out while NVDEC0 is off; its block is the next one.
pub(super) const NVDEC_INDEX: u8 = 35;

pub(super) const VARIANTS: &[Variant] = &[
    Variant::signed("gpu-stale-nonce", CheckId::Gpu04, Code::NonceMismatch, stale_nonce)
        .by("G1", "the GPU signed for an earlier challenge"),
    Variant::sent("swap-gpu-evidence", CheckId::Bnd06, Code::CompositeBinding, |set| {
        let mut covered = set.evidence.clone();
        covered[0].report[60] ^= 1;
        set.covered = Some(covered);
    })
    .by("G5", "genuine GPU evidence is shown, but the CPU's quote covers that of another guest"),
    Variant::sent("report-edited", CheckId::Gpu04, Code::ReportSignature, |set| {
        // A byte of the first measured value.
        first_sent(set).report[60] ^= 1;
    })
    .by("G6", "one measurement is changed after the GPU signed"),
    Variant::signed("report-of-another-key", CheckId::Gpu04, Code::ReportSignature, |draft| {
        first(draft).report.signer = KeyName::new("adversary/leaf");
    })
    .by("G1", "the adversary's key signs a report beside a genuine chain"),
    Variant::signed("request-code", CheckId::Gpu01, Code::SpdmFormat, |draft| {
        first(draft).report.request.code = [0x11, 0xe1];
    })
    .by("I2", "the GPU answered GET_CAPABILITIES, whose answer is read as measurements"),
    Variant::signed("response-code", CheckId::Gpu01, Code::SpdmFormat, |draft| {
        first(draft).report.response_code = [0x11, 0x7f];
    })
    .by("I2", "an error answer is read as measurements"),
    Variant::signed("record-length", CheckId::Bnd09, Code::ReportLength, |draft| {
        first(draft).report.record_length = Some(64 * 55 - 1);
    })
    .by("I2", "the record leaves out its last byte, so that all lengths after it are read a byte early"),
    Variant::signed("block-count", CheckId::Gpu01, Code::SpdmFormat, |draft| {
        first(draft).report.block_count = Some(63);
    })
    .by(
        "I2",
        "a reader that counts blocks leaves out the last one, a reader of the record's length does not",
    ),
    Variant::signed("block-size", CheckId::Gpu01, Code::SpdmFormat, |draft| {
        first(draft).report.blocks[9].value_size = Some(47);
    })
    .by("I2", "a block is one byte longer than the value in it"),
    Variant::signed("opaque-length", CheckId::Gpu01, Code::OpaqueLength, |draft| {
        if let Some(last) = first(draft).report.opaque.last_mut() {
            last.size = Some(last.data.len() as u16 + 1);
        }
    })
    .by("T11", "the last opaque field reaches one byte beyond the opaque data"),
    Variant::signed("opaque-spare-byte", CheckId::Gpu01, Code::OpaqueLength, |draft| {
        first(draft).report.after_opaque = vec![0];
    })
    .by("T11", "one byte follows the last opaque field, inside what is signed"),
    Variant::signed("spare-byte", CheckId::Bnd09, Code::TrailingBytes, |draft| {
        first(draft).report.after_signature = vec![0];
    })
    .by("T11", "one byte follows the signature"),
    Variant::sent("report-cut", CheckId::Bnd09, Code::ReportLength, |set| {
        first_sent(set).report.pop();
    })
    .by("T11", "the last byte of the signature is missing"),
    Variant::signed("duplicate-opaque", CheckId::Gpu02, Code::DuplicateOpaque, |draft| {
        let report = &mut first(draft).report;
        report.opaque.push(OpaqueField::new(NVDEC0, [opaque::OFF]));
    })
    .by("I2", "NVDEC0 is named twice: readers that keep the first and the last disagree"),
    Variant::signed("duplicate-measurement", CheckId::Gpu02, Code::DuplicateMeasurement, |draft| {
        first(draft).report.blocks[63].index = 2;
    })
    .by("I2", "two blocks have one index"),
    Variant::signed("fwid-wrong", CheckId::Gpu05, Code::FwidMismatch, |draft| {
        if let Some(field) = first(draft).report.opaque_mut(opaque::FWID) {
            field.data = vec![0x5a; VALUE_BYTES];
        }
    })
    .by("G6", "the report names other firmware than the leaf was issued to"),
    Variant::signed("fwid-absent", CheckId::Gpu06, Code::FwidMissing, |draft| {
        first(draft).report.opaque.retain(|field| field.kind != opaque::FWID);
    })
    .above_lab()
    .by("G6", "the report names no firmware, which NVIDIA's own verifier lets pass"),
    Variant::signed("fwid-last-48-bytes", CheckId::Gpu05, Code::FwidMismatch, last_48_bytes)
        .on(Base::Mpt)
        .by(
            "G6",
            "the report names the last 48 bytes of the leaf's extension, which is right on Hopper only",
        ),
    Variant::signed("fwid-second", CheckId::Gpu05, Code::FwidMismatch, |draft| {
        if let Some(field) = first(draft).report.opaque_mut(opaque::FWID) {
            field.data = vec![0; VALUE_BYTES];
        }
    })
    .on(Base::Mpt)
    .by("G6", "the report names the second FWID of the leaf, which is all zero"),
    Variant::signed("mode-mpt-under-spt", CheckId::Gpu14, Code::GpuMode, |draft| {
        let report = &mut first(draft).report;
        report.opaque.extend([OpaqueField::new(VERSION, [1, 0]), OpaqueField::new(FEATURE, [1, 0])]);
    })
    .by("G8", "the GPU is in multi-GPU mode where the charter wants it alone"),
    Variant::signed("mode-ppcie-under-spt", CheckId::Gpu14, Code::GpuMode, |draft| {
        if let Some(field) = first(draft).report.opaque_mut(PROTECTED_PCIE) {
            field.data = vec![ON];
        }
    })
    .by("G8", "protected PCIe is on, NVLink in clear, where the charter wants the GPU alone"),
    Variant::signed("measurement-mismatch-driver", CheckId::Gpu10, Code::MeasurementMismatch, |draft| {
        other_value(draft, 37);
    })
    .by("G6", "the GPU runs another driver firmware and says so"),
    Variant::signed("measurement-mismatch-vbios", CheckId::Gpu10, Code::MeasurementMismatch, |draft| {
        other_value(draft, 3);
    })
    .by("G6", "the GPU runs another VBIOS and says so"),
    Variant::signed("measurement-mismatch-zero", CheckId::Gpu10, Code::MeasurementMismatch, |draft| {
        other_value(draft, 8);
    })
    .by("G6", "something is measured where the manifest expects nothing"),
    Variant::signed("nvdec-index-35", CheckId::Gpu11, Code::MeasurementMismatch, |draft| {
        other_value(draft, NVDEC_INDEX);
        if let Some(field) = first(draft).report.opaque_mut(NVDEC0) {
            field.data = vec![ON];
        }
    })
    .by("G6", "NVDEC0 is on, and what it runs is in no manifest"),
];

/// The first device measures something else at this index of its manifests.
pub(super) fn other_value(draft: &mut Draft, index: u8) {
    if let Some(value) = first(draft).report.value_mut(index + 1) {
        *value = vec![0x5a; VALUE_BYTES];
    }
}

fn stale_nonce(draft: &mut Draft) {
    first(draft).report.request.nonce = draft.keys.draw("earlier nonce");
}

fn last_48_bytes(draft: &mut Draft) {
    let keys = draft.keys.clone();
    let device = first(draft);
    let leaf = &device.chain[0];
    // The extension ends with its value.
    let only_dice = leaf.extensions.iter().filter(|one| matches!(one, Extension::DiceTcbInfo { .. }));
    let bytes: Vec<u8> = only_dice.flat_map(|extension| leaf.extension(extension, &keys)).collect();
    let tail = bytes[bytes.len() - VALUE_BYTES..].to_vec();
    if let Some(field) = device.report.opaque_mut(opaque::FWID) {
        field.data = tail;
    }
}
