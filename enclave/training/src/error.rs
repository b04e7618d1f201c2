//! What can go wrong, one enum per operation; no variant carries text of an item.

use thiserror::Error;

/// A base model was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes aren't the format that the loader reads.
    #[error("GGUF: expected {expected}, got {got}\ncheck that the file arrived whole and is a GGUF v3 file")]
    Malformed {
        /// What the format requires.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A size is over the loader's limit.
    #[error(
        "GGUF: {what} is {got}, over the limit of {limit}\nuse a base model within the limits of TRAINING 7"
    )]
    Limit {
        /// The bounded quantity.
        what: &'static str,
        /// Its bound.
        limit: u64,
        /// Its value in the file.
        got: u64,
    },
    /// A well-formed model of a kind that isn't trained here.
    #[error("unsupported model: {field} is {got}\nuse a base model of a supported architecture")]
    Unsupported {
        /// The metadata key or tensor that decides.
        field: String,
        /// Its value.
        got: String,
    },
    /// A tensor or metadata key is absent, doubled or of the wrong shape.
    #[error(
        "model: {field}: expected {expected}, got {got}\nthe file isn't a complete model of its architecture"
    )]
    Inconsistent {
        /// The tensor or metadata key.
        field: String,
        /// What the architecture needs.
        expected: String,
        /// What the file has.
        got: String,
    },
    /// A weight isn't a finite number.
    #[error("model: tensor {tensor} holds a value that isn't finite\nthe file is damaged: fetch it again")]
    NotFinite {
        /// The tensor.
        tensor: String,
    },
}

/// One field of a recipe was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: expected {expected}, got {got}")]
pub struct RecipeError {
    /// Dotted path of the field.
    pub path: String,
    /// The allowed values.
    pub expected: String,
    /// The value found, cut to 64 characters.
    pub got: String,
}

/// Everything that is wrong with a recipe, in the order of the file's tables.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} in the recipe:\n{}\ncorrect every line above and submit again", count(.0.len()), lines(.0))]
pub struct RecipeErrors(pub Vec<RecipeError>);

fn count(errors: usize) -> String {
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
}

fn lines(errors: &[RecipeError]) -> String {
    errors.iter().map(|e| format!("  {e}")).collect::<Vec<_>>().join("\n")
}

/// A row isn't an item; the row's text is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The row isn't one JSON object with exactly the fields of its kind.
    #[error(
        "row: expected an object with the texts instruction and output, and optionally input and system\nmap the data set's columns to these names when sealing"
    )]
    Fields,
    /// The row is over the limit.
    #[error("row: expected at most {limit} bytes, got {got}\nsplit or leave out the row when sealing")]
    TooLong {
        /// Most bytes of one row.
        limit: usize,
        /// Bytes of this row.
        got: usize,
    },
}

/// An operation on tensors was asked for what it can't do; a fault of this package, not of its input.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpError {
    /// Shapes don't fit the operation.
    #[error("{op}: expected shape {expected}, got {got}\nthis is a fault of the program: report it")]
    Shape {
        /// The operation.
        op: &'static str,
        /// What it needs.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// The gradient of an operation was asked for twice, or without a forward pass.
    #[error("{op}: the stored intermediate was already used\nthis is a fault of the program: report it")]
    Spent {
        /// The operation.
        op: &'static str,
    },
    /// The tensor library refused.
    #[error("tensor operation failed: {0}\nthis is a fault of the program: report it")]
    Tensor(#[from] candle_core::Error),
}

/// The gradients aren't those of the loss; the job is refused before its first step (TRAINING 2).
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum GradientCheck {
    /// A trainable variable has no gradient.
    #[error("gradient check: {variable} has no gradient\na detached operation cut the graph: report it")]
    Missing {
        /// The variable.
        variable: String,
    },
    /// A gradient isn't finite.
    #[error(
        "gradient check: the gradient of {variable} isn't finite\nlower optimiser.lr or check the base model"
    )]
    NotFinite {
        /// The variable.
        variable: String,
    },
    /// A gradient is zero everywhere.
    #[error(
        "gradient check: the gradient of {variable} is zero\na detached operation cut the graph: report it"
    )]
    Zero {
        /// The variable.
        variable: String,
    },
    /// A gradient exists for something that isn't trained.
    #[error(
        "gradient check: {got} gradients for {expected} trainable variables\na frozen tensor was made trainable: report it"
    )]
    Unexpected {
        /// Trainable variables.
        expected: usize,
        /// Gradients of variables found.
        got: usize,
    },
    /// The gradient along a direction isn't the slope of the loss there.
    #[error(
        "gradient check: slope of the loss {expected}, gradient {got}\nan operation's backward is wrong: report it"
    )]
    Mismatch {
        /// (L(p+hd) - L(p-hd)) / 2h.
        expected: f64,
        /// g . d.
        got: f64,
    },
}

