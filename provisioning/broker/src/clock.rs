//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds; 0 when the machine's clock stands before 1970, which no charter window admits.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
