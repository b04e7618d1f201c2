//! Collateral files, each told by its content.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tiltyard_attestation::collateral::{Bundle, ItemKind};
use tiltyard_attestation::tdx::{self, Answer};
use tiltyard_attestation::{Collateral, Hex, TdxCollateral};

use super::args::InputError;
use super::read::Input;

/// Collateral as it was given, in the verifier's order.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) collateral: Collateral,
    answers: tdx::Answers,
}
