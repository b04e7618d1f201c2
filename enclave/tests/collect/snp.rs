//! SNP evidence: the chain out of the host's table, and what the launcher bound.

use tiltyard_attestation::evidence::CpuEvidence;
use tiltyard_attestation::{Hex, LaunchConfig};
use tiltyard_enclave::collect::{CollectError, LaunchDigest};

use crate::kernel::{Machine, Script, report};

pub(crate) const VCEK: [u8; 16] = *b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd";
const ASK: [u8; 16] = *b"\x4a\xb7\xb3\x79\xbb\xac\x4f\xe4\xa0\x2f\x05\xae\xf3\x27\xc7\x82";
const ARK: [u8; 16] = *b"\xc0\xb4\x06\xa4\xa8\x03\x49\x52\x97\x43\x3f\xb6\x01\x4c\xd0\xae";
const CRL: [u8; 16] = *b"\x92\xf8\x1b\xc3\x58\x11\x4d\x3d\x97\xff\xd1\x9f\x88\xdc\x67\xea";

/// Rows and what they point at; offsets count from the table's start.
fn table(rows: &[([u8; 16], u32, u32)], rest: &[u8]) -> Vec<u8> {
    let mut table = Vec::new();
    for (guid, offset, len) in rows {
        table.extend_from_slice(guid);
        table.extend_from_slice(&offset.to_le_bytes());
        table.extend_from_slice(&len.to_le_bytes());
    }
    table.extend_from_slice(&[0; 24]);
    table.extend_from_slice(rest);
    table
}

fn collect(table: Vec<u8>) -> Result<Vec<Vec<u8>>, CollectError> {
    let machine = Machine::new();
    machine.serves(vec![Script::snp(report(1), table)]);
    match machine.collect()?.into_evidence() {
        CpuEvidence::Snp { certificates, .. } => Ok(certificates.into_iter().map(|der| der.0).collect()),
        CpuEvidence::Tdx { .. } => panic!("TDX"),
    }
}

#[test]
fn the_chain_comes_leaf_first_and_without_what_is_no_certificate() {
    // In the host's order, with a revocation list and a row that nobody knows among them.
    let rows = [(ARK, 144, 3), (CRL, 147, 2), (ASK, 149, 4), ([9; 16], 153, 1), (VCEK, 154, 5)];
    let chain = collect(table(&rows, b"arkcraskaxvceks")).unwrap();
    assert_eq!(chain, [b"vceks".to_vec(), b"aska".to_vec(), b"ark".to_vec()]);
}

#[test]
fn a_host_without_certificates_gives_none() {
    assert_eq!(collect(Vec::new()).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(collect(table(&[], b"")).unwrap(), Vec::<Vec<u8>>::new());
    // A page of zeros is a table that ends at once.
    assert_eq!(collect(vec![0; 4096]).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn rows_that_point_outside_the_table_are_refused() {
    for (offset, len) in [(48, 4), (51, 1), (u32::MAX, 1), (48, u32::MAX), (u32::MAX, u32::MAX), (4096, 0)] {
        let error = collect(table(&[(VCEK, offset, len)], b"der")).unwrap_err();
        assert!(matches!(error, CollectError::Length { what: "certificate table", got: 51, .. }), "{error}");
    }
}

#[test]
fn rows_that_overlap_each_other_or_the_rows_are_refused() {
    let overlapping: [&[_]; 4] =
        [&[(VCEK, 72, 4), (ASK, 75, 3)], &[(VCEK, 72, 6), (ASK, 72, 6)], &[(VCEK, 47, 2)], &[(VCEK, 0, 48)]];
    for rows in overlapping {
        let error = collect(table(rows, b"vceask")).unwrap_err();
        let CollectError::Format { what: "certificate table", expected } = error else { panic!("{error}") };
        assert!(expected.contains("overlap"), "{rows:?}: {expected}");
    }
    let error = collect(table(&[(VCEK, 72, 3), (VCEK, 75, 3)], b"vceask")).unwrap_err();
    assert!(matches!(error, CollectError::Format { expected: "one certificate of a kind", .. }), "{error}");
}

#[test]
fn more_than_a_verifier_takes_is_refused() {
    let over = vec![0x30; 16 * 1024 + 1];
    let error = collect(table(&[(VCEK, 48, over.len() as u32)], &over)).unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "certificate bytes", limit: 16384 }), "{error}");
    let rows: Vec<_> = (1..=33).map(|kind| ([kind; 16], 0, 0)).collect();
    let error = collect(table(&rows, b"")).unwrap_err();
    assert!(matches!(error, CollectError::TooLarge { what: "certificate table rows", limit: 32 }), "{error}");
}

#[test]
fn every_cut_of_a_table_is_refused() {
    let whole = table(&[(VCEK, 72, 3), (ASK, 75, 3)], b"vceask");
    for len in 1..whole.len() {
        assert!(collect(whole[..len].to_vec()).is_err(), "cut to {len}");
    }
    assert_eq!(collect(whole).unwrap().len(), 2);
}

#[test]
fn the_launch_digest_is_host_data() {
    let machine = Machine::new();
    machine.serves(vec![Script::snp(report(0x48), Vec::new())]);
    let launch = machine.collect().unwrap().launch();
    assert_eq!(launch, LaunchDigest::HostData(Hex([0x48; 32])));
    let document = b"a launch configuration";
    assert_eq!(launch.of_same_form(document), LaunchDigest::HostData(LaunchConfig::d256(document)));
}
