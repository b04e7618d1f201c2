//! SPDM reports: layout, signature, and the match with their manifests and with each other.

use std::collections::BTreeSet;

use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use tiltyard_simulator::nvidia::draft::DeviceEvidence;

use crate::chains::{parse, point};
use crate::{manifests, sets};

/// One report taken apart; panics where a length is off.
pub(crate) struct Report<'r> {
    pub(crate) nonce: &'r [u8],
    /// Index and value.
    pub(crate) blocks: Vec<(u8, &'r [u8])>,
    /// Type and data.
    pub(crate) opaque: Vec<(u16, &'r [u8])>,
}

impl<'r> Report<'r> {
    pub(crate) fn read(bytes: &'r [u8]) -> Self {
        let (request, response) = bytes.split_at(37);
        assert_eq!(request[..4], [0x11, 0xe0, 0x01, 0xff]);
        assert_eq!(request[36], 0, "slot");
        assert_eq!(response[..4], [0x11, 0x60, 0, 0]);
        let record = u32::from_le_bytes([response[5], response[6], response[7], 0]) as usize;
        let (record, rest) = response[8..].split_at(record);
        let blocks: Vec<_> = (record.chunks(55))
            .map(|block| {
                assert_eq!(block[1..7], [1, 51, 0, 1, 48, 0]);
                (block[0], &block[7..])
            })
            .collect();
        assert_eq!(blocks.len(), usize::from(response[4]));
        let len = usize::from(u16::from_le_bytes([rest[32], rest[33]]));
        let (mut left, signature) = rest[34..].split_at(len);
        assert_eq!(signature.len(), 96);
        let mut opaque = Vec::new();
        while let [a, b, c, d, data @ ..] = left {
            let (data, rest) = data.split_at(usize::from(u16::from_le_bytes([*c, *d])));
            opaque.push((u16::from_le_bytes([*a, *b]), data));
            left = rest;
        }
        assert!(left.is_empty());
        Self { nonce: &request[4..36], blocks, opaque }
    }

    pub(crate) fn field(&self, kind: u16) -> Option<&'r [u8]> {
        self.opaque.iter().find(|(one, _)| *one == kind).map(|(_, data)| *data)
    }
}

/// Whether the leaf signed all but the last 96 bytes.
pub(crate) fn signed_by_leaf(one: &DeviceEvidence) -> bool {
    let (message, signature) = one.report.split_at(one.report.len() - 96);
    let key = point(&parse(&one.chain[0]));
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(message, signature).is_ok()
}

#[test]
fn the_leaf_signs_request_and_response_under_one_nonce() {
    for (name, set) in sets() {
        for one in &set.evidence {
            assert!(signed_by_leaf(one), "{name} {}", one.device);
            assert_eq!(Report::read(&one.report).nonce, set.expected.nonce);
            let mut edited = one.clone();
            edited.report[50] ^= 1;
            assert!(!signed_by_leaf(&edited));
        }
    }
}

/// Types and sizes of the genuine reports of 550.90.07, 590.12 and 96.10.55.00.01, and of the B200 in MPT, which no
/// public sample shows.
#[test]
fn opaque_fields_stand_in_the_genuine_order_and_sizes() {
    let h100 = [(6, 8), (14, 4), (15, 9), (16, 5), (17, 5), (18, 5), (19, 2)];
    let tail = [(4, 8), (12, 256), (13, 4), (11, 1), (20, 48)];
    let layout = |driver: usize, more: &[(u16, usize)]| [&h100[..], &[(3, driver)], &tail, more].concat();
    let expected = [
        (0, 0, 64, layout(10, &[(21, 1)])),
        (1, 0, 64, layout(7, &[(33, 2), (34, 2), (35, 6), (36, 2)])),
        (2, 0, 64, layout(7, &[(21, 1), (22, 144), (34, 2), (36, 2)])),
        (2, 8, 31, vec![(6, 14), (22, 8), (12, 104), (26, 128), (23, 2), (24, 2), (25, 2)]),
    ];
    for (set, device, blocks, fields) in expected {
        let report = Report::read(&sets()[set].1.evidence[device].report);
        let found: Vec<(u16, usize)> = report.opaque.iter().map(|(kind, data)| (*kind, data.len())).collect();
        assert_eq!(found, fields);
        let indexes: Vec<u8> = report.blocks.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, (1..=blocks).collect::<Vec<u8>>());
    }
    let lengths: Vec<usize> = sets().iter().map(|(_, set)| set.evidence[0].report.len()).collect();
    assert_eq!(lengths, [4117, 4137, 4274]);
    assert_eq!(sets()[2].1.evidence[8].report.len(), 2168);
}

