//! A frozen matrix [out, in] as the matrix product needs it: decoded panel by panel, never as a whole.

use crate::gemm::{Dense, Lane, NR, Rhs};

/// Width of a quantised block, and of a panel.
const BLOCK: usize = 32;
/// Q4_1: f16 scale, f16 minimum, 16 bytes; w = d q + m; low nibbles are elements 0-15 (TRAINING 6).
pub(crate) const Q4_1_BYTES: usize = 20;
/// Q8_0: f16 scale, 32 signed bytes; w = d q (TRAINING 6).
pub(crate) const Q8_0_BYTES: usize = 34;

/// 32 columns of 32 rows of a Q4_1 matrix, turned so that one k is 32 outputs side by side.
#[repr(align(64))]
pub(crate) struct TileQ4 {
    d: [f32; NR],
    m: [f32; NR],
    /// Word j of group g: eight successive k of output j, the first in the lowest nibble.
    q: [[u32; NR]; BLOCK / 8],
}

/// The same for Q8_0: four successive k in the bytes of a word.
#[repr(align(64))]
pub(crate) struct TileQ8 {
    d: [f32; NR],
    q: [[u32; NR]; BLOCK / 4],
}

/// A block of Q4_1 in the order of its row; element e is nibble e / 4 of word e % 4.
#[derive(Clone, Copy)]
struct RowQ4 {
    d: f32,
    m: f32,
    q: [u32; 4],
}

impl RowQ4 {
    fn new(b: &[u8; Q4_1_BYTES]) -> Self {
        let mut q = [0; 4];
        for e in 0..BLOCK {
            q[e % 4] |= u32::from(element(b, e)) << (4 * (e / 4));
        }
        Self { d: half(b[0], b[1]), m: half(b[2], b[3]), q }
    }

    #[inline(always)]
    fn decode(&self, out: &mut [f32; BLOCK]) {
        let mut local = [0.0; BLOCK];
        for (e, out) in local.iter_mut().enumerate() {
            *out = self.d.mul_add(small(self.q[e % 4] >> (4 * (e / 4))), self.m);
        }
        *out = local;
    }
}

/// Element e of a Q4_1 block.
#[inline(always)]
fn element(b: &[u8; Q4_1_BYTES], e: usize) -> u8 {
    (b[4 + e % 16] >> (e / 16 * 4)) & 15
}

/// The lowest nibble as a number.
#[inline(always)]
fn small(word: u32) -> f32 {
    (word & 15).cast_signed() as f32
}

enum Store {
    F32(Vec<f32>),
    /// Blocks panel by panel of `in`, so that a walk down a panel is a walk through memory.
    Q4 {
        rows: Vec<RowQ4>,
        tiles: Vec<TileQ4>,
    },
    Q8 {
        rows: Vec<[u8; Q8_0_BYTES]>,
        tiles: Vec<TileQ8>,
    },
}

/// A frozen matrix [out, in]; it has no gradient and is never a variable.
pub(crate) struct Frozen {
    out: usize,
    inner: usize,
    store: Store,
}

impl Frozen {
    /// From row-major f32.
    pub(crate) fn from_f32(out: usize, inner: usize, data: Vec<f32>) -> Option<Self> {
        (data.len() == out * inner).then_some(Self { out, inner, store: Store::F32(data) })
    }

    /// From Q4_1 blocks, row by row; `None` when sizes aren't whole blocks or a scale isn't finite.
    pub(crate) fn from_q4_1(out: usize, inner: usize, raw: Vec<[u8; Q4_1_BYTES]>) -> Option<Self> {
        let wide = whole(out, inner, raw.len())?;
        let finite = raw.iter().all(|b| half(b[0], b[1]).is_finite() && half(b[2], b[3]).is_finite());
        let tile = |t: usize| {
            let mut tile = TileQ4 { d: [0.0; NR], m: [0.0; NR], q: [[0; NR]; BLOCK / 8] };
            for j in 0..NR {
                let b = &raw[(t / wide * NR + j) * wide + t % wide];
                tile.d[j] = half(b[0], b[1]);
                tile.m[j] = half(b[2], b[3]);
                for (group, words) in tile.q.iter_mut().enumerate() {
                    words[j] = (0..8).fold(0, |w, k| w | u32::from(element(b, group * 8 + k)) << (4 * k));
                }
            }
            tile
        };
        let tiles = (0..out / NR * wide).map(tile).collect();
        let rows = by_panel(&raw, wide).map(RowQ4::new).collect();
        finite.then_some(Self { out, inner, store: Store::Q4 { rows, tiles } })
    }

