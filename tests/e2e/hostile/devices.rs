//! A broker before guests with GPUs: who holds a device, and how long renewals rest on its appraisal.

use std::path::Path;
use std::sync::OnceLock;

use ring::signature::Ed25519KeyPair;
use tempfile::TempDir;
use tiltyard_attestation::binding::Runtime;
use tiltyard_attestation::{Backend, DEVICES_LIFETIME_S, Hex, Role};
use tiltyard_broker::{Channel, Core, Denial, Home, Passphrase, PassphraseSource, Setup};
use tiltyard_provisioning::charter::Charter;
use tiltyard_provisioning::order::{Order, RefereeKeys, Work};
use tiltyard_provisioning::release::{AttestRequest, ChallengeRequest, End};
use tiltyard_provisioning::statement::Signed;
use tiltyard_simulator::hostile::composite::{Board, Cpu, Draft, Lab};
use tiltyard_simulator::nvidia::sets::NOW;

use crate::guest::{ed25519, public_of, random};
use crate::parties::{DATASETS, TOURNAMENT, parties, signed_by_both, write};
use crate::program::PASSPHRASE;

/// Renewals come well within a lease.
const STEP_S: u64 = 300;

pub(crate) fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Lab::from_seed(&[0x5a; 32], Some(cache), NOW).unwrap()
    })
}

/// A charter over a guest like `sample`, that outlasts the appraisal of its devices.
pub(crate) fn charter_over(sample: &mut Draft) -> Charter {
    let gpu_floor = sample.floor().clone();
    let expected = sample.cpu.expected();
    Charter {
        not_before: NOW - 60,
        not_after: NOW + 4 * DEVICES_LIFETIME_S,
        backends: vec![Backend::Snp, Backend::Tdx],
        reference_values: expected.reference.clone(),
        tee_floor: expected.tee.clone(),
        gpu_floor,
        ..parties().charter.clone()
    }
}

/// The owner's broker under a charter that gives trainers and evaluators one H100.
struct Yard {
    core: Core,
    p: Hex<32>,
    referee: Guest,
    _dir: TempDir,
}

/// One boot of one guest on the one machine, whose GPU the host hands to whom it likes.
struct Guest {
    role: Role,
    lease: Hex<16>,
    order: Option<Signed<Order>>,
    signing: Ed25519KeyPair,
}

impl Yard {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        parties().copy_homes(dir.path());
        let mut sample = lab().draft(Cpu::Turin, Board::OneH100).unwrap();
        let collateral = lab().issue(&sample).unwrap().collateral;
        let envelope = signed_by_both(dir.path(), &charter_over(&mut sample));

