//! One simulated machine: its certificates, and reports signed by its chip.

use std::path::Path;
use std::sync::Arc;

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use tiltyard_attestation::policy::Product;
use tiltyard_attestation::{Collateral, ForeignAnchors, ForeignArk, Hex};
use zeroize::Zeroizing;

use crate::certificates::{self, CertificateFields};
use crate::certs_table;
use crate::keys::{self, Authority, AuthorityKeys, KeyError};
use crate::report::{REPORT_BYTES, ReportFields, SIGNED_BYTES, newest_tcb, tcb_bytes};

/// Why a platform could not be made or could not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("report: expected {REPORT_BYTES} bytes, found {got}")]
    ReportLength { got: usize },
}

/// A machine of one product whose firmware keys come from a seed.
pub struct SimulatedPlatform {
    seed: Zeroizing<[u8; 32]>,
    product: Product,
    authorities: Arc<AuthorityKeys>,
    chip_key: SigningKey,
    fields: CertificateFields,
    issued: Issued,
}

/// DER documents.
struct Issued {
    ark: Vec<u8>,
    ask: Vec<u8>,
    vcek: Vec<u8>,
    crl: Vec<u8>,
}

impl SimulatedPlatform {
    /// The machine that `seed` gives. RSA keys take seconds to make; `key_cache` is a folder that keeps them (0600).
    pub fn from_seed(
        seed: &[u8; 32],
        product: Product,
        key_cache: Option<&Path>,
    ) -> Result<Self, PlatformError> {
        Self::with_keys(seed, product, Arc::new(AuthorityKeys::from_seed(seed, key_cache)?))
    }

    /// A machine of another product under the same authority keys.
    pub fn sibling(&self, product: Product) -> Result<Self, PlatformError> {
        Self::with_keys(&self.seed, product, Arc::clone(&self.authorities))
    }

    /// The same machine with its certificates issued again, after `edit`.
    pub fn reissued(&self, edit: impl FnOnce(&mut CertificateFields)) -> Result<Self, PlatformError> {
        let mut fields = self.fields.clone();
        edit(&mut fields);
        let issued = Issued::sign(&self.authorities, self.product, &self.chip_key, &fields)?;
        Ok(Self {
            seed: self.seed.clone(),
            product: self.product,
            authorities: Arc::clone(&self.authorities),
            chip_key: self.chip_key.clone(),
            fields,
            issued,
        })
    }

    fn with_keys(
        seed: &[u8; 32],
        product: Product,
        authorities: Arc<AuthorityKeys>,
    ) -> Result<Self, PlatformError> {
        let tcb = newest_tcb(product);
        let hwid_bytes = hwid_bytes(product);
        let chip_key = keys::chip_key(seed, CHIP, &tcb_bytes(product, tcb));
        let hwid = keys::chip_id(seed, CHIP, hwid_bytes);
        let fields = CertificateFields::genuine(product, tcb, &hwid[..hwid_bytes]);
        let issued = Issued::sign(&authorities, product, &chip_key, &fields)?;
        Ok(Self { seed: Zeroizing::new(*seed), product, authorities, chip_key, fields, issued })
    }

    /// The root, as a set that taints whatever it vouches for.
    pub fn anchors(&self) -> ForeignAnchors {
        let root = ForeignArk { product: self.product, ark_der: self.issued.ark.clone().into() };
        ForeignAnchors::of_snp(vec![root])
    }

    pub fn product(&self) -> Product {
        self.product
    }

    /// CHIP_ID of every report of this machine; its platform id in an allow-list.
    pub fn chip_id(&self) -> Hex<64> {
        Hex(keys::chip_id(&self.seed, CHIP, hwid_bytes(self.product)))
    }

    /// VCEK, then ASK, DER.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        vec![self.issued.vcek.clone(), self.issued.ask.clone()]
    }

    /// The root certificate, DER.
    pub fn ark(&self) -> &[u8] {
        &self.issued.ark
    }

    /// The product's revocation list, DER.
    pub fn crl(&self) -> Vec<u8> {
        self.issued.crl.clone()
    }

    /// A list issued at `now` (Unix seconds) and good for 30 days, as the collateral of an appraisal.
    pub fn collateral(&self, now: u64) -> Result<Collateral, PlatformError> {
        let mut fields = self.fields.crl.clone();
        (fields.this_update, fields.next_update) = (now, now.saturating_add(CRL_LIFETIME_S));
        let list = certificates::revocation_list(&self.authorities, &fields)?;
        Ok(Collateral { snp_crls: vec![list.into()], ..Collateral::none() })
    }

    /// The certificates as a hypervisor hands them to a guest.
    pub fn certificate_table(&self) -> Vec<u8> {
        certs_table::encode(&self.issued.vcek, &self.issued.ask, &self.issued.ark)
    }

    /// Fields of a genuine report of this machine: version 2, 3 or 5.
    pub fn fields(&self, version: u32) -> ReportFields {
        ReportFields::genuine(self.product, version, self.chip_id().0)
    }

    /// The signed report, 1,184 bytes.
    pub fn report(&self, fields: &ReportFields) -> Vec<u8> {
        let mut report = fields.encode();
        self.sign_into(&mut report);
        report
    }

    /// Signs a report again after its bytes were changed.
    pub fn sign_raw(&self, report: &mut [u8]) -> Result<(), PlatformError> {
        if report.len() != REPORT_BYTES {
            return Err(PlatformError::ReportLength { got: report.len() });
        }
        self.sign_into(report);
        Ok(())
    }

    /// R and S stand in 72 bytes each, little endian; the rest of the signature field is zero.
    fn sign_into(&self, report: &mut [u8]) {
        let (body, field) = report.split_at_mut(SIGNED_BYTES);
        let signature: Signature = self.chip_key.sign(body);
        field.fill(0);
        let scalars = signature.to_bytes();
        for (number, scalar) in scalars.chunks_exact(48).enumerate() {
            let at = number * 72;
            field.iter_mut().skip(at).zip(scalar.iter().rev()).for_each(|(to, from)| *to = *from);
        }
    }
}

impl Issued {
    fn sign(
        keys: &AuthorityKeys,
        product: Product,
        chip_key: &SigningKey,
        fields: &CertificateFields,
    ) -> Result<Self, PlatformError> {
        Ok(Self {
            ark: certificates::authority(keys, Authority::Ark, &fields.ark)?,
            ask: certificates::authority(keys, Authority::Ask, &fields.ask)?,
            vcek: certificates::chip(keys, product, chip_key.verifying_key(), &fields.vcek)?,
            crl: certificates::revocation_list(keys, &fields.crl)?,
        })
    }
}

/// From one revocation list to the next.
const CRL_LIFETIME_S: u64 = 30 * 86_400;

/// The one chip of a simulated machine.
const CHIP: u32 = 0;

/// Length of HWID in the certificate; CHIP_ID is this and zeros.
fn hwid_bytes(product: Product) -> usize {
    match product {
        Product::Milan | Product::Genoa => 64,
        Product::Turin => 8,
    }
}
