//! A TDX quote with ECDSA P-256, version 4 or 5 (Intel DCAP ECDSA quote library, quote formats 4 and 5).
//!
//! Header 48 bytes; body, in version 5 after its type and size; then the length of the signature data, and in it the
//! signature over header and body, the attestation key, and certification data of type 6: the quoting enclave's report
//! with its signature, its authentication data, and certification data of type 5, the PCK chain as text.

use sha2::{Digest, Sha256};

use super::certificate::Pki;
use super::keys::{Key, Keyring};
use super::pem::{self, PemForm};
use super::qe_identity::{MRSIGNER, PROD_ID, QE_SVN};
use super::report::{TD10_BYTES, TD15_BYTES, TdReport};

/// Version, and in version 5 the body's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    V4,
    /// Version 5 of a TD 1.0: type 2.
    V5Td10,
    /// Version 5 of a TD 1.5: type 3.
    V5Td15,
    /// Version 5 with any type and size.
    V5Other {
        kind: u16,
        size: u32,
    },
}

/// Everything in a quote but the certificates. Genuine by default; a test changes one member and signs again.
#[derive(Debug, Clone)]
pub struct QuoteFields {
    pub form: Form,
    /// Written instead of the form's own.
    pub version: Option<u16>,
    /// 2: ECDSA P-256.
    pub key_type: u16,
    /// 0x81: TDX.
    pub tee_type: u32,
    pub qe_svn: u16,
    pub pce_svn: u16,
    /// Intel's quoting enclave.
    pub vendor_id: [u8; 16],
    pub user_data: [u8; 20],
    pub report: TdReport,
    /// Whose key signs header and body, and stands in the quote.
    pub attestation_key: Key,
    /// Whose signature stands there all the same.
    pub signer: Option<Key>,
    pub qe: EnclaveReport,
    /// Whose key signs the quoting enclave's report.
    pub qe_signer: Key,
    /// Authentication data of the quoting enclave.
    pub auth: Vec<u8>,
    pub lengths: Lengths,
    /// 6: report and certification data of the quoting enclave.
    pub outer_type: u16,
    /// 5: PCK chain.
    pub inner_type: u16,
    pub pem: PemForm,
    /// Bytes after the last one that a length covers.
    pub trailing: Vec<u8>,
}

/// Written instead of the true lengths.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lengths {
    pub signature_data: Option<u32>,
    pub outer: Option<u32>,
    pub auth: Option<u16>,
    pub inner: Option<u32>,
}

/// The quoting enclave's report (SGX REPORT body, 384 bytes).
#[derive(Debug, Clone)]
pub struct EnclaveReport {
    pub cpu_svn: [u8; 16],
    pub misc_select: [u8; 4],
    pub attributes: [u8; 16],
    pub mrenclave: [u8; 32],
    pub mrsigner: [u8; 32],
    pub isv_prod_id: u16,
    pub isv_svn: u16,
    /// Whose key it vouches for, instead of the quote's attestation key.
    pub vouches_for: Option<Key>,
    /// Digest of that key and the authentication data, then 32 zero bytes, when `None`.
    pub report_data: Option<[u8; 64]>,
}

/// Where the parts of a quote stand, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// End of what the attestation key signs; the length of the signature data stands here.
    pub signed_end: usize,
    pub signature: usize,
    pub attestation_key: usize,
    pub outer_type: usize,
    pub qe_report: usize,
    pub qe_signature: usize,
    pub auth_length: usize,
    pub auth: usize,
}

impl Form {
    pub(super) fn version(self) -> u16 {
        match self {
            Self::V4 => 4,
            Self::V5Td10 | Self::V5Td15 | Self::V5Other { .. } => 5,
        }
    }

    /// Type and size of the body, which version 4 does not write.
    fn body(self) -> (Option<u16>, usize) {
        match self {
            Self::V4 => (None, TD10_BYTES),
            Self::V5Td10 => (Some(2), TD10_BYTES),
            Self::V5Td15 => (Some(3), TD15_BYTES),
            Self::V5Other { kind, size } => (Some(kind), size as usize),
        }
    }

    /// Where the parts of such a quote stand.
    pub fn offsets(self) -> Offsets {
        let (kind, body) = self.body();
        let signed_end = HEADER_BYTES + kind.map_or(0, |_| 6) + body;
        let signature = signed_end + 4;
        let outer_type = signature + 128;
        let qe_report = outer_type + 6;
        let auth_length = qe_report + ENCLAVE_REPORT_BYTES + 64;
        Offsets {
            signed_end,
            signature,
            attestation_key: signature + 64,
            outer_type,
            qe_report,
            qe_signature: qe_report + ENCLAVE_REPORT_BYTES,
            auth_length,
            auth: auth_length + 2,
        }
    }
}

