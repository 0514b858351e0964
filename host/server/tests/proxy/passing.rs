//! What passes through, and how: streamed both ways, nothing lost, nothing
//! added that should not be.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use crate::world::{Asked, PATIENCE, World, message, raw, upstream};

/// A body that is sent as a test says.
struct Fed(mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

fn fed() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (feed, frames) = mpsc::channel(4);
    (feed, Body::new(Fed(frames)))
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// Answers once with a body that the test feeds.
async fn answers_fed(content_type: &'static str) -> (mpsc::Sender<Frame<Bytes>>, Option<url::Url>) {
    let (feed, body) = fed();
    let body = Arc::new(Mutex::new(Some(body)));
    let address = upstream(move |_| {
        let body = body.lock().take().expect("one request");
        async move { Response::builder().header("content-type", content_type).body(body).unwrap() }
    })
    .await;
    (feed, address)
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    for (case, method, path, body) in [
        ("transparent", Method::GET, "/workspaces/ws-1/events", String::new()),
        ("a2a", Method::POST, "/workspaces/ws-1/a2a", message("m-1")),
    ] {
        let (feed, address) = answers_fed("text/event-stream").await;
        let mut world = World::before(address).await;
        let request = world.request(method, path).body(Body::from(body)).unwrap();
        let mut answer = world.send(request).await;
        assert_eq!(answer.status(), StatusCode::OK, "{case}");
        // The second is not sent before the first has arrived.
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            feed.send(data(event)).await.unwrap();
            let frame = timeout(PATIENCE, answer.body_mut().frame()).await.expect(case);
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), event, "{case}");
        }
        drop(feed);
        assert!(answer.body_mut().frame().await.is_none(), "{case}");
        assert_eq!(world.next_asked().await, Asked::Answered, "{case}: the head");
        assert_eq!(world.next_asked().await, Asked::Answered, "{case}: the end");
    }
}

#[tokio::test]
async fn a_request_streams_to_the_workspace_while_it_is_sent() {
    let (got, mut pieces) = mpsc::unbounded_channel();
    let address = upstream(move |request: Request<Body>| {
        let got = got.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                got.send(frame.into_data().unwrap()).unwrap();
            }
            Response::new(Body::from("done"))
        }
    })
    .await;
    let world = World::before(address).await;
    let (feed, body) = fed();
    // A GET with a body, to show that framing does not depend on the method.
    let request = world
        .request(Method::GET, "/workspaces/ws-1/upload")
        .header("transfer-encoding", "chunked")
        .body(body)
        .unwrap();
    let (answer, ()) = tokio::join!(world.read(request), async {
        for piece in ["one", "two"] {
            feed.send(data(piece)).await.unwrap();
            assert_eq!(timeout(PATIENCE, pieces.recv()).await.unwrap().unwrap(), piece);
        }
        drop(feed);
    });
    assert_eq!(answer.body, "done");
}

#[tokio::test]
async fn trailers_pass() {
    let address = upstream(|request: Request<Body>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let (feed, body) = fed();
        feed.send(data("body")).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        feed.send(Frame::trailers(trailers)).await.unwrap();
        Response::builder().header("trailer", "x-sum").body(body).unwrap()
    })
    .await;
    let world = World::before(address).await;
    let request = world
        .request(Method::GET, "/workspaces/ws-1/x")
        .header("te", "trailers")
        .header("connection", "te")
        .body(Body::empty())
        .unwrap();
    let collected = world.send(request).await.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().expect("trailers")["x-sum"], "42");
}

