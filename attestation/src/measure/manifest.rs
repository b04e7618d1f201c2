//! The image manifest: which files an image is, how it is launched, and what it then measures to.

use serde::{Deserialize, Serialize};

use super::error::{MeasureError, Part};
use super::firmware::FIRMWARE_MAX_BYTES;
use super::snp::{self, Firmware, KernelHashes, SevFeatures, VcpuModel, Vmm};
use super::tdx::{self, LaunchProfile};
use super::{CommandLine, INITRD_MAX_BYTES, KERNEL_MAX_BYTES};
use crate::Hex;

/// Largest manifest, in bytes.
pub const MANIFEST_MAX_BYTES: usize = 256 * 1024;
/// Most (model, count) pairs of one image.
pub const SHAPES_MAX: usize = 512;
const VERSION: u8 = 1;

/// What an image is made of and measures to, as RFC 8785 JSON.
///
/// It is only as good as its signature, which is the release's, not this crate's, to check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageManifest {
    /// Always 1.
    pub v: u8,
    pub inputs: ImageInputs,
    pub expected: Expected,
}

/// The files and launch parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInputs {
    pub kernel: FileDigest,
    pub initrd: Option<FileDigest>,
    pub cmdline: CommandLine,
    /// None for an image that isn't launched under SNP.
    pub snp: Option<SnpInputs>,
    /// None for an image that isn't launched under TDX.
    pub tdx: Option<TdxInputs>,
}

/// One file by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    pub sha256: Hex<32>,
    pub len_bytes: u64,
}

/// How the image is launched under SNP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpInputs {
    pub firmware: FileDigest,
    pub vmm: Vmm,
    pub features: SevFeatures,
    /// Each pair measures differently.
    pub shapes: Vec<Shape>,
}

/// vCPU model and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    pub model: VcpuModel,
    pub vcpus: u32,
}

/// How the image is launched under TDX; vCPUs and memory do not enter MRTD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxInputs {
    pub firmware: FileDigest,
    pub profile: LaunchProfile,
    /// Digests that RTMR0 may hold, of every topology that is allowed ([`tdx::rtmr0`]).
    pub rtmr0_events: Vec<Hex<48>>,
}

/// What the image must measure to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// One row for each of the inputs' shapes, in their order.
    pub snp: Vec<SnpExpected>,
    pub tdx: Option<TdxExpected>,
}

/// MEASUREMENT of an SNP report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpExpected {
    pub shape: Shape,
    pub measurement: Hex<48>,
}

/// Registers of a TDX quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxExpected {
    pub mrtd: Hex<48>,
    pub rtmr1: Hex<48>,
    pub rtmr2: Hex<48>,
}

/// The files themselves; one is present exactly if the manifest names it.
#[derive(Debug, Clone, Copy)]
pub struct ImageBytes<'a> {
    pub kernel: &'a [u8],
    pub initrd: Option<&'a [u8]>,
    pub snp_firmware: Option<&'a [u8]>,
    pub tdx_firmware: Option<&'a [u8]>,
}

/// What the image of `manifest` measures to, calculated from `files`.
///
/// A file that isn't the one named is refused before anything is measured, and so is a manifest whose own
/// `expected` differs from the calculation ([`MeasureError::Expected`]).
pub fn expected(manifest: &ImageManifest, files: &ImageBytes<'_>) -> Result<Expected, MeasureError> {
    let got = manifest.inputs.measure(files)?;
    manifest.expected.compare(&got)?;
    Ok(got)
}

impl ImageManifest {
    /// The manifest of an image that was just built.
    pub fn build(inputs: ImageInputs, files: &ImageBytes<'_>) -> Result<Self, MeasureError> {
        let expected = inputs.measure(files)?;
        Ok(Self { v: VERSION, inputs, expected })
    }

    /// Reads a manifest: size, closed members, canonical form, version, row counts.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MeasureError> {
        if bytes.len() > MANIFEST_MAX_BYTES {
            return Err(MeasureError::ManifestTooLarge { limit: MANIFEST_MAX_BYTES, got: bytes.len() });
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| MeasureError::ManifestSyntax(error.to_string()))?;
        if manifest.to_bytes() != bytes {
            return Err(MeasureError::ManifestNotCanonical);
        }
        if manifest.v != VERSION {
            return Err(MeasureError::ManifestVersion { expected: VERSION, got: manifest.v });
        }
        manifest.inputs.check_rows()?;
        Ok(manifest)
    }

    /// The canonical bytes (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        // Every member is a string, an integer or a list or object of them, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }
}

impl FileDigest {
    /// Digest and length of `file`.
    pub fn of(file: &[u8]) -> Self {
        Self { sha256: Hex::sha256(file), len_bytes: file.len() as u64 }
    }
}

