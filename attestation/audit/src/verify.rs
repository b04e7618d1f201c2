//! From a bundle's bytes to an [`Audit`].

use serde::Serialize;
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{Collateral, ForeignAnchors, Hex, Role, TrustAnchors};
use tiltyard_provisioning::bundle::Bundle;
use tiltyard_provisioning::charter::{BrokerOwner, OpenCharter};
use tiltyard_provisioning::record::Record;
use tiltyard_tournament::record::{DecisionBody, LeafType};
use tiltyard_tournament::{Replayed, replay};

use crate::claim::{Claim, Claims, Compared};
use crate::documents::Documents;
use crate::facts::{CharterFacts, Entrant, GuestFacts, RecordFacts};
use crate::guests::{self, IN_FORCE, ShownGuests};
use crate::log::{self, Leaves, ShownLog};
use crate::promises::{Promise, promises};
use crate::work::{self, ShownWork};
use crate::{promises as open, roll};

/// What the auditor knows from elsewhere; nothing in a bundle can replace it.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    /// The owner's Ed25519 key.
    pub owner_key: Option<Hex<32>>,
    /// The operator's Ed25519 key.
    pub operator_key: Option<Hex<32>>,
    /// A foreign anchor set, instead of the one in the bundle; `lab` charters only.
    pub anchors: Option<Vec<u8>>,
    /// Collateral of the vendors, a set for each time: evidence is held against the newest that was there by then.
    pub collateral: Vec<Collateral>,
    /// Time of the audit, Unix seconds: nothing in the bundle may be later.
    pub at: Option<u64>,
}

/// The worst of all claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// Every claim that could be checked holds.
    Pass,
    /// At least one is contradicted.
    Fail,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    pub verdict: Overall,
    /// Whose roots vouch for the guests; none when no set could be told.
    pub anchors: Option<Anchors>,
    /// SHA-256 of the bundle's file.
    pub bundle_sha256: Hex<32>,
    pub charter: Option<CharterFacts>,
    pub record: Option<RecordFacts>,
    pub claims: Vec<Claim>,
    pub promises: Vec<Promise>,
    pub entrants: Vec<Entrant>,
    pub guests: Vec<GuestFacts>,
}

impl Audit {
    /// Claims with an outcome that `which` accepts.
    pub fn count(&self, which: impl Fn(&Claim) -> bool) -> usize {
        self.claims.iter().filter(|claim| which(claim)).count()
    }

    fn of(bundle_sha256: Hex<32>, claims: Claims, found: Found) -> Self {
        let failed = claims.0.iter().any(|claim| claim.outcome.is_fail());
        Self {
            verdict: if failed { Overall::Fail } else { Overall::Pass },
            anchors: found.anchors,
            bundle_sha256,
            promises: promises(found.charter.as_ref(), &claims.0),
            charter: found.charter,
            record: found.record,
            claims: claims.0,
            entrants: found.entrants,
            guests: found.guests,
        }
    }
}

/// What pages show beside the claims.
#[derive(Default)]
struct Found {
    anchors: Option<Anchors>,
    charter: Option<CharterFacts>,
    record: Option<RecordFacts>,
    entrants: Vec<Entrant>,
    guests: Vec<GuestFacts>,
}

/// Checks a bundle against itself and against the pins.
pub fn verify(bundle: &[u8], pins: &Pins) -> Audit {
    verify_owned(bundle.to_vec(), pins)
}

/// [`verify`] for bytes that nobody else needs: a bundle may be large, and is held once.
pub fn verify_owned(bundle: Vec<u8>, pins: &Pins) -> Audit {
    let mut claims = Claims::default();
    let digest = Hex::sha256(&bundle);
    let title = "the file is a bundle: sorted regular members, exactly as its index lists them";
    let by = "format, lengths and SHA-256 of every member";
    let Some(bundle) = claims.check("BDL-1", "bundle", title, by, Bundle::read(bundle)) else {
        return Audit::of(digest, claims, Found::default());
    };
    let documents = Documents::of(&bundle, &mut claims);
    drop(bundle);
    let mut found = Found::default();
    let leaves = Leaves::of(&documents);
    let record = charter(&documents, pins, &mut claims).and_then(|charter| {
        found.charter = Some(CharterFacts::of(&charter));
        under_charter(&documents, &leaves, &charter, pins, &mut found, &mut claims)
    });
    let replayed = replayed(&documents, &mut claims);
    if let Some(record) = &record {
        champion(replayed.as_ref(), record, &mut claims);
    }
    found.entrants = replayed.as_ref().map(Entrant::all).unwrap_or_default();
    Audit::of(digest, claims, found)
}

