//! Training and evaluation of the real base model beside the same in candle's stock operations, step by step.
//!
//! Prints one JSON line of seconds a figure, for `tiltyard-bench`, which starts this with RAYON_NUM_THREADS set: both
//! sides take their threads from it. Both sides' losses are compared, so both do the same work.

mod items;
mod stock;

use candle_core::quantized::gguf_file::Content;
use serde_json::json;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Instant;
use stock::Stock;
use tiltyard_training::{BaseModel, Clock, Event, Item, Recipe, TrainJob, evaluate, instruction_set, train};
use tokenizers::Error;

const EVALUATED: usize = 8;
const EVALUATIONS: usize = 3;
/// One window of few items on all blocks: every step learns from the same ones, and nothing is kept between steps.
const LEARNED: usize = 4;
const STEPS: usize = 3;
const PEER: &str = "candle 0.11.1, stock operations in f32, padded batches, no shared system prompt";

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

fn main() -> Result<(), Error> {
    let Some(threads) = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()) else {
        println!("SKIPPED: set RAYON_NUM_THREADS; candle reads its number of threads from there");
        return Ok(());
    };
    let folder = inputs().unwrap_or_default();
    let (model, data) = (folder.join("SmolLM2-135M-Instruct.Q4_1.gguf"), folder.join("wordnet-noun.jsonl"));
    if let Some(absent) = [&model, &data].into_iter().find(|path| !path.exists()) {
        println!("SKIPPED: {} is absent; `make setup` fetches it", absent.display());
        return Ok(());
    }
    let (file, text) = (std::fs::read(model)?, std::fs::read_to_string(data)?);
    let base = BaseModel::from_gguf(&file)?;
    let content = Content::read(&mut Cursor::new(&file))?;
    let mut stock = Stock::from_gguf(&file, &content)?;
    // A pinned choice of rows, spread over the file.
    let rows: Vec<&str> = text.lines().step_by(17).take(EVALUATED).collect();
    evaluation(&base, &stock, &content, &rows, threads)?;
    training(&base, &mut stock, &content, &rows[..LEARNED], threads)
}

fn parse(rows: &[&str]) -> Result<Vec<Item>, tiltyard_training::ItemError> {
    rows.iter().map(|row| Item::from_row(row.as_bytes())).collect()
}

fn evaluation(
    base: &BaseModel,
    stock: &Stock,
    content: &Content,
    rows: &[&str],
    threads: usize,
) -> Result<(), Error> {
    let (items, documents) = (parse(rows)?, items::documents(content, rows)?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=EVALUATIONS {
        let start = Instant::now();
        let values = evaluate(base, None, &items, 512, threads)?;
        let spent = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let stock_sum = stock.evaluate(&documents)?;
        let stock_spent = start.elapsed().as_secs_f64();
        let sum = values.iter().filter_map(|value| value.loss_micro).sum::<i64>() as f64 / 1e6;
        agree("evaluation", sum, stock_sum)?;
        // The first round warms up.
        if round > 0 {
            ours.push(spent);
            theirs.push(stock_spent);
        }
    }
    print("evaluation, loss a held-out item", threads, (EVALUATED as f64, "items"), &ours, &theirs);
    Ok(())
}

fn training(
    base: &BaseModel,
    stock: &mut Stock,
    content: &Content,
    rows: &[&str],
    threads: usize,
) -> Result<(), Error> {
    let recipe = format!(
        "schema = 1\n[objective]\nkind = \"sft\"\n[adapter]\nr = 8\nalpha = 16\n[train]\nsteps = {}\n\
         window_items = {LEARNED}\n[optimiser]\nlr = 1e-3\n",
        STEPS + 1
    );
    let recipe = Recipe::parse(recipe.as_bytes())?;
    let documents = items::documents(content, rows)?;
    let job = TrainJob {
        base,
        recipe: &recipe,
        items: parse(rows)?,
        seed: [7; 32],
        deadline_ms: u64::MAX / 2,
        reserve_ms: 0,
        threads,
    };
    let mut last = Instant::now();
    let (mut ours, mut theirs, mut window, mut failed) = (Vec::new(), Vec::new(), 0, None);
    let mut note = |event| {
        if let Event::Step { step, tokens, loss_micro, .. } = event {
            let spent = last.elapsed().as_secs_f64();
            let start = Instant::now();
            let loss = stock.step(&documents);
            let stock_spent = start.elapsed().as_secs_f64();
            window = tokens;
            // Before the first step both are the base model; later ones differ by their initial values.
            let same = loss.map_err(Box::from).and_then(|loss| match step {
                1 => agree("first step", loss_micro as f64 / 1e6, loss),
                _ => Ok(()),
            });
            failed = failed.take().or(same.err());
            if step > 1 {
                ours.push(spent);
                theirs.push(stock_spent);
            }
        }
        last = Instant::now();
    };
    train(job, &Since(Instant::now()), &mut note)?;
    if let Some(error) = failed {
        return Err(error);
    }
    print("LoRA training, r 8 on all maps of 30 blocks", threads, (window as f64, "tokens"), &ours, &theirs);
    Ok(())
}

fn agree(what: &str, ours: f64, theirs: f64) -> Result<(), Error> {
    if (ours - theirs).abs() <= 1e-3 * theirs.abs() {
        return Ok(());
    }
    Err(format!("{what}: expected the peer's loss {theirs}, found {ours}\n  they don't do the same work")
        .into())
}

fn print(figure: &str, threads: usize, (work, of): (f64, &str), ours: &[f64], theirs: &[f64]) {
    let samples = json!({
        "figure": format!("{figure}; SmolLM2-135M, {threads} thread(s), {}", instruction_set()),
        "unit": { "rate": { "work": work, "of": of } },
        "ours": ours,
        "peers": [{ "name": PEER, "seconds": theirs }],
    });
    println!("{samples}");
}
