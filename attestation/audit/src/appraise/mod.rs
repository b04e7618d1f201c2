//! Evidence by itself: the check table of one report, quote or device, and what it proves in prose.

mod anchors;
mod args;
mod collateral;
mod explain;
mod page;
mod read;
mod table;

pub(crate) use args::{InputError, LowEvidence, now, time};
pub(crate) use collateral::LowCollateral;
pub(crate) use explain::explain;
pub(crate) use page::html;
pub(crate) use read::{FileError, Input};
pub(crate) use table::{Examined, text};
