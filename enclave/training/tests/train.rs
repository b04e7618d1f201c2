//! Training and evaluation through the public interface, on a tiny model.

#![allow(clippy::unwrap_used)]

mod tiny;

use tiltyard_training::{Adapter, EvaluateError, Event, Item, Stop, TrainError, TrainJob, evaluate, train};
use tiny::{RECIPE, Ticking, base, item, items, recipe, run};

fn losses(events: &[Event]) -> Vec<i64> {
    events
        .iter()
        .filter_map(|e| if let Event::Step { loss_micro, .. } = e { Some(*loss_micro) } else { None })
        .collect()
}

#[test]
fn a_run_lowers_its_loss_and_its_artefact_passes_the_check() {
    let (trained, events) = run(RECIPE, items(16), 1);
    let trained = trained.unwrap();
    assert_eq!((trained.stop, trained.steps), (Stop::Completed, 6));
    let losses = losses(&events);
    assert_eq!(losses.len(), 6);
    assert!(losses[5] < losses[0], "{losses:?}");
    assert!(matches!(events[0], Event::Started { dropped: 0, steps: 6, .. }));
    assert!(matches!(events[1], Event::Checked { .. }), "the gradient check comes before step 1");
    assert!(matches!(events.last(), Some(Event::Finished { steps: 6, .. })));
    let base = base();
    let adapter = Adapter::check(&trained.artefact, &base, 1 << 20).unwrap();
    let before = evaluate(&base, None, &items(16), 256, 1).unwrap();
    let after = evaluate(&base, Some(&adapter), &items(16), 256, 1).unwrap();
    let sum = |v: &[tiltyard_training::ItemValue]| v.iter().map(|v| v.loss_micro.unwrap()).sum::<i64>();
    assert!(sum(&after) < sum(&before));
    assert!(before.iter().zip(&after).all(|(b, a)| b.labels == a.labels && b.labels > 0));
}

#[test]
fn threads_do_not_change_a_bit_and_the_seed_does() {
    let (one, _) = run(RECIPE, items(16), 1);
    let (three, _) = run(RECIPE, items(16), 3);
    let (one, three) = (one.unwrap(), three.unwrap());
    assert_eq!(one.artefact, three.artefact);
    assert_eq!(one.step_chain, three.step_chain);
    let job = TrainJob {
        base: &base(),
        recipe: &recipe(RECIPE),
        items: items(16),
        seed: [6; 32],
        deadline_ms: 1_000_000,
        reserve_ms: 0,
        threads: 1,
    };
    let other = train(job, &tiny::still(), &mut |_| {}).unwrap();
    assert_ne!(other.step_chain, one.step_chain);
    assert_ne!(other.artefact, one.artefact);
}

#[test]
fn micro_batches_and_packing_do_not_change_the_losses_beyond_rounding() {
    let all = losses(&run(RECIPE, items(16), 1).1);
    for more in ["micro_tokens = 16", "micro_tokens = 64"] {
        let split = losses(&run(&RECIPE.replace("steps = 6", &format!("steps = 6\n{more}")), items(16), 1).1);
        assert!(all.iter().zip(&split).all(|(a, b)| (a - b).abs() <= 20), "{all:?} {split:?}");
    }
    let single = losses(&run(&format!("{RECIPE}[data]\npacking = \"none\"\n"), items(16), 1).1);
    assert!(all.iter().zip(&single).all(|(a, b)| (a - b).abs() <= 20), "{all:?} {single:?}");
}

#[test]
fn adapting_upper_blocks_only_gives_the_artefact_of_those_blocks() {
    let upper = RECIPE.replace("r = 4", "r = 4\nlayers = [1, 1]\ntargets = [\"q\", \"down\"]");
    let (trained, events) = run(&upper, items(16), 1);
    let trained = trained.unwrap();
    let text = String::from_utf8_lossy(&trained.artefact.weights).into_owned();
    assert!(text.contains("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"));
    assert!(text.contains("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"));
    assert!(!text.contains("layers.0.") && !text.contains("v_proj"));
    assert!(Adapter::check(&trained.artefact, &base(), 1 << 20).is_ok());
    let losses = losses(&events);
    assert!(losses[5] < losses[0]);
    let beyond = RECIPE.replace("r = 4", "r = 4\nlayers = [1, 2]");
    assert!(matches!(run(&beyond, items(4), 1).0, Err(TrainError::Recipe(e)) if e.path == "adapter.layers"));
}

