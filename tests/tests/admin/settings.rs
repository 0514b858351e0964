//! Settings over the admin API: two people at once, what is refused, and what is on
//! record.

use futures::future::join_all;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, HOSTS_OWN, TENANT};

/// People who change the same settings at once.
const AT_ONCE: usize = 8;

fn acme() -> String {
    format!("tenants/{TENANT}")
}

async fn shown(desk: &Desk) -> Answer {
    let answer = desk.get(&format!("/settings/{}", acme()), HOSTS_OWN).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer
}

fn etag(answer: &Answer) -> String {
    answer.headers[header::ETAG].to_str().unwrap().to_owned()
}

fn value(shown: &Value, key: &str) -> Value {
    let settings = shown["settings"].as_array().unwrap();
    settings.iter().find(|setting| setting["key"] == key).unwrap()["value"].clone()
}

async fn history(desk: &Desk) -> Vec<Value> {
    desk.get("/settings/history", HOSTS_OWN).await.body["changes"].as_array().unwrap().clone()
}

async fn undo(desk: &Desk, number: &Value, if_match: Option<&str>) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(if_match.map(|tag| ("if-match", tag)));
    let path = format!("/settings/changes/{number}/undo");
    let body = json!({"why": "the disk"}).to_string();
    desk.ask(Method::POST, &path, Some(HOSTS_OWN), &headers, &body).await
}

#[tokio::test(start_paused = true)]
async fn only_who_has_seen_what_is_in_force_may_change_it() {
    let desk = Desk::set().await;
    let seen = etag(&shown(&desk).await);
    let (path, wanted) = (format!("/settings/{}", acme()), json!({"settings": {"settle": "90s"}}));
    let json = [("content-type", "application/json")];
    let unseen = desk.ask(Method::PATCH, &path, Some(HOSTS_OWN), &json, &wanted.to_string()).await;
    assert_eq!(unseen.status, StatusCode::PRECONDITION_REQUIRED, "{}", unseen.body);

    let first = desk.patch(&acme(), HOSTS_OWN, &seen, &wanted).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let after = etag(&first);
    assert_ne!(seen, after, "a change is another state");
    assert_eq!(etag(&shown(&desk).await), after);

    let stale = json!({"settings": {"settle": "30s"}});
    let second = desk.patch(&acme(), HOSTS_OWN, &seen, &stale).await;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED, "{}", second.body);
    assert_eq!(value(&shown(&desk).await.body, "settle"), "90s");

    let number = &first.body["number"];
    let refused = undo(&desk, number, Some(&seen)).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{}", refused.body);
    assert_eq!(value(&shown(&desk).await.body, "settle"), "90s");
    let undone = undo(&desk, number, Some(&after)).await;
    assert_eq!(undone.status, StatusCode::OK, "{}", undone.body);
    assert_eq!(value(&shown(&desk).await.body, "settle"), "1min");
    assert_eq!(history(&desk).await.len(), 2, "what was refused is no change");
}

#[tokio::test(start_paused = true)]
async fn of_many_who_saw_the_same_one_changes_it() {
    let desk = Desk::set().await;
    let seen = etag(&shown(&desk).await);
    let settle = |of: usize| json!({"settings": {"settle": format!("{}s", 90 + of)}});
    let bodies: Vec<_> = (0..AT_ONCE).map(settle).collect();
    let layer = acme();
    let asked = bodies.iter().map(|body| desk.patch(&layer, HOSTS_OWN, &seen, body));
    let answers = join_all(asked).await;
    let of = |status| answers.iter().filter(move |answer| answer.status == status);
    assert_eq!(of(StatusCode::OK).count(), 1);
    assert_eq!(of(StatusCode::PRECONDITION_FAILED).count(), AT_ONCE - 1);
    let changes = history(&desk).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(value(&shown(&desk).await.body, "settle"), changes[0]["after"]["settle"]);
}

