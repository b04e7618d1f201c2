//! The training loop.

use super::gradcheck::gradient_self_check;
use super::optimiser::{State, clip_factor, norm};
use super::schedule::factor;
use super::steps::Items;
use super::variables::Variables;
use super::windows::Windows;
use crate::adapter::{Artefact, Structure};
use crate::data::{Encoded, Item, encode};
use crate::model::{BaseModel, Model};
use crate::recipe::Recipe;
use crate::rng::{StepChain, Stream, bytes32, run_seed};
use crate::{Clock, Event, RecipeError, Stop, TrainError};

/// Items of the gradient check.
const CHECK_ITEMS: usize = 2;
/// Tokens of each of them.
const CHECK_TOKENS: usize = 64;
/// Standard deviation of s B during the check: with B = 0 the gradients of A are zero by construction.
const CHECK_SPREAD: f32 = 0.2;
/// Step of the check's probe, for s up to 2; a larger scale bends the loss more.
const CHECK_STEP: f64 = 1e-3;
/// Bad steps in a row that end a run.
const MAX_BAD_STEPS: u32 = 3;
/// Steps that a run must have time for.
const MIN_STEPS: u64 = 3;

/// One training job; everything that decides the artefact is in it.
pub struct TrainJob<'a> {
    /// The model that is adapted.
    pub base: &'a BaseModel,
    /// The entrant's choices.
    pub recipe: &'a Recipe,
    /// What is learned, in the data set's order.
    pub items: Vec<Item>,
    /// Decides initial values and the order of items.
    pub seed: [u8; 32],
    /// When the run must be over, on the clock's scale.
    pub deadline_ms: u64,
    /// Kept free before the deadline, for what follows training.
    pub reserve_ms: u64,
    /// Threads of the run; they don't change the artefact.
    pub threads: usize,
}

/// What a run made.
#[derive(Debug)]
pub struct Trained {
    /// The adapter.
    pub artefact: Artefact,
    /// Why the run ended.
    pub stop: Stop,
    /// Optimiser steps done.
    pub steps: u32,
    /// End of the chain over every step's loss and gradient norm (TRAINING 15).
    pub step_chain: [u8; 32],
}

/// Trains an adapter. Equal jobs give equal bytes at any number of threads, unless the deadline cuts one.
///
/// # Errors
/// [`TrainError`]; a run that is cut by its deadline isn't one, but ends with the last weights.
pub fn train(
    job: TrainJob<'_>,
    clock: &dyn Clock,
    events: &mut dyn FnMut(Event),
) -> Result<Trained, TrainError> {
    let pool = super::pool(job.threads).map_err(TrainError::Threads)?;
    // The clock and the events stay on this thread; the pool's threads only compute.
    Run::plan(job, clock, events, &pool)?.run()
}

struct Run<'a> {
    model: &'a Model,
    recipe: &'a Recipe,
    seed: [u8; 32],
    items: Items,
    variables: Variables,
    windows: Windows,
    chain: StepChain,
    stop_at_ms: u64,
    clock: &'a dyn Clock,
    events: &'a mut dyn FnMut(Event),
    pool: &'a rayon::ThreadPool,
}

