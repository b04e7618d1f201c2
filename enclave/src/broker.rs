//! The guest's side of key release: challenge, evidence, lease; then deposit and end (PROVISIONING 6).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use ring::rand::SystemRandom;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tiltyard_attestation::Hex;
use tiltyard_attestation::binding::{HpkePublicKey, Side};
use tiltyard_provisioning::channel::{Service, StreamOpener};
use tiltyard_provisioning::charter::{Broker, BrokerOwner, OpenCharter};
use tiltyard_provisioning::dek::Dek;
use tiltyard_provisioning::hpke;
use tiltyard_provisioning::keyid::KeyId;
use tiltyard_provisioning::ledger::{Checkpoint, NoteKey, verify_inclusion};
use tiltyard_provisioning::order::Order;
use tiltyard_provisioning::record::AttestedGuest;
use tiltyard_provisioning::release::{
    ATTEST_PATH, ActReceipt, AttestAnswer, AttestRequest, CHALLENGE_PATH, ChallengeAnswer, ChallengeRequest,
    DEPOSIT_PATH, Deposit, END_PATH, End, KeyRelease, Lease, ledger_origin,
};
use tiltyard_provisioning::statement::{Signed, Statement};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::attester::{Attester, Devices};
use crate::channel::AttestedStream;
use crate::error::GuestError;

const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;
/// A broker takes an appraisal of the devices for 3,600 s (BND-10); the next renewal must not come later than that.
const DEVICES_SHOWN_FOR: Duration = Duration::from_secs(2400);

/// What one attestation gave.
pub(crate) struct Grant {
    /// The lease and the evidence it was granted on, for the referee and the auditor.
    pub(crate) guest: AttestedGuest,
    pub(crate) lease: Lease,
    pub(crate) seal_key: HpkePublicKey,
    /// The broker's time, Unix seconds: the only time a guest has.
    pub(crate) issued_at: u64,
    keys: BTreeMap<KeyId, Dek>,
}

/// What a referee shows beside its evidence: its log so far.
#[derive(Default)]
pub(crate) struct LogProof {
    pub(crate) checkpoint: Option<String>,
    pub(crate) consistency: Vec<Hex<32>>,
}

impl Grant {
    /// Takes a released key; it can be taken once.
    pub(crate) fn take(&mut self, key_id: &KeyId) -> Option<Dek> {
        self.keys.remove(key_id)
    }
}

/// One broker of the charter, reached through the host.
#[derive(Clone)]
pub(crate) struct BrokerClient {
    opener: StreamOpener,
    broker: Broker,
    /// Origin of the broker's ledger.
    ledger: String,
    /// When the broker was last content with evidence that held the devices' own reports.
    devices_shown: Arc<Mutex<Option<Instant>>>,
}

impl BrokerClient {
    pub(crate) fn new(
        opener: &StreamOpener,
        charter: &OpenCharter,
        owner: BrokerOwner,
    ) -> Result<Self, GuestError> {
        let broker = charter.brokers.iter().find(|broker| broker.owner == owner).ok_or_else(|| {
            GuestError::BootDocument { what: "charter", why: format!("names no broker of the {owner:?}") }
        })?;
        let ledger = ledger_origin(&charter.tenant, owner);
        Ok(Self { opener: opener.clone(), broker: broker.clone(), ledger, devices_shown: Arc::default() })
    }

    /// Both exchanges on one channel. The answer is believed only under the charter's key for this broker, and a
    /// key only if it opens under this boot's HPKE key.
    pub(crate) async fn attest(
        &self,
        attester: &Attester,
        key_ids: Vec<KeyId>,
        order: Option<&Signed<Order>>,
        log: LogProof,
    ) -> Result<Grant, GuestError> {
        let config = attester.config();
        let mut http = self.connect().await?;
        let request = ChallengeRequest {
            role: config.role,
            charter: config.charter,
            order: config.order,
            lease: config.lease,
        };
        let challenge: ChallengeAnswer = http.post(CHALLENGE_PATH, &request).await?;
        let channel = http.stream.exporter(&challenge.nonce, Side::Client)?;
        let (began, devices) = (Instant::now(), self.devices());
        let evidence =
            tokio::task::block_in_place(|| attester.evidence(challenge.nonce, Some(channel), devices))?;
        let request = AttestRequest {
            evidence: evidence.clone(),
            key_ids,
            order: order.cloned(),
            checkpoint: log.checkpoint,
            consistency: log.consistency,
        };
        let signed: Signed<AttestAnswer> = http.post(ATTEST_PATH, &request).await?;
        let answer = signed.verify(&self.broker.key).map_err(bad_answer)?.into_value();
        let lease = answer.lease.verify(&self.broker.key).map_err(bad_answer)?.into_value();
        if lease.lease != config.lease
            || lease.charter != config.charter
            || lease.role != config.role
            || lease.order != config.order
            || lease.keys != attester.keys().digests()
        {
            return Err(GuestError::BrokerAnswer("the lease is for another guest".into()));
        }
        self.check_receipt(&answer, &evidence.digest())?;
        let keys = open_keys(attester, &answer)?;
        if devices == Devices::InFull
            && let Ok(mut shown) = self.devices_shown.lock()
        {
            *shown = Some(began);
        }
        Ok(Grant {
            guest: AttestedGuest { lease: answer.lease, receipt: answer.receipt, evidence },
            lease,
            seal_key: answer.seal_key,
            issued_at: answer.issued_at,
            keys,
        })
    }

