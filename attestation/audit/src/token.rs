//! A result token: what a verifier says of a guest, held against the keys and the guest that the reader knows.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tiltyard_attestation::Hex;
use tiltyard_attestation::token::{self, Appraisal, Demands, Ear, Holder, Vector, VerifiedToken};
use tiltyard_provisioning::ledger::TlogProof;
use tiltyard_provisioning::release::token_audience;

use crate::appraise::{FileError, Input, time};
use crate::date::utc;
use crate::text::plain;

/// A token's file, and what it is held against.
#[derive(Debug, Args)]
pub(crate) struct LowToken {
    /// The token: JWS in its compact form
    token: PathBuf,
    /// Ed25519 key of the issuing broker, known from elsewhere; may be repeated
    #[arg(long, value_name = "HEX", required = true)]
    key: Vec<Hex<32>>,
    /// Digest of the charter that the token was issued under
    #[arg(long, value_name = "HEX", required_unless_present = "audience", conflicts_with = "audience")]
    charter: Option<Hex<32>>,
    /// Another audience than that of a charter
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// Ed25519 key of the guest that the token must be about
    #[arg(long, value_name = "HEX")]
    guest_key: Hex<32>,
    /// Time as of which it is held, RFC 3339 or Unix seconds; left out, now
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<u64>,
}

/// What a token was found to be.
#[derive(Debug, Serialize)]
pub(crate) struct Read {
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// The claims as they were signed; none of a token that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Hex<32>>,
    /// Unix seconds.
    at: u64,
    #[serde(skip)]
    verified: Option<Ear<Appraisal>>,
}

impl LowToken {
    /// Verifies the token (TOK-01 to TOK-04) at `now`. Single use is for relying parties that remember ids.
    pub(crate) fn read(&self, now: u64) -> Result<Read, FileError> {
        let input = Input::read(&self.token)?;
        let audience = match (&self.charter, &self.audience) {
            (Some(charter), _) => token_audience(charter),
            (None, audience) => audience.clone().unwrap_or_default(),
        };
        let demands =
            Demands { keys: &self.key, audience: &audience, now, holder: Holder::Signing(&self.guest_key) };
        // A file of text ends with a line break, a token does not.
        let text = std::str::from_utf8(input.bytes.trim_ascii_end())
            .ok()
            .filter(|text| is_compact(text))
            .ok_or_else(|| input.form("a token: JWS in its compact form", "another text or no text"))?;
        let verified = token::verify(text, &demands, |_, _| true).map_err(|error| error.to_string());
        Ok(match verified.and_then(|token| self.agrees(&token).map(|()| token)) {
            Ok(token) => Read::good(&token, now),
            Err(why) => Read { refused: Some(why), claims: None, key: None, at: now, verified: None },
        })
    }

    /// The lease is of the charter that the token is for, and a proof that it brings has the form of one.
    fn agrees(&self, token: &VerifiedToken) -> Result<(), String> {
        let Ear { aud, tiltyard_lease: lease, tiltyard_log_proof: proof, .. } = token.claims();
        let of_a_charter = aud.starts_with(CHARTER_AUDIENCE) || self.charter.is_some();
        if of_a_charter && *aud != token_audience(&lease.charter) {
            return Err(format!("a lease of charter {}, which is not the token's own", lease.charter));
        }
        match proof.as_deref().map(TlogProof::from_text) {
            Some(Err(error)) => Err(format!("its log proof: {error}")),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

impl Read {
    fn good(token: &VerifiedToken, at: u64) -> Self {
        Self {
            refused: None,
            claims: serde_json::from_slice(token.payload()).ok(),
            key: Some(token.key()),
            at,
            verified: Some(token.claims().clone()),
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.refused.is_none()
    }

    /// A page of lines.
    pub(crate) fn text(&self) -> String {
        let Some(ear) = &self.verified else {
            return format!("REFUSED: {}\n", plain(self.refused.as_deref().unwrap_or_default()));
        };
        let status = |tier| format!("{tier:?}").to_lowercase();
        let lease = &ear.tiltyard_lease;
        let mut out = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{name:<10} {}", plain(&value));
        };
        line("status", status(ear.ear_status));
        line("roots", ear.tiltyard_anchors.to_string());
        line("level", status_of(ear.tiltyard_level));
        line("guest", format!("{} of charter {}", status_of(lease.role), lease.charter));
        line("lease", lease.lease.to_string());
        line("issued", format!("{} by {}, {}", utc(ear.iat), ear.iss, ear.ear_verifier_id.build));
        line("ends", utc(ear.exp));
        line("bound", format!("all parts under one quote: {}", ear.ear_all_submods_bound));
        let digests = &ear.tiltyard_digests;
        for (name, digest) in [
            ("evidence", digests.evidence),
            ("policy", digests.policy),
            ("collateral", digests.collateral),
            ("verifier", digests.verifier),
        ] {
            line(name, digest.to_string());
        }
        line(
            "logged",
            if ear.tiltyard_log_proof.is_some() {
                "proof enclosed; only the ledger's entry shows that it holds"
            } else {
                "no proof"
            }
            .to_owned(),
        );
        let _ = writeln!(out, "\n{:<11} {:<16} trust in", "part", "status");
        for (name, part) in &ear.submods {
            let _ = writeln!(
                out,
                "{:<11} {:<16} {}",
                plain(name),
                status(part.ear_status),
                members(&part.ear_trustworthiness_vector)
            );
        }
        out.push_str(LEGEND);
        let _ = writeln!(
            out,
            "AUTHENTIC: signed by a named key, for this reader, this guest and this time; status {}",
            status(ear.ear_status)
        );
        out
    }
}

/// How audiences of charters begin.
const CHARTER_AUDIENCE: &str = "urn:tiltyard:charter:";

/// What the numbers are (AR4SI), and what a token is.
const LEGEND: &str = "\nNumbers: 2 to 31 affirming, 32 warning, 96 contraindicated, 0 nothing said.\n\
    It says what the verifier found. Evidence and bundle show it again; a token alone does not.\n";

/// Three texts of base64url (RFC 7515 7.1); what they say is for the checks.
fn is_compact(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let parts: Vec<&str> = text.split('.').collect();
    // A token that nobody signed has an empty last one (RFC 7519 6), and is refused as such.
    parts.len() == 3
        && parts[..2].iter().all(|part| !part.is_empty())
        && parts.iter().all(|part| part.bytes().all(digit))
}

fn status_of(word: impl std::fmt::Debug) -> String {
    format!("{word:?}").to_lowercase()
}

/// The eight claims by name and AR4SI value: 2 to 31 affirming, 32 warning, 96 contraindicated, 0 nothing said.
fn members(vector: &Vector) -> String {
    vector.named().map(|(name, value)| format!("{name} {value}")).join(", ")
}
