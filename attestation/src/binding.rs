//! What REPORT_DATA covers (ARCHITECTURE "Binding", ATTESTATION 3).

use serde::{Deserialize, Serialize};

use crate::{Base64Bytes, Hex, Role};

/// HPKE KEM identifiers that a guest may present (RFC 9180 registry).
pub const KEM_X25519: u16 = 0x0020;
/// X-Wing: ML-KEM-768 with X25519, 1,216-byte public key.
pub const KEM_XWING: u16 = 0x647a;

/// Channel binding: exporter label of TLS 1.3, 32 bytes of output.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-tiltyard-attest-v1";

/// The document whose SHA-512 (over its RFC 8785 bytes) is REPORT_DATA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Runtime {
    /// The verifier's single-use nonce.
    pub nonce: Hex<32>,
    /// The guest's P-256 key, uncompressed point in hex (65 bytes); the KBS adapter's key.
    pub tee_pubkey: Hex<65>,
    /// Digests of the device evidence, in envelope order.
    pub additional_evidence: Vec<DeviceDigest>,
    pub profile: Profile,
}

/// Our profile of the runtime data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub charter: Hex<32>,
    pub role: Role,
    pub order: Option<Hex<32>>,
    pub lease: Hex<16>,
    pub keys: KeyDigests,
    /// TLS 1.3 exporter, when the evidence is given over a channel to its peer.
    pub channel: Option<Hex<32>>,
    /// Digest of the `boot` document: 32 random bytes of this boot and the device facts.
    pub boot: Hex<32>,
}

/// Digests of the keys that the guest made at boot (PROVISIONING 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyDigests {
    /// SHA-256 of the TLS certificate's SubjectPublicKeyInfo.
    pub tls: Hex<32>,
    /// SHA-256(u16be KEM id || public key).
    pub hpke: Hex<32>,
    /// SHA-256 of the Ed25519 public key.
    pub signing: Hex<32>,
}

/// One device's evidence, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceDigest {
    pub kind: crate::evidence::DeviceKind,
    pub index: u8,
    /// SHA-384(len32(report) report len32(chain) chain).
    pub digest: Hex<48>,
}

/// The `boot` document: what one boot of a guest is, and what it read of its devices (BND-10, GPU-13, GPU-17).
///
/// The measured guest reads the devices' state itself and binds it here: a device's own report does not show
/// whether confidential mode is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootDocument {
    /// Always 1.
    pub v: u8,
    /// Fresh at each boot.
    pub random: Hex<32>,
    /// NVIDIA GPUs on the PCI bus.
    pub pci_gpus: u8,
    /// GPUs that the driver (NVML) names, in envelope order.
    pub gpus: Vec<DeviceState>,
}

/// One GPU as the driver names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceState {
    /// Off where the board runs in protected PCIe mode, which takes its place.
    pub cc_mode: Switched,
    pub protected_pcie: Switched,
    pub devtools: Switched,
}

/// A mode of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switched {
    On,
    Off,
}

/// Largest boot document, in bytes.
pub const BOOT_MAX_BYTES: usize = 4 * 1024;

impl BootDocument {
    /// The canonical bytes (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and lists only, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }

    /// What stands in `profile.boot`: SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Hex<32> {
        Hex::sha256(&self.to_bytes())
    }
}

/// The keys themselves, as presented beside the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresentedKeys {
    /// DER SubjectPublicKeyInfo of the TLS certificate.
    pub tls_spki: Base64Bytes,
    pub hpke: HpkePublicKey,
    /// Ed25519 public key.
    pub signing: Hex<32>,
}

/// An HPKE public key with its KEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HpkePublicKey {
    pub kem: u16,
    pub public: Base64Bytes,
}

impl HpkePublicKey {
    /// SHA-256(u16be KEM id || public key).
    pub fn digest(&self) -> Hex<32> {
        let mut input = self.kem.to_be_bytes().to_vec();
        input.extend_from_slice(&self.public.0);
        Hex::sha256(&input)
    }
}

impl PresentedKeys {
    /// The digests that must stand in the runtime document.
    pub fn digests(&self) -> KeyDigests {
        KeyDigests {
            tls: Hex::sha256(&self.tls_spki.0),
            hpke: self.hpke.digest(),
            signing: Hex::sha256(self.signing.bytes()),
        }
    }
}

impl Runtime {
    /// The canonical bytes (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and lists only, which always serialise.
        serde_jcs::to_vec(self).unwrap_or_default()
    }

    /// REPORT_DATA for the given canonical bytes: SHA-512.
    pub fn report_data(runtime: &[u8]) -> Hex<64> {
        let digest = ring::digest::digest(&ring::digest::SHA512, runtime);
        let mut out = [0; 64];
        out.copy_from_slice(digest.as_ref());
        Hex(out)
    }

    /// What every device is asked with: SHA-256(JCS{nonce, tee-pubkey}) (BND-05).
    pub fn device_nonce(nonce: &Hex<32>, tee_pubkey: &Hex<65>) -> Hex<32> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct Asked<'a> {
            nonce: &'a Hex<32>,
            tee_pubkey: &'a Hex<65>,
        }
        Hex::sha256(&serde_jcs::to_vec(&Asked { nonce, tee_pubkey }).unwrap_or_default())
    }
}

/// Which side of a channel gives the evidence; part of the exporter context, against reflection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Client,
    Server,
}

/// Exporter context: SHA-256(JCS{nonce, side, client-spki, server-spki}); an absent client certificate is empty.
pub fn exporter_context(nonce: &Hex<32>, side: Side, client_spki: &[u8], server_spki: &[u8]) -> Hex<32> {
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Context<'a> {
        nonce: &'a Hex<32>,
        side: Side,
        client_spki: Base64Bytes,
        server_spki: Base64Bytes,
    }
    let context = Context {
        nonce,
        side,
        client_spki: client_spki.to_vec().into(),
        server_spki: server_spki.to_vec().into(),
    };
    Hex::sha256(&serde_jcs::to_vec(&context).unwrap_or_default())
}