    /// The devices' own reports, unless this broker saw them not long ago.
    fn devices(&self) -> Devices {
        match self.devices_shown.lock().ok().and_then(|shown| *shown) {
            Some(shown) if shown.elapsed() < DEVICES_SHOWN_FOR => Devices::AsBooted,
            _ => Devices::InFull,
        }
    }

    /// The release must stand in the broker's ledger, under its signed checkpoint.
    fn check_receipt(&self, answer: &AttestAnswer, evidence: &Hex<32>) -> Result<(), GuestError> {
        let receipt = &answer.receipt;
        let key = NoteKey { name: self.ledger.clone(), public: self.broker.key };
        let checkpoint = Checkpoint::open(&receipt.checkpoint, &key)
            .and_then(|checkpoint| checkpoint.for_origin(&self.ledger))
            .map_err(bad_answer)?;
        verify_inclusion(
            &receipt.leaf.0,
            receipt.index,
            checkpoint.size,
            &receipt.inclusion,
            &checkpoint.root,
        )
        .map_err(bad_answer)?;
        let leaf: KeyRelease = serde_json::from_slice(&receipt.leaf.0).map_err(bad_answer)?;
        if leaf.evidence_sha256 != *evidence {
            return Err(GuestError::BrokerAnswer("the receipt is for other evidence".into()));
        }
        Ok(())
    }

    /// Hands a key that this guest made to the broker, sealed to it and signed by the attested key.
    pub(crate) async fn deposit(
        &self,
        attester: &Attester,
        seal_key: &HpkePublicKey,
        key_id: KeyId,
        secret: &Zeroizing<Vec<u8>>,
    ) -> Result<(), GuestError> {
        let config = attester.config();
        let (enc, ct) = hpke::seal_to(
            seal_key,
            &hpke::deposit_info(&config.charter),
            &hpke::deposit_aad(&config.lease, &key_id, &config.charter, config.order.as_ref()),
            secret,
            &SystemRandom::new(),
        )
        .map_err(|_| GuestError::Crypto("sealing a deposit"))?;
        let deposit = Deposit { lease: config.lease, key_id, enc: enc.into(), ct: ct.into() };
        let signed = Signed::sign(&deposit, attester.signing());
        self.act(DEPOSIT_PATH, &signed).await
    }

    /// Ends a lease: this guest's own or, as the referee, that of a guest that was lost.
    pub(crate) async fn end(&self, attester: &Attester, end: End) -> Result<(), GuestError> {
        self.act(END_PATH, &Signed::sign(&end, attester.signing())).await
    }

    /// Sends a signed act; the broker's signed word says that it has become durable.
    async fn act<T: Statement>(&self, path: &str, act: &Signed<T>) -> Result<(), GuestError> {
        let receipt: Signed<ActReceipt> = self.connect().await?.post(path, act).await?;
        let receipt = receipt.verify(&self.broker.key).map_err(bad_answer)?;
        if receipt.request != act.digest() {
            return Err(GuestError::BrokerAnswer("the receipt is for another request".into()));
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Http, GuestError> {
        let raw = self.opener.open(Service::Broker(self.broker.owner)).await.map_err(channel_error)?;
        let stream = AttestedStream::connect(raw, self.broker.tls_spki_sha256).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream.clone()))
            .await
            .map_err(channel_error)?;
        tokio::spawn(connection);
        Ok(Http { sender, stream, host: self.broker.address.clone() })
    }
}

struct Http {
    sender: SendRequest<Full<Bytes>>,
    stream: AttestedStream,
    host: String,
}

impl Http {
    async fn post<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &Q,
    ) -> Result<A, GuestError> {
        let body = serde_json::to_vec(body).map_err(channel_error)?;
        let request = hyper::Request::post(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(channel_error)?;
        let response = self.sender.send_request(request).await.map_err(channel_error)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES)
            .collect()
            .await
            .map_err(|error| GuestError::Channel(error.to_string()))?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| GuestError::BrokerAnswer(error.to_string()));
        }
        Err(refusal(&body))
    }
}

/// A problem document's `code`; anything else becomes one fixed word, since the host will read it.
fn refusal(body: &[u8]) -> GuestError {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let code = problem["code"]
        .as_str()
        .filter(|code| code.len() <= 64 && code.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'))
        .unwrap_or("E_BROKER");
    GuestError::Refused { code: code.to_owned(), remembered: problem["remembered"]["size"].as_u64() }
}

fn open_keys(attester: &Attester, answer: &AttestAnswer) -> Result<BTreeMap<KeyId, Dek>, GuestError> {
    let config = attester.config();
    let info = hpke::release_info(&config.charter);
    let mut keys = BTreeMap::new();
    for key in &answer.keys {
        let aad = hpke::release_aad(
            &config.lease,
            &key.key_id,
            key.version,
            &config.charter,
            config.order.as_ref(),
        );
        let plain = attester
            .hpke()
            .open(&key.enc.0, &key.ct.0, &info, &aad)
            .map_err(|_| GuestError::refused("E_RELEASE_OPEN"))?;
        let dek = Dek::from_bytes(plain).map_err(bad_answer)?;
        keys.insert(key.key_id.clone(), dek);
    }
    Ok(keys)
}

fn bad_answer(error: impl std::fmt::Display) -> GuestError {
    GuestError::BrokerAnswer(error.to_string())
}

fn channel_error(error: impl std::fmt::Display) -> GuestError {
    GuestError::Channel(error.to_string())
}
