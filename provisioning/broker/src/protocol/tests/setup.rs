//! What a broker refuses to serve.

use tiltyard_attestation::{ForeignAnchors, ForeignArk};

use super::*;

/// The refusal of one home under a changed charter.
fn refusal(change: impl FnOnce(&mut Charter), anchors: Option<ForeignAnchors>) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let home = Unlocked::for_tests(dir.path(), BrokerOwner::Owner);
    let charter = charter_for(&home, change);
    let setup = Setup { charter, anchors, collateral: Collateral::none() };
    Core::unlocked(home, setup, NOW).err().map(|error| error.code().to_owned())
}

#[test]
fn a_charter_that_names_another_broker_or_is_not_in_force_is_not_served() {
    let code = |code: &str| Some(code.to_owned());
    assert_eq!(refusal(|_| {}, None), None);
    assert_eq!(refusal(|charter| charter.brokers[0].key = Hex([1; 32]), None), code("E_CHARTER_GRAPH"));
    assert_eq!(
        refusal(|charter| charter.brokers[0].tls_spki_sha256 = Hex([1; 32]), None),
        code("E_CHARTER_GRAPH")
    );
    assert_eq!(refusal(|charter| charter.not_before = NOW + 1, None), code("E_CHARTER_WINDOW"));
    assert_eq!(refusal(|charter| charter.not_after = NOW - 1, None), code("E_CHARTER_WINDOW"));
}

#[test]
fn a_charter_that_only_one_party_signed_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let home = Unlocked::for_tests(dir.path(), BrokerOwner::Owner);
    let payload = serde_jcs::to_vec(&lab_charter(home.broker("test").unwrap(), Hex([2; 32]))).unwrap();
    let charter = charter::sign(&payload, None, &home.ed25519(Secret::Signing).unwrap()).unwrap();
    let setup = Setup { charter, anchors: None, collateral: Collateral::none() };
    assert_eq!(Core::unlocked(home, setup, NOW).err().unwrap().code(), "E_CHARTER_SIGNERS");
}

#[test]
fn foreign_anchors_are_taken_only_as_the_charter_names_them() {
    let set = |ark: &[u8]| {
        ForeignAnchors::of_snp(vec![ForeignArk { product: Product::Genoa, ark_der: ark.to_vec().into() }])
    };
    let refused = Some("AnchorsNotVendor".to_owned());
    assert_eq!(refusal(|_| {}, Some(set(b"a"))), refused, "named by nobody");
    let named = set(b"a").digest();
    let name = |charter: &mut Charter| charter.reference_values.foreign_anchors = Some(named);
    assert_eq!(refusal(name, Some(set(b"b"))), refused, "another set");
    assert_eq!(refusal(name, None), refused, "named but not given");
}

#[test]
fn an_older_charter_another_of_the_same_version_and_another_tenant_are_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = Unlocked::for_tests(dir.path(), BrokerOwner::Owner);
    let mut serve = |change: fn(&mut Charter)| {
        let charter = OpenCharter::open(&charter_for(&home, change)).unwrap();
        home.store.write(|c| remember(c, &charter, NOW)).err().map(|error| error.code().to_owned())
    };
    let refused = Some("E_CHARTER_CHAIN".to_owned());
    let second = |charter: &mut Charter| (charter.version, charter.prev) = (2, Some(Hex([1; 32])));
    assert_eq!(serve(second), None);
    assert_eq!(serve(|_| {}), refused, "an older version");
    assert_eq!(serve(second), refused, "made anew: another operator, so another p");
    assert_eq!(serve(|charter| (charter.tenant, charter.charter_id) = ("other".into(), "x".into())), refused);
    assert_eq!(serve(|charter| charter.charter_id = "another-trial".into()), None);
}
