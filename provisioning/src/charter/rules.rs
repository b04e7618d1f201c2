//! The rules of a charter that need neither clock nor store (PROVISIONING 4).

use std::collections::BTreeSet;
use std::fmt::Debug;

use tiltyard_attestation::binding::KEM_XWING;
use tiltyard_attestation::policy::{AppraisalPolicy, Level};

use super::{
    BrokerOwner, CHARTER_WINDOW_MAX_S, Charter, CharterError, KemFloor, LEASE_MAX_S, Stage, TEXT_MAX_BYTES,
};
use crate::hpke::public_key_len;
use crate::keyid::{Split, is_id};

/// The appraisal policy of a charter that keeps every static rule; the first broken one answers.
pub(super) fn held(charter: &Charter) -> Result<AppraisalPolicy, CharterError> {
    identity(charter)?;
    window(charter)?;
    chain(charter)?;
    let policy = policy(charter)?;
    images(charter)?;
    brokers(charter)?;
    datasets(charter)?;
    stages(charter)?;
    caps(charter)?;
    recipient(charter)?;
    texts(charter)?;
    Ok(policy)
}

fn identity(charter: &Charter) -> Result<(), CharterError> {
    rule(charter.v == 1, "v", "1", &charter.v)?;
    let ids = [
        ("charter_id", &charter.charter_id),
        ("tenant", &charter.tenant),
        ("tournament.id", &charter.tournament.id),
    ];
    ids.into_iter()
        .chain(charter.datasets.iter().map(|dataset| ("datasets.dataset_id", &dataset.dataset_id)))
        .try_for_each(|(field, id)| rule(is_id(id), field, "1 to 64 of a-z, 0-9, '-', '_'", id))
}

/// Window <= 90 days: old reference values and keys run out by themselves.
fn window(charter: &Charter) -> Result<(), CharterError> {
    let Charter { not_before, not_after, .. } = *charter;
    match not_after.checked_sub(not_before) {
        Some(length) if length <= CHARTER_WINDOW_MAX_S => Ok(()),
        _ => Err(CharterError::Window { not_before, not_after }),
    }
}

/// Version 1 has no `prev`, every later one has: a version cannot be slipped in.
fn chain(charter: &Charter) -> Result<(), CharterError> {
    let (expected, got) = match (charter.version, charter.prev) {
        (1, None) | (2.., Some(_)) => return Ok(()),
        (0, _) => {
            return Err(CharterError::Chain {
                field: "version",
                expected: "1 or more".into(),
                got: "0".into(),
            });
        }
        (1, Some(prev)) => ("none at version 1", prev.to_string()),
        (2.., None) => ("the digest of the version before", "none".into()),
    };
    Err(CharterError::Chain { field: "prev", expected: expected.into(), got })
}

/// Levels, backends, floors and enrolled platforms are one rule with the appraisal that they feed; simulator
/// roots are in `lab` only.
fn policy(charter: &Charter) -> Result<AppraisalPolicy, CharterError> {
    let Charter { level, backends, tee_floor, gpu_floor, platforms, .. } = charter;
    let policy = AppraisalPolicy::from_floors(*level, backends, tee_floor, gpu_floor, platforms)?;
    distinct("backends", backends)?;
    let foreign = charter.reference_values.foreign_anchors;
    let field = "reference_values.foreign_anchors";
    rule(foreign.is_none() || *level == Level::Lab, field, "none above lab", &foreign)?;
    Ok(policy)
}

fn images(charter: &Charter) -> Result<(), CharterError> {
    let images = &charter.reference_values.images;
    let field = "reference_values.images";
    let keys: Vec<_> = images.iter().map(|image| (image.backend, image.image, image.measurement)).collect();
    distinct(field, &keys)?;
    for image in images {
        let named = charter.backends.contains(&image.backend);
        rule(named, field, "a backend that the charter names", &image.backend)?;
    }
    for backend in &charter.backends {
        let measured = images.iter().any(|image| image.backend == *backend);
        rule(measured, field, "an image for each backend", backend)?;
    }
    Ok(())
}

/// Every key id names exactly one broker, and nobody answers for both parties.
fn brokers(charter: &Charter) -> Result<(), CharterError> {
    let owners: Vec<_> = charter.brokers.iter().map(|broker| broker.owner).collect();
    distinct("brokers", &owners)?;
    for (owner, holds) in [
        (BrokerOwner::Owner, "a broker of the owner: dataset keys have none"),
        (BrokerOwner::Operator, "a broker of the operator: submission keys have none"),
    ] {
        rule(owners.contains(&owner), "brokers", holds, &owners)?;
    }
    let keys: Vec<_> = charter.brokers.iter().map(|broker| broker.key).collect();
    distinct("brokers.key", &keys)?;
    for broker in &charter.brokers {
        rule(is_address(&broker.address), "brokers.address", "host:port", &broker.address)?;
    }
    Ok(())
}

