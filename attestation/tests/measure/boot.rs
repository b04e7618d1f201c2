//! Run-time registers: a genuine log, the list of RTMR0, and kernels that can't be measured.

use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::tdx::{
    self, EVENTS_MAX, KernelForm, Separator, authenticode_sha384, rtmr, rtmr0, rtmr1_events, rtmr2_events,
};
use tiltyard_attestation::measure::{CommandLine, MeasureError, Part};

use crate::synthetic::{kernel, le, stream};

/// Events of RTMR1 in the log of a Google COS 113 guest, and the register in its quote (google/go-tdx-guest
/// at 91f9a52f36c7a6ce140d5f13a2fb4ca03b61349c, `testing/testdata`; Apache-2.0).
const COS_RTMR1_EVENTS: [&str; 7] = [
    "77a0dab2312b4e1e57a84d865a21e5b2ee8d677a21012ada819d0a98988078d3d740f6346bfe0abaa938ca20439a8d71",
    "394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0",
    "e1d51dadc14440d4800e54731a818bd38e43c38a672ef490e2504be2dced5ba080a6931b414146f22f7d850c09a9cb3f",
    "5a10026c9ad41d1f90dc9cfe88bcabe1842ccfd85495c81b1a1ab926a9ef23b5d2e60eefeba0415bbe5c8c328a899a0a",
    "b1fb7f4c0689f5a920b800b2607075f4906f8c8282d44e56fc991ec01f1adac176d2040a26f1453df112d7c4f4293fc9",
    "214b0bef1379756011344877743fdc2a5382bac6e70362d624ccf3f654407c1b4badf7d8f9295dd3dabdef65b27677e0",
    "0a2e01c85deae718a530ad8c6d20a84009babe6c8989269e950d8cf440c6e997695e64d455c4174a652cd080f6230b74",
];
const COS_RTMR1: &str =
    "f62dbc072bd5d3f3438b7b35c39a727f5aea2ffc2473f43723953f530daf62504f0a7944aa62c41a86e8a878c2b122c1";

const SETUP: KernelForm = KernelForm::SetupHeader { memory_mib: 4096 };

fn cmdline(text: &str) -> CommandLine {
    CommandLine::new(text).unwrap()
}

fn cos_events() -> Vec<Hex<48>> {
    COS_RTMR1_EVENTS.iter().map(|event| event.parse().unwrap()).collect()
}

#[test]
fn the_events_of_a_genuine_guest_replay_to_its_register() {
    assert_eq!(rtmr(&cos_events()).to_string(), COS_RTMR1);
    assert_eq!(rtmr(&[]), Hex([0; 48]));
}

#[test]
fn the_marks_of_leaving_the_firmware_are_those_of_a_genuine_guest() {
    // Google's firmware boots a disk, so its loader stands where a direct boot has the kernel first.
    let cos = cos_events();
    let kernel = Hex([7; 48]);
    let marks = [cos[0], cos[1], cos[5], cos[6]];
    assert_eq!(rtmr1_events(kernel, Separator::Present), [&[kernel][..], &marks].concat());
    assert_eq!(rtmr1_events(kernel, Separator::Absent), [kernel, marks[0], marks[2], marks[3]]);
}

#[test]
fn an_event_that_is_not_on_the_list_of_rtmr0_is_refused() {
    let events = cos_events();
    assert_eq!(rtmr0(&events, &events), Ok(rtmr(&events)));
    assert_eq!(rtmr0(&events, &events[1..]), Err(MeasureError::UnknownEvent { index: 0, got: events[0] }));
    assert_eq!(rtmr0(&events[..1], &[]), Err(MeasureError::UnknownEvent { index: 0, got: events[0] }));
    let many = vec![events[0]; EVENTS_MAX + 1];
    let too_many = Err(MeasureError::EventCount { limit: EVENTS_MAX, got: EVENTS_MAX + 1 });
    assert_eq!(rtmr0(&many, &events), too_many);
    assert_eq!(rtmr0(&events, &many), too_many);
    assert!(rtmr0(&many[1..], &many[1..]).is_ok());
}

#[test]
fn the_initrd_adds_an_argument_and_an_event() {
    let with = rtmr2_events(&cmdline("quiet"), b"initrd");
    let without = rtmr2_events(&cmdline("quiet initrd=initrd"), b"");
    assert_eq!(with.len(), 2);
    assert_eq!(with[..1], without[..]);
    assert_ne!(rtmr2_events(&cmdline("quiet"), b""), without);
}

#[test]
fn the_digest_of_a_kernel_leaves_out_checksum_and_certificates_and_nothing_else() {
    let image = kernel("kernel", 0x2000, 0x100);
    let digest = authenticode_sha384(&image).unwrap();
    let (checksum, entry) = (0x58 + 64, 0x58 + 144);
    for at in 0..image.len() {
        let mut flipped = image.clone();
        flipped[at] ^= 0x10;
        let free = (checksum..checksum + 4).contains(&at) || at >= 0x1f00;
        let in_entry = (entry..entry + 8).contains(&at);
        match authenticode_sha384(&flipped) {
            Ok(other) if free => assert_eq!(other, digest, "byte {at:#x}"),
            Ok(other) => assert!(other != digest && !in_entry, "byte {at:#x}"),
            Err(MeasureError::KernelFormat(_)) => assert!(!free, "byte {at:#x}"),
            Err(error) => panic!("byte {at:#x}: {error}"),
        }
    }
}

