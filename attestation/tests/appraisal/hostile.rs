//! Bits flipped one at a time, truncations, trailing bytes, noise: nothing accepted, nothing panics.

use proptest::prelude::*;
use tiltyard_attestation::evidence::{CpuEvidence, Evidence};
use tiltyard_attestation::{Base64Bytes, Collateral, ForeignAnchors, LaunchConfig};

use crate::genuine::{certificates, file, run};
use crate::minted::{self, Guest, NOW, Setup};

/// One bit of each byte, another one from byte to byte: an eighth of all single-bit flips; all of them
/// when `TILTYARD_FLIPS` is `all`, as before a release.
fn sampled_flips(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let all = std::env::var("TILTYARD_FLIPS").is_ok_and(|value| value == "all");
    let places = (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit)));
    places.filter(move |&(at, bit)| all || bit == at % 8).map(move |(at, bit)| {
        let mut bent = bytes.to_vec();
        bent[at] ^= 1 << bit;
        (format!("bit {bit} of byte {at:#x}"), bent)
    })
}

fn report_mut(evidence: &mut Evidence) -> &mut Vec<u8> {
    let CpuEvidence::Snp { report, .. } = &mut evidence.cpu else { unreachable!() };
    &mut report.0
}

#[test]
fn no_flip_of_a_genuine_report_is_accepted() {
    let own = certificates("virtee_milan_vcek.der", "ask_ark_milan.pem");
    let report = file("virtee_milan_report.hex");
    assert_eq!(run(&report, &own, NOW).0, None);
    let accepted: Vec<String> = sampled_flips(&report)
        .filter(|(_, bent)| run(bent, &own, NOW).0.is_none())
        .map(|(which, _)| which)
        .collect();
    assert_eq!(accepted, Vec::<String>::new());
}

#[test]
fn no_flip_of_a_genuine_certificate_is_accepted() {
    let own = certificates("virtee_milan_vcek.der", "ask_ark_milan.pem");
    let report = file("virtee_milan_report.hex");
    let mut accepted = Vec::new();
    for place in 0..own.len() {
        for (which, bent) in sampled_flips(&own[place].0) {
            let mut certificates = own.clone();
            certificates[place] = bent.into();
            if run(&report, &certificates, NOW).0.is_none() {
                accepted.push(format!("certificate {place}: {which}"));
            }
        }
    }
    assert_eq!(accepted, Vec::<String>::new());
}

#[test]
fn no_flip_of_minted_evidence_is_accepted() {
    let setup = Setup::lab();
    let genuine = Guest::turin().evidence();
    assert!(setup.appraise(&genuine).is_ok());
    let CpuEvidence::Snp { report, .. } = &genuine.cpu else { unreachable!() };
    for (which, bent) in sampled_flips(&report.0) {
        let mut evidence = genuine.clone();
        *report_mut(&mut evidence) = bent;
        assert!(setup.appraise(&evidence).is_err(), "report: {which}");
    }
    for (which, bent) in sampled_flips(&genuine.runtime.0) {
        let evidence = Evidence { runtime: bent.into(), ..genuine.clone() };
        assert!(setup.appraise(&evidence).is_err(), "runtime: {which}");
    }
    for (which, bent) in sampled_flips(&genuine.config.0) {
        let evidence = Evidence { config: bent.into(), ..genuine.clone() };
        assert!(setup.appraise(&evidence).is_err(), "configuration: {which}");
    }
}

#[test]
fn no_truncation_and_no_trailing_byte_is_accepted() {
    let own = certificates("virtee_milan_vcek.der", "ask_ark_milan.pem");
    let report = file("virtee_milan_report.hex");
    for len in 0..report.len() {
        assert!(run(&report[..len], &own, NOW).0.is_some(), "{len} bytes");
    }
    let mut longer = report.clone();
    for _ in 0..64 {
        longer.push(0);
        assert!(run(&longer, &own, NOW).0.is_some(), "{} bytes", longer.len());
    }
    for place in 0..own.len() {
        for cut in 1..own[place].0.len() {
            let mut certificates = own.clone();
            certificates[place].0.truncate(cut);
            assert!(run(&report, &certificates, NOW).0.is_some(), "certificate {place} of {cut} bytes");
        }
    }
}

/// No policy waives an `A` check: each stays a failure in `lab`, the loosest level, with every override.
#[test]
fn always_checks_hold_in_lab() {
    let bends: [(&str, fn(&mut Vec<u8>)); 7] = [
        ("SNP-01", |report| report[0] = 9),
        ("SNP-02", |report| report[0x034] = 2),
        ("SNP-05", |report| report[0x04C] = 1),
        ("SNP-10", |report| report[0x188] = 0),
        ("SNP-12", |report| report[0x187] += 1),
        ("SNP-15", |report| report[0x1A0] ^= 1),
        ("SNP-18", |report| report[0x00A] |= 8),
    ];
    let setup = Setup { collateral: Collateral::none(), ..Setup::lab() };
    for (id, bend) in bends {
        let found = setup.refused(&Guest::turin().evidence_with(bend));
        assert!(found.iter().any(|(check, _)| *check == id), "{id}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_never_panics(
        report in proptest::collection::vec(any::<u8>(), 0..1300),
        exact in proptest::collection::vec(any::<u8>(), 1184),
        noise in proptest::collection::vec(any::<u8>(), 0..600),
        at in 0usize..1184,
        version in 0u8..7,
    ) {
        let own = vec![Base64Bytes(noise.clone()), Base64Bytes(report.clone())];
        run(&report, &own, NOW);
        let mut shaped = exact;
        minted::put(&mut shaped, 0, &[version, 0, 0, 0]);
        minted::put(&mut shaped, 0x034, &[1, 0, 0, 0]);
        shaped[0x2D0..0x2E8].fill(0);
        shaped[0x318..].fill(0);
        run(&shaped, &own, NOW);
        let _ = LaunchConfig::from_bytes(&noise);
        let _ = ForeignAnchors::from_bytes(&noise);

        let mut evidence = Guest::turin().evidence();
        report_mut(&mut evidence)[at] ^= version;
        let mut list = minted::file("good.crl");
        let len = list.0.len();
        list.0[at % len] ^= version;
        let collateral = Collateral { snp_crls: vec![list, Base64Bytes(noise)], ..Collateral::none() };
        let setup = Setup { collateral, ..Setup::lab() };
        let _ = setup.appraise(&evidence);
    }
}
