//! The peer: the same decoder and the same LoRA in candle's stock operations, as candle's own models are written.

use candle_core::quantized::gguf_file::Content;
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::{rms_norm, rms_norm_slow, softmax, softmax_last_dim};
use candle_nn::rotary_emb::{rope_i, rope_i_slow};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use std::io::Cursor;

use crate::items::Document;

// SmolLM2-135M.
const LAYERS: usize = 30;
const HEADS: usize = 9;
const GROUPS: usize = 3;
const DIM: usize = 64;
const THETA: f64 = 1e5;
const EPS: f32 = 1e-5;
const MAPS: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

const RANK: usize = 8;
const SCALE: f64 = 2.0;
const LEARNING_RATE: f64 = 1e-3;
/// Documents that are computed together, padded to the longest.
const BATCH: usize = 8;

/// The fused operations have no gradient.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Evaluate,
    Train,
}

/// Weights as f32: faster here than candle's products with quantised ones.
pub(crate) struct Stock {
    table: Tensor,
    blocks: Vec<Block>,
    norm: Tensor,
    optimiser: AdamW,
}

struct Block {
    attention_norm: Tensor,
    feed_forward_norm: Tensor,
    /// In the order of [`MAPS`].
    maps: Vec<Map>,
}

struct Map {
    /// [in, out].
    weight: Tensor,
    a: Var,
    b: Var,
}

impl Map {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let y = x.matmul(&self.weight)?;
        match pass {
            Pass::Evaluate => Ok(y),
            Pass::Train => y + (x.matmul(&self.a)?.matmul(&self.b)? * SCALE)?,
        }
    }
}

impl Stock {
    pub(crate) fn from_gguf(file: &[u8], content: &Content) -> Result<Self> {
        let device = &Device::Cpu;
        let get = |name: &str| content.tensor(&mut Cursor::new(file), name, device)?.dequantize(device);
        let mut variables = Vec::new();
        let mut map = |name: &str| {
            let weight = get(name)?.t()?;
            let (inner, out) = weight.dims2()?;
            let a = Var::randn(0_f32, 0.02, (inner, RANK), device)?;
            let b = Var::zeros((RANK, out), DType::F32, device)?;
            variables.extend([a.clone(), b.clone()]);
            Ok::<_, candle_core::Error>(Map { weight, a, b })
        };
        let mut blocks = Vec::with_capacity(LAYERS);
        for i in 0..LAYERS {
            let maps = MAPS.iter().map(|name| map(&format!("blk.{i}.{name}.weight")));
            blocks.push(Block {
                attention_norm: get(&format!("blk.{i}.attn_norm.weight"))?,
                feed_forward_norm: get(&format!("blk.{i}.ffn_norm.weight"))?,
                maps: maps.collect::<Result<_>>()?,
            });
        }
        let parameters = ParamsAdamW { lr: LEARNING_RATE, ..ParamsAdamW::default() };
        let optimiser = AdamW::new(variables, parameters)?;
        let (table, norm) = (get("token_embd.weight")?, get("output_norm.weight")?);
        Ok(Self { table, blocks, norm, optimiser })
    }

    /// Sum of the losses of all documents.
    pub(crate) fn evaluate(&self, documents: &[Document]) -> Result<f64> {
        // Neighbours of one length waste the least padding.
        let mut sorted: Vec<&Document> = documents.iter().collect();
        sorted.sort_by_key(|document| document.tokens.len());
        let mut sum = 0.0;
        for batch in sorted.chunks(BATCH) {
            sum += f64::from(self.losses(batch, Pass::Evaluate)?.sum_all()?.to_scalar::<f32>()?);
        }
        Ok(sum)
    }

    /// One step on all documents; the loss before it.
    pub(crate) fn step(&mut self, documents: &[Document]) -> Result<f64> {
        let loss = self.losses(&documents.iter().collect::<Vec<_>>(), Pass::Train)?.mean_all()?;
        self.optimiser.backward_step(&loss)?;
        loss.to_scalar::<f32>().map(f64::from)
    }

