//! What a person sees, or a program reads: the same facts as lines or as JSON events.

use std::time::Instant;

use serde_json::{Value, json};

/// How the demo tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoOutput {
    Text,
    Json,
}

/// Prints as it goes, and remembers how long each step took.
pub struct Show {
    output: DemoOutput,
    steps: Vec<(&'static str, Instant)>,
}

impl Show {
    pub fn new(output: DemoOutput) -> Self {
        Self { output, steps: Vec::new() }
    }

    /// A new step begins.
    pub fn step(&mut self, name: &'static str, what: &str) {
        self.steps.push((name, Instant::now()));
        match self.output {
            DemoOutput::Text => println!("\n== {name}: {what}"),
            DemoOutput::Json => self.event(&json!({"event": "step", "name": name, "what": what})),
        }
    }

    /// One fact: `text` for a person, `event` for a program.
    pub(crate) fn fact(&self, text: &str, event: &Value) {
        match self.output {
            DemoOutput::Text => println!("{text}"),
            DemoOutput::Json => self.event(event),
        }
    }

    /// A fact that a person would find noise.
    pub(crate) fn fact_for_programs(&self, event: &Value) {
        if self.output == DemoOutput::Json {
            self.event(event);
        }
    }

    pub(crate) fn is_text(&self) -> bool {
        self.output == DemoOutput::Text
    }

    /// Where the time went.
    pub(crate) fn times(&self, started: Instant) {
        let now = Instant::now();
        let ends = self.steps.iter().skip(1).map(|(_, begun)| *begun).chain([now]);
        let spent: Vec<(&str, f64)> = self
            .steps
            .iter()
            .zip(ends)
            .map(|((name, begun), end)| (*name, end.duration_since(*begun).as_secs_f64()))
            .collect();
        let all = now.duration_since(started).as_secs_f64();
        match self.output {
            DemoOutput::Text => {
                println!("\n== time");
                for (name, seconds) in spent {
                    println!("  {name:<12} {seconds:7.1} s");
                }
                println!("  {:<12} {all:7.1} s", "in all");
            }
            DemoOutput::Json => {
                let steps: Vec<Value> = spent
                    .iter()
                    .map(|(name, seconds)| json!({"name": name, "ms": millis(*seconds)}))
                    .collect();
                self.event(&json!({"event": "times", "steps": steps, "ms": millis(all)}));
            }
        }
    }

    fn event(&self, event: &Value) {
        println!("{event}");
    }
}

fn millis(seconds: f64) -> u64 {
    // A duration of this process: positive and far below 2^53 milliseconds.
    (seconds * 1000.0) as u64
}
