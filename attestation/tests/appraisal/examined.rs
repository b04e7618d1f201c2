//! Evidence looked at by itself: what a policy document asks of it, and what parts say about each other.

use tiltyard_attestation::collateral::{Provenance, Source};
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::Certificates;
use tiltyard_attestation::policy::{Architecture, PolicyDocument};
use tiltyard_attestation::{
    Base64Bytes, CheckId, Code, Collateral, CpuExhibit, DeviceExhibit, Examination, Exhibits, Hex, Nonce,
    TrustAnchors, Verdict, Verifier,
};

use crate::genuine;
use crate::minted::{NOW, file, files, foreign};

const DEVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/nvidia/device/");

fn examine(
    anchors: TrustAnchors,
    document: &str,
    exhibits: &Exhibits,
    collateral: &Collateral,
) -> Examination {
    examine_at(anchors, document, exhibits, collateral, NOW)
}

fn examine_at(
    anchors: TrustAnchors,
    document: &str,
    exhibits: &Exhibits,
    collateral: &Collateral,
    now: u64,
) -> Examination {
    let document = PolicyDocument::from_bytes(document.as_bytes()).unwrap();
    Verifier::for_examination(anchors, &document).unwrap().examine(exhibits, collateral, now)
}

fn findings(examination: &Examination) -> Vec<(CheckId, Code)> {
    examination.findings.iter().map(|finding| (finding.check, finding.code)).collect()
}

fn verdicts(examination: &Examination, check: CheckId) -> Vec<Verdict> {
    examination.checks.iter().filter(|row| row.check == check).map(|row| row.verdict).collect()
}

fn preset(level: &str) -> String {
    format!(r#"{{"v":1,"preset":"{level}"}}"#)
}

fn cpu(report: Option<Vec<u8>>, certificates: Vec<Base64Bytes>) -> Exhibits {
    Exhibits { cpu: Some(CpuExhibit::Snp { report, certificates }), ..Exhibits::default() }
}

fn milan() -> Exhibits {
    let certificates = genuine::certificates("virtee_milan_vcek.der", "ask_ark_milan.pem");
    cpu(Some(genuine::file("virtee_milan_report.hex")), certificates)
}

fn quote() -> Exhibits {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tdx/trustee_tdx_quote_4.dat");
    let quote = std::fs::read(path).unwrap();
    Exhibits { cpu: Some(CpuExhibit::Tdx { quote, event_log: None }), ..Exhibits::default() }
}

fn h100() -> DeviceExhibit {
    let read = |name: &str| std::fs::read_to_string(format!("{DEVICE}{name}")).unwrap();
    let digits: Vec<u8> = read("hopperAttestationReport.txt").trim().bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    DeviceExhibit {
        architecture: None,
        kind: DeviceKind::Gpu,
        nonce: None,
        report: Some(digits.chunks(2).map(byte).collect()),
        certificates: Certificates::from_pem(read("hopperCertChain.txt").as_bytes()),
    }
}

fn devices(devices: Vec<DeviceExhibit>) -> Exhibits {
    Exhibits { devices, ..Exhibits::default() }
}

#[test]
fn snp_08_a_chain_by_itself_is_held_against_the_lists() {
    let chain = || cpu(None, files(&["vcek_turin.der", "ask_turin.der", "ark_turin.der"]));
    let with = |list: &str| {
        let collateral = Collateral { snp_crls: files(&[list]), ..Collateral::none() };
        examine(TrustAnchors::foreign(foreign()).unwrap(), &preset("lab"), &chain(), &collateral)
    };
    for list in ["revokes_vcek.crl", "revokes_ask.crl", "past_revokes.crl"] {
        assert_eq!(findings(&with(list)), [(CheckId::Snp08, Code::CertRevoked)], "{list}");
    }
    let good = with("good.crl");
    assert_eq!((findings(&good), verdicts(&good, CheckId::Snp08)), (vec![], vec![Verdict::Pass]));
    let unknown =
        examine(TrustAnchors::foreign(foreign()).unwrap(), &preset("lab"), &chain(), &Collateral::none());
    assert_eq!((findings(&unknown), verdicts(&unknown, CheckId::Snp08)), (vec![], vec![Verdict::Warning]));
    // Vendor roots: only those satisfy a level above `lab`.
    let genuine = cpu(None, genuine::certificates("virtee_turin_vcek.der", "ask_ark_turin.pem"));
    for level in ["standard", "strict"] {
        let found = examine(TrustAnchors::vendor(), &preset(level), &genuine, &Collateral::none());
        assert_eq!(findings(&found), [(CheckId::Snp08, Code::RevocationUnknown)], "{level}");
    }
}

#[test]
fn gpu_08_certificates_and_manifests_by_themselves_are_not_silently_good() {
    let alone = || devices(vec![DeviceExhibit { report: None, ..h100() }]);
    let lab = examine(TrustAnchors::vendor(), &preset("lab"), &alone(), &Collateral::none());
    assert_eq!(verdicts(&lab, CheckId::Gpu08), [Verdict::Warning]);
    let strict = examine(TrustAnchors::vendor(), &preset("strict"), &alone(), &Collateral::none());
    assert!(
        findings(&strict).contains(&(CheckId::Gpu08, Code::RevocationUnknown)),
        "{:?}",
        findings(&strict)
    );
    let rim = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/nvidia/rim/nvtrust_VBIOS_1010_0200_882_96005E0001_PROD.swidtag"
    );
    let manifest = Collateral { rims: vec![std::fs::read(rim).unwrap().into()], ..Collateral::none() };
    // 2024-06-01: the manifest's signer has expired since.
    let run = |level: &str| {
        let none = Exhibits::default();
        examine_at(TrustAnchors::vendor(), &preset(level), &none, &manifest, 1_717_200_000)
    };
    let lab = run("lab");
    assert_eq!((findings(&lab), verdicts(&lab, CheckId::Gpu08)), (vec![], vec![Verdict::Warning]));
    let strict = run("strict");
    assert_eq!(findings(&strict), [(CheckId::Gpu08, Code::RevocationUnknown)]);
}

