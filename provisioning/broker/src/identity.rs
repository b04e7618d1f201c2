//! A home: the folder that holds one party's key file and store, and the keys of the party itself.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::PublicKeyData as _;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{HpkePublicKey, KEM_XWING};
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::dek::{Kek, WrapAad, WrapKind};
use tiltyard_provisioning::hpke::HpkeSecret;
use tiltyard_provisioning::keyfile::{self, Cost, KEY_FILE_BYTES};
use zeroize::Zeroizing;

use crate::file::{make_folder, open_regular, read_opened};
use crate::store::{self, Store};
use crate::{BrokerError, Passphrase, write_private};

/// What a broker tells the world: goes into charters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicIdentity {
    pub role: BrokerOwner,
    /// Ed25519: signs charters and manifests.
    pub signing_key: Hex<32>,
    /// Ed25519: signs the broker's answers and ledger.
    pub broker_key: Hex<32>,
    /// Ed25519: signs the operator's roll; none for an owner.
    pub roll_key: Option<Hex<32>>,
    /// What is sealed to this party: deposits, escrow, results.
    pub hpke: HpkePublicKey,
    /// SHA-256 of the TLS certificate's SubjectPublicKeyInfo.
    pub tls_spki_sha256: Hex<32>,
}

/// What an entrant tells the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntrantIdentity {
    /// Ed25519: signs submissions.
    pub signing_key: Hex<32>,
    /// SHA-256 of `signing_key`.
    pub entrant: Hex<32>,
}

/// Whose home it is, with what may be shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Identity {
    Broker(PublicIdentity),
    Entrant(EntrantIdentity),
}

/// A home whose keys are still wrapped.
pub struct Home {
    dir: PathBuf,
    store: Store,
    identity: Identity,
}

/// A home whose key encryption key is open. No Debug, no Clone.
pub(crate) struct Unlocked {
    pub store: Store,
    pub identity: Identity,
    pub kek: Kek,
}

/// The TLS key and certificate of a broker.
pub(crate) struct TlsIdentity {
    /// PKCS#8.
    pub key: Zeroizing<Vec<u8>>,
    /// DER.
    pub certificate: Vec<u8>,
}

/// The private keys of a home, by the name they are wrapped under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    Signing,
    Answer,
    Roll,
    Hpke,
    Tls,
}

const KEY_FILE: &str = "kek";
const STORE_FILE: &str = "store.sqlite";
const IDENTITY: &str = "identity";
const CERTIFICATE: &str = "tls_certificate";
/// Name in the broker's certificate. Peers pin the key; the name plays no part.
const CERTIFICATE_NAME: &str = "broker.tiltyard";

impl Secret {
    fn name(self) -> &'static str {
        match self {
            Self::Signing => "secret/signing",
            Self::Answer => "secret/answer",
            Self::Roll => "secret/roll",
            Self::Hpke => "secret/hpke",
            Self::Tls => "secret/tls",
        }
    }
}

impl Home {
    /// Makes the home of an owner's or operator's broker in `dir`, which may exist but holds no home yet.
    pub fn create_broker(
        dir: &Path,
        role: BrokerOwner,
        passphrase: &Passphrase,
        cost: Cost,
    ) -> Result<Self, BrokerError> {
        Self::create(dir, passphrase, cost, |maker| maker.broker(role).map(Identity::Broker))
    }

    /// Makes the home of an entrant.
    pub fn create_entrant(dir: &Path, passphrase: &Passphrase, cost: Cost) -> Result<Self, BrokerError> {
        Self::create(dir, passphrase, cost, |maker| {
            let signing_key = maker.ed25519(Secret::Signing)?;
            let entrant = Hex::sha256(signing_key.bytes());
            Ok(Identity::Entrant(EntrantIdentity { signing_key, entrant }))
        })
    }

