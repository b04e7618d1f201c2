//! Intel's collateral as it is found in files: answers of the Provisioning Certification Service, and the JSON
//! form that quote verification libraries exchange.

use super::documents::{QeIdentity, TcbInfo};
use super::json::{self, Date, JsonError};
use super::pem;
use crate::Base64Bytes;
use crate::collateral::{TDX_ITEM_MAX_BYTES, TdxCollateral};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Largest file of collateral, in bytes.
pub const COLLATERAL_FILE_MAX_BYTES: usize = 4 * TDX_ITEM_MAX_BYTES;

const CRL_BEGIN: &str = "-----BEGIN X509 CRL-----";
const CRL_END: &str = "-----END X509 CRL-----";

/// Why a file is not Intel's collateral.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralFileError {
    #[error("expected at most {limit} bytes, found {got}")]
    TooLarge { limit: usize, got: usize },
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("expected a member {member}, found none")]
    Missing { member: &'static str },
    #[error("expected {expected} in {member}, found something else")]
    Form { member: &'static str, expected: &'static str },
}

/// Answers of PCS API v4 for one platform, each as received.
#[derive(Debug, Clone, Copy)]
pub struct PcsAnswers<'a> {
    /// `{"tcbInfo": .., "signature": ".."}`.
    pub tcb_info: &'a [u8],
    /// Header `TCB-Info-Issuer-Chain`, URL-decoded: PEM.
    pub tcb_info_issuer_chain: &'a [u8],
    /// `{"enclaveIdentity": .., "signature": ".."}`.
    pub qe_identity: &'a [u8],
    /// Header `SGX-Enclave-Identity-Issuer-Chain`, URL-decoded: PEM.
    pub qe_identity_issuer_chain: &'a [u8],
    /// DER, PEM, hex or base64.
    pub pck_crl: &'a [u8],
    /// Header `SGX-PCK-CRL-Issuer-Chain`, URL-decoded: PEM.
    pub pck_crl_issuer_chain: &'a [u8],
    /// DER, PEM, hex or base64.
    pub root_ca_crl: &'a [u8],
}

impl TdxCollateral {
    /// Collateral from answers as received; the signed texts stay as they are.
    pub fn from_pcs(answers: &PcsAnswers<'_>) -> Result<Self, CollateralFileError> {
        let (tcb_info, tcb_info_signature) = signed_member(answers.tcb_info, "tcbInfo")?;
        let (qe_identity, qe_identity_signature) = signed_member(answers.qe_identity, "enclaveIdentity")?;
        Ok(Self {
            tcb_info,
            tcb_info_signature,
            qe_identity,
            qe_identity_signature,
            tcb_info_issuer_chain: chain(answers.tcb_info_issuer_chain, "TCB-Info-Issuer-Chain")?,
            qe_identity_issuer_chain: chain(
                answers.qe_identity_issuer_chain,
                "SGX-Enclave-Identity-Issuer-Chain",
            )?,
            pck_crl_issuer_chain: chain(answers.pck_crl_issuer_chain, "SGX-PCK-CRL-Issuer-Chain")?,
            pck_crl: list(answers.pck_crl, "pck_crl")?,
            root_ca_crl: list(answers.root_ca_crl, "root_ca_crl")?,
        })
    }

