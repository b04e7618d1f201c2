//! One TDX machine with everything that Intel says about it.

use tiltyard_attestation::{ForeignAnchors, Hex};

use super::certificate::{Pki, PkiFields};
use super::collateral::{Collateral, CollateralFields};
use super::event_log::EventLog;
use super::keys::Keyring;
use super::quote::{Form, QuoteFields};
use super::sgx::{SgxExtension, component_svns};
use super::tcb_info::TcbStatus;

/// A machine whose keys, fuses and authorities come from a seed.
pub struct SimulatedTdx {
    keys: Keyring,
}

/// Quote, collateral and event log of one TD before they are signed. Genuine by default.
#[derive(Debug, Clone)]
pub struct Draft {
    pub pki: PkiFields,
    pub quote: QuoteFields,
    pub collateral: CollateralFields,
    pub log: EventLog,
    /// RTMR0..3 of the quote instead of those that `log` replays to.
    pub rtmr: Option<[[u8; 48]; 4]>,
    /// Changes to the signed quote, in order.
    pub raw: Vec<RawEdit>,
}

/// A change to bytes that nobody signs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawEdit {
    Flip { at: usize, mask: u8 },
    Truncate { by: usize },
    Append(Vec<u8>),
}

/// The bytes of one draft.
#[derive(Debug, Clone)]
pub struct Issued {
    pub quote: Vec<u8>,
    /// The whole log area.
    pub event_log: Vec<u8>,
    /// The ACPI table CCEL.
    pub acpi_table: Vec<u8>,
    pub collateral: Collateral,
    pub pki: Pki,
}

impl SimulatedTdx {
    /// The machine that `seed` gives.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { keys: Keyring::from_seed(seed) }
    }

    /// An honest TD's evidence at `now` (Unix seconds), with collateral that is an hour old.
    pub fn draft(&self, form: Form, now: u64) -> Draft {
        let sgx = SgxExtension::genuine(self.ppid().0, self.keys.draw("platform-instance"));
        Draft {
            pki: PkiFields::genuine(&self.keys, sgx),
            quote: QuoteFields::genuine(&self.keys, form, component_svns(TcbStatus::UpToDate)),
            collateral: CollateralFields::genuine(now.saturating_sub(COLLATERAL_AGE_S)),
            log: EventLog::genuine(),
            rtmr: None,
            raw: Vec::new(),
        }
    }

    /// Signs a draft: the same draft gives the same bytes.
    pub fn issue(&self, draft: &Draft) -> Issued {
        let pki = draft.pki.issue(&self.keys);
        let mut fields = draft.quote.clone();
        fields.report.rtmr = draft.rtmr.unwrap_or_else(|| draft.log.replay());
        let mut quote = fields.issue(&self.keys, &pki);
        draft.raw.iter().for_each(|edit| edit.apply(&mut quote));
        Issued {
            quote,
            event_log: draft.log.encode(),
            acpi_table: draft.log.acpi_table(),
            collateral: draft.collateral.issue(&self.keys, &pki),
            pki,
        }
    }

    /// The root certificate, DER.
    pub fn root(&self) -> Vec<u8> {
        let sgx = SgxExtension::genuine([0; 16], [0; 16]);
        PkiFields::genuine(&self.keys, sgx).root.issue(&self.keys)
    }

    /// The root, as a set that taints whatever it vouches for.
    pub fn anchors(&self) -> ForeignAnchors {
        ForeignAnchors {
            snp: Vec::new(),
            intel: Some(self.root().into()),
            nvidia_device: None,
            nvidia_rim: None,
        }
    }

    /// Identity of the platform, for an allow-list.
    pub fn ppid(&self) -> Hex<16> {
        Hex(self.keys.draw("ppid"))
    }

    /// Key identifier and key of anyone, for tests that look into certificates.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }
}

impl Draft {
    /// Identity of the platform as the PCK certificate says it; zero where it says none.
    pub fn ppid(&self) -> [u8; 16] {
        self.pki.pck.sgx.as_ref().map_or([0; 16], |sgx| sgx.ppid)
    }
}

impl RawEdit {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { at, mask } => {
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte ^= mask;
                }
            }
            Self::Truncate { by } => bytes.truncate(bytes.len().saturating_sub(*by)),
            Self::Append(more) => bytes.extend_from_slice(more),
        }
    }
}

const COLLATERAL_AGE_S: u64 = 3_600;
