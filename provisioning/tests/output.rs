//! Sealed outputs and submissions: opened as what they were sealed as, or not at all.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use ring::rand::SystemRandom;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::container::ContainerError;
use tiltyard_provisioning::dek::Dek;
use tiltyard_provisioning::order::ObjectRef;
use tiltyard_provisioning::output::{
    OutputError, OutputKind, open_output, open_submission, seal_output, seal_submission,
};

const ORDER: Hex<32> = Hex([4; 32]);

#[test]
fn an_output_opens_as_what_it_was_sealed_as() {
    let rng = SystemRandom::new();
    let dek = Dek::generate(&rng).unwrap();
    let (object, bytes) = seal_output(OutputKind::Artefact, "acme", &ORDER, &dek, b"weights", &rng).unwrap();
    assert_eq!(object.sha256, Hex::sha256(&bytes));
    assert_eq!(object.len_bytes, bytes.len() as u64);
    let open = |kind, tenant, order, object: &ObjectRef, bytes: &[u8]| {
        open_output(kind, tenant, &order, &dek, object, bytes)
    };
    assert_eq!(*open(OutputKind::Artefact, "acme", ORDER, &object, &bytes).unwrap(), b"weights");

    let renamed = ObjectRef { name: Hex([0; 16]), ..object.clone() };
    for (name, opened) in [
        ("kind", open(OutputKind::Log, "acme", ORDER, &object, &bytes)),
        ("tenant", open(OutputKind::Artefact, "evil", ORDER, &object, &bytes)),
        ("order", open(OutputKind::Artefact, "acme", Hex([5; 32]), &object, &bytes)),
        ("name", open(OutputKind::Artefact, "acme", ORDER, &renamed, &bytes)),
    ] {
        assert!(matches!(opened, Err(OutputError::Container(ContainerError::Commitment))), "{name}");
    }

    let (_, second) = seal_output(OutputKind::Artefact, "acme", &ORDER, &dek, b"weights", &rng).unwrap();
    let swapped = open(OutputKind::Artefact, "acme", ORDER, &object, &second);
    assert!(matches!(swapped, Err(OutputError::Container(ContainerError::HeaderMismatch { .. }))));
    let cut = open(OutputKind::Artefact, "acme", ORDER, &object, &bytes[..bytes.len() - 1]);
    assert!(matches!(cut, Err(OutputError::Length { .. })));
    let huge = ObjectRef { len_bytes: u64::MAX, ..object };
    let huge = open(OutputKind::Artefact, "acme", ORDER, &huge, &bytes);
    assert!(matches!(huge, Err(OutputError::TooLarge { got: u64::MAX })));
}

#[test]
fn a_submission_opens_for_its_tournament_and_entrant() {
    let rng = SystemRandom::new();
    let dek = Dek::generate(&rng).unwrap();
    let (object, bytes) = seal_submission("spring", &Hex([1; 32]), &dek, b"rank = 8", &rng).unwrap();
    let open = |tournament, entrant| open_submission(tournament, &Hex([entrant; 32]), &dek, &object, &bytes);
    assert_eq!(*open("spring", 1).unwrap(), b"rank = 8");
    for (tournament, entrant) in [("autumn", 1), ("spring", 2)] {
        let opened = open(tournament, entrant);
        assert!(matches!(opened, Err(OutputError::Container(ContainerError::Commitment))));
    }
    let other = Dek::generate(&rng).unwrap();
    let opened = open_submission("spring", &Hex([1; 32]), &other, &object, &bytes);
    assert!(matches!(opened, Err(OutputError::Container(ContainerError::Commitment))));
}
