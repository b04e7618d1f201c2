//! What the certification service (PCS, version 4) answers for one platform, signed.

use serde::Serialize;
use tiltyard_attestation::{Base64Bytes, TdxCollateral};

use super::certificate::{PLATFORM_CA_NAME, Pki, ROOT_NAME};
use super::crl::RevocationFields;
use super::keys::{Key, Keyring};
use super::pem::{self, PemForm};
use super::qe_identity::QeIdentity;
use super::tcb_info::{LIFETIME_S, TcbInfo};
use super::text::lower_hex;

/// Everything that is signed beside a quote. Genuine by default; a test changes one member and signs again.
#[derive(Debug, Clone)]
pub struct CollateralFields {
    pub tcb_info: TcbInfo,
    pub tcb_info_signer: Key,
    /// Signed and sent instead of the text of `tcb_info`.
    pub tcb_info_text: Option<String>,
    pub qe_identity: QeIdentity,
    pub qe_identity_signer: Key,
    pub root_crl: RevocationFields,
    pub pck_crl: RevocationFields,
}

/// The signed items.
#[derive(Debug, Clone)]
pub struct Collateral {
    /// The signed text, byte for byte.
    pub tcb_info: String,
    pub tcb_info_signature: Vec<u8>,
    /// The signed text, byte for byte.
    pub qe_identity: String,
    pub qe_identity_signature: Vec<u8>,
    /// PEM: TCB signer, root.
    pub tcb_signing_chain: String,
    /// PEM: PCK platform authority, root.
    pub pck_crl_chain: String,
    /// DER.
    pub root_crl: Vec<u8>,
    /// DER.
    pub pck_crl: Vec<u8>,
}

/// One answer of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcsResponse {
    /// Path and query of the request.
    pub request: String,
    /// Name and value (PEM, percent-encoded) of the header that carries the signer's chain, where there is one.
    pub issuer_chain: Option<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl CollateralFields {
    /// Documents and lists issued at `issued_at` (Unix seconds) for 30 days; the root's list holds for a year.
    pub fn genuine(issued_at: u64) -> Self {
        let list = |issuer, signer, lifetime_s| {
            RevocationFields::genuine(issuer, signer, issued_at, issued_at + lifetime_s)
        };
        Self {
            tcb_info: TcbInfo::genuine(issued_at),
            tcb_info_signer: Key::TcbSigning,
            tcb_info_text: None,
            qe_identity: QeIdentity::genuine(issued_at),
            qe_identity_signer: Key::TcbSigning,
            root_crl: list(ROOT_NAME, Key::Root, ROOT_CRL_LIFETIME_S),
            pck_crl: list(PLATFORM_CA_NAME, Key::PlatformCa, LIFETIME_S),
        }
    }

    pub(super) fn issue(&self, keys: &Keyring, pki: &Pki) -> Collateral {
        // Strings, integers and lists only, which always serialise.
        let tcb_info = self
            .tcb_info_text
            .clone()
            .unwrap_or_else(|| serde_json::to_string(&self.tcb_info).unwrap_or_default());
        let qe_identity = serde_json::to_string(&self.qe_identity).unwrap_or_default();
        let sign = |signer, text: &str| keys.sign_raw(signer, text.as_bytes()).to_vec();
        let chain = |first: &[u8]| {
            String::from_utf8_lossy(&pem::chain(&[first, &pki.root], PemForm::Canonical)).into_owned()
        };
        Collateral {
            tcb_info_signature: sign(self.tcb_info_signer, &tcb_info),
            tcb_info,
            qe_identity_signature: sign(self.qe_identity_signer, &qe_identity),
            qe_identity,
            tcb_signing_chain: chain(&pki.tcb_signing),
            pck_crl_chain: chain(&pki.platform_ca),
            root_crl: self.root_crl.issue(keys),
            pck_crl: self.pck_crl.issue(keys),
        }
    }
}