/// The charter opens, and is the one of the parties that the auditor knows.
fn charter(documents: &Documents, pins: &Pins, claims: &mut Claims) -> Option<OpenCharter> {
    let title = "the charter is signed by owner and operator, and keeps every rule";
    let Some(envelope) = &documents.charter else {
        claims.fail("CHT-1", "charter", title, "a charter", "none");
        return None;
    };
    let charter =
        claims.check("CHT-1", "charter", title, "both Ed25519 signatures", OpenCharter::open(envelope))?;
    let parties = [
        ("CHT-2", BrokerOwner::Owner, pins.owner_key, "owner"),
        ("CHT-3", BrokerOwner::Operator, pins.operator_key, "operator"),
    ];
    for (id, party, key, name) in parties {
        let title = format!("the {name}'s key is the one that the auditor knows");
        match key {
            Some(key) => {
                claims.check(id, "charter", &title, "the pinned key", charter.signed_by(party, &key));
            }
            None => {
                let why = format!("the charter itself names the {name}'s key; pin it with --{name}-key");
                claims.not_shown(id, "charter", &title, why);
            }
        }
    }
    Some(charter)
}

fn under_charter(
    documents: &Documents,
    leaves: &Leaves,
    charter: &OpenCharter,
    pins: &Pins,
    found: &mut Found,
    claims: &mut Claims,
) -> Option<Record> {
    let shown = match anchors(documents, charter, pins, claims) {
        Some(anchors) => {
            found.anchors = Some(anchors.label());
            guests::check(documents, charter, &anchors, pins, claims)
        }
        None => ShownGuests::new(),
    };
    if documents.guests.is_empty() {
        claims.fail("EVD-1", "guests", "the bundle holds evidence", "at least the referee's", "none");
    }
    let work = work::check(documents, charter, &shown, claims);
    let log = log::check(documents, leaves, charter, &shown, claims);
    log::opening(documents, leaves, charter, claims);
    roll::check(documents, leaves, charter, claims);
    log::orders(documents, leaves, &work, claims);
    log::outcomes(documents, leaves, &work, claims);
    for (at, decision) in leaves.bodies::<DecisionBody>(LeafType::Decision) {
        let title = "the operator's decision is signed";
        let why = format!("the statement {} is not in the bundle", decision.statement);
        claims.not_shown("DEC-1", format!("leaf {at}"), title, why);
    }
    found.guests = GuestFacts::all(&shown, &work);
    let record = record(documents, charter, &shown, &log, claims);
    open::not_in_the_bundle(found.anchors, &shown, record.as_ref(), claims);
    let record = record?;
    found.record = Some(RecordFacts::of(&record));
    if let Some(at) = pins.at {
        not_later(at, &record, &shown, &work, claims);
    }
    Some(record)
}

/// Foreign anchors only when the charter names them, and only that set (ATTESTATION 1).
fn anchors(
    documents: &Documents,
    charter: &OpenCharter,
    pins: &Pins,
    claims: &mut Claims,
) -> Option<TrustAnchors> {
    let title = "the roots that vouch for the guests are those that the charter accepts";
    let given = pins.anchors.as_ref().or(documents.anchors.as_ref());
    let (expected, bytes) = match (charter.reference_values.foreign_anchors, given) {
        (None, None) => {
            claims.pass("ANC-1", "anchors", title, "vendor roots, compiled in");
            return Some(TrustAnchors::vendor());
        }
        (None, Some(_)) => {
            claims.fail("ANC-1", "anchors", title, "vendor roots only", "another set");
            return Some(TrustAnchors::vendor());
        }
        (Some(expected), None) => {
            claims.fail("ANC-1", "anchors", title, expected, "no anchor set");
            return None;
        }
        (Some(expected), Some(bytes)) => (expected, bytes),
    };
    let set = ForeignAnchors::from_bytes(bytes).map_err(|error| error.to_string()).and_then(|set| match set
        .digest()
    {
        digest if digest == expected => TrustAnchors::foreign(set).map_err(|error| error.to_string()),
        digest => Err(format!("set {digest}, expected {expected}")),
    });
    let by = if pins.anchors.is_some() { "the auditor's own copy of the named set" } else { "the named set" };
    claims.check("ANC-1", "anchors", title, by, set)
}

