//! The running tournament: the referee watched through its attested API.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::parties::{answer, write};
use super::services::Services;
use super::show::Show;
use super::story::Story;
use super::{DemoError, Layout};

const POLL: Duration = Duration::from_millis(500);

/// What the tournament left.
pub struct Outcome {
    pub standings: Value,
    pub tournament: Value,
}

/// Follows the log through the attested API until the record is signed; keeps the bundle.
pub async fn watch(layout: &Layout, services: &mut Services, show: &mut Show) -> Result<Outcome, DemoError> {
    let begun = Instant::now();
    let mut seen: usize = 0;
    let mut story = Story::default();
    loop {
        if let Some(status) = services.agent_ended() {
            return Err(DemoError::Undecided(format!(
                "the host agent ended early: {status}; see host.events.jsonl"
            )));
        }
        if begun.elapsed() > layout.scenario().patience {
            return Err(DemoError::Undecided("it took too long; see host.events.jsonl".to_owned()));
        }
        let path = match seen.checked_sub(1) {
            Some(last) => format!("/v1/log/entries?limit=100&after={last}"),
            None => "/v1/log/entries?limit=100".to_owned(),
        };
        if let Ok(page) = services.get(&path).await
            && page.status == 200
        {
            for leaf in parse(&page.body)?["data"].as_array().into_iter().flatten() {
                seen += 1;
                story.tell(leaf, show);
            }
        }
        if services.get("/v1/record").await.is_ok_and(|record| record.status == 200) {
            break;
        }
        sleep(POLL).await;
    }
    write(&layout.path("bundle.tar"), &expect(services, "/v1/bundle").await?)?;
    write(&layout.path("standings.html"), &expect(services, "/").await?)?;
    Ok(Outcome {
        standings: parse(&expect(services, "/v1/standings").await?)?,
        tournament: parse(&expect(services, "/v1/tournament").await?)?,
    })
}

async fn expect(services: &Services, path: &str) -> Result<Vec<u8>, DemoError> {
    let got = services.get(path).await?;
    if got.status == 200 {
        return Ok(got.body);
    }
    Err(answer(path, &format!("{}: {}", got.status, String::from_utf8_lossy(&got.body))))
}

fn parse(body: &[u8]) -> Result<Value, DemoError> {
    serde_json::from_slice(body).map_err(|error| answer("attested API", &error.to_string()))
}
