//! Forms that no genuine device gives, signed by its key all the same (BND-09, GPU-01, GPU-02).

use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{Exchange, Report, ReportError, SpdmError, field};
use tiltyard_attestation::{CheckId, Code};

use crate::mint::{Device, DeviceFields, Pki, SpdmFields, block, nonce};
use crate::support::Bench;

/// One minted GPU and its switch, with the roots that vouch for them.
struct Minted {
    bench: Bench,
    gpu: Device,
    switch: Device,
}

impl Minted {
    fn new() -> Self {
        let pki = Pki::new();
        let bench = Bench { anchors: pki.anchors(), nonce: nonce(), ..Bench::vendor() };
        Self {
            bench,
            gpu: pki.device(&DeviceFields::hopper(1)),
            switch: pki.device(&DeviceFields::switch(1)),
        }
    }

    /// The finding of these bytes, signed.
    fn refusal(&self, device: &Device, unsigned: &[u8]) -> Option<(CheckId, Code)> {
        self.bench.refusal(device.kind, &device.sign(unsigned), &device.certificates())
    }

    fn gpu(&self, fields: &SpdmFields) -> Option<(CheckId, Code)> {
        self.refusal(&self.gpu, &fields.encode())
    }

    fn switch(&self, fields: &SpdmFields) -> Option<(CheckId, Code)> {
        self.refusal(&self.switch, &fields.encode())
    }
}

const FORM: Option<(CheckId, Code)> = Some((CheckId::Gpu01, Code::SpdmFormat));
const OPAQUE: Option<(CheckId, Code)> = Some((CheckId::Gpu01, Code::OpaqueLength));

#[test]
fn minted_devices_are_authentic() {
    let minted = Minted::new();
    assert_eq!(minted.gpu(&SpdmFields::gpu()), None);
    assert_eq!(minted.gpu(&SpdmFields::ppcie(&[1, 2, 3, 4])), None);
    assert_eq!(minted.switch(&SpdmFields::switch(1, [1, 2, 3, 4, 5, 6, 7, 8])), None);
}

#[test]
fn bnd_09_lengths_that_the_report_does_not_state() {
    let minted = Minted::new();
    let report = minted.gpu.report(&SpdmFields::gpu());
    let certificates = minted.gpu.certificates();
    let found = |bytes: &[u8]| minted.bench.refusal(DeviceKind::Gpu, bytes, &certificates);
    assert_eq!(found(&[]), Some((CheckId::Bnd09, Code::ReportLength)));
    assert_eq!(found(&report[..report.len() - 1]), Some((CheckId::Bnd09, Code::ReportLength)));
    assert_eq!(found(&[&report[..], &[0]].concat()), Some((CheckId::Bnd09, Code::TrailingBytes)));
    assert_eq!(found(&[&report[..], &[0; 8192]].concat()), Some((CheckId::Bnd09, Code::ReportLength)));
    // The record's length moves what stands behind it; the opaque data's is the last one. Signed, all of them.
    const OPAQUE_LEN: usize = 45 + 64 * 55 + 32;
    let bent = |at: usize, delta: i8| {
        let mut unsigned = SpdmFields::gpu().encode();
        unsigned[at] = unsigned[at].wrapping_add_signed(delta);
        minted.refusal(&minted.gpu, &unsigned)
    };
    for (at, delta) in [(42, 1), (42, -1), (43, 1), (43, -1), (44, 1)] {
        let found = bent(at, delta);
        assert!(matches!(found, Some((CheckId::Bnd09, _))), "{at} {delta}: {found:?}");
    }
    assert_eq!(bent(OPAQUE_LEN, 1), Some((CheckId::Bnd09, Code::ReportLength)));
    assert_eq!(bent(OPAQUE_LEN, -1), Some((CheckId::Bnd09, Code::TrailingBytes)));
}

#[test]
fn gpu_01_heads_of_request_and_response() {
    let minted = Minted::new();
    let genuine = SpdmFields::gpu().encode();
    // Version, code, attributes, measurements; slot; version, code, two parameters.
    for at in [0, 1, 2, 3, 36, 37, 38, 39, 40] {
        for bit in 0..8 {
            let mut unsigned = genuine.clone();
            unsigned[at] ^= 1 << bit;
            assert_eq!(minted.refusal(&minted.gpu, &unsigned), FORM, "bit {bit} of byte {at}");
        }
    }
    let mut slot = genuine;
    (slot[36], slot[40]) = (7, 7);
    assert_eq!(minted.refusal(&minted.gpu, &slot), None, "another slot, named twice alike");
    (slot[36], slot[40]) = (8, 8);
    assert_eq!(minted.refusal(&minted.gpu, &slot), FORM);
}

