//! Whole guests, a CPU and its devices under one challenge, and attacks on what binds them.
//!
//! [`Lab`] is one site: machines of both CPU vendors and boards of NVIDIA's, under one charter that lists them all.
//! [`Draft`] is one guest's evidence before it is signed, in the order in which a guest makes it: devices answer the
//! nonce that follows from the challenge, the runtime document lists their evidence, and the CPU's statement covers
//! the runtime document.

use std::path::Path;

use tiltyard_attestation::binding::{DeviceDigest, Runtime};
use tiltyard_attestation::evidence::{DeviceEvidence, DeviceKind};
use tiltyard_attestation::policy::{GpuFloor, Level, TeeFloor};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::{Backend, EarlierDevices, ForeignAnchors, Hex, LaunchConfig, Role};

use super::{CHARTER, Expected, IMAGE, MEASUREMENT, NONCE, Set, Variant, snp, tdx};
use crate::PlatformError;
use crate::mint::{self, Guest};
use crate::nvidia::{self, EvidenceSet};

mod binding;
mod counts;
mod devices;

/// What a TD measures the image to; [`MEASUREMENT`] is what an SNP guest does.
const MRTD: Hex<48> = Hex([0x3f; 48]);

/// One row of the table; it is made on a guest of any CPU.
pub type CompositeVariant = Variant<Board, Draft>;

/// Form of the CPU's statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// SEV-SNP report, version 3.
    Genoa,
    /// SEV-SNP report, version 5.
    Turin,
    /// Quote of version 4, TD 1.0.
    TdxV4,
    /// Quote of version 5, TD 1.5.
    TdxV5,
}

/// Devices of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// None: a referee, under a charter that wants a GPU of all others.
    Bare,
    /// One H100.
    OneH100,
    /// Eight H100 and four LS10 in protected PCIe.
    ProtectedPcie,
    /// Eight B200 in multi-GPU passthrough.
    EightB200,
}

/// Machines and boards of one site, and the charter for them.
pub struct Lab {
    snp: snp::Lab,
    tdx: tdx::Lab,
    devices: nvidia::Lab,
    tee: TeeFloor,
    reference: ReferenceValues,
    anchors: ForeignAnchors,
}

/// One guest's evidence before it is signed, and what it is held against. Genuine by default.
#[derive(Clone)]
pub struct Draft {
    pub cpu: CpuDraft,
    /// GPUs and switches, their manifests and answers, what the guest read of them and what the charter says of them.
    pub devices: nvidia::Draft,
    /// What the guest makes of the devices' evidence before its runtime document lists it.
    pub collected: fn(&mut Vec<DeviceEvidence>),
    /// Devices whose evidence is shown instead of that which the CPU's statement covers.
    pub shown: Option<nvidia::Draft>,
}

/// The CPU's part.
#[derive(Debug, Clone)]
pub enum CpuDraft {
    Snp(Box<snp::Draft>),
    Tdx(Box<tdx::Draft>),
}

impl Cpu {
    pub const ALL: [Self; 4] = [Self::Genoa, Self::Turin, Self::TdxV4, Self::TdxV5];

    /// What the launch configuration names.
    pub fn backend(self) -> Backend {
        match self {
            Self::Genoa | Self::Turin => Backend::Snp,
            Self::TdxV4 | Self::TdxV5 => Backend::Tdx,
        }
    }

    /// Highest level that accepts it.
    pub fn highest(self) -> Level {
        match self {
            Self::Genoa => Level::Standard,
            Self::Turin | Self::TdxV4 | Self::TdxV5 => Level::Strict,
        }
    }

    fn draft(self, lab: &Lab) -> Result<CpuDraft, PlatformError> {
        let snp = |base: snp::Base| Ok(CpuDraft::Snp(Box::new(base.draft(&lab.snp)?)));
        let tdx = |base: tdx::Base| Ok(CpuDraft::Tdx(Box::new(base.draft(&lab.tdx))));
        match self {
            Self::Genoa => snp(snp::Base::Genoa),
            Self::Turin => snp(snp::Base::Turin),
            Self::TdxV4 => tdx(tdx::Base::V4),
            Self::TdxV5 => tdx(tdx::Base::V5Td15),
        }
    }
}

impl Board {
    pub const ALL: [Self; 4] = [Self::Bare, Self::OneH100, Self::ProtectedPcie, Self::EightB200];

    /// GPUs and switches.
    pub fn counts(self) -> (u8, u8) {
        match self {
            Self::Bare => (0, 0),
            Self::OneH100 => (1, 0),
            Self::ProtectedPcie => (8, 4),
            Self::EightB200 => (8, 0),
        }
    }

