//! Vector instructions behind a safe border, chosen once at run time.
//!
//! Every kernel of this package fixes the order of its additions by itself and fuses multiply and add
//! explicitly, so that all instruction sets give the same bits (TRAINING 4, class `portable`).

#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};

/// The widest instruction set that this processor has and the kernels know.
#[derive(Clone, Copy)]
pub(crate) enum Isa {
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    V4(V4),
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    V3(V3),
    /// Anything else: slow, same bits.
    Scalar,
}

impl Isa {
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(isa) = V4::try_new() {
                return Self::V4(isa);
            }
            if let Some(isa) = V3::try_new() {
                return Self::V3(isa);
            }
        }
        Self::Scalar
    }

    /// Name of the instruction set, for a benchmark's heading.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::V4(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::V3(_) => "avx2+fma",
            Self::Scalar => "scalar",
        }
    }
}

/// Runs `body` compiled for the instruction set found; `body` must be inlined to profit.
#[inline(always)]
pub(crate) fn dispatch<R>(body: impl FnOnce() -> R) -> R {
    match Isa::detect() {
        #[cfg(target_arch = "x86_64")]
        Isa::V4(isa) => isa.vectorize(body),
        #[cfg(target_arch = "x86_64")]
        Isa::V3(isa) => isa.vectorize(body),
        Isa::Scalar => body(),
    }
}

/// e^x by the cephes polynomial: range reduction by ln 2 in two parts, degree 5, clamped to +-87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let n = x.mul_add(std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r) + 1.0;
    // |n| <= 126, so the exponent field neither overflows nor becomes subnormal.
    p * f32::from_bits(
        (((n + ROUND).to_bits() & 0x00ff_ffff).wrapping_sub(0x0040_0000).wrapping_add(127)) << 23,
    )
}

/// Sum in f64 over eight fixed lanes, so that the order never depends on the instruction set.
#[inline(always)]
pub(crate) fn sum_f64(values: impl Iterator<Item = f32>) -> f64 {
    let mut lanes = [0.0_f64; 8];
    for (i, v) in values.enumerate() {
        lanes[i % 8] += f64::from(v);
    }
    fold(&lanes)
}

/// Sums eight lanes as a fixed tree.
#[inline(always)]
pub(crate) fn fold(l: &[f64; 8]) -> f64 {
    ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_true_one_and_monotone_at_the_clamp() {
        let mut worst = 0.0_f64;
        for i in -86_000..=86_000 {
            let x = i as f32 * 1e-3;
            let want = libm::exp(f64::from(x));
            worst = worst.max((f64::from(exp(x)) - want).abs() / want);
        }
        assert!(worst < 3e-7, "{worst}");
        assert_eq!(exp(-1e9), exp(-87.0));
        assert!(exp(1e9).is_finite());
        assert!((exp(0.0) - 1.0).abs() < 1e-7);
    }

    #[test]
    fn every_instruction_set_gives_the_same_exp() {
        let xs: Vec<f32> = (0..4096).map(|i| (i as f32 - 2048.0) * 0.04).collect();
        let mut fast = xs.clone();
        dispatch(
            #[inline(always)]
            || fast.iter_mut().for_each(|x| *x = exp(*x)),
        );
        for (x, f) in xs.iter().zip(&fast) {
            assert_eq!(exp(*x).to_bits(), f.to_bits());
        }
    }
}
