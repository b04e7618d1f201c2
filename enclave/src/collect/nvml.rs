//! NVIDIA's management library, opened at run time in a reader process. Not verified on hardware.
//!
//! The modes that it gives are the system's, one for all its GPUs. The wrapper slices its fixed buffers by the
//! sizes that the driver states and panics beyond them; then the reader ends, and with it this collection only.

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::Switched;

use super::child::{Failure, Step};
use super::gpu::{Answer, CHAIN_MAX_BYTES, GpuEvidence, Question, REPORT_MAX_BYTES};
use super::pci::GPUS_MAX;

/// Codes of our own, beside the library's: what it gave is over a limit.
const CODE_OVER_LIMIT: i64 = -1;

pub(super) fn read(question: &Question) -> Result<Vec<Answer>, Failure> {
    let nvml = Nvml::builder().lib_path(question.library.as_os_str()).init().map_err(at(Step::Open))?;
    let count = nvml.device_count().map_err(at(Step::Count))?;
    if count as usize > GPUS_MAX {
        return Err(Failure { step: Step::Count, code: CODE_OVER_LIMIT });
    }
    (0..count)
        .map(|index| {
            let device = nvml.device_by_index(index).map_err(at(Step::Count))?;
            let on = |set| if set { Switched::On } else { Switched::Off };
            Ok(Answer {
                cc_mode: on(device.is_cc_enabled().map_err(at(Step::State))?),
                protected_pcie: on(device.is_multi_gpu_protected_pcie_enabled().map_err(at(Step::State))?),
                devtools: on(device.is_cc_dev_mode_enabled().map_err(at(Step::State))?),
                evidence: question.nonce.map(|nonce| evidence(&device, nonce)).transpose()?,
            })
        })
        .collect()
}

fn evidence(device: &Device<'_>, nonce: Hex<32>) -> Result<GpuEvidence, Failure> {
    let report = device.confidential_compute_gpu_attestation_report(nonce.0).map_err(at(Step::Report))?;
    let chain = device.confidential_compute_gpu_certificate().map_err(at(Step::Certificates))?;
    let sizes = [
        (Step::Report, report.attestation_report.len(), REPORT_MAX_BYTES),
        (Step::Certificates, chain.attestation_cert_chain.len(), CHAIN_MAX_BYTES),
    ];
    if let Some((step, _, _)) = sizes.into_iter().find(|(_, len, limit)| len > limit) {
        return Err(Failure { step, code: CODE_OVER_LIMIT });
    }
    Ok(GpuEvidence { report: report.attestation_report.into(), chain: chain.attestation_cert_chain.into() })
}

fn at(step: Step) -> impl Fn(NvmlError) -> Failure {
    move |error| Failure { step, code: code(&error) }
}

/// `nvmlReturn_t` of a failure; 999, the library's own unknown, for what the wrapper found itself.
fn code(error: &NvmlError) -> i64 {
    match error {
        NvmlError::Uninitialized => 1,
        NvmlError::InvalidArg => 2,
        NvmlError::NotSupported => 3,
        NvmlError::NoPermission => 4,
        NvmlError::NotFound => 6,
        NvmlError::InsufficientSize(_) => 7,
        NvmlError::DriverNotLoaded => 9,
        NvmlError::Timeout => 10,
        NvmlError::LibraryNotFound | NvmlError::LibloadingError(_) => 12,
        NvmlError::FailedToLoadSymbol(_) => 13,
        NvmlError::GpuLost => 15,
        NvmlError::ResetRequired => 16,
        _ => 999,
    }
}
