//! The start-up check that gradients are those of the loss (TRAINING 2).

use crate::rng::Stream;
use crate::{GradientCheck, OpError, TrainError};

/// Step of the directional probe.
const H: f64 = 1e-3;
/// Largest relative error of the probe.
const TOLERANCE: f64 = 2e-2;
/// Slopes below this are noise of f32 and aren't compared relatively.
const FLOOR: f64 = 1e-3;

/// A loss and its gradients at some values of the variables.
#[derive(Debug, Clone, Default)]
pub struct Slope {
    /// The loss.
    pub loss: f64,
    /// One for each variable, in their order; `None` where the walk back didn't arrive.
    pub gradients: Vec<Option<Vec<f32>>>,
    /// Gradients of anything that isn't one of the variables.
    pub foreign: usize,
}

/// Whether [`Slope::gradients`] are wanted, or the loss alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Loss and gradients.
    Gradients,
    /// The loss alone.
    Loss,
}

/// Checks the gradients of `loss` at the given values of named variables.
///
/// (a) Every variable has a gradient of its size, (b) finite, (c) not zero everywhere; (d) nothing else has
/// one; (e) along a seeded direction the gradient is the loss's slope to 2e-2. The direction is the gradient
/// with each component scaled by a seeded number in [0, 2) and each variable by its norm: along a plainly
/// random one in a million dimensions the slope would drown in f32 noise.
///
/// # Errors
/// [`TrainError::GradientCheck`] naming the variable; [`TrainError::Op`] when an operation fails.
pub fn gradient_self_check(
    variables: &[(String, Vec<f32>)],
    seed: &[u8; 32],
    loss: &mut dyn FnMut(&[Vec<f32>], Want) -> Result<Slope, OpError>,
) -> Result<(), TrainError> {
    let values: Vec<Vec<f32>> = variables.iter().map(|(_, v)| v.clone()).collect();
    let gradients = sound(variables, loss(&values, Want::Gradients)?)?;
    let mut directions = Vec::with_capacity(variables.len());
    let mut slope = 0.0;
    let share = 1.0 / libm::sqrt(variables.len() as f64);
    for ((name, _), gradient) in variables.iter().zip(&gradients) {
        let mut stream = Stream::variable(seed, "gradient-probe", name);
        let raw: Vec<f64> =
            gradient.iter().map(|g| f64::from(*g) * 2.0 * f64::from(stream.uniform())).collect();
        let norm = libm::sqrt(raw.iter().map(|v| v * v).sum());
        let direction: Vec<f64> = raw.iter().map(|v| v / norm * share).collect();
        slope += direction.iter().zip(gradient).map(|(d, g)| d * f64::from(*g)).sum::<f64>();
        directions.push(direction);
    }
    let mut at = |h: f64| {
        let along = |(v, d): (&Vec<f32>, &Vec<f64>)| -> Vec<f32> {
            v.iter().zip(d).map(|(v, d)| (f64::from(*v) + h * d) as f32).collect()
        };
        let moved: Vec<Vec<f32>> = values.iter().zip(&directions).map(along).collect();
        loss(&moved, Want::Loss).map(|slope| slope.loss)
    };
    let measured = (at(H)? - at(-H)?) / (2.0 * H);
    let close = TOLERANCE * measured.abs().max(slope.abs()).max(FLOOR);
    // Written so that a NaN on either side is refused too.
    if (measured - slope).abs() <= close {
        return Ok(());
    }
    Err(GradientCheck::Mismatch { expected: measured, got: slope }.into())
}

/// Checks (a) to (d).
fn sound(variables: &[(String, Vec<f32>)], slope: Slope) -> Result<Vec<Vec<f32>>, GradientCheck> {
    let mut gradients = slope.gradients.into_iter();
    let mut out = Vec::with_capacity(variables.len());
    for (name, values) in variables {
        let variable = name.clone();
        let gradient = gradients.next().flatten().filter(|g| g.len() == values.len());
        let Some(gradient) = gradient else { return Err(GradientCheck::Missing { variable }) };
        if !gradient.iter().all(|g| g.is_finite()) {
            return Err(GradientCheck::NotFinite { variable });
        }
        if gradient.iter().all(|g| *g == 0.0) {
            return Err(GradientCheck::Zero { variable });
        }
        out.push(gradient);
    }
    match slope.foreign + gradients.count() {
        0 => Ok(out),
        more => Err(GradientCheck::Unexpected { expected: variables.len(), got: variables.len() + more }),
    }
}
