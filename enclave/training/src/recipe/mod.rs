//! Recipes: what an entrant may choose, as TOML of schema 1 (TRAINING 14).
//!
//! A recipe names no file, device, URL or time: those come from the order, and so does the run's seed, which
//! a recipe's own only varies.

mod read;

use crate::data::LossOn;
use crate::{RecipeError, RecipeErrors};
use read::{Errors, Fields};

/// Largest recipe, bytes.
const MAX_RECIPE: usize = 64 << 10;

/// The linear maps of a block that can have an adapter, in the order of their packing.
pub(crate) const TARGETS: [&str; 7] = ["q", "k", "v", "o", "gate", "up", "down"];

/// Scale of an adapter: alpha / r, or alpha / sqrt(r).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lora,
    RsLora,
}

/// What is trained.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdapterChoice {
    pub(crate) kind: Kind,
    pub(crate) rank: usize,
    pub(crate) alpha: u32,
    /// One flag for each of [`TARGETS`].
    pub(crate) targets: [bool; 7],
    /// First and last block, both included; `None` is all.
    pub(crate) layers: Option<(usize, usize)>,
}

/// How long is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    Steps(u32),
    Epochs(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AdamW {
    pub(crate) lr: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    /// Largest gradient norm.
    pub(crate) clip: Option<f64>,
}

/// Shape of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    Constant,
    Linear,
    Cosine,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    pub(crate) curve: Curve,
    pub(crate) warmup_ratio: f64,
    pub(crate) cycles: f64,
    pub(crate) min_ratio: f64,
}

/// A recipe of which every field was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    pub(crate) sha256: [u8; 32],
    pub(crate) loss_on: LossOn,
    pub(crate) adapter: AdapterChoice,
    pub(crate) max_len: usize,
    pub(crate) pack: bool,
    pub(crate) length: Length,
    /// The entrant's own draw of initial values and order; the order's seed decides with it.
    pub(crate) seed: u64,
    pub(crate) micro_tokens: usize,
    pub(crate) window_items: usize,
    pub(crate) optimiser: AdamW,
    pub(crate) schedule: Schedule,
    pub(crate) reserve_s: Option<u64>,
}

impl Recipe {
    /// Parses a recipe; unknown and duplicate fields are refused.
    ///
    /// # Errors
    /// [`RecipeErrors`]: everything that is wrong, each with path, expected and got.
    pub fn parse(text: &[u8]) -> Result<Self, RecipeErrors> {
        let whole = |expected: &str, got: String| {
            RecipeErrors(vec![RecipeError { path: "recipe".into(), expected: expected.into(), got }])
        };
        if text.len() > MAX_RECIPE {
            return Err(whole(&format!("at most {MAX_RECIPE} bytes"), text.len().to_string()));
        }
        let utf8 = std::str::from_utf8(text).map_err(|_| whole("UTF-8 text", "other bytes".into()))?;
        let table: toml::Table =
            toml::from_str(utf8).map_err(|e| whole("TOML with every field once", read::cut(e.message())))?;
        let errors = Errors::default();
        let recipe = Self::read(&Fields::root(&table, &errors), crate::rng::sha256(text));
        let errors = errors.into_inner();
        if errors.is_empty() { Ok(recipe) } else { Err(RecipeErrors(errors)) }
    }