/// The closing statement is an attested referee's, about exactly this log.
fn record(
    documents: &Documents,
    charter: &OpenCharter,
    guests: &ShownGuests,
    log: &ShownLog,
    claims: &mut Claims,
) -> Option<Record> {
    let title = "the record is signed by an attested referee";
    let Some(signed) = &documents.record else {
        claims.fail("REC-1", "record", title, "a record", "none");
        return None;
    };
    let referee =
        guests.values().find(|guest| guest.lease.role == Role::Referee && guest.signing == signed.key);
    let Some(referee) = referee else {
        claims.fail("REC-1", "record", title, "the key of an attested referee", signed.key);
        return None;
    };
    let record = claims.check(
        "REC-1",
        "record",
        title,
        "Ed25519 under the attested key",
        signed.verify(&referee.signing),
    )?;
    let title = "the record names this log, charter, rulebook and roots";
    let compared = Compared::default()
        .field("v", 1, record.v)
        .field("charter", charter.p(), record.charter)
        .field("tournament", charter.tournament.id.as_str(), record.tournament.as_str())
        .field("rulebook_sha256", charter.tournament.rulebook_sha256, record.rulebook_sha256)
        .field("lease", referee.lease.lease, record.lease)
        .field("log_origin", log.origin.as_str(), record.log_origin.as_str())
        .field("log_size", log.size, record.log_size)
        .field("log_root", log.root, record.log_root)
        .field("anchors", referee.anchors, record.anchors);
    claims.without("REC-2", "record", title, format!("{} leaves, root {}", log.size, log.root), compared.0);
    let title = IN_FORCE;
    claims.check("CHT-4", "record", title, "within the charter's window", charter.at(record.time));
    Some(record.into_value())
}

/// The rules, run again over the record's inputs, give the record.
fn replayed(documents: &Documents, claims: &mut Claims) -> Option<Replayed> {
    let title = "the rules, replayed from the record's inputs, give this record byte for byte";
    let Some(rulebook) = &documents.rulebook else {
        claims.not_shown("TRN-1", "record", title, "there is no rulebook to replay under");
        return None;
    };
    match replay(&documents.leaves, rulebook) {
        Ok(replayed) => {
            claims.pass("TRN-1", "record", title, format!("{} leaves, equal", replayed.leaves));
            Some(replayed)
        }
        Err(divergence) => {
            let subject = format!("leaf {}", divergence.seq);
            let expected = format!("{}: {}", divergence.field, divergence.expected);
            claims.fail("TRN-1", subject, title, expected, divergence.got);
            None
        }
    }
}

/// The record's champion is the one that the replay ends with.
fn champion(replayed: Option<&Replayed>, record: &Record, claims: &mut Claims) {
    let title = "the record's champion is the one that the rules decided";
    let Some(replayed) = replayed else {
        claims.not_shown("TRN-2", "record", title, "the record does not replay");
        return;
    };
    let text = |champion: Option<Hex<32>>| champion.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let holder = replayed.decided.holder.map(|holder| Hex(*holder.bytes()));
    claims.equal("TRN-2", "record", title, &text(holder), &text(record.champion));
}

/// Nothing that the bundle says happened after the audit.
fn not_later(at: u64, record: &Record, guests: &ShownGuests, work: &ShownWork, claims: &mut Claims) {
    let title = "nothing in the bundle is later than the time of the audit";
    let times = guests
        .iter()
        .map(|(name, guest)| (format!("guest {name}"), guest.release.time))
        .chain(
            work.orders
                .iter()
                .map(|(digest, order)| (format!("order {}", work::short(digest)), order.issued_at)),
        )
        .chain([("record".to_owned(), record.time)]);
    let later: Vec<_> = times.filter(|(_, time)| *time > at).collect();
    for (subject, time) in &later {
        claims.fail("AT-1", subject, title, format!("at most {at}"), time);
    }
    if later.is_empty() {
        claims.pass("AT-1", "bundle", title, format!("audited as of {at}"));
    }
}
