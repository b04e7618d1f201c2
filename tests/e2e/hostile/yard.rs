//! The owner's broker, serving a copy of the owner's home: each case has a ledger of its own.

use std::os::fd::AsRawFd;
use std::path::Path;

use tempfile::TempDir;
use tiltyard_attestation::Hex;
use tiltyard_broker::{Core, Home, Passphrase, PassphraseSource, Setup};
use tiltyard_provisioning::charter::BrokerOwner;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::ledger::{Checkpoint, NoteKey};
use tiltyard_provisioning::release::{
    ATTEST_PATH, ActReceipt, AttestAnswer, AttestRequest, CHALLENGE_PATH, ChallengeAnswer, DEPOSIT_PATH,
    Deposit, END_PATH, End, KeyRelease, ledger_origin,
};
use tiltyard_provisioning::statement::Signed;
use tiltyard_simulator::mint::Draft;

use crate::guest::Guest;
use crate::parties::{DATASETS, TENANT, parties, write};
use crate::program::{self, Finished, PASSPHRASE, ServeFiles, Serving};
use crate::wire::{Line, Problem};

/// A broker under attack.
pub(crate) struct Yard {
    serving: Serving,
    dir: TempDir,
}

impl Yard {
    /// Starts the owner's broker under the charter that both parties signed.
    pub(crate) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        parties().copy_homes(dir.path());
        let serving = serve(dir.path(), &parties().envelope).unwrap_or_else(|said| panic!("{said:?}"));
        Self { serving, dir }
    }

    pub(crate) fn line(&self) -> Line {
        Line::connect(self.serving.address, parties().owner.tls_spki_sha256)
    }

    /// Entries of the ledger, by its signed checkpoint.
    pub(crate) fn ledger(&self) -> u64 {
        match self.line().get("/tiltyard/v1/ledger/checkpoint") {
            Ok(note) => ledger_size(&String::from_utf8(note).unwrap()),
            Err(problem) => {
                assert_eq!(&*problem.code, "ResourceNotFound");
                0
            }
        }
    }

    /// Both exchanges of an honest guest.
    pub(crate) fn attest(&self, guest: &Guest, key_ids: &[KeyId]) -> Result<AttestAnswer, Problem> {
        self.attest_edited(guest, key_ids, |_| {})
    }

    /// Both exchanges, over evidence that was changed before it was signed.
    pub(crate) fn attest_edited(
        &self,
        guest: &Guest,
        key_ids: &[KeyId],
        edit: impl FnOnce(&mut Draft),
    ) -> Result<AttestAnswer, Problem> {
        let mut line = self.line();
        let nonce = challenge(&mut line, guest)?;
        let request = request(guest, &line, nonce, key_ids, edit);
        attest(&mut line, &request)
    }

    /// The newest result token of a guest's lease, as the broker's own command prints it.
    pub(crate) fn token(&self, guest: &Guest) -> String {
        let printed = self.try_token(guest);
        assert_eq!(printed.exit, Some(0), "{}", printed.stderr);
        printed.stdout["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn try_token(&self, guest: &Guest) -> Finished {
        let lease = guest.challenge().lease.to_string();
        program::look(&self.dir.path().join("owner"), &["token", "--lease", &lease])
    }

    /// A referee that holds a lease.
    pub(crate) fn referee(&self) -> Guest {
        let referee = Guest::referee();
        self.attest(&referee, &[]).unwrap();
        referee
    }

    pub(crate) fn deposit(&self, deposit: &Signed<Deposit>) -> Result<Signed<ActReceipt>, Problem> {
        self.line().post(DEPOSIT_PATH, deposit)
    }

    /// Ends a guest's lease by its own key.
    pub(crate) fn end(&self, guest: &Guest) {
        let receipt = self.send_end(&guest.end()).unwrap();
        assert_eq!(receipt.verify(&parties().owner.broker_key).unwrap().request, guest.end().digest());
    }

    pub(crate) fn send_end(&self, end: &Signed<End>) -> Result<Signed<ActReceipt>, Problem> {
        self.line().post(END_PATH, end)
    }

    /// Runs one attack: it must get exactly this code, and the ledger must not grow.
    pub(crate) fn refuses<T>(&self, code: &str, attack: impl FnOnce() -> Result<T, Problem>) -> Problem {
        let before = self.ledger();
        let Err(problem) = attack() else { panic!("expected {code}, the attack succeeded") };
        assert_eq!(&*problem.code, code, "{problem:?}");
        assert_eq!(self.ledger(), before, "the ledger grew by a refused request");
        problem
    }
}

