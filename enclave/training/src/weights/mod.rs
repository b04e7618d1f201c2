//! Reading weights: GGUF v3, and the quantised blocks that stay quantised in memory.

pub(crate) mod frozen;
pub(crate) mod gguf;
