//! The certificate chain of one GPU or switch: leaf, BROM, provisioner, family identity, root.

use super::certificate::{
    Attribute, CertificateFields, END_OF_TIME, Extension, Name, SIGNS_CERTIFICATES,
    SIGNS_CERTIFICATES_AND_LISTS, SIGNS_DATA, TimeForm, Validity, midnight,
};
use super::keys::{KeyName, Keyring};
use super::{Architecture, Spelled};

/// Certificates of one chain.
pub const CHAIN_CERTIFICATES: usize = 5;
/// Place of the device's own identity in its chain; the first certificate that a responder answers for.
pub const BROM: usize = 1;

/// One physical device: everything about it follows from the seed, the family and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    pub architecture: Architecture,
    pub number: u32,
}

impl Device {
    /// Per-device identifier, big endian, as the BROM certificate's serial number carries it.
    pub fn pdi(self, keys: &Keyring) -> [u8; 8] {
        keys.draw(&format!("pdi/{self}"))
    }

    /// The key that the leaf certifies; firmware derives it from the device's secret and its own digest.
    pub fn attestation_key(self, fwid: &[u8; 48]) -> KeyName {
        let firmware: String = fwid.iter().map(|byte| format!("{byte:02x}")).collect();
        KeyName::new(format!("leaf/{self}/{firmware}"))
    }

    fn brom_key(self) -> KeyName {
        KeyName::new(format!("brom/{self}"))
    }

    /// Fields of the five certificates, leaf first; every field is the genuine one of this family.
    pub fn chain(self, keys: &Keyring, fwid: &[u8; 48]) -> Vec<CertificateFields> {
        vec![self.leaf(keys, fwid), self.brom(keys), self.provisioner(keys), self.identity(keys), root(keys)]
    }

    fn leaf(self, keys: &Keyring, fwid: &[u8; 48]) -> CertificateFields {
        let key = self.attestation_key(fwid);
        // Serial number: the key identifier, made positive and twenty bytes long.
        let mut serial = keys.key_id(&key);
        serial[0] = serial[0] & 0x7f | 0x40;
        let chip = self.architecture.chip();
        let processor = self.processor();
        let [a, b, c, d, e]: [u8; 5] = keys.draw(&format!("fuses/{self}"));
        let fuses = format!("NVIDIA:{chip}:48B02D{a:02X}{b:02X}{c:02X}{d:02X}{e:02X}");
        let dice = match self.architecture {
            Architecture::Hopper | Architecture::Ls10 => {
                Extension::CompositeDeviceId { device_key: self.brom_key(), fwid: *fwid }
            }
            Architecture::Blackwell => {
                let model = format!("{chip} A01 {processor}");
                Extension::DiceTcbInfo { model, fwids: [*fwid, [0; 48]] }
            }
        };
        CertificateFields {
            serial: serial.to_vec(),
            issuer: self.name(&self.brom_serial(keys), "BROM"),
            subject: self.name(&serial, "FMC LF"),
            validity: self.validity(),
            key,
            signer: self.brom_key(),
            extensions: vec![
                SIGNS_DATA,
                Extension::SubjectKeyId,
                Extension::AuthorityKeyId(self.brom_key()),
                Extension::DeviceName(fuses),
                dice,
            ],
        }
    }

    fn brom(self, keys: &Keyring) -> CertificateFields {
        let serial = self.brom_serial(keys);
        let mut extensions = vec![Extension::Ca { path_len: None }, SIGNS_CERTIFICATES];
        if self.architecture == Architecture::Blackwell {
            extensions.push(Extension::OcspAt);
        }
        extensions.extend([Extension::SubjectKeyId, Extension::AuthorityKeyId(self.provisioner_key())]);
        CertificateFields {
            serial: serial.to_vec(),
            issuer: self.provisioner_name(),
            subject: self.name(&serial, "BROM"),
            validity: self.validity(),
            key: self.brom_key(),
            signer: self.provisioner_key(),
            extensions,
        }
    }

    fn provisioner(self, keys: &Keyring) -> CertificateFields {
        let (not_before, crl) = match self.architecture {
            // The switch's own provisioner stands under the Hopper identity.
            Architecture::Hopper | Architecture::Ls10 => (midnight(2022, 3, 1), CRL_GH100),
            Architecture::Blackwell => (midnight(2023, 6, 20), CRL_GB100),
        };
        CertificateFields {
            serial: ca_serial(keys, &format!("provisioner/{}", self.architecture.chip())),
            issuer: self.identity_name(),
            subject: self.provisioner_name(),
            validity: forever(not_before),
            key: self.provisioner_key(),
            signer: self.identity_key(),
            extensions: authority_extensions(crl, self.identity_key()),
        }
    }

    fn identity(self, keys: &Keyring) -> CertificateFields {
        let not_before = match self.architecture {
            Architecture::Hopper | Architecture::Ls10 => midnight(2022, 1, 12),
            Architecture::Blackwell => midnight(2023, 1, 1),
        };
        CertificateFields {
            serial: ca_serial(keys, &format!("identity/{}", self.family())),
            issuer: root_name(),
            subject: self.identity_name(),
            validity: forever(not_before),
            key: self.identity_key(),
            signer: root_key(),
            extensions: authority_extensions(CRL_ROOT, root_key()),
        }
    }

