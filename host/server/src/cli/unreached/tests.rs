//! What both sides say when TLS does not come about: the real listener, the real
//! client.

use std::{future::pending, path::Path, time::Duration};

use axum::Router;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio::{net::TcpListener, time::timeout};

use super::*;
use crate::{
    cli::client::AdminClient,
    logged::Logged,
    serve::{ServeOptions, serve},
    tls,
};

/// For what has no other end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate for that name, good from the beginning of one year to that of
/// another, and its key.
fn certificate(folder: &Path, file: &str, name: &str, years: [i32; 2]) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(file).with_extension("pem"), made.pem()).unwrap();
    std::fs::write(folder.join(file).with_extension("key"), key.serialize_pem()).unwrap();
}

async fn listen(folder: &Path, shows: Option<&str>) -> u16 {
    let tls = shows.map(|name| {
        let file = |extension| folder.join(name).with_extension(extension);
        tls::acceptor(&file("pem"), &file("key")).unwrap()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = ServeOptions { tls, ..ServeOptions::default() };
    tokio::spawn(serve(listener, Router::new(), options, pending()));
    port
}

#[tokio::test]
async fn both_sides_say_why_they_do_not_come_together_and_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    for (file, name, years) in [
        ("good", "127.0.0.1", [2_000, 4_000]),
        ("stranger", "127.0.0.1", [2_000, 4_000]),
        ("elsewhere", "reprieve.example", [2_000, 4_000]),
        ("expired", "127.0.0.1", [2_000, 2_001]),
        ("early", "127.0.0.1", [3_999, 4_000]),
    ] {
        certificate(folder.path(), file, name, years);
    }
    for (case, scheme, shows, trusted, said, logged) in [
        (
            "an authority that is not known",
            "https",
            Some("stranger"),
            "good",
            &["no authority that is trusted", "--ca"][..],
            &["does not trust the certificate", "--ca"][..],
        ),
        (
            "another name",
            "https",
            Some("elsewhere"),
            "elsewhere",
            &["for reprieve.example and not for 127.0.0.1", "or give it one"],
            &["does not trust the certificate"],
        ),
        (
            "expired",
            "https",
            Some("expired"),
            "expired",
            &["expired on 2001-01-01 00:00:00", "admin.tls"],
            &["out of its time", "admin.tls"],
        ),
        (
            "not yet valid",
            "https",
            Some("early"),
            "early",
            &["not valid before 3999-01-01", "clock"],
            &["out of its time", "clock"],
        ),
        (
            "plain HTTP to TLS",
            "http",
            Some("good"),
            "good",
            &["answers no plain HTTP", "https://"],
            &["is not TLS", "https://"],
        ),
        (
            "TLS to plain HTTP",
            "https",
            None,
            "good",
            &["does not speak TLS", "http://"],
            &["is not HTTP", "http://"],
        ),
    ] {
        let (log, _logging) = Logged::begin();
        let port = listen(folder.path(), shows).await;
        let base = format!("{scheme}://127.0.0.1:{port}/");
        let ca = folder.path().join(trusted).with_extension("pem");
        let client =
            AdminClient::new(Url::parse(&base).unwrap(), "secret".into(), Some(&ca)).unwrap();
        let error = format!("{:#}", client.workspaces().await.unwrap_err());
        for part in said.iter().chain([&&*base]) {
            assert!(error.contains(part), "{case}: {part} is not in: {error}");
        }
        let told = || log.text();
        // Until the other side has read what ends it.
        let is_told = timeout(PATIENCE, async {
            while told().is_empty() {
                tokio::task::yield_now().await;
            }
        });
        assert!(is_told.await.is_ok(), "{case}: nothing is logged");
        for part in logged.iter().chain([&&*format!("127.0.0.1:{port}")]) {
            assert!(told().contains(part), "{case}: {part} is not in the log: {}", told());
        }
    }
}
