//! The minted shapes beside the genuine files, where the shared vector collection is at hand.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tiltyard_simulator::nvidia::firmware::B200;

use crate::manifests::{between, bytes};
use crate::reports::Report;
use crate::tlv::skeleton;
use crate::{lab, sets};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/nvidia");

/// Text of a genuine file.
fn genuine(name: &str) -> Option<String> {
    if Path::new(SHARED).is_dir() {
        Some(std::fs::read_to_string(Path::new(SHARED).join(name)).expect(name))
    } else {
        eprintln!("SKIPPED: the shared vector collection is absent");
        None
    }
}

fn pem(text: &str) -> Vec<Vec<u8>> {
    let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    let body = |block: &str| block.split("-----END").next().unwrap_or_default().replace('\n', "");
    blocks.map(|block| STANDARD.decode(body(block)).expect("base64")).collect()
}

#[test]
fn device_chains() {
    let cases = [
        ("hopper/nvtrust_hopperCertChain.txt", 0, 0),
        ("blackwell/nvat_sample_blackwellCertChain.txt", 1, 0),
        ("switch/nvat_sample_switchCertChain.txt", 2, 8),
    ];
    for (file, set, device) in cases {
        let Some(text) = genuine(file) else { return };
        let minted = &sets()[set].1.evidence[device].chain;
        let genuine = pem(&text);
        assert_eq!(genuine.len(), minted.len());
        for (place, (one, other)) in genuine.iter().zip(minted).enumerate() {
            assert_eq!(skeleton(one), skeleton(other), "{file} certificate {place}");
        }
    }
}

/// Dates of manifest certificates differ from sample to sample, as do their numbers.
fn without_dates(der: &[u8]) -> Vec<String> {
    let same = |line: String| {
        let line = line
            .split_once("TIME")
            .map(|(before, rest)| format!("{before}TIME{}", &rest[..3]))
            .unwrap_or(line);
        line.replace("GH100 002", "GH100 001")
    };
    skeleton(der).into_iter().map(same).collect()
}

#[test]
fn manifests() {
    let cases = [
        ("rim/nvat_NV_GPU_DRIVER_GH100_550.144.03.xml", 0, 0),
        ("rim/nvtrust_VBIOS_1010_0200_882_96005E0001_PROD.swidtag", 0, 1),
        ("rim/nvat_switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml", 2, 2),
    ];
    for (file, set, place) in cases {
        let Some(text) = genuine(file) else { return };
        let minted = &sets()[set].1.rims[place];
        assert_eq!(shape(&text), shape(&minted.xml), "{file}");
        let certificates = |xml: &str| -> Vec<Vec<String>> {
            (xml.split("<ds:X509Certificate>").skip(1))
                .map(|rest| STANDARD.decode(between(&format!("<{rest}"), "<", "<").replace('\n', "")))
                .map(|der| without_dates(&der.expect("base64")))
                .collect()
        };
        assert_eq!(certificates(&text), certificates(&minted.xml), "{file}");
    }
}

/// The document line by line, with hashes, versions and the tag's id masked, up to the certificates.
fn shape(xml: &str) -> Vec<String> {
    let head = xml.split("<ds:X509Certificate>").next().unwrap_or_default();
    let mask = |line: &str| {
        let mut out = String::new();
        for (place, part) in line.split('"').enumerate() {
            let hash = part.len() == 96 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let value = place % 2 == 1;
            let version = out.ends_with("colloquialVersion=\"");
            out.push_str(if value && (hash || version) { "?" } else { part });
            out.push('"');
        }
        // Digest and signature have one length each.
        match out.split_once("<ds:DigestValue>") {
            Some((before, after)) => format!("{before} {}", after.len()),
            None => out,
        }
    };
    head.lines().map(mask).collect()
}

#[test]
fn reports() {
    let b200 = lab().draft(&[(B200, 1)]).issue();
    let evidence = |set: usize, device: usize| &sets()[set].1.evidence[device].report;
    let cases = [
        ("hopper/nvtrust_hopperAttestationReport.txt", evidence(0, 0)),
        ("blackwell/nvat_sample_blackwellAttestationReport.txt", &b200.evidence[0].report),
        ("switch/nvat_sample_switchAttestationReport.txt", evidence(2, 8)),
    ];
    for (file, minted) in cases {
        let Some(text) = genuine(file) else { return };
        same_layout(file, &bytes(text.trim()), minted);
    }
    let Some(json) = genuine("evidence/nvat_hopper_evidence.json") else { return };
    let rows: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let report = STANDARD.decode(rows[0]["evidence"].as_str().expect("text")).expect("base64");
    same_layout("driver 590.12", &report, evidence(2, 0));
}

/// Same length, same fields, same values but for what names one device or its state.
fn same_layout(file: &str, genuine: &[u8], minted: &[u8]) {
    const FWID: u16 = 20;
    const PDI: u16 = 22;
    const GPU_PDIS: u16 = 26;
    const MEASURED_TIMES: u16 = 12;
    assert_eq!(genuine.len(), minted.len(), "{file}");
    let (genuine, minted) = (Report::read(genuine), Report::read(minted));
    assert_eq!(genuine.opaque.len(), minted.opaque.len(), "{file}");
    for ((kind, data), (other_kind, other)) in genuine.opaque.iter().zip(&minted.opaque) {
        assert_eq!((kind, data.len()), (other_kind, other.len()), "{file}");
        match *kind {
            FWID | PDI => {}
            GPU_PDIS => assert_eq!(data[64..], other[64..], "{file}: port map"),
            // Two more indexes were measured in the sample of 590.12.
            MEASURED_TIMES if file == "driver 590.12" => {}
            _ => assert_eq!(data, other, "{file}: field {kind}"),
        }
    }
    let indexes = |report: &Report<'_>| report.blocks.iter().map(|(index, _)| *index).collect::<Vec<u8>>();
    assert_eq!(indexes(&genuine), indexes(&minted), "{file}");
}

#[test]
fn evidence_members() {
    let Some(json) = genuine("evidence/nvat_hopper_evidence.json") else { return };
    let minted = tiltyard_simulator::nvidia::formats::evidence_json(&sets()[0].1.evidence);
    let masked = |text: &str| -> Vec<String> {
        let member = |line: &str| line.split_once(": ").map_or(line, |(name, _)| name).to_owned();
        text.lines().map(member).collect()
    };
    assert_eq!(masked(&json), masked(&minted));
}