        let path = dir.path().join("passphrase");
        write(&path, PASSPHRASE.as_bytes());
        let file = std::fs::File::open(path).unwrap();
        let descriptor = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
        let passphrase = Passphrase::read(PassphraseSource::Descriptor(descriptor)).unwrap();
        let setup = Setup { charter: envelope, anchors: Some(lab().anchors().clone()), collateral };
        let home = Home::open(&dir.path().join("owner")).unwrap();
        let core = Core::open(home, &passphrase, setup, NOW).unwrap();
        let (p, referee) = (core.charter().p(), Guest::new(Role::Referee, None));
        let yard = Self { core, p, referee, _dir: dir };
        yard.attest(&yard.referee, NOW, |_| {}).unwrap();
        yard
    }

    /// A guest that the referee ordered.
    fn trainer(&self, task: &str) -> Guest {
        let mut sample = lab().draft(Cpu::Turin, Board::Bare).unwrap();
        let keys = &sample.cpu.expected().guest.keys;
        let order = Order {
            v: 1,
            charter: self.p,
            tournament: TOURNAMENT.into(),
            task: task.into(),
            work: Work::Train { submission: Hex(random()) },
            attempt: 1,
            dataset_id: DATASETS[0].into(),
            seed: Hex([5; 32]),
            referee: RefereeKeys {
                lease: self.referee.lease,
                signing: public_of(&self.referee.signing),
                hpke: keys.hpke.clone(),
            },
            issued_at: NOW,
        };
        Guest::new(Role::Trainer, Some(Signed::sign(&order, &self.referee.signing)))
    }

    /// Both exchanges at `now`, over evidence that `edit` changed before it was signed.
    fn attest(&self, guest: &Guest, now: u64, edit: impl FnOnce(&mut Draft)) -> Result<(), Denial> {
        let order = guest.order.as_ref().map(Signed::digest);
        let ask = ChallengeRequest { role: guest.role, charter: self.p, order, lease: guest.lease };
        let nonce = self.core.challenge(&ask, now).unwrap().nonce;
        let board = if guest.role == Role::Referee { Board::Bare } else { Board::OneH100 };
        let mut draft = lab().draft(Cpu::Turin, board).unwrap();
        draft.cpu.expected().guest.keys.signing = public_of(&guest.signing);
        draft.launch(|config| {
            (config.role, config.charter, config.order, config.lease) =
                (guest.role, self.p, order, guest.lease);
        });
        draft.cpu.runtime().nonce = nonce;
        let asked = Runtime::device_nonce(&nonce, &draft.cpu.expected().guest.tee_pubkey);
        draft.devices.set_nonce(asked.0);
        edit(&mut draft);
        let request = AttestRequest {
            evidence: lab().issue(&draft).unwrap().evidence,
            key_ids: Vec::new(),
            order: guest.order.clone(),
            checkpoint: None,
            consistency: Vec::new(),
        };
        self.core.attest(&request, Channel::InProcess, now).map(|_| ())
    }

    /// Evidence of the CPU alone.
    fn renew(&self, guest: &Guest, now: u64) -> Result<(), Denial> {
        self.attest(guest, now, |draft| draft.renew(None))
    }
}

impl Guest {
    fn new(role: Role, order: Option<Signed<Order>>) -> Self {
        Self { role, lease: Hex(random()), order, signing: ed25519() }
    }
}

fn reason(outcome: Result<(), Denial>) -> Option<&'static str> {
    outcome.err().and_then(|denial| denial.reason)
}

#[test]
fn one_gpu_is_given_to_one_guest_at_a_time() {
    let yard = Yard::open();
    let (first, second) = (yard.trainer("t1"), yard.trainer("t2"));
    yard.attest(&first, NOW, |_| {}).unwrap();
    assert_eq!(reason(yard.attest(&second, NOW + 1, |_| {})), Some("DuplicateDevice"));
    yard.core.end(&Signed::sign(&End::Lease(first.lease), &first.signing), NOW + 2).unwrap();
    yard.attest(&second, NOW + 3, |_| {}).unwrap();
}

#[test]
fn renewals_rest_on_the_devices_for_an_hour_and_no_longer() {
    let yard = Yard::open();
    let trainer = yard.trainer("t1");
    // There is nothing to rest on before the first.
    assert_eq!(reason(yard.renew(&trainer, NOW)), Some("TopologyMismatch"));
    yard.attest(&trainer, NOW, |_| {}).unwrap();
    let mut now = NOW;
    while now + STEP_S <= NOW + DEVICES_LIFETIME_S {
        now += STEP_S;
        yard.renew(&trainer, now).unwrap();
    }
    assert_eq!(now, NOW + DEVICES_LIFETIME_S, "the last second of the hour");
    assert_eq!(reason(yard.renew(&trainer, now + 1)), Some("GpuEvidenceStale"));
    yard.attest(&trainer, now + 1, |_| {}).unwrap();
    yard.renew(&trainer, now + STEP_S).unwrap();
}

#[test]
fn a_renewal_of_another_boot_has_no_devices_to_rest_on() {
    let yard = Yard::open();
    let trainer = yard.trainer("t1");
    yard.attest(&trainer, NOW, |_| {}).unwrap();
    let other_boot = yard.attest(&trainer, NOW + STEP_S, |draft| {
        draft.renew(None);
        draft.devices.boot.random = Hex([9; 32]);
    });
    assert_eq!(reason(other_boot), Some("GpuEvidenceStale"));
}