    /// Cross-entropy of every label.
    fn losses(&self, documents: &[&Document], pass: Pass) -> Result<Tensor> {
        let device = &Device::Cpu;
        let len = documents.iter().map(|document| document.tokens.len() - 1).max().unwrap_or(0);
        let (mut tokens, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for document in documents {
            let start = tokens.len();
            // Padding comes after every label, so causal attention never sees it.
            tokens.extend_from_slice(&document.tokens[..document.tokens.len() - 1]);
            rows.extend((start + document.first_label - 1..tokens.len()).map(|row| row as u32));
            targets.extend_from_slice(&document.tokens[document.first_label..]);
            tokens.resize(start + len, 0);
        }
        let mut hidden = self.table.index_select(&Tensor::new(tokens, device)?, 0)?;
        let places = Places::new(len)?;
        for block in &self.blocks {
            hidden = block.forward(&hidden, documents.len(), &places, pass)?;
        }
        let picked = hidden.index_select(&Tensor::new(rows, device)?, 0)?;
        let logits = norm(&picked, &self.norm, pass)?.matmul(&self.table.t()?)?;
        let target = logits.gather(&Tensor::new(targets, device)?.unsqueeze(1)?, 1)?.squeeze(1)?;
        logits.log_sum_exp(D::Minus1)? - target
    }
}

impl Block {
    fn forward(&self, hidden: &Tensor, batch: usize, places: &Places, pass: Pass) -> Result<Tensor> {
        let len = hidden.dim(0)? / batch;
        let [q, k, v, o, gate, up, down] = &self.maps[..] else { unreachable!("seven maps") };
        let x = norm(hidden, &self.attention_norm, pass)?;
        let split = |map: &Map, heads: usize| {
            map.forward(&x, pass)?.reshape((batch, len, heads, DIM))?.transpose(1, 2)?.contiguous()
        };
        let repeat = |x: Tensor| {
            let shape = (batch, GROUPS, HEADS / GROUPS, len, DIM);
            x.unsqueeze(2)?.broadcast_as(shape)?.contiguous()?.reshape((batch, HEADS, len, DIM))
        };
        let query = places.turn(&split(q, HEADS)?, pass)?;
        let key = repeat(places.turn(&split(k, GROUPS)?, pass)?)?;
        let value = repeat(split(v, GROUPS)?)?;
        let scores = (query.matmul(&key.t()?)? / (DIM as f64).sqrt())?.broadcast_add(&places.mask)?;
        let weights = match pass {
            Pass::Evaluate => softmax_last_dim(&scores),
            Pass::Train => softmax(&scores, D::Minus1),
        };
        let attended = weights?.matmul(&value)?.transpose(1, 2)?.contiguous()?;
        let hidden = (hidden + o.forward(&attended.reshape((batch * len, HEADS * DIM))?, pass)?)?;
        let x = norm(&hidden, &self.feed_forward_norm, pass)?;
        let gated = (gate.forward(&x, pass)?.silu()? * up.forward(&x, pass)?)?;
        hidden + down.forward(&gated, pass)?
    }
}

/// Angles and causal mask of one length.
struct Places {
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

impl Places {
    fn new(len: usize) -> Result<Self> {
        let device = &Device::Cpu;
        let rates = (0..DIM / 2).map(|i| THETA.powf(-2.0 * i as f64 / DIM as f64) as f32);
        let rates = Tensor::from_iter(rates, device)?.reshape((1, DIM / 2))?;
        let angles = Tensor::arange(0_u32, len as u32, device)?
            .to_dtype(DType::F32)?
            .reshape((len, 1))?
            .matmul(&rates)?;
        let past = |i: usize| if i % len > i / len { f32::NEG_INFINITY } else { 0.0 };
        let mask = Tensor::from_iter((0..len * len).map(past), device)?.reshape((len, len))?;
        Ok(Self { cos: angles.cos()?, sin: angles.sin()?, mask })
    }

    fn turn(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        match pass {
            Pass::Evaluate => rope_i(x, &self.cos, &self.sin),
            Pass::Train => rope_i_slow(x, &self.cos, &self.sin),
        }
    }
}

fn norm(x: &Tensor, weight: &Tensor, pass: Pass) -> Result<Tensor> {
    match pass {
        Pass::Evaluate => rms_norm(x, weight, EPS),
        Pass::Train => rms_norm_slow(x, weight, EPS),
    }
}
