//! Opening and signing a charter: both parties over the same bytes (PROVISIONING 4).

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tiltyard_attestation::Hex;
use tiltyard_attestation::policy::{AppraisalPolicy, PolicyError};

use super::{BrokerOwner, CHARTER_PAYLOAD_TYPE, CHARTER_WINDOW_MAX_S, Charter, rules};
use crate::dsse::{Envelope, EnvelopeError, PAYLOAD_MAX_BYTES};
use crate::json::{self, JsonError};

/// A charter that both of its signers signed and that keeps every rule that needs no clock.
///
/// Which signers those are is the charter's own word: a reader who knows a party's key asks
/// [`OpenCharter::signed_by`], one who knows `p` compares [`OpenCharter::p`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCharter {
    charter: Charter,
    policy: AppraisalPolicy,
    p: Hex<32>,
    payload: Vec<u8>,
}

/// A charter was within its window; made by [`OpenCharter::at`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    p: Hex<32>,
    at: u64,
}

/// A known key signed for a party; made by [`OpenCharter::signed_by`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedBy {
    party: BrokerOwner,
    key: Hex<32>,
}

/// A charter goes on from the version before; made by [`OpenCharter::follows`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follows {
    p: Hex<32>,
    prev: Hex<32>,
}

/// Why a charter was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CharterError {
    #[error("charter: {0}")]
    Syntax(#[from] JsonError),
    #[error("charter: {0}")]
    Envelope(#[from] EnvelopeError),
    #[error("charter: signed by {key}, which is neither its owner nor its operator")]
    UnknownSigner { key: Hex<32> },
    #[error("charter: the signature of the {party:?} ({key}) is missing\n  both parties sign the same bytes")]
    SignerMissing { party: BrokerOwner, key: Hex<32> },
    #[error("charter: owner and operator name one key, {key}\n  two parties hold two keys")]
    SameSigner { key: Hex<32> },
    #[error("charter: expected the key {expected} as {party:?}, found {got}")]
    OtherSigner { party: BrokerOwner, expected: Hex<32>, got: Hex<32> },
    #[error("charter: key {key} has signed these bytes already\n  the other party signs next")]
    SignedAlready { key: Hex<32> },
    #[error("charter: the envelope holds other bytes: expected p {expected}, found {got}")]
    OtherPayload { expected: Hex<32>, got: Hex<32> },
    #[error("charter: not valid before {not_before}, it is {now}")]
    NotYetValid { not_before: u64, now: u64 },
    #[error("charter: expired at {not_after}, it is {now}\n  both parties sign a next version")]
    Expired { not_after: u64, now: u64 },
    #[error("charter: expected a window of 0 to {CHARTER_WINDOW_MAX_S} s, found {not_before} to {not_after}")]
    Window { not_before: u64, not_after: u64 },
    #[error("charter: {field}: expected {expected}, found {got}")]
    Chain { field: &'static str, expected: String, got: String },
    #[error("charter: {0}")]
    Policy(#[from] PolicyError),
    #[error("charter: {field}: expected {expected}, found {got}")]
    Graph { field: String, expected: &'static str, got: String },
}

impl CharterError {
    /// The stable code of PROVISIONING 9.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "E_SYNTAX",
            Self::Envelope(EnvelopeError::TooLarge { .. } | EnvelopeError::Syntax { .. }) => "E_SYNTAX",
            // The same key twice is one party in two places.
            Self::Envelope(EnvelopeError::Signatures { got, distinct }) if distinct < got => {
                "E_CHARTER_SIGNERS"
            }
            Self::Envelope(_) | Self::UnknownSigner { .. } | Self::OtherPayload { .. } => "E_CHARTER_SIG",
            Self::SignerMissing { .. }
            | Self::SameSigner { .. }
            | Self::OtherSigner { .. }
            | Self::SignedAlready { .. } => "E_CHARTER_SIGNERS",
            Self::NotYetValid { .. } | Self::Expired { .. } | Self::Window { .. } => "E_CHARTER_WINDOW",
            Self::Chain { .. } => "E_CHARTER_CHAIN",
            Self::Policy(_) | Self::Graph { .. } => "E_CHARTER_GRAPH",
        }
    }
}

impl OpenCharter {
    /// Opens a DSSE envelope: signed by the two different keys that the payload names and by nobody else,
    /// within limits, and keeping every static rule. The window is checked by [`OpenCharter::at`].
    pub fn open(envelope: &[u8]) -> Result<Self, CharterError> {
        let envelope = Envelope::parse(envelope)?;
        // Only the names of the signers are used before their signatures have verified.
        let charter = parse(&envelope.payload.0)?;
        let parties = different_signers(&charter)?;
        known_signers_only(&envelope, &parties)?;
        for (party, key) in parties {
            verify_party(&envelope, party, &key)?;
        }
        let policy = rules::held(&charter)?;
        let payload = envelope.payload.0;
        Ok(Self { charter, policy, p: Hex::sha256(&payload), payload })
    }

    /// `p`: SHA-256 of the payload bytes, whoever signed them.
    pub fn p(&self) -> Hex<32> {
        self.p
    }

    /// What this charter demands of evidence.
    pub fn policy(&self) -> &AppraisalPolicy {
        &self.policy
    }

    /// The payload as signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Holds the charter's window against `now`, in Unix seconds.
    pub fn at(&self, now: u64) -> Result<InForce, CharterError> {
        let Charter { not_before, not_after, .. } = self.charter;
        if now < not_before {
            return Err(CharterError::NotYetValid { not_before, now });
        }
        if now > not_after {
            return Err(CharterError::Expired { not_after, now });
        }
        Ok(InForce { p: self.p, at: now })
    }

    /// Holds one party's signing key against the key that the reader knows of it.
    pub fn signed_by(&self, party: BrokerOwner, key: &Hex<32>) -> Result<SignedBy, CharterError> {
        let got = match party {
            BrokerOwner::Owner => self.charter.signers.owner,
            BrokerOwner::Operator => self.charter.signers.operator,
        };
        if got != *key {
            return Err(CharterError::OtherSigner { party, expected: *key, got });
        }
        Ok(SignedBy { party, key: got })
    }

    /// Checks that this is the next version of `previous`: same charter and tenant, one higher, its `p`.
    pub fn follows(&self, previous: &Self) -> Result<Follows, CharterError> {
        let chain = |field, expected: &dyn ToString, got: &dyn ToString| {
            let (expected, got) = (expected.to_string(), got.to_string());
            if expected == got { Ok(()) } else { Err(CharterError::Chain { field, expected, got }) }
        };
        chain("charter_id", &previous.charter_id, &self.charter_id)?;
        chain("tenant", &previous.tenant, &self.tenant)?;
        chain("version", &previous.version.saturating_add(1), &self.version)?;
        let prev = self.prev.map_or_else(|| "none".to_owned(), |prev| prev.to_string());
        chain("prev", &previous.p, &prev)?;
        Ok(Follows { p: self.p, prev: previous.p })
    }
}

impl std::ops::Deref for OpenCharter {
    type Target = Charter;

    fn deref(&self) -> &Charter {
        &self.charter
    }
}

impl InForce {
    /// Digest of the charter that is in force.
    pub fn p(&self) -> Hex<32> {
        self.p
    }

    /// The time that was held against it, in Unix seconds.
    pub fn at(&self) -> u64 {
        self.at
    }
}

impl SignedBy {
    /// Who signed.
    pub fn party(&self) -> BrokerOwner {
        self.party
    }

    /// With which key.
    pub fn key(&self) -> Hex<32> {
        self.key
    }
}

impl Follows {
    /// Digest of the newer charter.
    pub fn p(&self) -> Hex<32> {
        self.p
    }

    /// Digest of the charter before it.
    pub fn prev(&self) -> Hex<32> {
        self.prev
    }
}

/// Reads a payload that need not be signed yet and holds it against every static rule: what a party is
/// shown, with its `p`, before it signs.
pub fn read_payload(payload: &[u8]) -> Result<Charter, CharterError> {
    let charter = parse(payload)?;
    different_signers(&charter)?;
    rules::held(&charter)?;
    Ok(charter)
}

/// The payload bytes of an envelope that may still lack a signature; what [`read_payload`] and [`sign`] take.
pub fn unverified_payload(envelope: &[u8]) -> Result<Vec<u8>, CharterError> {
    Ok(Envelope::parse(envelope)?.payload.0)
}

/// Adds the signature of one party over `payload`; the first signature makes the envelope.
///
/// Refused when the key is neither party's, has signed already, or `existing` holds other bytes or a
/// signature that does not verify: a party never signs beside a broken one. Signatures stand owner first.
pub fn sign(payload: &[u8], existing: Option<&[u8]>, key: &Ed25519KeyPair) -> Result<Vec<u8>, CharterError> {
    let charter = read_payload(payload)?;
    let parties = different_signers(&charter)?;
    let mut public = [0; 32];
    public.copy_from_slice(key.public_key().as_ref());
    let public = Hex(public);
    if parties.iter().all(|(_, party)| *party != public) {
        return Err(CharterError::UnknownSigner { key: public });
    }
    let mut envelope = match existing {
        None => Envelope::sign(CHARTER_PAYLOAD_TYPE, payload.to_vec(), key),
        Some(existing) => {
            let mut envelope = Envelope::parse(existing)?;
            if envelope.payload.0 != payload {
                let (expected, got) = (Hex::sha256(payload), Hex::sha256(&envelope.payload.0));
                return Err(CharterError::OtherPayload { expected, got });
            }
            known_signers_only(&envelope, &parties)?;
            for signature in &envelope.signatures {
                envelope.verify(CHARTER_PAYLOAD_TYPE, &signature.keyid)?;
            }
            if envelope.signatures.iter().any(|signature| signature.keyid == public) {
                return Err(CharterError::SignedAlready { key: public });
            }
            envelope.add_signature(key);
            envelope
        }
    };
    envelope.signatures.sort_by_key(|signature| signature.keyid != charter.signers.owner);
    Ok(envelope.to_bytes())
}

fn parse(payload: &[u8]) -> Result<Charter, CharterError> {
    Ok(json::read(payload, PAYLOAD_MAX_BYTES)?)
}

fn different_signers(charter: &Charter) -> Result<[(BrokerOwner, Hex<32>); 2], CharterError> {
    let signers = charter.signers;
    if signers.owner == signers.operator {
        return Err(CharterError::SameSigner { key: signers.owner });
    }
    Ok([(BrokerOwner::Owner, signers.owner), (BrokerOwner::Operator, signers.operator)])
}

fn known_signers_only(
    envelope: &Envelope,
    parties: &[(BrokerOwner, Hex<32>); 2],
) -> Result<(), CharterError> {
    let stranger = envelope
        .signatures
        .iter()
        .find(|signature| parties.iter().all(|(_, party)| *party != signature.keyid));
    match stranger {
        Some(signature) => Err(CharterError::UnknownSigner { key: signature.keyid }),
        None => Ok(()),
    }
}

fn verify_party(envelope: &Envelope, party: BrokerOwner, key: &Hex<32>) -> Result<(), CharterError> {
    match envelope.verify(CHARTER_PAYLOAD_TYPE, key) {
        Ok(_) => Ok(()),
        Err(EnvelopeError::Unsigned { expected }) => {
            Err(CharterError::SignerMissing { party, key: expected })
        }
        Err(error) => Err(error.into()),
    }
}