#[tokio::test(start_paused = true)]
async fn changes_at_once_are_made_one_after_the_other() {
    let desk = Desk::set().await;
    let settle = |of: usize| json!({"settings": {"settle": format!("{}s", 90 + of)}});
    let bodies: Vec<_> = (0..AT_ONCE).map(settle).collect();
    let layers: Vec<_> =
        (0..AT_ONCE).map(|of| if of % 2 == 0 { acme() } else { "fleet".to_owned() }).collect();
    let asked = bodies.iter().zip(&layers);
    let answers =
        join_all(asked.map(|(body, layer)| desk.patch(layer, HOSTS_OWN, "*", body))).await;
    let mut numbers: Vec<_> = answers.iter().map(|answer| answer.body["number"].as_u64()).collect();
    numbers.sort_unstable();
    let expected: Vec<_> = (1..=AT_ONCE as u64).map(Some).collect();
    assert_eq!(numbers, expected);
    let changes = history(&desk).await;
    // Each change says what it replaced: the one before it in the same layer.
    for layer in ["fleet", "tenant"] {
        let of_layer = |change: &&Value| change["layer"].to_string().contains(layer);
        let own: Vec<_> = changes.iter().filter(of_layer).collect();
        assert_eq!(own.len(), AT_ONCE / 2);
        for pair in own.windows(2) {
            assert_eq!(pair[0]["before"]["settle"], pair[1]["after"]["settle"], "{layer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_changes_nothing_anywhere_and_names_path_value_and_range() {
    let desk = Desk::set().await;
    let before = shown(&desk).await;
    let generation = desk.stage.current.snapshot();
    for (case, settings, path, parts) in [
        ("range", json!({"settle": "2h"}), "settle", &["2h", "0s to 1h"][..]),
        ("unit", json!({"settle": 90}), "settle", &["90", "0s to 1h"]),
        ("slip", json!({"setle": "9s"}), "setle", &["did you mean settle?"]),
        (
            "one good, one bad",
            json!({"reprobe_delay": "3s", "restart_budget": 0}),
            "restart_budget",
            &["0", "1 to 1000"],
        ),
        ("nothing to take back", json!({"settle": null}), "settle", &["nothing was applied"]),
        ("nothing", json!({}), "settings", &["at least one"]),
    ] {
        let wanted = json!({"settings": settings, "why": case});
        let answer = desk.patch(&acme(), HOSTS_OWN, "*", &wanted).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{case}: {}", answer.body);
        let flaw = &answer.body["problems"][0];
        assert_eq!(flaw["path"], path, "{case}: {}", answer.body);
        for part in parts {
            let message = flaw["message"].as_str().unwrap();
            assert!(message.contains(part), "{case}: {message:?} lacks {part:?}");
        }
        let after = shown(&desk).await;
        assert_eq!(after.body, before.body, "{case}");
        assert_eq!(etag(&after), etag(&before), "{case}");
        assert!(std::sync::Arc::ptr_eq(&generation, &desk.stage.current.snapshot()), "{case}");
    }
    assert_eq!(history(&desk).await, [Value::Null; 0]);
    assert!(desk.stage.store.settings.applied().await.unwrap().is_empty(), "on disk neither");
}

#[tokio::test(start_paused = true)]
async fn a_preview_changes_nothing() {
    let desk = Desk::set().await;
    let before = shown(&desk).await;
    let path = format!("/settings/{}/preview", acme());
    let told = desk.post(&path, HOSTS_OWN, &json!({"settings": {"settle": "90s"}})).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    assert_eq!(etag(&told), etag(&before), "what it is of may be changed by who has seen it");
    assert_eq!(told.body["keys"][0]["after"], "90s", "{}", told.body);
    assert_eq!(shown(&desk).await.body, before.body);
    assert_eq!(history(&desk).await, [Value::Null; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_change_and_its_undo_are_on_record_with_what_they_replaced() {
    let desk = Desk::set().await;
    let wanted = |settle: &str| json!({"settings": {"settle": settle}, "why": "slow imports"});
    desk.patch("fleet", HOSTS_OWN, "*", &wanted("50s")).await;
    let made = desk.patch(&acme(), HOSTS_OWN, "*", &wanted("90s")).await;
    desk.patch(&acme(), HOSTS_OWN, "*", &wanted("2h")).await;
    undo(&desk, &made.body["number"], None).await;

    let record = desk.get("/audit", HOSTS_OWN).await.body["entries"].clone();
    let entries: Vec<_> = record.as_array().unwrap().iter().rev().collect();
    let expected = [
        (
            200,
            Value::Null,
            json!("slow imports"),
            json!({"settle": null}),
            json!({"settle": "50s"}),
        ),
        (
            200,
            json!(TENANT),
            json!("slow imports"),
            json!({"settle": null}),
            json!({"settle": "90s"}),
        ),
        (422, json!(TENANT), Value::Null, Value::Null, Value::Null),
        (200, json!(TENANT), json!("the disk"), json!({"settle": "90s"}), json!({"settle": null})),
    ];
    assert_eq!(entries.len(), expected.len(), "{record}");
    for (entry, (status, tenant, why, before, after)) in entries.iter().zip(expected) {
        assert_eq!(entry["status"], status, "{entry}");
        assert_eq!(entry["tenant"], tenant, "{entry}");
        assert_eq!(entry["who"], "admin", "{entry}");
        assert_eq!(entry["before"]["settings"], before, "{entry}");
        assert_eq!(entry["after"]["settings"], after, "{entry}");
        if status == 200 {
            assert_eq!(entry["detail"], why, "{entry}");
        }
    }
}
