//! Datasets: source rows -> canonical rows -> secret train/test split -> sealed shards and two manifests, and
//! back inside a guest (PROVISIONING 2).
//!
//! The split is drawn from a seed that only the test key opens; its commitment stands in both manifests.
//! Equal rows, and equal groups, never fall on both sides.

mod index;
mod json;
mod mapping;
mod open;
mod rows;
mod seal;
mod shard;
mod source;
mod split;

pub use mapping::{Fields, Mapping};
pub use open::{OPEN_MAX_BYTES, OpenError, OpenedSplit, open_split};
pub use rows::{
    DATASET_MAX_BYTES, LINE_MAX_BYTES, PROBLEMS_LISTED, ROW_MAX_BYTES, ROWS_MAX, Report, Row, RowError,
    RowProblem, Rows,
};
pub use seal::{
    Layout, PrevManifests, SHARD_BYTES, SealError, SealKeys, SealParams, SealedDataset, SealedSplit,
    seal_dataset,
};
pub use source::{Format, read_rows};
pub use split::{SplitEmpty, SplitSeed, loss_leaf, losses_root};
