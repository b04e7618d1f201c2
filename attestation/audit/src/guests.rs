//! Guests: each one's lease, receipt and evidence, appraised again as of the time of its release.

use std::collections::BTreeMap;

use tiltyard_attestation::checks::CheckOutcome;
use tiltyard_attestation::collateral::Source;
use tiltyard_attestation::policy::Level;
use tiltyard_attestation::result::{Anchors, CpuFacts};
use tiltyard_attestation::{
    AttestationResult, Backend, Challenge, CheckId, Collateral, Hex, Role, TrustAnchors, Verdict, Verifier,
};
use tiltyard_provisioning::charter::{BrokerOwner, OpenCharter};
use tiltyard_provisioning::ledger::{Checkpoint, NoteKey, verify_inclusion};
use tiltyard_provisioning::order::Order;
use tiltyard_provisioning::record::AttestedGuest;
use tiltyard_provisioning::release::{KeyRelease, Lease, ledger_origin};
use tiltyard_provisioning::stage;
use tiltyard_provisioning::statement::Signed;

use crate::claim::{Claims, Compared};
use crate::date::utc;
use crate::documents::{Documents, read};
use crate::verify::Pins;

/// A guest whose lease, receipt and evidence all held.
pub(crate) struct ShownGuest {
    pub(crate) lease: Lease,
    pub(crate) release: KeyRelease,
    /// Where the release stands in the owner's ledger.
    pub(crate) index: u64,
    pub(crate) signing: Hex<32>,
    pub(crate) anchors: Anchors,
    pub(crate) backend: Backend,
    pub(crate) image: Hex<32>,
    pub(crate) cpu: CpuFacts,
    pub(crate) checks: usize,
    /// Checks that the level let through with a warning, and those that had nothing to compare with.
    pub(crate) open: Vec<CheckOutcome>,
}

/// Title of CHT-4 for guests, orders, log and record alike.
pub(crate) const IN_FORCE: &str = "it happened while the charter was in force";

/// By lease id.
pub(crate) type ShownGuests = BTreeMap<String, ShownGuest>;

/// What all guests of one bundle are held against.
struct Terms<'a> {
    charter: &'a OpenCharter,
    broker: Hex<32>,
    origin: String,
    verifier: Verifier,
    documents: &'a Documents,
    collateral: &'a [Collateral],
}

/// What can't be shown without collateral; without any, nothing of it is contradicted either.
const NEED_COLLATERAL: &[CheckId] = &[
    CheckId::Snp08,
    CheckId::Tdx06,
    CheckId::Tdx07,
    CheckId::Tdx08,
    CheckId::Tdx09,
    CheckId::Tdx10,
    CheckId::Gpu08,
    CheckId::Gpu09,
    CheckId::Gpu10,
    CheckId::Gpu12,
    CheckId::Col03,
];

/// Appraises every guest of the bundle again.
pub(crate) fn check(
    documents: &Documents,
    charter: &OpenCharter,
    anchors: &TrustAnchors,
    pins: &Pins,
    claims: &mut Claims,
) -> ShownGuests {
    let mut shown = ShownGuests::new();
    let Some(broker) = charter.brokers.iter().find(|broker| broker.owner == BrokerOwner::Owner) else {
        claims.fail("RCP-1", "charter", "the charter names the owner's broker", "one", "none");
        return shown;
    };
    let terms = Terms {
        charter,
        broker: broker.key,
        origin: ledger_origin(&charter.tenant, BrokerOwner::Owner),
        verifier: Verifier::new(anchors.clone(), charter.policy().clone(), charter.reference_values.clone()),
        documents,
        collateral: &pins.collateral,
    };
    for (name, guest) in &documents.guests {
        if let Some(guest) = terms.check(name, guest, pins.at, claims) {
            shown.insert(name.clone(), guest);
        }
    }
    nonces(documents, claims);
    ledger(documents, &terms, claims);
    waived(charter.level, &shown, claims);
    shown
}