#[test]
fn pol_01_evidence_of_a_kind_that_the_document_does_not_list() {
    let refused = vec![(CheckId::Pol01, Code::BackendNotListed)];
    let run = |backends: &str, exhibits: &Exhibits| {
        let document = format!(r#"{{"v":1,"preset":"lab","backends":[{backends}]}}"#);
        let mut found = findings(&examine(TrustAnchors::vendor(), &document, exhibits, &Collateral::none()));
        // The public quote is of a guest that can be debugged.
        found.retain(|(check, _)| *check != CheckId::Tdx13);
        found
    };
    for (backends, report, of_quote) in [
        (r#""snp""#, vec![], refused.clone()),
        (r#""tdx""#, refused.clone(), vec![]),
        (r#""snp","tdx""#, vec![], vec![]),
        // A process has no machine of its own: simulated evidence of either kind stands in for it.
        (r#""process""#, vec![], vec![]),
    ] {
        assert_eq!(run(backends, &milan()), report, "{backends}");
        assert_eq!(run(backends, &quote()), of_quote, "{backends}");
    }
    assert_eq!(run("", &milan()), [], "no list is no limit");
}

#[test]
fn gpu_17_counts_that_the_document_names() {
    let document = |level: &str, count: u8, switches: u8| {
        format!(
            r#"{{"v":1,"preset":"{level}","gpu":{{"count":{count},"devices":{{"architectures":["hopper"],"mode":"spt",
            "driver":"535.86","vbios":"96.00.5E.00.01","switches":{switches}}}}}}}"#
        )
    };
    let run = |document: &str, exhibits: &Exhibits| {
        examine(TrustAnchors::vendor(), document, exhibits, &Collateral::none())
    };
    let mismatch = (CheckId::Gpu17, Code::TopologyMismatch);
    let one = || devices(vec![h100()]);
    for (count, switches, met) in [(1, 0, true), (2, 0, false), (0, 0, false), (1, 4, false), (8, 4, false)] {
        let found = findings(&run(&document("lab", count, switches), &one()));
        assert_eq!(found.contains(&mismatch), !met, "{count} and {switches}: {found:?}");
    }
    // All devices withheld are missed like a few of them.
    let bare = run(&document("lab", 1, 0), &milan());
    assert_eq!(findings(&bare), [mismatch]);
    let bare = run(&document("standard", 1, 0), &milan());
    assert!(findings(&bare).contains(&mismatch), "{:?}", findings(&bare));
    let certificates = DeviceExhibit { report: None, ..h100() };
    let withheld = Exhibits { devices: vec![certificates], ..milan() };
    assert_eq!(findings(&run(&document("lab", 1, 0), &withheld)), [mismatch], "certificates are no device");
    let shown = Exhibits { devices: vec![h100()], ..milan() };
    let found = run(&document("lab", 1, 0), &shown);
    assert_eq!(verdicts(&found, CheckId::Gpu17), [Verdict::NotShown], "counted once, and nothing is missing");
    // A chain by itself is no guest.
    let chain = cpu(None, genuine::certificates("virtee_milan_vcek.der", "ask_ark_milan.pem"));
    assert_eq!(findings(&run(&document("lab", 1, 0), &chain)), []);
    assert_eq!(verdicts(&run(&preset("lab"), &milan()), CheckId::Gpu17), []);
}

