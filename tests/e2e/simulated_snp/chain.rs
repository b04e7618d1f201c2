//! Certificates and revocation lists that break one rule of the chain (SNP-06..SNP-08, COL-03).

use tiltyard_attestation::Collateral;
use tiltyard_attestation::policy::{Level, Product};
use tiltyard_simulator::certificates::{CertificateFields, Constraints};
use tiltyard_simulator::keys::Authority;

use crate::bench::{Bench, NOW};

const DAY_S: u64 = 86_400;

/// Findings of a lab charter for a machine with other certificates.
fn broken(edit: impl FnOnce(&mut CertificateFields)) -> Vec<String> {
    Bench::lab(Product::Genoa, 3).reissued(edit).findings(|_| {})
}

#[test]
fn snp_06_root_of_another_name() {
    let found = broken(|fields| {
        fields.ark.subject = "ARK-Other".to_owned();
        fields.ark.issuer = "ARK-Other".to_owned();
    });
    assert_eq!(found, ["SNP-06 UntrustedRoot"]);
}

#[test]
fn snp_06_ask_that_names_another_issuer() {
    let found = broken(|fields| fields.ask.issuer = "ARK-Milan".to_owned());
    assert_eq!(found, ["SNP-06 IssuerMismatch"]);
}

#[test]
fn snp_06_vcek_that_names_another_issuer() {
    let found = broken(|fields| fields.vcek.issuer = "SEV-Milan".to_owned());
    assert_eq!(found, ["SNP-06 IssuerMismatch"]);
}

#[test]
fn snp_06_ask_that_is_no_ca() {
    for constraints in [Constraints::NotCa, Constraints::Absent] {
        let found = broken(|fields| fields.ask.constraints = constraints);
        assert_eq!(found, ["SNP-06 IssuerNotCa"], "{constraints:?}");
    }
}

#[test]
fn snp_06_ask_signed_by_itself_in_the_roots_name() {
    let found = broken(|fields| fields.ask.signer = Authority::Ask);
    assert_eq!(found, ["SNP-06 CertSignature"]);
}

#[test]
fn snp_06_vcek_signed_by_the_root_in_the_asks_name() {
    let found = broken(|fields| fields.vcek.signer = Authority::Ark);
    assert_eq!(found, ["SNP-06 CertSignature"]);
}

#[test]
fn snp_06_certificate_missing_doubled_or_garbled() {
    let bench = Bench::lab(Product::Genoa, 3);
    assert_eq!(bench.findings(|draft| draft.certificates.clear()), ["SNP-06 ChainShape"]);
    assert_eq!(bench.findings(|draft| draft.certificates.truncate(1)), ["SNP-06 ChainShape"]);
    let doubled = bench.findings(|draft| draft.certificates.push(draft.certificates[2].clone()));
    assert_eq!(doubled, ["SNP-06 ChainShape"]);
    assert_eq!(bench.findings(|draft| draft.certificates[0].push(0)), ["SNP-06 CertFormat"]);
    assert_eq!(bench.findings(|draft| draft.certificates[0][0] = 0), ["SNP-06 CertFormat"]);
}

#[test]
fn snp_07_expired_certificates() {
    let ended = |fields: &mut u64| *fields = NOW - 1;
    assert_eq!(broken(|fields| ended(&mut fields.vcek.validity.not_after)), ["SNP-07 CertExpired"]);
    assert_eq!(broken(|fields| ended(&mut fields.ask.validity.not_after)), ["SNP-07 CertExpired"]);
    let last_second = broken(|fields| fields.vcek.validity.not_after = NOW);
    assert!(last_second.is_empty(), "{last_second:?}");
}

#[test]
fn snp_07_certificates_of_the_future() {
    let later = |fields: &mut u64| *fields = NOW + 1;
    assert_eq!(broken(|fields| later(&mut fields.vcek.validity.not_before)), ["SNP-07 CertNotYetValid"]);
    assert_eq!(broken(|fields| later(&mut fields.ask.validity.not_before)), ["SNP-07 CertNotYetValid"]);
}

#[test]
fn snp_07_every_certificate_expired() {
    let bench = Bench::lab(Product::Genoa, 3).with(|bench| {
        bench.now = tiltyard_simulator::certificates::NOT_AFTER_S + 1;
        bench.issued_at = bench.now;
    });
    assert_eq!(bench.findings(|_| {}), ["SNP-07 CertExpired"]);
}

/// Another revocation list.
fn listed(edit: impl FnOnce(&mut CertificateFields)) -> Bench {
    Bench::lab(Product::Genoa, 3).reissued(edit)
}

#[test]
fn snp_08_revoked_ask() {
    let bench = listed(|fields| fields.crl.revoked = vec![1, fields.ask.serial]);
    assert_eq!(bench.findings(|_| {}), ["SNP-08 CertRevoked"]);
    assert!(listed(|fields| fields.crl.revoked = vec![1, 2]).findings(|_| {}).is_empty());
}

#[test]
fn snp_08_revoked_vcek() {
    let bench = listed(|fields| {
        fields.vcek.serial = 77;
        fields.crl.revoked = vec![77];
    });
    assert_eq!(bench.findings(|_| {}), ["SNP-08 CertRevoked"]);
}

#[test]
fn snp_08_an_outdated_list_still_revokes() {
    let bench = listed(|fields| {
        fields.crl.next_update = NOW - 1;
        fields.crl.revoked = vec![fields.ask.serial];
    });
    assert_eq!(bench.findings(|_| {}), ["SNP-08 CertRevoked"]);
}

#[test]
fn snp_08_unknown_revocation_above_lab() {
    let unknown = [
        listed(|fields| fields.crl.next_update = NOW - 1),
        listed(|fields| fields.crl.this_update = NOW + 1),
        listed(|fields| fields.crl.signer = Authority::Ask),
        listed(|fields| fields.crl.issuer = "ARK-Milan".to_owned()),
        listed(|_| {}).with(|bench| bench.collateral = Collateral::none()),
        listed(|_| {}).with(|bench| bench.collateral.snp_crls[0].0.push(0)),
    ];
    for (number, bench) in unknown.into_iter().enumerate() {
        assert!(bench.findings(|_| {}).is_empty(), "lab warns only: {number}");
        let standard = Bench::above_lab(Level::Standard, Product::Genoa, 3)
            .with(|standard| standard.collateral = bench.collateral.clone());
        let found = standard.findings(|_| {});
        assert_eq!(found, ["POL-02 AnchorsNotVendor", "SNP-08 RevocationUnknown"], "{number}");
    }
}

#[test]
fn col_03_list_older_than_the_level_allows() {
    let list =
        |age_days: u64| listed(|fields| fields.crl.this_update = NOW - age_days * DAY_S - 1).collateral;
    let lab = |age_days| Bench::lab(Product::Genoa, 3).with(|bench| bench.collateral = list(age_days));
    assert!(lab(364).findings(|_| {}).is_empty());
    assert_eq!(lab(365).findings(|_| {}), ["COL-03 CollateralStale"]);
    let standard =
        Bench::above_lab(Level::Standard, Product::Genoa, 3).with(|bench| bench.collateral = list(30));
    assert_eq!(standard.findings(|_| {}), ["POL-02 AnchorsNotVendor", "COL-03 CollateralStale"]);
}
