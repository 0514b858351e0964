//! Experiments over the admin API: who sees them, who ends them, what is refused.

use http::{Method, StatusCode, header};
use reprieve_core::{access::Role, time::Millis};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, HOSTS_OWN, TENANT};

fn definition(desk: &Desk, name: &str) -> Value {
    json!({"name": name, "owner": "ana", "hypothesis": "it is as good", "mode": "shadow",
        "share_bp": 10_000, "candidate": {"settings": {"settle": "45s"}},
        "ends_at_ms": desk.now().0 + 3_600_000})
}

async fn start(desk: &Desk, definition: &Value) -> Answer {
    desk.post("/experiments", HOSTS_OWN, &json!({"definition": definition})).await
}

async fn end(desk: &Desk, name: &str, verb: &str, if_match: Option<&str>, why: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(if_match.map(|tag| ("if-match", tag)));
    let path = format!("/experiments/{name}/{verb}");
    desk.ask(Method::POST, &path, Some(HOSTS_OWN), &headers, &json!({"why": why}).to_string()).await
}

#[tokio::test(start_paused = true)]
async fn an_experiment_is_started_seen_and_aborted_and_is_on_record() {
    let desk = Desk::set().await;
    let started = start(&desk, &definition(&desk, "faster")).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.body);
    assert_eq!(started.body["state"], "running");
    let listed = desk.get("/experiments", HOSTS_OWN).await.body;
    assert_eq!(listed["experiments"][0]["name"], "faster");
    let shown = desk.get("/experiments/faster", HOSTS_OWN).await;
    assert_eq!(shown.headers[header::ETAG], started.headers[header::ETAG]);
    assert_eq!(shown.body["arms"][1]["arm"], "candidate");

    let aborted = end(&desk, "faster", "abort", None, "enough was seen").await;
    assert_eq!(aborted.status, StatusCode::OK, "{}", aborted.body);
    assert_eq!(aborted.body["state"], "aborted");
    assert_eq!(aborted.body["ended"]["why"], "enough was seen");
    assert_ne!(aborted.headers[header::ETAG], started.headers[header::ETAG]);
    let again = end(&desk, "faster", "abort", None, "once more").await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.body);

    let record = desk.get("/audit", HOSTS_OWN).await.body;
    let entries = record["entries"].as_array().unwrap();
    let is_of = |entry: &Value, what: &str| entry["target"].as_str().unwrap().ends_with(what);
    let done: Vec<_> = entries.iter().filter(|entry| entry["status"] != 409).collect();
    let of = |what: &str| done.iter().find(|entry| is_of(entry, what));
    assert_eq!(of("/experiments").unwrap()["after"]["experiment"], "faster", "{record}");
    assert!(of("/faster/abort").unwrap().to_string().contains("enough was seen"), "{record}");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_is_promoted_only_by_who_has_seen_how_it_stands() {
    let desk = Desk::set().await;
    let started = start(&desk, &definition(&desk, "faster")).await;
    let tag = started.headers[header::ETAG].to_str().unwrap().to_owned();
    for (case, if_match, status) in [
        ("not seen", None, StatusCode::PRECONDITION_REQUIRED),
        ("seen otherwise", Some("\"another\""), StatusCode::PRECONDITION_FAILED),
        ("seen", Some(&*tag), StatusCode::OK),
        ("promoted already", Some("*"), StatusCode::CONFLICT),
    ] {
        let answer = end(&desk, "faster", "promote", if_match, "it is better").await;
        assert_eq!(answer.status, status, "{case}: {}", answer.body);
    }
    let settings = desk.get("/settings/fleet", HOSTS_OWN).await.body;
    let settings = settings["settings"].as_array().unwrap();
    let settle = settings.iter().find(|setting| setting["key"] == "settle").unwrap();
    assert_eq!(settle["value"], "45s");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_experiment_is_refused_with_the_key_at_fault() {
    let desk = Desk::set().await;
    desk.try_settings("taken", &["globex"]).await;
    let with = |key: &str, value: Value| {
        let mut definition = definition(&desk, "new");
        definition["target"] = json!({"tenants": [TENANT]});
        definition[key] = value;
        definition
    };
    let unknown = "0".repeat(64);
    for (case, definition, status, part) in [
        ("share", with("share_bp", json!(0)), 422, "share_bp"),
        ("large share", with("share_bp", json!(70_000)), 422, "70000"),
        ("no candidate", with("candidate", json!({})), 422, "candidate"),
        (
            "two",
            with("candidate", json!({"component": unknown, "policy": "default"})),
            422,
            "one of",
        ),
        ("past", with("ends_at_ms", json!(1)), 422, "ends_at_ms"),
        ("owner", with("owner", json!(" ")), 422, "owner"),
        ("bound", with("guardrails", json!({"error_bound": 1})), 422, "guardrails.error_bound"),
        ("setting", with("candidate", json!({"settings": {"settle": "9h"}})), 422, "settle"),
        ("component", with("candidate", json!({"component": unknown})), 404, "load it first"),
        ("policy", with("candidate", json!({"policy": "nobodys"})), 404, "nobodys"),
        ("key", with("color", json!("red")), 400, "color"),
        ("name", with("name", json!("taken")), 409, "a name is used once"),
        ("overlap", definition(&desk, "new"), 409, "taken runs already"),
    ] {
        let answer = start(&desk, &definition).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {}", answer.body);
        assert!(answer.body.to_string().contains(part), "{case}: {}", answer.body);
    }
    let ended = end(&desk, "taken", "abort", None, " ").await;
    assert_eq!(ended.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", ended.body);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_an_operator_drops_is_lost_to_the_arm_of_its_workspace() {
    let desk = Desk::set().await;
    assert_eq!(start(&desk, &definition(&desk, "faster")).await.status, StatusCode::CREATED);
    let item = desk.stage.queue(1, "m-1").await.id;
    for _ in 0..2 {
        let path = format!("/workspaces/ws-1/queue/{item}/drop");
        let dropped = desk.post(&path, HOSTS_OWN, &json!({"reason": "sent twice"})).await;
        assert_eq!(dropped.status, StatusCode::OK, "{}", dropped.body);
    }
    let [control, candidate] = [0, 1].map(|nth: usize| (nth, ["queued", "lost"]));
    let report = desk.get("/experiments/faster", HOSTS_OWN).await.body;
    let of = |(arm, keys): (usize, [&str; 2])| keys.map(|key| report["arms"][arm][key].clone());
    assert_eq!(of(control), [json!(1), json!(1)], "{report}");
    assert_eq!(of(candidate), [json!(0), json!(0)], "a shadow acts for nobody: {report}");
    assert_eq!(report["arms"][0]["delayed"], json!({"count": 0}));
}

#[tokio::test(start_paused = true)]
async fn a_tenants_token_sees_the_experiments_that_target_nobody_else() {
    let desk = Desk::set().await;
    let owner = desk.token("owner", Role::PolicyAdmin, &[TENANT]).await;
    let (both, stranger) = (
        desk.token("both", Role::Viewer, &[TENANT, "globex"]).await,
        desk.token("stranger", Role::Viewer, &["globex"]).await,
    );
    for (name, tenants, seen_by) in [
        ("fleets", &[][..], &[][..]),
        ("owners", &[TENANT], &[&owner, &both]),
        ("joint", &[TENANT, "globex"], &[&both]),
    ] {
        desk.try_settings(name, tenants).await;
        for token in [&owner, &both, &stranger] {
            let is_seen = seen_by.contains(&token);
            let one = desk.get(&format!("/experiments/{name}"), token).await;
            let status = if is_seen { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(one.status, status, "{name}, {token}");
            let listed = desk.get("/experiments", token).await.body.to_string();
            assert_eq!(listed.contains(name), is_seen, "{name}, {token}: {listed}");
        }
        end(&desk, name, "abort", None, "the next one").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_tells_which_experiment_it_was_part_of() {
    let desk = Desk::set().await;
    let mut definition = definition(&desk, "faster");
    definition["mode"] = json!("ab");
    assert_eq!(start(&desk, &definition).await.status, StatusCode::CREATED);
    desk.stage.fail(1, reprieve_core::judgement::ForwardFailure::Refused).await;
    desk.pass(Millis(1)).await;
    let listed = desk.get("/decisions?limit=1", HOSTS_OWN).await.body;
    let part = &listed["decisions"][0]["record"]["experiment"];
    assert_eq!(part, &json!({"name": "faster", "arm": "candidate"}), "{listed}");
}
