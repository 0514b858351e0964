//! What is asked of workspaces, and what of it is on record.

use http::{Method, StatusCode, header};
use reprieve_core::access::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, HOSTS_OWN, TENANT};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn stand(desk: &Desk, if_match: Option<&str>, standing: &str) -> Answer {
    let mut headers = vec![JSON];
    headers.extend(if_match.map(|tag| ("if-match", tag)));
    let body = json!({"standing": standing}).to_string();
    desk.ask(Method::PUT, "/workspaces/ws-1/standing", Some(HOSTS_OWN), &headers, &body).await
}

fn etag(answer: &Answer) -> String {
    answer.headers[header::ETAG].to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn two_people_cannot_overwrite_each_other() {
    let desk = Desk::set().await;
    let seen = etag(&desk.get("/workspaces/ws-1", HOSTS_OWN).await);
    assert_eq!(stand(&desk, None, "paused").await.status, StatusCode::PRECONDITION_REQUIRED);
    let first = stand(&desk, Some(&seen), "paused").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let second = stand(&desk, Some(&seen), "hibernated").await;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED, "{}", second.body);
    assert_eq!(desk.get("/workspaces/ws-1", HOSTS_OWN).await.body["standing"], "paused");

    let headers = [("if-match", &*seen)];
    let verb =
        desk.ask(Method::POST, "/workspaces/ws-1/resume", Some(HOSTS_OWN), &headers, "").await;
    assert_eq!(verb.status, StatusCode::PRECONDITION_FAILED, "a verb honours it, too");
    let again = stand(&desk, Some(&etag(&first)), "wanted").await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.body);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_filtered_and_read_in_pages() {
    let desk = Desk::set().await;
    for (query, expected) in [
        ("", 1),
        ("?tenant=acme&state=online", 1),
        ("?tenant=globex", 0),
        ("?state=paused", 0),
        ("?after=ws-1", 0),
        ("?after=ws-0&limit=1", 1),
    ] {
        let answer = desk.get(&format!("/workspaces{query}"), HOSTS_OWN).await;
        let found = answer.body["workspaces"].as_array().unwrap().len();
        assert_eq!(found, expected, "{query}: {}", answer.body);
    }
    for query in
        ["?limit=0", "?limit=1001", "?limit=x", "?state=asleep", "?tenants=acme", "?tenant=-"]
    {
        let answer = desk.get(&format!("/workspaces{query}"), HOSTS_OWN).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(desk.get("/whoami?x=1", HOSTS_OWN).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn who_did_what_is_on_record_and_so_is_who_was_refused() {
    let desk = Desk::set().await;
    let viewer = desk.token("viewer", Role::Viewer, &[TENANT]).await;
    let operator = desk.token("operator", Role::Operator, &[TENANT]).await;
    let stranger = desk.token("stranger", Role::Operator, &["globex"]).await;
    for (token, expected) in [(&viewer, 403), (&stranger, 404), (&operator, 202)] {
        let answer = desk.post("/workspaces/ws-1/pause", token, &Value::Null).await;
        assert_eq!(answer.status.as_u16(), expected);
    }
    desk.get("/workspaces", "rpv_wrong").await;
    desk.get("/workspaces", &viewer).await;

    let entries = desk.get("/audit", HOSTS_OWN).await.body["entries"].clone();
    let told: Vec<_> = entries.as_array().unwrap().iter().rev().collect();
    let line = |entry: &Value| (entry["who"].clone(), entry["status"].clone());
    let expected = [("viewer", 403), ("stranger", 404), ("operator", 202)];
    assert_eq!(told.len(), expected.len() + 1, "looking is not on record: {entries}");
    for (entry, (who, status)) in told.iter().zip(expected) {
        assert_eq!(line(entry), (json!(who), json!(status)), "{entry}");
        assert_eq!(entry["route"], "POST /admin/v1/workspaces/{workspace}/pause", "{entry}");
    }
    assert_eq!(told[2]["before"]["standing"], "wanted");
    assert_eq!(told[2]["after"]["standing"], "paused");
    assert_eq!(line(told[3]), (Value::Null, json!(401)));

    // Whoever is of a tenant sees what was about its workspaces, and no more.
    let seen = desk.get("/audit", &operator).await.body["entries"].clone();
    let routes: Vec<_> = seen.as_array().unwrap().iter().map(|e| e["status"].clone()).collect();
    assert_eq!(routes, [json!(202)], "{seen}");
    assert_eq!(desk.get("/audit", &stranger).await.body["entries"], json!([]));
}
