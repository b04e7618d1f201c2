//! One target under libFuzzer; `TILTYARD_FUZZ` names it. With `TILTYARD_FUZZ_SEEDS` its seeds, its costly inputs and its
//! dictionary are written into that folder, and nothing runs.

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
    for (name, inputs) in [("seeds", (target.seeds)()), ("costly", (target.costly)())] {
        let inner = folder.join(name);
        std::fs::create_dir_all(&inner)?;
        for (at, input) in inputs.iter().enumerate() {
            std::fs::write(inner.join(format!("{at:03}")), input)?;
        }
    }
    let words: String = target.words.iter().map(|word| format!("\"{word}\"\n")).collect();
    std::fs::write(folder.join("words"), words)
}

/// Processor time of the slowest input so far, in microseconds.
static SLOWEST: AtomicU64 = AtomicU64::new(0);

fn timed(target: &Target, data: &[u8]) {
    let began = Instant::now();
    (target.run)(data);
    let wall = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    if wall > SLOWEST.load(Ordering::Relaxed) {
        // Other programs may have had the processor: now count what this one had of it.
        let began = processor_micros();
        (target.run)(data);
        let took = processor_micros().saturating_sub(began);
        if took > SLOWEST.fetch_max(took, Ordering::Relaxed)
            && let Some(path) = std::env::var_os("TILTYARD_FUZZ_SLOWEST")
        {
            // Only a figure of the report is lost with them.
            let _ = std::fs::write(&path, took.to_string());
            path.into_string().map(|path| std::fs::write(path + "-input", data)).ok();
        }
    }
}

/// Time that this thread has had on a processor, as Linux counts it.
fn processor_micros() -> u64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    counted.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default() / 1000
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