#[tokio::test]
async fn a_websocket_echoes_through() {
    let address = raw(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await;
    let world = World::before(address).await;
    let stream = TcpStream::connect(world.proxy).await.unwrap();
    let url = format!("ws://{}/workspaces/ws-1/socket", world.proxy);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for text in ["first", "second"] {
        socket.send(Message::text(text)).await.unwrap();
        let echoed = timeout(PATIENCE, socket.next()).await.expect("an echo").unwrap().unwrap();
        assert_eq!(echoed, Message::text(text));
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn path_query_method_and_headers_reach_the_workspace_as_they_were() {
    let address = upstream(|request: Request<Body>| async move {
        let seen = json!({
            "method": request.method().as_str(),
            "uri": request.uri().to_string(),
            "host": request.headers()["host"].to_str().unwrap(),
            "for": request.headers()["x-forwarded-for"].to_str().unwrap(),
            "forwarded_host": request.headers()["x-forwarded-host"].to_str().unwrap(),
            "authorization": request.headers()["authorization"].to_str().unwrap(),
            "hop": request.headers().contains_key("x-hop"),
        });
        Response::builder()
            .status(201)
            .header("reprieve-decision", "forged")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body(Body::from(seen.to_string()))
            .unwrap()
    })
    .await;
    let world = World::before(address.clone()).await;
    let request = world
        .request(Method::PATCH, "/workspaces/ws-1/a%2Fb//c%20d?q=%2e%2e&r")
        .header("authorization", "Bearer of-the-caller")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .body(Body::empty())
        .unwrap();
    let answer = world.read(request).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("reprieve-decision"), None);
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    let address = address.unwrap();
    assert_eq!(
        answer.json(),
        json!({
            "method": "PATCH",
            "uri": "/a%2Fb//c%20d?q=%2e%2e&r",
            "host": format!("127.0.0.1:{}", address.port().unwrap()),
            "for": "127.0.0.1",
            "forwarded_host": world.proxy.to_string(),
            "authorization": "Bearer of-the-caller",
            "hop": false,
        })
    );
}

#[tokio::test]
async fn a_redirect_to_the_workspace_leads_to_the_proxy() {
    let address = upstream(|request: Request<Body>| async move {
        let host = request.headers()["host"].to_str().unwrap();
        let to = format!("http://{host}/x/");
        Response::builder().status(307).header("location", to).body(Body::empty()).unwrap()
    })
    .await;
    let world = World::before(address).await;
    let answer = world.get("/workspaces/ws-1/x").await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("location"), Some("/workspaces/ws-1/x/"));
}

#[tokio::test]
async fn an_a2a_request_reaches_the_workspaces_address_made_whole() {
    let address = upstream(|request: Request<Body>| async move {
        let place = request.uri().to_string();
        let version = request.headers().get("a2a-version").cloned();
        let kind = request.headers()["content-type"].clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let seen = json!({
            "place": place,
            "version": version.map(|version| version.to_str().unwrap().to_owned()),
            "type": kind.to_str().unwrap(),
            "method": body["method"],
            "has_id": body["params"]["message"]["messageId"].is_string(),
        });
        Response::new(Body::from(seen.to_string()))
    })
    .await;
    let mut world = World::before(address).await;
    for (path, place) in [
        ("/workspaces/ws-1/a2a", "/"),
        ("/workspaces/ws-1/a2a?tenant=x", "/?tenant=x"),
        ("/workspaces/ws-1/a2a-at/rpc/v1", "/rpc/v1"),
    ] {
        let request = world
            .request(Method::POST, path)
            .header("a2a-version", "1.0")
            .body(Body::from(r#"{"parts":[{"text":"hi"}]}"#))
            .unwrap();
        let answer = world.read(request).await;
        let expected = json!({
            "place": place,
            "version": "1.0",
            "type": "application/json",
            "method": "SendMessage",
            "has_id": true,
        });
        assert_eq!(answer.json(), expected, "{path}");
        assert_eq!(world.next_asked().await, Asked::Answered, "{path}");
    }
}

#[tokio::test]
async fn an_agent_card_leads_to_the_proxy() {
    let address = upstream(|_| async {
        let card = json!({
            "name": "agent",
            "url": "http://localhost:9999/",
            "supportedInterfaces": [{"url": "http://localhost:9999/", "protocolBinding": "JSONRPC"}],
        });
        Response::builder()
            .header("content-type", "application/json")
            .header("etag", "of another text")
            .body(Body::from(card.to_string()))
            .unwrap()
    })
    .await;
    for (public_url, base) in [
        (None, None),
        (Some("https://agents.example/fleet/"), Some("https://agents.example/fleet")),
    ] {
        let options = reprieve_server::proxy::ProxyOptions {
            public_url: public_url.map(|url| url.parse().unwrap()),
            ..Default::default()
        };
        let world = World::with(address.clone(), options).await;
        let base = base.map_or_else(|| format!("http://{}", world.proxy), str::to_owned);
        for path in ["agent-card.json", "agent.json"] {
            let answer = world.get(&format!("/workspaces/ws-1/.well-known/{path}")).await;
            let url = format!("{base}/workspaces/ws-1/a2a");
            assert_eq!(
                answer.json(),
                json!({
                    "name": "agent",
                    "url": url,
                    "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC"}],
                }),
                "{path}"
            );
            assert_eq!(answer.header("etag"), None);
        }
    }
}

#[tokio::test]
async fn a_stop_lets_running_requests_end_and_takes_no_more() {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&arrived), Arc::clone(&go_on));
    let address = upstream(move |_| {
        let (arrived, go_on) = (Arc::clone(&told.0), Arc::clone(&told.1));
        async move {
            arrived.notify_one();
            go_on.notified().await;
            Response::new(Body::from("done"))
        }
    })
    .await;
    let mut world = World::before(address).await;
    let stop = world.stop.take().unwrap();
    let (answer, ()) = tokio::join!(world.get("/workspaces/ws-1/x"), async {
        arrived.notified().await;
        stop.send(()).unwrap();
        go_on.notify_one();
    });
    assert_eq!(answer.body, "done");
    timeout(PATIENCE, &mut world.served).await.expect("an end").unwrap().unwrap();
    assert!(TcpStream::connect(world.proxy).await.is_err(), "nobody listens any more");
}
