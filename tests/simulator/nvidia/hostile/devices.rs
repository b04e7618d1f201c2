//! Other devices than the charter's, and other certificates than NVIDIA's.

use tiltyard_attestation::binding::Switched;
use tiltyard_attestation::policy::{Architecture, PlatformId};
use tiltyard_attestation::{CheckId, Code};

use super::{Base, Variant, first};
use crate::nvidia::certificate::{CertificateFields, Extension};
use crate::nvidia::device::{BROM, Device};
use crate::nvidia::draft::{DeviceDraft, Draft};
use crate::nvidia::firmware::H100_SPT;
use crate::nvidia::keys::KeyName;
use crate::nvidia::sets::NOW;

pub(super) const VARIANTS: &[Variant] = &[
    Variant::signed("gpu-unlisted-ueid", CheckId::Gpu16, Code::UnknownDevice, unlisted)
        .by("G1", "a genuine GPU of another host answers the challenge, with its own chain and answers"),
    Variant::signed("uuid-only", CheckId::Gpu16, Code::UnknownDevice, uuid_only)
        .by("G4", "the GPU was enrolled by the 16 bytes of its NVML UUID, which no evidence carries"),
    Variant::signed("gpu-enrolment-revoked", CheckId::Gpu16, Code::PlatformRevoked, enrolment_revoked)
        .by("G1", "the GPU was enrolled and taken off the list an hour ago"),
    Variant::signed("gpu-in-two-leases", CheckId::Gpu15, Code::DuplicateDevice, in_two_leases)
        .by("G1", "the GPU serves another lease of the federation at the same time"),
    Variant::signed("same-device-4x", CheckId::Gpu15, Code::DuplicateDevice, same_device_4x)
        .on(Base::Mpt)
        .by("G4", "one enrolled GPU answers in the place of four"),
    Variant::signed("gpu-n-minus-1", CheckId::Gpu17, Code::TopologyMismatch, one_withheld)
        .on(Base::Mpt)
        .by("G3", "the evidence of one of eight GPUs is withheld"),
    Variant::signed("gpu-evidence-absent", CheckId::Gpu17, Code::TopologyMismatch, all_withheld)
        .by("G3", "the evidence of the only GPU is withheld"),
    Variant::signed("gpu-hidden-from-driver", CheckId::Gpu17, Code::TopologyMismatch, hidden_from_driver)
        .by("G3", "a second GPU is on the bus that the driver does not name"),
    Variant::signed("cc-off", CheckId::Gpu13, Code::CcModeOff, cc_off)
        .by("G2", "confidential mode is off; the GPU still attests"),
    Variant::signed("devtools-on", CheckId::Gpu13, Code::DevToolsMode, devtools_on)
        .by("G2", "developer tools are on; the GPU still attests"),
    Variant::signed("arch-mismatch", CheckId::Gpu07, Code::ArchMismatch, other_architecture)
        .by("G1", "a Hopper answers where the charter wants a Blackwell"),
    Variant::signed("driver-below-floor", CheckId::Gpu07, Code::RimVersionMismatch, old_driver)
        .by("G6", "a genuine driver with a genuine manifest, older than the charter's floor"),
    Variant::signed("vbios-below-floor", CheckId::Gpu07, Code::RimVersionMismatch, old_vbios)
        .by("G6", "a genuine VBIOS with a genuine manifest, older than the charter's floor"),
    Variant::signed("chain-other-root", CheckId::Gpu03, Code::UntrustedRoot, other_root)
        .by("G1", "the whole chain is made again, with NVIDIA's names, under the adversary's own root"),
    Variant::signed("leaf-not-issued", CheckId::Gpu03, Code::CertSignature, leaf_not_issued)
        .by("G1", "the adversary's key stands in a leaf with a genuine BROM's name and key id"),
    Variant::signed("chain-issuer-name", CheckId::Gpu03, Code::IssuerMismatch, issuer_name)
        .by("G1", "the leaf names another BROM than the one that signed it"),
    Variant::signed("chain-brom-not-ca", CheckId::Gpu03, Code::IssuerNotCa, brom_not_ca)
        .by("G1", "the certificate above the leaf has no CA flag"),
    Variant::signed("chain-expired", CheckId::Gpu03, Code::CertExpired, expired)
        .by("G7", "the provisioner's certificate ended yesterday"),
    Variant::signed("chain-not-yet-valid", CheckId::Gpu03, Code::CertNotYetValid, not_yet_valid)
        .by("G7", "the leaf is valid from tomorrow on"),
    Variant::sent("chain-root-only", CheckId::Gpu03, Code::ChainShape, |set| {
        let chain = &mut set.evidence[0].chain;
        chain.drain(..chain.len() - 1);
    })
    .by("G1", "only the root is sent, which every verifier trusts already"),
];

