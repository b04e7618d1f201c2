//! The keys of this boot, and evidence that binds them.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use tiltyard_attestation::binding::{
    BootDocument, DeviceDigest, HpkePublicKey, KEM_XWING, PresentedKeys, Profile, Runtime,
};
use tiltyard_attestation::cmw::{self, EVIDENCE_MEDIA_TYPE};
use tiltyard_attestation::evidence::{DeviceEvidence, Evidence};
use tiltyard_attestation::{Hex, LaunchConfig};
use tiltyard_provisioning::hpke::HpkeSecret;
use zeroize::Zeroizing;

use crate::attested::Identity;
use crate::collect::{Collector, GpuFacts};
use crate::error::GuestError;

/// Keys made at boot and never written: they die with this guest.
pub(crate) struct Attester {
    collector: Collector,
    gpus: GpuFacts,
    config: LaunchConfig,
    config_bytes: Vec<u8>,
    signing: Ed25519KeyPair,
    hpke: HpkeSecret,
    tls: Identity,
    presented: PresentedKeys,
    tee_pubkey: Hex<65>,
    boot: BootDocument,
}

/// Whether evidence holds the devices' own reports, or what is bound of them since boot (BND-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Devices {
    InFull,
    AsBooted,
}

impl Attester {
    /// Makes the keys, and checks that this guest's own report names `config_bytes`.
    pub(crate) fn boot(collector: Collector, config_bytes: Vec<u8>) -> Result<Self, GuestError> {
        let config = LaunchConfig::from_bytes(&config_bytes).map_err(|error| GuestError::BootDocument {
            what: "launch configuration",
            why: error.to_string(),
        })?;
        let rng = SystemRandom::new();
        let expected = collector.cpu(&entry_name(&rng)?, &Hex(random(&rng)?))?.launch();
        let got = expected.of_same_form(&config_bytes);
        if expected != got {
            return Err(GuestError::ConfigMismatch { expected, got });
        }
        let gpus = collector.gpu_facts()?;

        let seed = Zeroizing::new(random::<32>(&rng)?);
        let signing =
            Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| GuestError::Crypto("signing key"))?;
        let hpke = HpkeSecret::generate(KEM_XWING, &rng).map_err(|_| GuestError::Crypto("HPKE key"))?;
        let tls = Identity::generate("referee.tiltyard")?;
        let presented = PresentedKeys {
            tls_spki: tls.spki().into(),
            hpke: hpke.public(),
            signing: ed25519_public(&signing),
        };
        let mut guest = Self {
            boot: BootDocument {
                v: 1,
                random: Hex(random(&rng)?),
                pci_gpus: gpus.pci(),
                gpus: gpus.driver().to_vec(),
            },
            collector,
            gpus,
            config,
            config_bytes,
            signing,
            hpke,
            tls,
            presented,
            tee_pubkey: tee_key(&rng)?,
        };
        guest.certify()?;
        Ok(guest)
    }

    /// Puts this boot's evidence into the certificate, for readers who know no other way to ask.
    ///
    /// Its nonce is the digest of the certificate's key: fresh to nobody, and bound to no channel. A certificate that
    /// it would make too large goes without.
    fn certify(&mut self) -> Result<(), GuestError> {
        let evidence = self.evidence(self.presented.digests().tls, None, Devices::AsBooted)?;
        let json = serde_json::to_vec(&evidence).map_err(|_| GuestError::Crypto("evidence document"))?;
        if let Ok(extension) = cmw::to_extension(EVIDENCE_MEDIA_TYPE, &json) {
            self.tls.certify(&cmw::ID_PE_CMW, extension)?;
        }
        Ok(())
    }

    pub(crate) fn config(&self) -> &LaunchConfig {
        &self.config
    }

    pub(crate) fn signing(&self) -> &Ed25519KeyPair {
        &self.signing
    }

    pub(crate) fn hpke(&self) -> &HpkeSecret {
        &self.hpke
    }

    pub(crate) fn hpke_public(&self) -> HpkePublicKey {
        self.presented.hpke.clone()
    }

    pub(crate) fn keys(&self) -> &PresentedKeys {
        &self.presented
    }

    /// Key and certificate of the attested API.
    pub(crate) fn tls(&self) -> &Identity {
        &self.tls
    }

    /// Fresh evidence over the verifier's nonce and, where there is one, the channel's exporter.
    pub(crate) fn evidence(
        &self,
        nonce: Hex<32>,
        channel: Option<Hex<32>>,
        devices: Devices,
    ) -> Result<Evidence, GuestError> {
        let devices = match devices {
            Devices::InFull => {
                self.collector.gpus(&self.gpus, &Runtime::device_nonce(&nonce, &self.tee_pubkey))?
            }
            Devices::AsBooted => Vec::new(),
        };
        let runtime = self.runtime(nonce, channel, &devices).to_bytes();
        let name = entry_name(&SystemRandom::new())?;
        let cpu = self.collector.cpu(&name, &Runtime::report_data(&runtime))?.into_evidence();
        Ok(Evidence {
            runtime: runtime.into(),
            config: self.config_bytes.clone().into(),
            keys: self.presented.clone(),
            cpu,
            devices,
            boot: (self.gpus.pci() > 0).then(|| self.boot.to_bytes().into()),
        })
    }

    fn runtime(&self, nonce: Hex<32>, channel: Option<Hex<32>>, devices: &[DeviceEvidence]) -> Runtime {
        let digest = |device: &DeviceEvidence| DeviceDigest {
            kind: device.kind,
            index: device.index,
            digest: device.digest(),
        };
        Runtime {
            nonce,
            tee_pubkey: self.tee_pubkey,
            additional_evidence: devices.iter().map(digest).collect(),
            profile: Profile {
                charter: self.config.charter,
                role: self.config.role,
                order: self.config.order,
                lease: self.config.lease,
                keys: self.presented.digests(),
                channel,
                boot: self.boot.digest(),
            },
        }
    }
}

/// `N` random bytes of the guest's kernel.
pub(crate) fn random<const N: usize>(rng: &dyn SecureRandom) -> Result<[u8; N], GuestError> {
    let mut bytes = [0; N];
    rng.fill(&mut bytes).map_err(|_| GuestError::Crypto("random bytes"))?;
    Ok(bytes)
}

pub(crate) fn ed25519_public(pair: &Ed25519KeyPair) -> Hex<32> {
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    Hex(public)
}

fn entry_name(rng: &dyn SecureRandom) -> Result<String, GuestError> {
    Ok(format!("tiltyard-{}", Hex(random::<8>(rng)?)))
}

/// The P-256 key of the runtime data; our own protocol does not use its private half.
fn tee_key(rng: &SystemRandom) -> Result<Hex<65>, GuestError> {
    let failed = || GuestError::Crypto("P-256 key");
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, rng).map_err(|_| failed())?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), rng)
        .map_err(|_| failed())?;
    Hex::from_slice(pair.public_key().as_ref()).ok_or_else(failed)
}
