//! Who signed, and which firmware: chains, signatures, nonces, DICE extensions (GPU-03, GPU-04, GPU-05).

use tiltyard_attestation::nvidia::{Certificates, field};
use tiltyard_attestation::{CheckId, Code, Hex, TrustAnchors};

use crate::mint::{
    DICE, DICE_ALIAS, Device, DeviceFields, FWID, Pki, SpdmFields, composite, firmware, nonce, tcb_info, tlv,
};
use crate::support::Bench;

fn minted() -> (Pki, Bench) {
    let pki = Pki::new();
    let bench = Bench { anchors: pki.anchors(), nonce: nonce(), ..Bench::vendor() };
    (pki, bench)
}

fn refusal(bench: &Bench, device: &Device, fields: &SpdmFields) -> Option<(CheckId, Code)> {
    bench.refusal(device.kind, &device.report(fields), &device.certificates())
}

#[test]
fn gpu_03_chains_to_other_roots() {
    let (pki, bench) = minted();
    let device = pki.device(&DeviceFields::hopper(1));
    let found = refusal(
        &Bench { anchors: TrustAnchors::vendor(), nonce: nonce(), ..Bench::vendor() },
        &device,
        &SpdmFields::gpu(),
    );
    assert_eq!(found, Some((CheckId::Gpu03, Code::UntrustedRoot)));
    let stranger = Pki::new().device(&DeviceFields::hopper(1));
    let found = refusal(&bench, &stranger, &SpdmFields::gpu());
    assert_eq!(found, Some((CheckId::Gpu03, Code::UntrustedRoot)));
}

#[test]
fn gpu_03_other_orders_and_certificates() {
    let (pki, bench) = minted();
    let device = pki.device(&DeviceFields::hopper(1));
    let report = device.report(&SpdmFields::gpu());
    let found = |chain: Vec<Vec<u8>>| bench.refusal(device.kind, &report, &Certificates::from_der(chain));
    let [leaf, brom, family, root] = &device.chain[..] else { panic!("four certificates") };
    let chain = |parts: &[&Vec<u8>]| parts.iter().map(|&der| der.clone()).collect::<Vec<_>>();
    assert_eq!(found(chain(&[leaf, brom, family])), None, "the root may be left out");
    let bad = [
        (chain(&[]), Code::ChainShape),
        (chain(&[root]), Code::ChainShape),
        (chain(&[brom, family, root]), Code::ChainShape),
        (chain(&[root, family, brom, leaf]), Code::ChainShape),
        (chain(&[leaf, brom, family, root, root]), Code::ChainShape),
        (chain(&[leaf, brom, family, root, root, root]), Code::ChainShape),
        (chain(&[leaf, brom, root, family]), Code::ChainShape),
        (chain(&[leaf, family, root]), Code::IssuerMismatch),
        (chain(&[leaf, brom, brom, family, root]), Code::IssuerMismatch),
        (chain(&[leaf, brom]), Code::UntrustedRoot),
        (vec![leaf.clone(), vec![0x30, 0]], Code::CertFormat),
    ];
    for (at, (chain, code)) in bad.into_iter().enumerate() {
        assert_eq!(found(chain), Some((CheckId::Gpu03, code)), "chain {at}");
    }
    let unread = Certificates::from_pem(b"no certificate");
    assert_eq!(bench.refusal(device.kind, &report, &unread), Some((CheckId::Gpu03, Code::CertFormat)));
}

#[test]
fn gpu_03_a_serial_number_of_zero_is_no_identity() {
    let (pki, bench) = minted();
    let device = pki.device(&DeviceFields { leaf_serial: vec![0], ..DeviceFields::hopper(1) });
    assert_eq!(refusal(&bench, &device, &SpdmFields::gpu()), Some((CheckId::Gpu03, Code::CertFormat)));
}

#[test]
fn gpu_04_signatures_of_other_keys_or_bytes() {
    let (pki, bench) = minted();
    let (one, two) = (pki.device(&DeviceFields::hopper(1)), pki.device(&DeviceFields::hopper(2)));
    let refused = Some((CheckId::Gpu04, Code::ReportSignature));
    let report = one.report(&SpdmFields::gpu());
    assert_eq!(bench.refusal(one.kind, &report, &two.certificates()), refused);
    let mut bent = report.clone();
    bent[60] ^= 1;
    assert_eq!(bench.refusal(one.kind, &bent, &one.certificates()), refused);
    let len = report.len();
    for signature in [[0; 96], [0xFF; 96]] {
        let mut unsigned = report.clone();
        unsigned[len - 96..].copy_from_slice(&signature);
        assert_eq!(bench.refusal(one.kind, &unsigned, &one.certificates()), refused);
    }
}