impl<'a> Run<'a> {
    fn plan(
        job: TrainJob<'a>,
        clock: &'a dyn Clock,
        events: &'a mut dyn FnMut(Event),
        pool: &'a rayon::ThreadPool,
    ) -> Result<Self, TrainError> {
        let TrainJob { base, recipe, items, seed, deadline_ms, reserve_ms, .. } = job;
        let model = &*base.0;
        let config = model.config;
        let reserve_ms = reserve_ms.max(recipe.reserve_s.unwrap_or(0) * 1000);
        let (now, stop_at_ms) = (clock.elapsed_ms(), deadline_ms.saturating_sub(reserve_ms));
        if now >= stop_at_ms {
            let have_ms = deadline_ms.saturating_sub(now);
            return Err(TrainError::BudgetTooShort { need_ms: reserve_ms + MIN_STEPS, have_ms });
        }
        let structure =
            Structure::new(&recipe.adapter, &config).ok_or_else(|| layers_error(recipe, &config))?;
        if recipe.max_len > config.context {
            let got = recipe.max_len.to_string();
            let expected = format!("at most {}, the base's context", config.context);
            return Err(TrainError::Recipe(RecipeError { path: "data.max_len".into(), expected, got }));
        }
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        items.iter().for_each(|item| digest.update(item.row_sha256()));
        let data = bytes32(digest.finish());
        let given = items.len();
        let one = |item: Item| encode(&item, &model.tokenizer, recipe.max_len, recipe.loss_on);
        let encoded: Vec<Encoded> = pool.install(|| items.into_iter().filter_map(one).collect());
        let dropped = given - encoded.len();
        if encoded.is_empty() {
            return Err(TrainError::NoLabels { items: given, dropped });
        }
        let chain = StepChain::new(&recipe.sha256, &model.sha256, &data, &seed);
        let seed = run_seed(&seed, recipe.seed);
        let windows = Windows::new(seed, encoded.len(), recipe.window_items);
        events(Event::Started {
            parameters: model.parameters,
            trainable: structure.parameters(&config),
            tokens: encoded.iter().map(|e| e.tokens.len() as u64).sum(),
            dropped: dropped as u64,
            steps: windows.planned(recipe),
        });
        let variables = Variables::new(structure, config, &seed);
        let items = Items::new(encoded);
        Ok(Self { model, recipe, seed, items, variables, windows, chain, stop_at_ms, clock, events, pool })
    }

    fn run(mut self) -> Result<Trained, TrainError> {
        self.check()?;
        (self.events)(Event::Checked { elapsed_ms: self.clock.elapsed_ms() });
        let mut total = self.windows.planned(self.recipe);
        let sizes: Vec<usize> = self.variables.all.iter().map(|v| v.values.len()).collect();
        let mut state = State::new(self.recipe.optimiser, sizes.into_iter());
        let (mut step, mut bad, mut longest_ms) = (0, 0, 0);
        let mut stop = Stop::Completed;
        while step < total {
            let before = self.clock.elapsed_ms();
            if before + longest_ms >= self.stop_at_ms {
                stop = Stop::Deadline;
                break;
            }
            total = self.shorten(step, total, longest_ms, before);
            let window = self.windows.next();
            let micro = if self.recipe.pack { self.recipe.micro_tokens } else { 0 };
            let (items, variables, model) = (&mut self.items, &self.variables, self.model);
            let outcome = self.pool.install(|| items.window(model, variables, &window, micro))?;
            let norm = norm(&outcome.gradients);
            let lr = self.recipe.optimiser.lr * factor(&self.recipe.schedule, step, total);
            step += 1;
            self.chain.push(step, outcome.loss, norm);
            let elapsed_ms = self.clock.elapsed_ms();
            longest_ms = longest_ms.max(elapsed_ms.saturating_sub(before));
            if outcome.loss.is_finite() && norm.is_finite() {
                bad = 0;
                let clip = clip_factor(norm, self.recipe.optimiser.clip);
                let mut values: Vec<&mut Vec<f32>> =
                    self.variables.all.iter_mut().map(|v| &mut v.values).collect();
                state.apply(&mut values, &outcome.gradients, clip, lr);
                (self.events)(Event::Step {
                    step,
                    loss_micro: scaled(outcome.loss, 1e6),
                    grad_norm_micro: scaled(norm, 1e6),
                    lr_nano: scaled(lr, 1e9),
                    tokens: outcome.tokens,
                    elapsed_ms,
                });
            } else {
                bad += 1;
                (self.events)(Event::SkippedStep { step });
                if bad == MAX_BAD_STEPS {
                    return Err(TrainError::Diverged { step });
                }
            }
        }
        self.publish(step, stop)
    }

    fn publish(self, steps: u32, stop: Stop) -> Result<Trained, TrainError> {
        if steps == 0 {
            let have_ms = self.stop_at_ms.saturating_sub(self.clock.elapsed_ms());
            return Err(TrainError::BudgetTooShort { need_ms: MIN_STEPS, have_ms });
        }
        let finite = |v: &Vec<f32>| v.iter().all(|x| x.is_finite());
        let values: Vec<Vec<f32>> = self.variables.all.iter().map(|v| v.values.clone()).collect();
        if !values.iter().all(finite) {
            return Err(TrainError::Diverged { step: steps });
        }
        let step_chain = self.chain.end();
        let artefact = self.variables.artefact(&values, &step_chain);
        (self.events)(Event::Finished { steps, elapsed_ms: self.clock.elapsed_ms() });
        Ok(Trained { artefact, stop, steps, step_chain })
    }

