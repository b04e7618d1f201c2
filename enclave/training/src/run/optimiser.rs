//! AdamW as torch defines it, and clipping by the total norm (TRAINING 10).

use crate::recipe::AdamW;
use crate::simd::{dispatch, sum_f64};

/// First and second moments of every variable.
pub(crate) struct State {
    choice: AdamW,
    step: i32,
    moments: Vec<(Vec<f32>, Vec<f32>)>,
}

impl State {
    pub(crate) fn new(choice: AdamW, sizes: impl Iterator<Item = usize>) -> Self {
        let moments = sizes.map(|len| (vec![0.0; len], vec![0.0; len])).collect();
        Self { choice, step: 0, moments }
    }

    /// p *= 1 - lr wd; m, v moving averages; p -= lr / (1 - b1^t) m / (sqrt v / sqrt(1 - b2^t) + eps).
    ///
    /// `gradients` are scaled by the clipping factor first; their order is that of the variables.
    pub(crate) fn apply(
        &mut self,
        values: &mut [&mut Vec<f32>],
        gradients: &[Vec<f32>],
        factor: f64,
        lr: f64,
    ) {
        self.step += 1;
        let AdamW { beta1, beta2, eps, weight_decay, .. } = self.choice;
        let correct1 = 1.0 - libm::pow(beta1, f64::from(self.step));
        let correct2 = libm::sqrt(1.0 - libm::pow(beta2, f64::from(self.step)));
        let decay = (1.0 - lr * weight_decay) as f32;
        let size = (lr / correct1) as f32;
        let (b1, b2) = (beta1 as f32, beta2 as f32);
        let (n1, n2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let (scale, root, eps) = (factor as f32, (1.0 / correct2) as f32, eps as f32);
        for ((p, g), (m, v)) in values.iter_mut().zip(gradients).zip(&mut self.moments) {
            dispatch(
                #[inline(always)]
                || {
                    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                        let g = g * scale;
                        *m = m.mul_add(b1, g * n1);
                        *v = v.mul_add(b2, g * g * n2);
                        *p = (*p * decay) - size * *m / v.sqrt().mul_add(root, eps);
                    }
                },
            );
        }
    }
}

/// Total norm of all gradients, f64, in the order of the variables.
pub(crate) fn norm(gradients: &[Vec<f32>]) -> f64 {
    libm::sqrt(gradients.iter().map(|g| sum_f64(g.iter().map(|v| v * v))).sum())
}

/// min(1, max / (norm + 1e-6)).
pub(crate) fn clip_factor(norm: f64, max: Option<f64>) -> f64 {
    max.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_steps_equal_the_rule_in_f64() {
        let choice = AdamW { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, clip: None };
        let mut state = State::new(choice, std::iter::once(5));
        let mut p = vec![1.0_f32, -2.0, 0.5, 0.0, 3.0];
        let mut want: Vec<f64> = p.iter().map(|v| f64::from(*v)).collect();
        let (mut m, mut v) = ([0.0_f64; 5], [0.0_f64; 5]);
        for t in 1..=100 {
            let g: Vec<f32> =
                p.iter().enumerate().map(|(i, p)| p * 2.0 + (i + t) as f32 % 3.0 - 1.0).collect();
            let gradients: Vec<f64> =
                want.iter().enumerate().map(|(i, p)| p * 2.0 + ((i + t) as f32 % 3.0) as f64 - 1.0).collect();
            state.apply(&mut [&mut p], &[g], 0.5, 0.01);
            for i in 0..5 {
                let g = gradients[i] * 0.5;
                want[i] *= 1.0 - 0.01 * 0.1;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (c1, c2) = (1.0 - 0.9_f64.powi(t as i32), 1.0 - 0.999_f64.powi(t as i32));
                want[i] -= 0.01 / c1 * m[i] / (v[i].sqrt() / c2.sqrt() + 1e-8);
            }
        }
        for (got, want) in p.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() < 1e-4 * want.abs().max(1e-2), "{got} {want}");
        }
    }

    #[test]
    fn clipping_keeps_a_small_gradient_and_scales_a_large_one() {
        assert_eq!(clip_factor(0.5, Some(1.0)), 1.0);
        assert!((clip_factor(4.0, Some(1.0)) - 0.25).abs() < 1e-6);
        assert_eq!(clip_factor(1e9, None), 1.0);
        assert_eq!(norm(&[vec![3.0], vec![4.0]]), 5.0);
    }
}
