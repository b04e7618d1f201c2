//! Keyed random streams and hashes of a run (PROVISIONING 13).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

const RNG_TAG: &[u8] = b"tiltyard-rng-v1\0";
const STEPS_TAG: &[u8] = b"tiltyard-steps-v1\0";

/// The one purpose that a stream serves; fields are those named in TRAINING.
#[derive(Serialize)]
struct Key<'a> {
    seed: String,
    purpose: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'a str>,
}

/// The seed of a run: the order's, varied by the recipe's own.
pub(crate) fn run_seed(order: &[u8; 32], recipe: u64) -> [u8; 32] {
    let variable = recipe.to_string();
    key_hash(&Key { seed: hex(order), purpose: "run", epoch: None, variable: Some(&variable) })
}

fn key_hash(key: &Key<'_>) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(RNG_TAG);
    // Texts and an integer always serialise; an empty document would still be one fixed key.
    context.update(&serde_jcs::to_vec(key).unwrap_or_default());
    bytes32(context.finish())
}

/// A stream of random numbers for one purpose.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one epoch's order of rows.
    pub(crate) fn order(seed: &[u8; 32], epoch: u64) -> Self {
        Self::new(&Key { seed: hex(seed), purpose: "order", epoch: Some(epoch), variable: None })
    }

    /// The stream of one variable's initial values, or of a probe along it.
    pub(crate) fn variable(seed: &[u8; 32], purpose: &str, variable: &str) -> Self {
        Self::new(&Key { seed: hex(seed), purpose, epoch: None, variable: Some(variable) })
    }

    fn new(key: &Key<'_>) -> Self {
        Self(ChaCha8Rng::from_seed(key_hash(key)))
    }

    /// Uniform in [0, 1), 24 bits.
    pub(crate) fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Standard normal, by Box and Muller in f64.
    pub(crate) fn normal(&mut self) -> f32 {
        let u = (f64::from(self.0.next_u32()) + 1.0) / 4_294_967_296.0;
        let v = f64::from(self.0.next_u32()) / 4_294_967_296.0;
        (libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)) as f32
    }

    /// A permutation of 0..len, by Fisher and Yates, without bias.
    pub(crate) fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        for i in (1..len).rev() {
            let j = self.below(i as u64 + 1) as usize;
            order.swap(i, j);
        }
        order
    }

    fn below(&mut self, bound: u64) -> u64 {
        let limit = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.0.next_u64();
            if draw < limit {
                return draw % bound;
            }
        }
    }
}

/// The chain over a run's steps, so that a re-run can be compared step by step (TRAINING 15).
pub(crate) struct StepChain([u8; 32]);

#[derive(Serialize)]
struct Origin {
    recipe: String,
    base: String,
    data: String,
    seed: String,
}

impl StepChain {
    pub(crate) fn new(recipe: &[u8; 32], base: &[u8; 32], data: &[u8; 32], seed: &[u8; 32]) -> Self {
        let origin = Origin { recipe: hex(recipe), base: hex(base), data: hex(data), seed: hex(seed) };
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(STEPS_TAG);
        context.update(&serde_jcs::to_vec(&origin).unwrap_or_default());
        Self(bytes32(context.finish()))
    }

    /// Appends a step: `u32be` step, then the bits of loss and gradient norm, each `u64be`.
    pub(crate) fn push(&mut self, step: u32, loss: f64, grad_norm: f64) {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(&self.0);
        context.update(&step.to_be_bytes());
        context.update(&loss.to_bits().to_be_bytes());
        context.update(&grad_norm.to_bits().to_be_bytes());
        self.0 = bytes32(context.finish());
    }

    pub(crate) fn end(&self) -> [u8; 32] {
        self.0
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    bytes32(ring::digest::digest(&ring::digest::SHA256, bytes))
}

pub(crate) fn bytes32(digest: ring::digest::Digest) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(digest.as_ref()).for_each(|(o, d)| *o = *d);
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_two_purposes_differ_and_one_repeats() {
        let draw = |mut s: Stream| (0..4).map(|_| s.uniform().to_bits()).collect::<Vec<_>>();
        let seed = [7; 32];
        assert_eq!(draw(Stream::order(&seed, 0)), draw(Stream::order(&seed, 0)));
        assert_ne!(draw(Stream::order(&seed, 0)), draw(Stream::order(&seed, 1)));
        assert_ne!(draw(Stream::variable(&seed, "init", "a")), draw(Stream::variable(&seed, "probe", "a")));
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = Stream::order(&[1; 32], 3).permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        assert!(Stream::order(&[1; 32], 3).permutation(0).is_empty());
    }

    #[test]
    fn normal_has_mean_0_and_variance_1() {
        let mut stream = Stream::variable(&[2; 32], "test", "");
        let draws: Vec<f64> = (0..20_000).map(|_| f64::from(stream.normal())).collect();
        let mean = draws.iter().sum::<f64>() / 2e4;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 2e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn the_step_chain_sees_every_bit() {
        let chain = |loss, norm| {
            let mut c = StepChain::new(&[1; 32], &[2; 32], &[3; 32], &[4; 32]);
            c.push(1, loss, norm);
            c.end()
        };
        assert_eq!(chain(1.0, 2.0), chain(1.0, 2.0));
        assert_ne!(chain(1.0, 2.0), chain(1.0_f64.next_up(), 2.0));
        assert_ne!(chain(1.0, 2.0), chain(2.0, 1.0));
    }
}
