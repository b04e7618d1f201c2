//! Bytes that are not a signed report.

use tiltyard_attestation::evidence::CpuEvidence;

use super::{Base, SnpVariant};
use crate::hostile::{Set, variant};

pub(super) const VARIANTS: &[SnpVariant] = &[
    variant!(Base::Turin; "trailing-1" "T11" Lab Bnd09 TrailingBytes Sent(|set| report(set).push(0));
        "one byte is added behind the report"),
    variant!(Base::Turin; "report-cut" "N1" Lab Bnd09 ReportLength Sent(|set| report(set).truncate(1183));
        "the report's last byte is cut off"),
    variant!(Base::Turin; "report-version-6" "T11" Lab Snp01 ReportVersion
        Signed(|draft| draft.report.version = 6);
        "firmware signs a report of a version whose layout nobody here knows"),
    variant!(Base::Turin; "signature-algorithm" "T11" Lab Snp02 SigAlgo
        Signed(|draft| draft.report.sig_algo = 2);
        "the report names another signature algorithm than the one that signed it"),
    variant!(Base::Turin; "signature-padding" "T11" Lab Snp03 SigPaddingNonZero
        Sent(|set| set_byte(set, 0x2A0 + 48, 1));
        "a byte behind the signature's first number is set: the same signature in other bytes"),
    variant!(Base::Turin; "measurement-unsigned" "T1" Lab Snp04 ReportSignature
        Sent(|set| set_byte(set, 0x090, 0));
        "the measurement is changed behind the signature"),
    variant!(Base::Turin; "reserved-bit" "T11" Lab Snp05 ReservedNonZero
        Signed(|draft| draft.report.policy |= 1 << 26);
        "firmware signs a guest policy with a bit that has no meaning yet"),
    variant!(Base::Genoa; "reserved-tcb-byte" "T11" Lab Snp05 ReservedNonZero
        Signed(|draft| draft.report.patches.push((0x1E2, 1)));
        "firmware signs a security version with a byte that has no meaning on the product"),
];

/// The report's bytes; those of nothing where there is none.
fn report(set: &mut Set) -> &mut Vec<u8> {
    match &mut set.evidence.cpu {
        CpuEvidence::Snp { report, .. } => &mut report.0,
        CpuEvidence::Tdx { quote, .. } => &mut quote.0,
    }
}

fn set_byte(set: &mut Set, at: usize, byte: u8) {
    report(set).iter_mut().skip(at).take(1).for_each(|to| *to = byte);
}
