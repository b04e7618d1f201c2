//! AMD's report through `/dev/sev-guest`, for guest kernels without configfs-tsm.
//!
//! Read by a process of its own, because the library follows the host's certificate table without a bound (see
//! [`super::child`]). Not verified on hardware.

use serde::{Deserialize, Serialize};
use sev::error::{FirmwareError, UserApiError};
use sev::firmware::guest::Firmware;
use sev::firmware::host::CertType;
use tiltyard_attestation::{Base64Bytes, Hex};

use super::child::{Device, Failure, Reader, Step};
use super::{CollectError, snp};

/// The most privileged level: the one that a measured kernel without a service module runs at.
const VMPL: u32 = 0;
/// Version of the request message.
const MESSAGE_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    report_data: Hex<64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    report: Base64Bytes,
    /// Leaf first.
    certificates: Vec<Base64Bytes>,
}

/// Report and certificates, leaf first, as a reader process says; the report's length is not looked at yet.
pub(super) fn ask(reader: &Reader, report_data: &Hex<64>) -> Result<(Vec<u8>, Vec<Vec<u8>>), CollectError> {
    let answer: Answer = reader.ask(Device::SevGuest, &Question { report_data: *report_data })?;
    let certificates: Vec<_> = answer.certificates.into_iter().map(|certificate| certificate.0).collect();
    snp::within_limits(&certificates)?;
    Ok((answer.report.0, certificates))
}

/// In the reader process: one extended report.
pub(super) fn read(question: Question) -> Result<Answer, Failure> {
    let failed = |step| move |code| Failure { step, code };
    let mut device = Firmware::open().map_err(|error| failed(Step::Open)(os_code(&error)))?;
    let (report, table) = device
        .get_ext_report(Some(MESSAGE_VERSION), Some(question.report_data.0), Some(VMPL))
        .map_err(|error| failed(Step::Report)(code(&error)))?;
    let mut rows = table.unwrap_or_default();
    let mut certificates = Vec::new();
    for kind in [CertType::VCEK, CertType::VLEK, CertType::ASK, CertType::ARK] {
        if let Some(at) = rows.iter().position(|row| row.cert_type == kind) {
            certificates.push(rows.swap_remove(at).data.into());
        }
    }
    Ok(Answer { report: report.into(), certificates })
}

fn os_code(error: &std::io::Error) -> i64 {
    error.raw_os_error().unwrap_or_default().into()
}

/// Number of a failure: the kernel's or the firmware's; zero where the library keeps none.
fn code(error: &UserApiError) -> i64 {
    match error {
        UserApiError::IOError(error) => os_code(error),
        UserApiError::FirmwareError(FirmwareError::UnknownSevError(code)) => (*code).into(),
        UserApiError::FirmwareError(FirmwareError::KnownSevError(error)) => i32::from(*error).into(),
        _ => 0,
    }
}
