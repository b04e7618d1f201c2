//! A whole set before and after it is signed.

use std::sync::Arc;

use tiltyard_attestation::binding::BootDocument;
use tiltyard_attestation::evidence::{self, DeviceKind};
use tiltyard_attestation::policy::{GpuFloor, Platform, PlatformId};
use tiltyard_attestation::{Collateral, ForeignAnchors};

use super::Spelled;
use super::certificate::CertificateFields;
use super::device::{self, BROM, Device};
use super::firmware::Firmware;
use super::formats;
use super::keys::Keyring;
use super::manifest::{Rim, RimFields};
use super::measurements;
use super::ocsp::AnswerFields;
use super::opaque::OpaqueField;
use super::signers;
use super::spdm::ReportFields;

/// Everything that goes into one set, each part settable; [`Draft::issue`] signs all of it.
#[derive(Clone)]
pub struct Draft {
    pub keys: Arc<Keyring>,
    /// GPUs, then switches.
    pub devices: Vec<DeviceDraft>,
    pub rims: Vec<RimFields>,
    pub answers: Vec<AnswerFields>,
    /// What the measured guest read of its devices.
    pub boot: BootDocument,
    pub expected: Expected,
}

/// One device's part.
#[derive(Debug, Clone)]
pub struct DeviceDraft {
    pub device: Device,
    /// Leaf first.
    pub chain: Vec<CertificateFields>,
    pub report: ReportFields,
}

/// What the verifier is told: it comes from the charter and the caller, never from the evidence.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Nonce that every device must answer.
    pub nonce: [u8; 32],
    /// Time of the appraisal, in Unix seconds.
    pub now: u64,
    pub floor: GpuFloor,
    pub platforms: Vec<Platform>,
    /// UEIDs that other leases hold.
    pub fleet: Vec<PlatformId>,
}

/// A signed set.
#[derive(Debug, Clone)]
pub struct EvidenceSet {
    /// GPUs, then switches.
    pub evidence: Vec<DeviceEvidence>,
    /// What the CPU's quote covers, where it is not the evidence that is shown.
    pub covered: Option<Vec<DeviceEvidence>>,
    pub rims: Vec<Rim>,
    pub answers: Vec<Answer>,
    pub boot: BootDocument,
    pub expected: Expected,
    /// The true root of devices, DER, whatever the evidence carries.
    pub device_root: Vec<u8>,
    /// The true root of manifests, DER.
    pub rim_root: Vec<u8>,
}

/// One device's signed evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvidence {
    pub device: Device,
    pub nonce: [u8; 32],
    /// SPDM request and response, with the signature.
    pub report: Vec<u8>,
    /// Leaf first, DER.
    pub chain: Vec<Vec<u8>>,
}

/// One OCSP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Serial number that it is about.
    pub serial: Vec<u8>,
    pub der: Vec<u8>,
}

impl DeviceDraft {
    /// The evidence of an honest device with this firmware.
    pub fn genuine(
        keys: &Keyring,
        device: Device,
        firmware: &Firmware,
        nonce: [u8; 32],
        opaque: Vec<OpaqueField>,
    ) -> Self {
        let fwid = firmware.fwid();
        let signer = device.attestation_key(&fwid);
        let mut report = ReportFields::genuine(nonce, measurements::blocks(firmware), opaque, signer);
        report.responder_nonce = keys.draw(&format!("responder-nonce/{device}"));
        Self { device, chain: device.chain(keys, &fwid), report }
    }

    /// Identity of the device: its leaf's serial number.
    pub fn ueid(&self) -> Option<PlatformId> {
        self.chain.first().and_then(|leaf| PlatformId::ueid(&leaf.serial))
    }

    /// Answers for the certificates that a service can know: all between leaf and root.
    pub fn answers(&self, keys: &Keyring, now: u64) -> Vec<AnswerFields> {
        answers(keys, self.chain.get(BROM..).unwrap_or_default(), now)
    }