#[test]
fn gpu_01_blocks() {
    let minted = Minted::new();
    let head = |at: usize, byte: u8| {
        let mut fields = SpdmFields::gpu();
        fields.blocks[3][at] = byte;
        fields
    };
    let bad = [
        (0, 0),
        (0, 0xF0),
        (0, 0xFF),
        (1, 0),
        (1, 2),
        (1, 3),
        (2, 50),
        (3, 1),
        (4, 4),
        (4, 0x81),
        (5, 47),
        (6, 1),
    ];
    for (at, byte) in bad {
        assert_eq!(minted.gpu(&head(at, byte)), FORM, "byte {at} of a block is {byte}");
    }
    for kind in 0..=3 {
        assert_eq!(minted.gpu(&head(4, kind)), None, "digest of kind {kind}");
    }
    let mut cut = SpdmFields::gpu();
    cut.blocks[63].truncate(54);
    assert_eq!(minted.gpu(&cut), FORM);
    let mut fewer = SpdmFields::gpu().encode();
    fewer[41] = 63;
    assert_eq!(minted.refusal(&minted.gpu, &fewer), FORM);
    fewer[41] = 65;
    assert_eq!(minted.refusal(&minted.gpu, &fewer), FORM);
}

#[test]
fn gpu_01_opaque_data_that_does_not_end_with_its_last_field() {
    let minted = Minted::new();
    for spare in [&[0][..], &[0; 2], &[0; 3], &[1, 0, 1, 0], &[1, 0, 0xFF, 0xFF, 0, 0]] {
        assert_eq!(
            minted.gpu(&SpdmFields { spare: spare.to_vec(), ..SpdmFields::gpu() }),
            OPAQUE,
            "{spare:?}"
        );
    }
    let filled = |len: usize| {
        let used = SpdmFields::gpu().encode().len() - (45 + 64 * 55 + 34);
        SpdmFields::gpu().with(0x7777, &vec![0; len - used - 4])
    };
    assert_eq!(minted.gpu(&filled(1024)), None, "an unknown field is signed like the rest");
    assert_eq!(minted.gpu(&filled(1025)), OPAQUE);
}

#[test]
fn gpu_01_fields_of_gpus() {
    let minted = Minted::new();
    let gpu = SpdmFields::gpu;
    for kind in [field::DRIVER, field::VBIOS, field::PROJECT, field::PROJECT_SKU, field::CHIP_SKU] {
        assert_eq!(minted.gpu(&gpu().without(kind)), FORM, "no field {kind}");
    }
    let bad: [(u16, &[u8]); 25] = [
        (field::DRIVER, b""),
        (field::DRIVER, b"\0"),
        (field::DRIVER, b"550.90.07\x000"),
        (field::DRIVER, b"550.90.07 \0"),
        (field::DRIVER, b"550.90.\xff7\0"),
        (field::DRIVER, b"550\0"),
        (field::DRIVER, b"550.90.x\0"),
        (field::VBIOS, b"96.00.9F.00.01"),
        (field::VBIOS, &[0, 0x9f, 0, 0x96, 1, 0, 0]),
        (field::VBIOS, &[0, 0x9f, 0, 0x96, 1, 0, 0, 1]),
        (field::PROJECT, b"\0\0"),
        (field::CHIP_SKU, b"88\x002"),
        (field::NVDEC0, &[]),
        (field::NVDEC0, &[0]),
        (field::NVDEC0, &[0x55, 0]),
        (field::PROTECTED_PCIE, &[0xAB]),
        (field::FWID, &[0xF1; 47]),
        (field::FWID, &[0xF1; 49]),
        (field::PDI, &[0; 8]),
        (field::PDI, &[0; 143]),
        (field::VERSION, &[2, 0]),
        (field::VERSION, &[]),
        (field::FEATURE, &[0; 9]),
        (field::CHIP, &[]),
        (field::CHIP, b"GH100\0x"),
    ];
    for (kind, data) in bad {
        assert_eq!(minted.gpu(&gpu().with(kind, data)), FORM, "field {kind}: {data:?}");
    }
    let good: [(u16, &[u8]); 6] = [
        (field::DRIVER, b"550.90.07"),
        (field::DRIVER, b"550.90.07\0\0\0"),
        (field::NVDEC0, &[0xAA]),
        (field::VERSION, &[1, 0]),
        (field::VERSION, &[1, 0, 0, 0, 0, 0, 0, 0]),
        (field::FEATURE, &[3, 0]),
    ];
    for (kind, data) in good {
        assert_eq!(minted.gpu(&gpu().with(kind, data)), None, "field {kind}: {data:?}");
    }
}

