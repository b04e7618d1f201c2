//! Enrolled machines and devices (ATTESTATION 7).

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Hex;

/// One enrolled machine or device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    pub kind: PlatformKind,
    pub id: PlatformId,
    /// Who vouches for it, and where; printed.
    pub custody: String,
    /// Unix seconds; before it the platform is none of the enrolled.
    pub enrolled_at: u64,
    /// Unix seconds; from it on the platform is refused.
    pub revoked_at: Option<u64>,
}

/// What a platform id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlatformKind {
    /// CHIP_ID of an SNP report: 64 bytes.
    ChipId,
    /// PPID of a PCK certificate: 16 bytes.
    Ppid,
    /// Serial number of a GPU's leaf certificate: 1 to 20 bytes.
    GpuUeid,
    /// Serial number of a switch's leaf certificate: 1 to 20 bytes.
    SwitchUeid,
}

impl PlatformKind {
    /// Whether an id of this kind can have this many bytes.
    pub(crate) fn fits(self, len: usize) -> bool {
        match self {
            Self::ChipId => len == 64,
            Self::Ppid => len == 16,
            Self::GpuUeid | Self::SwitchUeid => (1..=PlatformId::UEID_MAX_BYTES).contains(&len),
        }
    }
}

/// Identity of a machine or device: at most 64 bytes, written in lower-case hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformId(Vec<u8>);

impl PlatformId {
    /// Longest id, in bytes.
    pub const MAX_BYTES: usize = 64;
    /// Longest serial number of a device (RFC 5280 4.1.2.2).
    pub const UEID_MAX_BYTES: usize = 20;

    /// An id of these bytes; `None` when there are none or more than 64.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The UEID of a device: its leaf's serial number without leading zero bytes.
    pub fn ueid(serial: &[u8]) -> Option<Self> {
        let skip = serial.iter().take_while(|&&byte| byte == 0).count();
        Self::new(&serial[skip..])
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> From<Hex<N>> for PlatformId {
    fn from(id: Hex<N>) -> Self {
        const { assert!(N > 0 && N <= PlatformId::MAX_BYTES) };
        Self(id.0.to_vec())
    }
}

impl fmt::Display for PlatformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PlatformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PlatformId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PlatformId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = (text.len() % 2 == 0)
            .then(|| {
                text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
            })
            .flatten();
        bytes
            .and_then(|bytes| Self::new(&bytes))
            .ok_or_else(|| D::Error::custom("expected 1 to 64 bytes in lower-case hex"))
    }
}