    /// From Q8_0 blocks, row by row; `None` when sizes aren't whole blocks or a scale isn't finite.
    pub(crate) fn from_q8_0(out: usize, inner: usize, raw: Vec<[u8; Q8_0_BYTES]>) -> Option<Self> {
        let wide = whole(out, inner, raw.len())?;
        let finite = raw.iter().all(|b| half(b[0], b[1]).is_finite());
        let tile = |t: usize| {
            let mut tile = TileQ8 { d: [0.0; NR], q: [[0; NR]; BLOCK / 4] };
            for j in 0..NR {
                let b = &raw[(t / wide * NR + j) * wide + t % wide];
                tile.d[j] = half(b[0], b[1]);
                for (words, four) in tile.q.iter_mut().zip(b[2..].as_chunks().0) {
                    words[j] = u32::from_le_bytes(*four);
                }
            }
            tile
        };
        let tiles = (0..out / NR * wide).map(tile).collect();
        let rows = by_panel(&raw, wide).copied().collect();
        finite.then_some(Self { out, inner, store: Store::Q8 { rows, tiles } })
    }

    pub(crate) fn out(&self) -> usize {
        self.out
    }

    pub(crate) fn inner(&self) -> usize {
        self.inner
    }

    /// Decodes one row to `out`, which is `inner` long.
    pub(crate) fn row(&self, index: usize, out: &mut [f32]) {
        match &self.store {
            Store::F32(data) => out.copy_from_slice(&data[index * self.inner..(index + 1) * self.inner]),
            Store::Q4 { rows, .. } => {
                let blocks = rows[index..].iter().step_by(self.out);
                blocks.zip(out.as_chunks_mut().0).for_each(|(b, out)| b.decode(out));
            }
            Store::Q8 { rows, .. } => {
                let blocks = rows[index..].iter().step_by(self.out);
                blocks.zip(out.as_chunks_mut().0).for_each(|(b, out)| decode_q8(b, out));
            }
        }
    }

    /// Frobenius norm, in f64, rows in order.
    pub(crate) fn norm(&self) -> f64 {
        let mut row = vec![0.0; self.inner];
        let mut sum = 0.0;
        for i in 0..self.out {
            self.row(i, &mut row);
            sum += crate::simd::sum_f64(row.iter().map(|v| v * v));
        }
        libm::sqrt(sum)
    }

    /// The right matrix of y = x W^T: k = in, n = out.
    pub(crate) fn forward(&self) -> Forward<'_> {
        Forward(self)
    }

    /// The right matrix of dx = g W: k = out, n = in.
    pub(crate) fn backward(&self) -> Backward<'_> {
        Backward(self)
    }
}

fn whole(out: usize, inner: usize, blocks: usize) -> Option<usize> {
    let fits =
        out.is_multiple_of(NR) && inner.is_multiple_of(BLOCK) && inner > 0 && blocks == out * (inner / BLOCK);
    fits.then_some(inner / BLOCK)
}

/// W^T, for y = x W^T.
pub(crate) struct Forward<'a>(&'a Frozen);

impl Rhs for Forward<'_> {
    #[inline(always)]
    fn pack(&self, panel: usize, k0: usize, out: &mut [Lane]) {
        let Frozen { inner, out: n, store } = self.0;
        let (wide, inner) = (inner / BLOCK, *inner);
        // Slices of k start at multiples of 32, so a block is never cut at its start.
        let first = panel * wide + k0 / BLOCK;
        match store {
            Store::F32(data) => Dense::Cols { data, stride: inner, n: *n }.pack(panel, k0, out),
            Store::Q4 { tiles, .. } => {
                for (tile, out) in tiles[first..].iter().zip(out.chunks_mut(BLOCK)) {
                    for (words, lanes) in tile.q.iter().zip(out.chunks_mut(8)) {
                        for (k, lane) in lanes.iter_mut().enumerate() {
                            lane.0 = affine(words, 4 * k as u32, &tile.d, &tile.m);
                        }
                    }
                }
            }
            Store::Q8 { tiles, .. } => {
                for (tile, out) in tiles[first..].iter().zip(out.chunks_mut(BLOCK)) {
                    for (words, lanes) in tile.q.iter().zip(out.chunks_mut(4)) {
                        for (k, lane) in lanes.iter_mut().enumerate() {
                            lane.0 = signed(words, 24 - 8 * k as u32, &tile.d);
                        }
                    }
                }
            }
        }
    }
}

/// d q + m for the nibbles at `shift`; a local result keeps the loop free of aliases, so it vectorises.
#[inline(always)]
fn affine(words: &[u32; NR], shift: u32, d: &[f32; NR], m: &[f32; NR]) -> [f32; NR] {
    let mut out = [0.0; NR];
    for j in 0..NR {
        out[j] = d[j].mul_add(small(words[j] >> shift), m[j]);
    }
    out
}

/// d q for the bytes that `shift` moves to the top; moving them back carries their sign.
#[inline(always)]
fn signed(words: &[u32; NR], shift: u32, d: &[f32; NR]) -> [f32; NR] {
    let mut out = [0.0; NR];
    for j in 0..NR {
        out[j] = d[j] * ((words[j] << shift).cast_signed() >> 24) as f32;
    }
    out
}

/// W, for dx = g W.
pub(crate) struct Backward<'a>(&'a Frozen);

