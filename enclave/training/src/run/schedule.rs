//! The learning rate of each step, as transformers' `get_scheduler` (TRAINING 10).

use crate::recipe::{Curve, Schedule};

/// Factor of the learning rate at `step` (from 0) of `total`.
pub(crate) fn factor(schedule: &Schedule, step: u32, total: u32) -> f64 {
    let warmup = (schedule.warmup_ratio * f64::from(total)).ceil();
    let step = f64::from(step);
    if step < warmup {
        return step / warmup.max(1.0);
    }
    let progress = (step - warmup) / (f64::from(total) - warmup).max(1.0);
    let factor = match schedule.curve {
        Curve::Constant => 1.0,
        Curve::Linear => (1.0 - progress).max(0.0),
        Curve::Cosine => {
            (0.5 * (1.0 + libm::cos(std::f64::consts::PI * schedule.cycles * 2.0 * progress))).max(0.0)
        }
    };
    factor.mul_add(1.0 - schedule.min_ratio, schedule.min_ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_take_the_values_of_get_scheduler() {
        let of = |curve, warmup_ratio| Schedule { curve, warmup_ratio, cycles: 0.5, min_ratio: 0.0 };
        // transformers: 2 warm-up steps of 10 in all.
        let linear: Vec<f64> = (0..10).map(|s| factor(&of(Curve::Linear, 0.2), s, 10)).collect();
        assert_eq!(linear, [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]);
        let cosine = of(Curve::Cosine, 0.0);
        for (step, want) in [(0, 1.0), (5, 0.5), (10, 0.0)] {
            assert!((factor(&cosine, step, 10) - want).abs() < 1e-12);
        }
        assert_eq!(factor(&of(Curve::Constant, 0.0), 7, 10), 1.0);
        let floor = Schedule { min_ratio: 0.1, ..cosine };
        assert!((factor(&floor, 10, 10) - 0.1).abs() < 1e-12);
    }
}
