//! Genuine parts that are not of one guest, one challenge or one launch.

use tiltyard_attestation::binding::{BootDocument, Runtime, Switched};
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::policy::Architecture;
use tiltyard_attestation::{Backend, Hex, Role};

use super::{Board, CompositeVariant, Draft, of_kind};
use crate::hostile::{NONCE, Set, variant};
use crate::mint::sample_keys;
use crate::nvidia::device::Device;
use crate::nvidia::draft::DeviceDraft;
use crate::nvidia::firmware::H100_SPT;
use crate::nvidia::opaque;

/// Label of another guest at the same site.
const OTHER: u8 = 9;

pub(super) const VARIANTS: &[CompositeVariant] = &[
    variant!(Board::EightB200; "gpu-evidence-dropped" "G3" Lab Bnd06 CompositeBinding
        Sent(|set| set.evidence.devices.clear());
        "the host drops all device evidence on its way to the verifier"),
    variant!(Board::EightB200; "gpu-evidence-of-one-dropped" "G3" Lab Bnd06 CompositeBinding
        Sent(|set| drop(set.evidence.devices.pop()));
        "the host drops the evidence of one of eight GPUs"),
    variant!(Board::ProtectedPcie; "switch-evidence-dropped" "G3" Lab Bnd06 CompositeBinding
        Sent(|set| set.evidence.devices.retain(|device| device.kind == DeviceKind::Gpu));
        "the host drops the evidence of the switches"),
    variant!(Board::EightB200; "gpu-evidence-added" "G5" Lab Bnd06 CompositeBinding Sent(added);
        "the host adds genuine evidence of a ninth GPU that the CPU's statement does not cover"),
    variant!(Board::Bare; "gpu-evidence-beside-a-bare-guest" "G5" Lab Bnd06 CompositeBinding Signed(beside_bare);
        "genuine evidence of a GPU is laid beside the statement of a guest that has none"),
    variant!(Board::EightB200; "gpu-evidence-of-another-guest" "G5" Lab Bnd06 CompositeBinding
        Signed(of_another_guest);
        "the evidence that another guest's GPUs gave under the same challenge is shown instead"),
    variant!(Board::EightB200; "gpu-evidence-in-another-order" "G5" Lab Bnd06 CompositeBinding
        Sent(|set| set.evidence.devices.swap(0, 7));
        "the host exchanges the evidence of two GPUs"),
    variant!(Board::EightB200; "gpu-numbers-exchanged" "G5" Lab Bnd06 CompositeBinding
        Sent(|set| {
            set.evidence.devices.swap(0, 7);
            (0..).zip(&mut set.evidence.devices).for_each(|(place, device)| device.index = place);
        });
        "the same, and each is given the other's number"),
    variant!(Board::EightB200; "gpu-number-twice" "G2" Lab Bnd06 CompositeBinding Signed(number_twice);
        "the guest calls its second GPU the first, so that the facts of the second are never looked up"),
    variant!(Board::EightB200; "gpu-numbers-from-one" "G2" Lab Bnd06 CompositeBinding
        Signed(|draft| {
            draft.collected = |devices| devices.iter_mut().for_each(|device| device.index += 1);
        });
        "the guest counts its GPUs from one"),
    variant!(Board::ProtectedPcie; "switch-number-twice" "G2" Lab Bnd06 CompositeBinding
        Signed(|draft| {
            draft.collected = |devices| of_kind(devices, DeviceKind::Switch).for_each(|device| device.index = 0);
        });
        "the guest calls every switch the first"),
    variant!(Board::EightB200; "gpu-report-edited-on-the-way" "G5" Lab Bnd06 CompositeBinding
        Sent(|set| set.evidence.devices.iter_mut().take(1).for_each(|device| device.report.0[60] ^= 1));
        "the host changes a measurement in a GPU's report"),
    variant!(Board::EightB200; "gpu-chains-exchanged" "G5" Lab Gpu04 ReportSignature
        Signed(|draft| {
            draft.collected = |devices| {
                let chain = devices[0].chain.clone();
                devices[0].chain = std::mem::replace(&mut devices[1].chain, chain);
            };
        });
        "the driver gives the guest one GPU's certificates for another's report"),
    variant!(Board::ProtectedPcie; "switch-as-gpu" "G8" Lab Gpu01 SpdmFormat
        Signed(|draft| {
            draft.collected = |devices| {
                of_kind(devices, DeviceKind::Switch).last().into_iter().for_each(|device| {
                    (device.kind, device.index) = (DeviceKind::Gpu, 8);
                });
            };
        });
        "a switch answers in the place of a GPU"),
    variant!(Board::EightB200; "gpu-of-an-earlier-challenge" "G1" Lab Bnd05 CompositeBinding
        Signed(|draft| draft.devices.devices[3].report.request.nonce = yesterday());
        "one of eight GPUs answered an earlier challenge"),
    variant!(Board::ProtectedPcie; "switch-of-an-earlier-challenge" "G8" Lab Bnd05 CompositeBinding
        Signed(|draft| draft.devices.devices[11].report.request.nonce = yesterday());
        "one of four switches answered an earlier challenge"),
    variant!(Board::EightB200; "gpus-of-yesterday" "G1" Lab Gpu04 NonceMismatch
        Signed(|draft| draft.devices.set_nonce(yesterday()));
        "the evidence that the same GPUs gave yesterday is covered by today's statement"),
    variant!(Board::OneH100; "gpu-asked-by-another-guest" "G1" Lab Gpu04 NonceMismatch
        Signed(|draft| draft.devices.set_nonce(Draft::device_nonce(&NONCE, OTHER)));
        "the GPU of another guest answers the same challenge, under that guest's key"),
    variant!(Board::OneH100; "gpu-asked-with-the-plain-nonce" "G1" Lab Gpu04 NonceMismatch
        Signed(|draft| draft.devices.set_nonce(NONCE.0));
        "the GPU was asked with the challenge's own nonce, which no guest's key is bound to"),
    variant!(Board::EightB200; "boot-document-withheld" "G2" Lab Bnd10 GpuEvidenceStale
        Sent(|set| set.evidence.boot = None);
        "what the guest read of its GPUs is withheld"),
    variant!(Board::EightB200; "boot-document-of-another-boot" "G2" Lab Bnd10 CompositeBinding Sent(other_boot);
        "what another boot read of its GPUs is shown"),
    variant!(Board::EightB200; "nonce-of-another-challenge" "N1" Lab Bnd01 NonceMismatch
        Signed(|draft| draft.cpu.expected().nonce.0[31] ^= 1);
        "a whole guest's answer to a challenge whose nonce begins alike"),
    variant!(Board::EightB200; "answer-too-late" "N2" Lab Bnd02 NonceExpired
        Signed(|draft| draft.cpu.expected().issued_at -= 60);
        "a whole guest's answer comes a minute late"),
    variant!(Board::EightB200; "runtime-edited" "N1" Lab Bnd03 BindingMismatch Sent(runtime_without_devices);
        "the host takes the devices out of the runtime document and out of the envelope"),
    variant!(Board::OneH100; "trainer-for-evaluator" "C5" Lab Bnd07 RoleMismatch Signed(trainer);
        "a trainer with a GPU answers the challenge of an evaluator"),
    variant!(Board::OneH100; "trainer-says-evaluator" "C5" Lab Bnd08 RoleMismatch
        Signed(|draft| draft.configure(|config| config.role = Role::Trainer));
        "a guest that was launched to train says that it evaluates"),
    variant!(Board::OneH100; "evaluator-says-trainer" "C5" Lab Bnd07 RoleMismatch
        Signed(|draft| draft.cpu.runtime().profile.role = Role::Trainer);
        "a guest that was launched to evaluate says that it trains"),
    variant!(Board::OneH100; "order-of-another-task" "C5" Lab Bnd07 OrderMismatch
        Signed(|draft| draft.cpu.runtime().profile.order = Some(Hex([0xe0; 32])));
        "an evaluator of another task answers"),
    variant!(Board::OneH100; "launched-for-another-order" "C5" Lab Bnd08 OrderMismatch
        Signed(|draft| draft.configure(|config| config.order = Some(Hex([0xe0; 32]))));
        "the guest was launched for another task"),
    variant!(Board::OneH100; "launched-for-another-lease" "C5" Lab Bnd08 LeaseMismatch
        Signed(|draft| draft.configure(|config| config.lease = Hex([0xe1; 16])));
        "the guest was launched under another lease"),
    variant!(Board::OneH100; "launched-for-another-charter" "C5" Lab Bnd08 CharterMismatch
        Signed(|draft| draft.configure(|config| config.charter = Hex([0xe2; 32])));
        "the guest was launched for another charter"),
    variant!(Board::OneH100; "configuration-of-another-version" "L1" Lab Bnd08 ConfigInvalid
        Signed(|draft| draft.configure(|config| config.v = 2));
        "the launch configuration is of a version whose meaning nobody here knows"),
    variant!(Board::OneH100; "keys-of-another-guest" "C2" Lab Bnd07 KeyMismatch
        Sent(|set| set.evidence.keys = sample_keys(OTHER));
        "another guest's keys are presented beside the evidence"),
    variant!(Board::OneH100; "evidence-without-the-channel" "C1" Lab Chn01 ChannelBinding
        Signed(|draft| draft.cpu.expected().guest.channel = Some(Hex([0xc0; 32])));
        "evidence that names no channel is relayed over one"),
    variant!(Board::OneH100; "other-cpu-than-launched" "L1" Lab Evd02 WrongTee Signed(other_backend);
        "the launch configuration names the other vendor's CPU"),
    variant!(Board::EightB200; "too-many-gpus" "I2" Lab Evd01 TooLarge Sent(too_many);
        "seventeen GPUs, one more than any guest can have"),
];

