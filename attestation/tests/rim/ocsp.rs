//! OCSP answers (RFC 6960), through the revocation of a manifest's chain; GPU-08 judges it.

use tiltyard_attestation::Collateral;
use tiltyard_attestation::chain::{Gap, Links, Reason, Revocation};
use tiltyard_attestation::nvidia::rim::AuthenticRim;

use crate::fixture::{Draft, anchors, file};

const TEN_YEARS_S: u64 = 3650 * 86_400;
const NAME: &str = "leaf";

/// When `mint.sh` ran, rounded down; the answers are a few seconds younger.
fn minted_at() -> u64 {
    String::from_utf8(file("minted_at")).unwrap().trim().parse().unwrap()
}

/// An hour after the answers were made.
fn now() -> u64 {
    minted_at() + 3600
}

/// One manifest whose signer is asked about; signed and verified once.
struct Subject {
    xml: String,
    root: &'static str,
    links: Links,
}

impl Subject {
    fn new(certificates: &[&'static str], root: &'static str) -> Self {
        let xml = Draft { certificates: certificates.to_vec(), ..Draft::default() }.sign();
        Self { xml, root, links: Links::new() }
    }

    fn signer() -> Self {
        Self::new(&["signer", "root"], "root")
    }

    fn status(&self, answers: &[Vec<u8>], lists: &[&str], now: u64) -> Revocation {
        let collateral = Collateral {
            ocsp: answers.iter().map(|answer| answer.clone().into()).collect(),
            nvidia_crls: lists.iter().map(|name| file(&format!("{name}.crl")).into()).collect(),
            ..Collateral::none()
        };
        AuthenticRim::open(self.xml.as_bytes(), &anchors(self.root), &collateral, &self.links, now)
            .unwrap()
            .revocation()
    }
}

fn named(name: &str) -> Vec<u8> {
    file(&format!("{name}.der"))
}

fn status_at(answer: &str, now: u64) -> Revocation {
    Subject::signer().status(&[named(answer)], &[], now)
}

fn status(answer: &str) -> Revocation {
    status_at(answer, now())
}

fn is_good(found: Revocation) -> bool {
    matches!(found, Revocation::Good { as_of } if (minted_at()..now()).contains(&as_of))
}

fn gap(why: Gap) -> Revocation {
    Revocation::Unknown { why }
}

#[test]
fn good_answers_of_every_form_count() {
    for answer in [
        "good",
        "good_by_key",
        "good_delegated",
        "good_delegated_by_key",
        "good_sha1",
        "good_sha256",
        "good_nonce",
        "good_two",
    ] {
        assert!(is_good(status(answer)), "{answer}: {}", status(answer));
    }
    assert!(is_good(Subject::new(&["signer_of_256", "root256"], "root256").status(
        &[named("good_256")],
        &[],
        now()
    )));
}

#[test]
fn gpu_08_every_reason_revokes() {
    for (name, reason) in [
        ("no_reason", Reason::Unspecified),
        ("unspecified", Reason::Unspecified),
        ("keyCompromise", Reason::KeyCompromise),
        ("CACompromise", Reason::CaCompromise),
        ("affiliationChanged", Reason::AffiliationChanged),
        ("superseded", Reason::Superseded),
        ("cessationOfOperation", Reason::CessationOfOperation),
        ("certificateHold", Reason::CertificateHold),
        ("removeFromCRL", Reason::RemoveFromCrl),
    ] {
        assert_eq!(status(&format!("revoked_{name}")), Revocation::Revoked { link: NAME, reason }, "{name}");
    }
}

#[test]
fn gpu_08_answers_that_are_not_good_are_unknown() {
    for (answer, why) in [
        ("unknown", Gap::Undecided),
        ("good_short", Gap::Expired),
        ("good_endless", Gap::Expired),
        ("by_stranger", Gap::Signature),
        ("by_no_purpose", Gap::Signature),
        ("by_no_nocheck", Gap::Signature),
        ("by_no_signing", Gap::Signature),
        ("by_past_answerer", Gap::Signature),
        ("by_strange_answerer", Gap::Signature),
        ("by_signer", Gap::Signature),
        ("by_absent", Gap::Signature),
        ("by_sha512", Gap::Signature),
        ("with_stranger", Gap::Signature),
        ("about_sha512", Gap::NoList),
        ("about_stranger", Gap::NoList),
        ("good_middle", Gap::NoList),
        ("good_256", Gap::NoList),
    ] {
        assert_eq!(status(answer), gap(why), "{answer}");
    }
    // Unsigned: tryLater and unauthorized, as NVIDIA's responder answers about a device's own leaf.
    for refusal in [[0x30, 3, 0x0a, 1, 3], [0x30, 3, 0x0a, 1, 6]] {
        assert_eq!(Subject::signer().status(&[refusal.to_vec()], &[], now()), gap(Gap::NoList));
    }
    assert_eq!(Subject::signer().status(&[], &[], now()), gap(Gap::NoList));
}

#[test]
fn gpu_08_an_answer_has_its_time() {
    let Revocation::Good { as_of } = status("good") else { panic!() };
    assert_eq!(status_at("good", as_of), Revocation::Good { as_of });
    assert_eq!(status_at("good", as_of - 1), gap(Gap::NotYetIssued));
    assert_eq!(status_at("good", as_of + TEN_YEARS_S), Revocation::Good { as_of });
    assert_eq!(status_at("good", as_of + TEN_YEARS_S + 1), gap(Gap::Expired));
    // A revocation outlives its answer, and is not known before it.
    let revoked = Revocation::Revoked { link: NAME, reason: Reason::KeyCompromise };
    assert_eq!(status("revoked_short"), revoked);
    assert_eq!(status_at("revoked_short", now() + TEN_YEARS_S), revoked);
    assert_eq!(status_at("revoked_short", minted_at() - 60), gap(Gap::NotYetIssued));
}

#[test]
fn gpu_08_the_strongest_answer_counts() {
    let of = |names: &[&str], lists: &[&str]| {
        let answers: Vec<_> = names.iter().map(|name| named(name)).collect();
        Subject::signer().status(&answers, lists, now())
    };
    let hold = Revocation::Revoked { link: NAME, reason: Reason::CertificateHold };
    assert_eq!(of(&["good", "revoked_certificateHold"], &[]), hold);
    assert_eq!(of(&["revoked_certificateHold", "good"], &["empty"]), hold);
    assert!(is_good(of(&["good_short", "unknown", "good", "by_stranger"], &[])));
    assert_eq!(of(&["good_short", "by_stranger", "good_middle"], &[]), gap(Gap::Expired));
    // A list of the issuer is as good as an answer.
    let listed = Revocation::Revoked { link: NAME, reason: Reason::KeyCompromise };
    assert_eq!(of(&["good"], &["revokes_signer"]), listed);
    assert!(matches!(of(&[], &["empty"]), Revocation::Good { .. }));
}

#[test]
fn gpu_08_every_certificate_below_the_root_is_asked_about() {
    let of = |names: &[&str]| {
        let answers: Vec<_> = names.iter().map(|name| named(name)).collect();
        Subject::new(&["signer_of_middle", "middle", "root"], "root").status(&answers, &[], now())
    };
    assert!(is_good(of(&["good_middle", "good_of_middle"])));
    assert_eq!(of(&["good_middle"]), gap(Gap::NoList));
    assert_eq!(of(&["good_of_middle"]), gap(Gap::NoList));
    // The signer's answer is about another serial number.
    assert_eq!(of(&["good_middle", "good"]), gap(Gap::NoList));
    let revoked = Revocation::Revoked { link: "issuer 1", reason: Reason::KeyCompromise };
    assert_eq!(of(&["revoked_middle", "good_of_middle"]), revoked);
    assert_eq!(of(&["revoked_middle"]), revoked);
}

#[test]
fn gpu_08_no_changed_answer_is_good() {
    let signer = Subject::signer();
    for (name, step) in [("good", 1), ("good_delegated_by_key", 7), ("good_nonce", 11)] {
        let answer = named(name);
        for bit in (0..answer.len() * 8).step_by(step) {
            let mut flipped = answer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = signer.status(&[flipped], &[], now());
            assert!(matches!(found, Revocation::Unknown { .. }), "{name}: bit {bit}: {found}");
        }
        for len in 0..answer.len() {
            let found = signer.status(&[answer[..len].to_vec()], &[], now());
            assert_eq!(found, gap(Gap::Format), "{name}: {len} bytes");
        }
        for more in 1..=64 {
            let found = signer.status(&[[&answer[..], &vec![0; more]].concat()], &[], now());
            assert_eq!(found, gap(Gap::Format), "{name}: {more} more");
        }
    }
}
