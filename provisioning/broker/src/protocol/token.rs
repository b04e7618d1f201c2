//! The result token that is kept beside each ledger entry, for auditors and relying parties; no route takes one back.

use ring::rand::SecureRandom as _;
use ring::signature::KeyPair as _;
use tiltyard_attestation::token::{self, Build, Claims, Data, Image, Issue};
use tiltyard_attestation::{AttestationResult, Collateral, Hex, Role};
use tiltyard_provisioning::ledger::TlogProof;
use tiltyard_provisioning::release::token_audience;

use super::{Code, Core, Denial};
use crate::BrokerError;

const DEVELOPER: &str = "Tiltyard";
const BUILD: &str = concat!("tiltyard-broker ", env!("CARGO_PKG_VERSION"));

impl Core {
    /// Ed25519 key of answers, receipts and tokens.
    fn broker_key(&self) -> Hex<32> {
        let mut key = [0; 32];
        key.copy_from_slice(self.keys.answer.public_key().as_ref());
        Hex(key)
    }

    /// Signs what an appraisal found, for as long as the lease lasts.
    pub(super) fn token(
        &self,
        (result, collateral): (&AttestationResult, &Collateral),
        proof: &TlogProof,
        issued_at: u64,
        expires_at: u64,
    ) -> Result<String, Denial> {
        let unavailable =
            |what: &str| Denial::new(Code::LedgerUnavailable, format!("no result token: {what}"));
        let mut id = [0; 16];
        self.rng.fill(&mut id).map_err(|_| unavailable("the random source failed"))?;
        // A referee is given no data key.
        let data = if result.config().role == Role::Referee { Data::NotPinned } else { Data::Pinned };
        let issue = Issue {
            issuer: &self.origin,
            audience: &token_audience(&self.charter.p()),
            id: Hex(id),
            issued_at,
            expires_at,
            policy: self.verifier.policy(),
            collateral,
            verifier: Build { developer: DEVELOPER, build: BUILD, sha256: self.program },
            // The one program is the image; that a measurement covers a file system is for image manifests to say.
            image: Image::Program,
            data,
            log_proof: Some(&proof.to_text()),
        };
        let claims = Claims::from_result(result, &issue).map_err(|error| unavailable(&error.to_string()))?;
        token::sign(&claims, &self.broker_key(), |bytes| {
            // An Ed25519 signature is 64 bytes; anything else is refused where it is verified.
            self.keys.answer.sign(bytes).as_ref().try_into().unwrap_or([0; 64])
        })
        .map_err(|error| unavailable(&error.to_string()))
    }
}

/// SHA-256 of the program that runs.
pub(super) fn own_program() -> Result<Hex<32>, BrokerError> {
    const PROGRAM: &str = "/proc/self/exe";
    let file = std::fs::read(PROGRAM);
    let bytes = file.map_err(|source| BrokerError::io("read", std::path::Path::new(PROGRAM), source))?;
    Ok(Hex::sha256(&bytes))
}