#[test]
fn gpu_01_fields_of_switches() {
    let minted = Minted::new();
    let switch = || SpdmFields::switch(1, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(minted.switch(&switch().without(field::VBIOS)), FORM);
    let bad: [(u16, &[u8]); 6] = [
        (field::VBIOS, &[0, 0x55, 0x10, 0x96, 1, 0, 0, 0]),
        (field::VBIOS, b"96.10.55.00"),
        (field::PDI, &[1; 7]),
        (field::PDI, &[1; 144]),
        (field::GPU_PDIS, &[0; 64]),
        (field::GPU_PDIS, &[0; 129]),
    ];
    for (kind, data) in bad {
        assert_eq!(minted.switch(&switch().with(kind, data)), FORM, "field {kind}: {data:?}");
    }
    assert_eq!(minted.switch(&switch().without(field::PDI).without(field::GPU_PDIS)), None);
}

#[test]
fn gpu_02_nothing_stands_twice() {
    let minted = Minted::new();
    let mut twice = SpdmFields::gpu();
    twice.blocks[63] = block(1, &[1; 48]);
    assert_eq!(minted.gpu(&twice), Some((CheckId::Gpu02, Code::DuplicateMeasurement)));
    for kind in [field::FWID, field::NVDEC0, 0x7777] {
        let mut twice =
            SpdmFields::gpu().with(kind, &[0x55; 48][..if kind == field::NVDEC0 { 1 } else { 48 }]);
        let again = twice.opaque.iter().find(|(found, _)| *found == kind).cloned().unwrap();
        twice.opaque.push(again);
        assert_eq!(minted.gpu(&twice), Some((CheckId::Gpu02, Code::DuplicateOpaque)), "field {kind}");
    }
}

#[test]
fn any_order_of_blocks_and_fields() {
    let minted = Minted::new();
    let mut turned = SpdmFields::gpu();
    turned.blocks.reverse();
    turned.opaque.reverse();
    assert_eq!(minted.gpu(&turned), None);
    let unsigned = turned.encode();
    let report = minted.gpu.sign(&unsigned);
    let exchange = Exchange::parse(&report).unwrap();
    assert_eq!(exchange.value(64), Some(&[64; 48]));
    assert_eq!((exchange.value(0), exchange.value(65)), (None, None));
    assert_eq!(exchange.signed(), unsigned);
}

#[test]
fn a_report_of_one_kind_is_none_of_the_other() {
    let minted = Minted::new();
    let gpu = minted.gpu.report(&SpdmFields::gpu());
    let switch = minted.switch.report(&SpdmFields::switch(1, [1; 8]));
    assert!(matches!(
        Report::parse(&gpu, DeviceKind::Switch),
        Err(ReportError::Text { kind: field::VBIOS, .. })
    ));
    let missing = Err(ReportError::Missing { kind: field::DRIVER });
    assert_eq!(Report::parse(&switch, DeviceKind::Gpu).map(|_| ()), missing);
}

#[test]
fn errors_say_what_was_expected_and_found() {
    let report = Minted::new().gpu.report(&SpdmFields::gpu());
    let cut = Exchange::parse(&report[..100]).unwrap_err();
    assert_eq!(cut, SpdmError::Length { expected: 45 + 64 * 55 + 34 + 96, got: 100 });
    let mut code = report;
    code[1] = 0xE1;
    let error = Exchange::parse(&code).unwrap_err();
    assert_eq!(error, SpdmError::Header { field: "request code", expected: 0xE0, got: 0xE1 });
    assert_eq!(error.to_string(), "request code: expected 0xe0, found 0xe1");
}
