//! Rules, record and replay of a tournament: pure, integer, exact.
//!
//! The referee drives a [`Conductor`] with what happens (entries, orders, outcomes) and appends the leaves
//! it gives; an auditor hands the same leaves to [`replay`], which makes every derived leaf again and
//! compares it byte for byte. This crate has no clock, no randomness, no I/O and no floats; times arrive
//! with the inputs, and draws come from a seed that is committed to before entries close.
//!
//! ```
//! use tiltyard_tournament::{Conductor, DrawSeed, Rulebook, Setup, UnixSeconds, preset};
//!
//! let rulebook = preset("seed")?.to_vec();
//! assert_eq!(Rulebook::parse(&rulebook)?.boss.tasks, 6);
//! let seed = DrawSeed::new([7; 32]);
//! let setup = Setup {
//!     tournament: "spring".into(),
//!     rulebook,
//!     datasets: vec!["support-tickets".into()],
//!     charter: [1; 32],
//!     cap_bits: 16_384,
//! };
//! let mut conductor = Conductor::open(setup, UnixSeconds(1_700_000_000), seed.commitment())?;
//! assert_eq!(conductor.take_leaves().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::float_arithmetic)]

pub mod conductor;
pub mod draw;
pub mod entries;
pub mod fixtures;
pub mod ids;
pub mod points;
pub mod record;
pub mod replay;
pub mod rounds;
pub mod rulebook;
pub mod score;
pub mod units;
pub mod verdict;

mod boss;
mod ledger;

pub use boss::{AfterBoss, Archived, Boss, BossCount, Decided, Standing, TitleResult};
pub use conductor::{Conductor, Progress, Setup, TaskWork};
pub use draw::{DrawCommitment, DrawKey, DrawSeed};
pub use entries::{Entries, Entry, EntryRefused, Opened, Title};
pub use ids::{Digest, EntrantId, Label, SubmissionId};
pub use record::{
    BaseScore, BootBody, EvaluateOutcome, LeaseId, OrderBody, OrderRole, ScoreRow, Status, TrainOutcome,
};
pub use replay::{Divergence, Replayed, replay, resume};
pub use rulebook::{Rulebook, preset};
pub use score::{OutputBudget, score_losses};
pub use units::{Disclosed, Micro, Minor, Ppm, UnixSeconds};
