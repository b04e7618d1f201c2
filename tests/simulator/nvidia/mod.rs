//! Plays NVIDIA's provisioning, its reference manifest service and its revocation service: NOT A VENDOR ROOT.
//!
//! A seed gives a device root and a reference-manifest root with everything under them, in the genuine layouts
//! (H100 550.90.07 and 590.12, GB100 575.32, LS10): five-certificate chains, SPDM reports, SWID manifests with
//! XML signatures, OCSP answers. Only what no public sample shows is a guess, and the text beside it says so.
//!
//! - [`Draft`]: a whole set before it is signed; a test changes one field and every signature is made again.
//! - [`EvidenceSet`]: the same set signed, as bytes and in the vendors' file formats ([`formats`]).
//! - [`hostile`]: named attacks, each with the one check and code that must refuse it.
//!
//! ```
//! use tiltyard_simulator::nvidia::{Lab, formats};
//!
//! let set = Lab::from_seed([7; 32]).one_h100().issue();
//! assert_eq!(set.evidence[0].report.len(), 4117);
//! assert_eq!(set.rims[0].id, "NV_GPU_DRIVER_GH100_550.90.07");
//! let json = formats::evidence_json(&set.evidence);
//! assert!(json.contains("\"arch\": \"HOPPER\""));
//! ```

pub mod certificate;
pub mod device;
pub mod draft;
pub mod firmware;
pub mod formats;
pub mod hostile;
pub mod keys;
pub mod manifest;
pub mod measurements;
pub mod ocsp;
pub mod opaque;
pub mod sets;
pub mod signers;
pub mod spdm;
mod xml;

pub use draft::{Draft, EvidenceSet};
pub use sets::Lab;
pub use tiltyard_attestation::policy::{Architecture, GpuMode};

/// How NVIDIA spells an architecture in different places.
pub trait Spelled {
    /// Chip, as the common names of device certificates have it.
    fn chip(self) -> &'static str;
    /// Product, as manifests and their service have it.
    fn product(self) -> &'static str;
    /// Member `arch` of the collector's JSON.
    fn evidence_name(self) -> &'static str;
    fn is_switch(&self) -> bool;
}

impl Spelled for Architecture {
    fn chip(self) -> &'static str {
        match self {
            Self::Hopper => "GH100",
            Self::Blackwell => "GB100",
            Self::Ls10 => "LS_10",
        }
    }

    fn product(self) -> &'static str {
        match self {
            Self::Hopper => "GH100",
            Self::Blackwell => "GB100",
            Self::Ls10 => "LS10",
        }
    }

    fn evidence_name(self) -> &'static str {
        match self {
            Self::Hopper => "HOPPER",
            Self::Blackwell => "BLACKWELL",
            Self::Ls10 => "LS10",
        }
    }

    fn is_switch(&self) -> bool {
        *self == Self::Ls10
    }
}
