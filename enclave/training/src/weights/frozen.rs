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
    /// Byte j of row k: output j in the low nibble, output j + 16 in the high one.
    q: [[u8; NR / 2]; BLOCK],
}

/// The same for Q8_0.
#[repr(align(64))]
pub(crate) struct TileQ8 {
    d: [f32; NR],
    q: [[i8; NR]; BLOCK],
}

enum Store {
    F32(Vec<f32>),
    Q4 { raw: Vec<[u8; Q4_1_BYTES]>, tiles: Vec<TileQ4> },
    Q8 { raw: Vec<[u8; Q8_0_BYTES]>, tiles: Vec<TileQ8> },
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
            let mut tile = TileQ4 { d: [0.0; NR], m: [0.0; NR], q: [[0; NR / 2]; BLOCK] };
            let at = |j: usize| &raw[(t / wide * NR + j) * wide + t % wide];
            for j in 0..NR {
                let b = at(j);
                tile.d[j] = half(b[0], b[1]);
                tile.m[j] = half(b[2], b[3]);
            }
            for j in 0..NR / 2 {
                let (low, high) = (&at(j)[4..], &at(j + NR / 2)[4..]);
                for (k, (l, h)) in low.iter().zip(high).enumerate() {
                    tile.q[k][j] = (l & 15) | (h << 4);
                    tile.q[k + BLOCK / 2][j] = (l >> 4) | (h & 0xf0);
                }
            }
            tile
        };
        let tiles = (0..out / NR * wide).map(tile).collect();
        finite.then_some(Self { out, inner, store: Store::Q4 { raw, tiles } })
    }

    /// From Q8_0 blocks, row by row; `None` when sizes aren't whole blocks or a scale isn't finite.
    pub(crate) fn from_q8_0(out: usize, inner: usize, raw: Vec<[u8; Q8_0_BYTES]>) -> Option<Self> {
        let wide = whole(out, inner, raw.len())?;
        let finite = raw.iter().all(|b| half(b[0], b[1]).is_finite());
        let tile = |t: usize| {
            let mut tile = TileQ8 { d: [0.0; NR], q: [[0; NR]; BLOCK] };
            for j in 0..NR {
                let b = &raw[(t / wide * NR + j) * wide + t % wide];
                tile.d[j] = half(b[0], b[1]);
                for (k, q) in b[2..].iter().enumerate() {
                    tile.q[k][j] = q.cast_signed();
                }
            }
            tile
        };
        let tiles = (0..out / NR * wide).map(tile).collect();
        finite.then_some(Self { out, inner, store: Store::Q8 { raw, tiles } })
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
            Store::Q4 { raw, .. } => {
                let wide = self.inner / BLOCK;
                for (b, out) in raw[index * wide..].iter().zip(out.as_chunks_mut().0) {
                    decode_q4(b, out);
                }
            }
            Store::Q8 { raw, .. } => {
                let wide = self.inner / BLOCK;
                for (b, out) in raw[index * wide..].iter().zip(out.as_chunks_mut().0) {
                    decode_q8(b, out);
                }
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
    let fits = out % NR == 0 && inner % BLOCK == 0 && inner > 0 && blocks == out * (inner / BLOCK);
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
                    for (q, lane) in tile.q.iter().zip(out) {
                        lane.0 = affine(&nibbles(q), &tile.d, &tile.m);
                    }
                }
            }
            Store::Q8 { tiles, .. } => {
                for (tile, out) in tiles[first..].iter().zip(out.chunks_mut(BLOCK)) {
                    for (q, lane) in tile.q.iter().zip(out) {
                        lane.0 = std::array::from_fn(|j| tile.d[j] * f32::from(q[j]));
                    }
                }
            }
        }
    }
}

/// The 32 numbers of 16 bytes: low nibbles, then high ones.
#[inline(always)]
fn nibbles(q: &[u8; BLOCK / 2]) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    let (low, high) = out.split_at_mut(BLOCK / 2);
    low.iter_mut().zip(q).for_each(|(o, q)| *o = q & 15);
    high.iter_mut().zip(q).for_each(|(o, q)| *o = q >> 4);
    out
}

#[inline(always)]
fn affine(q: &[u8; BLOCK], d: &[f32; BLOCK], m: &[f32; BLOCK]) -> [f32; BLOCK] {
    std::array::from_fn(|j| d[j].mul_add(f32::from(q[j]), m[j]))
}

/// W, for dx = g W.
pub(crate) struct Backward<'a>(&'a Frozen);

impl Rhs for Backward<'_> {
    #[inline(always)]
    fn pack(&self, panel: usize, k0: usize, out: &mut [Lane]) {
        let inner = self.0.inner;
        let wide = inner / BLOCK;
        match &self.0.store {
            Store::F32(data) => Dense::Rows { data, stride: inner, n: inner }.pack(panel, k0, out),
            Store::Q4 { raw, .. } => {
                for (k, lane) in out.iter_mut().enumerate() {
                    decode_q4(&raw[(k0 + k) * wide + panel], &mut lane.0);
                }
            }
            Store::Q8 { raw, .. } => {
                for (k, lane) in out.iter_mut().enumerate() {
                    decode_q8(&raw[(k0 + k) * wide + panel], &mut lane.0);
                }
            }
        }
    }
}

#[inline(always)]
fn decode_q4(b: &[u8; Q4_1_BYTES], out: &mut [f32; BLOCK]) {
    let (d, m) = (half(b[0], b[1]), half(b[2], b[3]));
    if let Some(q) = b.last_chunk() {
        *out = affine(&nibbles(q), &[d; BLOCK], &[m; BLOCK]);
    }
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