#[test]
fn every_active_value_is_the_devices() {
    // Active indexes of both manifests, or of the switch's one.
    for ((name, set), active) in sets().iter().zip([33, 39, 33]) {
        for one in &set.evidence {
            let switch = one.report.len() < 4000;
            let report = Report::read(&one.report);
            let rims = set.rims.iter().filter(|rim| rim.id.starts_with("NV_SWITCH") == switch);
            let golden: Vec<_> = rims.flat_map(|rim| manifests::active(&rim.xml)).collect();
            assert_eq!(golden.len(), if switch { 31 } else { active }, "{name}");
            let indexes: BTreeSet<u8> = golden.iter().map(|(index, _)| *index).collect();
            assert_eq!(indexes.len(), golden.len(), "{name}: no index twice");
            for (index, alternatives) in golden {
                let (_, value) = report.blocks[usize::from(index)];
                assert!(alternatives.iter().any(|one| one == value), "{name} {} index {index}", one.device);
            }
        }
    }
}

#[test]
fn versions_of_the_report_are_those_of_its_manifests() {
    let report = Report::read(&sets()[0].1.evidence[0].report);
    assert_eq!(report.field(3), Some(&b"550.90.07\0"[..]));
    assert_eq!(report.field(6), Some(&[0, 0x9f, 0, 0x96, 1, 0, 0, 0][..]));
    let ids: Vec<&str> = sets().iter().flat_map(|(_, set)| &set.rims).map(|rim| rim.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "NV_GPU_DRIVER_GH100_550.90.07",
            "NV_GPU_VBIOS_1010_0200_882_96009F0001",
            "NV_GPU_CC_DRIVER_GB100_590.12",
            "NV_GPU_VBIOS_G525_0220_886_970088000F",
            "NV_GPU_DRIVER_GH100_590.12",
            "NV_GPU_VBIOS_G520_0200_885_9600A50001",
            "NV_SWITCH_BIOS_5612_0002_890_9610550001",
        ]
    );
}

#[test]
fn gpus_and_switches_name_each_other() {
    let set = &sets()[2].1;
    let (gpus, switches) = set.evidence.split_at(8);
    assert_eq!(switches.len(), 4);
    let reversed = |pdi: &[u8]| pdi.iter().rev().copied().collect::<Vec<u8>>();
    let own: BTreeSet<Vec<u8>> =
        switches.iter().map(|one| Report::read(&one.report).field(22).expect("own PDI").to_vec()).collect();
    assert_eq!(own.len(), 4);
    let lists: BTreeSet<&[u8]> =
        gpus.iter().map(|one| Report::read(&one.report).field(22).expect("18 PDIs")).collect();
    let [links] = lists.into_iter().collect::<Vec<_>>()[..] else { panic!("all GPUs list the same links") };
    assert_eq!(links.len(), 18 * 8);
    // A GPU lists its partners in the other byte order, as NVIDIA's topology check expects.
    assert_eq!(links.chunks(8).map(reversed).collect::<BTreeSet<_>>(), own);
    let on_certificates: BTreeSet<Vec<u8>> = gpus
        .iter()
        .map(|one| parse(&one.chain[1]).tbs_certificate().serial_number().as_bytes()[1..].to_vec())
        .collect();
    for one in switches {
        let listed = &Report::read(&one.report).field(26).expect("GPU PDIs")[..64];
        assert_eq!(listed.chunks(8).map(reversed).collect::<BTreeSet<_>>(), on_certificates);
    }
}
