//! NVIDIA's own manifests: the project's copies, and the shared collection where it is there.

use ring::digest::{SHA256, SHA384, digest};
use serde_json::Value;
use tiltyard_attestation::chain::ChainError;
use tiltyard_attestation::nvidia::rim::{AuthenticRim, Comparison, Decoder, RimError, Source, compare};
use tiltyard_attestation::{Code, Hex};

use crate::fixture::{NOW, open_genuine};

const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/nvidia/rim");
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/nvidia/rim");
const GOLDEN: &str = include_str!("../vectors/nvidia/c14n/golden.json");

/// 2024-06-01 and 2025-06-01: within the dates of the older signers.
const JUNE_2024: u64 = 1_717_200_000;
const JUNE_2025: u64 = 1_748_736_000;

const DRIVER: &str = "nvat_NV_GPU_DRIVER_GH100_550.144.03.xml";
const VBIOS: &str = "nvtrust_VBIOS_1010_0200_882_96005E0001_PROD.swidtag";
const SWITCH: &str = "nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml";

fn own(name: &str) -> Vec<u8> {
    std::fs::read(format!("{OWN}/{name}")).unwrap()
}

fn shared(name: &str) -> Option<Vec<u8>> {
    let found = std::fs::read(format!("{SHARED}/{name}")).ok();
    if found.is_none() {
        eprintln!("SKIPPED: the shared vector collection is absent");
    }
    found
}

fn verdict(xml: &[u8], now: u64) -> Result<AuthenticRim, Code> {
    open_genuine(xml, now).map_err(|error| error.code())
}

#[test]
fn a_driver_manifest_says_what_its_signer_signed() {
    let rim = open_genuine(&own(DRIVER), NOW).unwrap();
    let manifest = rim.manifest();
    assert_eq!(
        (manifest.version(), manifest.product(), manifest.edition()),
        ("550.144.03", "GH100", Some("GPU"))
    );
    assert_eq!(manifest.firmware_manufacturer(), Some("NVIDIA Corporation"));
    // NVIDIA's tag id is the digest of chip and version.
    assert_eq!(
        manifest.tag_id(),
        Hex::<48>(digest(&SHA384, b"GH100_550.144.03").as_ref().try_into().unwrap()).to_string()
    );
    let indexes: Vec<u8> = manifest.golden().iter().map(|golden| golden.index()).collect();
    assert_eq!(indexes, [[7].to_vec(), (21..=40).collect()].concat());
    assert_eq!(manifest.inactive(), 43);
    let decoder = manifest.golden().iter().find(|golden| golden.index() == 35).unwrap();
    assert_eq!(decoder.values().len(), 4);
    assert!(Hex(decoder.values()[3]).to_string().starts_with("c0962ed90316ecea"));
}

#[test]
fn rim_04_a_signer_is_valid_in_its_dates_only() {
    // 2024-12-30 16:56:50 to 2026-12-30 16:56:50, both ends included.
    let driver = own(DRIVER);
    for (now, expected) in [
        (1_735_577_809, Err(Code::CertNotYetValid)),
        (1_735_577_810, Ok(())),
        (1_798_649_810, Ok(())),
        (1_798_649_811, Err(Code::CertExpired)),
    ] {
        assert_eq!(verdict(&driver, now).map(|_| ()), expected, "{now}");
    }
    assert!(verdict(&own(VBIOS), JUNE_2024).is_ok());
    assert_eq!(verdict(&own(VBIOS), NOW), Err(Code::CertExpired));
    assert!(verdict(&own(SWITCH), NOW).is_ok());
    assert_eq!(verdict(&own(SWITCH), JUNE_2025), Err(Code::CertNotYetValid));
}

#[test]
fn rim_03_edited_manifests_are_refused() {
    let edited = own("nvat_NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml");
    assert!(matches!(open_genuine(&edited, NOW), Err(RimError::DigestMismatch { .. })));
    let signature = own("nvat_incorrect_signature_driver_rim.xml");
    assert!(matches!(open_genuine(&signature, NOW), Err(RimError::Signature { .. })));
}

#[test]
fn rim_03_every_sampled_bit_flip_is_refused() {
    let driver = own(DRIVER);
    let mut tried = 0;
    for bit in (0..driver.len() * 8).step_by(29) {
        let mut flipped = driver.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open_genuine(&flipped, NOW).is_err(), "bit {bit} flipped");
        tried += 1;
    }
    assert!(tried > 5000);
}

#[test]
fn rim_01_every_sampled_truncation_is_refused() {
    let driver = own(DRIVER);
    let text = driver.strip_suffix(b"\n\n").unwrap();
    for len in (0..text.len()).step_by(7) {
        assert!(matches!(open_genuine(&text[..len], NOW), Err(RimError::Syntax { .. })), "{len} bytes");
    }
    for more in [&b"x"[..], b"\0", b"<", b"<a/>", b"</SoftwareIdentity>", b"&#10;"] {
        let longer = [text, more].concat();
        assert!(matches!(open_genuine(&longer, NOW), Err(RimError::Syntax { .. })), "{more:?}");
    }
}

