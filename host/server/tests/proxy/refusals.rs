//! What is refused, with a clear sentence, before any workspace sees it.

use axum::body::Body;
use http::{Method, Response, StatusCode};
use reprieve_server::proxy::fleet::{Heartbeat, Registration};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::world::{Asked, PATIENCE, TOKEN, World, message, upstream};

/// In front of a workspace that must not be reached.
async fn unreachable_world() -> World {
    let address = upstream(|request| async move {
        panic!("{} {} reached the workspace", request.method(), request.uri());
        #[allow(unreachable_code)]
        Response::new(Body::empty())
    })
    .await;
    World::before(address).await
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let world = unreachable_world().await;
    let answer = world.post("/workspaces/ws-1/a2a", vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        answer.json(),
        json!({"error": "the body is larger than 1048576 bytes, the most that is taken"})
    );
}

#[tokio::test]
async fn malformed_requests_are_told_what_is_wrong_with_them() {
    let world = unreachable_world().await;
    for (body, code, place) in [
        ("{\"jsonrpc\": \"2.0\", ", -32_700, "line 1 column"),
        ("[]", -32_600, "batch"),
        (r#"{"jsonrpc":"1.0","method":"x"}"#, -32_600, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","id":4}"#, -32_600, "method"),
    ] {
        let answer = world.post("/workspaces/ws-1/a2a", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{body}");
        assert!(error["message"].as_str().unwrap().contains(place), "{body}: {error}");
    }
}

#[tokio::test]
async fn nobody_forges_a_system_caller() {
    let world = unreachable_world().await;
    for (method, path) in [
        (Method::POST, "/workspaces/ws-1/a2a"),
        (Method::GET, "/workspaces/ws-1/x"),
        (Method::POST, "/workspaces/ws-1/heartbeat"),
    ] {
        for name in ["reprieve-caller", "x-reprieve-caller", "x-system-caller"] {
            let request = world
                .request(method.clone(), path)
                .header(name, "supervisor")
                .body(Body::from(message("m-1")))
                .unwrap();
            let answer = world.read(request).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {name}");
            assert!(answer.json()["error"].as_str().unwrap().contains(name), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_private_address_that_no_backend_owns_is_not_connected_to() {
    let world = unreachable_world().await;
    world.fleet.route.lock().owned = false;
    // Both ways in: an address in numbers, and a name that leads to one.
    let port = world.fleet.route.lock().address.as_ref().unwrap().port().unwrap();
    for address in [format!("http://127.0.0.1:{port}/"), format!("http://localhost:{port}/")] {
        world.fleet.route.lock().address = Some(address.parse().unwrap());
        for answer in [
            world.get("/workspaces/ws-1/x").await,
            world.post("/workspaces/ws-1/a2a", message("m-1")).await,
        ] {
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{address}");
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(error.contains("does not connect to"), "{address}: {error}");
        }
    }
    assert!(world.fleet.items.lock().is_empty());
}

#[tokio::test]
async fn no_path_leads_past_the_proxy() {
    let world = unreachable_world().await;
    for (path, status) in [
        ("/workspaces/ws-1/../ws-2/x", 400),
        ("/workspaces/ws-1/%2e%2e/ws-2/x", 400),
        ("/workspaces/ws-1/a%2f..%2f..%2fb", 400),
        ("/workspaces/ws-1/..%5c..%5cb", 400),
        ("/workspaces/ws-1/%252e%252e/x", 400),
        ("/workspaces/../admin", 400),
        ("/workspaces/%2e%2e/admin", 400),
        ("/workspaces/ws-1%2f..%2fws-2/x", 400),
        ("/workspaces//x", 400),
        ("/workspaces/ws-2/x", 404),
        ("/workspaces", 404),
        ("/", 404),
        ("/admin", 404),
        ("http://10.0.0.1/workspaces/ws-2/x", 404),
    ] {
        // By hand: a client would tidy the path up.
        let mut stream = TcpStream::connect(world.proxy).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains("\"error\":"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_wrong_priority_is_named() {
    let world = unreachable_world().await;
    let request = world
        .request(Method::POST, "/workspaces/ws-1/a2a")
        .header("reprieve-priority", "urgent")
        .body(Body::from(message("m-1")))
        .unwrap();
    let answer = world.read(request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["error"].as_str().unwrap().contains("reprieve-priority"));
}

#[tokio::test]
async fn a_workspace_reports_with_its_token_and_in_its_words() {
    let mut world = unreachable_world().await;
    let (ws1, ws2) = ("/workspaces/ws-1", "/workspaces/ws-2");
    let (beat1, beat2) = ("/workspaces/ws-1/heartbeat", "/workspaces/ws-2/heartbeat");
    for (case, method, path, token, body, status, says) in [
        ("a wrong token", Method::PUT, ws1, Some("wrong"), "{}", 401, "token"),
        ("no token", Method::POST, beat1, None, "{}", 401, "token"),
        ("an unknown workspace", Method::POST, beat2, Some(TOKEN), "{}", 404, "ws-2"),
        ("unknown to register", Method::PUT, ws2, Some(TOKEN), "{}", 404, "ws-2"),
        ("no JSON", Method::PUT, ws1, Some(TOKEN), "{", 400, "JSON"),
        ("an unknown field", Method::PUT, ws1, Some(TOKEN), r#"{"uri":"x"}"#, 400, "uri"),
        (
            "a wrong type",
            Method::POST,
            beat1,
            Some(TOKEN),
            r#"{"spare_capacity":"x"}"#,
            400,
            "spare_capacity",
        ),
        ("no URL", Method::PUT, ws1, Some(TOKEN), r#"{"url":"nowhere"}"#, 400, "url"),
        (
            "a private URL",
            Method::PUT,
            ws1,
            Some(TOKEN),
            r#"{"url":"http://10.0.0.1/"}"#,
            400,
            "private",
        ),
        (
            "a metadata URL",
            Method::PUT,
            ws1,
            Some(TOKEN),
            r#"{"url":"http://169.254.169.254/"}"#,
            400,
            "metadata",
        ),
        ("a wrong method", Method::DELETE, beat1, Some(TOKEN), "", 405, "POST"),
    ] {
        let mut request = world.request(method, path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = world.read(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(says), "{case}: {error}");
    }
    for (method, path, body, status, asked) in [
        (
            Method::PUT,
            ws1,
            r#"{"url":"https://agent.example/","queues_for_itself":true}"#,
            StatusCode::OK,
            Asked::Registered(Registration {
                url: Some("https://agent.example/".parse().unwrap()),
                queues_for_itself: Some(true),
                revision: None,
            }),
        ),
        (
            Method::POST,
            beat1,
            r#"{"spare_capacity":2}"#,
            StatusCode::NO_CONTENT,
            Asked::Beat(Heartbeat { spare_capacity: Some(2), life: None }),
        ),
        (Method::POST, beat1, "", StatusCode::NO_CONTENT, Asked::Beat(Heartbeat::default())),
    ] {
        let request = world
            .request(method, path)
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::from(body))
            .unwrap();
        assert_eq!(world.read(request).await.status, status, "{path} {body}");
        assert_eq!(world.next_asked().await, asked, "{path} {body}");
    }
}
