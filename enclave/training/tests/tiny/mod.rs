//! A model of two blocks, written as GGUF by hand: everything but speed and language can be shown on it.

#![allow(dead_code, clippy::unwrap_used)]

use tiltyard_training::{BaseModel, Clock, Event, Item, Recipe, TrainError, TrainJob, Trained, train};

pub const HIDDEN: usize = 64;
pub const WIDE: usize = 96;

/// A GGUF file under construction.
pub struct Gguf {
    pub metadata: Vec<(String, Vec<u8>)>,
    pub tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
    pub version: u32,
    /// Added to the last tensor's offset.
    pub shift: u64,
}

pub fn text(value: &str) -> Vec<u8> {
    [&8_u32.to_le_bytes()[..], &bare(value)].concat()
}

pub fn integer(value: u32) -> Vec<u8> {
    [4_u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub fn float(value: f32) -> Vec<u8> {
    [6_u32.to_le_bytes(), value.to_le_bytes()].concat()
}

fn bare(value: &str) -> Vec<u8> {
    [&(value.len() as u64).to_le_bytes()[..], value.as_bytes()].concat()
}

fn list(kind: u32, items: &[Vec<u8>]) -> Vec<u8> {
    let head = [9_u32.to_le_bytes(), kind.to_le_bytes()].concat();
    [head, (items.len() as u64).to_le_bytes().to_vec(), items.concat()].concat()
}

/// GPT-2's printable stand-ins for the 256 bytes.
fn alphabet() -> Vec<char> {
    let printable = |b: u32| (33..=126).contains(&b) || (161..=172).contains(&b) || (174..=255).contains(&b);
    let mut next = 256;
    (0..256)
        .map(|b| {
            let code = if printable(b) {
                b
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap()
        })
        .collect()
}

/// Values in +-scale that look random.
pub fn noise(len: usize, seed: u32, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / 8_388_608.0 - 1.0) * scale
        })
        .collect()
}

impl Gguf {
    pub fn tiny() -> Self {
        let mut tokens: Vec<String> =
            ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(String::from).to_vec();
        tokens.extend(alphabet().into_iter().map(String::from));
        let kinds: Vec<Vec<u8>> =
            (0..tokens.len()).map(|i| (if i < 3 { 3_i32 } else { 1 }).to_le_bytes().to_vec()).collect();
        let vocabulary = tokens.len();
        let metadata = vec![
            ("general.architecture", text("llama")),
            ("llama.block_count", integer(2)),
            ("llama.context_length", integer(1024)),
            ("llama.embedding_length", integer(HIDDEN as u32)),
            ("llama.feed_forward_length", integer(WIDE as u32)),
            ("llama.attention.head_count", integer(2)),
            ("llama.attention.head_count_kv", integer(1)),
            ("llama.rope.freq_base", float(10_000.0)),
            ("llama.attention.layer_norm_rms_epsilon", float(1e-5)),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text("smollm")),
            ("tokenizer.ggml.tokens", list(8, &tokens.iter().map(|t| bare(t)).collect::<Vec<_>>())),
            ("tokenizer.ggml.token_type", list(5, &kinds)),
            ("tokenizer.ggml.merges", list(8, &[])),
        ];
        let mut file = Self {
            metadata: metadata.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            tensors: Vec::new(),
            version: 3,
            shift: 0,
        };
        file.matrix("token_embd.weight", vocabulary, HIDDEN, 1);
        file.vector("output_norm.weight", HIDDEN);
        for i in 0..2 {
            let name = |part: &str| format!("blk.{i}.{part}.weight");
            file.vector(&name("attn_norm"), HIDDEN);
            file.vector(&name("ffn_norm"), HIDDEN);
            file.matrix(&name("attn_q"), HIDDEN, HIDDEN, 10 * i + 2);
            file.matrix(&name("attn_k"), HIDDEN / 2, HIDDEN, 10 * i + 3);
            file.matrix(&name("attn_v"), HIDDEN / 2, HIDDEN, 10 * i + 4);
            file.matrix(&name("attn_output"), HIDDEN, HIDDEN, 10 * i + 5);
            file.matrix(&name("ffn_gate"), WIDE, HIDDEN, 10 * i + 6);
            file.matrix(&name("ffn_up"), WIDE, HIDDEN, 10 * i + 7);
            file.matrix(&name("ffn_down"), HIDDEN, WIDE, 10 * i + 8);
        }
        file
    }

    fn matrix(&mut self, name: &str, out: usize, inner: usize, seed: u32) {
        let values = noise(out * inner, seed, 0.2).into_iter().flat_map(f32::to_le_bytes).collect();
        self.tensors.push((name.to_owned(), vec![inner as u64, out as u64], 0, values));
    }

    fn vector(&mut self, name: &str, len: usize) {
        let values = vec![1.0_f32; len].into_iter().flat_map(f32::to_le_bytes).collect();
        self.tensors.push((name.to_owned(), vec![len as u64], 0, values));
    }

    pub fn set(&mut self, key: &str, value: Vec<u8>) {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.to_owned(), value));
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            out.extend(bare(key));
            out.extend(value);
        }
        let mut at = 0_u64;
        for (i, (name, dims, format, data)) in self.tensors.iter().enumerate() {
            out.extend(bare(name));
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(format.to_le_bytes());
            let shift = if i + 1 == self.tensors.len() { self.shift } else { 0 };
            out.extend(at.wrapping_add(shift).to_le_bytes());
            at += data.len() as u64;
        }
        out.resize(out.len().next_multiple_of(32), 0);
        self.tensors.iter().for_each(|(.., data)| out.extend(data));
        out
    }
}

pub fn base() -> BaseModel {
    BaseModel::from_gguf(&Gguf::tiny().bytes()).unwrap()
}

pub fn items(count: usize) -> Vec<Item> {
    (0..count).map(|i| item(&format!("Say {i}."), &format!("It is {}{}.", i % 7, i % 3))).collect()
}

pub fn item(instruction: &str, output: &str) -> Item {
    let row = serde_json::json!({ "instruction": instruction, "output": output }).to_string();
    Item::from_row(row.as_bytes()).unwrap()
}

/// A clock that moves by a fixed time at every look.
pub struct Ticking(pub std::cell::Cell<u64>, pub u64);

impl Clock for Ticking {
    fn elapsed_ms(&self) -> u64 {
        self.0.set(self.0.get() + self.1);
        self.0.get()
    }
}

pub fn still() -> Ticking {
    Ticking(std::cell::Cell::new(0), 0)
}

pub const RECIPE: &str = "schema = 1\n[objective]\nkind = \"sft\"\n[adapter]\nr = 4\n[train]\nsteps = 6\n\
                          window_items = 4\n[optimiser]\nlr = 0.01\n[schedule]\nkind = \"constant\"\nwarmup_ratio = 0\n";

pub fn recipe(text: &str) -> Recipe {
    Recipe::parse(text.as_bytes()).unwrap()
}

/// Trains on the tiny model; events are given back with the result.
pub fn run(recipe_text: &str, items: Vec<Item>, threads: usize) -> (Result<Trained, TrainError>, Vec<Event>) {
    let mut events = Vec::new();
    let recipe = recipe(recipe_text);
    let job = TrainJob {
        base: &base(),
        recipe: &recipe,
        items,
        seed: [5; 32],
        deadline_ms: 1_000_000,
        reserve_ms: 1000,
        threads,
    };
    let result = train(job, &still(), &mut |e| events.push(e));
    (result, events)
}