#[test]
fn a_kernel_of_another_shape_is_refused() {
    let image = kernel("kernel", 0x2000, 0x100);
    for len in 0..image.len() {
        let result = authenticode_sha384(&image[..len]);
        assert!(matches!(result, Err(MeasureError::KernelFormat(_))), "{len} bytes: {result:?}");
    }
    for extra in 1..=64 {
        let longer = [&image[..], &vec![0; extra]].concat();
        assert!(authenticode_sha384(&longer).is_err(), "{extra} more bytes");
    }
    let cases: [(usize, &[u8], &str); 12] = [
        (0x0, b"ZM", "no DOS header"),
        (0x3c, &[0xff; 4], "headers outside the file"),
        (0x40, b"NE", "no PE signature"),
        (0x46, &[97, 0], "headers too large"),
        (0x46, &[96, 0], "section headers outside the headers"),
        (0x54, &[0xff, 0xff], "headers outside the file"),
        (0x54, &[8, 0], "not PE32+"),
        (0x58, &[0x0b, 0x01], "not PE32+"),
        (0x58 + 60, &[0xff; 4], "headers too large"),
        (0x58 + 144, &[0, 0x1f, 0, 0, 0, 2, 0, 0], "certificates not at the end"),
        (0xf8 + 16, &[0xff; 4], "section outside the file"),
        (0xf8 + 20, &[0, 0x0d], "sections with a gap or an overlap"),
    ];
    for (at, bytes, why) in cases {
        let mut other = image.clone();
        other[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(authenticode_sha384(&other), Err(MeasureError::KernelFormat(why)), "at {at:#x}");
    }
}

#[test]
fn a_setup_header_that_qemu_would_fill_otherwise_is_refused() {
    let image = kernel("kernel", 0x2000, 0);
    let digest = |image: &[u8], text: &str, form| tdx::kernel_digest(image, b"initrd", &cmdline(text), form);
    assert!(digest(&image, "quiet", SETUP).is_ok());
    for text in ["vga=normal", "a vga=1 b", "novga=1"] {
        assert_eq!(digest(&image, text, SETUP), Err(MeasureError::CmdlineVga));
        assert!(digest(&image, text, KernelForm::File).is_ok());
    }
    let cases: [(usize, &[u8], &str); 3] = [
        (0x202, b"HdrX", "no HdrS signature"),
        (0x206, &[0x0b, 0x02], "boot protocol before 2.12"),
        (0x211, &[0], "not loaded at 1 MiB"),
    ];
    for (at, bytes, why) in cases {
        let mut other = image.clone();
        other[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(digest(&other, "", SETUP), Err(MeasureError::KernelFormat(why)));
        assert!(digest(&other, "", KernelForm::File).is_ok());
    }
    let short = Err(MeasureError::KernelFormat("shorter than a setup header"));
    assert_eq!(digest(&image[..0x3ff], "", SETUP), short);
}

#[test]
fn the_place_of_the_initrd_follows_memory_and_header() {
    let image = kernel("kernel", 0x2000, 0);
    let digest = |image: &[u8], memory_mib, len: usize| {
        let form = KernelForm::SetupHeader { memory_mib };
        tdx::kernel_digest(image, &vec![0; len], &cmdline(""), form)
    };
    // At 2 GiB and from 2.75 GiB on, 2 GiB are low memory.
    assert_eq!(digest(&image, 2048, 5000), digest(&image, 2816, 5000));
    assert_eq!(digest(&image, 2816, 5000), digest(&image, 1 << 20, 5000));
    assert_ne!(digest(&image, 2815, 5000), digest(&image, 2816, 5000));
    // No initrd, no place.
    assert_eq!(digest(&image, 64, 0), digest(&image, 2816, 0));
    // Without the flag, the header's limit binds.
    let mut low = image.clone();
    low[0x22c..0x230].copy_from_slice(&le(&[0x37ff_ffff]));
    assert_eq!(digest(&image, 4096, 5000).is_ok(), digest(&low, 4096, 5000).is_ok());
    low[0x236] = 0x7d;
    assert_eq!(digest(&low, 2048, 5000), digest(&low, 2700, 5000));
    low[0x22c..0x230].copy_from_slice(&le(&[5000]));
    assert_eq!(digest(&low, 2048, 5000), Err(MeasureError::InitrdPlace { limit: 5000, got: 5000 }));
    assert!(digest(&low, 2048, 4999).is_ok());
    for memory_mib in [0, 1] {
        let limit = if memory_mib == 0 { 0 } else { (1 << 20) - 0x28001 };
        let refused = Err(MeasureError::InitrdPlace { limit, got: 1 << 20 });
        assert_eq!(digest(&image, memory_mib, 1 << 20), refused);
    }
}

#[test]
fn a_kernel_or_an_initrd_over_its_limit_is_refused() {
    use tiltyard_attestation::measure::KERNEL_MAX_BYTES;
    let large = vec![0; KERNEL_MAX_BYTES + 1];
    let refused =
        MeasureError::TooLarge { part: Part::Kernel, limit: KERNEL_MAX_BYTES, got: KERNEL_MAX_BYTES + 1 };
    for form in [KernelForm::File, SETUP] {
        assert_eq!(tdx::kernel_digest(&large, b"", &cmdline(""), form), Err(refused.clone()));
    }
    let small = stream("kernel", 64);
    let refused = MeasureError::KernelFormat("no DOS header");
    assert_eq!(tdx::kernel_digest(&small, b"", &cmdline(""), KernelForm::File), Err(refused));
}
