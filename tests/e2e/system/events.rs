//! What the host agent tells of itself, read back from its JSON lines.

use std::time::{Duration, Instant};

use serde_json::Value;
use tiltyard_host::demo::Layout;

const POLL: Duration = Duration::from_millis(20);

/// All events so far; a line that is still being written is left for later.
pub fn events(layout: &Layout) -> Vec<Value> {
    let text = std::fs::read_to_string(layout.events()).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for an event.
pub async fn event(layout: &Layout, wait: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        if let Some(event) = events(layout).into_iter().find(|event| wanted(event)) {
            return event;
        }
        assert!(begun.elapsed() < wait, "the event did not come: {:#?}", events(layout));
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a trainer says that it trains.
pub fn trainer_runs(event: &Value) -> bool {
    event["event"] == "state" && event["role"] == "trainer" && event["state"] == "running"
}

/// Process ids of all guests that were started.
pub fn guests(layout: &Layout) -> Vec<u32> {
    let pid = |event: &Value| u32::try_from(event["pid"].as_u64()?).ok();
    events(layout).iter().filter(|event| event["event"] == "guest_started").filter_map(pid).collect()
}
