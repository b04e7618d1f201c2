//! What a device says about itself in the opaque data of its report.
//!
//! Types and sizes are those of NVIDIA's own verifiers (nvtrust, attestation-sdk) and of genuine reports. Types that
//! are not named here are signed like the rest, and nothing is decided on them.

use std::fmt;

use super::spdm::{Exchange, SpdmError, Stage};
use super::version::{DriverVersion, VbiosVersion, VersionError};
use crate::Hex;
use crate::checks::Code;
use crate::evidence::DeviceKind;
use crate::policy::GpuMode;

/// Links of a GPU: each names the switch that stands at its other end.
pub const GPU_LINKS: usize = 18;
/// GPUs that a switch can name.
pub const SWITCH_GPUS: usize = 8;

/// Types of the opaque data.
pub mod field {
    pub const DRIVER: u16 = 3;
    pub const VBIOS: u16 = 6;
    pub const NVDEC0: u16 = 11;
    pub const CHIP_SKU: u16 = 15;
    pub const PROJECT: u16 = 17;
    pub const PROJECT_SKU: u16 = 18;
    pub const FWID: u16 = 20;
    pub const PROTECTED_PCIE: u16 = 21;
    /// On a GPU the switches at its links; on a switch its own PDI.
    pub const PDI: u16 = 22;
    /// On a switch: eight GPUs, then which of them stands at each of 64 ports.
    pub const GPU_PDIS: u16 = 26;
    pub const VERSION: u16 = 34;
    pub const CHIP: u16 = 35;
    pub const FEATURE: u16 = 36;
}

/// Version of the opaque data that this reads; a later one may mean other things by the same types.
const OPAQUE_VERSION_MAX: u64 = 1;
/// Switch ports that field 26 tells of, one byte each.
const SWITCH_PORTS: usize = 64;

/// Why a report's fields are not those of its kind of device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    #[error(transparent)]
    Spdm(#[from] SpdmError),
    #[error("opaque field {kind}: expected it, found none")]
    Missing { kind: u16 },
    #[error("opaque field {kind}: expected {expected} bytes, found {got}")]
    Size { kind: u16, expected: usize, got: usize },
    #[error("opaque field {kind}: expected printable text and then NUL, found another byte at {at}")]
    Text { kind: u16, at: usize },
    #[error("opaque field {kind}: {source}")]
    Version { kind: u16, source: VersionError },
    #[error("opaque field {kind}: expected {expected}, found {got:#x}")]
    Value { kind: u16, expected: &'static str, got: u64 },
}

impl ReportError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Spdm(error) => error.code(),
            _ => Code::SpdmFormat,
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Spdm(error) => error.stage(),
            _ => Stage::Form,
        }
    }
}

/// A report of sound form, with its typed facts; nothing in it is believed yet.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    exchange: Exchange<'a>,
    facts: Facts,
}

/// Facts by kind of device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one a device, and a guest has at most 24")]
pub enum Facts {
    Gpu(GpuFacts),
    Switch(SwitchFacts),
}

/// What a GPU's report tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuFacts {
    pub driver: DriverVersion,
    pub vbios: VbiosVersion,
    pub project: String,
    pub project_sku: String,
    pub chip_sku: String,
    /// From Blackwell on, where the driver gives it.
    pub chip: Option<String>,
    /// Not in reports of driver 535.
    pub fwid: Option<Hex<48>>,
    /// Whether the first video decoder is on: measurement 35 is left out only while it is off (GPU-11).
    pub nvdec0: Option<Status>,
    pub protected_pcie: Option<Status>,
    pub feature: Option<Feature>,
    /// PDI of the switch at each link, in the byte order of the switch's own report; zero where the link is off.
    pub switches: Option<[Pdi; GPU_LINKS]>,
}

/// What a switch's report tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchFacts {
    pub bios: VbiosVersion,
    pub fwid: Option<Hex<48>>,
    pub pdi: Option<Pdi>,
    /// PDIs of the GPUs at its ports.
    pub gpus: Option<[Pdi; SWITCH_GPUS]>,
}

/// Per-device identifier, as devices of one fabric name each other.
pub type Pdi = Hex<8>;

