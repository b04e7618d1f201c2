//! One training job: items in, artefact out.

mod gradcheck;
mod optimiser;
mod schedule;
mod steps;
mod train;
mod variables;
mod windows;

pub use gradcheck::{Loss, Slope, Want, gradient_self_check};
pub use train::{TrainJob, Trained, train};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Most threads of a run.
const MAX_THREADS: usize = 256;
/// Walking the graph of operations recurses once a node.
const STACK_BYTES: usize = 64 << 20;

/// The run's own threads; the global pool is never used.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool, String> {
    if !(1..=MAX_THREADS).contains(&threads) {
        return Err(format!("expected 1 to {MAX_THREADS}, got {threads}"));
    }
    ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES).build().map_err(|e| e.to_string())
}