    fn create(
        dir: &Path,
        passphrase: &Passphrase,
        cost: Cost,
        make: impl FnOnce(&Maker<'_>) -> Result<Identity, BrokerError>,
    ) -> Result<Self, BrokerError> {
        make_folder(dir)?;
        let (key_file, store_file) = (dir.join(KEY_FILE), dir.join(STORE_FILE));
        for path in [&key_file, &store_file] {
            if path.exists() {
                return Err(BrokerError::Exists { path: path.clone() });
            }
        }
        let rng = SystemRandom::new();
        let kek = Kek::generate(&rng).map_err(|_| BrokerError::Internal { what: "the random source" })?;
        let sealed = keyfile::create(passphrase.bytes(), &kek, cost, &rng).map_err(BrokerError::coded)?;
        // Made by hand, so that it has mode 0600 from its first moment; SQLite gives its side files the same.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&store_file)
            .map_err(|source| BrokerError::io("create", &store_file, source))?;
        let mut store = Store::create(&store_file)?;
        let identity = store.write(|connection| {
            let identity = make(&Maker { connection, kek: &kek, rng: &rng })?;
            // Strings and integers only, which always serialise.
            let document = serde_json::to_vec(&identity).unwrap_or_default();
            store::set_fact(connection, IDENTITY, &document)?;
            Ok::<_, BrokerError>(identity)
        })?;
        // Last: a home is whole once its key file exists.
        write_private(&key_file, &sealed)?;
        Ok(Self { dir: dir.into(), store, identity })
    }

    /// Opens the home in `dir`; its keys stay wrapped.
    pub fn open(dir: &Path) -> Result<Self, BrokerError> {
        let (key_file, store_file) = (dir.join(KEY_FILE), dir.join(STORE_FILE));
        for file in [&key_file, &store_file] {
            if !file.try_exists().map_err(|source| BrokerError::io("read", file, source))? {
                return Err(BrokerError::NoHome { path: dir.into() });
            }
        }
        let store = Store::open(&store_file)
            .map_err(|source| BrokerError::StoreClosed { path: store_file.clone(), source })?;
        let document = store::fact(store.read(), IDENTITY)?.unwrap_or_default();
        let identity = serde_json::from_slice(&document)
            .map_err(|_| crate::StoreError::Damaged { what: "the identity" })?;
        Ok(Self { dir: dir.into(), store, identity })
    }

    /// The files that make it a home.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [KEY_FILE, STORE_FILE].map(|name| self.dir.join(name))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Opens the key encryption key. The key file must be readable by its owner alone.
    pub(crate) fn unlock(self, passphrase: &Passphrase) -> Result<Unlocked, BrokerError> {
        let path = self.dir.join(KEY_FILE);
        // A secret that an orchestrator mounts is a link to a file, whose mode counts; a pipe would wait for ever.
        let file = open_regular(&path)?;
        let metadata = file.metadata().map_err(|source| BrokerError::io("read", &path, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(BrokerError::Mode { path, got: mode });
        }
        let bytes = read_opened(file, &path, KEY_FILE_BYTES as u64)?;
        let kek = keyfile::open(&bytes, passphrase.bytes()).map_err(BrokerError::coded)?;
        Ok(Unlocked { store: self.store, identity: self.identity, kek })
    }

    /// Takes the right to serve from this home; it is given back when the file closes.
    pub(crate) fn lock_for_serving(&self) -> Result<File, BrokerError> {
        let path = self.dir.join("serve.lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| BrokerError::io("create", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(BrokerError::Busy { path: self.dir.clone() }),
            Err(fs::TryLockError::Error(source)) => Err(BrokerError::io("lock", &path, source)),
        }
    }
}

impl Unlocked {
    /// The identity of a broker; an entrant has none.
    pub(crate) fn broker(&self, act: &'static str) -> Result<&PublicIdentity, BrokerError> {
        match &self.identity {
            Identity::Broker(identity) => Ok(identity),
            Identity::Entrant(_) => {
                Err(BrokerError::WrongRole { act, expected: "owner or operator", got: "entrant" })
            }
        }
    }

    /// The identity of the operator's broker.
    pub(crate) fn operator(&self, act: &'static str) -> Result<&PublicIdentity, BrokerError> {
        match self.broker(act)? {
            identity @ PublicIdentity { role: BrokerOwner::Operator, .. } => Ok(identity),
            PublicIdentity { role: BrokerOwner::Owner, .. } => {
                Err(BrokerError::WrongRole { act, expected: "operator", got: "owner" })
            }
        }
    }

    /// The identity of an entrant.
    pub(crate) fn entrant(&self, act: &'static str) -> Result<&EntrantIdentity, BrokerError> {
        match &self.identity {
            Identity::Entrant(identity) => Ok(identity),
            Identity::Broker(_) => {
                Err(BrokerError::WrongRole { act, expected: "entrant", got: "owner or operator" })
            }
        }
    }

    /// One of the home's Ed25519 keys.
    pub(crate) fn ed25519(&self, secret: Secret) -> Result<Ed25519KeyPair, BrokerError> {
        let seed = self.secret(secret)?;
        Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| damaged())
    }

    /// The key that deposits and escrows are sealed to.
    pub(crate) fn hpke(&self) -> Result<HpkeSecret, BrokerError> {
        let bytes = self.secret(Secret::Hpke)?;
        let mut seed = Zeroizing::new([0; 32]);
        if bytes.len() != seed.len() {
            return Err(damaged());
        }
        seed.copy_from_slice(&bytes);
        HpkeSecret::from_seed(KEM_XWING, seed).map_err(|_| damaged())
    }

    /// The broker's TLS key and certificate.
    pub(crate) fn tls(&self) -> Result<TlsIdentity, BrokerError> {
        let certificate = store::fact(self.store.read(), CERTIFICATE)?.ok_or_else(damaged)?;
        Ok(TlsIdentity { key: self.secret(Secret::Tls)?, certificate })
    }

    fn secret(&self, secret: Secret) -> Result<Zeroizing<Vec<u8>>, BrokerError> {
        let wrapped = store::secret(self.store.read(), secret.name())?.ok_or_else(damaged)?;
        self.kek.unwrap(&wrapped, &own_aad(&self.kek, secret)).map_err(BrokerError::coded)
    }
}

/// Makes a home's own keys inside its first transaction.
struct Maker<'a> {
    connection: &'a rusqlite::Connection,
    kek: &'a Kek,
    rng: &'a dyn SecureRandom,
}

