//! The certificate table that a hypervisor hands to a guest (GHCB specification 56421, 4.1.8.1).

use tiltyard_attestation::result::SigningKey;

/// GUIDs in text order of bytes.
const VCEK: u128 = 0x63da758d_e664_4564_adc5_f4b93be8accd;
const VLEK: u128 = 0xa8074bc2_a25a_483e_aae6_39c045a0b8a1;
const ASK: u128 = 0x4ab7b379_bbac_4fe4_a02f_05aef327c782;
const ARK: u128 = 0xc0b406a4_a803_4952_9743_3fb6014cd0ae;

/// GUID 16, offset u32, length u32.
const ENTRY_BYTES: usize = 24;

/// Entries for VCEK or VLEK, its issuer (an ASVK stands under the ASK's GUID) and ARK, an entry of zeros, then the
/// DER certificates; offsets count from the table's start.
pub fn encode(endorsement: SigningKey, vek: &[u8], issuer: &[u8], ark: &[u8]) -> Vec<u8> {
    let first = match endorsement {
        SigningKey::Vcek => VCEK,
        SigningKey::Vlek => VLEK,
    };
    let parts = [(first, vek), (ASK, issuer), (ARK, ark)];
    let mut table = Vec::new();
    let mut offset = (parts.len() + 1) * ENTRY_BYTES;
    for (guid, certificate) in parts {
        table.extend_from_slice(&guid.to_be_bytes());
        table.extend_from_slice(&(offset as u32).to_le_bytes());
        table.extend_from_slice(&(certificate.len() as u32).to_le_bytes());
        offset += certificate.len();
    }
    table.extend_from_slice(&[0; ENTRY_BYTES]);
    parts.iter().for_each(|(_, certificate)| table.extend_from_slice(certificate));
    table
}