impl ImageInputs {
    fn measure(&self, files: &ImageBytes<'_>) -> Result<Expected, MeasureError> {
        self.check_rows()?;
        let kernel = check(Part::Kernel, KERNEL_MAX_BYTES, Some(self.kernel), Some(files.kernel))?;
        let initrd = check(Part::Initrd, INITRD_MAX_BYTES, self.initrd, files.initrd)?;
        let named = self.snp.as_ref().map(|snp| snp.firmware);
        let snp_firmware = check(Part::SnpFirmware, FIRMWARE_MAX_BYTES, named, files.snp_firmware)?;
        let named = self.tdx.as_ref().map(|tdx| tdx.firmware);
        let tdx_firmware = check(Part::TdxFirmware, FIRMWARE_MAX_BYTES, named, files.tdx_firmware)?;
        let snp = match &self.snp {
            Some(inputs) => inputs.measure(snp_firmware, &KernelHashes::of(kernel, initrd, &self.cmdline))?,
            None => Vec::new(),
        };
        let tdx = match &self.tdx {
            Some(inputs) => Some(inputs.measure(tdx_firmware, kernel, initrd, &self.cmdline)?),
            None => None,
        };
        Ok(Expected { snp, tdx })
    }

    fn check_rows(&self) -> Result<(), MeasureError> {
        let too_many = |what, limit, got| Err(MeasureError::ManifestRows { what, limit, got });
        if let Some(snp) = &self.snp {
            if snp.shapes.len() > SHAPES_MAX {
                return too_many("shapes", SHAPES_MAX, snp.shapes.len());
            }
            let mut sorted = snp.shapes.clone();
            sorted.sort_unstable();
            sorted.dedup();
            if sorted.len() != snp.shapes.len() {
                return Err(MeasureError::ManifestTwice { what: "a shape" });
            }
        }
        match &self.tdx {
            Some(tdx) if tdx.rtmr0_events.len() > tdx::EVENTS_MAX => {
                too_many("rtmr0_events", tdx::EVENTS_MAX, tdx.rtmr0_events.len())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl SnpInputs {
    fn measure(&self, firmware: &[u8], kernel: &KernelHashes) -> Result<Vec<SnpExpected>, MeasureError> {
        let memory = snp::Memory::load(Firmware::Whole(firmware), Some(kernel), self.vmm)?;
        let row = |shape: &Shape| {
            let measurement = memory.start(shape.vcpus, shape.model, self.features)?;
            Ok(SnpExpected { shape: *shape, measurement })
        };
        self.shapes.iter().map(row).collect()
    }
}

impl TdxInputs {
    fn measure(
        &self,
        firmware: &[u8],
        kernel: &[u8],
        initrd: &[u8],
        cmdline: &CommandLine,
    ) -> Result<TdxExpected, MeasureError> {
        let kernel = tdx::kernel_digest(kernel, initrd, cmdline, self.profile.kernel)?;
        Ok(TdxExpected {
            mrtd: tdx::mrtd(firmware, self.profile.page_order)?,
            rtmr1: tdx::rtmr(&tdx::rtmr1_events(kernel, self.profile.separator)),
            rtmr2: tdx::rtmr(&tdx::rtmr2_events(cmdline, initrd)),
        })
    }
}

impl Expected {
    /// Refuses the first value of `got` that isn't ours.
    fn compare(&self, got: &Self) -> Result<(), MeasureError> {
        if self.snp.len() != got.snp.len() {
            let (limit, got) = (got.snp.len(), self.snp.len());
            return Err(MeasureError::ManifestRows { what: "expected", limit, got });
        }
        let snp = self.snp.iter().zip(&got.snp).map(|(ours, theirs)| {
            if ours.shape != theirs.shape {
                return Err(MeasureError::ManifestTwice { what: "a shape of `expected`" });
            }
            same("MEASUREMENT", ours.measurement, theirs.measurement)
        });
        snp.collect::<Result<(), _>>()?;
        match (self.tdx, got.tdx) {
            (Some(ours), Some(theirs)) => {
                same("MRTD", ours.mrtd, theirs.mrtd)?;
                same("RTMR1", ours.rtmr1, theirs.rtmr1)?;
                same("RTMR2", ours.rtmr2, theirs.rtmr2)
            }
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => Err(MeasureError::PartPresence { part: Part::TdxFirmware }),
        }
    }
}

fn same(what: &'static str, expected: Hex<48>, got: Hex<48>) -> Result<(), MeasureError> {
    if expected == got { Ok(()) } else { Err(MeasureError::Expected { what, expected, got }) }
}

/// The bytes of one file, empty when none is named.
fn check(
    part: Part,
    limit: usize,
    named: Option<FileDigest>,
    file: Option<&[u8]>,
) -> Result<&[u8], MeasureError> {
    let (named, file) = match (named, file) {
        (Some(named), Some(file)) => (named, file),
        (None, None) => return Ok(&[]),
        (Some(_), None) | (None, Some(_)) => return Err(MeasureError::PartPresence { part }),
    };
    if file.len() > limit {
        return Err(MeasureError::TooLarge { part, limit, got: file.len() });
    }
    if file.len() as u64 != named.len_bytes {
        return Err(MeasureError::PartLength { part, expected: named.len_bytes, got: file.len() as u64 });
    }
    let got = Hex::sha256(file);
    if got != named.sha256 {
        return Err(MeasureError::PartDigest { part, expected: named.sha256, got });
    }
    Ok(file)
}
