//! Who a device is, as its leaf certificate and the certificate above it say (TCG DICE Attestation Architecture).
//!
//! The leaf is the firmware's: its key, and so its serial number, follows from the device's secret and the firmware's
//! digest. The certificate above it is the device's own (BROM) and outlives firmware updates.

use crate::Hex;
use crate::chain::der::{Malformed, Reader, tag};
use crate::chain::ec::{Certificate, EcChain};
use crate::chain::{ChainError, Link};
use crate::evidence::DeviceKind;
use crate::policy::{Architecture, PlatformId};

use super::report::Pdi;

/// Arcs of the DICE extension. NVIDIA's own verifiers take one for the other: genuine GH100 and LS10 leaves have a
/// CompositeDeviceID under the first, GB100 leaves a TcbInfo under the second.
const DICE_OIDS: [&str; 2] = ["2.23.133.5.4.1", "2.23.133.5.4.1.1"];
/// 2.16.840.1.101.3.4.2.2, content octets.
const SHA384: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
/// Version of a CompositeDeviceID.
const COMPOSITE_VERSION: [u8; 1] = [1];

/// Why a leaf's DICE extension names no firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiceError {
    #[error("expected one DICE extension, found two")]
    Two,
    #[error("expected a CompositeDeviceID or a TcbInfo with SHA-384 firmware ids, found another form")]
    Form,
}

/// Identity of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// None for a leaf of a device that nobody here knows.
    architecture: Option<Architecture>,
    ueid: PlatformId,
    fwid: Result<Option<Hex<48>>, DiceError>,
    /// SHA-256 of the SubjectPublicKeyInfo in the device's own certificate.
    device_key: Option<Hex<32>>,
    pdi: Option<Pdi>,
}

impl Identity {
    /// Reads a chain that verified.
    pub(super) fn read(chain: &EcChain<'_>) -> Result<Self, ChainError> {
        let leaf = chain.leaf();
        let ueid = PlatformId::ueid(leaf.serial()).ok_or_else(|| ChainError::Format {
            link: Link::Place(0),
            sha256: Hex::sha256(leaf.der()),
            expected: "a serial number",
            got: "zero".to_owned(),
        })?;
        let device = chain.certificates().get(1).filter(|above| names(above).is_some_and(is_device_stage));
        Ok(Self {
            architecture: names(leaf).and_then(|words| leaf_architecture(&words)),
            ueid,
            fwid: fwid(leaf),
            device_key: device.map(|certificate| Hex::sha256(certificate.spki())),
            pdi: device.and_then(|certificate| own_pdi(certificate.serial())),
        })
    }

    /// Generation of the device, by the common name of its leaf.
    pub fn architecture(&self) -> Option<Architecture> {
        self.architecture
    }

    /// Universal entity id: the leaf's serial number. Another firmware has another one.
    pub fn ueid(&self) -> &PlatformId {
        &self.ueid
    }

    /// FWID that the leaf names, where it names one.
    pub fn fwid(&self) -> Result<Option<Hex<48>>, DiceError> {
        self.fwid
    }

    /// Digest of the device's own key, whatever its firmware; none where no BROM certificate stands above the leaf.
    pub fn device_key(&self) -> Option<Hex<32>> {
        self.device_key
    }

    /// PDI as the BROM certificate's serial number carries it, after one byte of family.
    ///
    /// Read off a genuine switch, whose report repeats it; for GPUs not verified on hardware.
    pub fn pdi(&self) -> Option<Pdi> {
        self.pdi
    }
}

impl Architecture {
    /// Generation by the name of a chip, such as `GH100`, `GB202` or `LS_10`; certificates of several chips at once
    /// have an X in place of the last digit, as in `GB20X`.
    pub(super) fn of_chip(chip: &str) -> Option<Self> {
        let numbered = |digits: &str| {
            matches!(digits.as_bytes(), [a, b, c] if a.is_ascii_digit() && b.is_ascii_digit()
                && (c.is_ascii_digit() || *c == b'X'))
        };
        match (chip, chip.split_at_checked(2)) {
            ("LS_10" | "LS10", _) => Some(Self::Ls10),
            (_, Some(("GH", digits))) if numbered(digits) => Some(Self::Hopper),
            (_, Some(("GB", digits))) if numbered(digits) => Some(Self::Blackwell),
            _ => None,
        }
    }

    /// GPU or switch.
    pub fn kind(self) -> DeviceKind {
        match self {
            Self::Hopper | Self::Blackwell => DeviceKind::Gpu,
            Self::Ls10 => DeviceKind::Switch,
        }
    }
}

