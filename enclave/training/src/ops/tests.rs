//! Each operation against its definition in f64: values, and gradients by central differences.

use super::attention::{Attention, Documents, Heads, Segment};
use super::ce::LinearCe;
use super::linear::{FrozenLinear, LoraPacked, Packed, Ranks};
use super::norm::RmsNorm;
use super::pick::PickRows;
use super::residual::Residual;
use super::rope::{Angles, Rope};
use super::swiglu::SwiGlu;
use super::{Stash, tensor};
use crate::tape::{Node, Tape};
use crate::weights::frozen::Frozen;
use candle_core::{DType, Device, Tensor, Var};
use std::sync::Arc;

/// Step of the central differences.
const H: f64 = 1e-5;

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(99);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn plain(node: &Tensor) -> Vec<f32> {
    node.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*got) - want).abs() <= tolerance * scale, "{what} [{i}]: {got} {want}");
    }
}

type Inputs<'a> = &'a [(Vec<f32>, (usize, usize))];

/// Runs `op` on a tape and checks its value and all its gradients against `definition` in f64.
fn agree(
    what: &str,
    inputs: Inputs<'_>,
    op: impl Fn(&mut Tape, &[Node]) -> Node,
    definition: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let mut tape = Tape::default();
    let nodes: Vec<Node> =
        inputs.iter().map(|(v, shape)| tape.variable(tensor(v.clone(), *shape).unwrap())).collect();
    let y = op(&mut tape, &nodes);
    let mut values: Vec<Vec<f64>> = inputs.iter().map(|(v, _)| wide(v)).collect();
    close(what, &plain(&y.value), &definition(&values), 1e-5);
    // L = sum of g y for a fixed g, which the last step puts on the tape.
    let g = noise(y.value.elem_count(), 77);
    let weighted = tape.one(Weigh(g.clone()), &y).unwrap();
    let mut gradients = tape.backward(&weighted).unwrap();
    let loss = |values: &[Vec<f64>]| -> f64 {
        definition(values).iter().zip(&g).map(|(y, g)| y * f64::from(*g)).sum()
    };
    for (index, node) in nodes.iter().enumerate() {
        let got = plain(&gradients.take(node).unwrap());
        let mut want = Vec::new();
        for i in 0..values[index].len() {
            let kept = values[index][i];
            values[index][i] = kept + H;
            let up = loss(&values);
            values[index][i] = kept - H;
            want.push((up - loss(&values)) / (2.0 * H));
            values[index][i] = kept;
        }
        close(&format!("{what}, gradient {index}"), &got, &want, 2e-5);
    }
    assert_eq!(gradients.left(), 0);
}

/// sum of g y.
struct Weigh(Vec<f32>);

impl candle_core::CustomOp1 for Weigh {
    fn name(&self) -> &'static str {
        "weigh"
    }

    fn cpu_fwd(
        &self,
        storage: &candle_core::CpuStorage,
        layout: &candle_core::Layout,
    ) -> candle_core::Result<(candle_core::CpuStorage, candle_core::Shape)> {
        let y = super::values("weigh", storage, layout)?;
        super::output(vec![y.iter().zip(&self.0).map(|(y, g)| y * g).sum()], ())
    }

    fn bwd(&self, y: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        tensor(self.0.clone(), y.shape().clone()).map(Some)
    }
}

fn frozen(out: usize, inner: usize, seed: u32) -> Arc<Frozen> {
    Arc::new(Frozen::from_f32(out, inner, noise(out * inner, seed)).unwrap())
}

fn dense(frozen: &Frozen) -> Vec<f64> {
    let mut all = vec![0.0; frozen.out() * frozen.inner()];
    all.chunks_exact_mut(frozen.inner()).enumerate().for_each(|(i, row)| frozen.row(i, row));
    wide(&all)
}

/// y = x m^T.
fn multiply(x: &[f64], m: &[f64], inner: usize) -> Vec<f64> {
    let row = |x: &[f64]| -> Vec<f64> {
        m.chunks_exact(inner).map(|m| x.iter().zip(m).map(|(x, m)| x * m).sum()).collect()
    };
    x.chunks_exact(inner).flat_map(row).collect()
}

