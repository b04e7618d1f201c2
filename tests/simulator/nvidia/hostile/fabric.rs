//! GPUs and switches that do not name each other and no one else.

use tiltyard_attestation::{CheckId, Code};

use super::{Base, Variant};
use crate::nvidia::Architecture;
use crate::nvidia::device::Device;
use crate::nvidia::draft::{DeviceDraft, Draft};
use crate::nvidia::firmware::LS10;
use crate::nvidia::opaque::{self, GPU_PDIS, PDI};
use crate::nvidia::sets::{BOARD_GPUS, BOARD_SWITCHES, enrolled};
use crate::nvidia::spdm::VALUE_BYTES;

/// Place of the first switch among the devices.
const FIRST_SWITCH: usize = BOARD_GPUS as usize;

pub(super) const VARIANTS: &[Variant] = &[
    Variant::signed("ppcie-7-of-8", CheckId::Gpu18, Code::TopologyMismatch, seven_of_eight)
        .on(Base::Ppcie)
        .by("G8", "charter, bus, driver and evidence agree on seven GPUs; the eighth is a foreign tenant's"),
    Variant::signed("pdi-differs", CheckId::Gpu18, Code::TopologyMismatch, |draft| {
        foreign_link(draft, 5);
    })
    .on(Base::Ppcie)
    .by("G8", "one link of one GPU leads to a switch that no other GPU names"),
    Variant::signed("pdi-foreign-switch", CheckId::Gpu18, Code::TopologyMismatch, |draft| {
        (0..FIRST_SWITCH).for_each(|gpu| foreign_link(draft, gpu));
    })
    .on(Base::Ppcie)
    .by("G8", "one link of every GPU leads to the same switch, which is not attested"),
    Variant::signed("pdi-17-links", CheckId::Gpu01, Code::SpdmFormat, |draft| {
        if let Some(field) = draft.devices[5].report.opaque_mut(PDI) {
            field.data.truncate(17 * 8);
        }
    })
    .on(Base::Ppcie)
    .by("G8", "one GPU names 17 link partners"),
    Variant::signed("pdi-not-reversed", CheckId::Gpu18, Code::TopologyMismatch, |draft| {
        if let Some(field) = draft.devices[FIRST_SWITCH].report.opaque_mut(PDI) {
            field.data.reverse();
        }
    })
    .on(Base::Ppcie)
    .by("G8", "a switch whose PDI is a genuine one read backwards"),
    Variant::signed("switch-missing", CheckId::Gpu18, Code::TopologyMismatch, |draft| {
        draft.devices.pop();
        draft.expected.floor.devices.iter_mut().for_each(|floor| floor.switches -= 1);
    })
    .on(Base::Ppcie)
    .by("G8", "charter and evidence agree on three switches; the GPUs name a fourth"),
    Variant::signed("switch-foreign", CheckId::Gpu18, Code::TopologyMismatch, foreign_switch)
        .on(Base::Ppcie)
        .by("G8", "an enrolled switch of another board answers in the place of the fourth"),
    Variant::signed("switch-lists-foreign-gpu", CheckId::Gpu18, Code::TopologyMismatch, |draft| {
        if let Some(field) = draft.devices[FIRST_SWITCH].report.opaque_mut(GPU_PDIS) {
            field.data[..8].copy_from_slice(&[0x5a; 8]);
        }
    })
    .on(Base::Ppcie)
    .by("G8", "a switch has a GPU at its ports that is not attested"),
    Variant::signed("switch-withheld", CheckId::Gpu17, Code::TopologyMismatch, |draft| {
        draft.devices.truncate(FIRST_SWITCH);
    })
    .on(Base::Ppcie)
    // Links without attested switches are no fabric either.
    .with(&[(CheckId::Gpu18, Code::TopologyMismatch)])
    .by("G8", "no switch is attested where the charter wants four"),
    Variant::signed("switch-unlisted-ueid", CheckId::Gpu16, Code::UnknownDevice, |draft| {
        draft.expected.platforms.pop();
    })
    .on(Base::Ppcie)
    .by("G8", "one of the switches was never enrolled"),
    Variant::signed("switch-measurement", CheckId::Gpu10, Code::MeasurementMismatch, |draft| {
        if let Some(value) = draft.devices[FIRST_SWITCH].report.value_mut(1) {
            *value = vec![0x5a; VALUE_BYTES];
        }
    })
    .on(Base::Ppcie)
    .by("G6", "a switch runs another BIOS and says so"),
    Variant::signed("switch-rim-missing", CheckId::Gpu09, Code::RimMissing, |draft| {
        draft.rims.pop();
    })
    .on(Base::Ppcie)
    // The GPUs' manifests are there, but none of them is a switch's.
    .with(&[(CheckId::Gpu12, Code::MeasurementsMissing)])
    .with_above_lab(&[(CheckId::Gpu08, Code::RevocationUnknown)])
    .by("G6", "the switches' manifest is withheld"),
    Variant::signed("switch-stale-nonce", CheckId::Gpu04, Code::NonceMismatch, |draft| {
        draft.devices[FIRST_SWITCH].report.request.nonce = draft.keys.draw("earlier nonce");
    })
    .on(Base::Ppcie)
    .by("G8", "one switch signed for an earlier challenge"),
];

fn seven_of_eight(draft: &mut Draft) {
    draft.devices.remove(FIRST_SWITCH - 1);
    draft.boot.pci_gpus -= 1;
    draft.boot.gpus.pop();
    draft.expected.floor.count -= 1;
}

/// The last link of this GPU leads elsewhere.
fn foreign_link(draft: &mut Draft, gpu: usize) {
    let foreign = Device { architecture: Architecture::Ls10, number: 900 }.pdi(&draft.keys);
    if let Some(field) = draft.devices[gpu].report.opaque_mut(PDI) {
        let last = field.data.len() - 8;
        field.data[last..].copy_from_slice(&opaque::as_link_partner(foreign));
    }
}

fn foreign_switch(draft: &mut Draft) {
    let foreign = Device { architecture: Architecture::Ls10, number: 900 };
    let Some(last) = draft.devices.pop() else { return };
    let mut fields = last.report.opaque;
    let own = fields.iter_mut().find(|field| field.kind == PDI);
    own.into_iter().for_each(|field| field.data = foreign.pdi(&draft.keys).to_vec());
    let other = DeviceDraft::genuine(&draft.keys, foreign, &LS10, draft.expected.nonce, fields);
    draft.expected.platforms.truncate((BOARD_GPUS + BOARD_SWITCHES - 1) as usize);
    draft.expected.platforms.extend(enrolled(&other));
    draft.devices.push(other);
    draft.answer_for_all();
}
