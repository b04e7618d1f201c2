//! Reports and certificates of real AMD chips (`vectors/snp`; sources and licences in its README).
//!
//! A public report answers no challenge of ours, so these run the steps below the envelope.

use tiltyard_attestation::policy::{
    AppraisalPolicy, GpuFloor, Level, Platform, PlatformId, PlatformKind, Product, SnpFloor, Tcb, TeeFloor,
};
use tiltyard_attestation::reference::{ReferenceImage, ReferenceValues};
use tiltyard_attestation::snp::{Demands, Report, authenticate};
use tiltyard_attestation::{
    Backend, Base64Bytes, CheckId, Code, Collateral, Hex, LaunchConfig, Links, Role, Trace, TrustAnchors,
    Verdict,
};

use crate::minted::NOW;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/snp/");

pub fn file(name: &str) -> Vec<u8> {
    let bytes = std::fs::read(format!("{FOLDER}{name}")).unwrap();
    if !name.ends_with(".hex") {
        return bytes;
    }
    let text = String::from_utf8(bytes).unwrap();
    let digits: Vec<u32> = text.trim().chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Certificates of a PEM file, in order.
pub fn pem(name: &str) -> Vec<Base64Bytes> {
    x509_parser::pem::Pem::iter_from_buffer(&file(name)).map(|pem| pem.unwrap().contents.into()).collect()
}

pub fn certificates(vek: &str, chain: &str) -> Vec<Base64Bytes> {
    let mut all = vec![file(vek).into()];
    all.extend(pem(chain));
    all
}

/// Authenticates; the first finding when it was refused, and the trace.
pub fn run(report: &[u8], certificates: &[Base64Bytes], now: u64) -> (Option<(CheckId, Code)>, Trace) {
    let anchors = TrustAnchors::vendor();
    let mut trace = Trace::new();
    let result = Report::parse(report, &mut trace).and_then(|report| {
        authenticate(report, certificates, &anchors, &Links::new(), now, &mut trace).map(|_| ())
    });
    let finding = trace.findings().first().map(|finding| (finding.check, finding.code));
    assert_eq!(result.is_err(), finding.is_some(), "a refusal has a finding, and only a refusal");
    (finding, trace)
}

struct Genuine {
    product: Product,
    report: &'static str,
    vek: &'static str,
    chain: &'static str,
    /// First and last second of the VEK's validity.
    valid: (u64, u64),
}

const GENUINE: [Genuine; 6] = [
    Genuine {
        product: Product::Milan,
        report: "gosev_milan_v2_report.bin",
        vek: "gosev_milan_vcek.der",
        chain: "ask_ark_milan.pem",
        valid: (1_663_980_928, 1_884_905_728),
    },
    Genuine {
        product: Product::Milan,
        report: "virtee_milan_report.hex",
        vek: "virtee_milan_vcek.der",
        chain: "ask_ark_milan.pem",
        valid: (1_680_549_823, 1_901_474_623),
    },
    Genuine {
        product: Product::Milan,
        report: "trustee_test-report.bin",
        vek: "trustee_test-vcek.der",
        chain: "ask_ark_milan.pem",
        valid: (1_674_583_106, 1_895_507_906),
    },
    Genuine {
        product: Product::Milan,
        report: "trustee_test-vlek-report.bin",
        vek: "trustee_test-vlek.der",
        chain: "asvk_ark_milan_vlek.pem",
        valid: (1_733_868_861, 1_765_404_861),
    },
    Genuine {
        product: Product::Genoa,
        report: "routex_genoa_v5_report.bin",
        vek: "routex_genoa_v5_vcek.der",
        chain: "ask_ark_genoa.pem",
        valid: (1_762_858_188, 1_983_782_988),
    },
    Genuine {
        product: Product::Turin,
        report: "routex_turin_v5_report.bin",
        vek: "routex_turin_v5_vcek.der",
        chain: "ask_ark_turin.pem",
        valid: (1_752_771_886, 1_973_696_686),
    },
];

#[test]
fn signatures_hold_within_the_certificates_validity_and_nowhere_else() {
    for Genuine { report, vek, chain, valid: (first, last), .. } in GENUINE {
        let certificates = certificates(vek, chain);
        let at = |now| run(&file(report), &certificates, now).0;
        assert_eq!(at(first), None, "{report}");
        assert_eq!(at(last), None, "{report}");
        assert_eq!(at(first - 1), Some((CheckId::Snp07, Code::CertNotYetValid)), "{report}");
        assert_eq!(at(last + 1), Some((CheckId::Snp07, Code::CertExpired)), "{report}");
        // 2035.
        assert_eq!(at(2_051_222_400), Some((CheckId::Snp07, Code::CertExpired)), "{report}");
    }
}

#[test]
fn the_provider_signed_report_is_out_of_date_today() {
    let certificates = certificates("trustee_test-vlek.der", "asvk_ark_milan_vlek.pem");
    let report = file("trustee_test-vlek-report.bin");
    assert_eq!(run(&report, &certificates, 1_748_736_000).0, None);
    assert_eq!(run(&report, &certificates, NOW).0, Some((CheckId::Snp07, Code::CertExpired)));
}

#[test]
fn chains_of_other_products_and_kinds() {
    let mismatch = Some((CheckId::Snp06, Code::IssuerMismatch));
    let report = file("gosev_milan_v2_report.bin");
    for chain in [
        "ask_ark_genoa.pem",
        "ask_ark_turin.pem",
        "asvk_ark_milan_vlek.pem",
        "asvk_ark_genoa_vlek.pem",
        "asvk_ark_turin_vlek.pem",
    ] {
        assert_eq!(run(&report, &certificates("gosev_milan_vcek.der", chain), NOW).0, mismatch, "{chain}");
    }
    let report = file("trustee_test-vlek-report.bin");
    for chain in ["asvk_ark_genoa_vlek.pem", "ask_ark_milan.pem"] {
        let certificates = certificates("trustee_test-vlek.der", chain);
        assert_eq!(run(&report, &certificates, 1_748_736_000).0, mismatch, "{chain}");
    }
}

#[test]
fn another_chips_key_and_bent_bytes() {
    let refused = Some((CheckId::Snp04, Code::ReportSignature));
    let report = file("gosev_milan_v2_report.bin");
    let own = certificates("gosev_milan_vcek.der", "ask_ark_milan.pem");
    for other in ["virtee_milan_vcek.der", "trustee_test-vcek.der"] {
        assert_eq!(run(&report, &certificates(other, "ask_ark_milan.pem"), NOW).0, refused);
    }
    for at in [0x090, 0x2A0] {
        let mut bent = report.clone();
        bent[at] ^= 1;
        assert_eq!(run(&bent, &own, NOW).0, refused, "{at:#x}");
    }
    assert_eq!(run(&report[..1183], &own, NOW).0, Some((CheckId::Bnd09, Code::ReportLength)));
}

/// No report of this chip is public: its chain and its extensions are read, then the signature fails.
#[test]
fn the_turin_certificate_chain_is_accepted() {
    let certificates = certificates("virtee_turin_vcek.der", "ask_ark_turin.pem");
    let (finding, trace) = run(&file("gosev_milan_v2_report.bin"), &certificates, NOW);
    assert_eq!(finding, Some((CheckId::Snp04, Code::ReportSignature)));
    for id in [CheckId::Snp06, CheckId::Snp07] {
        let row = trace.outcomes().iter().find(|row| row.check == id).unwrap();
        assert_eq!(row.verdict, Verdict::Pass, "{id}");
    }
}

const TURIN: Tcb = Tcb { fmc: 0, bootloader: 1, tee: 0, snp: 2, microcode: 71 };

/// Verdicts of the policy layer on a genuine report, with a reference value made for it.
fn judged(genuine: &Genuine, level: Level, now: u64) -> Vec<(CheckId, Code)> {
    let bytes = file(genuine.report);
    let certificates = certificates(genuine.vek, genuine.chain);
    let anchors = TrustAnchors::vendor();
    let links = Links::new();
    let mut trace = Trace::new();
    let report = Report::parse(&bytes, &mut trace).unwrap();
    let authentic = authenticate(report, &certificates, &anchors, &links, now, &mut trace).unwrap();
    assert_eq!(authentic.product(), genuine.product);
    let row = |product| SnpFloor {
        product,
        // What each product's oldest report here has.
        tcb: match product {
            Product::Milan | Product::Genoa => Tcb { fmc: 0, bootloader: 2, tee: 0, snp: 5, microcode: 68 },
            Product::Turin => TURIN,
        },
        guest_svn: 0,
        mitigations: None,
        vmpl: 0,
    };
    let product = if genuine.product.satisfies(level) { genuine.product } else { Product::Turin };
    let mut platforms = Vec::new();
    if level != Level::Lab {
        platforms.push(Platform {
            kind: PlatformKind::ChipId,
            id: PlatformId::new(&bytes[0x1A0..0x1E0]).unwrap(),
            custody: String::new(),
            enrolled_at: 0,
            revoked_at: None,
        });
    }
    let policy = AppraisalPolicy::from_floors(
        level,
        &[Backend::Snp],
        &TeeFloor { snp: vec![row(product)], tdx: None },
        &GpuFloor::none(),
        &platforms,
    )
    .unwrap();
    let image = Hex([1; 32]);
    let measurement = Hex::from_slice(&bytes[0x090..0x0C0]).unwrap();
    let reference = ReferenceValues {
        images: vec![ReferenceImage {
            name: String::new(),
            backend: Backend::Snp,
            image,
            measurement,
            tdx: None,
        }],
        foreign_anchors: None,
    };
    let config = LaunchConfig {
        v: 1,
        role: Role::Referee,
        charter: Hex([0; 32]),
        order: None,
        lease: Hex([0; 16]),
        backend: Backend::Snp,
        image,
        vcpus: 1,
        memory_mib: 1,
        gpus: Vec::new(),
        disks: Vec::new(),
    };
    let collateral = Collateral::none();
    let demands = Demands {
        policy: &policy,
        reference: Some(&reference),
        config: Some(&config),
        links: &links,
        collateral: &collateral,
        now,
    };
    let facts = demands.judge(&authentic, &mut trace);
    assert_eq!(facts.measurement, measurement);
    trace.findings().iter().map(|finding| (finding.check, finding.code)).collect()
}

#[test]
fn milan_is_judged_in_lab_by_its_own_bits() {
    let [debug, clean, with_identity, provider, ..] = &GENUINE;
    assert_eq!(judged(debug, Level::Lab, NOW), [(CheckId::Snp18, Code::PolicyDebug)]);
    assert_eq!(judged(clean, Level::Lab, NOW), []);
    assert_eq!(judged(with_identity, Level::Lab, NOW), [(CheckId::Snp23, Code::IdKeyMismatch)]);
    assert_eq!(judged(provider, Level::Lab, 1_748_736_000), [(CheckId::Snp21, Code::VmplMismatch)]);
}

/// Version 5 of the report: mitigation vectors, and on Turin an 8-byte hardware id, another TCB layout and the bit that
/// says that IOMMU writes are safe.
#[test]
fn genoa_and_turin_lack_nothing_but_a_revocation_list() {
    const NO_LIST: (CheckId, Code) = (CheckId::Snp08, Code::RevocationUnknown);
    let [.., genoa, turin] = &GENUINE;
    assert_eq!(judged(genoa, Level::Lab, NOW), []);
    assert_eq!(judged(turin, Level::Lab, NOW), []);
    assert_eq!(judged(genoa, Level::Standard, NOW), [NO_LIST]);
    assert_eq!(judged(turin, Level::Standard, NOW), [NO_LIST]);
    // Its guest was not launched with all that `strict` asks for.
    assert_eq!(judged(turin, Level::Strict, NOW), [NO_LIST, (CheckId::Snp19, Code::PolicyMismatch)]);
    assert_eq!(file(turin.report)[0x40], 0x67, "SMT, TSME, ECC, alias check, IOMMU write safe");
}

#[test]
fn milan_is_refused_above_lab() {
    for level in [Level::Standard, Level::Strict] {
        for genuine in &GENUINE[..3] {
            let got = judged(genuine, level, NOW);
            assert!(got.contains(&(CheckId::Snp11, Code::ProductRefused)), "{} {got:?}", genuine.report);
            assert!(got.contains(&(CheckId::Snp08, Code::RevocationUnknown)), "{} {got:?}", genuine.report);
        }
    }
}

/// The copies here are those of the workspace's vector collection, where that is at hand.
#[test]
fn vectors_are_the_published_bytes() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/snp/");
    if !std::path::Path::new(shared).exists() {
        eprintln!("SKIPPED: the shared vector collection is absent");
        return;
    }
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Found elsewhere than the collection.
        if name != "README.md" && !name.starts_with("routex_") {
            assert_eq!(
                std::fs::read(format!("{shared}{name}")).unwrap(),
                std::fs::read(format!("{FOLDER}{name}")).unwrap()
            );
        }
    }
}
