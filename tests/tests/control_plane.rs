//! The `http` backend against a real server: every state, every misbehaviour,
//! and orders whose answers are lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{path::Path, sync::Arc, time::Duration};

use reprieve_core::{
    evidence::{ProbeFault, Status},
    ids::{LifeId, Revision, WorkspaceId},
    judgement::RestartCause,
    ports::{
        LifeMark, Probe as _, RestartFailure, RestartOrder, Restarter as _, RuntimeEvent,
        RuntimeEventKind,
    },
    time::Millis,
};
use reprieve_server::{
    backend::http::{ControlPlane, ControlPlaneOptions, InvalidControlPlane},
    clock::HostClock,
    config::Secret,
};
use reprieve_tests::control_plane::{
    AUTHORITY, Call, Certificate, Fault, MockControlPlane, STRANGER,
};
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Far longer than an answer over loopback takes on a busy machine, except for
/// one that stalls.
const CALL_TIMEOUT: Millis = Millis(500);
const LIMIT: Millis = Millis(1_500);
const TOKEN: &str = "a-token-of-the-control-plane";
const INSTANT: Duration = Duration::ZERO;
/// Too long for a test to see its end.
const EVER: Duration = Duration::from_secs(3_600);

fn ws() -> WorkspaceId {
    "ws-1".parse().unwrap()
}

fn options(url: url::Url) -> (ControlPlaneOptions, mpsc::Receiver<RuntimeEvent>) {
    let (events, receiver) = mpsc::channel(64);
    let token = Some(Secret::new(TOKEN.to_owned()));
    let mut options =
        ControlPlaneOptions::new("cloud", url, token, Arc::new(HostClock::start()), events);
    options.call_timeout = CALL_TIMEOUT;
    options.stop_limit = LIMIT;
    options.start_limit = LIMIT;
    options.look_pause = Millis(5);
    (options, receiver)
}

fn connect(mock: &MockControlPlane) -> (ControlPlane, mpsc::Receiver<RuntimeEvent>) {
    mock.require_token(TOKEN);
    let (options, events) = options(mock.url());
    (ControlPlane::new(options).unwrap(), events)
}

fn order(life: u64) -> RestartOrder {
    RestartOrder {
        workspace: ws(),
        life: LifeId(life),
        cause: RestartCause::Operator,
        revision: Revision(0),
    }
}

async fn until_status(plane: &ControlPlane, status: Status) {
    let mut look = interval(LOOK_EVERY);
    let seen = timeout(PATIENCE, async {
        while plane.look(&ws()).await.unwrap().sighting.status != status {
            look.tick().await;
        }
    });
    assert!(seen.await.is_ok(), "never {status:?}");
}

#[tokio::test]
async fn every_state_is_seen_as_what_it_is() {
    let half_second = Duration::from_millis(500);
    let mock = MockControlPlane::start(half_second, half_second).await;
    let (plane, mut events) = connect(&mock);
    let look = || async { plane.look(&ws()).await.unwrap() };
    assert_eq!(look().await.sighting.status, Status::Missing, "never started");

    mock.start_by_hand(&ws());
    let pending = look().await;
    assert_eq!(pending.sighting.status, Status::Starting, "pending is no death");
    until_status(&plane, Status::Running).await;
    let running = look().await;
    assert_eq!(running.mark, pending.mark, "the same run");
    assert!(running.sighting.uptime.is_some());
    let told = events.try_recv().unwrap();
    assert_eq!((told.kind, &told.mark), (RuntimeEventKind::Started, &running.mark));
    assert!(told.address.is_some());
    assert!(events.try_recv().is_err(), "an address is told once");

    mock.stop_by_hand(&ws());
    let stopping = look().await.sighting;
    assert_eq!((stopping.status, stopping.ended), (Status::Stopped, None), "no end yet");
    let mut tick = interval(LOOK_EVERY);
    let ended = timeout(PATIENCE, async {
        loop {
            tick.tick().await;
            if let Some(ended) = look().await.sighting.ended {
                return ended;
            }
        }
    });
    assert!(ended.await.unwrap() < Millis::from_secs(5));

    mock.start_by_hand(&ws());
    assert_ne!(look().await.mark, running.mark, "another run");
    mock.crash(&ws());
    let crashed = look().await.sighting;
    assert_eq!((crashed.status, crashed.exit_code), (Status::Stopped, Some(1)));
    mock.terminate(&ws());
    assert_eq!(look().await.sighting.status, Status::Missing);
    mock.forget(&ws());
    assert_eq!(look().await.sighting.status, Status::Missing);
}

