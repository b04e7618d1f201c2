//! What passes, what it is called then, and that vendor anchors pass none of it.

use tiltyard_attestation::policy::{Level, Product};
use tiltyard_attestation::result::Anchors;
use tiltyard_attestation::{Collateral, TrustAnchors, Verdict};

use crate::bench::{Bench, findings, report_of, stranger};

const SIMULATED: [(Product, u32); 5] =
    [(Product::Milan, 2), (Product::Milan, 3), (Product::Genoa, 3), (Product::Turin, 3), (Product::Turin, 5)];

#[test]
fn foreign_anchors_and_a_lab_charter_accept_and_say_not_a_vendor_root() {
    for (product, version) in SIMULATED {
        let bench = Bench::lab(product, version);
        let accepted = bench.appraise(&bench.evidence(|_| {})).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!(accepted.anchors(), Anchors::NotVendor(bench.platform.anchors().digest()));
        assert!(accepted.anchors().to_string().starts_with(tiltyard_simulator::NOTICE));
        let snp = accepted.cpu().snp().expect("an SNP report");
        assert_eq!((snp.product, snp.report_version), (product, version));
        assert_eq!(snp.chip_id, bench.platform.chip_id());
        assert_eq!(accepted.config(), &bench.guest.config);
        assert!(accepted.trace().iter().all(|row| row.verdict != Verdict::Fail));
    }
}

#[test]
fn vendor_anchors_refuse_every_simulated_report() {
    for (product, version) in SIMULATED {
        let bench = Bench::lab(product, version).with(|bench| bench.anchors = TrustAnchors::vendor());
        assert_eq!(bench.findings(|_| {}), ["SNP-06 UntrustedRoot"], "{product:?}");
        // Without the simulated root beside it, the ASK claims to be issued by AMD's.
        let hidden = bench.findings(|draft| draft.certificates.truncate(2));
        assert_eq!(hidden, ["SNP-06 CertSignature"], "{product:?}");
    }
}

#[test]
fn no_charter_above_lab_accepts_foreign_anchors() {
    for level in [Level::Standard, Level::Strict] {
        let bench = Bench::above_lab(level, Product::Turin, 5);
        let found = bench.findings(strict_guest);
        assert_eq!(found, ["POL-02 AnchorsNotVendor"], "{level:?}");
    }
}

#[test]
fn another_simulators_machine_is_refused() {
    let bench = Bench::lab(Product::Genoa, 3).with(|bench| bench.platform = stranger());
    assert_eq!(bench.findings(|_| {}), ["SNP-06 UntrustedRoot"]);
    let hidden = bench.findings(|draft| draft.certificates.truncate(2));
    assert_eq!(hidden, ["SNP-06 CertSignature"]);
}

#[test]
fn a_lab_charter_warns_where_a_higher_one_refuses() {
    let bench = Bench::lab(Product::Genoa, 3).with(|bench| bench.collateral = Collateral::none());
    let evidence = bench.evidence(|draft| {
        draft.report.platform_info &= !(1 << 5);
        draft.report.current_tcb.microcode += 1;
    });
    let accepted = bench.appraise(&evidence).unwrap_or_else(|refusal| panic!("{refusal}"));
    let warned: Vec<_> = accepted.trace().iter().filter(|row| row.verdict == Verdict::Warning).collect();
    let mut ids: Vec<_> = warned.iter().map(|row| row.check.to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["SNP-08", "SNP-14", "SNP-17", "SNP-20"]);
}

#[test]
fn minted_evidence_is_the_same_each_time_and_travels_as_json() {
    let bench = Bench::lab(Product::Turin, 5);
    let (first, second) = (bench.evidence(|_| {}), bench.evidence(|_| {}));
    assert_eq!(first, second);
    let json = serde_json::to_vec(&first).expect("JSON");
    let read = serde_json::from_slice(&json).expect("read back");
    assert_eq!(findings(bench.appraise(&read)), [""; 0]);
}

/// One bit of every byte of a version 5 report, of which no public sample exists.
#[test]
fn no_flipped_bit_of_a_report_is_accepted() {
    let bench = Bench::lab(Product::Turin, 5);
    let verifier = bench.verifier();
    let genuine = bench.evidence(|_| {});
    for at in 0..1184 {
        let mut evidence = genuine.clone();
        report_of(&mut evidence)[at] ^= 1 << (at % 8);
        let result = verifier.appraise(bench.challenge(), &evidence, &bench.collateral, bench.now);
        assert!(result.is_err(), "byte {at:#x} bit {}", at % 8);
    }
}

/// A second X.509 reader finds in the certificates what AMD's layout demands.
#[test]
fn another_parser_reads_the_certificates_alike() {
    use x509_cert::der::Decode;
    let hwid = "1.3.6.1.4.1.3704.1.4";
    for (product, hwid_bytes) in [(Product::Milan, 64), (Product::Genoa, 64), (Product::Turin, 8)] {
        let bench = Bench::lab(product, 3);
        let read = |der: &[u8]| x509_cert::Certificate::from_der(der).expect("certificate");
        let issued = bench.platform.certificates();
        let (vcek, ask, ark) = (read(&issued[0]), read(&issued[1]), read(bench.platform.ark()));
        assert_eq!(vcek.tbs_certificate().issuer(), ask.tbs_certificate().subject());
        assert_eq!(ask.tbs_certificate().issuer(), ark.tbs_certificate().subject());
        assert_eq!(ark.tbs_certificate().issuer(), ark.tbs_certificate().subject());
        assert!(ark.tbs_certificate().subject().to_string().contains(&format!("CN=ARK-{product:?}")));
        let extensions = vcek.tbs_certificate().extensions().expect("extensions");
        let found = extensions.iter().find(|row| row.extn_id.to_string() == hwid).expect("HWID");
        assert_eq!(found.extn_value.as_bytes(), &bench.platform.chip_id().0[..hwid_bytes]);
        x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&bench.platform.crl())
            .expect("list");
    }
}

/// Guest policy of a strict charter: SMT refused, ciphertext hiding and no page swap asked.
pub(crate) fn strict_guest(draft: &mut tiltyard_simulator::mint::Draft) {
    draft.report.policy = 1 << 17 | 1 << 24 | 1 << 25;
}