/// What the same guest's devices were asked with by the challenge of yesterday.
fn yesterday() -> [u8; 32] {
    Draft::device_nonce(&Hex([0x59; 32]), 7)
}

fn added(set: &mut Set) {
    let ninth = set.evidence.devices.last().cloned();
    set.evidence.devices.extend(ninth.map(|mut device| {
        device.index += 1;
        device
    }));
}

/// The GPU answered this very challenge and the guest's own key.
fn beside_bare(draft: &mut Draft) {
    let mut shown = draft.devices.clone();
    let gpu = Device { architecture: Architecture::Hopper, number: 0 };
    let opaque = opaque::gpu_fields(&H100_SPT, &H100_SPT.fwid(), &[]);
    shown.devices = vec![DeviceDraft::genuine(&shown.keys, gpu, &H100_SPT, shown.expected.nonce, opaque)];
    draft.shown = Some(shown);
}

fn of_another_guest(draft: &mut Draft) {
    let mut other = draft.devices.clone();
    other.set_nonce(Draft::device_nonce(&NONCE, OTHER));
    draft.shown = Some(other);
}

/// The second GPU's confidential mode is off: only by its number is that known.
fn number_twice(draft: &mut Draft) {
    draft.devices.boot.gpus[1].cc_mode = Switched::Off;
    draft.collected = |devices| devices[1].index = 0;
}