#[tokio::test]
async fn no_clear_answer_is_a_fault_and_never_a_death() {
    let mock = MockControlPlane::start(INSTANT, INSTANT).await;
    let (plane, _events) = connect(&mock);
    mock.start_by_hand(&ws());
    let answer = |status, body: &str| Fault::Answer { status, body: body.to_owned() };
    let raw = |bytes: &str| Fault::Raw(bytes.as_bytes().to_vec());
    let too_long =
        format!(r#"{{"state":"terminated","id":"i-0abc","padding":"{}"}}"#, "x".repeat(64 << 10));
    let elsewhere =
        format!("HTTP/1.1 302 Found\r\nlocation: {}x\r\ncontent-length: 0\r\n\r\n", mock.url());
    for (case, fault, expected) in [
        ("no answer", Fault::Stalls, ProbeFault::TimedOut),
        ("a body that stalls", Fault::StallsInBody, ProbeFault::TimedOut),
        ("cut", Fault::Cut, ProbeFault::ClosedEarly),
        ("cut in the body", Fault::CutInBody, ProbeFault::ClosedEarly),
        ("no HTTP", raw("SSH-2.0-OpenSSH_9.2\r\n"), ProbeFault::Malformed),
        ("a body over the cap", answer(200, &too_long), ProbeFault::Malformed),
        ("no JSON", answer(200, "<html>"), ProbeFault::Malformed),
        ("an unknown state", answer(200, r#"{"state":"gone","id":"i"}"#), ProbeFault::Malformed),
        ("an empty object", answer(200, "{}"), ProbeFault::Malformed),
        ("the 404 of a web server", answer(404, "<h1>Not Found</h1>"), ProbeFault::Malformed),
        ("a 404 about something else", Fault::error(404, "internal"), ProbeFault::Malformed),
        ("not found without its status", Fault::error(200, "not_found"), ProbeFault::Malformed),
        ("denied", Fault::error(403, "denied"), ProbeFault::Denied),
        ("overloaded", Fault::error(503, "overloaded"), ProbeFault::Overloaded),
        ("too many requests", answer(429, ""), ProbeFault::Overloaded),
        ("a fault of its own", Fault::error(500, "internal"), ProbeFault::Malformed),
        ("a gateway", answer(502, "<h1>Bad Gateway</h1>"), ProbeFault::Malformed),
        ("a redirect", raw(&elsewhere), ProbeFault::Malformed),
    ] {
        mock.go_wrong(Call::Look, [fault], false);
        assert_eq!(plane.look(&ws()).await.unwrap_err(), expected, "{case}");
        assert_eq!(plane.look(&ws()).await.unwrap().sighting.status, Status::Running, "{case}");
    }
    let (closed, _events) = options("http://127.0.0.1:1/v1".parse().unwrap());
    let nobody = ControlPlane::new(closed).unwrap();
    assert_eq!(nobody.look(&ws()).await.unwrap_err(), ProbeFault::Unreachable);
}

#[tokio::test]
async fn the_token_is_needed_and_shown_nowhere() {
    let mock = MockControlPlane::start(INSTANT, INSTANT).await;
    mock.start_by_hand(&ws());
    let (plane, _events) = connect(&mock);
    assert!(plane.look(&ws()).await.is_ok());
    let shown = format!("{plane:?} {:?}", options(mock.url()).0);
    assert!(!shown.contains(TOKEN), "{shown}");

    mock.require_token("another-token-of-the-plane");
    assert_eq!(plane.look(&ws()).await.unwrap_err(), ProbeFault::Denied);
    let refused = plane.restart(&order(1)).await.unwrap_err();
    assert!(matches!(&refused, RestartFailure::Refused { detail } if detail.contains("token")));
    assert!(!refused.to_string().contains(TOKEN), "{refused}");
    assert_eq!(mock.orders(), []);
}

/// The control plane shows that certificate, and the backend trusts whom the file
/// names.
async fn over_https(
    certificate: Certificate,
    ca_file: Option<&Path>,
) -> (MockControlPlane, ControlPlane) {
    let mock = MockControlPlane::start_with(certificate).await;
    mock.require_token(TOKEN);
    mock.start_by_hand(&ws());
    let (mut options, _events) = options(mock.url());
    options.ca_file = ca_file.map(Path::to_owned);
    (mock, ControlPlane::new(options).unwrap())
}

#[tokio::test]
async fn over_https_the_authority_that_the_operator_names_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    // Several may vouch, and such a file often holds words for people, too.
    std::fs::write(&ca_file, [STRANGER, b"# ours\n", AUTHORITY].concat()).unwrap();
    let (mock, plane) = over_https(Certificate::Here, Some(&ca_file)).await;
    let before = plane.look(&ws()).await.unwrap();
    assert_eq!(before.sighting.status, Status::Running);
    let started = plane.restart(&order(1)).await.unwrap();
    assert_ne!(started.mark, before.mark);
    assert_eq!((mock.count(Call::Stop), mock.count(Call::Start)), (1, 1));
}

#[tokio::test]
async fn over_https_whoever_is_not_trusted_is_told_nothing_and_no_death_comes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, AUTHORITY).unwrap();
    let ours = Some(&*ca_file);
    for (case, certificate, trusted, words) in [
        ("the authority is unknown", Certificate::HereByAStranger, ours, "UnknownIssuer"),
        ("it is for somebody else", Certificate::Elsewhere, ours, "not valid for name"),
        ("the machine does not know it", Certificate::Here, None, "UnknownIssuer"),
    ] {
        let (mock, plane) = over_https(certificate, trusted).await;
        assert_eq!(plane.look(&ws()).await.unwrap_err(), ProbeFault::Unreachable, "{case}");
        let refused = plane.restart(&order(1)).await.unwrap_err();
        assert!(matches!(refused, RestartFailure::Refused { .. }), "{case}: {refused}");
        for part in ["nothing was ordered", "certificate is not trusted", "ca_file", words] {
            assert!(refused.to_string().contains(part), "{case}: {refused} lacks {part:?}");
        }
        assert_eq!((mock.looks(), mock.orders()), (0, vec![]), "{case}");
    }
}

