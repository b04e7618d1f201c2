//! State and evidence of the guest's GPUs: the bus counted here, the driver's library asked in a process of its own.
//!
//! A program without feature `gpu` cannot ask, so that GPUs on the bus are an error. Not verified on hardware.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tiltyard_attestation::binding::{DeviceState, Switched};
use tiltyard_attestation::evidence::{DeviceEvidence, DeviceKind};
use tiltyard_attestation::{Base64Bytes, Hex};

use super::child::{Device, Failure, Reader};
use super::{CollectError, pci};

/// Largest report of one GPU, and its certificates, in bytes.
pub(super) const REPORT_MAX_BYTES: usize = 8192;
pub(super) const CHAIN_MAX_BYTES: usize = 16 * 1024;
/// Place of the requester's nonce: GET_MEASUREMENTS of SPDM 1.1, four bytes of header before it.
const NONCE_AT: usize = 4;

/// Where the bus and the driver's library are.
#[derive(Debug, Clone)]
pub struct Gpus {
    /// The kernel's folder of PCI functions.
    pub pci: PathBuf,
    /// The library, as the loader is to look for it.
    pub library: PathBuf,
}

/// GPUs that bus and driver agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuFacts {
    pub(super) pci: u8,
    pub(super) driver: Vec<DeviceState>,
}

impl GpuFacts {
    /// As many as the PCI bus shows.
    pub fn pci(&self) -> u8 {
        self.pci
    }

    /// State of each, in the driver's order, which is that of their evidence.
    pub fn driver(&self) -> &[DeviceState] {
        &self.driver
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    pub(super) library: PathBuf,
    /// None asks for the state alone.
    pub(super) nonce: Option<Hex<32>>,
}

/// One GPU, as a reader process says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) cc_mode: Switched,
    pub(super) protected_pcie: Switched,
    pub(super) devtools: Switched,
    pub(super) evidence: Option<GpuEvidence>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GpuEvidence {
    pub(super) report: Base64Bytes,
    pub(super) chain: Base64Bytes,
}

impl Gpus {
    /// Counts the GPUs and reads their modes.
    pub(super) fn facts(&self, reader: &Reader) -> Result<GpuFacts, CollectError> {
        let found = pci::gpus(&self.pci)?;
        let driver = if found == 0 { Vec::new() } else { self.ask(reader, None)? };
        let driver: Vec<_> = driver
            .into_iter()
            .map(|gpu| DeviceState {
                cc_mode: gpu.cc_mode,
                protected_pcie: gpu.protected_pcie,
                devtools: gpu.devtools,
            })
            .collect();
        let count = CollectError::DeviceCount { pci: found, driver: driver.len() };
        match u8::try_from(found) {
            Ok(pci) if found == driver.len() => Ok(GpuFacts { pci, driver }),
            _ => Err(count),
        }
    }

    /// A report of each GPU over `nonce`, with its certificates, in the driver's order.
    pub(super) fn evidence(
        &self,
        reader: &Reader,
        facts: &GpuFacts,
        nonce: &Hex<32>,
    ) -> Result<Vec<DeviceEvidence>, CollectError> {
        if facts.pci == 0 {
            return Ok(Vec::new());
        }
        let gpus = self.ask(reader, Some(*nonce))?;
        if gpus.len() != usize::from(facts.pci) {
            return Err(CollectError::DeviceCount { pci: facts.pci.into(), driver: gpus.len() });
        }
        (0..).zip(gpus).map(|(index, gpu)| gpu.evidence_over(index, nonce)).collect()
    }

    fn ask(&self, reader: &Reader, nonce: Option<Hex<32>>) -> Result<Vec<Answer>, CollectError> {
        reader.ask(Device::Gpu, &Question { library: self.library.clone(), nonce })
    }
}

impl Answer {
    fn evidence_over(self, index: u8, nonce: &Hex<32>) -> Result<DeviceEvidence, CollectError> {
        const EVIDENCE: &str = "GPU report";
        let none = || GpuEvidence { report: Vec::new().into(), chain: Vec::new().into() };
        let GpuEvidence { report: Base64Bytes(report), chain: Base64Bytes(chain) } =
            self.evidence.unwrap_or_else(none);
        let sizes = [(EVIDENCE, &report, REPORT_MAX_BYTES), ("GPU certificates", &chain, CHAIN_MAX_BYTES)];
        for (what, bytes, limit) in sizes {
            if bytes.len() > limit {
                return Err(CollectError::TooLarge { what, limit });
            }
            if bytes.is_empty() {
                return Err(CollectError::Format { what, expected: "at least one byte" });
            }
        }
        if report.get(NONCE_AT..NONCE_AT + nonce.bytes().len()) != Some(nonce.bytes().as_slice()) {
            return Err(CollectError::NotOurs { what: EVIDENCE });
        }
        Ok(DeviceEvidence { kind: DeviceKind::Gpu, index, report: report.into(), chain: chain.into() })
    }
}

/// In the reader process: each GPU that the driver names.
#[cfg(feature = "gpu")]
pub(super) fn read(question: Question) -> Result<Vec<Answer>, Failure> {
    super::nvml::read(&question)
}

/// In the reader process of a program that knows no GPUs.
#[cfg(not(feature = "gpu"))]
pub(super) fn read(_question: Question) -> Result<Vec<Answer>, Failure> {
    Err(Failure { step: super::child::Step::NotBuilt, code: 0 })
}
