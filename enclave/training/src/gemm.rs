//! Matrix products: C = A B, or C += A B, row-major f32, any thread count, one order of additions.
//!
//! Every element of C is one chain of fused multiply-adds over k in ascending order, whatever the
//! instruction set, the tile or the thread that computes it; so a row's bits don't depend on the rows
//! beside it. B is decoded or copied panel by panel into scratch: quantised weights stay quantised.

use crate::simd::{Isa, dispatch};
use rayon::prelude::*;
use std::cell::RefCell;

/// Rows of a tile.
pub(crate) const MR: usize = 12;
/// Columns of a panel.
pub(crate) const NR: usize = 32;
/// Longest slice of k that a panel holds; a slice of a panel is 96 KiB.
const KC: usize = 768;
/// Panels decoded before the rows are walked.
const GROUP: usize = 4;
/// Fewest multiply-adds that are worth another thread.
const PARALLEL_FLOOR: usize = 1 << 20;

/// One row of a panel, aligned so that no vector load crosses a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Lane(pub(crate) [f32; NR]);

/// The left matrix, m x k.
#[derive(Clone, Copy)]
pub(crate) enum Lhs<'a> {
    /// Element (i, k) at `i * stride + k`.
    Rows(&'a [f32], usize),
    /// Element (i, k) at `k * stride + i`.
    Cols(&'a [f32], usize),
}

/// The right matrix, k x n, given out in panels of [`NR`] columns.
pub(crate) trait Rhs: Sync {
    /// Writes rows `k0..k0 + out.len()` of columns `panel * NR..` to `out`; columns past the end are 0.
    fn pack(&self, panel: usize, k0: usize, out: &mut [Lane]);
}

/// A dense right matrix.
#[derive(Clone, Copy)]
pub(crate) enum Dense<'a> {
    /// Element (k, j) at `k * stride + j`; `n` columns.
    Rows { data: &'a [f32], stride: usize, n: usize },
    /// Element (k, j) at `j * stride + k`; `n` columns.
    Cols { data: &'a [f32], stride: usize, n: usize },
}

impl Rhs for Dense<'_> {
    #[inline(always)]
    fn pack(&self, panel: usize, k0: usize, out: &mut [Lane]) {
        let j0 = panel * NR;
        match *self {
            Dense::Rows { data, stride, n } => {
                let width = NR.min(n - j0);
                for (k, lane) in out.iter_mut().enumerate() {
                    let at = (k0 + k) * stride + j0;
                    let row = &data[at..at + width];
                    if let Ok(row) = <&[f32; NR]>::try_from(row) {
                        lane.0 = *row;
                    } else {
                        lane.0 = [0.0; NR];
                        lane.0[..width].copy_from_slice(row);
                    }
                }
            }
            Dense::Cols { data, stride, n } => {
                let width = NR.min(n - j0);
                if width < NR {
                    out.fill(Lane([0.0; NR]));
                }
                for j in 0..width {
                    let at = (j0 + j) * stride + k0;
                    for (lane, v) in out.iter_mut().zip(&data[at..]) {
                        lane.0[j] = *v;
                    }
                }
            }
        }
    }
}

/// Whether the product replaces C or is added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// C = A B.
    Overwrite,
    /// C += A B.
    Add,
}

#[derive(Default)]
struct Scratch {
    a: Vec<[f32; MR]>,
    b: Vec<Lane>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Multiplies an m x k by a k x n matrix into the m rows of `c`, which are `ldc` apart.
///
/// Rows are shared out over the threads of the current rayon pool, if there is one. Shapes are the caller's
/// promise; a wrong one panics on a slice bound and never reads elsewhere.
pub(crate) fn gemm<R: Rhs>(
    (m, n, k): (usize, usize, usize),
    a: Lhs<'_>,
    b: &R,
    c: &mut [f32],
    ldc: usize,
    into: Into,
) {
    if m == 0 || n == 0 {
        return;
    }
    let threads = if m * n * k < PARALLEL_FLOOR { 1 } else { threads() };
    let rows = m.div_ceil(threads).div_ceil(MR) * MR;
    let block = |index: usize, c: &mut [f32]| {
        let row0 = index * rows;
        let m = rows.min(m - row0);
        SCRATCH.with_borrow_mut(|scratch| block(Isa::detect(), row0, (m, n, k), a, b, c, ldc, into, scratch));
    };
    if threads == 1 {
        block(0, c);
    } else {
        let c = &mut c[..(m - 1) * ldc + n];
        c.par_chunks_mut(rows * ldc).enumerate().for_each(|(i, c)| block(i, c));
    }
}

/// Threads of the pool that this code runs in; 1 outside any pool, so that the global pool never starts.
pub(crate) fn threads() -> usize {
    if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 }
}