    fn issue(&self, keys: &Keyring) -> DeviceEvidence {
        DeviceEvidence {
            device: self.device,
            nonce: self.report.request.nonce,
            report: self.report.issue(keys),
            chain: self.chain.iter().map(|certificate| certificate.issue(keys)).collect(),
        }
    }
}

impl Draft {
    /// Asks every device again, with another nonce.
    pub fn set_nonce(&mut self, nonce: [u8; 32]) {
        self.expected.nonce = nonce;
        self.devices.iter_mut().for_each(|one| one.report.request.nonce = nonce);
    }

    /// Adds a genuine answer for every certificate that has none yet.
    pub fn answer_for_all(&mut self) {
        let now = self.expected.now;
        let of_devices = self.devices.iter().flat_map(|one| one.answers(&self.keys, now));
        let of_rims = self.rims.iter().flat_map(|rim| answers(&self.keys, &rim.chain, now));
        let wanted: Vec<AnswerFields> = of_devices.chain(of_rims).collect();
        for answer in wanted {
            let known = |one: &AnswerFields| one.serial == answer.serial && one.issuer == answer.issuer;
            if !self.answers.iter().any(known) {
                self.answers.push(answer);
            }
        }
    }

    /// Signs everything.
    pub fn issue(&self) -> EvidenceSet {
        let keys = &self.keys;
        let answer =
            |fields: &AnswerFields| Answer { serial: fields.serial.clone(), der: fields.issue(keys) };
        EvidenceSet {
            evidence: self.devices.iter().map(|one| one.issue(keys)).collect(),
            covered: None,
            rims: self.rims.iter().map(|rim| rim.issue(keys)).collect(),
            answers: self.answers.iter().map(answer).collect(),
            boot: self.boot.clone(),
            expected: self.expected.clone(),
            device_root: device::root(keys).issue(keys),
            rim_root: signers::root(keys).issue(keys),
        }
    }
}

impl EvidenceSet {
    /// The two roots, as a set that taints whatever it vouches for.
    pub fn anchors(&self) -> ForeignAnchors {
        let mut anchors = ForeignAnchors::of_snp(Vec::new());
        anchors.nvidia_device = Some(self.device_root.clone().into());
        anchors.nvidia_rim = Some(self.rim_root.clone().into());
        anchors
    }

    /// Manifests and OCSP answers, as the verifier is given them.
    pub fn collateral(&self) -> Collateral {
        Collateral {
            rims: self.rims.iter().map(|rim| rim.xml.clone().into_bytes().into()).collect(),
            ocsp: self.answers.iter().map(|answer| answer.der.clone().into()).collect(),
            ..Collateral::none()
        }
    }

    /// The devices' part of the envelope.
    pub fn envelope(&self) -> Vec<evidence::DeviceEvidence> {
        in_envelope(&self.evidence)
    }

    /// The devices whose digests stand in the CPU's quote.
    pub fn covered_envelope(&self) -> Vec<evidence::DeviceEvidence> {
        in_envelope(self.covered.as_ref().unwrap_or(&self.evidence))
    }
}

/// GPUs and switches count apart, from 0.
fn in_envelope(devices: &[DeviceEvidence]) -> Vec<evidence::DeviceEvidence> {
    let (mut gpus, mut switches) = (0..=u8::MAX, 0..=u8::MAX);
    (devices.iter())
        .filter_map(|one| {
            let (kind, index) = match one.device.architecture.is_switch() {
                true => (DeviceKind::Switch, switches.next()?),
                false => (DeviceKind::Gpu, gpus.next()?),
            };
            let chain = formats::chain_txt(&one.chain) + "\n";
            Some(evidence::DeviceEvidence {
                kind,
                index,
                report: one.report.clone().into(),
                chain: chain.into_bytes().into(),
            })
        })
        .collect()
}

/// A genuine answer for each certificate but the last, which is the root.
fn answers(keys: &Keyring, chain: &[CertificateFields], now: u64) -> Vec<AnswerFields> {
    (chain.windows(2))
        .filter_map(|pair| match pair {
            [subject, issuer] => Some(AnswerFields::genuine(keys, subject, issuer, now)),
            _ => None,
        })
        .collect()
}