#[test]
fn values_do_not_depend_on_threads_order_or_neighbours() {
    let base = base();
    let all = evaluate(&base, None, &items(40), 256, 1).unwrap();
    assert_eq!(evaluate(&base, None, &items(40), 256, 3).unwrap(), all);
    let mut reversed: Vec<Item> = items(40);
    reversed.reverse();
    let mut back = evaluate(&base, None, &reversed, 256, 2).unwrap();
    back.reverse();
    assert_eq!(back, all);
    for (item, value) in items(40).into_iter().zip(&all) {
        assert_eq!(evaluate(&base, None, &[item], 256, 1).unwrap()[0], *value);
    }
}

#[test]
fn items_without_labels_are_left_out_and_counted() {
    let base = base();
    let mixed = vec![item("a", ""), item(&"long ".repeat(80), "never reached"), item("b", "c")];
    let values = evaluate(&base, None, &mixed, 256, 1).unwrap();
    assert_eq!((values[0].labels, values[0].loss_micro), (0, None));
    assert_eq!((values[1].labels, values[1].loss_micro), (0, None));
    assert_eq!(values[2].labels, 2);
    assert!(evaluate(&base, None, &[], 256, 1).unwrap().is_empty());
    let short = format!("{RECIPE}[data]\nmax_len = 256\n");
    let (trained, events) = run(&short, mixed, 1);
    assert!(trained.is_ok());
    assert!(matches!(events[0], Event::Started { dropped: 2, .. }));
    for none in [vec![], vec![item("a", "")]] {
        assert!(matches!(run(RECIPE, none, 1).0, Err(TrainError::NoLabels { .. })));
    }
}

#[test]
fn sequence_lengths_beyond_the_model_are_refused() {
    let base = base();
    for got in [15, 1025] {
        let refused = evaluate(&base, None, &items(1), got, 1);
        assert!(matches!(refused, Err(EvaluateError::MaxLen { limit: 1024, .. })));
    }
    assert!(matches!(
        run(&format!("{RECIPE}[data]\nmax_len = 2048\n"), items(4), 1).0,
        Err(TrainError::Recipe(_))
    ));
    assert!(matches!(evaluate(&base, None, &items(1), 256, 0), Err(EvaluateError::Threads(_))));
}

#[test]
fn the_deadline_ends_a_run_with_the_weights_it_has() {
    let text = RECIPE.replace("steps = 6", "steps = 1000");
    let recipe = recipe(&text);
    let go = |deadline_ms, tick| {
        let mut steps = 0;
        let job = TrainJob {
            base: &base(),
            recipe: &recipe,
            items: items(8),
            seed: [5; 32],
            deadline_ms,
            reserve_ms: 500,
            threads: 1,
        };
        let clock = Ticking(std::cell::Cell::new(0), tick);
        let result = train(job, &clock, &mut |e| steps += u32::from(matches!(e, Event::Step { .. })));
        (result, steps, clock.0.get())
    };
    let (result, steps, end) = go(1500, 10);
    let trained = result.unwrap();
    assert_eq!(trained.stop, Stop::Deadline);
    assert!(trained.steps == steps && steps > 3 && steps < 1000, "{steps}");
    assert!(end <= 1500, "{end}");
    assert!(Adapter::check(&trained.artefact, &base(), 1 << 20).is_ok());
    assert!(matches!(go(400, 10).0, Err(TrainError::BudgetTooShort { .. })));
    assert!(matches!(go(1500, 600).0, Err(TrainError::BudgetTooShort { .. })));
}

#[test]
fn the_gradient_check_accepts_every_scale_that_a_recipe_may_choose() {
    for (r, alpha) in [(1, 4096), (4, 1024), (64, 1), (512, 1)] {
        let text =
            RECIPE.replace("r = 4", &format!("r = {r}\nalpha = {alpha}")).replace("lr = 0.01", "lr = 1e-6");
        let (trained, _) = run(&text, items(8), 1);
        assert!(trained.is_ok(), "r {r}, alpha {alpha}: {:?}", trained.err());
    }
}
