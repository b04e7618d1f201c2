//! AMD's report and the certificates beside it, brought to their exact lengths.

use tiltyard_attestation::Hex;
use tiltyard_attestation::chain::{CERTIFICATES_MAX, CHAIN_MAX_BYTES};
use tiltyard_attestation::snp::{REPORT_LEN, TABLE_ROWS_MAX, TableError, certificates_of_table};

use super::CollectError;

/// Facts that the guest itself reads in its report: REPORT_DATA and HOST_DATA (SNP ABI 56860, ATTESTATION_REPORT).
pub(super) struct Facts {
    pub(super) report_data: Hex<64>,
    pub(super) host_data: Hex<32>,
}

/// Reads a report, which has one length only.
pub(super) fn facts(report: &[u8]) -> Result<Facts, CollectError> {
    let length =
        || CollectError::Length { what: "SNP report", expected: REPORT_LEN as u64, got: report.len() as u64 };
    let report: &[u8; REPORT_LEN] = report.try_into().map_err(|_| length())?;
    let field = |at: usize, len: usize| report.get(at..at + len).unwrap_or_default();
    Ok(Facts {
        report_data: Hex::from_slice(field(0x50, 64)).ok_or_else(length)?,
        host_data: Hex::from_slice(field(0xC0, 32)).ok_or_else(length)?,
    })
}

/// The chain of the table that the host put beside the report.
pub(super) fn certificates(table: &[u8]) -> Result<Vec<Vec<u8>>, CollectError> {
    const TABLE: &str = "certificate table";
    let chain = certificates_of_table(table).map_err(|error| match error {
        TableError::Rows => CollectError::TooLarge { what: "certificate table rows", limit: TABLE_ROWS_MAX },
        TableError::Length { expected, got } => {
            CollectError::Length { what: TABLE, expected: expected as u64, got: got as u64 }
        }
        TableError::Form { expected } => CollectError::Format { what: TABLE, expected },
        _ => CollectError::Format { what: TABLE, expected: "a table of certificates" },
    })?;
    within_limits(&chain)?;
    Ok(chain)
}

/// The verifier's own limits: what it would refuse is not sent.
pub(super) fn within_limits(chain: &[Vec<u8>]) -> Result<(), CollectError> {
    if chain.len() > CERTIFICATES_MAX {
        return Err(CollectError::TooLarge { what: "certificates", limit: CERTIFICATES_MAX });
    }
    if chain.iter().map(Vec::len).sum::<usize>() > CHAIN_MAX_BYTES {
        return Err(CollectError::TooLarge { what: "certificate bytes", limit: CHAIN_MAX_BYTES });
    }
    Ok(())
}