impl Maker<'_> {
    fn broker(&self, role: BrokerOwner) -> Result<PublicIdentity, BrokerError> {
        let roll_key = match role {
            BrokerOwner::Operator => Some(self.ed25519(Secret::Roll)?),
            BrokerOwner::Owner => None,
        };
        let hpke = HpkeSecret::generate(KEM_XWING, self.rng).map_err(|_| no_key("HPKE key generation"))?;
        self.keep(Secret::Hpke, &hpke.seed()[..])?;
        Ok(PublicIdentity {
            role,
            signing_key: self.ed25519(Secret::Signing)?,
            broker_key: self.ed25519(Secret::Answer)?,
            roll_key,
            hpke: hpke.public(),
            tls_spki_sha256: self.tls()?,
        })
    }

    fn ed25519(&self, secret: Secret) -> Result<Hex<32>, BrokerError> {
        let mut seed = Zeroizing::new([0; 32]);
        self.rng.fill(&mut seed[..]).map_err(|_| no_key("the random source"))?;
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&seed[..]).map_err(|_| no_key("Ed25519 key generation"))?;
        self.keep(secret, &seed[..])?;
        Hex::from_slice(pair.public_key().as_ref()).ok_or_else(|| no_key("Ed25519 key generation"))
    }

    fn tls(&self) -> Result<Hex<32>, BrokerError> {
        let failed = |_| no_key("TLS key generation");
        let key = rcgen::KeyPair::generate().map_err(failed)?;
        let certificate = rcgen::CertificateParams::new(vec![CERTIFICATE_NAME.to_owned()])
            .and_then(|params| params.self_signed(&key))
            .map_err(failed)?;
        self.keep(Secret::Tls, &Zeroizing::new(key.serialize_der()))?;
        store::set_fact(self.connection, CERTIFICATE, certificate.der())?;
        Ok(Hex::sha256(&key.subject_public_key_info()))
    }

    fn keep(&self, secret: Secret, bytes: &[u8]) -> Result<(), BrokerError> {
        let wrapped = self
            .kek
            .wrap(bytes, &own_aad(self.kek, secret), self.rng)
            .map_err(|_| no_key("wrapping a key"))?;
        Ok(store::add_secret(self.connection, secret.name(), &wrapped)?)
    }
}

fn own_aad(kek: &Kek, secret: Secret) -> WrapAad {
    WrapAad { key_id: secret.name().into(), kek_id: kek.id(), version: 1, kind: WrapKind::Identity }
}

fn no_key(what: &'static str) -> BrokerError {
    BrokerError::Internal { what }
}

fn damaged() -> BrokerError {
    crate::StoreError::Damaged { what: "a key of this home" }.into()
}

#[cfg(test)]
impl Unlocked {
    /// A broker's home without a key file: the passphrase's derivation is slow on purpose.
    pub(crate) fn for_tests(dir: &Path, role: BrokerOwner) -> Self {
        let rng = SystemRandom::new();
        let kek = Kek::generate(&rng).unwrap();
        let mut store = Store::create(&dir.join(STORE_FILE)).unwrap();
        let identity =
            store.write(|connection| Maker { connection, kek: &kek, rng: &rng }.broker(role)).unwrap();
        Self { store, identity: Identity::Broker(identity), kek }
    }
}
