//! The start-up check that gradients are those of the loss (TRAINING 2).

use crate::rng::Stream;
use crate::{GradientCheck, OpError, TrainError};
use candle_core::{Tensor, Var};

/// Step of the directional probe.
const H: f64 = 1e-3;
/// Largest relative error of the probe.
const TOLERANCE: f64 = 2e-2;
/// Slopes below this are noise of f32 and aren't compared relatively.
const FLOOR: f64 = 1e-3;

/// Checks the gradients of `loss` at the variables' present values, and leaves these as they were.
///
/// (a) Every variable has a gradient of its shape, (b) finite, (c) not zero everywhere; (d) nothing else
/// has one; (e) along a seeded direction the gradient is the loss's slope to 2e-2. The direction is the
/// gradient with each component scaled by a seeded number in [0, 2) and each variable by its norm: along a
/// plainly random one in a million dimensions the slope would drown in f32 noise. `loss` gives the graph's
/// scalar, and the same number in f64.
///
/// # Errors
/// [`TrainError::GradientCheck`] naming the variable; [`TrainError::Op`] when an operation fails.
pub fn gradient_self_check(
    variables: &[(&str, &Var)],
    seed: &[u8; 32],
    loss: &dyn Fn() -> Result<(Tensor, f64), OpError>,
) -> Result<(), TrainError> {
    let gradients = gradients(variables, loss)?;
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
    let measured = probe(variables, &directions, loss)?;
    if (measured - slope).abs() > TOLERANCE * measured.abs().max(slope.abs()).max(FLOOR) || slope.is_nan() {
        return Err(GradientCheck::Mismatch { expected: measured, got: slope }.into());
    }
    Ok(())
}

fn gradients(
    variables: &[(&str, &Var)],
    loss: &dyn Fn() -> Result<(Tensor, f64), OpError>,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let (scalar, _) = loss()?;
    let mut store = scalar.backward().map_err(OpError::from)?;
    let mut out = Vec::with_capacity(variables.len());
    for (name, var) in variables {
        let variable = (*name).to_owned();
        let gradient = store.remove(var).filter(|g| g.dims() == var.dims());
        let Some(gradient) = gradient else { return Err(GradientCheck::Missing { variable }.into()) };
        let gradient = gradient.flatten_all().and_then(|g| g.to_vec1::<f32>()).map_err(OpError::from)?;
        if !gradient.iter().all(|g| g.is_finite()) {
            return Err(GradientCheck::NotFinite { variable }.into());
        }
        if gradient.iter().all(|g| *g == 0.0) {
            return Err(GradientCheck::Zero { variable }.into());
        }
        out.push(gradient);
    }
    match store.get_ids().count() {
        0 => Ok(out),
        more => {
            let expected = variables.len();
            Err(GradientCheck::Unexpected { expected, got: expected + more }.into())
        }
    }
}

/// (L(p + hd) - L(p - hd)) / 2h, with h replaced by the change that f32 really makes.
fn probe(
    variables: &[(&str, &Var)],
    directions: &[Vec<f64>],
    loss: &dyn Fn() -> Result<(Tensor, f64), OpError>,
) -> Result<f64, TrainError> {
    let kept = variables.iter().map(|(_, var)| var.copy()).collect::<Result<Vec<_>, _>>();
    let kept = kept.map_err(OpError::from)?;
    let at = |h: f64| -> Result<f64, OpError> {
        for (((_, var), kept), direction) in variables.iter().zip(&kept).zip(directions) {
            let values = kept.flatten_all()?.to_vec1::<f32>()?;
            let moved = values.iter().zip(direction).map(|(v, d)| (f64::from(*v) + h * d) as f32).collect();
            var.set(&Tensor::from_vec(moved, var.shape().clone(), var.device())?)?;
        }
        Ok(loss()?.1)
    };
    let slope = at(H).and_then(|up| Ok((up - at(-H)?) / (2.0 * H)));
    for ((_, var), kept) in variables.iter().zip(&kept) {
        var.set(kept).map_err(OpError::from)?;
    }
    Ok(slope?)
}
