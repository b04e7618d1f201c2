//! Reference integrity manifests through the public API: NVIDIA's own, and manifests minted under a root
//! of our own for what no genuine one shows.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "a panic is a failure; rows are tuples")]

mod device;
mod fixture;
mod genuine;
mod limits;
mod matching;
mod ocsp;
mod signature;
mod tag;
