//! Every class of failure, told from the real thing.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use reprieve_core::{
    decision::Finding, judgement::ForwardFailure, queue::StoredRequest, time::Millis,
};
use reprieve_server::proxy::{Deliverer, Fleet, ProxyOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use url::Url;

use crate::world::{Asked, PATIENCE, World, message, raw, read_request, upstream, url_of};

fn impatient() -> ProxyOptions {
    ProxyOptions { idle_timeout: Duration::from_millis(200), ..ProxyOptions::default() }
}

async fn nobody() -> Option<Url> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Some(url_of(listener.local_addr().unwrap()))
}

/// Closes with a reset, as the kernel of a crashed process does.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

async fn answers_with(text: &'static str) -> Option<Url> {
    raw(move |mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(text.as_bytes()).await.unwrap();
    })
    .await
}

async fn holds() -> Option<Url> {
    raw(|mut stream| async move {
        read_request(&mut stream).await;
        // Ends when the proxy gives up.
        let _ = stream.read(&mut [0]).await;
    })
    .await
}

async fn resets() -> Option<Url> {
    raw(|mut stream| async move {
        read_request(&mut stream).await;
        reset(stream);
    })
    .await
}

#[tokio::test]
async fn each_failure_is_told_from_the_real_thing() {
    // No label of a name is so long, so no resolver needs to be asked.
    let nameless: Url = format!("http://{}.test/", "x".repeat(64)).parse().unwrap();
    for (case, address, expected, status) in [
        ("nobody listens", nobody().await, ForwardFailure::Refused, 502),
        ("reset", resets().await, ForwardFailure::Reset, 502),
        ("closed unanswered", answers_with("").await, ForwardFailure::ClosedEarly, 502),
        (
            "closed within the head",
            answers_with("HTTP/1.1 200 OK\r\nContent-Le").await,
            ForwardFailure::ClosedEarly,
            502,
        ),
        ("silent", holds().await, ForwardFailure::TimedOut, 504),
        ("no address", None, ForwardFailure::Unresolved, 502),
        ("no such name", Some(nameless), ForwardFailure::Unresolved, 502),
        (
            "a bad status",
            answers_with("HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nown").await,
            ForwardFailure::BadStatus(503),
            503,
        ),
        (
            "not HTTP",
            answers_with("SSH-2.0-OpenSSH_9\r\n\r\n").await,
            ForwardFailure::BadStatus(502),
            502,
        ),
    ] {
        let mut world = World::with(address, impatient()).await;
        let answer = world.get("/workspaces/ws-1/x").await;
        assert_eq!(world.next_asked().await, Asked::Failed(expected), "{case}");
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        assert_eq!(answer.header("reprieve-decision"), Some("decision-1"), "{case}");
        if status == 503 {
            assert_eq!(answer.body, "own", "{case}: the workspace's own answer is passed on");
        }
    }
}

#[tokio::test]
async fn every_bad_status_is_judged_and_no_other() {
    for (status, judged) in [
        (500, false),
        (501, false),
        (502, true),
        (504, true),
        (519, false),
        (520, true),
        (524, true),
    ] {
        let address = upstream(move |_| async move {
            Response::builder().status(status).body(Body::from("own")).unwrap()
        })
        .await;
        let mut world = World::before(address).await;
        let answer = world.get("/workspaces/ws-1/x").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body, "own", "{status}");
        let expected =
            if judged { Asked::Failed(ForwardFailure::BadStatus(status)) } else { Asked::Answered };
        assert_eq!(world.next_asked().await, expected, "{status}");
    }
}

#[tokio::test]
async fn an_a2a_answer_that_is_lost_confirms_its_delivery() {
    for (case, text, expected) in [
        (
            "closed within the body",
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
            ForwardFailure::ClosedEarly,
        ),
        (
            "closed within a chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{",
            ForwardFailure::ClosedEarly,
        ),
    ] {
        let mut world = World::before(answers_with(text).await).await;
        *world.fleet.finding.lock() = Finding::Busy { retry_after: Millis::from_secs(5) };
        let answer = world.post("/workspaces/ws-1/a2a", message("m-1")).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{case}");
        assert_eq!(answer.json()["delivery_confirmed"], true, "{case}");
        assert_eq!(world.next_asked().await, Asked::Failed(expected), "{case}");
        assert!(world.fleet.items.lock().is_empty(), "{case}: sent again, it is done twice");
    }
}

