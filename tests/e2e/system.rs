//! The whole system, as people run it: every party and every guest a process of its own, the real model, real rows.
//!
//! One small tournament is played once and shared by the cases that only look at it; those that break something
//! play their own. The cases take turns, as each uses the whole machine.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "system/canaries.rs"]
mod canaries;
#[path = "system/decided.rs"]
mod decided;
#[path = "system/disk.rs"]
mod disk;
#[path = "system/events.rs"]
mod events;
#[path = "system/killed.rs"]
mod killed;
#[path = "system/owner.rs"]
mod owner;
#[path = "system/plaintext.rs"]
mod plaintext;
#[path = "system/processes.rs"]
mod processes;
#[path = "system/scenario.rs"]
mod scenario;
#[path = "system/scores.rs"]
mod scores;
#[path = "system/whole.rs"]
mod whole;
