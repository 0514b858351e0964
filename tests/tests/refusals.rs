//! What is refused, and in which words: reports of workspaces with wrong tokens
//! or forbidden addresses, a port in use.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{net::TcpListener, process::Command};

use reprieve_server::proxy::fleet::{Fleet as _, Heartbeat, Registration, ReportRefused};
use reprieve_tests::{Stage, StageOptions, reprieve, ws};

#[tokio::test(start_paused = true)]
async fn a_report_needs_the_workspaces_own_token() {
    let stage = Stage::set(StageOptions::default()).await;
    for (case, token) in [("none", None), ("empty", Some("")), ("wrong", Some("a token"))] {
        let beat = stage.supervisor.heartbeat(&ws(1), token, Heartbeat::default()).await;
        assert_eq!(beat, Err(ReportRefused::WrongToken), "{case}");
        let registered = stage.supervisor.register(&ws(1), token, Registration::default()).await;
        assert_eq!(registered, Err(ReportRefused::WrongToken), "{case}");
    }
    let stranger = stage.supervisor.heartbeat(&ws(9), Some("x"), Heartbeat::default()).await;
    assert_eq!(stranger, Err(ReportRefused::UnknownWorkspace(ws(9))));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_no_backend_owns_must_be_public() {
    let stage = Stage::set(StageOptions::default()).await;
    for (url, allowed) in [
        ("http://169.254.169.254/latest/meta-data", false),
        ("http://10.0.0.7:8000/", false),
        ("http://127.0.0.1:22/", false),
        ("http://[::ffff:169.254.169.254]/", false),
        ("ftp://example.com/", false),
        ("http://93.184.216.34:8000/", true),
        ("http://ws-1.test:80/", true),
    ] {
        let registration =
            Registration { url: Some(url.parse().unwrap()), ..Registration::default() };
        let registered = stage.register(1, registration).await;
        assert_eq!(registered.is_ok(), allowed, "{url}: {registered:?}");
    }
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let state = tempfile::tempdir().unwrap();
    let config = state.path().join("reprieve.toml");
    std::fs::write(&config, format!("[proxy]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    let run = Command::new(reprieve())
        .args(["run", "--config"])
        .arg(&config)
        .arg("--state-dir")
        .arg(state.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{told}");
    for part in [&*format!("127.0.0.1:{port}"), "proxy.listen", "choose another"] {
        assert!(told.contains(part), "{told}");
    }
}