    /// Collateral from the JSON form (`QuoteCollateralV3`): texts as strings, lists and signatures in hex. Documents may
    /// also be the service's answers whole (`sgx_ql_qve_collateral_t`), and lists in base64.
    ///
    /// Its optional `pck_certificate_chain` is not read: a quote brings its own.
    pub fn from_json(file: &[u8]) -> Result<Self, CollateralFileError> {
        at_most(file, COLLATERAL_FILE_MAX_BYTES)?;
        let mut members: Map<String, Value> = json::read(file, "a JSON object")?;
        if let Some(Value::Object(within)) = members.remove("quote_collateral") {
            members = within;
        }
        let mut text = |member: &'static str| -> Result<Vec<u8>, CollateralFileError> {
            match members.remove(member) {
                Some(Value::String(text)) => Ok(text.into_bytes()),
                Some(_) => Err(CollateralFileError::Form { member, expected: "a string" }),
                None => Err(CollateralFileError::Missing { member }),
            }
        };
        let of_info = text("tcb_info_issuer_chain")?;
        let of_identity = text("qe_identity_issuer_chain")?;
        let tcb_info_issuer_chain = chain(&of_info, "tcb_info_issuer_chain")?;
        // The service sends one chain with both documents.
        let qe_identity_issuer_chain = match of_identity == of_info {
            true => tcb_info_issuer_chain.clone(),
            false => chain(&of_identity, "qe_identity_issuer_chain")?,
        };
        let mut document = |member, within, signature_of| {
            let document = text(member)?;
            // An answer of the service names its document, which does not name itself.
            match signature_of_answer(&document, within) {
                Some(answer) => answer,
                None => Ok((document.into(), signature(&text(signature_of)?, signature_of)?)),
            }
        };
        let (tcb_info, tcb_info_signature) = document("tcb_info", "tcbInfo", "tcb_info_signature")?;
        let (qe_identity, qe_identity_signature) =
            document("qe_identity", "enclaveIdentity", "qe_identity_signature")?;
        Ok(Self {
            tcb_info,
            tcb_info_signature,
            qe_identity,
            qe_identity_signature,
            tcb_info_issuer_chain,
            qe_identity_issuer_chain,
            pck_crl_issuer_chain: chain(&text("pck_crl_issuer_chain")?, "pck_crl_issuer_chain")?,
            pck_crl: list(&text("pck_crl")?, "pck_crl")?,
            root_ca_crl: list(&text("root_ca_crl")?, "root_ca_crl")?,
        })
    }
}

/// Issue and next update (Unix seconds) of an answer with `tcbInfo` or `enclaveIdentity`.
pub(crate) fn period(answer: &[u8]) -> Option<(u64, u64)> {
    let dates = |issued: Date, next: Date| (issued.0, next.0);
    if let Ok((text, _)) = signed_member(answer, "tcbInfo") {
        let info = TcbInfo::read(&text.0).ok()?;
        return Some(dates(info.issue_date, info.next_update));
    }
    let (text, _) = signed_member(answer, "enclaveIdentity").ok()?;
    let identity = QeIdentity::read(&text.0).ok()?;
    Some(dates(identity.issue_date, identity.next_update))
}

/// The document and signature of an answer of the service, in any order; `None` for a document by itself.
fn signature_of_answer(
    text: &[u8],
    member: &'static str,
) -> Option<Result<(Base64Bytes, Base64Bytes), CollateralFileError>> {
    // Answers are long and few; a document by itself is told by its first bytes, without a walk through it.
    let within = text.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
    let named = |name: &str| within.strip_prefix(b"\"")?.strip_prefix(name.as_bytes())?.strip_prefix(b"\"");
    named(member).or_else(|| named("signature")).map(|_| signed_member(text, member))
}

/// The signed text of one member, byte for byte, and the signature beside it.
fn signed_member(
    answer: &[u8],
    member: &'static str,
) -> Result<(Base64Bytes, Base64Bytes), CollateralFileError> {
    at_most(answer, TDX_ITEM_MAX_BYTES)?;
    let mut members = json::raw_members(answer)?;
    let mut raw = |member: &'static str| -> Result<Vec<u8>, CollateralFileError> {
        let at = members.iter().position(|(name, _)| name == member);
        Ok(members.swap_remove(at.ok_or(CollateralFileError::Missing { member })?).1)
    };
    let text = raw(member)?;
    let quoted = raw("signature")?;
    let form = CollateralFileError::Form { member: "signature", expected: "a string" };
    let digits: String = serde_json::from_slice(&quoted).map_err(|_| form)?;
    Ok((text.into(), signature(digits.as_bytes(), "signature")?))
}

