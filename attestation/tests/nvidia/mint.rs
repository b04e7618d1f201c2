//! Devices under roots of our own: certificates in NVIDIA's layout, and reports that their keys sign.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{Certificates, field};
use tiltyard_attestation::{Base64Bytes, ForeignAnchors, Hex, TrustAnchors};

pub const SPDM_NONCE: [u8; 32] = [7; 32];
pub const FWID: [u8; 48] = [0xF1; 48];
pub const DICE: [u32; 6] = [2, 23, 133, 5, 4, 1];
pub const DICE_ALIAS: [u32; 7] = [2, 23, 133, 5, 4, 1, 1];
const SHA384: [u32; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 2];

/// A key, kept as PKCS #8 since certificates and reports want its signatures in two forms.
pub struct Key(Vec<u8>);

impl Key {
    pub fn new() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self(pkcs8.as_ref().to_vec())
    }

    fn point(&self) -> Vec<u8> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &self.0, &SystemRandom::new());
        pair.unwrap().public_key().as_ref().to_vec()
    }

    fn sign(&self, form: &'static ring::signature::EcdsaSigningAlgorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(form, &self.0, &random).unwrap();
        pair.sign(&random, message).unwrap().as_ref().to_vec()
    }

    /// r then s.
    pub fn sign_report(&self, message: &[u8]) -> Vec<u8> {
        self.sign(&ECDSA_P384_SHA384_FIXED_SIGNING, message)
    }
}

/// Roots, and the authorities below them.
pub struct Pki {
    root: (Key, Vec<u8>),
    family: (Key, Vec<u8>),
}

/// What one device's certificates say.
#[derive(Clone)]
pub struct DeviceFields {
    pub kind: DeviceKind,
    pub leaf_name: String,
    pub brom_name: String,
    pub leaf_serial: Vec<u8>,
    /// One byte of family, then the PDI.
    pub brom_serial: Vec<u8>,
    /// Dotted id and value of each extension beside key usage.
    pub dice: Vec<(Vec<u32>, Vec<u8>)>,
}

/// A device that can sign reports.
pub struct Device {
    pub kind: DeviceKind,
    pub leaf: Key,
    /// DER, leaf first, with the root.
    pub chain: Vec<Vec<u8>>,
}

impl Pki {
    pub const FAMILY_SERIAL: [u8; 1] = [2];

    pub fn new() -> Self {
        let (root, family) = (Key::new(), Key::new());
        let authority = |serial: &[u8], issuer: &str, subject: &str, key: &Key, signer: &Key| {
            certificate(serial, issuer, subject, key, signer, &[ca()])
        };
        let root_der = authority(&[1], "Root", "Root", &root, &root);
        let family_der = authority(&Self::FAMILY_SERIAL, "Root", "Family", &family, &root);
        Self { root: (root, root_der), family: (family, family_der) }
    }

    pub fn anchors(&self) -> TrustAnchors {
        let nvidia_device = Some(Base64Bytes(self.root.1.clone()));
        TrustAnchors::foreign(ForeignAnchors { nvidia_device, ..ForeignAnchors::of_snp(Vec::new()) }).unwrap()
    }

    /// Lists of both authorities, which hold these serial numbers back.
    pub fn lists(&self, serials: &[Vec<u8>]) -> Vec<Vec<u8>> {
        [("Root", &self.root.0), ("Family", &self.family.0)]
            .map(|(issuer, signer)| revocation_list(issuer, signer, serials))
            .to_vec()
    }

    pub fn device(&self, fields: &DeviceFields) -> Device {
        self.with_brom(&Key::new(), fields)
    }