#[test]
fn a_control_plane_that_cannot_be_is_refused() {
    for (url, valid) in [
        ("https://cloud.example/v1", true),
        ("http://127.0.0.1:9000", true),
        ("ftp://cloud.example/", false),
        ("unix:/run/cloud.sock", false),
        ("https://me:secret@cloud.example/", false),
        ("https://cloud.example/v1?x=1", false),
    ] {
        let made = ControlPlane::new(options(url.parse().unwrap()).0);
        assert_eq!(made.is_ok(), valid, "{url}");
        let said = made.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(!said.contains("secret"), "{said}");
    }
    for token in ["", "of two words", "of\nlines"] {
        let (mut wrong, _) = options("https://cloud.example/v1".parse().unwrap());
        wrong.token = Some(Secret::new(token.to_owned()));
        let made = ControlPlane::new(wrong);
        assert!(matches!(made, Err(InvalidControlPlane::Token { .. })), "{token:?}");
    }
}

#[tokio::test]
async fn a_restart_is_one_stop_and_one_start_and_done_when_the_start_is_taken() {
    let pending = Duration::from_millis(300);
    let mock = MockControlPlane::start(pending, Duration::from_millis(200)).await;
    let (plane, mut events) = connect(&mock);
    mock.start_by_hand(&ws());
    until_status(&plane, Status::Running).await;
    let before = plane.look(&ws()).await.unwrap().mark;
    events.try_recv().unwrap();

    let (started, seen) = tokio::join!(async { plane.restart(&order(7)).await }, async {
        until_status(&plane, Status::Restarting).await;
        plane.look(&ws()).await.unwrap()
    });
    let started = started.unwrap();
    assert_eq!(seen.mark, before, "the run that ends");
    assert_eq!(started.address, None, "it is pending");
    let look = plane.look(&ws()).await.unwrap();
    assert_eq!((look.sighting.status, &look.mark), (Status::Starting, &started.mark));
    let orders: Vec<_> = mock.orders().into_iter().map(|of| (of.call, of.key)).collect();
    assert_eq!(orders, [(Call::Stop, "7".to_owned()), (Call::Start, "7".to_owned())]);

    let told = timeout(PATIENCE, events.recv()).await.expect("its address is told").unwrap();
    assert_eq!(told.mark, started.mark);
    assert!(told.address.is_some());
}