impl Terms<'_> {
    fn check(
        &self,
        name: &str,
        guest: &AttestedGuest,
        at: Option<u64>,
        claims: &mut Claims,
    ) -> Option<ShownGuest> {
        let title = "its lease is signed by the owner's broker";
        let lease =
            claims.check("LSE-1", name, title, "Ed25519", guest.lease.verify(&self.broker))?.into_value();
        let charter = self.charter;
        let (issued, until) = (lease.issued_at, lease.not_after);
        let compared = Compared::default()
            .field("charter", charter.p(), lease.charter)
            .field("lease", name.to_owned(), lease.lease.to_string())
            .field(
                "length within limits.lease_s",
                true,
                until.saturating_sub(issued) <= charter.limits.lease_s,
            )
            .field("ends within the charter", true, until <= charter.not_after);
        claims.without("LSE-2", name, "its lease is this charter's, for this guest", lease.lease, compared.0);
        let release = self.receipt(name, guest, &lease, claims)?;
        self.stage(name, &release, claims);
        let title = IN_FORCE;
        claims.check("CHT-4", name, title, "within the charter's window", charter.at(release.time));
        let result = self.appraise(name, guest, &lease, &release, release.time, claims)?;
        if let Some(at) = at {
            self.appraise_again(name, guest, &lease, &release, at, claims);
        }
        let title = "its lease and receipt name the attested keys, and whose roots vouch for them";
        let compared = Compared::default()
            .field("keys", result.keys().digests(), lease.keys)
            .field("lease anchors", result.anchors(), lease.anchors)
            .field("receipt anchors", result.anchors(), release.anchors);
        claims.without("EVD-3", name, title, result.anchors(), compared.0);
        Some(shown(&result, lease, release, guest.receipt.index))
    }

    /// The receipt: this release stands in the broker's ledger, for this evidence and lease.
    fn receipt(
        &self,
        name: &str,
        guest: &AttestedGuest,
        lease: &Lease,
        claims: &mut Claims,
    ) -> Option<KeyRelease> {
        let title = "its key release stands in the owner's ledger";
        let receipt = &guest.receipt;
        let included = self.checkpoint(guest).and_then(|state| {
            verify_inclusion(&receipt.leaf.0, receipt.index, state.size, &receipt.inclusion, &state.root)
        });
        claims.check("RCP-1", name, title, "inclusion proof under a signed checkpoint", included)?;
        let title = "its receipt is for this evidence, lease, order and keys";
        let Some(release) = read::<KeyRelease>(&receipt.leaf.0) else {
            claims.fail("RCP-2", name, title, "a key release", "another document");
            return None;
        };
        let compared = Compared::default()
            .field("v", 1, release.v)
            .field("type", "key_release", release.r#type.as_str())
            .field("evidence_sha256", guest.evidence.digest(), release.evidence_sha256)
            .field("lease", lease.lease, release.lease)
            .field("charter", lease.charter, release.charter)
            .field("role", lease.role, release.role)
            .field("order", lease.order, release.order)
            .field("keys", lease.keys, release.keys);
        let held = compared.0.is_empty();
        claims.without("RCP-2", name, title, release.evidence_sha256, compared.0);
        held.then_some(release)
    }

    fn checkpoint(
        &self,
        guest: &AttestedGuest,
    ) -> Result<Checkpoint, tiltyard_provisioning::ledger::LedgerError> {
        let key = NoteKey { name: self.origin.clone(), public: self.broker };
        Checkpoint::open(&guest.receipt.checkpoint, &key)?.for_origin(&self.origin)
    }

    /// PROVISIONING 4: nothing was released that the role is not named for.
    fn stage(&self, name: &str, release: &KeyRelease, claims: &mut Claims) {
        let title = "it was given only keys that its role and order are named for";
        let order: Option<Order> = release
            .order
            .and_then(|digest| self.documents.orders.get(&digest))
            .filter(|signed| Some(signed.digest()) == release.order)
            .and_then(|signed: &Signed<Order>| read(&signed.payload.0));
        let denied: Vec<String> = release
            .released
            .iter()
            .filter_map(|key| {
                stage::allowed(self.charter, BrokerOwner::Owner, release.role, order.as_ref(), key)
                    .err()
                    .map(|error| format!("{key}: {error}"))
            })
            .collect();
        if denied.is_empty() {
            let keys: Vec<String> = release.released.iter().map(ToString::to_string).collect();
            let by = if keys.is_empty() { "no key in this release".to_owned() } else { keys.join(", ") };
            claims.pass("RCP-3", name, title, by);
        } else {
            claims.fail("RCP-3", name, title, "keys of its stage", denied.join("; "));
        }
    }

    fn appraise(
        &self,
        name: &str,
        guest: &AttestedGuest,
        lease: &Lease,
        release: &KeyRelease,
        now: u64,
        claims: &mut Claims,
    ) -> Option<AttestationResult> {
        let title = "its evidence passes appraisal as of its release";
        let (collateral, given) = match self.collateral_at(now) {
            Some(collateral) => (collateral, true),
            None => (&Collateral::none(), false),
        };
        let challenge = self.challenge(lease, release, now);
        match self.verifier.appraise(challenge, &guest.evidence, collateral, now) {
            Ok(result) => {
                let by = format!("{} checks, {}", result.trace().len(), result.anchors());
                claims.pass("EVD-1", name, title, by);
                Some(result)
            }
            Err(refusal)
                if !given
                    && refusal.findings.iter().all(|finding| NEED_COLLATERAL.contains(&finding.check)) =>
            {
                let checks: Vec<String> =
                    refusal.findings.iter().map(|finding| finding.check.to_string()).collect();
                let why = format!(
                    "{} need the vendors' collateral of {}: give it with --collateral",
                    checks.join(", "),
                    utc(now)
                );
                claims.not_shown("EVD-1", name, title, why);
                None
            }
            Err(refusal) => {
                for finding in &refusal.findings {
                    let found = format!("{} {}: {}", finding.check, finding.code, finding.got);
                    claims.fail("EVD-1", name, title, &finding.expected, found);
                }
                None
            }
        }
    }

    /// What was valid then stays so; what it is worth at another time is a claim of its own (ATTESTATION 8).
    fn appraise_again(
        &self,
        name: &str,
        guest: &AttestedGuest,
        lease: &Lease,
        release: &KeyRelease,
        at: u64,
        claims: &mut Claims,
    ) {
        let title = "its evidence would pass at the time of the audit too";
        let challenge = self.challenge(lease, release, at);
        let none = Collateral::none();
        let collateral = self.collateral_at(at).unwrap_or(&none);
        match self.verifier.appraise(challenge, &guest.evidence, collateral, at) {
            Ok(_) => claims.pass("AT-2", name, title, at),
            Err(refusal) => {
                let now: Vec<String> = refusal.findings.iter().map(ToString::to_string).collect();
                claims.not_shown("AT-2", name, title, format!("was valid, at {at}: {}", now.join("; ")));
            }
        }
    }

    /// The newest collateral that was there at `at`; of loose sets, which name no time, the last one.
    fn collateral_at(&self, at: u64) -> Option<&Collateral> {
        self.collateral
            .iter()
            .filter_map(|collateral| match &collateral.source {
                Source::Bundle(provenance) => {
                    let from = provenance.newest.max(provenance.created_at);
                    (from <= at).then_some((from, collateral))
                }
                Source::Loose | Source::Refused(_) => Some((0, collateral)),
            })
            .max_by_key(|(from, _)| *from)
            .map(|(_, collateral)| collateral)
    }

    /// The nonce is the one that the broker says it issued: its age is the broker's word.
    fn challenge(&self, lease: &Lease, release: &KeyRelease, now: u64) -> Challenge {
        Challenge::new(release.nonce, lease.role, self.charter.p(), lease.order, lease.lease, now)
    }
}

