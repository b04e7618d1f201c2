//! TLS 1.3 whose handshake proves possession of a key, and leaves the key's worth to evidence or to a pin.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{EXPORTER_LABEL, Side, exporter_context};
use tokio_rustls::TlsStream;

use super::Identity;

/// Whom the handshake lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Whoever holds the key of the one P-256 certificate that it shows: evidence decides afterwards.
    ByEvidence,
    /// Whoever holds the key whose SubjectPublicKeyInfo has this SHA-256.
    Pinned(Hex<32>),
}

/// What a server asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// No certificate: the server gives evidence to anybody, and learns nothing.
    Anonymous,
    /// A certificate, without which there is no connection.
    Certified(Peer),
}

/// The connecting end.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// Empty without a certificate.
    pub(super) spki: Vec<u8>,
}

/// The accepting end.
#[derive(Clone)]
pub struct Server {
    config: Arc<ServerConfig>,
    pub(super) spki: Vec<u8>,
}

impl Client {
    /// A client that shows `identity`, if it has one. A server that does not ask for it sees another exporter
    /// context, so evidence between the two is refused.
    pub fn new(identity: Option<&Identity>, peer: Peer) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Judge::new(peer, &provider)));
        let mut config = match identity {
            Some(identity) => {
                let (chain, key) = identity.chain();
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config), spki: identity.map(Identity::spki).unwrap_or_default() })
    }

    /// Configuration for the library.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }
}

impl Server {
    /// A server that shows `identity`.
    pub fn new(identity: &Identity, clients: Clients) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let (chain, key) = identity.chain();
        let mut config = match clients {
            Clients::Anonymous => builder.with_no_client_auth(),
            Clients::Certified(peer) => {
                builder.with_client_cert_verifier(Arc::new(Judge::new(peer, &provider)))
            }
        }
        .with_single_cert(chain, key)?;
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), spki: identity.spki() })
    }

    /// Configuration for the library.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

/// DER SubjectPublicKeyInfo of a certificate.
pub(crate) fn spki(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    Ok(ParsedCertificate::try_from(certificate)?.subject_public_key_info().to_vec())
}

/// The exporter that evidence of `side` over `nonce` must name; an absent client certificate is empty.
pub(crate) fn exporter<S>(
    tls: &TlsStream<S>,
    nonce: &Hex<32>,
    side: Side,
    client_spki: &[u8],
    server_spki: &[u8],
) -> Result<Hex<32>, Error> {
    let context = exporter_context(nonce, side, client_spki, server_spki);
    let context = Some(context.bytes().as_slice());
    match tls {
        TlsStream::Client(tls) => tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, context),
        TlsStream::Server(tls) => tls.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, context),
    }
    .map(Hex)
}

/// Judges either end's certificate by its key; names, issuers and dates play no part.
#[derive(Debug)]
struct Judge {
    peer: Peer,
    algorithms: WebPkiSupportedAlgorithms,
    schemes: Vec<SignatureScheme>,
}

impl Judge {
    fn new(peer: Peer, provider: &CryptoProvider) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        let schemes = match peer {
            Peer::ByEvidence => vec![SignatureScheme::ECDSA_NISTP256_SHA256],
            Peer::Pinned(_) => algorithms.supported_schemes(),
        };
        Self { peer, algorithms, schemes }
    }

    fn judge(&self, leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>]) -> Result<(), Error> {
        let spki = spki(leaf)?;
        let holds = match self.peer {
            Peer::ByEvidence => above.is_empty() && is_p256(&spki),
            Peer::Pinned(pin) => Hex::sha256(&spki) == pin,
        };
        if holds { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

/// An uncompressed point of P-256 in a SubjectPublicKeyInfo (RFC 5480 2).
fn is_p256(spki: &[u8]) -> bool {
    const PREFIX: [u8; 27] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    const COORDINATES_LEN: usize = 64;
    spki.strip_prefix(&PREFIX).is_some_and(|point| point.len() == COORDINATES_LEN)
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
