//! What an appraisal gives.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Hex;

/// Whose roots the evidence was verified to. Part of every result, receipt, record and page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anchors {
    /// The compiled-in vendor roots.
    Vendor,
    /// Another set, by digest: nothing that it vouches for is hardware-backed.
    NotVendor(Hex<32>),
}

impl fmt::Display for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vendor => f.write_str("vendor root"),
            Self::NotVendor(digest) => write!(f, "NOT A VENDOR ROOT (anchor set {digest})"),
        }
    }
}