    /// Serial number of the BROM certificate: a family byte and the PDI.
    fn brom_serial(self, keys: &Keyring) -> [u8; 9] {
        let [a, b, c, d, e, f, g, h] = self.pdi(keys);
        let family = if self.architecture.is_switch() { 0x50 } else { 0x41 };
        [family, a, b, c, d, e, f, g, h]
    }

    fn name(self, serial: &[u8], stage: &str) -> Name {
        let serial: String = serial.iter().map(|byte| format!("{byte:02X}")).collect();
        Name::new(&[
            (Attribute::SerialNumber, &serial),
            (Attribute::Country, "US"),
            (Attribute::Organization, "NVIDIA Corporation"),
            (
                Attribute::CommonName,
                &format!("{} A01 {} {stage}", self.architecture.chip(), self.processor()),
            ),
        ])
    }

    fn processor(self) -> &'static str {
        if self.architecture.is_switch() { "FSP" } else { "GSP" }
    }

    /// The family whose identity CA stands above; switches share the GPUs'.
    fn family(self) -> &'static str {
        match self.architecture {
            Architecture::Hopper | Architecture::Ls10 => "GH100",
            Architecture::Blackwell => "GB100",
        }
    }

    fn identity_key(self) -> KeyName {
        KeyName::new(format!("identity/{}", self.family()))
    }

    fn identity_name(self) -> Name {
        Name::new(&[
            (Attribute::CommonName, &format!("NVIDIA {} Identity", self.family())),
            (Attribute::Organization, "NVIDIA Corporation"),
        ])
    }

    fn provisioner_key(self) -> KeyName {
        KeyName::new(format!("provisioner/{}", self.architecture.chip()))
    }

    fn provisioner_name(self) -> Name {
        let number = match self.architecture {
            Architecture::Hopper | Architecture::Ls10 => "1",
            Architecture::Blackwell => "00000",
        };
        Name::new(&[
            (Attribute::CommonName, &format!("NVIDIA {} Provisioner ICA {number}", self.architecture.chip())),
            (Attribute::Organization, "NVIDIA Corporation"),
            (Attribute::Country, "US"),
        ])
    }

    fn validity(self) -> Validity {
        forever(match self.architecture {
            Architecture::Hopper | Architecture::Ls10 => midnight(2020, 10, 17),
            Architecture::Blackwell => midnight(2023, 6, 20),
        })
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.architecture.chip(), self.number)
    }
}

/// The root of all devices.
pub fn root(keys: &Keyring) -> CertificateFields {
    CertificateFields {
        serial: ca_serial(keys, "device-root"),
        issuer: root_name(),
        subject: root_name(),
        validity: forever(midnight(2021, 11, 5)),
        key: root_key(),
        signer: root_key(),
        extensions: vec![
            Extension::Ca { path_len: None },
            SIGNS_CERTIFICATES_AND_LISTS,
            Extension::SubjectKeyId,
            Extension::AuthorityKeyId(root_key()),
        ],
    }
}

/// Universal entity id of a device: its leaf's serial number, decimal.
pub fn ueid(leaf: &CertificateFields) -> String {
    let mut digits = vec![0_u8];
    for byte in &leaf.serial {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            let value = u32::from(*digit) * 256 + carry;
            *digit = (value % 10) as u8;
            carry = value / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

/// Sixteen bytes, positive, as the genuine authorities have them.
pub(crate) fn ca_serial(keys: &Keyring, label: &str) -> Vec<u8> {
    let mut serial: [u8; 16] = keys.draw(&format!("serial/{label}"));
    serial[0] = serial[0] & 0x7f | 0x40;
    serial.to_vec()
}

pub(crate) fn root_key() -> KeyName {
    KeyName::new("device-root")
}

fn root_name() -> Name {
    Name::new(&[(Attribute::CommonName, "NVIDIA Device Identity CA"), (Attribute::Organization, "NVIDIA")])
}

fn authority_extensions(crl: &'static str, issuer: KeyName) -> Vec<Extension> {
    vec![
        Extension::Ca { path_len: None },
        SIGNS_CERTIFICATES_AND_LISTS,
        Extension::CrlAt(crl),
        Extension::OcspAt,
        Extension::SubjectKeyId,
        Extension::AuthorityKeyId(issuer),
    ]
}

fn forever(not_before: u64) -> Validity {
    Validity { not_before, not_after: END_OF_TIME, form: TimeForm::ByYear }
}

const CRL_ROOT: &str = "http://crl.ndis.nvidia.com/crl/l1-root.crl";
const CRL_GH100: &str = "http://crl.ndis.nvidia.com/crl/l2-gh100.crl";
const CRL_GB100: &str = "http://crl.ndis.nvidia.com/crl/l2-gb100.crl";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ueid_is_the_serial_number_in_decimal() {
        let mut leaf = root(&Keyring::from_seed([7; 32]));
        for (serial, decimal) in
            [(vec![0], "0"), (vec![1, 0], "256"), (vec![0xff; 8], "18446744073709551615"), (vec![0x40], "64")]
        {
            leaf.serial = serial;
            assert_eq!(ueid(&leaf), decimal);
        }
        // The genuine H100 leaf of driver 550.90.07.
        leaf.serial = vec![
            0x53, 0xc2, 0x2b, 0xa1, 0x5e, 0x5d, 0x68, 0x08, 0x82, 0x82, 0xda, 0x07, 0x4e, 0xd9, 0xfb, 0x37,
            0xaa, 0x58, 0x57, 0x71,
        ];
        assert_eq!(ueid(&leaf), "478176379286082186618948445787393647364802107249");
    }
}
