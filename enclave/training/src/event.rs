//! What a run tells while it goes on: numbers, never text.

/// Time since the guest's own start; the caller owns the clock.
pub trait Clock {
    /// Milliseconds since a fixed point of the caller's choice; never falls.
    fn elapsed_ms(&self) -> u64;
}

/// One thing that happened in a run. Micro is 1e-6, nano is 1e-9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The items are tokenised and the plan is made.
    Started {
        /// Parameters of the base.
        parameters: u64,
        /// Parameters that are trained.
        trainable: u64,
        /// Tokens of all items that are used.
        tokens: u64,
        /// Items without a label after truncation, left out.
        dropped: u64,
        /// Steps planned.
        steps: u32,
    },
    /// The start-up gradient check passed.
    Checked {
        /// Milliseconds on the caller's clock.
        elapsed_ms: u64,
    },
    /// One optimiser step.
    Step {
        /// From 1.
        step: u32,
        /// Mean loss per label, 1e-6 nat.
        loss_micro: i64,
        /// Gradient norm before clipping, 1e-6.
        grad_norm_micro: i64,
        /// Learning rate, 1e-9.
        lr_nano: i64,
        /// Tokens of this step's window.
        tokens: u64,
        /// Milliseconds on the caller's clock.
        elapsed_ms: u64,
    },
    /// A step whose loss or gradient wasn't finite; the weights didn't change.
    SkippedStep {
        /// From 1.
        step: u32,
    },
    /// The artefact is made.
    Finished {
        /// Steps done.
        steps: u32,
        /// Milliseconds on the caller's clock.
        elapsed_ms: u64,
    },
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All planned steps were done.
    Completed,
    /// The next step might have passed the deadline less the reserve.
    Deadline,
}
