//! Each order begins one run, whatever happens to it on the way; on a real Engine.

use std::{sync::Arc, time::Duration};

use reprieve_core::{
    evidence::{ProbeFault, Status},
    ports::{
        RestartFailure, Restarter as _,
        RuntimeEventKind::{Started, Stopped, StoppedByHand},
    },
};
use reprieve_server::backend::docker::CallLimits;
use reprieve_tests::engine::Engine;

use crate::{
    fixture::{Watch, idle, order, running, ws},
    socket::{Lie, LyingSocket},
};

async fn starts(engine: &Engine, name: &str) -> usize {
    let filter = format!("container={name}");
    let until = engine.docker(&["info", "--format", "{{.SystemTime}}"]).await;
    let args = ["events", "--since", "1h", "--until", until.trim(), "--filter", &filter];
    let args = [&args[..], &["--filter", "event=start", "--format", "{{.Action}}"]].concat();
    engine.docker(&args).await.lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_order_twice_begins_one_run() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    for name in ["up", "down", "frozen", "born"] {
        engine.create(&idle(name)).await;
    }
    engine.docker(&["start", "up", "down", "frozen"]).await;
    engine.docker(&["kill", "down"]).await;
    engine.docker(&["pause", "frozen"]).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    for name in ["up", "down", "frozen", "born"] {
        let before = watch.found(name).await.mark;
        let started = watch.restart(name, 1).await.expect(name);
        assert_ne!(started.mark, before, "{name}");
        assert!(started.address.is_some(), "{name}: {started:?}");
        let look = watch.look(name).await.unwrap();
        assert_eq!((look.sighting.status, look.mark), (Status::Running, started.mark.clone()));
        assert_eq!(watch.restart(name, 1).await.expect(name), started, "{name}: again");
    }
    watch.docker.shutdown().await;

    // Another host that is given the same order has it from disk.
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    let mark = watch.found("up").await.mark;
    assert_eq!(watch.restart("up", 1).await.unwrap().mark, mark);
    let older = watch.restart("up", 0).await;
    assert!(matches!(older, Err(RestartFailure::Refused { .. })), "{older:?}");
    assert_eq!(starts(&engine, "up").await, 2, "its own and that of the order");
    watch.docker.stop(&ws("up")).await.unwrap();
    assert_eq!(watch.look("up").await.unwrap().sighting.status, Status::Stopped);
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_heard_the_end_of_is_followed_up() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    // It takes its whole grace of a second to end.
    engine
        .run(
            &running("ws-1", "trap '' TERM; while :; do sleep 1; done")
                .more(&["--stop-timeout", "1"]),
        )
        .await;
    let socket = LyingSocket::before(engine.socket());
    let limits = CallLimits { act: Duration::from_secs(5), ..CallLimits::default() };
    let mut watch = Watch::through(socket.path(), state.path().to_owned(), limits).await;
    let before = watch.found("ws-1").await.mark;
    for (life, lie) in [(1, Lie::Swallow), (2, Lie::CutAfterQuestion), (3, Lie::NoHttp)] {
        socket.lie_about("/restart", lie);
        let started = watch.restart("ws-1", life).await.expect("carried out");
        assert_ne!(started.mark, before, "{lie:?}");
    }
    socket.be_honest();
    assert_eq!(starts(&engine, "ws-1").await, 4, "its own and one for each order");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_gone_is_made_again() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let spec = idle("ws-1").env("KEPT", "yes").more(&["--volume", "data:/data"]);
    engine.run(&spec).await;
    engine.exec("ws-1", &["sh", "-c", "echo kept > /data/file"]).await;
    engine.run(&idle("child").network("container:ws-1")).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    watch.found("child").await;
    let old_child = engine.inspect("child").await["Id"].clone();
    engine.docker(&["rm", "--force", "ws-1"]).await;
    watch.looks_like("ws-1", |look| look.sighting.status == Status::Missing).await;

    let started = watch.restart("ws-1", 1).await.expect("made again");
    assert!(started.address.is_some(), "{started:?}");
    let made = engine.inspect("ws-1").await;
    assert_eq!(made["State"]["Status"], "running");
    assert!(made["Config"]["Env"].as_array().unwrap().contains(&"KEPT=yes".into()), "{made}");
    assert_eq!(engine.exec("ws-1", &["cat", "/data/file"]).await.trim(), "kept");

    // Its child shares the network of a container that is no more.
    watch.restart("child", 1).await.expect("made again beside its parent");
    let child = engine.inspect("child").await;
    let mode = child["HostConfig"]["NetworkMode"].as_str().unwrap().to_owned();
    assert_eq!(mode, format!("container:{}", made["Id"].as_str().unwrap()));
    assert_ne!(child["Id"], old_child);
    let all = engine.docker(&["ps", "--all", "--quiet"]).await;
    assert_eq!(all.lines().count(), 2, "the old child is cleared away: {all}");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_foreigner_has_is_left_to_him() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    engine.run(&idle("ws-1")).await;
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    watch.found("ws-1").await;
    engine.docker(&["rm", "--force", "ws-1"]).await;
    watch.looks_like("ws-1", |look| look.sighting.status == Status::Missing).await;
    let foreigner = idle("ws-1").label("reprieve.workspace", "other");
    let id = engine.run(&foreigner).await;
    let refused = watch.restart("ws-1", 1).await.expect_err("the name is taken").to_string();
    assert!(refused.contains("the name ws-1 is taken"), "{refused}");
    assert_eq!(engine.inspect(&id).await["State"]["Status"], "running");
    engine.docker(&["rm", "--force", "ws-1"]).await;
    watch.restart("ws-1", 2).await.expect("the name is free");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_a_killed_host_had_sent_is_not_sent_again() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    engine.run(&idle("ws-1")).await;
    let socket = LyingSocket::before(engine.socket());
    let limits = CallLimits::default();
    let mut watch = Watch::through(socket.path(), state.path().to_owned(), limits).await;
    let before = watch.found("ws-1").await.mark;
    socket.lie_about("/restart", Lie::Swallow);
    let docker = Arc::clone(&watch.docker);
    let order = tokio::spawn(async move { docker.restart(&order("ws-1", 1)).await });
    let after = watch.looks_like("ws-1", |look| look.mark != before).await.mark;
    watch.docker.shutdown().await;
    order.await.unwrap().expect_err("the host is gone before it hears of it");

    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    watch.found("ws-1").await;
    assert_eq!(watch.restart("ws-1", 1).await.unwrap().mark, after);
    assert_eq!(starts(&engine, "ws-1").await, 2, "its own and that of the order");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_ours_is_no_persons_doing() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    engine.run(&idle("ws-1")).await;
    watch.found("ws-1").await;
    let mark = watch.restart("ws-1", 1).await.unwrap().mark;
    assert_eq!(watch.kinds("ws-1", 1).await, [Stopped]);
    let event = watch.event("ws-1").await;
    assert_eq!((event.kind, event.mark), (Started, mark));
    watch.docker.stop(&ws("ws-1")).await.unwrap();
    assert_eq!(watch.kinds("ws-1", 1).await, [Stopped]);
    engine.docker(&["start", "ws-1"]).await;
    assert_eq!(watch.kinds("ws-1", 1).await, [Started]);
    engine.docker(&["stop", "ws-1"]).await;
    assert_eq!(watch.kinds("ws-1", 2).await, [Stopped, StoppedByHand], "that was a person");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_daemon_is_seen_as_blindness_and_given_no_order_twice() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    engine.run(&idle("ws-1")).await;
    let second = Duration::from_secs(1);
    let limits = CallLimits { question: second, act: second, ..CallLimits::default() };
    let mut watch = Watch::through(engine.socket(), state.path().to_owned(), limits).await;
    let before = watch.found("ws-1").await.mark;
    engine.freeze().await;
    assert_eq!(watch.look("ws-1").await, Err(ProbeFault::TimedOut));
    let blind = watch.restart("ws-1", 1).await.expect_err("nobody can be asked");
    assert!(matches!(blind, RestartFailure::Refused { .. }), "{blind}: it was not sent");
    engine.thaw().await;
    let look = watch.looks_like("ws-1", |look| look.sighting.status == Status::Running).await;
    assert_eq!(look.mark, before, "the order was not sent");
    assert_ne!(watch.restart("ws-1", 1).await.expect("it is now").mark, before);
    assert_eq!(starts(&engine, "ws-1").await, 2);
    watch.docker.shutdown().await;
}
