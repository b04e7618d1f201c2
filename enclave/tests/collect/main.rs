//! Collection over folders, devices and libraries that stand for a guest's hardware.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod choice;
mod genuine;
mod gpus;
mod kernel;
#[cfg(feature = "gpu")]
mod nvml;
mod reader;
mod snp;
mod tdx;
mod tsm;
