//! The record of a forward pass, and its walk backward.
//!
//! candle's own `backward` adds every gradient to fresh zeros on a pool of spinning threads that it shares
//! with nobody's budget, and stores gradients of what isn't trained. This walk calls the same `bwd` of the
//! same operations, moves the first gradient of a tensor instead of adding it, and visits only what stands
//! above a variable.

use crate::ops::{by_rows, tensor, with_values};
use candle_core::{CustomOp1, CustomOp2, CustomOp3, Result, Tensor};

/// A tensor on a tape.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) value: Tensor,
    /// Where its gradient goes; `None` when nothing trained stands below it.
    slot: Option<usize>,
}

impl Node {
    /// A tensor that has no gradient.
    pub(crate) fn constant(value: Tensor) -> Self {
        Self { value, slot: None }
    }

    /// Whether an operation on it has to give its gradient.
    pub(crate) fn tracked(&self) -> bool {
        self.slot.is_some()
    }
}

enum Op {
    One(Box<dyn CustomOp1>, [Node; 1]),
    Two(Box<dyn CustomOp2>, [Node; 2]),
    Three(Box<dyn CustomOp3>, [Node; 3]),
}

struct Step {
    op: Op,
    result: Node,
}

/// Operations in the order in which they were done.
#[derive(Default)]
pub(crate) struct Tape {
    steps: Vec<Step>,
    slots: usize,
}

/// Gradients by slot.
pub(crate) struct Gradients(Vec<Option<Tensor>>);

impl Tape {
    /// A tensor whose gradient is wanted.
    pub(crate) fn variable(&mut self, value: Tensor) -> Node {
        Node { value, slot: Some(self.slot()) }
    }

    pub(crate) fn one(&mut self, op: impl CustomOp1 + 'static, x: &Node) -> Result<Node> {
        let value = x.value.apply_op1_no_bwd(&op)?;
        Ok(self.record(value, [x.clone()], |x| Op::One(Box::new(op), x)))
    }

    pub(crate) fn two(&mut self, op: impl CustomOp2 + 'static, x: &Node, y: &Node) -> Result<Node> {
        let value = x.value.apply_op2_no_bwd(&y.value, &op)?;
        Ok(self.record(value, [x.clone(), y.clone()], |xs| Op::Two(Box::new(op), xs)))
    }

    pub(crate) fn three(
        &mut self,
        op: impl CustomOp3 + 'static,
        x: &Node,
        y: &Node,
        z: &Node,
    ) -> Result<Node> {
        let value = x.value.apply_op3_no_bwd(&y.value, &z.value, &op)?;
        Ok(self.record(value, [x.clone(), y.clone(), z.clone()], |xs| Op::Three(Box::new(op), xs)))
    }

    fn record<const N: usize>(
        &mut self,
        value: Tensor,
        inputs: [Node; N],
        op: impl FnOnce([Node; N]) -> Op,
    ) -> Node {
        if !inputs.iter().any(Node::tracked) {
            return Node::constant(value);
        }
        let result = Node { value, slot: Some(self.slot()) };
        self.steps.push(Step { op: op(inputs), result: result.clone() });
        result
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    /// Walks back from a scalar; each step's memory is freed as it is passed.
    pub(crate) fn backward(self, from: &Node) -> Result<Gradients> {
        let mut gradients = Gradients((0..self.slots).map(|_| None).collect());
        gradients.add(from, Some(tensor(vec![1.0; from.value.elem_count()], from.value.shape().clone())?))?;
        for Step { op, result } in self.steps.into_iter().rev() {
            let Some(g) = gradients.take(&result) else { continue };
            match op {
                Op::One(op, [x]) => {
                    let dx = op.bwd(&x.value, &result.value, &g)?;
                    gradients.add(&x, dx)?;
                }
                Op::Two(op, [x, y]) => {
                    let (dx, dy) = op.bwd(&x.value, &y.value, &result.value, &g)?;
                    gradients.add(&x, dx)?;
                    gradients.add(&y, dy)?;
                }
                Op::Three(op, [x, y, z]) => {
                    let (dx, dy, dz) = op.bwd(&x.value, &y.value, &z.value, &result.value, &g)?;
                    gradients.add(&x, dx)?;
                    gradients.add(&y, dy)?;
                    gradients.add(&z, dz)?;
                }
            }
        }
        Ok(gradients)
    }
}

impl Gradients {
    /// The gradient of a node, if it has one.
    pub(crate) fn take(&mut self, node: &Node) -> Option<Tensor> {
        self.0.get_mut(node.slot?)?.take()
    }

    /// How many nodes still have a gradient.
    pub(crate) fn left(&self) -> usize {
        self.0.iter().flatten().count()
    }

    fn add(&mut self, node: &Node, gradient: Option<Tensor>) -> Result<()> {
        let (Some(slot), Some(gradient)) = (node.slot, gradient) else { return Ok(()) };
        let sum = match self.0[slot].take() {
            None => gradient,
            Some(first) => with_values("gradient", &first, |a| {
                with_values("gradient", &gradient, |b| {
                    let mut sum = a.to_vec();
                    by_rows(&mut sum, 1, |at, sum| sum.iter_mut().zip(&b[at..]).for_each(|(s, b)| *s += b));
                    tensor(sum, first.shape().clone())
                })
            })?,
        };
        self.0[slot] = Some(sum);
        Ok(())
    }
}
