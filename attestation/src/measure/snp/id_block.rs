//! The ID block, by which the launch itself is refused on a wrong digest (SNP ABI 56860, SNP_LAUNCH_FINISH).

use ring::digest::{Context, SHA384};

use crate::Hex;
use crate::measure::hash::finish;

/// Size of the block, in bytes.
const BLOCK_LEN: usize = 96;
const BLOCK_VERSION: u32 = 1;

/// Size of the public-key structure, in bytes: curve u32, X and Y of 72 bytes each, then zeros.
const KEY_LEN: usize = 0x404;
const CURVE_P384: u32 = 2;
const COORDINATE_AT: [usize; 2] = [4, 76];

/// What the ID block says; the report repeats all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdBlock {
    /// The launch digest that the guest must have.
    pub measurement: Hex<48>,
    pub family_id: Hex<16>,
    pub image_id: Hex<16>,
    pub guest_svn: u32,
    /// Guest policy that the launch must have.
    pub policy: u64,
}

/// A P-384 public key: the affine coordinates, 48 bytes each, big endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct P384Point {
    pub x: Hex<48>,
    pub y: Hex<48>,
}

impl IdBlock {
    /// The 96 bytes that the ID key signs.
    pub fn to_bytes(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0; BLOCK_LEN];
        block[..48].copy_from_slice(&self.measurement.0);
        block[48..64].copy_from_slice(&self.family_id.0);
        block[64..80].copy_from_slice(&self.image_id.0);
        block[80..84].copy_from_slice(&BLOCK_VERSION.to_le_bytes());
        block[84..88].copy_from_slice(&self.guest_svn.to_le_bytes());
        block[88..].copy_from_slice(&self.policy.to_le_bytes());
        block
    }
}

impl P384Point {
    /// ID_KEY_DIGEST or AUTHOR_KEY_DIGEST of a report: SHA-384 of the key in the security processor's form.
    pub fn key_digest(&self) -> Hex<48> {
        let mut key = [0; KEY_LEN];
        key[..4].copy_from_slice(&CURVE_P384.to_le_bytes());
        for (at, coordinate) in COORDINATE_AT.into_iter().zip([&self.x, &self.y]) {
            // Little endian: the 24 bytes of padding come last.
            for (place, byte) in key[at..].iter_mut().zip(coordinate.0.iter().rev()) {
                *place = *byte;
            }
        }
        let mut context = Context::new(&SHA384);
        context.update(&key);
        Hex(finish(context))
    }
}