    /// A device with this key of its own; other firmware gives it another leaf.
    pub fn with_brom(&self, brom: &Key, fields: &DeviceFields) -> Device {
        let leaf = Key::new();
        let extensions: Vec<Vec<u8>> = fields.dice.iter().map(|(id, value)| extension(id, value)).collect();
        let brom_der =
            certificate(&fields.brom_serial, "Family", &fields.brom_name, brom, &self.family.0, &[ca()]);
        let leaf_der =
            certificate(&fields.leaf_serial, &fields.brom_name, &fields.leaf_name, &leaf, brom, &extensions);
        let chain = vec![leaf_der, brom_der, self.family.1.clone(), self.root.1.clone()];
        Device { kind: fields.kind, leaf, chain }
    }
}

impl DeviceFields {
    pub fn hopper(number: u8) -> Self {
        Self {
            kind: DeviceKind::Gpu,
            leaf_name: "GH100 A01 GSP FMC LF".to_owned(),
            brom_name: "GH100 A01 GSP BROM".to_owned(),
            leaf_serial: vec![0x53, number],
            brom_serial: [&[0x41][..], &gpu_pdi(number)].concat(),
            dice: vec![(DICE.to_vec(), composite(&FWID))],
        }
    }

    pub fn blackwell(number: u8) -> Self {
        Self {
            leaf_name: "GB100 A01 GSP FMC LF".to_owned(),
            brom_name: "GB100 A01 GSP BROM".to_owned(),
            dice: vec![(DICE_ALIAS.to_vec(), tcb_info(&[&FWID, &[0; 48]]))],
            ..Self::hopper(number)
        }
    }

    pub fn switch(number: u8) -> Self {
        Self {
            kind: DeviceKind::Switch,
            leaf_name: "LS_10 A01 FSP FMC LF".to_owned(),
            brom_name: "LS_10 A01 FSP BROM".to_owned(),
            leaf_serial: vec![0x79, number],
            brom_serial: [&[0x50][..], &switch_pdi(number)].concat(),
            ..Self::hopper(number)
        }
    }
}

impl Device {
    pub fn certificates(&self) -> Certificates {
        Certificates::from_der(self.chain.clone())
    }

    /// Adds this device's signature.
    pub fn sign(&self, unsigned: &[u8]) -> Vec<u8> {
        [unsigned, &self.leaf.sign_report(unsigned)].concat()
    }

    pub fn report(&self, fields: &SpdmFields) -> Vec<u8> {
        self.sign(&fields.encode())
    }
}

pub fn gpu_pdi(number: u8) -> [u8; 8] {
    [0x43, 1, 2, 3, 4, 5, 6, number]
}

pub fn switch_pdi(number: u8) -> [u8; 8] {
    [0x20, 0x3e, 0xb3, 0x1a, 0xd9, 0xed, 0, number]
}

/// A report before its signature.
#[derive(Clone)]
pub struct SpdmFields {
    pub request: Vec<u8>,
    /// Up to the count of blocks.
    pub response: Vec<u8>,
    pub blocks: Vec<Vec<u8>>,
    pub opaque: Vec<(u16, Vec<u8>)>,
    /// Stands behind the last opaque field.
    pub spare: Vec<u8>,
}

impl SpdmFields {
    pub fn new(opaque: Vec<(u16, Vec<u8>)>) -> Self {
        Self {
            request: [&[0x11, 0xE0, 0x01, 0xFF][..], &SPDM_NONCE, &[0]].concat(),
            response: vec![0x11, 0x60, 0, 0],
            blocks: (1..=64).map(|index| block(index, &[index; 48])).collect(),
            opaque,
            spare: Vec::new(),
        }
    }

    /// An H100 by itself.
    pub fn gpu() -> Self {
        Self::new(vec![
            (field::VBIOS, vec![0, 0x9f, 0, 0x96, 1, 0, 0, 0]),
            (field::CHIP_SKU, b"882\0\0\0\0\0\0".to_vec()),
            (field::PROJECT, b"1010\0".to_vec()),
            (field::PROJECT_SKU, b"0200\0".to_vec()),
            (field::DRIVER, b"550.90.07\0".to_vec()),
            (field::NVDEC0, vec![0x55]),
            (field::FWID, FWID.to_vec()),
            (field::PROTECTED_PCIE, vec![0x55]),
        ])
    }

