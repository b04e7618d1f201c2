//! Speed of loading, training and evaluating on the real base model and real rows.
//!
//! Prints one line a measurement; without the inputs, says so and ends.

use std::path::PathBuf;
use std::time::Instant;
use tiltyard_training::{
    Adapter, BaseModel, Clock, Evaluation, Event, Item, Recipe, TrainJob, Trained, instruction_set, train,
};

struct Since(Instant);

impl Clock for Since {
    fn elapsed_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

fn inputs() -> Option<PathBuf> {
    let under = |name: &str, rest: &str| std::env::var_os(name).map(|d| PathBuf::from(d).join(rest));
    under("TILTYARD_INPUTS", "")
        .or_else(|| under("XDG_CACHE_HOME", "tiltyard/inputs"))
        .or_else(|| under("HOME", ".cache/tiltyard/inputs"))
}

fn rows(text: &str, from: usize, count: usize) -> Result<Vec<Item>, tiltyard_training::ItemError> {
    text.lines().skip(from).step_by(17).take(count).map(|line| Item::from_row(line.as_bytes())).collect()
}

fn run(
    base: &BaseModel,
    text: &str,
    layers: &str,
    threads: usize,
    steps: u32,
) -> Result<Trained, Box<dyn std::error::Error>> {
    let recipe = format!(
        "schema = 1\n[objective]\nkind = \"sft\"\n[adapter]\nr = 8\n{layers}\n[train]\nsteps = {steps}\n\
         [optimiser]\nlr = 1e-3\n"
    );
    let recipe = Recipe::parse(recipe.as_bytes())?;
    let job = TrainJob {
        base,
        recipe: &recipe,
        items: rows(text, 0, 64)?,
        seed: [7; 32],
        deadline_ms: u64::MAX / 2,
        reserve_ms: 0,
        threads,
    };
    let start = Instant::now();
    let (mut last, mut times, mut tokens, mut checked) = (0, Vec::new(), 0, 0);
    let mut losses = Vec::new();
    let mut note = |event| match event {
        Event::Checked { elapsed_ms } => (last, checked) = (elapsed_ms, elapsed_ms),
        Event::Step { elapsed_ms, tokens: t, loss_micro, .. } => {
            times.push(elapsed_ms - last);
            last = elapsed_ms;
            tokens += t;
            losses.push(loss_micro);
        }
        _ => {}
    };
    let trained = train(job, &Since(start), &mut note)?;
    let first = losses.first().copied().unwrap_or(0) as f64 / 1e6;
    let end = losses.last().copied().unwrap_or(0) as f64 / 1e6;
    let spent: u64 = times.iter().sum();
    times.sort_unstable();
    println!(
        "train {layers:>20} threads {threads}: check {checked} ms, median step {} ms, {:.0} tokens/s, \
         loss {first:.3} -> {end:.3}, total {} ms",
        times[times.len() / 2],
        tokens as f64 * 1e3 / spent as f64,
        start.elapsed().as_millis()
    );
    Ok(trained)
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(folder) = inputs() else {
        println!("SKIPPED: no folder of inputs");
        return Ok(());
    };
    let model = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    let data = folder.join("wordnet-noun.jsonl");
    if !model.exists() || !data.exists() {
        println!("SKIPPED: {} or {} absent", model.display(), data.display());
        return Ok(());
    }
    println!(
        "{}, load average {}",
        instruction_set(),
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    let bytes = std::fs::read(model)?;
    let start = Instant::now();
    let base = BaseModel::from_gguf(&bytes)?;
    println!("load {} ms, peak {} MiB", start.elapsed().as_millis(), peak_mib());
    drop(bytes);
    let text = std::fs::read_to_string(data)?;
    let items = rows(&text, 50, 128)?;
    for threads in [1, 2] {
        for layers in ["layers = [0, 29]", "layers = [22, 29]"] {
            let trained = run(&base, &text, layers, threads, 10)?;
            let adapter = Adapter::check(&trained.artefact, &base, 1 << 30)?;
            let start = Instant::now();
            let mut evaluation = Evaluation::new(&base, &items, 512, threads)?;
            evaluation.values(Some(&adapter))?;
            let first = start.elapsed().as_secs_f64() * 1e3;
            let start = Instant::now();
            let values = evaluation.values(Some(&adapter))?;
            let spent = start.elapsed().as_secs_f64() * 1e3;
            let sum: i64 = values.iter().filter_map(|v| v.loss_micro).sum();
            let labels: u32 = values.iter().map(|v| v.labels).sum();
            println!(
                "evaluate {} items, {labels} labels: {:.2} ms an item, {:.2} ms with a second adapter, \
                 loss {:.4}; peak {} MiB",
                items.len(),
                first / items.len() as f64,
                spent / items.len() as f64,
                sum as f64 / 1e6 / f64::from(labels),
                peak_mib()
            );
        }
    }
    Ok(())
}
