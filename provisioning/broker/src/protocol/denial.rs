//! Refusals with their stable code and HTTP status (PROVISIONING 9).

use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_attestation::Refusal;
use tiltyard_attestation::checks;
use tiltyard_provisioning::hpke::HpkeError;
use tiltyard_provisioning::stage::StageError;

use crate::StoreError;

/// Why a request was refused. The text holds no key and no plaintext, only what the asker sent or may know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.name())]
pub struct Denial {
    pub code: Code,
    pub detail: String,
    /// Evidence only: the code of the first finding (ATTESTATION).
    pub reason: Option<&'static str>,
    /// `StateRolledBack` only: the state that this broker remembers, so that a referee that has it can prove it.
    pub remembered: Option<LogState>,
}

/// The newest state of a referee's log that a broker has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LogState {
    pub size: u64,
    pub root: Hex<32>,
}

macro_rules! codes {
    ($($name:ident $text:literal $status:literal $title:literal,)*) => {
        /// Stable code of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// Every code, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in problem documents; never changed.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// One sentence for a person.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    Syntax "E_SYNTAX" 400 "The request is not a document of this protocol.",
    BadKey "BadKey" 400 "A presented key is not usable.",
    ReleaseOpen "E_RELEASE_OPEN" 400 "What was sealed to this broker does not open.",
    TooLarge "E_TOO_LARGE" 413 "The request is larger than this broker reads.",
    NonceMismatch "NonceMismatch" 401 "This broker did not give out this nonce.",
    NonceUsed "NonceUsed" 401 "The nonce has been used.",
    NonceExpired "NonceExpired" 401 "The nonce is past its life.",
    BindingMismatch "BindingMismatch" 401 "The evidence does not cover what was presented with it.",
    ChannelBinding "ChannelBinding" 401 "The evidence was made for another channel.",
    MessageSig "MessageSig" 401 "The message is not signed by the lease's attested key.",
    CharterBinding "CharterBinding" 403 "Charter, role, order or lease differ from the challenge or the launch configuration.",
    PolicyDeny "PolicyDeny" 403 "The evidence does not satisfy the charter.",
    RevocationStale "RevocationStale" 403 "Revocation lists are missing or too old.",
    CharterWindow "E_CHARTER_WINDOW" 403 "The charter is not in force.",
    Rollback "E_ROLLBACK" 403 "An older version than one already released.",
    StateRolledBack "StateRolledBack" 403 "The referee's log does not go on from what this broker remembers.",
    RoleDeny "RoleDeny" 403 "The role is not given this key.",
    StageNotReached "StageNotReached" 403 "A precondition of this stage is still open.",
    OrderRefused "OrderRefused" 403 "The order is not signed by a referee with a live lease of this broker.",
    OrderSpent "OrderSpent" 403 "The order has been served to another lease.",
    QuotaSpent "QuotaSpent" 403 "The key's releases are used up.",
    LeaseLapsed "LeaseLapsed" 403 "The lease is over.",
    LeaseHeld "LeaseHeld" 403 "Another guest holds this lease.",
    DepositDenied "DepositDenied" 403 "The role may not deposit this key.",
    DepositConflict "DepositConflict" 409 "Something else was deposited under this key id.",
    ResourceNotFound "ResourceNotFound" 404 "There is nothing here.",
    LedgerUnavailable "LedgerUnavailable" 503 "The ledger cannot be written, so nothing was released.",
    Busy "E_BUSY" 503 "The broker is busy; ask again.",
}

impl Denial {
    pub(crate) fn new(code: Code, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string(), reason: None, remembered: None }
    }
}

/// A store that can't be read or written releases nothing. The cause is the broker's own affair.
impl From<StoreError> for Denial {
    fn from(_: StoreError) -> Self {
        Self::new(Code::LedgerUnavailable, "the broker's store failed")
    }
}

impl From<StageError> for Denial {
    fn from(error: StageError) -> Self {
        let code = match error.code() {
            "StageNotReached" => Code::StageNotReached,
            "DepositDenied" => Code::DepositDenied,
            _ => Code::RoleDeny,
        };
        Self::new(code, error)
    }
}

impl From<HpkeError> for Denial {
    fn from(error: HpkeError) -> Self {
        let code = match error {
            HpkeError::UnknownKem { .. } | HpkeError::BadKey { .. } => Code::BadKey,
            HpkeError::Open => Code::ReleaseOpen,
            HpkeError::TooLarge { .. } => Code::TooLarge,
            _ => Code::LedgerUnavailable,
        };
        Self::new(code, error)
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        let first = refusal.findings.first().map(|finding| finding.code);
        Self {
            code: first.map_or(Code::PolicyDeny, of_finding),
            detail: refusal.to_string(),
            reason: first.map(checks::Code::as_str),
            remembered: None,
        }
    }
}

fn of_finding(code: checks::Code) -> Code {
    use checks::Code as Found;
    match code {
        Found::NonceMismatch => Code::NonceMismatch,
        Found::NonceExpired => Code::NonceExpired,
        Found::BindingMismatch
        | Found::RuntimeNotCanonical
        | Found::CompositeBinding
        | Found::KeyMismatch
        | Found::KeyFormat => Code::BindingMismatch,
        Found::ChannelBinding => Code::ChannelBinding,
        Found::RoleMismatch
        | Found::CharterMismatch
        | Found::OrderMismatch
        | Found::LeaseMismatch
        | Found::ConfigInvalid
        | Found::HostDataMismatch => Code::CharterBinding,
        Found::RevocationUnknown | Found::CollateralStale => Code::RevocationStale,
        _ => Code::PolicyDeny,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_statuses_are_errors() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }
}