    fn draft(self, lab: &nvidia::Lab) -> nvidia::Draft {
        match self {
            Self::Bare => {
                let mut none = lab.draft(&[]);
                none.expected.floor = lab.one_h100().expected.floor;
                none
            }
            Self::OneH100 => lab.one_h100(),
            Self::ProtectedPcie => lab.protected_pcie(),
            Self::EightB200 => lab.eight_b200(),
        }
    }

    fn config(self, backend: Backend) -> LaunchConfig {
        // The other role that is given devices stands in the attacks.
        let role = if self == Self::Bare { Role::Referee } else { Role::Evaluator };
        let mut config = mint::sample_config(role, CHARTER, IMAGE);
        config.backend = backend;
        config.gpus = (0..self.counts().0).map(address).collect();
        config
    }
}

/// PCI address of a GPU of the host.
pub(crate) fn address(place: u8) -> String {
    format!("0000:{:02x}:00.0", 0x10 + place)
}

impl Lab {
    /// The site that `seed` gives, at `now` (Unix seconds, from 2026-01-12 to 2028-01-12: the life of those who sign
    /// manifests); `key_cache` as in [`crate::SimulatedPlatform::from_seed`].
    pub fn from_seed(seed: &[u8; 32], key_cache: Option<&Path>, now: u64) -> Result<Self, PlatformError> {
        let snp = snp::Lab::from_seed(seed, key_cache, now)?;
        let tdx = tdx::Lab::from_seed(seed, now);
        let devices = nvidia::Lab::from_seed(*seed).at(now);
        let of_snp = [snp::Base::Genoa, snp::Base::Turin]
            .into_iter()
            .map(|base| Ok(base.draft(&snp)?.expected))
            .collect::<Result<Vec<Expected>, PlatformError>>()?;
        let of_tdx = tdx::Base::V4.draft(&tdx).expected;
        let of_devices = devices.draft(&[]).issue().anchors();
        let anchors = ForeignAnchors {
            snp: of_snp.iter().flat_map(|expected| expected.anchors.snp.clone()).collect(),
            intel: of_tdx.anchors.intel,
            ..of_devices
        };
        // One image file, which the two vendors' machines measure each in its own way.
        let of_td =
            of_tdx.reference.images.into_iter().map(|image| ReferenceImage { measurement: MRTD, ..image });
        let images = of_snp.iter().take(1).flat_map(|expected| expected.reference.images.clone());
        let reference = ReferenceValues {
            images: images.chain(of_td).collect(),
            foreign_anchors: Some(anchors.digest()),
        };
        let floors = of_snp.into_iter().take(1).flat_map(|expected| expected.tee.snp).collect();
        let tee = TeeFloor { snp: floors, tdx: of_tdx.tee.tdx };
        Ok(Self { snp, tdx, devices, tee, reference, anchors })
    }

    /// Roots of all three vendors' simulators.
    pub fn anchors(&self) -> &ForeignAnchors {
        &self.anchors
    }

    /// The evidence that breaks no rule.
    pub fn draft(&self, cpu: Cpu, board: Board) -> Result<Draft, PlatformError> {
        let measurement = match cpu.backend() {
            Backend::Tdx => MRTD,
            _ => MEASUREMENT,
        };
        let guest = Guest::sample(board.config(cpu.backend()), measurement, 7);
        let mut devices = board.draft(&self.devices);
        devices.set_nonce(Runtime::device_nonce(&NONCE, &guest.tee_pubkey).0);
        let mut cpu = cpu.draft(self)?;
        if let CpuDraft::Tdx(draft) = &mut cpu {
            draft.td.quote.report.mrtd = MRTD.0;
        }
        *cpu.runtime() = guest.runtime(NONCE);
        *cpu.config() = guest.config.to_bytes();
        let expected = cpu.expected();
        expected.guest = guest;
        expected.backends = vec![Backend::Snp, Backend::Tdx];
        (expected.tee, expected.reference) = (self.tee.clone(), self.reference.clone());
        expected.anchors = self.anchors.clone();
        Ok(Draft { cpu, devices, collected: |_| {}, shown: None })
    }

    /// Signs a draft.
    pub fn issue(&self, draft: &Draft) -> Result<Set, PlatformError> {
        self.issue_edited(draft, |_| {})
    }

