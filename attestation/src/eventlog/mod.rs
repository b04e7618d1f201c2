//! The event log of a confidential guest's boot (TCG PC Client Platform Firmware Profile 1.06, section 10; UEFI 2.10
//! section 38.4, `EFI_CC_EVENT`; ACPI 6.5 section 5.2.34, CCEL).
//!
//! [`EventLog::parse`] reads the log's area, [`EventLog::replay`] gives the registers that it comes to. Replay shows
//! no more than that these digests were extended: what they stand for is on the image's list.

mod acpi;
mod data;
mod log;

pub use acpi::{CCEL_TABLE_LEN, CcelTable, CcelTableError};
pub use data::DataState;
pub use log::{EVENT_LOG_MAX_BYTES, EVENTS_MAX, Event, EventLog, EventLogError, EventType, RTMRS};