fn other_boot(set: &mut Set) {
    let boot = set.evidence.boot.as_ref();
    let read = boot.and_then(|bytes| serde_json::from_slice::<BootDocument>(&bytes.0).ok());
    set.evidence.boot = read.map(|boot| BootDocument { random: Hex([0xb0; 32]), ..boot }.to_bytes().into());
}

fn runtime_without_devices(set: &mut Set) {
    set.evidence.devices.clear();
    let read = serde_json::from_slice::<Runtime>(&set.evidence.runtime.0).ok();
    read.into_iter().for_each(|mut runtime| {
        runtime.additional_evidence.clear();
        set.evidence.runtime = runtime.to_bytes().into();
    });
}

/// Launched, and answering, as a trainer throughout; the challenge stays the evaluator's.
fn trainer(draft: &mut Draft) {
    let challenged = draft.cpu.expected().guest.config.clone();
    draft.launch(|config| config.role = Role::Trainer);
    draft.cpu.expected().guest.config = challenged;
}

fn other_backend(draft: &mut Draft) {
    draft.configure(|config| {
        config.backend = match config.backend {
            Backend::Snp => Backend::Tdx,
            _ => Backend::Snp,
        };
    });
}

fn too_many(set: &mut Set) {
    let devices = &mut set.evidence.devices;
    let all: Vec<_> = devices.iter().cycle().take(17).cloned().collect();
    *devices = all;
}
