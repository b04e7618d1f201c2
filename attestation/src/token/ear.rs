//! The claims-set of an attestation result: names and shapes of draft-ietf-rats-ear-04, and our own claims.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Tier, Vector, base64url};
use crate::binding::KeyDigests;
use crate::policy::Level;
use crate::result::Anchors;
use crate::{Hex, Role};

/// `eat_profile` of every token.
pub const EAR_PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";

/// An attestation result with one submodule of shape `S` per appraised part; members that are not known are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ear<S> {
    /// Always [`EAR_PROFILE`].
    pub eat_profile: String,
    /// Unix seconds, as `nbf` and `exp`.
    pub iat: u64,
    pub nbf: u64,
    /// The lease's end.
    pub exp: u64,
    /// Single-use id.
    pub jti: Hex<16>,
    pub iss: String,
    pub aud: String,
    /// Nonce of the challenge that the evidence answered.
    #[serde(with = "base64url::fixed")]
    pub eat_nonce: Hex<32>,
    /// The worst of the submodules.
    pub ear_status: Tier,
    pub ear_verifier_id: VerifierId,
    pub ear_all_submods_bound: AllBound,
    /// The attested signing key (RFC 7800).
    pub cnf: Confirmation,
    /// `cpu0`, `gpu0`.., `nvswitch0`..
    pub submods: BTreeMap<String, S>,
    /// Whose roots vouch for the evidence: anything but the vendors' is named NOT A VENDOR ROOT.
    #[serde(serialize_with = "write_anchors", deserialize_with = "read_anchors")]
    pub tiltyard_anchors: Anchors,
    pub tiltyard_level: Level,
    /// All keys of the guest, by digest.
    pub tiltyard_keys: KeyDigests,
    pub tiltyard_lease: Lease,
    pub tiltyard_digests: Digests,
    /// Proof that the evidence was logged before the token was issued (C2SP tlog-proof, text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiltyard_log_proof: Option<String>,
}

/// What every reader learns of one submodule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appraisal {
    /// No better than the worst claim of the vector.
    pub ear_status: Tier,
    pub ear_trustworthiness_vector: Vector,
    /// The policy by digest (RFC 6920).
    pub ear_appraisal_policy_ids: Vec<String>,
}

/// Which software appraised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierId {
    pub developer: String,
    pub build: String,
}

/// Whether one quote covers every submodule (draft-kykdxy-rats-tdx-cgpu-ear-profile-02, whose value is a text).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllBound {
    True,
    False,
}

/// The key whose possession the holder of the token can prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub jwk: Jwk,
}

/// An Ed25519 public key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk(pub Hex<32>);

/// What the guest was for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub role: Role,
    pub charter: Hex<32>,
    pub order: Option<Hex<32>>,
    pub lease: Hex<16>,
}

/// SHA-256 of everything that the appraisal rested on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// [`crate::AppraisalPolicy::digest`].
    pub policy: Hex<32>,
    /// [`crate::Collateral::digest`].
    pub collateral: Hex<32>,
    /// [`crate::evidence::Evidence::digest`].
    pub evidence: Hex<32>,
    /// The verifier's program file.
    pub verifier: Hex<32>,
}

/// Wire form of [`Jwk`].
#[derive(Serialize, Deserialize)]
struct JwkMembers {
    crv: String,
    kty: String,
    #[serde(with = "base64url::fixed")]
    x: Hex<32>,
}

const KEY_TYPE: &str = "OKP";
const CURVE: &str = "Ed25519";

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        JwkMembers { crv: CURVE.to_owned(), kty: KEY_TYPE.to_owned(), x: self.0 }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let JwkMembers { crv, kty, x } = JwkMembers::deserialize(deserializer)?;
        if (kty.as_str(), crv.as_str()) == (KEY_TYPE, CURVE) {
            Ok(Self(x))
        } else {
            Err(D::Error::custom("expected an Ed25519 key"))
        }
    }
}

/// The same words as on every page and receipt.
fn write_anchors<S: Serializer>(anchors: &Anchors, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(anchors)
}

fn read_anchors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Anchors, D::Error> {
    let text = String::deserialize(deserializer)?;
    // The digest is the only run of 64 characters that reads as one, so the words are written in one place only.
    let digest = text.split(|letter: char| !letter.is_ascii_hexdigit()).find_map(|word| word.parse().ok());
    let anchors = digest.map_or(Anchors::Vendor, Anchors::NotVendor);
    if anchors.to_string() == text { Ok(anchors) } else { Err(D::Error::custom("expected a set of anchors")) }
}

impl fmt::Display for AllBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::True => "true",
            Self::False => "false",
        })
    }
}