    /// Reads every table; a field that is refused leaves its default, which is never used.
    fn read(root: &Fields<'_>, sha256: [u8; 32]) -> Self {
        root.required_integer("schema", 1..=1);
        let objective = root.table("objective");
        objective.choice("kind", "sft", &[("sft", ())]);
        let sft = objective.table("sft");
        let on =
            [("completion", LossOn::Completion), ("assistant", LossOn::Completion), ("all", LossOn::All)];
        let loss_on = sft.choice("loss_on", "completion", &on);
        sft.end();
        objective.end();
        let base = root.table("base");
        base.choice("hold", "keep", &[("keep", ())]);
        base.end();
        let data = root.table("data");
        let max_len = data.integer("max_len", 1024, 16..=131_072) as usize;
        data.choice("truncate", "keep_start", &[("keep_start", ())]);
        let pack = data.choice("packing", "bfd", &[("bfd", true), ("none", false)]);
        data.choice("template", "model", &[("model", ())]);
        data.end();
        let train = root.table("train");
        let length = read_length(&train);
        let seed = train.integer("seed", 0, 0..=(1 << 53) - 1) as u64;
        let micro_tokens = train.integer("micro_tokens", 8192, 16..=1 << 22) as usize;
        let window_items = train.integer("window_items", 8, 1..=4096) as usize;
        train.choice("recompute", "auto", &[("auto", ()), ("off", ())]);
        train.end();
        let budget = root.table("budget");
        let reserve_s = budget.has("reserve_s").then(|| budget.integer("reserve_s", 180, 30..=3600) as u64);
        budget.end();
        let adapter = read_adapter(&root.table("adapter"));
        let optimiser = read_optimiser(&root.table("optimiser"));
        let schedule = read_schedule(&root.table("schedule"));
        root.end();
        Self {
            sha256,
            loss_on,
            adapter,
            max_len,
            pack,
            length,
            seed,
            micro_tokens,
            window_items,
            optimiser,
            schedule,
            reserve_s,
        }
    }
}

fn read_length(train: &Fields<'_>) -> Length {
    let epochs = train.number("epochs", 1.0, "0 < epochs <= 100", |v| v > 0.0 && v <= 100.0);
    if !train.has("steps") {
        return Length::Epochs(epochs);
    }
    if train.has("epochs") {
        train.refuse("epochs", "either steps or epochs", "both");
    }
    Length::Steps(train.integer("steps", 1, 1..=1_000_000) as u32)
}

fn read_adapter(fields: &Fields<'_>) -> AdapterChoice {
    let kind = fields.choice("kind", "lora", &[("lora", Kind::Lora), ("rslora", Kind::RsLora)]);
    let rank = fields.integer("r", 8, 1..=512) as usize;
    let alpha = fields.integer("alpha", 16, 1..=4096) as u32;
    fields.number("dropout", 0.0, "dropout = 0", |v| v == 0.0);
    fields.choice("save", "f32", &[("f32", ())]);
    let targets = fields.set("targets", &TARGETS);
    let layers = fields.pair("layers", 0..=65_535);
    fields.end();
    AdapterChoice { kind, rank, alpha, targets, layers }
}

fn read_optimiser(fields: &Fields<'_>) -> AdamW {
    fields.choice("kind", "adamw", &[("adamw", ())]);
    let unit = |v: f64| (0.0..1.0).contains(&v);
    let optimiser = AdamW {
        lr: fields.number("lr", 2e-4, "0 < lr <= 1", |v| v > 0.0 && v <= 1.0),
        beta1: fields.number("beta1", 0.9, "0 <= beta1 < 1", unit),
        beta2: fields.number("beta2", 0.999, "0 <= beta2 < 1", unit),
        eps: fields.number("eps", 1e-8, "0 < eps <= 0.1", |v| v > 0.0 && v <= 0.1),
        weight_decay: fields
            .number("weight_decay", 0.01, "0 <= weight_decay <= 1", |v| (0.0..=1.0).contains(&v)),
        clip: match fields.text_is("clip", "none") {
            true => None,
            false => {
                Some(fields.number("clip", 1.0, "0 < clip <= 100 or \"none\"", |v| v > 0.0 && v <= 100.0))
            }
        },
    };
    fields.end();
    optimiser
}

fn read_schedule(fields: &Fields<'_>) -> Schedule {
    let curves = [("constant", Curve::Constant), ("linear", Curve::Linear), ("cosine", Curve::Cosine)];
    let schedule = Schedule {
        curve: fields.choice("kind", "cosine", &curves),
        warmup_ratio: fields
            .number("warmup_ratio", 0.03, "0 <= warmup_ratio <= 0.5", |v| (0.0..=0.5).contains(&v)),
        cycles: fields.number("cycles", 0.5, "0 < cycles <= 100", |v| v > 0.0 && v <= 100.0),
        min_ratio: fields.number("min_ratio", 0.0, "0 <= min_ratio <= 1", |v| (0.0..=1.0).contains(&v)),
    };
    fields.end();
    schedule
}
