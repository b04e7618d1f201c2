//! `token`: the result token that stands beside a ledger entry.

use std::path::Path;

use serde::Serialize;
use tiltyard_attestation::Hex;

use crate::cli::{Facts, OutputForm};
use crate::store::ledger;
use crate::{BrokerError, Home};

#[derive(Serialize)]
struct Token {
    lease: Hex<16>,
    /// JWS in its compact form.
    token: String,
}

pub(super) fn token(dir: &Path, lease: &Hex<16>, form: OutputForm) -> Result<(), BrokerError> {
    let home = Home::open(dir)?;
    let token = ledger::token(home.store().read(), lease)?.ok_or_else(|| {
        BrokerError::refused("E_NO_TOKEN", format!("no lease {lease} was granted from this home"))
    })?;
    Token { lease: *lease, token }.print(form)
}

impl Facts for Token {
    fn lines(&self) -> Vec<String> {
        vec![self.token.clone()]
    }
}