    /// An H100 of a protected fabric of these switches.
    pub fn ppcie(switches: &[u8]) -> Self {
        let links = (0..18).flat_map(|link: usize| {
            let mut pdi = switch_pdi(switches[link % switches.len()]);
            pdi.reverse();
            pdi
        });
        Self::gpu()
            .with(field::PROTECTED_PCIE, &[0xAA])
            .with(field::PDI, &links.collect::<Vec<u8>>())
            .with(field::VERSION, &[1, 0])
            .with(field::FEATURE, &[2, 0])
    }

    /// A switch whose ports lead to these GPUs.
    pub fn switch(number: u8, gpus: [u8; 8]) -> Self {
        let ports = [gpus.map(gpu_pdi).concat(), vec![0xFF; 64]].concat();
        Self::new(vec![
            (field::VBIOS, b"96.10.55.00.01".to_vec()),
            (field::PDI, switch_pdi(number).to_vec()),
            (field::GPU_PDIS, ports),
        ])
    }

    /// With this field, in the place of another of its type.
    pub fn with(mut self, kind: u16, data: &[u8]) -> Self {
        match self.opaque.iter_mut().find(|(found, _)| *found == kind) {
            Some((_, old)) => *old = data.to_vec(),
            None => self.opaque.push((kind, data.to_vec())),
        }
        self
    }

    pub fn without(mut self, kind: u16) -> Self {
        self.opaque.retain(|(found, _)| *found != kind);
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let record = self.blocks.concat();
        let fields = self.opaque.iter().flat_map(|(kind, data)| {
            let len = u16::try_from(data.len()).unwrap();
            [&kind.to_le_bytes()[..], &len.to_le_bytes(), data].concat()
        });
        let opaque: Vec<u8> = fields.chain(self.spare.iter().copied()).collect();
        let record_len = u32::try_from(record.len()).unwrap().to_le_bytes();
        [
            &self.request,
            &self.response,
            &[u8::try_from(self.blocks.len()).unwrap()][..],
            &record_len[..3],
            &record,
            &[9; 32],
            &u16::try_from(opaque.len()).unwrap().to_le_bytes(),
            &opaque,
        ]
        .concat()
    }
}

pub fn block(index: u8, value: &[u8; 48]) -> Vec<u8> {
    [&[index, 1, 51, 0, 1, 48, 0][..], value].concat()
}

/// CompositeDeviceID.
pub fn composite(fwid: &[u8; 48]) -> Vec<u8> {
    let key = public_key(&Key::new().point());
    tlv(0x30, &[&tlv(0x02, &[1])[..], &key, &firmware(fwid)].concat())
}

/// DiceTcbInfo.
pub fn tcb_info(fwids: &[&[u8; 48]]) -> Vec<u8> {
    let fwids: Vec<u8> = fwids.iter().flat_map(|fwid| firmware(fwid)).collect();
    let members = [
        tlv(0x80, b"NVIDIA"),
        tlv(0x81, b"GB100 A01 GSP"),
        tlv(0x83, &[1]),
        tlv(0xA6, &fwids),
        tlv(0x87, &[0, 0x80, 0, 0, 1]),
    ];
    tlv(0x30, &members.concat())
}

pub fn firmware(fwid: &[u8; 48]) -> Vec<u8> {
    tlv(0x30, &[oid(&SHA384), tlv(0x04, fwid)].concat())
}

pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = match len {
        0..=0x7f => vec![tag, len as u8],
        0x80..=0xff => vec![tag, 0x81, len as u8],
        _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
    };
    [head, content.to_vec()].concat()
}

