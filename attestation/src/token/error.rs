//! Why a token was refused, or not issued.

use std::fmt::Display;

use crate::checks::{CheckId, Code};

/// Why a token was refused by its reader, or not issued at all. Quotes nothing of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token is forged, for somebody else, not for now, or not in its one form.
    #[error("token refused by {check}: expected {expected}, found {got}")]
    TokenInvalid { check: CheckId, expected: String, got: String },
    /// The issuer asked for claims that no reader would accept, or signed with another key.
    #[error("token not issued: expected {expected}, found {got}")]
    NotIssued { expected: String, got: String },
}

impl TokenError {
    /// The stable name of a refusal; none where the issuer is to blame.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::TokenInvalid { .. } => Some(Code::TokenInvalid),
            Self::NotIssued { .. } => None,
        }
    }

    /// Not one signed token of a known key.
    pub(super) fn signature(expected: impl Display, got: impl Display) -> Self {
        Self::invalid(CheckId::Tok01, expected, got)
    }

    /// For another reader, outside its time, or used before.
    pub(super) fn terms(expected: impl Display, got: impl Display) -> Self {
        Self::invalid(CheckId::Tok02, expected, got)
    }

    /// Not strict JSON, or not the claims of the profile.
    pub(super) fn form(expected: impl Display, got: impl Display) -> Self {
        Self::invalid(CheckId::Tok03, expected, got)
    }

    /// About another attested key.
    pub(super) fn holder(expected: impl Display, got: impl Display) -> Self {
        Self::invalid(CheckId::Tok04, expected, got)
    }

    pub(super) fn not_issued(expected: impl Display, got: impl Display) -> Self {
        Self::NotIssued { expected: expected.to_string(), got: got.to_string() }
    }

    fn invalid(check: CheckId, expected: impl Display, got: impl Display) -> Self {
        Self::TokenInvalid { check, expected: expected.to_string(), got: got.to_string() }
    }
}