#[tokio::test]
async fn an_a2a_answer_over_the_limit_is_refused_and_says_so() {
    let address = upstream(|_| async { Response::new(Body::from("x".repeat(2000))) }).await;
    let options = ProxyOptions { response_limit_bytes: 1000, ..ProxyOptions::default() };
    let mut world = World::with(address, options).await;
    let answer = world.post("/workspaces/ws-1/a2a", message("m-1")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json()["delivery_confirmed"], true);
    assert!(answer.json()["error"].as_str().unwrap().contains("1000 bytes"), "{answer:?}");
    assert_eq!(world.next_asked().await, Asked::Answered, "it is alive");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_judged_in_the_background() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let mut world = World::before(answers_with(text).await).await;
    let request = world.request(Method::GET, "/workspaces/ws-1/x").body(Body::empty()).unwrap();
    let mut response = world.send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first");
    assert!(response.body_mut().frame().await.unwrap().is_err(), "the caller sees it break");
    assert_eq!(world.next_asked().await, Asked::Answered, "its head came");
    assert_eq!(world.next_asked().await, Asked::Failed(ForwardFailure::ClosedEarly));
}

#[tokio::test]
async fn a_stream_that_stalls_is_judged_as_timed_out() {
    let address = raw(|mut stream| async move {
        read_request(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let mut world = World::with(address, impatient()).await;
    let request = world.request(Method::GET, "/workspaces/ws-1/x").body(Body::empty()).unwrap();
    let response = world.send(request).await;
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(world.next_asked().await, Asked::Answered);
    assert_eq!(world.next_asked().await, Asked::Failed(ForwardFailure::TimedOut));
}

#[tokio::test]
async fn a_caller_that_goes_away_is_no_failure_of_the_workspace() {
    for (case, sent) in [
        ("while it waits", "GET /workspaces/ws-1/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "within its body",
            "POST /workspaces/ws-1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nten bytes!",
        ),
    ] {
        let (arrived, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let told = (Arc::clone(&arrived), Arc::clone(&ended));
        let address = raw(move |mut stream| {
            let (arrived, ended) = (Arc::clone(&told.0), Arc::clone(&told.1));
            async move {
                let _ = stream.read(&mut [0; 1024]).await;
                arrived.notify_one();
                // Comes to an end only when the proxy lets go.
                while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
                ended.notify_one();
            }
        })
        .await;
        let mut world = World::before(address).await;
        let mut caller = TcpStream::connect(world.proxy).await.unwrap();
        caller.write_all(sent.as_bytes()).await.unwrap();
        arrived.notified().await;
        drop(caller);
        tokio::time::timeout(PATIENCE, ended.notified()).await.expect("the proxy lets go");
        // What is asked next is about the next request: nothing was asked before.
        world.fleet.route.lock().address = nobody().await;
        world.get("/workspaces/ws-1/x").await;
        assert_eq!(world.next_asked().await, Asked::Failed(ForwardFailure::Refused), "{case}");
    }
}

#[tokio::test]
async fn signs_of_life_extend_the_wait() {
    let world = World::with(None, impatient()).await;
    *world.fleet.newest_sign.lock() = Some(Millis(10));
    let asked = Arc::clone(&world.fleet.sign_asked);
    let address = raw(move |mut stream| {
        let asked = Arc::clone(&asked);
        async move {
            read_request(&mut stream).await;
            // Each question means that an idle time-out has passed.
            asked.notified().await;
            asked.notified().await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await.unwrap();
        }
    })
    .await;
    world.fleet.route.lock().address = address;
    assert_eq!(world.get("/workspaces/ws-1/x").await.body, "late");
}

#[tokio::test]
async fn a_queued_request_is_delivered_and_its_failures_are_told() {
    let request = StoredRequest {
        method: "POST".into(),
        path: "/rpc?x".into(),
        headers: vec![("a2a-version".into(), b"1.0".to_vec())],
        body: b"{}".to_vec(),
    };
    let world = World::before(None).await;
    let deliverer = Deliverer::new(impatient());
    let route = |address| {
        let mut route = world.fleet.route(&"ws-1".parse().unwrap()).unwrap();
        route.address = address;
        route
    };
    let echo = upstream(|request| async move {
        let place = format!("{} {}", request.method(), request.uri());
        let version = request.headers()["a2a-version"].to_str().unwrap().to_owned();
        Response::new(Body::from(format!("{place} {version}")))
    })
    .await;
    let answer = deliverer.deliver(&route(echo), &request, || None).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.body), "POST /rpc?x 1.0");
    for (case, address, expected) in [
        ("no address", None, Some(ForwardFailure::Unresolved)),
        ("nobody listens", nobody().await, Some(ForwardFailure::Refused)),
        ("silent", holds().await, Some(ForwardFailure::TimedOut)),
        ("reset", resets().await, Some(ForwardFailure::Reset)),
        (
            "a bad status",
            answers_with("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n").await,
            Some(ForwardFailure::BadStatus(502)),
        ),
    ] {
        let failure = deliverer.deliver(&route(address), &request, || None).await.unwrap_err();
        assert_eq!(failure.failure, expected, "{case}: {failure}");
    }
    let lost = answers_with("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{").await;
    let answer = deliverer.deliver(&route(lost), &request, || None).await.unwrap();
    assert_eq!(answer.status, 502);
    assert!(String::from_utf8_lossy(&answer.body).contains("\"delivery_confirmed\":true"));
}
