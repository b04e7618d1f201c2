//! Revoked certificates, and answers that prove nothing.

use tiltyard_attestation::{CheckId, Code};

use super::{Variant, first};
use crate::nvidia::certificate::Extension;
use crate::nvidia::device::BROM;
use crate::nvidia::draft::Draft;
use crate::nvidia::keys::KeyName;
use crate::nvidia::ocsp::{AnswerFields, CERTIFICATE_HOLD, KEY_COMPROMISE, Status};
use crate::nvidia::sets::NOW;

const DAY_S: u64 = 86_400;

pub(super) const VARIANTS: &[Variant] = &[
    Variant::signed("cert-hold", CheckId::Gpu08, Code::CertRevoked, |draft| {
        about_brom(draft).status = Status::Revoked { at: NOW - DAY_S, reason: CERTIFICATE_HOLD };
    })
    .by("G7", "the GPU's own identity is on hold"),
    Variant::signed("cert-revoked", CheckId::Gpu08, Code::CertRevoked, |draft| {
        let serial = first(draft).chain[BROM + 1].serial.clone();
        about(draft, &serial).status = Status::Revoked { at: NOW - DAY_S, reason: KEY_COMPROMISE };
    })
    .by("G7", "the provisioner's key was compromised"),
    Variant::signed("rim-signer-revoked", CheckId::Gpu08, Code::CertRevoked, |draft| {
        let serial = draft.rims[0].chain[0].serial.clone();
        about(draft, &serial).status = Status::Revoked { at: NOW - DAY_S, reason: KEY_COMPROMISE };
    })
    .by("G7", "the key that signs manifests was compromised"),
    Variant::signed("ocsp-stale-revoked", CheckId::Gpu08, Code::CertRevoked, |draft| {
        let answer = about_brom(draft);
        answer.status = Status::Revoked { at: NOW - 40 * DAY_S, reason: KEY_COMPROMISE };
        outdated(answer);
    })
    .by("G7", "an answer past its next update still revokes"),
    Variant::signed("ocsp-stale", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        outdated(about_brom(draft))
    })
    .above_lab()
    .by("G7", "a genuine answer past its next update is shown again"),
    Variant::signed("ocsp-no-next-update", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        about_brom(draft).next_update = None;
    })
    .above_lab()
    .by("G7", "an answer that would be good for ever"),
    Variant::signed("ocsp-future", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        let answer = about_brom(draft);
        (answer.produced_at, answer.this_update) = (NOW + DAY_S, NOW + DAY_S);
        answer.next_update = Some(NOW + 8 * DAY_S);
    })
    .above_lab()
    .by("G7", "an answer of tomorrow"),
    Variant::signed("ocsp-unknown", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        about_brom(draft).status = Status::Unknown;
    })
    .above_lab()
    .by("G7", "the service does not know the certificate"),
    Variant::signed("ocsp-missing", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        let serial = first(draft).chain[BROM].serial.clone();
        draft.answers.retain(|answer| answer.serial != serial);
    })
    .above_lab()
    .by("G7", "the answer about the GPU's identity is withheld"),
    Variant::signed("ocsp-other-certificate", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        about_brom(draft).serial = vec![0x41, 1, 2, 3, 4, 5, 6, 7, 8];
    })
    .above_lab()
    .by("G7", "a good answer about another GPU's identity"),
    Variant::signed("ocsp-other-issuer", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        about_brom(draft).issuer_key = KeyName::new("adversary/provisioner");
    })
    .above_lab()
    .by("G7", "a good answer about the same serial number of another authority's key"),
    Variant::signed("ocsp-edited", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        // The responder's certificate is last in an answer, and a responder's certificate ends in its signature.
        about_brom(draft).flipped = Some(0);
    })
    .above_lab()
    .by("G7", "a bit of the responder's certificate is changed"),
    Variant::signed("ocsp-wrong-key", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        about_brom(draft).signer = KeyName::new("adversary/ocsp");
    })
    .above_lab()
    .by("G7", "the adversary's key signs beside the responder's genuine certificate"),
    Variant::signed("ocsp-wrong-responder", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        let answer = about_brom(draft);
        answer.signer = KeyName::new("adversary/ocsp");
        answer.responder.key = answer.signer.clone();
        answer.responder.signer = KeyName::new("adversary/provisioner");
    })
    .above_lab()
    .by("G7", "the responder's certificate has the provisioner's name above it, but not its signature"),
    Variant::signed(
        "ocsp-responder-of-another-authority",
        CheckId::Gpu08,
        Code::RevocationUnknown,
        |draft| {
            let root_answer =
                draft.answers.iter().find(|answer| answer.issuer_key == KeyName::new("device-root"));
            let Some(other) = root_answer.cloned() else { return };
            let answer = about_brom(draft);
            (answer.signer, answer.responder) = (other.signer, other.responder);
        },
    )
    .above_lab()
    .by("G7", "a genuine responder answers for an authority that did not delegate to it"),
    Variant::signed("ocsp-responder-purpose", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        about_brom(draft).responder.extensions.retain(|extension| *extension != Extension::OcspSigner);
    })
    .above_lab()
    .by("G7", "a certificate of the right authority that is not for answering"),
    Variant::signed("ocsp-responder-expired", CheckId::Gpu08, Code::RevocationUnknown, |draft| {
        about_brom(draft).responder.validity.not_after = NOW - DAY_S;
    })
    .above_lab()
    .by("G7", "the responder's certificate ended yesterday"),
    Variant::signed("ocsp-too-old", CheckId::Col03, Code::CollateralStale, |draft| {
        let answer = about_brom(draft);
        (answer.produced_at, answer.this_update) = (NOW - 31 * DAY_S, NOW - 31 * DAY_S);
        answer.next_update = Some(NOW + 30 * DAY_S);
    })
    .above_lab()
    .by("G7", "an answer that its service still stands by, older than the level allows"),
];

/// The answer about the first device's BROM certificate.
fn about_brom(draft: &mut Draft) -> &mut AnswerFields {
    let serial = first(draft).chain[BROM].serial.clone();
    about(draft, &serial)
}

fn about<'d>(draft: &'d mut Draft, serial: &[u8]) -> &'d mut AnswerFields {
    let place = draft.answers.iter().position(|answer| answer.serial == serial).unwrap_or_default();
    &mut draft.answers[place]
}

fn outdated(answer: &mut AnswerFields) {
    (answer.produced_at, answer.this_update) = (NOW - 8 * DAY_S, NOW - 8 * DAY_S);
    answer.next_update = Some(NOW - DAY_S);
}