#[test]
fn bnd_05_bnd_06_parts_side_by_side_are_tied_or_said_not_to_be() {
    let run = |exhibits: &Exhibits, level: &str| {
        examine(TrustAnchors::vendor(), &preset(level), exhibits, &Collateral::none())
    };
    let mut other = h100();
    // The request's nonce begins at its fifth byte (DSP0274, GET_MEASUREMENTS).
    other.report.as_mut().unwrap()[4] ^= 1;
    let apart = findings(&run(&devices(vec![h100(), other]), "lab"));
    assert!(apart.contains(&(CheckId::Bnd05, Code::CompositeBinding)), "{apart:?}");
    let alike = run(&devices(vec![h100(), h100()]), "lab");
    assert_eq!(verdicts(&alike, CheckId::Bnd05), [Verdict::Pass]);
    assert_eq!(findings(&alike), [(CheckId::Gpu15, Code::DuplicateDevice)], "one device twice");

    let both = Exhibits { devices: vec![h100()], ..milan() };
    let lab = run(&both, "lab");
    assert_eq!((findings(&lab), verdicts(&lab, CheckId::Bnd06)), (vec![], vec![Verdict::NotShown]));
    let strict = findings(&run(&both, "strict"));
    assert!(strict.contains(&(CheckId::Bnd06, Code::CompositeBinding)), "{strict:?}");
    assert_eq!(verdicts(&run(&devices(vec![h100()]), "lab"), CheckId::Bnd06), [], "nothing to be tied to");
}

#[test]
fn gpu_04_a_nonce_in_the_file_must_be_that_of_the_report() {
    let report = h100().report.unwrap();
    let asked = Hex::<32>::from_slice(&report[4..36]).unwrap();
    let run = |in_file, given| {
        let device = DeviceExhibit { nonce: in_file, ..h100() };
        let exhibits = Exhibits { devices: vec![device], nonce: given, ..Exhibits::default() };
        examine(TrustAnchors::vendor(), &preset("lab"), &exhibits, &Collateral::none())
    };
    let said = run(Some(asked), None);
    assert_eq!((findings(&said), verdicts(&said, CheckId::Bnd01)), (vec![], vec![Verdict::NotShown]));
    let other = findings(&run(Some(Hex([7; 32])), None));
    assert_eq!(other, [(CheckId::Gpu04, Code::NonceMismatch)]);
    // What the caller asked with counts, whatever the file says.
    let given = run(Some(Hex([7; 32])), Some(Nonce::Half(asked)));
    assert_eq!((findings(&given), verdicts(&given, CheckId::Bnd01)), (vec![], vec![]), "no nonce is missed");
}

