//! The product's figures, each beside a named peer on the same bytes in the same run.
//!
//! Legs take turns round by round, so that a busy machine slows all alike; the ratio is the median over rounds.
//! Nothing fails here on a figure: a shared machine decides too much. Missed targets are named.

#![allow(clippy::unwrap_used, reason = "of the bundle builder that the audit's tests share")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use measure::{Bound, Peer, Row, Spread};
use serde::Serialize;

mod appraisal;
mod audit;
#[allow(dead_code, reason = "the audit's tests share it")]
#[path = "../e2e/audit/bundle.rs"]
mod bundle;
mod files;
mod measure;
#[allow(dead_code, reason = "the audit's tests share it")]
#[path = "../e2e/audit/play.rs"]
mod play;
mod sealing;
mod training;

/// Times what Tiltyard does beside named peers. Run it from the repository's root.
#[derive(Parser)]
struct Args {
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Writes the JSON there too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only the groups whose name holds this text.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

type Group = (&'static str, fn() -> Result<Vec<Row>, Box<dyn Error>>);

const GROUPS: [Group; 10] = [
    ("container", sealing::container),
    ("container-files", files::rows),
    ("release", sealing::release),
    ("log", sealing::log),
    ("appraisal-snp", appraisal::snp::rows),
    ("appraisal-tdx", appraisal::tdx::rows),
    ("appraisal-gpu", appraisal::gpu::rows),
    ("appraisal-composite", appraisal::composite::rows),
    ("audit", audit::rows),
    ("training", training::model),
];

#[derive(Serialize)]
struct Report {
    cpu: String,
    cores: usize,
    profile: &'static str,
    /// 1, 5 and 15 minutes, before and after.
    load_average: [String; 2],
    seconds: f64,
    rows: Vec<Row>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (start, before) = (Instant::now(), load_average());
    let mut rows = Vec::new();
    let chosen = |name: &str| args.only.as_deref().is_none_or(|only| name.contains(only));
    for (name, run) in GROUPS.iter().filter(|(name, _)| chosen(name)) {
        eprint!("tiltyard-bench: {name} ... ");
        let start = Instant::now();
        rows.extend(run().map_err(|error| format!("{name}: {error}"))?);
        eprintln!("{:.1} s", start.elapsed().as_secs_f64());
    }
    let report = Report {
        cpu: cpu_model(),
        cores: std::thread::available_parallelism()?.get(),
        profile: "dev (dependencies, attestation and training opt-level 3, the rest 1)",
        load_average: [before, load_average()],
        seconds: start.elapsed().as_secs_f64(),
        rows,
    };
    let json = serde_json::to_string_pretty(&report)?;
    if let Some(file) = args.json {
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&file, &json).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    match args.output {
        Output::Json => println!("{json}"),
        Output::Text => print(&report),
    }
    Ok(())
}

fn print(report: &Report) {
    let [before, after] = &report.load_average;
    println!("cpu           {}, {} cores", report.cpu, report.cores);
    println!("profile       {}", report.profile);
    println!("load average  {before} before, {after} after");
    if busy(report) {
        println!("BUSY          more work than cores: figures are low, and those of two threads say little");
    }
    println!("ratio         peer's time by ours, median of paired rounds: above 1, Tiltyard is faster");
    for row in &report.rows {
        match row {
            Row::Skipped { figure, why } => println!("\n{figure}\n  SKIPPED: {why}"),
            Row::Measured { figure, unit, ours, checks, limit, peers } => {
                println!("\n{figure} [{unit}], {} rounds", ours.rounds);
                println!("  {}  Tiltyard{}", figures(ours), bound(limit.as_ref(), "limit "));
                detail(checks);
                for Peer { name, figures: theirs, checks, ratio, ratio_of_bests, target } in peers {
                    println!("  {}  {name}", figures(theirs));
                    detail(checks);
                    let target = bound(target.as_ref(), "target ≥ ");
                    println!("{:INDENT$}ratio {ratio:.2} (best rounds {ratio_of_bests:.2}){target}", "");
                }
            }
        }
    }
    println!("\n{:.0} s in all", report.seconds);
}

/// Whether others had work for a core of their own when this began.
fn busy(report: &Report) -> bool {
    let last_minute = report.load_average[0].split(' ').next().and_then(|load| load.parse::<f64>().ok());
    last_minute.is_some_and(|load| load + 1.0 > report.cores as f64)
}

fn figures(spread: &Spread) -> String {
    let [p50, p95, best] = [spread.p50, spread.p95, spread.best].map(|figure| match figure {
        small if small < 10.0 => format!("{small:.2}"),
        large => format!("{large:.0}"),
    });
    format!("p50 {p50:>7}  p95 {p95:>7}  best {best:>7}")
}

/// What a leg's work is, under its name.
fn detail(checks: &str) {
    if !checks.is_empty() {
        println!("{:INDENT$}{checks}", "");
    }
}

fn bound(bound: Option<&Bound>, word: &str) -> String {
    match bound {
        None => String::new(),
        Some(Bound { value, holds: true }) => format!(", {word}{value}: holds"),
        Some(Bound { value, holds: false }) => format!(", {word}{value}: MISSED"),
    }
}

/// Where names begin in the table.
const INDENT: usize = 44;

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model).to_owned()
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
