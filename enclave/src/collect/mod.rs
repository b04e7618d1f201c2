//! Evidence of this guest's own hardware, as its kernel and drivers give it (ATTESTATION 10).
//!
//! **Not verified on hardware.** The interfaces are read as their sources describe them, over folders, devices and
//! libraries that tests play; no SEV-SNP, TDX or GPU machine has run this.
//!
//! A guest looks for configfs-tsm first and for `/dev/sev-guest` if there is none. What it gets is brought to the
//! exact length that it declares, because no verifier trims. Whatever comes from the host or a device has a limit
//! before it is kept, and nothing is believed here that the verifier does not judge again.
//!
//! Only this program may open these interfaces: whoever can choose report data can be anybody.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tiltyard_attestation::evidence::{CpuEvidence, DeviceEvidence};
use tiltyard_attestation::{Hex, LaunchConfig};

mod child;
mod error;
mod file;
mod gpu;
#[cfg(feature = "gpu")]
mod nvml;
mod pci;
mod sev_device;
mod snp;
mod tdx_guest;
mod tsm;

pub use child::{Reader, read_device};
pub use error::{CollectError, ReaderEnd};
pub use gpu::{GpuFacts, Gpus};

use tdx_guest::Ccel;
use tsm::{Provider, Tsm};

/// A GPU takes seconds for a report.
const READER_DEADLINE: Duration = Duration::from_secs(60);

/// Where a guest's interfaces are.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folders of configfs-tsm's shape; the first that is there counts.
    pub tsm: Vec<PathBuf>,
    /// Whether this is there decides; the reader process opens the device by its own name.
    pub sev_guest: PathBuf,
    pub ccel_table: PathBuf,
    pub ccel_log: PathBuf,
    pub gpus: Gpus,
    pub reader: Reader,
}

impl Places {
    /// Those of a booted guest.
    pub fn of_guest() -> Self {
        Self {
            // The image maps its report interface to the first; the second is where the kernel has it.
            tsm: vec!["/tsm/report".into(), "/sys/kernel/config/tsm/report".into()],
            sev_guest: "/dev/sev-guest".into(),
            ccel_table: "/sys/firmware/acpi/tables/CCEL".into(),
            ccel_log: "/sys/firmware/acpi/tables/data/CCEL".into(),
            gpus: Gpus { pci: "/sys/bus/pci/devices".into(), library: "libnvidia-ml.so.1".into() },
            reader: Reader { program: "/proc/self/exe".into(), deadline: READER_DEADLINE },
        }
    }
}

/// The guest's way to its evidence.
#[derive(Debug, Clone)]
pub struct Collector {
    places: Places,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Tsm(Tsm),
    SevGuest,
}

impl Collector {
    /// Chooses the interface: configfs-tsm, else `/dev/sev-guest`.
    pub fn find(places: Places) -> Result<Self, CollectError> {
        let source = match places.tsm.iter().find(|root| file::present(root)) {
            Some(root) => Source::Tsm(Tsm::at(root)?),
            None if file::present(&places.sev_guest) => Source::SevGuest,
            None => return Err(no_interface(&places)),
        };
        Ok(Self { places, source })
    }

    /// Evidence of the CPU over `report_data`. `name` must be new: directories are named after it.
    pub fn cpu(&self, name: &str, report_data: &Hex<64>) -> Result<Collected, CollectError> {
        match &self.source {
            Source::Tsm(tsm) => {
                let answer = tsm.ask(name, report_data)?;
                match answer.provider {
                    Provider::SevGuest => {
                        Collected::snp(answer.outblob, snp::certificates(&answer.auxblob)?, report_data)
                    }
                    Provider::TdxGuest => Collected::tdx(answer.outblob, &self.places, report_data),
                }
            }
            Source::SevGuest => {
                let (report, certificates) = sev_device::ask(&self.places.reader, report_data)?;
                Collected::snp(report, certificates, report_data)
            }
        }
    }

    /// Counts the GPUs on the bus and reads the modes that the driver states.
    pub fn gpu_facts(&self) -> Result<GpuFacts, CollectError> {
        self.places.gpus.facts(&self.places.reader)
    }

    /// Evidence of each GPU over `nonce`, in the order of `facts`.
    pub fn gpus(&self, facts: &GpuFacts, nonce: &Hex<32>) -> Result<Vec<DeviceEvidence>, CollectError> {
        self.places.gpus.evidence(&self.places.reader, facts, nonce)
    }
}

fn no_interface(places: &Places) -> CollectError {
    let shown = |path: &Path| path.display().to_string();
    let looked: Vec<_> = places.tsm.iter().chain([&places.sev_guest]).map(|path| shown(path)).collect();
    CollectError::Absent {
        what: "report interface",
        looked_for: looked.join(", "),
        fix: "the guest's kernel needs TSM_REPORTS, and SEV_GUEST or TDX_GUEST_DRIVER",
    }
}

/// Evidence of the CPU in its exact lengths, over the data that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    evidence: CpuEvidence,
    launch: LaunchDigest,
}

impl Collected {
    fn snp(report: Vec<u8>, certificates: Vec<Vec<u8>>, report_data: &Hex<64>) -> Result<Self, CollectError> {
        let facts = snp::facts(&report)?;
        if facts.report_data != *report_data {
            return Err(CollectError::NotOurs { what: "SNP report" });
        }
        Ok(Self {
            launch: LaunchDigest::HostData(facts.host_data),
            evidence: CpuEvidence::Snp {
                report: report.into(),
                certificates: certificates.into_iter().map(Into::into).collect(),
            },
        })
    }

    fn tdx(buffer: Vec<u8>, places: &Places, report_data: &Hex<64>) -> Result<Self, CollectError> {
        let quote = tdx_guest::trim(buffer)?;
        if quote.report_data != *report_data {
            return Err(CollectError::NotOurs { what: "TDX quote" });
        }
        let event_log = tdx_guest::event_log(&Ccel { table: &places.ccel_table, log: &places.ccel_log })?;
        Ok(Self {
            launch: LaunchDigest::ConfigId(quote.config_id),
            evidence: CpuEvidence::Tdx { quote: quote.bytes.into(), event_log: event_log.into() },
        })
    }

    /// What the launcher bound to this guest.
    pub fn launch(&self) -> LaunchDigest {
        self.launch
    }

    pub fn into_evidence(self) -> CpuEvidence {
        self.evidence
    }
}

/// Digest of a launch configuration in the form that a platform binds (BND-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchDigest {
    /// SNP: HOST_DATA, SHA-256.
    HostData(Hex<32>),
    /// TDX: MRCONFIGID, SHA-384.
    ConfigId(Hex<48>),
}

impl LaunchDigest {
    /// The digest of another document, in the same form.
    pub fn of_same_form(&self, document: &[u8]) -> Self {
        match self {
            Self::HostData(_) => Self::HostData(LaunchConfig::d256(document)),
            Self::ConfigId(_) => Self::ConfigId(LaunchConfig::d384(document)),
        }
    }
}

impl fmt::Display for LaunchDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostData(digest) => digest.fmt(f),
            Self::ConfigId(digest) => digest.fmt(f),
        }
    }
}
