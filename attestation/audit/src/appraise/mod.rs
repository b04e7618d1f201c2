//! Evidence by itself: the check table of one report, quote or device, and what it proves in prose.

mod anchors;
mod args;
mod collateral;
mod error;
mod examined;
mod explain;
mod form;
mod page;
mod read;
mod table;
mod wrapped;

pub(crate) use args::{LowEvidence, now, time};
pub(crate) use collateral::LowCollateral;
pub(crate) use error::InputError;
pub(crate) use explain::{Explained, explain};
pub(crate) use form::is_archive;
pub(crate) use page::html;
pub(crate) use read::{FileError, Input, other_kind, read};
pub(crate) use table::{Table, text};