/// A task needs both halves of its dataset; each is named once.
fn datasets(charter: &Charter) -> Result<(), CharterError> {
    rule(!charter.datasets.is_empty(), "datasets", "at least one", &charter.datasets)?;
    let halves: Vec<_> =
        charter.datasets.iter().map(|dataset| (dataset.dataset_id.as_str(), dataset.split)).collect();
    distinct("datasets", &halves)?;
    for (id, split) in &halves {
        let other = match split {
            Split::Train => Split::Test,
            Split::Test => Split::Train,
        };
        rule(halves.contains(&(id, other)), "datasets", "both train and test of each", &(id, split))?;
    }
    for dataset in &charter.datasets {
        rule(dataset.min_version >= 1, "datasets.min_version", "1 or more", &dataset.min_version)?;
    }
    Ok(())
}

/// Each role once, with nothing beyond what the stage graph allows over the charter's own datasets.
fn stages(charter: &Charter) -> Result<(), CharterError> {
    let roles: Vec<_> = charter.stages.iter().map(|stage| stage.role).collect();
    distinct("stages", &roles)?;
    let graph = Stage::all(&charter.datasets, &charter.tournament.id);
    for allowed in &graph {
        let named = charter.stages.iter().find(|stage| stage.role == allowed.role);
        let Some(named) = named else {
            return rule(false, "stages", "each of the three roles", &roles);
        };
        distinct("stages.keys", &named.keys)?;
        for key in &named.keys {
            rule(allowed.keys.contains(key), "stages.keys", "a key of the role's stage", key)?;
        }
    }
    Ok(())
}

fn caps(charter: &Charter) -> Result<(), CharterError> {
    let limits = &charter.limits;
    let lease = (1..=LEASE_MAX_S).contains(&limits.lease_s);
    rule(lease, "limits.lease_s", "1 to 900", &limits.lease_s)?;
    let budget = &charter.tournament.budget;
    [
        ("limits.max_releases", limits.max_releases),
        ("tournament.budget.train_wall_s", budget.train_wall_s),
        ("tournament.budget.evaluate_wall_s", budget.evaluate_wall_s),
        ("tournament.budget.memory_mib", budget.memory_mib),
        ("tournament.budget.vcpus", budget.vcpus),
        ("tournament.budget.test_items", budget.test_items),
        ("output.cap_bits", charter.output.cap_bits),
    ]
    .into_iter()
    .try_for_each(|(field, value)| rule(value >= 1, field, "1 or more", &value))?;
    let artefact = charter.output.artefact_max_bytes;
    rule(artefact >= 1, "output.artefact_max_bytes", "1 or more", &artefact)?;
    rule(charter.base.len_bytes >= 1, "base.len_bytes", "1 or more", &charter.base.len_bytes)
}

/// The owner's key meets the floor that the owner asks of others.
fn recipient(charter: &Charter) -> Result<(), CharterError> {
    let key = &charter.output.owner_recipient;
    let allowed = key.kem == KEM_XWING || charter.kem_floor == KemFloor::Classic;
    rule(allowed, "output.owner_recipient.kem", "X-Wing, or kem_floor classic", &key.kem)?;
    let fits = public_key_len(key.kem) == Some(key.public.0.len());
    rule(fits, "output.owner_recipient", "a public key of its KEM's length", key)
}

/// Free text is short and shows as it is: a charter is read by people before they sign it.
fn texts(charter: &Charter) -> Result<(), CharterError> {
    let images = charter.reference_values.images.iter().map(|image| &image.name);
    let custody = charter.platforms.iter().map(|platform| &platform.custody);
    let addresses = charter.brokers.iter().map(|broker| &broker.address);
    [&charter.base.name].into_iter().chain(images).chain(custody).chain(addresses).try_for_each(|text| {
        let plain = (1..=TEXT_MAX_BYTES).contains(&text.len()) && !text.chars().any(is_hidden);
        rule(plain, "text", "1 to 256 bytes without control or direction characters", text)
    })
}

/// Characters that change how a line shows without being seen: control, zero-width, direction marks.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && host
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'[' | b']' | b':'))
            && port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port)
    })
}

fn distinct<T: Ord + Debug>(field: &str, items: &[T]) -> Result<(), CharterError> {
    let mut seen = BTreeSet::new();
    items.iter().try_for_each(|item| rule(seen.insert(item), field, "each once", item))
}

fn rule(holds: bool, field: &str, expected: &'static str, got: &dyn Debug) -> Result<(), CharterError> {
    if holds {
        return Ok(());
    }
    Err(CharterError::Graph { field: field.into(), expected, got: format!("{got:?}") })
}
