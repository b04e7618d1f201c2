//! Who decides whether a connection is attested: in the product, the charter through the verifier.

use std::path::PathBuf;

use ring::rand::{SecureRandom, SystemRandom};
use tiltyard_attestation::collateral::{BUNDLE_MAX_BYTES, CollateralReadError};
use tiltyard_attestation::evidence::Evidence;
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{
    Challenge, Collateral, ConfigError, ForeignAnchors, Hex, LaunchConfig, Refusal, Role, TrustAnchors,
    Verifier,
};
use tiltyard_provisioning::charter::{CharterError, OpenCharter};

use super::Settings;
use crate::agent::{read_charter, read_within};

/// Largest document of foreign anchors, in bytes.
const ANCHORS_MAX_BYTES: u64 = 1024 * 1024;

/// Appraises one connection's evidence.
pub trait Gate: Send + Sync + 'static {
    /// A fresh nonce for one connection.
    fn nonce(&self) -> Result<Hex<32>, GateError>;

    /// Passes evidence that answers `nonce`, is bound to `exporter`, and attests the TLS key `spki` (DER SubjectPublicKeyInfo).
    fn pass(
        &self,
        nonce: Hex<32>,
        exporter: Hex<32>,
        spki: &[u8],
        evidence: &Evidence,
    ) -> Result<Passed, GateError>;
}

/// Evidence has passed; made by a [`Gate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    anchors: Anchors,
}

/// Holds the referee against one charter.
pub struct CharterGate {
    charter: OpenCharter,
    verifier: Verifier,
    collateral: Collateral,
    clock: fn() -> u64,
    rng: SystemRandom,
}

/// Why a connection is not attested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    #[error("{0}")]
    Refused(#[from] Box<Refusal>),
    #[error("evidence: {0}")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Charter(#[from] CharterError),
    #[error("anchors {path}: {what}")]
    Anchors { path: PathBuf, what: String },
    #[error(
        "anchors: the charter names {expected}, found the set {got}\n  use the set that came with the charter"
    )]
    OtherAnchors { expected: String, got: Hex<32> },
    #[error("{0}")]
    Input(String),
    #[error("{path}: {source}")]
    Collateral { path: PathBuf, source: CollateralReadError },
    #[error("no random bytes from the system")]
    Random,
}

impl Passed {
    /// A pass under these anchors.
    pub fn under(anchors: Anchors) -> Self {
        Self { anchors }
    }

    /// The header that says so: whose roots, as the reader must see it.
    pub fn header(&self) -> &'static str {
        match self.anchors {
            Anchors::Vendor => "pass; roots=vendor",
            Anchors::NotVendor(_) => "pass; roots=NOT-A-VENDOR-ROOT",
        }
    }
}

impl CharterGate {
    /// Reads the charter, the anchors that it allows and the collateral.
    pub fn open(settings: &Settings, clock: fn() -> u64) -> Result<Self, GateError> {
        let input = |error: crate::agent::AgentError| GateError::Input(error.to_string());
        let (_, charter) = read_charter(&settings.charter).map_err(input)?;
        charter.at(clock())?;
        let anchors = match &settings.anchors {
            None => TrustAnchors::vendor(),
            Some(path) => {
                let wrong = |what: String| GateError::Anchors { path: path.clone(), what };
                let bytes = read_within(path, ANCHORS_MAX_BYTES).map_err(input)?;
                let set: ForeignAnchors =
                    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
                let (expected, got) = (charter.reference_values.foreign_anchors, set.digest());
                if expected != Some(got) {
                    let expected = expected.map_or("none".to_owned(), |digest| digest.to_string());
                    return Err(GateError::OtherAnchors { expected, got });
                }
                TrustAnchors::foreign(set).map_err(|error| wrong(error.to_string()))?
            }
        };
        let collateral = match &settings.collateral {
            None => Collateral::none(),
            Some(path) => {
                let bytes = read_within(path, BUNDLE_MAX_BYTES as u64).map_err(input)?;
                Collateral::from_file(&bytes, settings.collateral_key.as_ref())
                    .map_err(|source| GateError::Collateral { path: path.clone(), source })?
            }
        };
        let verifier = Verifier::new(anchors, charter.policy().clone(), charter.reference_values.clone());
        Ok(Self { charter, verifier, collateral, clock, rng: SystemRandom::new() })
    }
}

impl Gate for CharterGate {
    fn nonce(&self) -> Result<Hex<32>, GateError> {
        let mut nonce = [0; 32];
        self.rng.fill(&mut nonce).map_err(|_| GateError::Random)?;
        Ok(Hex(nonce))
    }

    fn pass(
        &self,
        nonce: Hex<32>,
        exporter: Hex<32>,
        spki: &[u8],
        evidence: &Evidence,
    ) -> Result<Passed, GateError> {
        let now = (self.clock)();
        self.charter.at(now)?;
        // A client is told no lease beforehand; the one it is shown is held against the report.
        let lease = LaunchConfig::from_bytes(&evidence.config.0)?.lease;
        let challenge = Challenge::new(nonce, Role::Referee, self.charter.p(), None, lease, now)
            .with_channel(exporter)
            .with_peer(spki.to_vec());
        let result = self.verifier.appraise(challenge, evidence, &self.collateral, now).map_err(Box::new)?;
        Ok(Passed::under(result.anchors()))
    }
}