/// A part of a device that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 0xAA.
    On,
    /// 0x55.
    Off,
}

impl Status {
    /// As it stands in the field.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::On => 0xAA,
            Self::Off => 0x55,
        }
    }
}

/// Feature flag (field 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    Mode(GpuMode),
    /// A value without a name.
    Other(u64),
}

impl<'a> Report<'a> {
    /// Reads a report as that of a GPU or of a switch (BND-09, GPU-01, GPU-02).
    pub fn parse(bytes: &'a [u8], kind: DeviceKind) -> Result<Self, ReportError> {
        let exchange = Exchange::read(bytes)?;
        let fields = Fields(&exchange);
        fields.known_version()?;
        let facts = match kind {
            DeviceKind::Gpu => Facts::Gpu(GpuFacts::read(&fields)?),
            DeviceKind::Switch => Facts::Switch(SwitchFacts::read(&fields)?),
        };
        exchange.each_once()?;
        Ok(Self { exchange, facts })
    }

    pub fn exchange(&self) -> &Exchange<'a> {
        &self.exchange
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl Facts {
    /// FWID of the firmware that signed, where the report has one.
    pub fn fwid(&self) -> Option<Hex<48>> {
        match self {
            Self::Gpu(facts) => facts.fwid,
            Self::Switch(facts) => facts.fwid,
        }
    }

    /// Version of the VBIOS or of the switch BIOS.
    pub fn vbios(&self) -> VbiosVersion {
        match self {
            Self::Gpu(facts) => facts.vbios,
            Self::Switch(facts) => facts.bios,
        }
    }
}

impl GpuFacts {
    fn read(fields: &Fields<'_, '_>) -> Result<Self, ReportError> {
        let driver = fields.text(field::DRIVER)?;
        let packed = fields.required::<8>(field::VBIOS)?;
        let vbios = VbiosVersion::from_packed(packed).ok_or(ReportError::Value {
            kind: field::VBIOS,
            expected: "three zero bytes at the end",
            got: u64::from_le_bytes(packed),
        })?;
        let switches: Option<[u8; 8 * GPU_LINKS]> = fields.sized(field::PDI)?;
        Ok(Self {
            driver: driver.parse().map_err(|source| ReportError::Version { kind: field::DRIVER, source })?,
            vbios,
            project: fields.text(field::PROJECT)?,
            project_sku: fields.text(field::PROJECT_SKU)?,
            chip_sku: fields.text(field::CHIP_SKU)?,
            chip: fields.has(field::CHIP).then(|| fields.text(field::CHIP)).transpose()?,
            fwid: fields.sized(field::FWID)?.map(Hex),
            nvdec0: fields.status(field::NVDEC0)?,
            protected_pcie: fields.status(field::PROTECTED_PCIE)?,
            feature: fields.number(field::FEATURE)?.map(Feature::from),
            // A GPU writes its link partners the other way round than they write themselves.
            switches: switches.map(|bytes| pdis(&bytes).map(|Hex(pdi)| Hex(reversed(pdi)))),
        })
    }

    /// Mode in which the GPU is used, as far as the report tells: its feature flag, else protected PCIe.
    pub fn mode(&self) -> Option<GpuMode> {
        match (self.feature, self.protected_pcie) {
            (Some(Feature::Other(_)), _) => None,
            (Some(Feature::Mode(GpuMode::Ppcie)), Some(Status::Off)) => None,
            (Some(Feature::Mode(GpuMode::Spt | GpuMode::Mpt)), Some(Status::On)) => None,
            (Some(Feature::Mode(mode)), _) => Some(mode),
            (None, Some(Status::On)) => Some(GpuMode::Ppcie),
            (None, Some(Status::Off)) => Some(GpuMode::Spt),
            (None, None) => None,
        }
    }