#[test]
fn canonical_digests_are_those_of_libxml2() {
    // The manifest's own DigestValue is what libxml2 digested; the signature shows the rest.
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for name in [DRIVER, VBIOS, SWITCH, "nvat_NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml"] {
        let (xml, row) = (own(name), &golden["manifests"][name]);
        assert_eq!(row["sha256"], Hex::<32>(digest(&SHA256, &xml).as_ref().try_into().unwrap()).to_string());
        match open_genuine(&xml, NOW) {
            Err(RimError::DigestMismatch { got, .. }) => assert_eq!(row["enveloped"], got.to_string()),
            Ok(_) | Err(RimError::Chain(ChainError::CertExpired { .. })) => {}
            Err(other) => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn every_shared_manifest_has_its_verdict() {
    let rows: [(&str, u64, Result<usize, Code>); 18] = [
        (VBIOS, JUNE_2024, Ok(12)),
        (VBIOS, NOW, Err(Code::CertExpired)),
        ("nvtrust_VBIOS_1010_0200_882_96005E0001_test_no_gpu.swidtag", JUNE_2024, Ok(12)),
        ("nvtrust_VBIOS_1010_0200_882_96005E0001_test_no_gpu.swidtag", NOW, Err(Code::CertExpired)),
        ("nvtrust_VBIOS_1010_0205_862_96005E0004_PROD.swidtag", JUNE_2024, Ok(12)),
        ("nvtrust_VBIOS_1010_0205_862_96005E0004_PROD.swidtag", NOW, Err(Code::CertExpired)),
        ("nvtrust_Driver_RIM_test_no_gpu.swidtag", JUNE_2024, Ok(21)),
        ("nvtrust_Driver_RIM_test_no_gpu.swidtag", NOW, Err(Code::CertExpired)),
        (DRIVER, NOW, Ok(21)),
        ("nvat_incorrect_signature_driver_rim.xml", NOW, Err(Code::RimSignature)),
        ("nvat_NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml", NOW, Err(Code::RimDigestMismatch)),
        ("nvat_NV_GPU_DRIVER_GH100_570.124.03_expired.xml", NOW, Err(Code::RimDigestMismatch)),
        ("nvat_NV_GPU_DRIVER_GH100_570.124.03_expired.xml", 1_735_700_000, Err(Code::RimDigestMismatch)),
        ("nvat_NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml", JUNE_2025, Ok(12)),
        ("nvat_NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml", NOW, Err(Code::CertExpired)),
        (SWITCH, NOW, Ok(31)),
        (
            "nvat_NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml",
            NOW,
            Err(Code::RimDigestMismatch),
        ),
        (
            "nvat_NV_SWITCH_BIOS_5612_0002_890_9610550001_invalid_signature.xml",
            JUNE_2025,
            Err(Code::RimDigestMismatch),
        ),
    ];
    for (name, now, expected) in rows {
        let Some(xml) = shared(name) else { return };
        let found = verdict(&xml, now).map(|rim| rim.manifest().golden().len());
        assert_eq!(found, expected, "{name} at {now}");
    }
}

/// Measurement blocks of a report in hex: a request of 37 bytes, then the response with blocks of 55 bytes.
fn blocks(name: &str) -> Option<Vec<(u8, [u8; 48])>> {
    let text = shared(&format!("../{name}"))?;
    let digits: Vec<u8> =
        text.iter().filter_map(|&digit| char::from(digit).to_digit(16)).map(|digit| digit as u8).collect();
    let report: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let response = &report[37..];
    assert_eq!(response[..2], [0x11, 0x60]);
    let block = |block: &[u8]| (block[0], block[7..].try_into().unwrap());
    Some(response[8..].chunks(55).take(response[4].into()).map(block).collect())
}

#[test]
fn genuine_reports_show_what_their_manifests_say() {
    let report_535 = "hopper/nvat_sample_hopperAttestationReport.txt";
    let compared = |report: &str, source, manifest: &str, now| -> Option<Comparison> {
        let blocks = blocks(report)?;
        let rim = open_genuine(&shared(manifest)?, now).unwrap();
        Some(compare(&[(source, rim.manifest())], &blocks, None))
    };
    let indexes =
        |found: &Comparison| -> Vec<u8> { found.mismatches.iter().map(|found| found.index).collect() };
    let rows: [(&str, Source, &str, u64, &[u8], usize); 5] = [
        ("switch/nvat_sample_switchAttestationReport.txt", Source::Bios, SWITCH, NOW, &[], 31),
        (report_535, Source::Vbios, VBIOS, JUNE_2024, &[], 12),
        (
            report_535,
            Source::Vbios,
            "nvtrust_VBIOS_1010_0200_882_96005E0001_test_no_gpu.swidtag",
            JUNE_2024,
            &[1, 2, 3, 9],
            8,
        ),
        (
            report_535,
            Source::Vbios,
            "nvat_NV_GPU_VBIOS_1010_0200_882_96005E0001_measurement_mismatch.xml",
            JUNE_2025,
            &[9],
            11,
        ),
        (
            "hopper/nvat_sample_hopperAttestationReportExpired.txt",
            Source::Vbios,
            "nvtrust_VBIOS_1010_0205_862_96005E0004_PROD.swidtag",
            JUNE_2024,
            &[9],
            11,
        ),
    ];
    for (report, source, manifest, now, mismatches, matched) in rows {
        let Some(found) = compared(report, source, manifest, now) else { return };
        assert_eq!((indexes(&found).as_slice(), found.matched), (mismatches, matched), "{manifest}");
        assert_eq!(found.decoder, Decoder::NotListed, "{manifest}");
    }
    // No public report has the public driver manifest's driver.
    for report in [report_535, "hopper/nvtrust_hopperAttestationReport.txt"] {
        let Some(found) = compared(report, Source::Driver, DRIVER, NOW) else { return };
        assert!(!found.mismatches.is_empty(), "{report}");
    }
}