/// r then s, 64 bytes in hex.
fn signature(text: &[u8], member: &'static str) -> Result<Base64Bytes, CollateralFileError> {
    match hex(text) {
        Some(bytes) if bytes.len() == 64 => Ok(bytes.into()),
        _ => Err(CollateralFileError::Form { member, expected: "64 bytes in hex" }),
    }
}

/// DER bytes of a chain of certificates, from PEM as services give it.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, CollateralFileError> {
    let member = "a chain";
    let canonical = chain(text, member)?;
    pem::certificates(&canonical.0)
        .map_err(|_| CollateralFileError::Form { member, expected: "PEM certificates" })
}

/// A chain in canonical PEM, from one whose lines may end in CR LF and whose last line may not end at all.
fn chain(text: &[u8], member: &'static str) -> Result<Base64Bytes, CollateralFileError> {
    at_most(text, TDX_ITEM_MAX_BYTES)?;
    let mut canonical = Vec::with_capacity(text.len() + 1);
    text.trim_ascii_end().split(|&byte| byte == b'\r').for_each(|part| canonical.extend_from_slice(part));
    while canonical.last() == Some(&0) {
        canonical.pop();
        canonical.truncate(canonical.trim_ascii_end().len());
    }
    if !canonical.is_empty() {
        canonical.push(b'\n');
    }
    match pem::certificates(&canonical) {
        Ok(_) => Ok(canonical.into()),
        Err(_) => Err(CollateralFileError::Form { member, expected: "PEM certificates" }),
    }
}

/// A revocation list as DER, from DER, PEM, hex or base64.
fn list(bytes: &[u8], member: &'static str) -> Result<Base64Bytes, CollateralFileError> {
    at_most(bytes, COLLATERAL_FILE_MAX_BYTES)?;
    let der = list_der(bytes, member)?;
    // What a verifier would refuse is not copied into every set of a bundle.
    at_most(&der.0, TDX_ITEM_MAX_BYTES)?;
    Ok(der)
}

fn list_der(bytes: &[u8], member: &'static str) -> Result<Base64Bytes, CollateralFileError> {
    const SEQUENCE: u8 = 0x30;
    let form = CollateralFileError::Form { member, expected: "a revocation list in DER, PEM, hex or base64" };
    // Hex of DER begins with the digit 3, PEM with a hyphen, and DER itself with the byte 0x30 and a long length.
    if let Some(der) = hex(bytes.trim_ascii()) {
        return if der.first() == Some(&SEQUENCE) { Ok(der.into()) } else { Err(form) };
    }
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(bytes.to_vec().into());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| form.clone())?.trim();
    let body = text.strip_prefix(CRL_BEGIN).and_then(|rest| rest.strip_suffix(CRL_END)).unwrap_or(text);
    let digits: String = body.split_ascii_whitespace().collect();
    match STANDARD.decode(digits) {
        Ok(der) if der.first() == Some(&SEQUENCE) => Ok(der.into()),
        Ok(_) | Err(_) => Err(form),
    }
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    /// Of every byte the digit, or more than a digit can be.
    const DIGITS: [u8; 256] = {
        let mut digits = [0xff; 256];
        let mut value = 0;
        while value < 16 {
            digits[b"0123456789abcdef"[value] as usize] = value as u8;
            digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
            value += 1;
        }
        digits
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.is_empty() {
        return None;
    }
    let mut seen = 0;
    let bytes = pairs.iter().map(|&[high, low]| {
        let (high, low) = (DIGITS[usize::from(high)], DIGITS[usize::from(low)]);
        seen |= high | low;
        high << 4 | low
    });
    let bytes: Vec<u8> = bytes.collect();
    (seen < 16).then_some(bytes)
}

fn at_most(bytes: &[u8], limit: usize) -> Result<(), CollateralFileError> {
    let got = bytes.len();
    if got <= limit { Ok(()) } else { Err(CollateralFileError::TooLarge { limit, got }) }
}
