//! AMD SEV-SNP attestation reports (SNP ABI 56860; endorsement keys 57230).
//!
//! [`Report::parse`] reads the structure, [`authenticate`] proves who signed the received bytes, and
//! [`Demands::judge`] holds the signed facts against policy and reference values.

mod authentic;
mod candidates;
mod guest;
mod platform;
mod report;
mod table;

pub(crate) use authentic::endorse;
pub use authentic::{AuthenticReport, authenticate};
pub(crate) use candidates::chain_of;
pub use candidates::pick_chain;
pub use platform::Demands;
pub use report::{REPORT_LEN, Report};
pub use table::{TABLE_ROWS_MAX, TableError, certificates_of_table, is_certificate_table};