#[test]
fn gpu_04_another_nonce() {
    let (pki, bench) = minted();
    let device = pki.device(&DeviceFields::hopper(1));
    let mut other = [7; 32];
    other[31] = 8;
    let bench = Bench { nonce: Some(Hex(other)), ..bench };
    let found = refusal(&bench, &device, &SpdmFields::gpu());
    assert_eq!(found, Some((CheckId::Gpu04, Code::NonceMismatch)));
}

#[test]
fn gpu_05_firmware_of_another_certificate() {
    let (pki, bench) = minted();
    let refused = Some((CheckId::Gpu05, Code::FwidMismatch));
    for fields in [DeviceFields::hopper(1), DeviceFields::blackwell(1)] {
        let device = pki.device(&fields);
        assert_eq!(refusal(&bench, &device, &SpdmFields::gpu()), None, "{}", fields.leaf_name);
        let other = SpdmFields::gpu().with(field::FWID, &[0xF2; 48]);
        assert_eq!(refusal(&bench, &device, &other), refused, "{}", fields.leaf_name);
        let zero = SpdmFields::gpu().with(field::FWID, &[0; 48]);
        assert_eq!(refusal(&bench, &device, &zero), refused, "the second firmware id is not the first");
        let silent = pki.device(&DeviceFields { dice: Vec::new(), ..fields });
        assert_eq!(refusal(&bench, &silent, &SpdmFields::gpu()), refused, "no extension");
        assert_eq!(refusal(&bench, &silent, &SpdmFields::gpu().without(field::FWID)), None, "GPU-06 decides");
    }
    let switch = pki.device(&DeviceFields::switch(1));
    let report = SpdmFields::switch(1, [1; 8]);
    assert_eq!(refusal(&bench, &switch, &report), None);
    assert_eq!(refusal(&bench, &switch, &report.with(field::FWID, &[0xF2; 48])), refused);
}

#[test]
fn gpu_05_extensions_of_another_form() {
    let (pki, bench) = minted();
    let sha256 = tlv(0x06, &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]);
    let other_digest = tlv(0x30, &[sha256, tlv(0x04, &FWID)].concat());
    let member = |tag, content: &[u8]| tlv(tag, content);
    let tcb = |members: &[Vec<u8>]| tlv(0x30, &members.concat());
    let fwids = tlv(0xA6, &firmware(&FWID));
    let mut version = composite(&FWID);
    version[5] = 2;
    let bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        FWID.to_vec(),
        [composite(&FWID), vec![0]].concat(),
        version,
        tlv(0x30, &[tlv(0x02, &[1]), firmware(&FWID)].concat()),
        tlv(0x30, &[tlv(0x02, &[1]), tlv(0x30, &[]), other_digest.clone()].concat()),
        tlv(0x30, &[tlv(0x02, &[1]), tlv(0x30, &[]), firmware(&FWID), firmware(&FWID)].concat()),
        tcb(&[]),
        tcb(&[member(0x80, b"NVIDIA")]),
        tcb(&[tlv(0xA6, &[])]),
        tcb(&[tlv(0xA6, &other_digest)]),
        tcb(&[tlv(0xA6, &[firmware(&FWID), other_digest].concat())]),
        tcb(&[fwids.clone(), fwids.clone()]),
        tcb(&[fwids.clone(), member(0x80, b"NVIDIA")]),
        tcb(&[fwids.clone(), member(0x04, b"x")]),
        tcb(&[fwids.clone(), member(0x8B, b"x")]),
        tcb(&[tlv(0x86, &firmware(&FWID))]),
        [tcb(&[fwids]), vec![5, 0]].concat(),
        tlv(0x31, &tcb_info(&[&FWID])[2..]),
    ];
    let refused = Some((CheckId::Gpu05, Code::FwidMismatch));
    for (at, value) in bad.into_iter().enumerate() {
        for arc in [&DICE[..], &DICE_ALIAS] {
            let dice = vec![(arc.to_vec(), value.clone())];
            let device = pki.device(&DeviceFields { dice, ..DeviceFields::hopper(1) });
            assert_eq!(refusal(&bench, &device, &SpdmFields::gpu()), refused, "form {at}");
            let silent = SpdmFields::gpu().without(field::FWID);
            assert_eq!(refusal(&bench, &device, &silent), refused, "form {at}, silent report");
        }
    }
    let both = vec![(DICE.to_vec(), composite(&FWID)), (DICE_ALIAS.to_vec(), composite(&FWID))];
    let device = pki.device(&DeviceFields { dice: both, ..DeviceFields::hopper(1) });
    assert_eq!(refusal(&bench, &device, &SpdmFields::gpu()), refused, "two extensions");
}