#[allow(clippy::too_many_arguments)]
fn block<R: Rhs>(
    isa: Isa,
    row0: usize,
    (m, n, k): (usize, usize, usize),
    a: Lhs<'_>,
    b: &R,
    c: &mut [f32],
    ldc: usize,
    into: Into,
    scratch: &mut Scratch,
) {
    let tiles = m.div_ceil(MR);
    let panels = n.div_ceil(NR);
    if k == 0 && into == Into::Overwrite {
        for row in 0..m {
            c[row * ldc..row * ldc + n].fill(0.0);
        }
    }
    let mut k0 = 0;
    while k0 < k {
        let kc = KC.min(k - k0);
        let load = into == Into::Add || k0 > 0;
        grow(&mut scratch.a, tiles * kc, [0.0; MR]);
        grow(&mut scratch.b, GROUP * kc, Lane([0.0; NR]));
        let (pa, pb) = (&mut scratch.a[..tiles * kc], &mut scratch.b[..GROUP * kc]);
        dispatch(
            #[inline(always)]
            || pack_a(a, row0, m, k0, kc, pa),
        );
        for group in (0..panels).step_by(GROUP) {
            let count = GROUP.min(panels - group);
            dispatch(
                #[inline(always)]
                || {
                    for (p, out) in pb.chunks_exact_mut(kc).take(count).enumerate() {
                        b.pack(group + p, k0, out);
                    }
                },
            );
            for (tile, pa) in pa.chunks_exact(kc).enumerate() {
                let i0 = tile * MR;
                let height = MR.min(m - i0);
                for (p, pb) in pb.chunks_exact(kc).take(count).enumerate() {
                    let j0 = (group + p) * NR;
                    let width = NR.min(n - j0);
                    let c = &mut c[i0 * ldc + j0..];
                    match isa {
                        #[cfg(target_arch = "x86_64")]
                        Isa::V4(isa) => isa.vectorize(
                            #[inline(always)]
                            || tile_v4(isa, pa, pb, c, ldc, height, width, load),
                        ),
                        #[cfg(target_arch = "x86_64")]
                        Isa::V3(isa) => isa.vectorize(
                            #[inline(always)]
                            || tile_v3(isa, pa, pb, c, ldc, height, width, load),
                        ),
                        Isa::Scalar => tile_scalar(pa, pb, c, ldc, height, width, load),
                    }
                }
            }
        }
        k0 += kc;
    }
}

fn grow<T: Copy>(buffer: &mut Vec<T>, len: usize, value: T) {
    if buffer.len() < len {
        buffer.resize(len, value);
    }
}

#[inline(always)]
fn pack_a(a: Lhs<'_>, row0: usize, m: usize, k0: usize, kc: usize, out: &mut [[f32; MR]]) {
    for (tile, out) in out.chunks_exact_mut(kc).enumerate() {
        let i0 = tile * MR;
        let height = MR.min(m - i0);
        if height < MR {
            out.fill([0.0; MR]);
        }
        match a {
            Lhs::Rows(data, stride) => {
                for i in 0..height {
                    let at = (row0 + i0 + i) * stride + k0;
                    for (lane, v) in out.iter_mut().zip(&data[at..at + kc]) {
                        lane[i] = *v;
                    }
                }
            }
            Lhs::Cols(data, stride) => {
                for (k, lane) in out.iter_mut().enumerate() {
                    let at = (k0 + k) * stride + row0 + i0;
                    lane[..height].copy_from_slice(&data[at..at + height]);
                }
            }
        }
    }
}

#[inline(always)]
fn read_tile(c: &[f32], ldc: usize, height: usize, width: usize) -> [Lane; MR] {
    let mut tile = [Lane([0.0; NR]); MR];
    for (i, lane) in tile.iter_mut().enumerate().take(height) {
        lane.0[..width].copy_from_slice(&c[i * ldc..i * ldc + width]);
    }
    tile
}

