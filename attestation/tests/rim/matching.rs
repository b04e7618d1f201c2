//! Golden values against measured ones.

use tiltyard_attestation::nvidia::rim::{
    AuthenticRim, Comparison, Decoder, Mismatch, NVDEC0_INDEX, NVDEC0_OFF, Source, compare,
};

use crate::fixture::{Draft, open, resource, value};

fn rim(golden: &[(u8, u8)]) -> AuthenticRim {
    open(&Draft::of("GH100", "1", golden).sign()).unwrap()
}

/// Measurement blocks: index of the manifest plus one.
fn blocks(measured: &[(u8, u8)]) -> Vec<(u8, [u8; 48])> {
    measured.iter().map(|&(index, tag)| (index + 1, value(tag))).collect()
}

fn compared(
    driver: &[(u8, u8)],
    vbios: &[(u8, u8)],
    measured: &[(u8, u8)],
    nvdec0: Option<u8>,
) -> Comparison {
    let (driver, vbios) = (rim(driver), rim(vbios));
    let manifests = [(Source::Driver, driver.manifest()), (Source::Vbios, vbios.manifest())];
    compare(&manifests, &blocks(measured), nvdec0)
}

#[test]
fn index_i_is_block_i_plus_one() {
    let found = compared(&[(7, 1), (254, 2)], &[(0, 3)], &[(0, 3), (7, 1), (254, 2), (9, 9)], None);
    let expected = Comparison {
        conflicts: vec![],
        mismatches: vec![],
        matched: 3,
        decoder: Decoder::NotListed,
        empty: vec![],
        blocks: 4,
    };
    assert_eq!(found, expected);
    // Block i is not the measurement of index i.
    let driver = rim(&[(7, 1)]);
    let shifted = compare(&[(Source::Driver, driver.manifest())], &[(7, value(1)), (0, value(1))], None);
    assert_eq!(shifted.mismatches, [Mismatch { source: Source::Driver, index: 7 }]);
}

#[test]
fn every_mismatch_is_listed_in_order() {
    let found = compared(&[(7, 1), (9, 1), (3, 1)], &[(1, 2), (2, 2)], &[(3, 1), (7, 9), (2, 1)], None);
    let listed: Vec<String> = found.mismatches.iter().map(ToString::to_string).collect();
    // Index 9 and 1 were not measured at all.
    assert_eq!(listed, ["driver 7", "driver 9", "vbios 1", "vbios 2"]);
    assert_eq!(found.matched, 1);
}

#[test]
fn any_alternative_will_do_and_no_other() {
    let payload = resource(7, "True", &[value(1), value(2), value(3)]);
    let rim = open(&Draft::payload(payload).sign()).unwrap();
    let manifests = [(Source::Driver, rim.manifest())];
    for tag in 1..=3 {
        assert!(compare(&manifests, &blocks(&[(7, tag)]), None).mismatches.is_empty(), "{tag}");
    }
    let mut near = value(2);
    near[47] ^= 1;
    assert_eq!(compare(&manifests, &[(8, near)], None).mismatches.len(), 1);
    assert_eq!(compare(&manifests, &blocks(&[(7, 4)]), None).mismatches.len(), 1);
}

#[test]
fn indexes_in_two_manifests_are_in_conflict() {
    let found = compared(
        &[(7, 1), (8, 1), (35, 1)],
        &[(35, 1), (7, 1), (9, 1)],
        &[(7, 1), (8, 1), (9, 1), (35, 1)],
        None,
    );
    assert_eq!(found.conflicts, [7, 35]);
}

#[test]
fn the_decoder_is_left_out_only_while_it_is_off() {
    let decoder =
        |tag, nvdec0| compared(&[(35, 1), (36, 1)], &[(1, 1)], &[(1, 1), (36, 1), (35, tag)], nvdec0);
    assert_eq!(NVDEC0_INDEX, 35);
    assert_eq!(decoder(1, Some(NVDEC0_OFF)).decoder, Decoder::Off);
    assert_eq!(decoder(9, Some(NVDEC0_OFF)).decoder, Decoder::Off);
    for on in [None, Some(0xaa), Some(0), Some(0x54), Some(0xff)] {
        assert_eq!(decoder(1, on).decoder, Decoder::Matches, "{on:?}");
        assert_eq!(decoder(9, on).decoder, Decoder::Differs(Source::Driver), "{on:?}");
    }
    // Its neighbours are not exempt, and its own mismatch is listed nowhere else.
    let found = compared(&[(34, 1), (35, 1), (36, 1)], &[(1, 1)], &[(1, 1)], Some(NVDEC0_OFF));
    let listed: Vec<u8> = found.mismatches.iter().map(|mismatch| mismatch.index).collect();
    assert_eq!(listed, [34, 36]);
    assert!(decoder(9, None).mismatches.is_empty());
    assert_eq!((decoder(1, None).matched, decoder(1, Some(NVDEC0_OFF)).matched), (3, 2));
}

#[test]
fn empty_manifests_are_named() {
    let found = compared(&[], &[(1, 1)], &[(1, 1)], None);
    assert_eq!(found.empty, [Source::Driver]);
    assert_eq!(compare(&[], &[], None).blocks, 0);
}