#[tokio::test]
async fn the_same_life_twice_begins_one_run_even_after_the_host_was_killed() {
    let mock = MockControlPlane::start(EVER, INSTANT).await;
    let (plane, _events) = connect(&mock);
    let both = tokio::join!(async { plane.restart(&order(3)).await }, async {
        plane.restart(&order(3)).await
    });
    assert_eq!(both.0.unwrap(), both.1.unwrap());
    assert_eq!((mock.begun(), mock.count(Call::Start)), (1, 1));

    let (next_host, _events) = connect(&mock);
    let again = next_host.restart(&order(3)).await.unwrap();
    assert_eq!(again.mark, plane.look(&ws()).await.unwrap().mark);
    assert_eq!((mock.begun(), mock.ended_live()), (1, 0));

    plane.restart(&order(4)).await.unwrap();
    assert_eq!((mock.begun(), mock.ended_live()), (2, 1));
    let late = plane.restart(&order(3)).await;
    assert!(matches!(late, Err(RestartFailure::Refused { .. })), "{late:?}");
    assert_eq!(mock.begun(), 2);
}

/// Each leaves open whether the order was taken.
fn unclear_answers() -> [(&'static str, Fault); 8] {
    let answer = |status, body: &str| Fault::Answer { status, body: body.to_owned() };
    [
        ("stalls", Fault::Stalls),
        ("stalls in the body", Fault::StallsInBody),
        ("cut", Fault::Cut),
        ("cut in the body", Fault::CutInBody),
        ("no JSON", answer(200, "taken!")),
        ("a fault of its own", Fault::error(500, "internal")),
        ("a gateway's time-out", answer(504, "")),
        ("another order is under way", Fault::error(409, "conflict")),
    ]
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_followed_up_and_not_repeated() {
    for call in [Call::Stop, Call::Start] {
        for (case, fault) in unclear_answers() {
            let mock = MockControlPlane::start(INSTANT, INSTANT).await;
            let (plane, _events) = connect(&mock);
            mock.start_by_hand(&ws());
            mock.go_wrong(call, [fault], true);
            let started = plane.restart(&order(1)).await;
            let mark = plane.look(&ws()).await.unwrap().mark;
            assert_eq!(started.unwrap().mark, mark, "{call:?} {case}");
            let counts = (mock.count(Call::Stop), mock.count(Call::Start), mock.begun());
            assert_eq!(counts, (1, 1, 2), "{call:?} {case}");
        }
    }
}

#[tokio::test]
async fn an_order_that_was_lost_is_given_up_and_not_repeated() {
    for (call, orders) in [(Call::Stop, (1, 0)), (Call::Start, (1, 1))] {
        let mock = MockControlPlane::start(INSTANT, INSTANT).await;
        let (plane, _events) = connect(&mock);
        mock.start_by_hand(&ws());
        mock.go_wrong(call, [Fault::Stalls], false);
        let given_up = plane.restart(&order(1)).await;
        assert_eq!(given_up, Err(RestartFailure::TimedOut { after: LIMIT }), "{call:?}");
        assert_eq!((mock.count(Call::Stop), mock.count(Call::Start)), orders, "{call:?}");
    }
}

#[tokio::test]
async fn an_order_that_is_refused_is_refused_with_the_reason() {
    for (call, status, code, words) in [
        (Call::Stop, 403, "denied", "check the token"),
        (Call::Stop, 503, "overloaded", "is overloaded"),
        (Call::Start, 403, "denied", "check the token"),
        (Call::Start, 429, "overloaded", "is overloaded"),
        (Call::Start, 404, "not_found", "knows no such instance"),
        (Call::Start, 400, "internal", "status 400"),
    ] {
        let mock = MockControlPlane::start(INSTANT, INSTANT).await;
        let (plane, _events) = connect(&mock);
        mock.start_by_hand(&ws());
        mock.go_wrong(call, [Fault::error(status, code)], false);
        let refused = plane.restart(&order(1)).await.unwrap_err();
        assert!(matches!(refused, RestartFailure::Refused { .. }), "{call:?} {status}: {refused}");
        assert!(refused.to_string().contains(words), "{call:?} {status}: {refused}");
        assert_eq!(mock.begun(), 1, "{call:?} {status}");
    }
}

#[tokio::test]
async fn what_cannot_be_seen_is_not_stopped() {
    let mock = MockControlPlane::start(INSTANT, INSTANT).await;
    let (plane, _events) = connect(&mock);
    mock.start_by_hand(&ws());
    mock.go_wrong(Call::Look, [Fault::Cut], false);
    let refused = plane.restart(&order(1)).await;
    assert!(matches!(refused, Err(RestartFailure::Refused { .. })), "{refused:?}");
    assert_eq!((mock.orders(), mock.ended_live()), (vec![], 0));
}

#[tokio::test]
async fn a_run_that_somebody_else_began_meanwhile_is_taken_as_it_is() {
    let mock = MockControlPlane::start(INSTANT, EVER).await;
    let (plane, _events) = connect(&mock);
    mock.start_by_hand(&ws());
    let (started, theirs) = tokio::join!(async { plane.restart(&order(1)).await }, async {
        until_status(&plane, Status::Restarting).await;
        mock.start_by_hand(&ws());
        mock.state_of(&ws())
    });
    let mark = format!("i-0abc@{}", theirs["started_at_ms"]);
    assert_eq!(started.unwrap().mark, Some(LifeMark(mark)));
    assert_eq!((mock.ended_live(), mock.count(Call::Start)), (1, 0));
}

#[tokio::test]
async fn a_stop_ends_the_run_once_and_begins_none() {
    let mock = MockControlPlane::start(INSTANT, Duration::from_millis(50)).await;
    let (plane, _events) = connect(&mock);
    plane.stop(&ws()).await.expect("nothing to stop");
    mock.start_by_hand(&ws());
    plane.stop(&ws()).await.unwrap();
    assert_eq!(mock.state_of(&ws())["state"], "stopped", "it waits for the end");
    plane.stop(&ws()).await.unwrap();
    assert_eq!((mock.orders().len(), mock.begun()), (1, 1), "{:?}", mock.orders());
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_no_order_along() {
    let mock = MockControlPlane::start(INSTANT, Duration::from_millis(100)).await;
    let (plane, _events) = connect(&mock);
    mock.start_by_hand(&ws());
    let order = order(1);
    let impatient = timeout(Duration::from_millis(30), plane.restart(&order)).await;
    assert!(impatient.is_err(), "it did not wait: {impatient:?}");
    let mut look = interval(LOOK_EVERY);
    let started = timeout(PATIENCE, async {
        while mock.begun() < 2 {
            look.tick().await;
        }
    });
    assert!(started.await.is_ok(), "{:?}", mock.orders());
}