#[test]
fn bnd_01_the_report_data_is_what_was_asked_with() {
    let Some(CpuExhibit::Snp { report: Some(report), .. }) = milan().cpu else { panic!("a report") };
    let whole = Hex::<64>::from_slice(&report[0x50..0x90]).unwrap();
    let run = |nonce| {
        let exhibits = Exhibits { nonce: Some(nonce), ..milan() };
        examine(TrustAnchors::vendor(), &preset("lab"), &exhibits, &Collateral::none())
    };
    let same = run(Nonce::Whole(whole));
    assert_eq!((findings(&same), verdicts(&same, CheckId::Bnd01)), (vec![], vec![Verdict::Pass]));
    for other in [Nonce::Whole(Hex([7; 64])), Nonce::Half(Hex([7; 32]))] {
        assert_eq!(findings(&run(other)), [(CheckId::Bnd01, Code::NonceMismatch)]);
    }
}

#[test]
fn manifests_of_a_bundle_say_nothing_of_a_guest_without_devices() {
    let forged: Base64Bytes = b"<SoftwareIdentity/>".to_vec().into();
    let with = |source| {
        let collateral = Collateral {
            snp_crls: vec![file("good.crl")],
            rims: vec![forged.clone()],
            source,
            ..Collateral::none()
        };
        findings(&examine(TrustAnchors::vendor(), &preset("lab"), &milan(), &collateral))
    };
    let bundle = Provenance { manifest: Hex([1; 32]), created_at: 0, expires_at: NOW, newest: 0 };
    // Its list is another root's, and this chip's is missed.
    assert_eq!(with(Source::Bundle(bundle)), [(CheckId::Col02, Code::CollateralMissing)]);
    assert_eq!(with(Source::Loose), [(CheckId::Rim01, Code::RimFormat)], "given by itself, it is looked at");
}

/// A bundle is complete only if every check found in it what it looked for.
#[test]
fn col_02_each_item_that_a_check_looks_for_in_vain_is_named() {
    let run = |exhibits: &Exhibits, collateral: Collateral| {
        let bundle = Provenance { manifest: Hex([1; 32]), created_at: 0, expires_at: NOW, newest: 0 };
        let collateral = Collateral { source: Source::Bundle(bundle), ..collateral };
        let found = examine(TrustAnchors::vendor(), &preset("lab"), exhibits, &collateral);
        let row = found.checks.into_iter().find(|row| row.check == CheckId::Col02).unwrap();
        (row.verdict, row.got)
    };
    let without = |certificates: Vec<Base64Bytes>| {
        let report = Some(genuine::file("virtee_milan_report.hex"));
        run(&cpu(report, Vec::new()), Collateral { snp_certificates: certificates, ..Collateral::none() })
    };
    let vcek: Base64Bytes = genuine::file("virtee_milan_vcek.der").into();
    for (found, lacking) in [
        (run(&milan(), Collateral::none()), &["revocation list of AMD (cpu0)"][..]),
        (without(vec![]), &["endorsement key of this chip (cpu0)"]),
        (without(vec![vcek]), &["issuers of this chip's key (cpu0)"]),
        (
            run(&quote(), Collateral::none()),
            &["revocation lists of Intel (cpu0)", "TCB info and QE identity of Intel for FMSPC "],
        ),
        (
            run(&devices(vec![h100()]), Collateral::none()),
            &[
                "driver manifest GH100 550.90.07 (gpu0)",
                "vbios manifest GH100 96.00.9F.00.01 (gpu0)",
                "revocation answer or list of NVIDIA (gpu0)",
            ],
        ),
    ] {
        assert_eq!(found.0, Verdict::Fail, "{lacking:?}: {}", found.1);
        for item in lacking {
            assert!(found.1.contains(item), "{item}: {}", found.1);
        }
    }
    // A manifest of another version is not the one that was looked for.
    let near = format!(
        "{}/tests/vectors/nvidia/rim/nvat_NV_GPU_DRIVER_GH100_550.144.03.xml",
        env!("CARGO_MANIFEST_DIR")
    );
    let rims = vec![std::fs::read(near).unwrap().into()];
    let (_, got) = run(&devices(vec![h100()]), Collateral { rims, ..Collateral::none() });
    assert!(got.contains("driver manifest GH100 550.90.07"), "{got}");
    // Where a check stopped, what it would have looked for is not known.
    let other = genuine::certificates("virtee_milan_vcek.der", "ask_ark_genoa.pem");
    assert_eq!(run(&cpu(None, other), Collateral::none()).0, Verdict::NotShown);
}