#[test]
fn rms_norm() {
    for (rows, width) in [(3, 7), (1, 1), (5, 64)] {
        let weight: Arc<[f32]> = noise(width, 3).into();
        let definition = |x: &[Vec<f64>]| -> Vec<f64> {
            let row = |x: &[f64]| -> Vec<f64> {
                let mean = x.iter().map(|v| v * v).sum::<f64>() / width as f64;
                x.iter().zip(&*weight).map(|(v, w)| v / (mean + 1e-5).sqrt() * f64::from(*w)).collect()
            };
            x[0].chunks_exact(width).flat_map(row).collect()
        };
        let inputs = [(noise(rows * width, 1), (rows, width))];
        agree(
            "rms-norm",
            &inputs,
            |t, n| t.one(RmsNorm::new(weight.clone(), 1e-5), &n[0]).unwrap(),
            definition,
        );
    }
}

#[test]
fn swiglu() {
    for (rows, width) in [(3, 5), (1, 1)] {
        let definition = |x: &[Vec<f64>]| -> Vec<f64> {
            let row = |x: &[f64]| -> Vec<f64> {
                (0..width).map(|j| x[j] / (1.0 + (-x[j]).exp()) * x[width + j]).collect()
            };
            x[0].chunks_exact(2 * width).flat_map(row).collect()
        };
        let scaled = noise(rows * 2 * width, 1).iter().map(|v| v * 6.0).collect();
        agree(
            "swiglu",
            &[(scaled, (rows, 2 * width))],
            |t, n| t.one(SwiGlu { width }, &n[0]).unwrap(),
            definition,
        );
    }
}

#[test]
fn rope_turns_the_first_heads_by_their_position() {
    let (dim, heads, width, positions) = (4, 2, 10, [0_u32, 1, 7]);
    let definition = |x: &[Vec<f64>]| -> Vec<f64> {
        let mut y = x[0].clone();
        for (row, p) in y.chunks_exact_mut(width).zip(positions) {
            for head in row.chunks_exact_mut(dim).take(heads) {
                for i in 0..dim / 2 {
                    let angle = f64::from(p) * 100.0_f64.powf(-2.0 * i as f64 / dim as f64);
                    let (a, b) = (head[i], head[dim / 2 + i]);
                    head[i] = a * angle.cos() - b * angle.sin();
                    head[dim / 2 + i] = b * angle.cos() + a * angle.sin();
                }
            }
        }
        y
    };
    let op = |t: &mut Tape, n: &[Node]| {
        let angles = Arc::new(Angles::new(&positions, dim, 100.0));
        t.one(Rope { angles, heads, width }, &n[0]).unwrap()
    };
    agree("rope", &[(noise(3 * width, 4), (3, width))], op, definition);
}

/// Attention by its definition, document by document, with the common beginning written out.
fn attend(x: &[f64], documents: &Documents, heads: Heads) -> Vec<f64> {
    let (dim, width) = (heads.dim, heads.packed());
    let mut y = Vec::new();
    for segment in &documents.0 {
        for row in segment.rows.clone() {
            for head in 0..heads.query {
                let kv = head / (heads.query / heads.key);
                let seen: Vec<usize> = segment.prefix.clone().chain(segment.rows.start..row + 1).collect();
                let part = |row: usize, at: usize| &x[row * width + at * dim..][..dim];
                let score = |j: &usize| -> f64 {
                    let k = part(*j, heads.query + kv);
                    part(row, head).iter().zip(k).map(|(q, k)| q * k).sum::<f64>() / (dim as f64).sqrt()
                };
                let p: Vec<f64> = seen.iter().map(|j| score(j).exp()).collect();
                let sum: f64 = p.iter().sum();
                for d in 0..dim {
                    let v = |j: &usize| part(*j, heads.query + heads.key + kv)[d];
                    y.push(seen.iter().zip(&p).map(|(j, p)| p / sum * v(j)).sum());
                }
            }
        }
    }
    y
}

#[test]
fn attention_sees_its_document_and_its_past_alone() {
    let segment = |rows, prefix| Segment { rows, prefix };
    let cases = [
        (
            Heads { query: 4, key: 2, dim: 4 },
            vec![segment(0..3, 0..0), segment(3..4, 0..0), segment(4..9, 0..0)],
        ),
        (
            Heads { query: 2, key: 1, dim: 2 },
            vec![segment(0..4, 0..0), segment(4..6, 0..4), segment(6..9, 0..4)],
        ),
        (Heads { query: 1, key: 1, dim: 1 }, vec![segment(0..1, 0..0)]),
        (Heads { query: 3, key: 1, dim: 8 }, vec![segment(0..19, 0..0)]),
    ];
    for (heads, segments) in cases {
        let documents = Arc::new(Documents(segments));
        let rows = documents.0.last().unwrap().rows.end;
        let inputs = [(noise(rows * heads.packed(), 6), (rows, heads.packed()))];
        let op = |t: &mut Tape, n: &[Node]| t.one(Attention::new(documents.clone(), heads), &n[0]).unwrap();
        agree("attention", &inputs, op, |x| attend(&x[0], &documents, heads));
    }
}

