//! Golden values against measured ones (GPU-10, GPU-11, GPU-12), without any policy.

use std::fmt;

use super::Manifest;
use super::swid::GOLDEN_LEN;

/// Measurement of the video decoder, which a report need not match while that is off.
pub const NVDEC0_INDEX: u8 = 35;
/// NVDEC0 status (opaque field 11) of a decoder that is off; every other value, and none, is not.
pub const NVDEC0_OFF: u8 = 0x55;

/// Which manifest a golden value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Driver,
    Vbios,
    /// Firmware of a switch.
    Bios,
}

/// An active golden value that the device did not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    pub source: Source,
    /// Index in the manifest: that of the SPDM block, less one.
    pub index: u8,
}

/// What became of [`NVDEC0_INDEX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// No manifest has it active.
    NotListed,
    /// Left out: the signed report says that the decoder is off.
    Off,
    Matches,
    Differs(Source),
}

/// Everything that one comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Indexes that more than one manifest has active, ascending.
    pub conflicts: Vec<u8>,
    /// In the order of the manifests, then by index; without the decoder's.
    pub mismatches: Vec<Mismatch>,
    /// Active values that the device showed, the decoder's included.
    pub matched: usize,
    pub decoder: Decoder,
    /// Manifests without any active value.
    pub empty: Vec<Source>,
    /// Measurements of the device.
    pub blocks: usize,
}

/// Holds every active golden value of index i against SPDM block i + 1.
///
/// `blocks` are (index, value) as the signed report has them, each index once; `nvdec0` is its opaque field 11.
pub fn compare(
    manifests: &[(Source, &Manifest)],
    blocks: &[(u8, [u8; GOLDEN_LEN])],
    nvdec0: Option<u8>,
) -> Comparison {
    let mut found = Comparison {
        conflicts: conflicts(manifests),
        mismatches: Vec::new(),
        matched: 0,
        decoder: Decoder::NotListed,
        empty: Vec::new(),
        blocks: blocks.len(),
    };
    for &(source, manifest) in manifests {
        if manifest.golden().is_empty() {
            found.empty.push(source);
        }
        for golden in manifest.golden() {
            let index = golden.index();
            // The last index is 254, so that the block's is a byte.
            let block = blocks.iter().find(|(block, _)| block.checked_sub(1) == Some(index));
            let equal = block.is_some_and(|(_, value)| golden.values().contains(value));
            let left_out = index == NVDEC0_INDEX && nvdec0 == Some(NVDEC0_OFF);
            if index == NVDEC0_INDEX && !matches!(found.decoder, Decoder::Differs(_)) {
                found.decoder = match (left_out, equal) {
                    (true, _) => Decoder::Off,
                    (false, true) => Decoder::Matches,
                    (false, false) => Decoder::Differs(source),
                };
            }
            if equal && !left_out {
                found.matched += 1;
            } else if index != NVDEC0_INDEX {
                found.mismatches.push(Mismatch { source, index });
            }
        }
    }
    found
}

fn conflicts(manifests: &[(Source, &Manifest)]) -> Vec<u8> {
    let mut active: Vec<u8> = manifests
        .iter()
        .flat_map(|(_, manifest)| manifest.golden().iter().map(|golden| golden.index()))
        .collect();
    active.sort_unstable();
    let mut twice: Vec<u8> = active
        .windows(2)
        .filter(|pair| pair.first() == pair.last())
        .filter_map(|pair| pair.first().copied())
        .collect();
    twice.dedup();
    twice
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver",
            Self::Vbios => "vbios",
            Self::Bios => "bios",
        })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.index)
    }
}