/// A UEID as NVIDIA prints it: the serial number in decimal.
pub fn ueid_decimal(ueid: &PlatformId) -> String {
    // Decimal digits, least first.
    let mut digits = vec![0_u8];
    for &byte in ueid.bytes() {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            let value = (u32::from(*digit) << 8) + carry;
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

/// The five words of a device certificate's common name: chip, stepping, processor, and stage.
fn names<'c>(certificate: &'c Certificate<'_>) -> Option<Vec<&'c str>> {
    certificate.common_name().map(|name| name.split(' ').collect())
}

/// `GH100 A01 GSP FMC LF`: a GPU answers by its GSP, a switch by its FSP.
fn leaf_architecture(words: &[&str]) -> Option<Architecture> {
    let [chip, _stepping, processor, "FMC", "LF"] = *words else { return None };
    let architecture = Architecture::of_chip(chip)?;
    let expected = match architecture.kind() {
        DeviceKind::Gpu => "GSP",
        DeviceKind::Switch => "FSP",
    };
    (processor == expected).then_some(architecture)
}

/// `GH100 A01 GSP BROM`.
fn is_device_stage(words: Vec<&str>) -> bool {
    matches!(*words, [chip, _, _, "BROM"] if Architecture::of_chip(chip).is_some())
}

fn own_pdi(serial: &[u8]) -> Option<Pdi> {
    match serial {
        [_family, pdi @ ..] => Hex::from_slice(pdi),
        [] => None,
    }
}

/// FWID of the only DICE extension.
fn fwid(leaf: &Certificate<'_>) -> Result<Option<Hex<48>>, DiceError> {
    match DICE_OIDS.map(|oid| leaf.extension(oid)) {
        [None, None] => Ok(None),
        [Some(_), Some(_)] => Err(DiceError::Two),
        [Some(value), None] | [None, Some(value)] => composite_device_id(value)
            .or_else(|Malformed| tcb_info(value))
            .map(Some)
            .map_err(|Malformed| DiceError::Form),
    }
}

/// `SEQUENCE { version INTEGER, deviceID SubjectPublicKeyInfo, fwid FWID }`.
fn composite_device_id(der: &[u8]) -> Result<Hex<48>, Malformed> {
    let mut parts = Reader::only(der, tag::SEQUENCE)?;
    if parts.content(tag::INTEGER)? != COMPOSITE_VERSION {
        return Err(Malformed);
    }
    parts.content(tag::SEQUENCE)?;
    let fwid = firmware_id(parts.enter(tag::SEQUENCE)?)?;
    parts.end()?;
    Ok(fwid)
}

/// DiceTcbInfo: members `[0]`..`[10]`, each at most once and in order; the first of `[6] fwids` is the firmware that
/// holds the key.
fn tcb_info(der: &[u8]) -> Result<Hex<48>, Malformed> {
    const MEMBER_MAX: u8 = 10;
    const NUMBER: u8 = 0x1f;
    const CLASS: u8 = 0xC0;
    let mut members = Reader::only(der, tag::SEQUENCE)?;
    let (mut least, mut fwid) = (0, None);
    while !members.is_empty() {
        let member = members.any()?;
        let number = member.tag & NUMBER;
        if member.tag & CLASS != tag::context(0) || number < least || number > MEMBER_MAX {
            return Err(Malformed);
        }
        least = number + 1;
        if member.tag == tag::explicit(6) {
            let mut list = Reader::new(member.content);
            fwid = Some(firmware_id(list.enter(tag::SEQUENCE)?)?);
            while !list.is_empty() {
                firmware_id(list.enter(tag::SEQUENCE)?)?;
            }
        }
    }
    fwid.ok_or(Malformed)
}

/// The parts of `FWID: SEQUENCE { hashAlg OBJECT IDENTIFIER, digest OCTET STRING }`; SHA-384 only.
fn firmware_id(mut parts: Reader<'_>) -> Result<Hex<48>, Malformed> {
    if parts.content(tag::OID)? != SHA384 {
        return Err(Malformed);
    }
    let digest = parts.content(tag::OCTET_STRING)?;
    parts.end()?;
    Hex::from_slice(digest).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_have_three_digits_and_families_an_x_for_the_last() {
        for (chip, of) in [
            ("GH100", Architecture::Hopper),
            ("GB100", Architecture::Blackwell),
            ("GB202", Architecture::Blackwell),
            ("GB20X", Architecture::Blackwell),
            ("LS_10", Architecture::Ls10),
        ] {
            assert_eq!(Architecture::of_chip(chip), Some(of), "{chip}");
        }
        for other in
            ["GB2XX", "GBX02", "GB20x", "GB20", "GB2020", "GB20XX", "GA100", "gh100", "LS20", "GB", ""]
        {
            assert_eq!(Architecture::of_chip(other), None, "{other}");
        }
    }
}
