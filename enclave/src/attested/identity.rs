//! The key and certificate that an end shows.

use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::error::GuestError;

/// A P-256 key of this boot and its self-signed certificate.
pub struct Identity {
    name: &'static str,
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// A new key; `name` is in the certificate because clients want one, and says nothing.
    pub fn generate(name: &'static str) -> Result<Self, GuestError> {
        let key = KeyPair::generate().map_err(|_| GuestError::Crypto("TLS key"))?;
        let certificate = issue(name, &key, None)?;
        Ok(Self { name, key, certificate })
    }

    /// Issues the certificate again with one more extension, which is not critical.
    pub fn certify(&mut self, oid: &[u64], der: Vec<u8>) -> Result<(), GuestError> {
        let extension = CustomExtension::from_oid_content(oid, der);
        self.certificate = issue(self.name, &self.key, Some(extension))?;
        Ok(())
    }

    /// DER SubjectPublicKeyInfo: what evidence binds.
    pub fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// DER of the certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(super) fn chain(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        // rustls keeps its own copy for as long as the configuration lives.
        let key = Zeroizing::new(self.key.serialize_der());
        (vec![self.certificate.clone()], PrivatePkcs8KeyDer::from(key.to_vec()).into())
    }
}

fn issue(
    name: &str,
    key: &KeyPair,
    extension: Option<CustomExtension>,
) -> Result<CertificateDer<'static>, GuestError> {
    let failed = |_| GuestError::Crypto("TLS certificate");
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    params.custom_extensions.extend(extension);
    Ok(params.self_signed(key).map_err(failed)?.der().clone())
}
