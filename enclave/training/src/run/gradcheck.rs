//! The start-up check that gradients are those of the loss (TRAINING 2).

use crate::rng::Stream;
use crate::{GradientCheck, OpError, TrainError};

/// Largest relative error of the probe.
const TOLERANCE: f64 = 2e-2;
/// Differences of slopes below this are noise of f32.
const NOISE: f64 = 1e-3;

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

/// A loss as a function of its variables' values.
pub type Loss<'a> = dyn FnMut(&[Vec<f32>], Want) -> Result<Slope, OpError> + 'a;

/// Checks the gradients of `loss` at the given values of named variables, with steps of `h`.
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
    h: f64,
    loss: &mut Loss<'_>,
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
    let measured = (at(h)? - at(-h)?) / (2.0 * h);
    let close = (TOLERANCE * measured.abs().max(slope.abs())).max(NOISE);
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Tensor, Var};

    /// Two variables; `fault` says what is wrong with the graph between them and the loss.
    fn check(fault: &str) -> Result<(), TrainError> {
        let variables =
            [("a".to_owned(), vec![0.3, -0.7, 0.2, 0.9]), ("b".to_owned(), vec![0.5, 0.1, -0.4, 0.8])];
        let run = |values: &[Vec<f32>], _: Want| -> Result<Slope, OpError> {
            let var = |v: &Vec<f32>| Var::from_vec(v.clone(), (1, 1, 1, 4), &Device::Cpu);
            let (a, b) = (var(&values[0])?, var(&values[1])?);
            let (mut x, mut y) = (a.as_tensor().clone(), b.as_tensor().clone());
            match fault {
                // Stock rope and softmax cut the graph: backward succeeds, the gradient is missing.
                "rope" => {
                    let table = |v: f32| Tensor::full(v, (1, 2), &Device::Cpu);
                    x = candle_nn::rotary_emb::rope(&x, &table(0.8)?, &table(0.6)?)?;
                }
                "softmax" => y = candle_nn::ops::softmax_last_dim(&y)?,
                "detached" => y = y.detach(),
                "partly" => y = (y.detach() * 0.5)?.add(&(y * 0.5)?)?,
                "zero" => y = y.sub(&y)?.add(&x)?,
                "nan" => y = (y - 10.0)?.sqrt()?,
                _ => {}
            }
            let loss = (x * &y)?.add(&y.sqr()?)?.sum(D::Minus1)?.sum_all()?;
            let store = loss.backward()?;
            let gradient = |v: &Var| -> Result<Option<Vec<f32>>, OpError> {
                store.get(v).map(|g| Ok(g.flatten_all()?.to_vec1()?)).transpose()
            };
            let foreign = usize::from(fault == "foreign");
            let loss = f64::from(loss.to_scalar::<f32>()?);
            Ok(Slope { loss, gradients: vec![gradient(&a)?, gradient(&b)?], foreign })
        };
        gradient_self_check(&variables, &[1; 32], 1e-3, &mut { run })
    }

    #[test]
    fn a_sound_graph_passes_and_each_fault_is_named() {
        check("none").unwrap();
        let named = |fault: &str| match check(fault) {
            Err(TrainError::GradientCheck(fault)) => fault,
            other => panic!("{fault}: {other:?}"),
        };
        let is = |name: &str| name.to_owned();
        assert_eq!(named("rope"), GradientCheck::Missing { variable: is("a") });
        assert_eq!(named("softmax"), GradientCheck::Missing { variable: is("b") });
        assert_eq!(named("detached"), GradientCheck::Missing { variable: is("b") });
        assert_eq!(named("zero"), GradientCheck::Zero { variable: is("b") });
        assert_eq!(named("nan"), GradientCheck::NotFinite { variable: is("a") });
        assert_eq!(named("foreign"), GradientCheck::Unexpected { expected: 2, got: 3 });
        assert!(matches!(named("partly"), GradientCheck::Mismatch { .. }));
    }
}
