//! Training and evaluation beside candle: only the training package may name candle, so its example runs both.

use std::error::Error;
use std::process::{Command, Stdio};

use crate::measure::{Row, Samples};

const FIGURE: &str = "training and evaluation of the real base model";

/// With one thread and with two, each in a process of its own: candle's thread pool is made once.
pub(crate) fn model() -> Result<Vec<Row>, Box<dyn Error>> {
    let skipped = |why: String| vec![Row::Skipped { figure: FIGURE.into(), why }];
    let example = std::env::current_exe()?.with_file_name("examples").join("versus_candle");
    if !example.exists() {
        let why = "run `cargo build -p tiltyard-training --example versus_candle` first";
        return Ok(skipped(why.into()));
    }
    let mut rows = Vec::new();
    for threads in ["1", "2"] {
        let run =
            Command::new(&example).env("RAYON_NUM_THREADS", threads).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8(run.stdout)?;
        if !run.status.success() {
            return Ok(skipped(format!("versus_candle ended with {}", run.status)));
        }
        if let Some(why) = text.strip_prefix("SKIPPED: ") {
            return Ok(skipped(why.trim().into()));
        }
        for line in text.lines() {
            rows.push(serde_json::from_str::<Samples>(line)?.row());
        }
    }
    Ok(rows)
}