/// A manifest that no device needed is still looked at, so that a forged one is never passed over.
#[test]
fn rim_03_a_forged_manifest_beside_a_device() {
    let read = |name: &str| {
        std::fs::read(format!("{}/tests/vectors/nvidia/rim/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let genuine = read("nvat_NV_GPU_DRIVER_GH100_550.144.03.xml");
    let forged = read("nvat_incorrect_signature_driver_rim.xml");
    let of_a_switch = read("nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml");
    let run = |rims: &[&Vec<u8>], source| {
        let rims = rims.iter().map(|rim| (*rim).clone().into()).collect();
        let collateral = Collateral { rims, source, ..Collateral::none() };
        examine(TrustAnchors::vendor(), &preset("lab"), &devices(vec![h100()]), &collateral)
    };
    let left_over = |found: &Examination| -> Vec<(String, Code)> {
        let findings = found.findings.iter().filter(|finding| finding.submod.starts_with("rim"));
        findings.map(|finding| (finding.submod.clone(), finding.code)).collect()
    };
    let both = run(&[&genuine, &forged], Source::Loose);
    assert_eq!(left_over(&both), [("rim1".to_owned(), Code::RimSignature)]);
    let another = run(&[&of_a_switch, &genuine], Source::Loose);
    assert_eq!(left_over(&another), []);
    assert!(another.checks.iter().any(|row| row.submod == "rim0" && row.check == CheckId::Rim03));
    // A bundle holds manifests of many devices.
    let bundle = Provenance { manifest: Hex([1; 32]), created_at: 0, expires_at: NOW, newest: 0 };
    let bundled = run(&[&genuine, &forged], Source::Bundle(bundle));
    assert!(bundled.checks.iter().all(|row| !row.submod.starts_with("rim")), "{:?}", bundled.checks);
}

/// What a file says of its device is no evidence, and is not passed over where it is false.
#[test]
fn gpu_07_a_file_that_names_another_generation() {
    let run = |architecture| {
        let named = DeviceExhibit { architecture, ..h100() };
        findings(&examine(TrustAnchors::vendor(), &preset("lab"), &devices(vec![named]), &Collateral::none()))
    };
    assert_eq!(run(Some(Architecture::Hopper)), []);
    assert_eq!(run(Some(Architecture::Blackwell)), [(CheckId::Gpu07, Code::ArchMismatch)]);
}

#[test]
fn evd_01_more_devices_than_a_guest_has() {
    let run = |count: usize| {
        let alone = || DeviceExhibit { report: None, ..h100() };
        let exhibits = devices((0..count).map(|_| alone()).collect());
        findings(&examine(TrustAnchors::vendor(), &preset("lab"), &exhibits, &Collateral::none()))
    };
    assert_eq!(run(16), []);
    assert_eq!(run(17), [(CheckId::Evd01, Code::TooLarge)]);
}