fn unlisted(draft: &mut Draft) {
    let elsewhere = Device { architecture: Architecture::Hopper, number: 900 };
    let (nonce, opaque) = (draft.expected.nonce, first(draft).report.opaque.clone());
    *first(draft) = DeviceDraft::genuine(&draft.keys.clone(), elsewhere, &H100_SPT, nonce, opaque);
    draft.answer_for_all();
}

fn uuid_only(draft: &mut Draft) {
    let uuid: [u8; 16] = draft.keys.draw("uuid/GH100/0");
    draft.expected.platforms.iter_mut().zip(PlatformId::new(&uuid)).for_each(|(row, id)| row.id = id);
}

fn enrolment_revoked(draft: &mut Draft) {
    draft.expected.platforms.iter_mut().for_each(|row| row.revoked_at = Some(NOW - 3_600));
}

fn in_two_leases(draft: &mut Draft) {
    draft.expected.fleet = first(draft).ueid().into_iter().collect();
}

fn same_device_4x(draft: &mut Draft) {
    let copy = first(draft).clone();
    draft.devices.iter_mut().take(4).for_each(|one| *one = copy.clone());
}

fn one_withheld(draft: &mut Draft) {
    draft.devices.pop();
}

fn all_withheld(draft: &mut Draft) {
    draft.devices.clear();
}

fn hidden_from_driver(draft: &mut Draft) {
    draft.boot.pci_gpus += 1;
}

fn cc_off(draft: &mut Draft) {
    draft.boot.gpus.iter_mut().for_each(|state| state.cc_mode = Switched::Off);
}

fn devtools_on(draft: &mut Draft) {
    draft.boot.gpus.iter_mut().for_each(|state| state.devtools = Switched::On);
}

fn other_architecture(draft: &mut Draft) {
    let floor = draft.expected.floor.devices.iter_mut();
    floor.for_each(|floor| floor.architectures = vec![Architecture::Blackwell]);
}

fn old_driver(draft: &mut Draft) {
    draft.expected.floor.devices.iter_mut().for_each(|floor| floor.driver = "550.90.08".to_owned());
}

fn old_vbios(draft: &mut Draft) {
    draft.expected.floor.devices.iter_mut().for_each(|floor| floor.vbios = "96.00.A0.00.00".to_owned());
}

/// Every key of the chain is the adversary's; all names and serial numbers stay.
fn other_root(draft: &mut Draft) {
    under_other_keys(&mut first(draft).chain);
    first(draft).report.signer = first(draft).chain[0].key.clone();
}

pub(super) fn under_other_keys(chain: &mut [CertificateFields]) {
    let mut above = KeyName::new("adversary/root");
    for (place, certificate) in chain.iter_mut().enumerate().rev() {
        certificate.signer = above.clone();
        let key = KeyName::new(format!("adversary/{place}"));
        certificate.key = if certificate.issuer == certificate.subject { above.clone() } else { key };
        for extension in &mut certificate.extensions {
            if let Extension::AuthorityKeyId(id) = extension {
                *id = above.clone();
            }
        }
        above = certificate.key.clone();
    }
}

fn leaf_not_issued(draft: &mut Draft) {
    let key = KeyName::new("adversary/leaf");
    let device = first(draft);
    device.chain[0].key = key.clone();
    device.chain[0].signer = KeyName::new("adversary/brom");
    device.report.signer = key;
}

fn issuer_name(draft: &mut Draft) {
    let chain = &mut first(draft).chain;
    chain[0].issuer.0.iter_mut().take(1).for_each(|(_, serial)| *serial = "41FFFFFFFFFFFFFFFF".to_owned());
}

fn brom_not_ca(draft: &mut Draft) {
    let extensions = &mut first(draft).chain[BROM].extensions;
    extensions.retain(|extension| !matches!(extension, Extension::Ca { .. }));
}

fn expired(draft: &mut Draft) {
    first(draft).chain[BROM + 1].validity.not_after = NOW - 86_400;
}

fn not_yet_valid(draft: &mut Draft) {
    first(draft).chain[0].validity.not_before = NOW + 86_400;
}
