//! One simulated machine: its certificates, and reports signed by its chip.

use std::path::Path;
use std::sync::Arc;

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use tiltyard_attestation::policy::Product;
use tiltyard_attestation::result::SigningKey as Endorsement;
use tiltyard_attestation::{Collateral, ForeignAnchors, ForeignArk, Hex};
use zeroize::Zeroizing;

use super::certificates::{CertificateFields, PROVIDER};
use super::keys::{self, Authority, AuthorityKeys, KeyError};
use super::report::{REPORT_BYTES, ReportFields, SIGNED_BYTES, newest_tcb, tcb_bytes};
use super::{certs_table, issue};

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
    endorsement: Endorsement,
    authorities: Arc<AuthorityKeys>,
    /// VCEK or VLEK.
    key: SigningKey,
    fields: CertificateFields,
    issued: Issued,
}

/// DER documents.
struct Issued {
    ark: Vec<u8>,
    /// ASK or ASVK.
    issuer: Vec<u8>,
    /// VCEK or VLEK.
    vek: Vec<u8>,
    crl: Vec<u8>,
}

impl SimulatedPlatform {
    /// The machine that `seed` gives, signing with its VCEK.
    ///
    /// RSA keys take seconds to make; `key_cache` is a folder that keeps them (0600).
    pub fn from_seed(
        seed: &[u8; 32],
        product: Product,
        key_cache: Option<&Path>,
    ) -> Result<Self, PlatformError> {
        let authorities = Arc::new(AuthorityKeys::from_seed(seed, key_cache)?);
        Self::with_keys(seed, product, Endorsement::Vcek, authorities)
    }

    /// A machine of another product under the same authority keys, signing with its VCEK.
    pub fn sibling(&self, product: Product) -> Result<Self, PlatformError> {
        Self::with_keys(&self.seed, product, Endorsement::Vcek, Arc::clone(&self.authorities))
    }

    /// The same machine after its provider loaded a VLEK.
    pub fn with_vlek(&self) -> Result<Self, PlatformError> {
        Self::with_keys(&self.seed, self.product, Endorsement::Vlek, Arc::clone(&self.authorities))
    }

    /// The same machine with its certificates issued again, after `edit`.
    pub fn reissued(&self, edit: impl FnOnce(&mut CertificateFields)) -> Result<Self, PlatformError> {
        let mut fields = self.fields.clone();
        edit(&mut fields);
        let issued = Issued::sign(&self.authorities, self.product, self.endorsement, &self.key, &fields)?;
        Ok(Self {
            seed: self.seed.clone(),
            product: self.product,
            endorsement: self.endorsement,
            authorities: Arc::clone(&self.authorities),
            key: self.key.clone(),
            fields,
            issued,
        })
    }

    fn with_keys(
        seed: &[u8; 32],
        product: Product,
        endorsement: Endorsement,
        authorities: Arc<AuthorityKeys>,
    ) -> Result<Self, PlatformError> {
        let tcb = newest_tcb(product);
        let key = match endorsement {
            Endorsement::Vcek => keys::chip_key(seed, CHIP, &tcb_bytes(product, tcb)),
            Endorsement::Vlek => keys::provider_key(seed, PROVIDER, &tcb_bytes(product, tcb)),
        };
        let hwid_bytes = hwid_bytes(product);
        let hwid = keys::chip_id(seed, CHIP, hwid_bytes);
        let fields = CertificateFields::genuine(product, tcb, &hwid[..hwid_bytes]);
        let issued = Issued::sign(&authorities, product, endorsement, &key, &fields)?;
        Ok(Self { seed: Zeroizing::new(*seed), product, endorsement, authorities, key, fields, issued })
    }

    /// The root, as a set that taints whatever it vouches for.
    pub fn anchors(&self) -> ForeignAnchors {
        let root = ForeignArk { product: self.product, ark_der: self.issued.ark.clone().into() };
        ForeignAnchors::of_snp(vec![root])
    }

    pub fn product(&self) -> Product {
        self.product
    }

    /// Kind of the key that signs reports.
    pub fn endorsement(&self) -> Endorsement {
        self.endorsement
    }

    /// CHIP_ID of the reports that the VCEK signs; the machine's platform id in an allow-list.
    pub fn chip_id(&self) -> Hex<64> {
        Hex(keys::chip_id(&self.seed, CHIP, hwid_bytes(self.product)))
    }

    /// VCEK then ASK, or VLEK then ASVK, DER.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        vec![self.issued.vek.clone(), self.issued.issuer.clone()]
    }

    /// The root certificate, DER.
    pub fn ark(&self) -> &[u8] {
        &self.issued.ark
    }

    /// What the certificates and the list say.
    pub fn certificate_fields(&self) -> &CertificateFields {
        &self.fields
    }

    /// The product's revocation list, DER.
    pub fn crl(&self) -> Vec<u8> {
        self.issued.crl.clone()
    }

    /// A list issued at `now` (Unix seconds) and good for 30 days, as the collateral of an appraisal.
    pub fn collateral(&self, now: u64) -> Result<Collateral, PlatformError> {
        let mut fields = self.fields.crl.clone();
        (fields.this_update, fields.next_update) = (now, now.saturating_add(CRL_LIFETIME_S));
        let list = issue::revocation_list(&self.authorities, &fields)?;
        Ok(Collateral { snp_crls: vec![list.into()], ..Collateral::none() })
    }

    /// The certificates as a hypervisor hands them to a guest.
    pub fn certificate_table(&self) -> Vec<u8> {
        certs_table::encode(self.endorsement, &self.issued.vek, &self.issued.issuer, &self.issued.ark)
    }

    /// Fields of a genuine report of this machine: version 2 to 5. One that a VLEK signs names no chip.
    pub fn fields(&self, version: u32) -> ReportFields {
        let chip_id = match self.endorsement {
            Endorsement::Vcek => self.chip_id().0,
            Endorsement::Vlek => [0; 64],
        };
        let mut fields = ReportFields::genuine(self.product, version, chip_id);
        if self.endorsement == Endorsement::Vlek {
            fields.key_info = KEY_INFO_VLEK;
        }
        fields
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
        let signature: Signature = self.key.sign(body);
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
        endorsement: Endorsement,
        key: &SigningKey,
        fields: &CertificateFields,
    ) -> Result<Self, PlatformError> {
        let (authority, issuer, vek) = match endorsement {
            Endorsement::Vcek => (Authority::Ask, &fields.ask, &fields.vcek),
            Endorsement::Vlek => (Authority::Asvk, &fields.asvk, &fields.vlek),
        };
        Ok(Self {
            ark: issue::authority(keys, Authority::Ark, &fields.ark)?,
            issuer: issue::authority(keys, authority, issuer)?,
            vek: issue::endorsement(keys, product, key.verifying_key(), vek)?,
            crl: issue::revocation_list(keys, &fields.crl)?,
        })
    }
}

/// From one revocation list to the next.
const CRL_LIFETIME_S: u64 = 30 * 86_400;

/// The one chip of a simulated machine.
const CHIP: u32 = 0;

/// Bits 4:2 of KEY_INFO: a VLEK signs.
const KEY_INFO_VLEK: u32 = 1 << 2;

/// Length of HWID in the certificate; CHIP_ID is this and zeros.
fn hwid_bytes(product: Product) -> usize {
    match product {
        Product::Milan | Product::Genoa => 64,
        Product::Turin => 8,
    }
}
