//! The kernel command line, in the only form whose bytes every component measures alike.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::MeasureError;
use crate::Hex;

/// Longest command line, in bytes; with its NUL it fills the 2,048 bytes that Linux keeps on x86.
pub const CMDLINE_MAX_BYTES: usize = 2047;

/// A command line of printable ASCII without blanks at its ends; it may be empty.
///
/// Peers trim it or not (`sev` 8.0.0 does, `sev-snp-measure` 0.0.13 and QEMU don't), and the firmware
/// widens each byte to UTF-16, so blanks at the ends and anything but ASCII would measure differently
/// from one calculator to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CommandLine(String);

impl CommandLine {
    /// Takes a text that is canonical already; nothing is trimmed or replaced.
    pub fn new(text: &str) -> Result<Self, MeasureError> {
        if text.len() > CMDLINE_MAX_BYTES {
            return Err(MeasureError::CmdlineTooLong { limit: CMDLINE_MAX_BYTES, got: text.len() });
        }
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || text.starts_with(' ') || text.ends_with(' ') {
            return Err(MeasureError::CmdlineNotCanonical);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, without its NUL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the text and its NUL, as QEMU hands it to the firmware.
    pub(super) fn sha256_with_nul(&self) -> Hex<32> {
        let mut bytes = self.0.as_bytes().to_vec();
        bytes.push(0);
        Hex::sha256(&bytes)
    }
}

impl Serialize for CommandLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
