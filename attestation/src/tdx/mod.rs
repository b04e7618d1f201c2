//! Intel TDX quotes (DCAP, versions 4 and 5; TDX ABI 348551; PCS API v4).
//!
//! [`Quote::parse`] reads the structure, [`Authority::authenticate`] proves who signed the received
//! bytes and what Intel's collateral says of them, and [`Demands::judge`] holds the signed facts against policy and
//! reference values.

mod authentic;
mod body;
mod documents;
mod endorsed;
mod files;
mod guest;
mod json;
mod pck;
mod pem;
mod platform;
mod qe;
mod quote;
mod tcb;

pub use authentic::{AuthenticQuote, Authority, PckChainError};
pub use documents::DocumentError;
pub use endorsed::CollateralError;
pub use files::{COLLATERAL_FILE_MAX_BYTES, CollateralFileError, PcsAnswers};
pub(crate) use files::{certificates, period};
pub use json::JsonError;
pub use pck::PckError;
pub use pem::PemError;
pub use platform::Demands;
pub use quote::{QUOTE_MAX_BYTES, Quote, QuoteError, declared_len};
pub use tcb::{TcbGap, When};