impl QuoteFields {
    pub(super) fn genuine(keys: &Keyring, form: Form, cpu_svn: [u8; 16]) -> Self {
        let mut user_data = [0; 20];
        user_data[..16].copy_from_slice(&keys.draw::<16>("qe-id"));
        Self {
            form,
            version: None,
            key_type: 2,
            tee_type: TEE_TDX,
            qe_svn: 0,
            pce_svn: 0,
            vendor_id: INTEL_QE,
            user_data,
            report: TdReport::genuine(keys.draw("mrseam")),
            attestation_key: Key::Attestation,
            signer: None,
            qe: EnclaveReport {
                cpu_svn,
                misc_select: [0; 4],
                attributes: QE_ATTRIBUTES,
                mrenclave: keys.draw("qe-mrenclave"),
                mrsigner: MRSIGNER,
                isv_prod_id: PROD_ID,
                isv_svn: QE_SVN,
                vouches_for: None,
                report_data: None,
            },
            qe_signer: Key::Pck,
            auth: (0..32).collect(),
            lengths: Lengths::default(),
            outer_type: 6,
            inner_type: 5,
            pem: PemForm::Canonical,
            trailing: Vec::new(),
        }
    }

    /// The signed quote.
    pub(super) fn issue(&self, keys: &Keyring, pki: &Pki) -> Vec<u8> {
        let signed = self.signed_part();
        let signature_data = self.signature_data(keys, pki, &signed);
        let len = self.lengths.signature_data.unwrap_or(signature_data.len() as u32);
        [&signed[..], &len.to_le_bytes(), &signature_data, &self.trailing].concat()
    }

    fn signed_part(&self) -> Vec<u8> {
        let (kind, size) = self.form.body();
        let version = self.version.unwrap_or(self.form.version());
        let mut out = Vec::new();
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&self.key_type.to_le_bytes());
        out.extend_from_slice(&self.tee_type.to_le_bytes());
        out.extend_from_slice(&self.qe_svn.to_le_bytes());
        out.extend_from_slice(&self.pce_svn.to_le_bytes());
        out.extend_from_slice(&self.vendor_id);
        out.extend_from_slice(&self.user_data);
        if let Some(kind) = kind {
            out.extend_from_slice(&kind.to_le_bytes());
            out.extend_from_slice(&(size as u32).to_le_bytes());
        }
        out.extend(self.report.encode(size));
        out
    }

    fn signature_data(&self, keys: &Keyring, pki: &Pki, signed: &[u8]) -> Vec<u8> {
        let attestation_key = keys.public(self.attestation_key);
        let chain = pem::chain(&[&pki.pck, &pki.platform_ca, &pki.root], self.pem);
        let vouched = keys.public(self.qe.vouches_for.unwrap_or(self.attestation_key));
        let qe_report = self.qe.encode(&vouched, &self.auth);
        let outer = [
            &qe_report[..],
            &keys.sign_raw(self.qe_signer, &qe_report),
            &self.lengths.auth.unwrap_or(self.auth.len() as u16).to_le_bytes(),
            &self.auth,
            &self.inner_type.to_le_bytes(),
            &self.lengths.inner.unwrap_or(chain.len() as u32).to_le_bytes(),
            &chain,
        ]
        .concat();
        [
            &keys.sign_raw(self.signer.unwrap_or(self.attestation_key), signed)[..],
            &attestation_key,
            &self.outer_type.to_le_bytes(),
            &self.lengths.outer.unwrap_or(outer.len() as u32).to_le_bytes(),
            &outer,
        ]
        .concat()
    }
}

impl EnclaveReport {
    fn encode(&self, vouched: &[u8; 64], auth: &[u8]) -> [u8; ENCLAVE_REPORT_BYTES] {
        let mut bound = [0; 64];
        let digest = Sha256::new().chain_update(vouched).chain_update(auth).finalize();
        bound[..32].copy_from_slice(&digest);
        let mut out = [0; ENCLAVE_REPORT_BYTES];
        let mut put = |at: usize, bytes: &[u8]| {
            out.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
        };
        put(0, &self.cpu_svn);
        put(16, &self.misc_select);
        put(48, &self.attributes);
        put(64, &self.mrenclave);
        put(128, &self.mrsigner);
        put(256, &self.isv_prod_id.to_le_bytes());
        put(258, &self.isv_svn.to_le_bytes());
        put(320, &self.report_data.unwrap_or(bound));
        out
    }
}

const HEADER_BYTES: usize = 48;
const ENCLAVE_REPORT_BYTES: usize = 384;
const TEE_TDX: u32 = 0x81;
/// Vendor id of Intel's quoting enclaves.
const INTEL_QE: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];
/// INIT, 64 bit, PROVISIONING KEY; x87, SSE and AVX.
const QE_ATTRIBUTES: [u8; 16] = [0x15, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    /// Public quotes: version 4 and version 5 type 3.
    #[test]
    fn parts_stand_where_genuine_quotes_have_them() {
        assert_eq!((Form::V4.offsets().signed_end, Form::V4.offsets().auth_length), (632, 1218));
        assert_eq!(Form::V4.offsets().outer_type, 764);
        let v5 = Form::V5Td15.offsets();
        assert_eq!((v5.signed_end, v5.auth_length), (702, 1288));
    }
}
