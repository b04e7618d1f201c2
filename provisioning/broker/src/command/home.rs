//! `init`, `entrant-init`, `identity`.

use std::path::Path;

use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::keyfile::Cost;

use super::progress;
use crate::cli::{Facts, HomeArgs, InitArgs, OutputForm};
use crate::identity::Identity;
use crate::{BrokerError, EntrantIdentity, Home, Passphrase, PublicIdentity};

pub(super) fn init(args: InitArgs, form: OutputForm) -> Result<(), BrokerError> {
    let passphrase = Passphrase::choose(args.home.passphrase)?;
    progress("deriving the key file's key; this takes a second on purpose");
    let home = Home::create_broker(&args.home.dir, args.role, &passphrase, cost(args.kdf_memory_mib))?;
    print(home.identity(), form)
}

pub(super) fn entrant_init(
    args: &HomeArgs,
    kdf_memory_mib: u32,
    form: OutputForm,
) -> Result<(), BrokerError> {
    let passphrase = Passphrase::choose(args.passphrase)?;
    let home = Home::create_entrant(&args.dir, &passphrase, cost(kdf_memory_mib))?;
    print(home.identity(), form)
}

pub(super) fn identity(dir: &Path, form: OutputForm) -> Result<(), BrokerError> {
    print(Home::open(dir)?.identity(), form)
}

/// The key file checks the bounds; a product that overflows is far outside them.
fn cost(memory_mib: u32) -> Cost {
    Cost { memory_kib: memory_mib.saturating_mul(1024), ..Cost::default() }
}

fn print(identity: &Identity, form: OutputForm) -> Result<(), BrokerError> {
    match identity {
        Identity::Broker(identity) => identity.print(form),
        Identity::Entrant(identity) => identity.print(form),
    }
}

impl Facts for PublicIdentity {
    fn lines(&self) -> Vec<String> {
        let role = match self.role {
            BrokerOwner::Owner => "owner",
            BrokerOwner::Operator => "operator",
        };
        let mut lines = vec![
            format!("role         {role}"),
            format!("signing key  {}", self.signing_key),
            format!("broker key   {}", self.broker_key),
        ];
        lines.extend(self.roll_key.map(|key| format!("roll key     {key}")));
        lines.push(format!("HPKE key     {} (digest)", self.hpke.digest()));
        lines.push(format!("TLS key      {} (digest)", self.tls_spki_sha256));
        lines
    }
}

impl Facts for EntrantIdentity {
    fn lines(&self) -> Vec<String> {
        vec![
            "role         entrant".into(),
            format!("signing key  {}", self.signing_key),
            format!("entrant      {}", self.entrant),
        ]
    }
}