impl Collateral {
    /// As the verifier takes it.
    pub fn to_tdx(&self) -> TdxCollateral {
        let text = |text: &str| text.as_bytes().to_vec().into();
        TdxCollateral {
            tcb_info: text(&self.tcb_info),
            tcb_info_signature: self.tcb_info_signature.clone().into(),
            qe_identity: text(&self.qe_identity),
            qe_identity_signature: self.qe_identity_signature.clone().into(),
            tcb_info_issuer_chain: text(&self.tcb_signing_chain),
            qe_identity_issuer_chain: text(&self.tcb_signing_chain),
            pck_crl_issuer_chain: text(&self.pck_crl_chain),
            pck_crl: self.pck_crl.clone().into(),
            root_ca_crl: self.root_crl.clone().into(),
        }
    }

    /// As [`quote_collateral`] writes it.
    pub fn to_json(&self) -> String {
        quote_collateral(&self.to_tdx())
    }

    /// The service's own answers: TCB info, QE identity, PCK list, root list.
    pub fn to_pcs(&self, fmspc: [u8; 6]) -> [PcsResponse; 4] {
        let path = |rest: &str| format!("/tdx/certification/v4/{rest}");
        let signed = |member: &str, text: &str, signature: &[u8]| {
            format!("{{\"{member}\":{text},\"signature\":\"{}\"}}", lower_hex(signature)).into_bytes()
        };
        let chain = |name, pem: &str| Some((name, percent_encoded(pem)));
        [
            PcsResponse {
                request: path(&format!("tcb?fmspc={}", lower_hex(&fmspc).to_uppercase())),
                issuer_chain: chain("TCB-Info-Issuer-Chain", &self.tcb_signing_chain),
                body: signed("tcbInfo", &self.tcb_info, &self.tcb_info_signature),
            },
            PcsResponse {
                request: path("qe/identity"),
                issuer_chain: chain("SGX-Enclave-Identity-Issuer-Chain", &self.tcb_signing_chain),
                body: signed("enclaveIdentity", &self.qe_identity, &self.qe_identity_signature),
            },
            PcsResponse {
                request: "/sgx/certification/v4/pckcrl?ca=platform&encoding=der".to_owned(),
                issuer_chain: chain("SGX-PCK-CRL-Issuer-Chain", &self.pck_crl_chain),
                body: self.pck_crl.clone(),
            },
            PcsResponse {
                request: "/IntelSGXRootCA.der".to_owned(),
                issuer_chain: None,
                body: self.root_crl.clone(),
            },
        ]
    }
}

/// The file form of dcap-qvl's `QuoteCollateralV3`: texts as strings, lists and signatures in lower-case hex.
pub fn quote_collateral(set: &TdxCollateral) -> String {
    #[derive(Serialize)]
    struct Document {
        pck_crl_issuer_chain: String,
        root_ca_crl: String,
        pck_crl: String,
        tcb_info_issuer_chain: String,
        tcb_info: String,
        tcb_info_signature: String,
        qe_identity_issuer_chain: String,
        qe_identity: String,
        qe_identity_signature: String,
    }
    let text = |bytes: &Base64Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
    let hex = |bytes: &Base64Bytes| lower_hex(&bytes.0);
    let document = Document {
        pck_crl_issuer_chain: text(&set.pck_crl_issuer_chain),
        root_ca_crl: hex(&set.root_ca_crl),
        pck_crl: hex(&set.pck_crl),
        tcb_info_issuer_chain: text(&set.tcb_info_issuer_chain),
        tcb_info: text(&set.tcb_info),
        tcb_info_signature: hex(&set.tcb_info_signature),
        qe_identity_issuer_chain: text(&set.qe_identity_issuer_chain),
        qe_identity: text(&set.qe_identity),
        qe_identity_signature: hex(&set.qe_identity_signature),
    };
    // Strings only, which always serialise.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Every byte but RFC 3986's unreserved ones as `%XX`.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

const ROOT_CRL_LIFETIME_S: u64 = 365 * 86_400;