    /// Fewer steps where the time won't do for all, so that the schedule still ends at its floor.
    fn shorten(&self, step: u32, total: u32, longest_ms: u64, now_ms: u64) -> u32 {
        if u64::from(step) < MIN_STEPS || longest_ms == 0 {
            return total;
        }
        let room = (self.stop_at_ms - now_ms) / longest_ms;
        total.min(step + u32::try_from(room.max(1)).unwrap_or(u32::MAX - step))
    }

    /// The gradient check on the first window's first items, cut short.
    fn check(&mut self) -> Result<(), TrainError> {
        let first = Windows::new(self.seed, self.items.encoded.len(), CHECK_ITEMS).next();
        let cut = |index: &usize| {
            let whole = &self.items.encoded[*index];
            // The end is kept: it has the labels, while a long prompt's beginning has none.
            let from = whole.tokens.len().saturating_sub(CHECK_TOKENS);
            let tokens = whole.tokens[from..].to_vec().into();
            Encoded { tokens, first_label: whole.first_label.saturating_sub(from).max(1) }
        };
        let mut items = Items::new(first.iter().map(cut).collect());
        let labels: usize = items.encoded.iter().map(Encoded::labels).sum();
        let mut probe = Variables::new(self.variables.structure().clone(), self.model.config, &self.seed);
        let scale = self.variables.structure().scale();
        let h = CHECK_STEP * (2.0 / f64::from(scale)).min(1.0);
        for variable in probe.all.iter_mut().skip(1).step_by(2) {
            let mut stream = Stream::variable(&self.seed, "gradient-check", &variable.name);
            variable.values.iter_mut().for_each(|v| *v = stream.normal() * CHECK_SPREAD / scale);
        }
        let variables: Vec<(String, Vec<f32>)> =
            probe.all.iter().map(|v| (v.name.clone(), v.values.clone())).collect();
        let indices: Vec<usize> = (0..first.len()).collect();
        let (seed, model, pool) = (&self.seed, self.model, self.pool);
        gradient_self_check(&variables, seed, h, &mut |values, want| {
            probe.all.iter_mut().zip(values).for_each(|(v, values)| v.values.clone_from(values));
            pool.install(|| items.slope(model, &probe, &indices, 1.0 / labels as f64, want))
        })
    }
}

fn layers_error(recipe: &Recipe, config: &crate::model::DecoderConfig) -> TrainError {
    let (first, last) = recipe.adapter.layers.unwrap_or_default();
    TrainError::Recipe(RecipeError {
        path: "adapter.layers".to_owned(),
        expected: format!("blocks below {}", config.layers),
        got: format!("[{first}, {last}]"),
    })
}

/// Fixed point for events; saturates.
fn scaled(value: f64, unit: f64) -> i64 {
    (value * unit).round_ties_even() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    #[test]
    fn three_bad_steps_in_a_row_end_a_run() {
        let (base, recipe) = (tiny::base(), tiny::recipe(tiny::RECIPE));
        let items = tiny::items(8);
        let (seed, deadline_ms) = ([1; 32], 1_000_000);
        let job =
            TrainJob { base: &base, recipe: &recipe, items, seed, deadline_ms, reserve_ms: 0, threads: 1 };
        let (clock, mut events) = (tiny::still(), Vec::new());
        let pool = super::super::pool(1).unwrap();
        let mut note = |e| events.push(e);
        let mut run = Run::plan(job, &clock, &mut note, &pool).unwrap();
        // The check has variables of its own; these stand for weights that overflowed later.
        run.variables.all[1].values[0] = f32::NAN;
        assert!(matches!(run.run(), Err(TrainError::Diverged { step: 3 })));
        let skipped: Vec<&Event> = events.iter().filter(|e| matches!(e, Event::SkippedStep { .. })).collect();
        assert_eq!(skipped.len(), 3);
    }
}