#[test]
fn linear_maps_with_and_without_adapters() {
    let packed = Arc::new(Packed { parts: vec![frozen(5, 3, 1), frozen(2, 3, 2), frozen(4, 3, 3)] });
    let all: Vec<f64> = packed.parts.iter().flat_map(|p| dense(p)).collect();
    let x = (noise(4 * 3, 5), (4, 3));
    let op = |t: &mut Tape, n: &[Node]| t.one(FrozenLinear(packed.clone()), &n[0]).unwrap();
    agree("frozen-linear", std::slice::from_ref(&x), op, |v| multiply(&v[0], &all, 3));
    // The first and the last part have adapters of rank 2.
    let ranks = Ranks { adapted: vec![true, false, true], rank: 2, scale: 1.5 };
    let op = |t: &mut Tape, n: &[Node]| {
        let op = LoraPacked { base: packed.clone(), ranks: ranks.clone(), wants_dx: true, xa: Stash::new() };
        t.three(op, &n[0], &n[1], &n[2]).unwrap()
    };
    let definition = |v: &[Vec<f64>]| {
        let (mut y, xa) = (multiply(&v[0], &all, 3), multiply(&v[0], &v[1], 3));
        for row in 0..4 {
            for (column, rank0, b_row, out) in [(0, 0, 0, 5), (7, 2, 5, 4)] {
                for o in 0..out {
                    let terms = (0..2).map(|r| xa[row * 4 + rank0 + r] * v[2][(b_row + o) * 2 + r]);
                    y[row * 11 + column + o] += 1.5 * terms.sum::<f64>();
                }
            }
        }
        y
    };
    agree("lora-packed", &[x, (noise(4 * 3, 6), (4, 3)), (noise(9 * 2, 7), (9, 2))], op, definition);
}

#[test]
fn cross_entropy_of_a_linear_map() {
    let head = frozen(37, 6, 8);
    let all = dense(&head);
    let targets = vec![0_u32, 36, 5];
    let op = |t: &mut Tape, n: &[Node]| {
        let (dx, losses) = (Stash::new(), Arc::new(Stash::new()));
        let (head, targets) = (head.clone(), targets.clone());
        t.one(LinearCe { head, targets, scale: 0.5, wants_dx: true, dx, losses }, &n[0]).unwrap()
    };
    let definition = |x: &[Vec<f64>]| {
        let z = multiply(&x[0], &all, 6);
        let rows = z.chunks_exact(37).zip(&targets);
        let loss = |(z, t): (&[f64], &u32)| z.iter().map(|v| v.exp()).sum::<f64>().ln() - z[*t as usize];
        vec![0.5 * rows.map(loss).sum::<f64>()]
    };
    agree("linear-ce", &[(noise(18, 9), (3, 6))], op, definition);
}

#[test]
fn sums_and_picks() {
    let inputs = [(noise(6, 1), (2, 3)), (noise(6, 2), (2, 3))];
    let op = |t: &mut Tape, n: &[Node]| t.two(Residual, &n[0], &n[1]).unwrap();
    agree("residual", &inputs, op, |x| x[0].iter().zip(&x[1]).map(|(a, b)| a + b).collect());
    // A row picked twice has two consumers.
    let op = |t: &mut Tape, n: &[Node]| t.one(PickRows { rows: vec![2, 0, 2], width: 2 }, &n[0]).unwrap();
    agree("pick-rows", &[(noise(8, 3), (4, 2))], op, |x| {
        [2, 0, 2].iter().flat_map(|r| x[0][r * 2..][..2].to_vec()).collect()
    });
}