/// A training job ended without an artefact.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// No item has a label to learn from.
    #[error(
        "no item has a label left (items {items}, dropped {dropped})\ncheck data.max_len and that the outputs aren't empty"
    )]
    NoLabels {
        /// Items given.
        items: usize,
        /// Items dropped: too long a prompt, or an empty output.
        dropped: usize,
    },
    /// The recipe doesn't fit the base model.
    #[error("recipe: {0}\nchoose values that the base model has")]
    Recipe(RecipeError),
    /// Too little time is left for the reserve and a few steps.
    #[error("time: need {need_ms} ms, have {have_ms} ms\nlower budget.reserve_s or order a longer run")]
    BudgetTooShort {
        /// The reserve and three steps.
        need_ms: u64,
        /// Time to the deadline.
        have_ms: u64,
    },
    /// The gradients were refused.
    #[error(transparent)]
    GradientCheck(#[from] GradientCheck),
    /// The loss or gradient wasn't finite in three steps in a row, or a weight isn't.
    #[error("training diverged at step {step}\nlower optimiser.lr, or set optimiser.clip")]
    Diverged {
        /// The step, from 1.
        step: u32,
    },
    /// A fault of the program.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The run's own threads couldn't be started.
    #[error("threads: {0}\nlower the number of threads")]
    Threads(String),
}

/// An artefact was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArtefactError {
    /// The blob or the safetensors file isn't well formed.
    #[error(
        "artefact: expected {expected}, got {got}\nonly safetensors adapters made by a trainer guest are read"
    )]
    Malformed {
        /// What the format requires.
        expected: String,
        /// What was found.
        got: String,
    },
    /// More bytes than the order allows.
    #[error("artefact: expected at most {limit} bytes, got {got}\nlower adapter.r or adapter.targets")]
    TooLarge {
        /// The order's limit.
        limit: u64,
        /// The artefact's size.
        got: u64,
    },
    /// The adapter's configuration was refused.
    #[error(
        "adapter_config.json: {field}: expected {expected}, got {got}\nuse a plain LoRA or rsLoRA adapter"
    )]
    Config {
        /// The field.
        field: String,
        /// What is allowed.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A tensor is absent, extra, or of another shape or type than the base needs.
    #[error(
        "artefact: tensor {tensor}: expected {expected}, got {got}\nthe adapter doesn't fit the base model"
    )]
    Tensor {
        /// The tensor's name, cut to 128 characters.
        tensor: String,
        /// What the base and the configuration need.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A weight isn't finite.
    #[error(
        "artefact: tensor {tensor} holds a value that isn't finite\ntrain again with a lower optimiser.lr"
    )]
    NotFinite {
        /// The tensor's name.
        tensor: String,
    },
    /// No weight differs from the base by a relative Frobenius norm of 1e-6.
    #[error(
        "artefact: not fine-tuned: every weight equals the base's to 1e-6\ntrain for at least one step with optimiser.lr above zero"
    )]
    NotFineTuned,
}

/// An evaluation ended without values.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The sequence length is out of the model's range.
    #[error(
        "evaluation: max_len: expected 16 to {limit}, got {got}\nuse a length that the base model supports"
    )]
    MaxLen {
        /// The model's context.
        limit: usize,
        /// The length asked for.
        got: usize,
    },
    /// A fault of the program.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The run's own threads couldn't be started.
    #[error("threads: {0}\nlower the number of threads")]
    Threads(String),
}