pub fn oid(arcs: &[u32]) -> Vec<u8> {
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for &arc in &arcs[2..] {
        let groups = (0..5).rev().map(|group| (arc >> (7 * group) & 0x7f) as u8);
        let digits: Vec<u8> = groups.skip_while(|&group| group == 0).collect();
        let digits = if digits.is_empty() { vec![0] } else { digits };
        let last = digits.len() - 1;
        content.extend(
            digits.iter().enumerate().map(|(at, digit)| if at < last { digit | 0x80 } else { *digit }),
        );
    }
    tlv(0x06, &content)
}

fn certificate(
    serial: &[u8],
    issuer: &str,
    subject: &str,
    key: &Key,
    signer: &Key,
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let dates = [tlv(0x17, b"201017000000Z"), tlv(0x18, b"99991231235959Z")].concat();
    let body = [
        tlv(0xA0, &tlv(0x02, &[2])),
        tlv(0x02, serial),
        ecdsa_with_sha384(),
        name(issuer),
        tlv(0x30, &dates),
        name(subject),
        public_key(&key.point()),
        if extensions.is_empty() { Vec::new() } else { tlv(0xA3, &tlv(0x30, &extensions.concat())) },
    ];
    signed(&body.concat(), signer)
}

/// A list of 2026, in force for a year.
fn revocation_list(issuer: &str, signer: &Key, serials: &[Vec<u8>]) -> Vec<u8> {
    let issued = tlv(0x17, b"260101000000Z");
    let on_hold = tlv(0x30, &extension(&[2, 5, 29, 21], &tlv(0x0a, &[6])));
    let entry = |serial: &Vec<u8>| tlv(0x30, &[tlv(0x02, serial), issued.clone(), on_hold.clone()].concat());
    let entries: Vec<u8> = serials.iter().flat_map(entry).collect();
    let body = [
        tlv(0x02, &[1]),
        ecdsa_with_sha384(),
        name(issuer),
        issued.clone(),
        tlv(0x17, b"270101000000Z"),
        if entries.is_empty() { entries } else { tlv(0x30, &entries) },
    ];
    signed(&body.concat(), signer)
}

fn signed(body: &[u8], signer: &Key) -> Vec<u8> {
    let body = tlv(0x30, body);
    let signature = signer.sign(&ECDSA_P384_SHA384_ASN1_SIGNING, &body);
    let bits = tlv(0x03, &[&[0][..], &signature].concat());
    tlv(0x30, &[body, ecdsa_with_sha384(), bits].concat())
}

fn ecdsa_with_sha384() -> Vec<u8> {
    tlv(0x30, &oid(&[1, 2, 840, 10_045, 4, 3, 3]))
}

fn name(text: &str) -> Vec<u8> {
    let pair = tlv(0x30, &[oid(&[2, 5, 4, 3]), tlv(0x0c, text.as_bytes())].concat());
    tlv(0x30, &tlv(0x31, &pair))
}

fn public_key(point: &[u8]) -> Vec<u8> {
    let algorithm = [oid(&[1, 2, 840, 10_045, 2, 1]), oid(&[1, 3, 132, 0, 34])].concat();
    tlv(0x30, &[tlv(0x30, &algorithm), tlv(0x03, &[&[0][..], point].concat())].concat())
}

fn extension(id: &[u32], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[oid(id), tlv(0x04, value)].concat())
}

/// Basic constraints and key usage of an authority.
fn ca() -> Vec<u8> {
    let critical =
        |id: &[u32], value: &[u8]| tlv(0x30, &[oid(id), tlv(0x01, &[0xff]), tlv(0x04, value)].concat());
    let constraints = critical(&[2, 5, 29, 19], &tlv(0x30, &tlv(0x01, &[0xff])));
    [constraints, critical(&[2, 5, 29, 15], &tlv(0x03, &[2, 4]))].concat()
}

/// The nonce of minted reports.
pub fn nonce() -> Option<Hex<32>> {
    Some(Hex(SPDM_NONCE))
}