#[test]
fn a_tensor_with_two_consumers_gets_both_gradients() {
    let op = |t: &mut Tape, n: &[Node]| {
        let y = t.one(SwiGlu { width: 2 }, &n[0]).unwrap();
        let z = t.one(RmsNorm::new(Arc::from([1.0, 2.0]), 1e-5), &y).unwrap();
        t.two(Residual, &y, &z).unwrap()
    };
    let definition = |x: &[Vec<f64>]| -> Vec<f64> {
        let row = |x: &[f64]| -> Vec<f64> {
            let y: Vec<f64> = (0..2).map(|j| x[j] / (1.0 + (-x[j]).exp()) * x[2 + j]).collect();
            let rho = 1.0 / ((y[0] * y[0] + y[1] * y[1]) / 2.0 + 1e-5).sqrt();
            vec![y[0] + y[0] * rho, y[1] + 2.0 * y[1] * rho]
        };
        x[0].chunks_exact(4).flat_map(row).collect()
    };
    agree("two consumers", &[(noise(12, 5), (3, 4))], op, definition);
}

#[test]
fn the_same_gradients_as_stock_operations_of_candle() {
    // candle differentiates these stock operations; ours run under its own backward here, not our tape.
    let (rows, width) = (6, 32);
    let x = Var::from_tensor(&tensor(noise(rows * width, 1), (rows, width)).unwrap()).unwrap();
    let weight = noise(width, 2);
    let w = tensor(weight.clone(), width).unwrap();
    let ours = x.apply_op1(RmsNorm::new(weight.into(), 1e-5)).unwrap();
    let mean = x.sqr().unwrap().mean_keepdim(1).unwrap();
    let stock = x.broadcast_div(&(mean + 1e-5).unwrap().sqrt().unwrap()).unwrap().broadcast_mul(&w).unwrap();
    let gate = |y: &Tensor| {
        let (a, b) = (y.narrow(1, 0, width / 2).unwrap(), y.narrow(1, width / 2, width / 2).unwrap());
        (a.silu().unwrap() * b).unwrap()
    };
    let (ours, stock) = (ours.apply_op1(SwiGlu { width: width / 2 }).unwrap(), gate(&stock));
    close("forward", &plain(&ours), &wide(&plain(&stock)), 1e-5);
    let gradient =
        |y: &Tensor| plain(y.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap());
    close("backward", &gradient(&ours), &wide(&gradient(&stock)), 1e-5);
}

#[test]
fn faults_are_errors_and_empty_inputs_are_not() {
    let norm = || RmsNorm::new(Arc::from([1.0; 4]), 1e-5);
    let x = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
    assert!(
        x.apply_op1_no_bwd(&norm()).unwrap_err().to_string().contains("rms-norm: expected shape [tokens, 4]")
    );
    let turned = Tensor::zeros((4, 2), DType::F32, &Device::Cpu).unwrap().t().unwrap();
    assert!(turned.apply_op1_no_bwd(&norm()).is_err(), "not contiguous");
    let double = Tensor::zeros((2, 4), DType::F64, &Device::Cpu).unwrap();
    assert!(double.apply_op1_no_bwd(&norm()).is_err());
    // A narrowed tensor starts at an offset.
    let all = tensor(noise(12, 1), (3, 4)).unwrap();
    let lower = all.narrow(0, 1, 2).unwrap();
    let copied = tensor(plain(&lower), (2, 4)).unwrap();
    let run = |t: &Tensor| plain(&t.apply_op1_no_bwd(&norm()).unwrap());
    assert_eq!(run(&lower), run(&copied));
    let none = Tensor::zeros((0, 4), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(none.apply_op1_no_bwd(&norm()).unwrap().dims(), [0, 4]);
    let packed = Arc::new(Packed { parts: vec![frozen(3, 4, 1)] });
    assert_eq!(none.apply_op1_no_bwd(&FrozenLinear(packed)).unwrap().dims(), [0, 3]);
    let heads = Heads { query: 1, key: 1, dim: 4 };
    let empty = Tensor::zeros((0, 12), DType::F32, &Device::Cpu).unwrap();
    let attention = Attention::new(Arc::new(Documents(vec![])), heads);
    assert_eq!(empty.apply_op1_no_bwd(&attention).unwrap().dims(), [0, 4]);
    let pick = PickRows { rows: vec![2], width: 4 };
    assert!(tensor(vec![0.0; 8], (2, 4)).unwrap().apply_op1_no_bwd(&pick).is_err());
}

#[test]
fn a_second_backward_through_one_operation_is_an_error() {
    use candle_core::CustomOp1;
    let x = tensor(noise(4, 1), (1, 4)).unwrap();
    let op = RmsNorm::new(Arc::from([1.0; 4]), 1e-5);
    let y = x.apply_op1_no_bwd(&op).unwrap();
    assert!(op.bwd(&x, &y, &y).is_ok());
    assert!(op.bwd(&x, &y, &y).unwrap_err().to_string().contains("already used"));
}
