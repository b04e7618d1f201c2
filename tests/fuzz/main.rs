//! One target under libFuzzer; `TILTYARD_FUZZ` names it. With `TILTYARD_FUZZ_SEEDS` its seeds and its dictionary are
//! written into that folder, and nothing runs.

#![no_main]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use targets::{TARGETS, Target};

mod targets;

static TARGET: OnceLock<&Target> = OnceLock::new();

fn choose() {
    let name = std::env::var("TILTYARD_FUZZ").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        // What `run.py` asks for first.
        TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.mutated_bytes));
        std::process::exit(0);
    };
    if let Ok(folder) = std::env::var("TILTYARD_FUZZ_SEEDS") {
        let written = write(target, std::path::Path::new(&folder));
        std::process::exit(written.map_or_else(
            |error| {
                eprintln!("{folder}: {error}");
                1
            },
            |()| 0,
        ));
    }
    // Vectors are read and keys are made before the first input, whose time is measured.
    (target.seeds)().iter().take(1).for_each(|seed| (target.run)(seed));
    let _ = TARGET.set(target);
}

fn write(target: &Target, folder: &std::path::Path) -> std::io::Result<()> {
    let seeds = folder.join("seeds");
    std::fs::create_dir_all(&seeds)?;
    for (at, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(seeds.join(format!("{at:03}")), seed)?;
    }
    let words: String = target.words.iter().map(|word| format!("\"{word}\"\n")).collect();
    std::fs::write(folder.join("words"), words)
}

/// Slowest input so far, in microseconds.
static SLOWEST: AtomicU64 = AtomicU64::new(0);

fn timed(target: &Target, data: &[u8]) {
    let micros = || {
        let began = Instant::now();
        (target.run)(data);
        u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
    };
    let took = micros();
    if took > SLOWEST.load(Ordering::Relaxed) {
        // The second time counts if it is less: another program may have had the processor during the first.
        let took = took.min(micros());
        if took > SLOWEST.fetch_max(took, Ordering::Relaxed)
            && let Some(path) = std::env::var_os("TILTYARD_FUZZ_SLOWEST")
        {
            // Only a figure of the report is lost with it.
            let _ = std::fs::write(path, format!("{took} {}", data.len()));
        }
    }
}

// The macro makes the two functions with a C interface that libFuzzer calls.
#[allow(
    unsafe_code,
    reason = "an exported name counts as unsafe; libFuzzer finds its input function by name"
)]
mod entry {
    libfuzzer_sys::fuzz_target!(init: crate::choose(), |data: &[u8]| {
        if let Some(target) = crate::TARGET.get() {
            crate::timed(target, data);
        }
    });
}
