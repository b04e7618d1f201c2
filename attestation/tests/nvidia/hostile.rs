//! Bits flipped one at a time, truncations, trailing bytes, noise: nothing accepted, nothing panics.

use proptest::prelude::*;
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{Certificates, files};

use crate::genuine::h100;
use crate::mint::{DeviceFields, Pki, SpdmFields, nonce};
use crate::support::{Bench, own};

/// One bit of each byte, another one from byte to byte: an eighth of all single-bit flips; all of them
/// when `TILTYARD_FLIPS` is `all`, as before a release.
fn sampled_flips(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let all = std::env::var("TILTYARD_FLIPS").is_ok_and(|value| value == "all");
    let places = (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit)));
    places.filter(move |&(at, bit)| all || bit == at % 8).map(move |(at, bit)| {
        let mut bent = bytes.to_vec();
        bent[at] ^= 1 << bit;
        (format!("bit {bit} of byte {at:#x}"), bent)
    })
}

#[test]
fn no_flip_of_a_genuine_report_is_accepted() {
    let (report, chain) = h100();
    let bench = Bench::vendor();
    assert_eq!(bench.refusal(DeviceKind::Gpu, &report, &chain), None);
    let accepted: Vec<String> = sampled_flips(&report)
        .filter(|(_, bent)| bench.refusal(DeviceKind::Gpu, bent, &chain).is_none())
        .map(|(which, _)| which)
        .collect();
    assert_eq!(accepted, Vec::<String>::new());
}

#[test]
fn no_flip_of_a_genuine_certificate_is_accepted() {
    let (report, _) = h100();
    let pem = own("hopperCertChain.txt");
    let ders: Vec<Vec<u8>> =
        x509_parser::pem::Pem::iter_from_buffer(&pem).map(|pem| pem.unwrap().contents).collect();
    assert_eq!(ders.len(), 5);
    let bench = Bench::vendor();
    let found = |chain: Vec<Vec<u8>>| bench.refusal(DeviceKind::Gpu, &report, &Certificates::from_der(chain));
    assert_eq!(found(ders.clone()), None);
    for place in 0..ders.len() {
        for (which, bent) in sampled_flips(&ders[place]) {
            let mut chain = ders.clone();
            chain[place] = bent;
            assert!(found(chain).is_some(), "certificate {place}: {which}");
        }
    }
}

#[test]
fn no_truncation_and_no_trailing_byte_is_accepted() {
    let (report, chain) = h100();
    let bench = Bench::vendor();
    let refused = |bytes: &[u8]| bench.refusal(DeviceKind::Gpu, bytes, &chain).is_some();
    for len in 0..report.len() {
        assert!(refused(&report[..len]), "{len} bytes");
    }
    for fill in [0, 0x55, 0xFF] {
        let mut longer = report.clone();
        for _ in 0..64 {
            longer.push(fill);
            assert!(refused(&longer), "{} bytes", longer.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_never_panics(
        noise in proptest::collection::vec(any::<u8>(), 0..600),
        opaque in proptest::collection::vec((0u16..40, proptest::collection::vec(any::<u8>(), 0..20)), 0..12),
        dice in proptest::collection::vec(any::<u8>(), 0..80),
        at in 0usize..3000,
        byte in any::<u8>(),
    ) {
        let (report, chain) = h100();
        let bench = Bench::vendor();
        for kind in [DeviceKind::Gpu, DeviceKind::Switch] {
            bench.refusal(kind, &noise, &chain);
            bench.refusal(kind, &report, &Certificates::from_der(vec![noise.clone()]));
            bench.refusal(kind, &report, &Certificates::from_pem(&noise));
        }
        let mut bent = report;
        bent[at] = byte;
        bench.refusal(DeviceKind::Gpu, &bent, &chain);
        let _ = files::report(&noise);
        let _ = files::evidence(&noise);
        let _ = files::kind_of(&noise);

        let pki = Pki::new();
        let dice = vec![(crate::mint::DICE.to_vec(), dice)];
        let device = pki.device(&DeviceFields { dice, ..DeviceFields::hopper(1) });
        let bench = Bench { anchors: pki.anchors(), nonce: nonce(), ..Bench::vendor() };
        for kind in [DeviceKind::Gpu, DeviceKind::Switch] {
            let report = device.report(&SpdmFields::new(opaque.clone()));
            bench.run(kind, &report, &device.certificates(), |_, _| ()).1.findings();
        }
    }
}
