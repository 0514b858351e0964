//! Every state of a container, on a real Engine: what is seen of it, and what the
//! default policy rules, and why.

use reprieve_core::{
    evidence::{Health, Status},
    judgement::{ForwardFailure, Trigger},
    ports::Look,
};
use reprieve_tests::engine::Engine;

use crate::{
    fixture::{Watch, idle, running},
    ruling::{judge, judge_first, ruling},
};

const REFUSED: Trigger = Trigger::ForwardFailed(ForwardFailure::Refused);
const TIMED_OUT: Trigger = Trigger::ForwardFailed(ForwardFailure::TimedOut);

/// The loop is slow by then: Docker waits for 3.2 s before the next run.
const LOOPED: u64 = 5;
const OOM_TRIES: u32 = 8;
/// Removing so many takes 0.3 s on a fast machine: more than ten looks.
const FILES: u32 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_state_is_seen_as_what_it_is_and_ruled_with_its_reason() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    runs(&engine).await;
    ended(&engine).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    for id in ["up", "frozen", "held", "sick", "crashed", "hungry", "born", "stillborn", "loop"] {
        let found = watch.found(id).await;
        let runs = ["up", "frozen", "held", "sick", "loop"].contains(&id);
        assert_eq!(found.runs, runs, "{id}: {found:?}");
        assert_eq!(found.mark.is_some(), !["born", "stillborn"].contains(&id), "{id}");
    }

    let look = watch.look("up").await.unwrap();
    assert_eq!(look.sighting.status, Status::Running);
    assert_eq!(judge(&watch, "up", REFUSED).await, ruling("alive", "running", 1));

    engine.docker(&["kill", "--signal", "STOP", "held"]).await;
    let held = "its first process is stopped: to Docker it runs";
    assert_eq!(watch.look("held").await.unwrap().sighting.status, Status::Running, "{held}");
    assert_eq!(judge(&watch, "held", TIMED_OUT).await, ruling("busy", "slow-answer", 1), "{held}");

    engine.docker(&["pause", "frozen"]).await;
    assert_eq!(watch.look("frozen").await.unwrap().sighting.status, Status::Paused);
    assert_eq!(judge(&watch, "frozen", TIMED_OUT).await, ruling("alive", "paused", 1));

    watch.looks_like("sick", |look| look.sighting.health == Some(Health::Unhealthy)).await;
    assert_eq!(judge(&watch, "sick", Trigger::Unhealthy).await, ruling("busy", "unhealthy", 1));

    let look = watch.look("crashed").await.unwrap();
    assert_eq!((look.sighting.status, look.sighting.exit_code), (Status::Stopped, Some(3)));
    assert_eq!(judge(&watch, "crashed", REFUSED).await, ruling("dead", "exit-reported", 2));

    let look = watch.look("hungry").await.unwrap().sighting;
    assert_eq!((look.status, look.exit_code), (Status::Stopped, Some(137)));
    assert!(look.out_of_memory, "{look:?}");
    assert_eq!(judge(&watch, "hungry", REFUSED).await, ruling("dead", "exit-reported", 2));

    for id in ["born", "stillborn"] {
        let look = watch.look(id).await.unwrap();
        assert_eq!((look.sighting.status, look.sighting.ended), (Status::Stopped, None), "{id}");
        // The host does not ask: what never ran is nobody's wish.
        assert_eq!(judge(&watch, id, REFUSED).await, ruling("dead", "not-running", 2), "{id}");
    }

    while engine.inspect("loop").await["RestartCount"].as_u64() < Some(LOOPED) {}
    watch.looks_like("loop", |look| look.sighting.status == Status::Restarting).await;
    assert_eq!(judge(&watch, "loop", REFUSED).await, ruling("busy", "restarting", 1));
    watch.docker.shutdown().await;
}

async fn runs(engine: &Engine) {
    engine.run(&idle("up")).await;
    engine.run(&idle("frozen")).await;
    engine.run(&idle("held")).await;
    engine.run(&idle("sick").health("false", "200ms", 1)).await;
    engine.run(&running("loop", "exit 1").more(&["--restart", "always"])).await;
}

