//! Workspaces that come, go, end and are stopped by hand, on a real Engine.

use std::time::Duration;

use reprieve_core::{
    evidence::Status,
    ports::RuntimeEventKind::{Started, Stopped, StoppedByHand, Unhealthy},
};
use reprieve_server::backend::{discovery::Discovery, docker::CallLimits};
use reprieve_tests::engine::Engine;

use crate::{
    fixture::{Watch, idle, running, ws},
    socket::LyingSocket,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_is_told_from_what_happens() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    for name in ["ended", "killed", "stopped", "again", "forced", "cleared"] {
        engine.run(&idle(name)).await;
        assert!(watch.found(name).await.runs, "{name}");
    }

    engine.docker(&["kill", "killed"]).await;
    assert_eq!(watch.event("killed").await.kind, Stopped);

    engine.docker(&["stop", "stopped"]).await;
    let marks = [watch.event("stopped").await, watch.event("stopped").await];
    assert_eq!(marks.each_ref().map(|event| event.kind), [Stopped, StoppedByHand]);
    assert_eq!(marks[0].mark, marks[1].mark, "of one run");

    engine.docker(&["restart", "again"]).await;
    let events =
        [watch.event("again").await, watch.event("again").await, watch.event("again").await];
    assert_eq!(events.each_ref().map(|event| event.kind), [Stopped, StoppedByHand, Started]);
    assert_ne!(events[1].mark, events[2].mark, "another run");
    assert!(events[2].address.is_some(), "{events:?}");

    engine.docker(&["rm", "--force", "forced"]).await;
    assert_eq!(watch.kinds("forced", 2).await, [Stopped, Stopped], "its end, and its removal");

    engine.docker(&["stop", "cleared"]).await;
    engine.docker(&["rm", "cleared"]).await;
    assert_eq!(watch.discovery().await, Discovery::Withdrawn(ws("cleared")));
    watch.docker.shutdown().await;

    // Whoever was stopped by hand is found so, and whoever was taken away is not.
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    let mut found = Vec::new();
    while found.len() < 4 {
        if let Discovery::Found(one) = watch.discovery().await {
            found.push((one.id.to_string(), one.runs));
        }
    }
    found.sort();
    let found: Vec<(&str, bool)> = found.iter().map(|(id, runs)| (id.as_str(), *runs)).collect();
    assert_eq!(found, [("again", true), ("ended", true), ("killed", false), ("stopped", false)]);
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_daemon_is_away_is_made_up_for() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    for name in ["one", "two"] {
        engine.run(&idle(name)).await;
        watch.found(name).await;
    }
    engine.kill().await;
    engine.start_again().await;
    engine.until_ready().await;
    for name in ["one", "two"] {
        assert_eq!(watch.event(name).await.kind, Stopped, "{name}: its end was in no stream");
    }
    engine.docker(&["start", "one"]).await;
    // The daemon itself may report the end once more when it finds it.
    let mut kinds = watch.kinds("one", 1).await;
    while kinds == [Stopped] {
        kinds = watch.kinds("one", 1).await;
    }
    assert_eq!(kinds, [Started]);
    engine.run(&idle("three")).await;
    assert!(watch.found("three").await.runs);
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_decide_who_is_taken_on() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    engine.run(&idle("typo").label("reprieve.tenent", "acme")).await;
    engine.run(&idle("older").label("reprieve.workspace", "twice")).await;
    watch.found("twice").await;
    let newer = engine.run(&idle("newer").label("reprieve.workspace", "twice")).await;
    let event = watch.event("twice").await;
    assert_eq!(event.kind, Started, "the newest that runs is the workspace");
    assert!(event.mark.unwrap().0.starts_with(&newer));

    let parent =
        idle("parent").label("reprieve.path", "/a2a").env("REPRIEVE_TOKEN", "0123456789abcdef");
    engine.run(&parent).await;
    let parent = watch.found("parent").await;
    assert_eq!(parent.address.as_ref().map(|address| address.path()), Some("/a2a"));
    assert_eq!(parent.token.as_ref().map(|token| token.reveal()), Some("0123456789abcdef"));
    engine.run(&idle("child").network("container:parent").label("reprieve.port", "9000")).await;
    let child = watch.found("child").await;
    assert_eq!(child.depends_on, [ws("parent")], "whose network it shares");
    let of = |found: &reprieve_server::backend::discovery::Found| {
        found.address.as_ref().and_then(|address| address.host_str().map(str::to_owned))
    };
    assert_eq!(of(&child), of(&parent));

    engine.run(&running("sick", "sleep 1000").health("false", "100ms", 1)).await;
    watch.found("sick").await;
    assert_eq!(watch.event("sick").await.kind, Unhealthy);
    let (_, discoveries) = watch.reported();
    assert!(discoveries.is_empty(), "nobody took the typo on: {discoveries:?}");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_reported_without_a_question() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let socket = LyingSocket::before(engine.socket());
    let limits = CallLimits::default();
    let mut watch = Watch::through(socket.path(), state.path().to_owned(), limits).await;
    let names = ["one", "two", "three", "four"];
    for name in names {
        engine.run(&idle(name)).await;
        assert!(watch.found(name).await.runs, "{name}");
    }
    let asked = socket.questions();
    for name in names {
        engine.docker(&["kill", name]).await;
        let end = watch.end(name).await;
        assert_eq!((end.status, end.exit_code), (Status::Stopped, Some(137)), "{name}");
        assert!(end.ended.is_some(), "{name}: {end:?}");
    }
    assert_eq!(socket.questions(), asked, "nobody was asked");
    let looked = watch.look("one").await.unwrap();
    assert_eq!(looked.sighting.exit_code, Some(137));
    assert_eq!(socket.questions(), asked + 2, "an inspect, and a list because it is down");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_shows_in_its_report_as_it_does_to_a_look() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    let mut watch = Watch::of(&engine, state.path().to_owned()).await;
    engine.run(&running("seven", "sleep 1; exit 7")).await;
    watch.found("seven").await;
    let end = watch.end("seven").await;
    assert_eq!((end.status, end.exit_code, end.out_of_memory), (Status::Stopped, Some(7), false));
    let hungry = running("hungry", "sleep 1; exec tail /dev/zero");
    engine.run(&hungry.more(&["--memory", "16m", "--memory-swap", "16m"])).await;
    watch.found("hungry").await;
    let told = watch.end("hungry").await;
    let looked = watch.look("hungry").await.unwrap().sighting;
    assert_eq!(told.exit_code, Some(137));
    assert_eq!(told.out_of_memory, looked.out_of_memory, "as a look shows it");
    watch.docker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_yet_is_waited_for() {
    let Some(engine) = Engine::start().await else { return };
    let state = tempfile::tempdir().unwrap();
    engine.run(&idle("one")).await;
    engine.freeze().await;
    let limits = CallLimits { question: Duration::from_secs(1), ..CallLimits::default() };
    let mut watch = Watch::through(engine.socket(), state.path().to_owned(), limits).await;
    assert!(watch.look("one").await.is_err(), "nothing is known of it");
    engine.thaw().await;
    assert!(watch.found("one").await.runs);
    watch.docker.shutdown().await;
}