fn shown(result: &AttestationResult, lease: Lease, release: KeyRelease, index: u64) -> ShownGuest {
    let open = |row: &&CheckOutcome| matches!(row.verdict, Verdict::Warning | Verdict::NotShown);
    ShownGuest {
        lease,
        release,
        index,
        signing: *result.keys().signing(),
        anchors: result.anchors(),
        backend: result.config().backend,
        image: result.config().image,
        cpu: result.cpu().clone(),
        checks: result.trace().len(),
        open: result.trace().iter().filter(open).cloned().collect(),
    }
}

/// BND-02: a nonce is used once.
fn nonces(documents: &Documents, claims: &mut Claims) {
    let mut used: BTreeMap<Hex<32>, &str> = BTreeMap::new();
    let title = "its nonce was used once";
    for (name, guest) in &documents.guests {
        let Some(release) = read::<KeyRelease>(&guest.receipt.leaf.0) else { continue };
        match used.insert(release.nonce, name) {
            None => claims.pass("EVD-2", name, title, "no other receipt has it"),
            Some(other) => {
                let found = format!("{}, also used by {other}", release.nonce);
                claims.fail("EVD-2", name, title, "a nonce of its own", found);
            }
        }
    }
}

/// The receipts are leaves of one ledger: one leaf an index, one root a size, and its time never goes back.
fn ledger(documents: &Documents, terms: &Terms<'_>, claims: &mut Claims) {
    let title = "its receipt agrees with all others on one ledger";
    let mut receipts: Vec<_> = documents.guests.iter().collect();
    receipts.sort_by_key(|(_, guest)| guest.receipt.index);
    let mut roots: BTreeMap<u64, Hex<32>> = BTreeMap::new();
    let (mut last_index, mut last_time) = (None, 0);
    for (name, guest) in receipts {
        let Some(release) = read::<KeyRelease>(&guest.receipt.leaf.0) else { continue };
        let index = guest.receipt.index;
        if last_index == Some(index) {
            claims.fail("RCP-4", name, title, "an index of its own", format!("{index} twice"));
        } else if release.time < last_time {
            let expected = format!("index {index} not before {last_time}");
            claims.fail("RCP-4", name, title, expected, release.time);
        } else if let Ok(state) = terms.checkpoint(guest) {
            match roots.insert(state.size, state.root) {
                Some(root) if root != state.root => {
                    let expected = format!("root {root} at size {}", state.size);
                    claims.fail("RCP-4", name, title, expected, state.root);
                }
                _ => claims.pass("RCP-4", name, title, format!("index {index} at {}", release.time)),
            }
        }
        (last_index, last_time) = (Some(index), last_time.max(release.time));
    }
}

/// What the level let through, once for all guests with the same reason.
fn waived(at: Level, shown: &ShownGuests, claims: &mut Claims) {
    let mut rows: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for row in shown.values().flat_map(|guest| &guest.open) {
        *rows.entry((row.check.to_string(), row.expected.clone(), row.got.clone())).or_default() += 1;
    }
    for ((check, expected, got), guests) in rows {
        let row = shown.values().flat_map(|guest| &guest.open).find(|row| row.check.as_str() == check);
        let title = row.map_or("", |row| row.check.row().title);
        let why =
            format!("{guests} guest(s): expected {expected}, found {got}; accepted at level {}", level(at));
        claims.not_shown("EVD-4", check, title, why);
    }
}

/// As charters write it.
pub(crate) fn level(level: Level) -> &'static str {
    match level {
        Level::Lab => "lab",
        Level::Standard => "standard",
        Level::Strict => "strict",
    }
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Referee => "referee",
        Role::Trainer => "trainer",
        Role::Evaluator => "evaluator",
    }
}