async fn ended(engine: &Engine) {
    engine.run(&running("crashed", "exit 3")).await;
    let hungry = running("hungry", "exec tail /dev/zero");
    engine.run(&hungry.more(&["--memory", "16m", "--memory-swap", "16m"])).await;
    engine.create(&idle("born")).await;
    engine.create(&running("stillborn", "").command(&["/nonesuch"])).await;
    engine.try_docker(&["start", "stillborn"]).await.expect_err("it cannot start");
    for id in ["crashed", "hungry"] {
        engine.docker(&["wait", id]).await;
    }
    // A busy Engine sometimes hears of the end before it hears of the reason.
    for _ in 0..OOM_TRIES {
        if engine.inspect("hungry").await["State"]["OOMKilled"] == true {
            break;
        }
        engine.docker(&["start", "hungry"]).await;
        engine.docker(&["wait", "hungry"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_removed_by_force_is_missing_at_once() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    engine.run(&idle("ws-1")).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    let mark = watch.found("ws-1").await.mark;
    engine.docker(&["rm", "--force", "ws-1"]).await;
    let look = watch
        .looks_like("ws-1", |look| {
            look.sighting.status == Status::Missing && look.sighting.ended.is_some()
        })
        .await;
    assert_eq!(look.mark, mark, "the run that was there");
    assert_eq!(judge(&watch, "ws-1", REFUSED).await, ruling("dead", "removed", 1));
    watch.docker.shutdown().await;
}

/// The removal is seen as what it is for as long as it lasts: the container does
/// not run, and when it ended is not reported. That convicts nobody at a first
/// look, and once it is gone the removal itself does.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_being_removed_is_convicted_by_its_removal_only() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    engine.run(&idle("large")).await;
    let fill = format!("mkdir /files; cd /files; seq {FILES} | xargs touch");
    engine.exec("large", &["sh", "-c", &fill]).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    let mark = watch.found("large").await.mark;

    let removal = async { engine.docker(&["rm", "--force", "large"]).await };
    let (_, look) = tokio::join!(removal, async {
        let is_over = |look: &Look| look.sighting.status != Status::Running;
        let look = watch.looks_like("large", is_over).await;
        assert_eq!((look.sighting.status, look.sighting.ended), (Status::Stopped, None));
        look
    });
    assert_eq!(look.mark, mark, "the run that was there");
    assert_eq!(
        judge_first(&watch, look.sighting, REFUSED).await,
        ruling("recheck", "not-running", 1)
    );
    assert_eq!(judge(&watch, "large", REFUSED).await, ruling("dead", "removed", 1));
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_removal_failed_is_dead_and_made_again_beside_what_is_left() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let left = engine.run(&idle("ws-1").env("KEPT", "yes")).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    let mark = watch.found("ws-1").await.mark;
    engine.hold("ws-1").await;
    engine.try_docker(&["rm", "--force", "ws-1"]).await.expect_err("it cannot be removed");
    assert_eq!(engine.inspect("ws-1").await["State"]["Status"], "dead", "to Docker, too");

    let look = watch.look("ws-1").await.unwrap();
    assert_eq!((look.sighting.status, look.sighting.exit_code), (Status::Stopped, Some(137)));
    assert_eq!(look.mark, mark);
    assert_eq!(judge(&watch, "ws-1", REFUSED).await, ruling("dead", "exit-reported", 2));
    engine.try_docker(&["start", "ws-1"]).await.expect_err("it can never start again");

    let started = watch.restart("ws-1", 1).await.expect("made again");
    let made = engine.inspect("ws-1").await;
    assert_ne!(made["Id"], *left);
    assert!(started.mark.unwrap().0.starts_with(made["Id"].as_str().unwrap()));
    assert_eq!(watch.look("ws-1").await.unwrap().sighting.status, Status::Running);
    assert_eq!(engine.exec("ws-1", &["sh", "-c", "echo $KEPT"]).await.trim(), "yes");
    assert_eq!(engine.inspect(&left).await["Name"], "/ws-1-before-1", "what could not be removed");
    engine.let_go();
    engine.docker(&["rm", &left]).await;
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_used_again_is_another_run() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    engine.run(&idle("ws-1")).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    let old = watch.found("ws-1").await;
    engine.docker(&["rm", "--force", "ws-1"]).await;
    let id = engine.run(&idle("ws-1").label("reprieve.settings.settle", "5s")).await;
    let look = watch.look("ws-1").await.unwrap();
    assert_eq!(look.sighting.status, Status::Running);
    let mark = look.mark.clone().unwrap();
    assert!(mark.0.starts_with(&id), "{mark:?} is of another container than {id}");
    assert_ne!(look.mark, old.mark);
    let found = watch.found("ws-1").await;
    assert_eq!(found.mark, look.mark);
    assert_eq!(found.settings["settle"], "5s", "what is said about it has changed");
    watch.docker.shutdown().await;
}
