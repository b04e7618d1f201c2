//! Guests and the host agent die in the midst of a tournament; the tournament does not.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tiltyard_host::demo;
use tiltyard_provisioning::bundle::Bundle;

use crate::events::{event, events, guests, trainer_runs};
use crate::owner::leaves;
use crate::processes::descendants;
use crate::scenario::{self, Yard};

/// Both recipes train for some seconds, so that there is a midst.
const STEPS: u32 = 24;
const WAIT: Duration = Duration::from_secs(60);
/// How long a guest that has begun to train is left alone.
const INTO_IT: Duration = Duration::from_millis(1500);

#[test]
fn a_killed_trainer_is_ordered_again_and_the_tournament_goes_on() {
    let _turn = scenario::turn();
    let Some(inputs) = scenario::inputs() else { return };
    scenario::on_runtime(async {
        let mut yard = scenario::begin(&inputs, STEPS, |_, line| line.to_owned()).await;
        let order = trained_order(&yard).await;
        let started = |event: &Value| event["event"] == "guest_started" && event["order"] == order;
        let started = event(&yard.layout, WAIT, started).await;
        kill(Pid::from_raw(i32::try_from(started["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL)
            .unwrap();
        let outcome = demo::watch(&yard.layout, &mut yard.services, &mut yard.show).await;
        outcome.unwrap();

        let lost =
            event(&yard.layout, WAIT, |event| event["order"] == order && event["phase"] == "lost").await;
        assert_eq!(lost["code"], "E_GUEST_EXITED");
        let bundle = Bundle::read(std::fs::read(yard.layout.path("bundle.tar")).unwrap()).unwrap();
        let leaves = leaves(&bundle);
        let first = leaves.iter().find(|leaf| leaf["type"] == "order" && leaf["body"]["order"] == order);
        let first = &first.unwrap()["body"];
        let again = |leaf: &&Value| {
            let body = &leaf["body"];
            leaf["type"] == "order"
                && (&body["task"], &body["submission"]) == (&first["task"], &first["submission"])
                && body["attempt"] == 2
        };
        assert_eq!((first["attempt"].as_u64(), leaves.iter().filter(again).count()), (Some(1), 1));
        assert_eq!(done(&leaves, &first["submission"]), 1, "the second attempt counts");
        assert_audited(&yard).await;
        yard.services.stop().await.unwrap();
    });
}

#[test]
fn a_killed_host_agent_takes_its_guests_along_and_a_second_start_finishes() {
    let _turn = scenario::turn();
    let Some(inputs) = scenario::inputs() else { return };
    scenario::on_runtime(async {
        let mut yard = scenario::begin(&inputs, STEPS, |_, line| line.to_owned()).await;
        let order = trained_order(&yard).await;
        let agent = yard.services.agent_pid().unwrap();
        let below = descendants(agent);
        for guest in guests(&yard.layout).iter().filter(|pid| still_runs(&yard, **pid)) {
            assert!(below.iter().any(|process| process.pid == *guest), "guest {guest}: {below:?}");
        }
        assert!(below.len() >= 4, "a referee and a trainer, two stages each: {below:?}");
        yard.services.kill_agent().await.unwrap();
        let begun = Instant::now();
        while let Some(orphan) = below.iter().find(|process| process.lives()) {
            assert!(begun.elapsed() < Duration::from_secs(5), "outlived the agent: {orphan:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("{} processes ended with the agent in {} ms", below.len(), begun.elapsed().as_millis());

        let Yard { layout, parties, agreed, services, show, .. } = &mut yard;
        services.restart_agent(layout, parties, agreed).await.unwrap();
        let said = |event: &Value| event["event"] == "recovered" && event["order"] == order;
        event(layout, WAIT, said).await;
        demo::watch(layout, services, show).await.unwrap();
        let bundle = Bundle::read(std::fs::read(layout.path("bundle.tar")).unwrap()).unwrap();
        let leaves = leaves(&bundle);
        assert_eq!(leaves.iter().filter(|leaf| leaf["type"] == "decided").count(), 1);
        assert_eq!(
            leaves.iter().filter(|leaf| leaf["type"] == "boot").count(),
            2,
            "both boots are on record"
        );
        assert_audited(&yard).await;
        yard.services.stop().await.unwrap();
    });
}

/// The order of the first guest that trains, once it is in the midst of it.
async fn trained_order(yard: &Yard) -> Value {
    let order = event(&yard.layout, WAIT, trainer_runs).await["order"].clone();
    tokio::time::sleep(INTO_IT).await;
    let ended = |event: &Value| event["event"] == "guest_ended" && event["order"] == order;
    assert!(!events(&yard.layout).iter().any(ended), "it was done before it could be killed");
    order
}

fn still_runs(yard: &Yard, pid: u32) -> bool {
    let events = events(&yard.layout);
    let started = events.iter().find(|event| event["event"] == "guest_started" && event["pid"] == pid);
    let lease = &started.unwrap()["lease"];
    !events.iter().any(|event| event["event"] == "guest_ended" && event["lease"] == *lease)
}

fn done(leaves: &[Value], submission: &Value) -> usize {
    let done = |leaf: &&Value| {
        let body = &leaf["body"];
        leaf["type"] == "outcome"
            && body["role"] == "train"
            && body["submission"] == *submission
            && body["status"] == "done"
    };
    leaves.iter().filter(done).count()
}

async fn assert_audited(yard: &Yard) {
    let verdict = demo::audit(&yard.layout, &yard.parties, "text").await.unwrap();
    assert_eq!(verdict.status.code(), Some(0), "{}\n{}", verdict.stdout, verdict.stderr);
}