impl Rhs for Backward<'_> {
    #[inline(always)]
    fn pack(&self, panel: usize, k0: usize, out: &mut [Lane]) {
        let Frozen { inner, out: height, store } = self.0;
        let first = panel * height + k0;
        match store {
            Store::F32(data) => Dense::Rows { data, stride: *inner, n: *inner }.pack(panel, k0, out),
            Store::Q4 { rows, .. } => {
                // A loop, as a closure wouldn't be compiled for the caller's instruction set.
                for (row, lane) in rows[first..].iter().zip(out) {
                    row.decode(&mut lane.0);
                }
            }
            Store::Q8 { rows, .. } => {
                for (row, lane) in rows[first..].iter().zip(out) {
                    decode_q8(row, &mut lane.0);
                }
            }
        }
    }
}

/// Blocks of a matrix of `wide` blocks a row, panel by panel instead of row by row.
fn by_panel<T>(blocks: &[T], wide: usize) -> impl Iterator<Item = &T> {
    (0..wide).flat_map(move |panel| blocks[panel..].iter().step_by(wide))
}

#[inline(always)]
fn decode_q8(b: &[u8; Q8_0_BYTES], out: &mut [f32; BLOCK]) {
    let d = half(b[0], b[1]);
    if let Some(q) = b.last_chunk::<BLOCK>() {
        *out = std::array::from_fn(|j| d * f32::from(q[j].cast_signed()));
    }
}

/// IEEE binary16 to f32, exactly.
#[inline(always)]
pub(crate) fn half(low: u8, high: u8) -> f32 {
    let bits = u32::from(u16::from_le_bytes([low, high]));
    let (sign, magnitude) = ((bits & 0x8000) << 16, bits & 0x7fff);
    // Moving the exponent by a multiplication handles subnormals; infinity and NaN keep their exponent.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000);
    let value = if magnitude >= 0x7c00 { f32::from_bits((magnitude << 13) | 0x7f80_0000) } else { scaled };
    f32::from_bits(value.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::{Into, Lhs, gemm};

    #[test]
    fn half_precision_is_exact() {
        for (bits, want) in [
            (0x0000_u16, 0.0_f32),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x3555, 0.333_251_95),
        ] {
            let [l, h] = bits.to_le_bytes();
            assert_eq!(half(l, h), want);
        }
        assert!(half(0, 0x7c).is_infinite() && half(1, 0x7c).is_nan());
    }

    fn bytes(len: usize) -> impl Iterator<Item = u8> {
        let mut state = 7_u32;
        (0..len).map(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
    }

    fn agree(frozen: &Frozen) {
        let (out, inner) = (frozen.out(), frozen.inner());
        let mut dense = vec![0.0; out * inner];
        for (i, row) in dense.chunks_exact_mut(inner).enumerate() {
            frozen.row(i, row);
        }
        assert!(dense.iter().any(|v| *v != 0.0));
        let x: Vec<f32> = bytes(3 * inner).map(|b| f32::from(b) - 128.0).collect();
        let g: Vec<f32> = bytes(3 * out).map(|b| f32::from(b) - 128.0).collect();
        let (mut y, mut want) = (vec![0.0; 3 * out], vec![0.0; 3 * out]);
        gemm((3, out, inner), Lhs::Rows(&x, inner), &frozen.forward(), &mut y, out, Into::Overwrite);
        let plain = Dense::Cols { data: &dense, stride: inner, n: out };
        gemm((3, out, inner), Lhs::Rows(&x, inner), &plain, &mut want, out, Into::Overwrite);
        assert_eq!(y, want);
        let (mut dx, mut want) = (vec![0.0; 3 * inner], vec![0.0; 3 * inner]);
        gemm((3, inner, out), Lhs::Rows(&g, out), &frozen.backward(), &mut dx, inner, Into::Overwrite);
        let plain = Dense::Rows { data: &dense, stride: inner, n: inner };
        gemm((3, inner, out), Lhs::Rows(&g, out), &plain, &mut want, inner, Into::Overwrite);
        assert_eq!(dx, want);
    }

    #[test]
    fn both_layouts_hold_the_same_matrix() {
        let (out, inner) = (64, 800);
        let scaled = |b: &mut [u8]| b.copy_from_slice(&[0, 0x24, 0x66, 0xa6][..b.len()]);
        let mut q4: Vec<[u8; Q4_1_BYTES]> =
            bytes(out * inner / 32 * Q4_1_BYTES).collect::<Vec<_>>().as_chunks().0.to_vec();
        q4.iter_mut().for_each(|b| scaled(&mut b[..4]));
        agree(&Frozen::from_q4_1(out, inner, q4.clone()).unwrap());
        let mut q8: Vec<[u8; Q8_0_BYTES]> =
            bytes(out * inner / 32 * Q8_0_BYTES).collect::<Vec<_>>().as_chunks().0.to_vec();
        q8.iter_mut().for_each(|b| scaled(&mut b[..2]));
        agree(&Frozen::from_q8_0(out, inner, q8).unwrap());
        agree(&Frozen::from_f32(3, 5, (0..15).map(|v| v as f32).collect()).unwrap());
        q4[9][1] = 0x7e;
        assert!(Frozen::from_q4_1(out, inner, q4.clone()).is_none(), "a scale that isn't a number");
        q4.pop();
        assert!(Frozen::from_q4_1(out, inner, q4).is_none(), "a block missing");
    }
}
