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
async fn nobody_takes_a_name_that_histories_have_for_the_host() {
    let desk = Desk::set().await;
    for name in ["admin", "configuration", "host", "watch"] {
        let answer =
            desk.post("/tokens", HOSTS_OWN, &json!({"name": name, "role": "viewer"})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", answer.body);
        assert_eq!(answer.body["problems"][0]["path"], "name", "{name}: {}", answer.body);
    }
    assert_eq!(desk.get("/tokens", HOSTS_OWN).await.body["tokens"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn one_token_does_not_use_up_the_room_for_all() {
    let desk = Desk::set().await;
    let maker = desk.token("maker", Role::PolicyAdmin, &[]).await;
    for number in 0..100 {
        let wanted = json!({"name": format!("a-{number}"), "role": "viewer"});
        let made = desk.post("/tokens", &maker, &wanted).await;
        assert_eq!(made.status, StatusCode::CREATED, "{number}: {}", made.body);
    }
    let more = json!({"name": "more", "role": "viewer"});
    let refused = desk.post("/tokens", &maker, &more).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("token maker has made 100") && detail.contains("revoke"), "{detail}");
    assert_eq!(desk.post("/tokens", HOSTS_OWN, &more).await.status, StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_revoked_lets_nobody_in_though_it_is_still_on_disk() {
    let desk = Desk::set().await;
    let token = desk.token("a", Role::Viewer, &[]).await;
    assert_eq!(desk.get("/whoami", &token).await.status, StatusCode::OK);
    desk.stage.store.clone().close().await.unwrap();
    for attempt in ["once", "again, as the answer says"] {
        let answer = desk.ask(Method::DELETE, "/tokens/a", Some(HOSTS_OWN), &[], "").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{attempt}: {}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("started anew"), "{attempt}: {detail}");
        assert_eq!(desk.get("/whoami", &token).await.status, StatusCode::UNAUTHORIZED, "{attempt}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_with_an_end_makes_none_that_outlives_it() {
    let desk = Desk::set().await;
    let end = desk.now() + Millis(60_000);
    let ending = desk.token_until("ending", Role::PolicyAdmin, &[], Some(end)).await;
    for (name, lifetime, expected) in
        [("never", None, 403), ("later", Some(60_001), 403), ("as-long", Some(60_000), 201)]
    {
        let mut wanted = json!({"name": name, "role": "viewer"});
        if let Some(lifetime) = lifetime {
            wanted["expires_in_ms"] = json!(lifetime);
        }
        let answer = desk.post("/tokens", &ending, &wanted).await;
        assert_eq!(answer.status.as_u16(), expected, "{name}: {}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_in_the_wrong_place_is_not_on_record() {
    let desk = Desk::set().await;
    let made = desk.post("/tokens", HOSTS_OWN, &json!({"name": "a", "role": "viewer"})).await;
    let secret = made.body["token"].as_str().unwrap();
    let bare = secret.trim_start_matches("rpv_");
    for target in [format!("/tokens/{secret}"), format!("/tokens/{bare}"), format!("/x/{bare}/y")] {
        desk.ask(Method::DELETE, &target, Some(HOSTS_OWN), &[], "").await;
    }
    desk.post("/tokens", HOSTS_OWN, &json!({"name": "b", "role": "viewer", secret: 1})).await;
    let record = desk.get("/audit", HOSTS_OWN).await.body;
    assert_eq!(record["entries"].as_array().unwrap().len(), 5, "{record}");
    assert_eq!(record["entries"][1]["target"], "/admin/v1/x/…/y", "{record}");
    assert!(!record.to_string().contains(bare), "{record}");
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