    /// The same with the devices' evidence changed on its way to the guest.
    pub fn issue_edited(
        &self,
        draft: &Draft,
        edit: impl FnOnce(&mut EvidenceSet),
    ) -> Result<Set, PlatformError> {
        let mut devices = draft.devices.issue();
        edit(&mut devices);
        let mut covered = devices.covered_envelope();
        (draft.collected)(&mut covered);
        let mut cpu = draft.cpu.clone();
        let runtime = cpu.runtime();
        runtime.additional_evidence = covered.iter().map(listed).collect();
        runtime.profile.boot = devices.boot.digest();
        let mut set = match &cpu {
            CpuDraft::Snp(draft) => self.snp.issue(draft)?,
            CpuDraft::Tdx(draft) => self.tdx.issue(draft),
        };
        let mut shown =
            draft.shown.as_ref().map_or_else(|| devices.envelope(), |other| other.issue().envelope());
        (draft.collected)(&mut shown);
        set.evidence.devices = shown;
        // As a guest does: without devices there is nothing to say.
        set.evidence.boot = (devices.boot.pci_gpus > 0).then(|| devices.boot.to_bytes().into());
        let collateral = devices.collateral();
        (set.collateral.rims, set.collateral.ocsp) = (collateral.rims, collateral.ocsp);
        let nvidia::draft::Expected { floor, platforms, fleet, .. } = devices.expected;
        (set.expected.gpu, set.expected.fleet) = (floor, fleet);
        set.expected.platforms.extend(platforms);
        Ok(set)
    }
}

/// The row of the runtime document that stands for a device.
fn listed(device: &DeviceEvidence) -> DeviceDigest {
    DeviceDigest { kind: device.kind, index: device.index, digest: device.digest() }
}

impl CpuDraft {
    /// What REPORT_DATA covers; devices and boot are filled in when it is signed.
    pub fn runtime(&mut self) -> &mut Runtime {
        match self {
            Self::Snp(draft) => &mut draft.runtime,
            Self::Tdx(draft) => &mut draft.runtime,
        }
    }

    /// Bytes of the launch configuration, which HOST_DATA or MRCONFIGID covers.
    pub fn config(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Snp(draft) => &mut draft.config,
            Self::Tdx(draft) => &mut draft.config,
        }
    }

    /// What the verifier knows; floors and lists of devices are those of [`Draft::devices`].
    pub fn expected(&mut self) -> &mut Expected {
        match self {
            Self::Snp(draft) => &mut draft.expected,
            Self::Tdx(draft) => &mut draft.expected,
        }
    }
}

impl Draft {
    /// The host launches the guest with another configuration than its runtime document and the challenge are of.
    pub fn configure(&mut self, edit: impl FnOnce(&mut LaunchConfig)) {
        let mut config = self.cpu.expected().guest.config.clone();
        edit(&mut config);
        *self.cpu.config() = config.to_bytes();
    }

    /// Configuration, runtime document and challenge are of another guest, all alike.
    pub fn launch(&mut self, edit: impl FnOnce(&mut LaunchConfig)) {
        let guest = &mut self.cpu.expected().guest;
        edit(&mut guest.config);
        let (runtime, config) = (guest.runtime(NONCE), guest.config.to_bytes());
        (*self.cpu.runtime(), *self.cpu.config()) = (runtime, config);
    }

    /// Leaves out the devices' evidence: a renewal that rests on an earlier appraisal of them, where there is one.
    pub fn renew(&mut self, earlier: Option<EarlierDevices>) {
        self.devices.devices.clear();
        self.cpu.expected().earlier = earlier;
    }

    /// What every device is asked with by a guest whose key is of `label`, over `nonce`.
    pub fn device_nonce(nonce: &Hex<32>, label: u8) -> [u8; 32] {
        Runtime::device_nonce(nonce, &Guest::sample_tee_pubkey(label)).0
    }

    /// Floor of the charter for devices.
    pub fn floor(&mut self) -> &mut GpuFloor {
        &mut self.devices.expected.floor
    }
}

impl CompositeVariant {
    /// The set as the verifier gets it.
    pub fn set(&self, lab: &Lab, cpu: Cpu) -> Result<Set, PlatformError> {
        let mut draft = lab.draft(cpu, self.base)?;
        self.before_signing(&mut draft);
        let mut set = lab.issue(&draft)?;
        self.after_signing(&mut set);
        Ok(set)
    }
}

/// Every attack, by what it breaks.
pub fn variants() -> impl Iterator<Item = &'static CompositeVariant> {
    [binding::VARIANTS, counts::VARIANTS, devices::VARIANTS].into_iter().flatten()
}

/// Devices of one kind, in envelope order.
fn of_kind(devices: &mut [DeviceEvidence], kind: DeviceKind) -> impl Iterator<Item = &mut DeviceEvidence> {
    devices.iter_mut().filter(move |device| device.kind == kind)
}
