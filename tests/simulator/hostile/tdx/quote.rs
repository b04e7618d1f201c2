//! Bytes that are no TDX quote, or whose signatures do not hold.

use tiltyard_attestation::evidence::CpuEvidence;

use super::{Base, TdxVariant};
use crate::hostile::{Set, variant};
use crate::intel::pem::PemForm;
use crate::intel::{Form, Key};
use crate::x509::Constraints;

pub(super) const VARIANTS: &[TdxVariant] = &[
    variant!(Base::V4; "sgx-quote" "T3" Lab Tdx01 WrongTee Signed(|draft| draft.td.quote.tee_type = 0);
        "an enclave's quote, which shows no trust domain"),
    variant!(Base::V4; "quote-version-3" "T3" Lab Tdx01 QuoteVersion
        Signed(|draft| draft.td.quote.version = Some(3));
        "a quote of the version that only enclaves have"),
    variant!(Base::V5Td15; "quote-version-6" "T3" Lab Tdx01 QuoteVersion
        Signed(|draft| draft.td.quote.version = Some(6));
        "a quote of a version whose layout nobody here knows"),
    variant!(Base::V4; "key-type-3" "T3" Lab Tdx01 QuoteFormat Signed(|draft| draft.td.quote.key_type = 3);
        "the quote names another kind of attestation key than the one that signed it"),
    variant!(Base::V4; "qe-vendor-other" "T3" Lab Tdx01 QuoteFormat
        Signed(|draft| draft.td.quote.vendor_id[0] ^= 1);
        "a quoting enclave that is not Intel's says so"),
    variant!(Base::V4; "trailing-byte" "T11" Lab Bnd09 TrailingBytes
        Signed(|draft| draft.td.quote.trailing = vec![0]);
        "one byte is added behind the quote"),
    variant!(Base::V5Td15; "quote-cut" "N1" Lab Bnd09 ReportLength
        Sent(|set| { quote(set).pop(); });
        "the quote's last byte is cut off"),
    variant!(Base::V5Td15; "v5-type-5" "T11" Lab Tdx02 QuoteFormat
        Signed(|draft| draft.td.quote.form = Form::V5Other { kind: 5, size: 648 });
        "a body of a type whose layout nobody here knows"),
    variant!(Base::V5Td15; "v5-type-1" "T3" Lab Tdx02 QuoteFormat
        Signed(|draft| draft.td.quote.form = Form::V5Other { kind: 1, size: 384 });
        "an enclave's body in a quote that says TDX"),
    variant!(Base::V4; "auth-length" "T11" Lab Tdx02 QuoteFormat
        Signed(|draft| draft.td.quote.lengths.auth = Some(31));
        "the quoting enclave's data says that it is a byte shorter than it is"),
    variant!(Base::V4; "certification-type" "T11" Lab Tdx02 QuoteFormat
        Signed(|draft| draft.td.quote.outer_type = 5);
        "the certification data claims to be the chain itself"),
    variant!(Base::V4; "chain-not-inside" "T11" Lab Tdx02 QuoteFormat
        Signed(|draft| draft.td.quote.inner_type = 3);
        "the chain is named instead of given"),
    variant!(Base::V4; "pem-crlf" "T11" Lab Tdx03 PckChainEncoding
        Signed(|draft| draft.td.quote.pem = PemForm::CrLf);
        "the same certificates in lines that end in two bytes"),
    variant!(Base::V4; "pem-wide" "T11" Lab Tdx03 PckChainEncoding
        Signed(|draft| draft.td.quote.pem = PemForm::Wide);
        "the same certificates in longer lines"),
    variant!(Base::V4; "pem-commented" "T11" Lab Tdx03 PckChainEncoding
        Signed(|draft| draft.td.quote.pem = PemForm::Commented);
        "the same certificates with text between them"),
    variant!(Base::V4; "other-root" "S1" Lab Tdx03 PckChainEncoding
        Signed(|draft| (draft.td.pki.root.key, draft.td.pki.root.signer) = (Key::Stranger, Key::Stranger));
        "the chain ends in a root with Intel's name and the adversary's key"),
    variant!(Base::V4; "quote-by-stranger" "T3" Lab Tdx04 QuoteSignature
        Signed(|draft| draft.td.quote.signer = Some(Key::Stranger));
        "a report of the adversary's making beside a genuine attestation key"),
    variant!(Base::V5Td15; "report-unsigned" "T3" Lab Tdx04 QuoteSignature Sent(flip_signature);
        "one bit of the signature is flipped"),
    variant!(Base::V4; "qe-binding" "T3" Lab Tdx05 QeBinding
        Signed(|draft| {
            draft.td.quote.attestation_key = Key::Stranger;
            draft.td.quote.qe.vouches_for = Some(Key::Attestation);
        });
        "the adversary's attestation key beside a quoting enclave's report about another one"),
    variant!(Base::V4; "qe-data-beyond-digest" "T3" Lab Tdx05 QeBinding
        Signed(|draft| draft.td.quote.qe.report_data = Some([0; 64]));
        "a quoting enclave's report that vouches for nothing"),
    variant!(Base::V4; "qe-report-by-stranger" "T3" Lab Tdx05 QeReportSignature
        Signed(|draft| draft.td.quote.qe_signer = Key::Stranger);
        "a quoting enclave's report of the adversary's making"),
    variant!(Base::V4; "pck-not-issued" "C1" Lab Tdx07 CertSignature
        Signed(|draft| draft.td.pki.pck.signer = Key::Stranger);
        "a PCK certificate in the authority's name that the authority did not sign"),
    variant!(Base::V4; "pck-other-issuer" "C1" Lab Tdx07 IssuerMismatch
        Signed(|draft| draft.td.pki.pck.issuer = "Intel SGX PCK Processor CA".to_owned());
        "a PCK certificate that names another authority than the one that signed it"),
    variant!(Base::V4; "authority-not-ca" "C1" Lab Tdx07 IssuerNotCa
        Signed(|draft| draft.td.pki.platform_ca.constraints = Constraints::NotCa);
        "the certificate above the PCK has no CA flag"),
    variant!(Base::V4; "tcb-signer-as-pck" "C1" Lab Tdx07 PckChain
        Signed(|draft| draft.td.pki.pck.subject = "Intel SGX TCB Signing".to_owned());
        "a certificate under the authority that is no platform's"),
    variant!(Base::V4; "pck-without-extension" "C1" Lab Tdx07 PckChain
        Signed(|draft| draft.td.pki.pck.sgx = None);
        "a certificate that says nothing of a platform"),
    variant!(Base::V4; "clock-plus-1y" "ST8" Lab Tdx07 CertExpired
        Signed(|draft| draft.td.pki.pck.validity.not_after = draft.expected.now - 1);
        "the PCK certificate ended a second ago"),
    variant!(Base::V4; "clock-minus-1y" "ST8" Lab Tdx07 CertNotYetValid
        Signed(|draft| draft.td.pki.platform_ca.validity.not_before = draft.expected.now + 1);
        "the authority's certificate begins in a second"),
];

fn flip_signature(set: &mut Set) {
    let at = Form::V5Td15.offsets().signature;
    quote(set).iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
}

/// The quote's bytes; those of a report where there is none.
fn quote(set: &mut Set) -> &mut Vec<u8> {
    match &mut set.evidence.cpu {
        CpuEvidence::Tdx { quote, .. } => &mut quote.0,
        CpuEvidence::Snp { report, .. } => &mut report.0,
    }
}