/// First exchange: the nonce for this guest.
pub(crate) fn challenge(line: &mut Line, guest: &Guest) -> Result<Hex<32>, Problem> {
    line.post(CHALLENGE_PATH, &guest.challenge()).map(|answer: ChallengeAnswer| answer.nonce)
}

/// An honest request, but for `edit`.
pub(crate) fn request(
    guest: &Guest,
    line: &Line,
    nonce: Hex<32>,
    key_ids: &[KeyId],
    edit: impl FnOnce(&mut Draft),
) -> AttestRequest {
    AttestRequest {
        evidence: guest.evidence(nonce, Some(line.exporter(&nonce)), edit),
        key_ids: key_ids.to_vec(),
        order: guest.order.clone(),
        checkpoint: None,
        consistency: Vec::new(),
    }
}

/// Second exchange. A granted answer is the broker's own word, and its receipt names this very evidence.
pub(crate) fn attest(line: &mut Line, request: &AttestRequest) -> Result<AttestAnswer, Problem> {
    let signed: Signed<AttestAnswer> = line.post(ATTEST_PATH, request)?;
    let answer = signed.verify(&parties().owner.broker_key).unwrap().into_value();
    let leaf: KeyRelease = serde_json::from_slice(&answer.receipt.leaf.0).unwrap();
    assert_eq!(leaf.evidence_sha256, request.evidence.digest());
    Ok(answer)
}

/// The size in a note of the owner's ledger.
pub(crate) fn ledger_size(note: &str) -> u64 {
    let key = NoteKey { name: ledger_origin(TENANT, BrokerOwner::Owner), public: parties().owner.broker_key };
    Checkpoint::open(note, &key).unwrap().size
}

/// Starts the owner's broker from the homes in `dir` under some charter.
pub(crate) fn serve(dir: &Path, envelope: &[u8]) -> Result<Serving, Finished> {
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        write(&path, bytes);
        path
    };
    Serving::start(&ServeFiles {
        home: dir.join("owner"),
        charter: file("charter.dsse.json", envelope),
        anchors: file("anchors.json", &parties().machine.anchors().to_bytes()),
        collateral: file("collateral.json", &serde_json::to_vec(&parties().collateral).unwrap()),
    })
}

/// The owner's protocol core in this process, at a time of the test's choice.
pub(crate) fn core(dir: &Path, now: u64) -> Core {
    parties().copy_homes(dir);
    let path = dir.join("passphrase");
    write(&path, PASSPHRASE.as_bytes());
    let file = std::fs::File::open(path).unwrap();
    let descriptor = u32::try_from(file.as_raw_fd()).unwrap();
    let passphrase = Passphrase::read(PassphraseSource::Descriptor(descriptor)).unwrap();
    let setup = Setup {
        charter: parties().envelope.clone(),
        anchors: Some(parties().machine.anchors()),
        collateral: parties().collateral.clone(),
    };
    Core::open(Home::open(&dir.join("owner")).unwrap(), &passphrase, setup, now).unwrap()
}

/// The key of one split of the first dataset.
pub(crate) fn key_of(split: Split) -> KeyId {
    KeyId::Dataset { id: DATASETS[0].into(), split }
}