    /// Name of this board's VBIOS manifest: `NV_GPU_VBIOS_<project>_<SKU>_<chip SKU>_<version>`.
    pub fn vbios_rim_id(&self) -> String {
        let Self { project, project_sku, chip_sku, vbios, .. } = self;
        format!("NV_GPU_VBIOS_{project}_{project_sku}_{chip_sku}_{}", vbios.compact())
    }
}

impl SwitchFacts {
    fn read(fields: &Fields<'_, '_>) -> Result<Self, ReportError> {
        let bios = fields.text(field::VBIOS)?;
        let gpus: Option<[u8; 8 * SWITCH_GPUS + SWITCH_PORTS]> = fields.sized(field::GPU_PDIS)?;
        Ok(Self {
            bios: bios.parse().map_err(|source| ReportError::Version { kind: field::VBIOS, source })?,
            fwid: fields.sized(field::FWID)?.map(Hex),
            pdi: fields.sized(field::PDI)?.map(Hex),
            gpus: gpus.map(|bytes| pdis(&bytes)),
        })
    }
}

impl From<u64> for Feature {
    fn from(value: u64) -> Self {
        match value {
            0 => Self::Mode(GpuMode::Spt),
            1 => Self::Mode(GpuMode::Mpt),
            2 => Self::Mode(GpuMode::Ppcie),
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "{mode:?}"),
            Self::Other(value) => write!(f, "feature flag {value}"),
        }
    }
}

/// The first `N` identifiers of a list.
fn pdis<const N: usize>(bytes: &[u8]) -> [Pdi; N] {
    let mut out = [Hex([0; 8]); N];
    for (pdi, chunk) in out.iter_mut().zip(bytes.chunks_exact(8)) {
        pdi.0.copy_from_slice(chunk);
    }
    out
}

fn reversed(mut pdi: [u8; 8]) -> [u8; 8] {
    pdi.reverse();
    pdi
}

/// Opaque fields, read by type.
struct Fields<'e, 'a>(&'e Exchange<'a>);

impl Fields<'_, '_> {
    fn known_version(&self) -> Result<(), ReportError> {
        match self.number(field::VERSION)? {
            Some(got) if got > OPAQUE_VERSION_MAX => {
                Err(ReportError::Value { kind: field::VERSION, expected: "version 0 or 1", got })
            }
            _ => Ok(()),
        }
    }

    fn has(&self, kind: u16) -> bool {
        self.0.opaque(kind).is_some()
    }

    /// A field of exactly `N` bytes, where there is one.
    fn sized<const N: usize>(&self, kind: u16) -> Result<Option<[u8; N]>, ReportError> {
        self.0
            .opaque(kind)
            .map(|data| data.try_into().map_err(|_| ReportError::Size { kind, expected: N, got: data.len() }))
            .transpose()
    }

    fn required<const N: usize>(&self, kind: u16) -> Result<[u8; N], ReportError> {
        self.sized(kind)?.ok_or(ReportError::Missing { kind })
    }

    /// Text without spaces, filled up with NUL or not; never empty.
    fn text(&self, kind: u16) -> Result<String, ReportError> {
        let data = self.0.opaque(kind).ok_or(ReportError::Missing { kind })?;
        let len = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
        let other = data
            .iter()
            .enumerate()
            .position(|(at, byte)| if at < len { !byte.is_ascii_graphic() } else { *byte != 0 });
        match other {
            Some(at) => Err(ReportError::Text { kind, at }),
            None if len == 0 => Err(ReportError::Text { kind, at: 0 }),
            None => Ok(data.iter().take(len).map(|&byte| char::from(byte)).collect()),
        }
    }

    fn status(&self, kind: u16) -> Result<Option<Status>, ReportError> {
        match self.sized(kind)? {
            None => Ok(None),
            Some([0xAA]) => Ok(Some(Status::On)),
            Some([0x55]) => Ok(Some(Status::Off)),
            Some([got]) => {
                Err(ReportError::Value { kind, expected: "0xAA (on) or 0x55 (off)", got: got.into() })
            }
        }
    }

    /// A little-endian number of 1 to 8 bytes.
    fn number(&self, kind: u16) -> Result<Option<u64>, ReportError> {
        const NUMBER_MAX_BYTES: usize = 8;
        let Some(data) = self.0.opaque(kind) else { return Ok(None) };
        if !(1..=NUMBER_MAX_BYTES).contains(&data.len()) {
            return Err(ReportError::Size { kind, expected: 2, got: data.len() });
        }
        Ok(Some(data.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))))
    }
}