#[inline(always)]
fn write_tile(tile: &[Lane; MR], c: &mut [f32], ldc: usize, height: usize, width: usize) {
    for (i, lane) in tile.iter().enumerate().take(height) {
        c[i * ldc..i * ldc + width].copy_from_slice(&lane.0[..width]);
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn tile_v4(
    isa: pulp::x86::V4,
    a: &[[f32; MR]],
    b: &[Lane],
    c: &mut [f32],
    ldc: usize,
    height: usize,
    width: usize,
    load: bool,
) {
    use pulp::{bytemuck::cast, f32x16};
    let mut acc = [[isa.splat_f32x16(0.0); 2]; MR];
    if load {
        let tile = read_tile(c, ldc, height, width);
        for (acc, lane) in acc.iter_mut().zip(&tile) {
            *acc = cast::<[f32; NR], [f32x16; 2]>(lane.0);
        }
    }
    for (a, b) in a.iter().zip(b) {
        let [b0, b1] = cast::<[f32; NR], [f32x16; 2]>(b.0);
        for i in 0..MR {
            let x = isa.splat_f32x16(a[i]);
            acc[i][0] = isa.mul_add_f32x16(x, b0, acc[i][0]);
            acc[i][1] = isa.mul_add_f32x16(x, b1, acc[i][1]);
        }
    }
    for (i, acc) in acc.iter().enumerate().take(height) {
        let lane = cast::<[f32x16; 2], [f32; NR]>(*acc);
        let row = &mut c[i * ldc..i * ldc + width];
        if let Ok(row) = <&mut [f32; NR]>::try_from(&mut *row) {
            *row = lane;
        } else {
            row.copy_from_slice(&lane[..width]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn tile_v3(
    isa: pulp::x86::V3,
    a: &[[f32; MR]],
    b: &[Lane],
    c: &mut [f32],
    ldc: usize,
    height: usize,
    width: usize,
    load: bool,
) {
    use pulp::{bytemuck::cast, f32x8};
    // Sixteen registers hold 6 x 16 sums; so a tile is four quarters.
    let mut tile = if load { read_tile(c, ldc, height, width) } else { [Lane([0.0; NR]); MR] };
    for half in 0..2 {
        for top in [0, MR / 2] {
            let mut acc = [[isa.splat_f32x8(0.0); 2]; MR / 2];
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = cast::<[f32; NR], [[f32x8; 2]; 2]>(tile[top + i].0)[half];
            }
            for (a, b) in a.iter().zip(b) {
                let [b0, b1] = cast::<[f32; NR], [[f32x8; 2]; 2]>(b.0)[half];
                for i in 0..MR / 2 {
                    let x = isa.splat_f32x8(a[top + i]);
                    acc[i][0] = isa.mul_add_f32x8(x, b0, acc[i][0]);
                    acc[i][1] = isa.mul_add_f32x8(x, b1, acc[i][1]);
                }
            }
            for (i, acc) in acc.iter().enumerate() {
                let values = cast::<[f32x8; 2], [f32; NR / 2]>(*acc);
                tile[top + i].0[half * NR / 2..][..NR / 2].copy_from_slice(&values);
            }
        }
    }
    write_tile(&tile, c, ldc, height, width);
}

fn tile_scalar(
    a: &[[f32; MR]],
    b: &[Lane],
    c: &mut [f32],
    ldc: usize,
    height: usize,
    width: usize,
    load: bool,
) {
    let mut tile = if load { read_tile(c, ldc, height, width) } else { [Lane([0.0; NR]); MR] };
    for (a, b) in a.iter().zip(b) {
        for (a, lane) in a.iter().zip(&mut tile) {
            for (sum, b) in lane.0.iter_mut().zip(&b.0) {
                *sum = a.mul_add(*b, *sum);
            }
        }
    }
    write_tile(&tile, c, ldc, height, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, mut state: u32) -> Vec<f32> {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    fn chain(m: usize, n: usize, k: usize, a: &[f32], b: &[f32], c: &[f32]) -> Vec<f32> {
        let mut out = c.to_vec();
        for i in 0..m {
            for j in 0..n {
                out[i * n + j] = (0..k).fold(c[i * n + j], |s, x| a[i * k + x].mul_add(b[x * n + j], s));
            }
        }
        out
    }

    #[test]
    fn every_layout_and_shape_gives_the_plain_chain_of_fused_additions() {
        for (m, n, k) in [(1, 1, 1), (13, 33, 7), (24, 64, 769), (5, 100, 1600), (40, 31, 0), (0, 3, 2)] {
            let (a, b, c) = (noise(m * k, 1), noise(k * n, 2), noise(m * n, 3));
            let at: Vec<f32> = (0..k * m).map(|x| a[x % m * k + x / m]).collect();
            let bt: Vec<f32> = (0..k * n).map(|x| b[x % k * n + x / k]).collect();
            let want = chain(m, n, k, &a, &b, &c);
            for lhs in [Lhs::Rows(&a, k), Lhs::Cols(&at, m)] {
                for rhs in [Dense::Rows { data: &b, stride: n, n }, Dense::Cols { data: &bt, stride: k, n }] {
                    let mut got = c.clone();
                    gemm((m, n, k), lhs, &rhs, &mut got, n, Into::Add);
                    assert_eq!(got, want, "{m} {n} {k}");
                }
            }
        }
    }

    #[test]
    fn instruction_sets_agree_bit_for_bit() {
        let (m, n, k) = (25, 70, 900);
        let (a, b) = (noise(m * k, 4), noise(k * n, 5));
        let rhs = Dense::Rows { data: &b, stride: n, n };
        let run = |isa| {
            let mut c = vec![f32::NAN; m * n];
            block(
                isa,
                0,
                (m, n, k),
                Lhs::Rows(&a, k),
                &rhs,
                &mut c,
                n,
                Into::Overwrite,
                &mut Scratch::default(),
            );
            c
        };
        let want = run(Isa::Scalar);
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(isa) = pulp::x86::V3::try_new() {
                assert_eq!(run(Isa::V3(isa)), want);
            }
            if let Some(isa) = pulp::x86::V4::try_new() {
                assert_eq!(run(Isa::V4(isa)), want);
            }
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let mut c = vec![0.0; m * n];
        pool.install(|| gemm((m, n, k), Lhs::Rows(&a, k), &rhs, &mut c, n, Into::Overwrite));
        assert_eq!(c, want);
    }
}
