//! Tokens: made, shown once, limited, revoked; and how often one may ask.

use std::num::NonZeroU32;

use http::{Method, StatusCode, header};
use reprieve_core::{access::Role, time::Millis};
use reprieve_server::admin::AdminLimits;
use serde_json::json;

use crate::desk::{Desk, HOSTS_OWN, TENANT};

#[tokio::test(start_paused = true)]
async fn a_token_is_shown_once_and_works_until_it_expires() {
    let desk = Desk::set().await;
    let wanted =
        json!({"name": "ci", "role": "viewer", "tenants": [TENANT], "expires_in_ms": 60_000});
    let made = desk.post("/tokens", HOSTS_OWN, &wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let secret = made.body["token"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("rpv_") && secret.len() == 4 + 64, "{secret}");

    let known = desk.get("/whoami", &secret).await.body;
    assert_eq!((&known["token"], &known["role"]), (&json!("ci"), &json!("viewer")));
    let listed = desk.get("/tokens", HOSTS_OWN).await.body;
    assert!(!listed.to_string().contains(&secret), "it is not to be had again");
    assert!(listed["tokens"][0]["last_used_ms"].is_u64(), "{listed}");

    desk.pass(Millis::from_secs(60)).await;
    assert_eq!(desk.get("/whoami", &secret).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn nobody_makes_or_revokes_a_token_that_allows_more_than_his_own() {
    let desk = Desk::set().await;
    let limited = desk.token("limited", Role::PolicyAdmin, &[TENANT]).await;
    for (case, body, expected) in [
        ("his own tenant", json!({"name": "a", "role": "operator", "tenants": [TENANT]}), 201),
        ("another", json!({"name": "b", "role": "viewer", "tenants": ["globex"]}), 403),
        ("everybody", json!({"name": "c", "role": "viewer"}), 403),
        ("twice", json!({"name": "a", "role": "viewer", "tenants": [TENANT]}), 409),
        ("the host's own", json!({"name": "admin", "role": "viewer", "tenants": [TENANT]}), 422),
        ("no tenants", json!({"name": "d", "role": "viewer", "tenants": []}), 422),
        ("not a name", json!({"name": "../x", "role": "viewer", "tenants": [TENANT]}), 422),
        ("no role", json!({"name": "d", "role": "root"}), 400),
        ("an unknown key", json!({"name": "d", "role": "viewer", "admin": true}), 400),
    ] {
        let answer = desk.post("/tokens", &limited, &body).await;
        assert_eq!(answer.status.as_u16(), expected, "{case}: {}", answer.body);
    }
    desk.token("everybodys", Role::Viewer, &[]).await;
    for (name, expected) in [("everybodys", 404), ("nobodys", 404), ("admin", 409), ("a", 204)] {
        let path = format!("/tokens/{name}");
        let answer = desk.ask(Method::DELETE, &path, Some(&limited), &[], "").await;
        assert_eq!(answer.status.as_u16(), expected, "{name}: {}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn several_flaws_are_named_at_once() {
    let desk = Desk::set().await;
    let body = json!({"name": "-", "role": "viewer", "tenants": ["a", "b c"], "expires_in_ms": 0});
    let answer = desk.post("/tokens", HOSTS_OWN, &body).await;
    let flaws = answer.body["problems"].as_array().unwrap();
    let paths: Vec<_> = flaws.iter().map(|flaw| flaw["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["name", "tenants[1]", "expires_in_ms"], "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let few = NonZeroU32::new(2).unwrap();
    let desk = Desk::with(AdminLimits { requests_per_second: few, failures_per_minute: few }).await;
    for (case, token, ordinary, burst) in
        [("known", HOSTS_OWN, StatusCode::OK, 4), ("unknown", "x", StatusCode::UNAUTHORIZED, 2)]
    {
        for asked in 0..burst {
            assert_eq!(desk.get("/whoami", token).await.status, ordinary, "{case}, {asked}");
        }
        let refused = desk.get("/whoami", token).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{case}");
        let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{case}: {wait} s");
    }
    let another = desk.token("another", Role::Viewer, &[]).await;
    assert_eq!(desk.get("/whoami", &another).await.status, StatusCode::OK, "each has its own");
}
