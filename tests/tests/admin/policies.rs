//! Policies are uploaded, activated and rolled back while a fleet is judged; and
//! what is refused changes nothing.

use std::{fs, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode, header};
use reprieve_core::{
    access::Role,
    ids::Digest,
    judgement::ForwardFailure,
    ports::{DecisionFilter, Decisions as _},
};
use reprieve_runtime::MAX_COMPONENT_BYTES;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, HOSTS_OWN, TENANT};

const DEFAULT: &[u8] = include_bytes!("../../../policies/default.wasm");
const OTHER: &[u8] = include_bytes!("../../../policies/count-debounce.wasm");
const UNRULY: &[u8] = include_bytes!("../../../policies/unruly.wasm");

const JSON: (&str, &str) = ("content-type", "application/json");
const WASM: (&str, &str) = ("content-type", "application/wasm");

async fn upload(desk: &Desk, bytes: &[u8], query: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = [WASM].iter().chain(headers).copied().collect();
    let path = format!("/policies/upload{query}");
    let body = Body::from(bytes.to_vec());
    desk.send(Method::POST, &path, Some(HOSTS_OWN), &headers, body).await
}

async fn change(desk: &Desk, verb: &str, if_match: &str, body: &Value) -> Answer {
    let path = format!("/policies/{verb}");
    let headers = [JSON, ("if-match", if_match)];
    desk.ask(Method::POST, &path, Some(HOSTS_OWN), &headers, &body.to_string()).await
}

async fn status(desk: &Desk) -> Answer {
    let answer = desk.get("/policies", HOSTS_OWN).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer
}

fn etag(answer: &Answer) -> String {
    answer.headers[header::ETAG].to_str().unwrap().to_owned()
}

fn steps(passage: &Value) -> Vec<&str> {
    let taken = passage["taken"].as_array().unwrap().iter();
    taken.map(|taken| taken["step"].as_str().unwrap()).collect()
}

/// Which component makes the next decision, and in which generation.
async fn next_decision(desk: &Desk) -> (Digest, u64) {
    desk.stage.fail(1, ForwardFailure::TimedOut).await;
    let filter = DecisionFilter { limit: 1, ..DecisionFilter::default() };
    let newest = desk.stage.store.decisions.list(&filter).await.unwrap().pop().unwrap();
    (newest.generation.component, newest.generation.number)
}

#[tokio::test(start_paused = true)]
async fn an_uploaded_policy_makes_the_next_decision_once_it_is_activated_and_no_other() {
    let desk = Desk::set().await;
    let (default, other) = (Digest::of(DEFAULT), Digest::of(OTHER));
    let uploaded = upload(&desk, OTHER, "?why=a%20trial", &[]).await;
    assert_eq!(uploaded.status, StatusCode::OK, "{}", uploaded.body);
    assert_eq!(uploaded.body["component"], other.to_string());
    assert_eq!(uploaded.body["policy"], "count-debounce 0.1.0");
    let all_but_the_last =
        ["fetch", "digest", "signature", "imports", "compile", "describe", "settings", "golden"];
    assert_eq!(steps(&uploaded.body["passage"]), all_but_the_last);
    assert_eq!(next_decision(&desk).await, (default, 1), "loading changes nothing");
    let shown = status(&desk).await;
    assert_eq!(shown.body["loaded"]["component"], other.to_string());
    assert_eq!(steps(&shown.body["passage"]), all_but_the_last, "and everybody sees it");

    let wanted = json!({"component": other.to_string(), "why": "to see"});
    let done = change(&desk, "activate", &etag(&shown), &wanted).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert_eq!(next_decision(&desk).await, (other, 2));
    assert_eq!(steps(&done.body["passage"]), ["settings", "golden", "activate"]);
    assert_eq!(done.body["active"]["why"], "to see");
    assert_eq!(done.body["before"]["component"], default.to_string());
    assert_eq!(etag(&done), etag(&status(&desk).await));

    let back = change(&desk, "rollback", &etag(&done), &json!({"why": "worse"})).await;
    assert_eq!(back.status, StatusCode::OK, "{}", back.body);
    assert_eq!(next_decision(&desk).await, (default, 3));
    assert_eq!(back.body["active"]["how"], "rolled-back");

    let record = desk.get("/audit?limit=3", HOSTS_OWN).await.body;
    let entry = |position: usize| &record["entries"][position];
    assert_eq!(entry(0)["detail"], "worse", "{record}");
    assert_eq!(entry(1)["before"]["component"], default.to_string(), "{record}");
    assert_eq!(entry(1)["after"]["component"], other.to_string(), "{record}");
    assert_eq!(entry(2)["detail"], "a trial", "{record}");
    assert_eq!(entry(2)["after"]["loaded"], other.to_string(), "{record}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_names_its_step_while_the_old_policy_judges_on() {
    let desk = Desk::set().await;
    let reads_files = r#"(component (import "wasi:filesystem/types@0.2.0" (instance)))"#;
    let reads_files = wat::parse_str(reads_files).unwrap();
    let damaged = [&OTHER[..OTHER.len() / 2], &[0xff; 64], &OTHER[OTHER.len() / 2 + 64..]].concat();
    let another = format!("?component={}", Digest::of(DEFAULT));
    let unsigned = [("reprieve-signature", "dW50cnVzdGVk")];
    for (case, bytes, query, headers, step, part) in [
        ("nothing", &b""[..], "", &[][..], "imports", "is empty"),
        ("text", b"settle = 60", "", &[], "imports", "not WebAssembly"),
        ("cut off", &OTHER[..1_000], "", &[], "imports", "cut off"),
        ("damaged", &damaged, "", &[], "compile", "damaged"),
        ("WASI", &reads_files, "", &[], "imports", "wasi:filesystem"),
        ("something else", OTHER, &another, &[], "digest", "fetch it again"),
        ("a signature that is none", OTHER, "", &unsigned, "signature", "cannot be read"),
    ] {
        let refused = upload(&desk, bytes, query, headers).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{case}: {}", refused.body);
        let flaw = &refused.body["problems"][0];
        assert_eq!(flaw["path"], step, "{case}: {}", refused.body);
        assert!(flaw["message"].as_str().unwrap().contains(part), "{case}: {}", refused.body);
        let shown = status(&desk).await.body;
        assert_eq!(shown["passage"]["failed"]["step"], step, "{case}: {shown}");
        assert_eq!(shown["difference"]["wanted"], "uploaded", "{case}: {shown}");
        assert_eq!(shown["alerts"][0]["code"], "policy-not-as-configured", "{case}: {shown}");
        assert_eq!(next_decision(&desk).await, (Digest::of(DEFAULT), 1), "{case}");
    }
    // A hostile one that describes itself well is taken, and contained where it runs.
    assert_eq!(upload(&desk, UNRULY, "", &[]).await.status, StatusCode::OK);
    assert!(status(&desk).await.body["difference"].is_null());
}

#[tokio::test(start_paused = true)]
async fn who_has_not_seen_what_judges_does_not_replace_it() {
    let desk = Desk::set().await;
    let seen = etag(&status(&desk).await);
    let nothing = change(&desk, "rollback", &seen, &json!({})).await;
    assert_eq!(nothing.status, StatusCode::CONFLICT, "there was none before: {}", nothing.body);
    let wanted = json!({"component": Digest::of(OTHER).to_string()});
    let unknown = change(&desk, "activate", &seen, &wanted).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.body);
    upload(&desk, OTHER, "", &[]).await;
    let answer = desk.post("/policies/activate", HOSTS_OWN, &wanted).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_REQUIRED, "{}", answer.body);
    for (case, if_match, expected) in
        [("seen", &*seen, 200), ("seen too long ago", &*seen, 412), ("whatever it is", "*", 200)]
    {
        let answer = change(&desk, "activate", if_match, &wanted).await;
        assert_eq!(answer.status.as_u16(), expected, "{case}: {}", answer.body);
    }
    let late = change(&desk, "rollback", &seen, &json!({})).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED, "{}", late.body);
    assert_eq!(next_decision(&desk).await.0, Digest::of(OTHER));
}

#[tokio::test(start_paused = true)]
async fn policies_are_the_whole_fleets_and_changed_by_policy_admins_only() {
    let desk = Desk::set().await;
    let operator = desk.token("operator", Role::Operator, &[]).await;
    let of_one_tenant = desk.token("acmes", Role::PolicyAdmin, &[TENANT]).await;
    for token in [&operator, &of_one_tenant] {
        let body = Body::from(OTHER);
        let refused = desk.send(Method::POST, "/policies/upload", Some(token), &[WASM], body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{token}: {}", refused.body);
    }
    assert_eq!(desk.get("/policies", &operator).await.status, StatusCode::OK, "it may look");
    assert!(status(&desk).await.body["requested"].is_null(), "nobody has wanted anything");
}

#[tokio::test(start_paused = true)]
async fn components_are_loaded_by_name() {
    let desk = Desk::set().await;
    let folder = desk.folder.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("v2.wasm"), OTHER).unwrap();
    for (name, expected) in [("v2", OTHER), ("v2.wasm", OTHER), ("default", DEFAULT)] {
        let loaded = desk.post("/policies/load", HOSTS_OWN, &json!({"name": name})).await;
        assert_eq!(loaded.status, StatusCode::OK, "{name}: {}", loaded.body);
        assert_eq!(loaded.body["component"], Digest::of(expected).to_string(), "{name}");
    }
    for name in ["v3", "../folder/v2.wasm", "", "rpv_0123456789abcdef0123456789abcdef"] {
        let unknown = desk.post("/policies/load", HOSTS_OWN, &json!({"name": name})).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{name}: {}", unknown.body);
        let detail = unknown.body["detail"].as_str().unwrap();
        assert!(detail.contains("there are: v2.wasm, default"), "{name}: {detail}");
    }
    let record = desk.get("/audit", HOSTS_OWN).await.body.to_string();
    assert!(!record.contains("0123456789abcdef"), "a token in the wrong place: {record}");
}

#[tokio::test(start_paused = true)]
async fn a_component_that_is_too_large_is_refused_before_and_while_it_comes() {
    let desk = Desk::set().await;
    let piece = Bytes::from(vec![0; 1 << 20]);
    let pieces = MAX_COMPONENT_BYTES / piece.len() + 1;
    let length = (MAX_COMPONENT_BYTES + 1).to_string();
    let announced = [WASM, ("content-length", length.as_str())];
    let endless = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let coming = stream::iter(vec![piece; pieces]).map(Ok::<_, std::io::Error>);
    for (case, headers, body) in [
        ("by its length", &announced[..], endless()),
        ("by what comes", &[WASM], Body::from_stream(coming)),
    ] {
        let refused =
            desk.send(Method::POST, "/policies/upload", Some(HOSTS_OWN), headers, body).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{case}: {}", refused.body);
    }
}

#[tokio::test(start_paused = true)]
async fn who_uploads_too_slowly_makes_room_for_others() {
    let desk = Desk::set().await;
    let endless = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let slow = || desk.send(Method::POST, "/policies/upload", Some(HOSTS_OWN), &[WASM], endless());
    let too_many = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        upload(&desk, OTHER, "", &[]).await
    };
    let (slow, too_many) =
        tokio::join!(futures::future::join_all((0..4).map(|_| slow())), too_many,);
    assert_eq!(too_many.status, StatusCode::TOO_MANY_REQUESTS, "{}", too_many.body);
    assert!(too_many.headers.contains_key(header::RETRY_AFTER));
    for answer in slow {
        assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT, "{}", answer.body);
    }
    assert_eq!(upload(&desk, OTHER, "", &[]).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_is_too_long_is_refused_before_anything_is_done() {
    let desk = Desk::set().await;
    let long = "x".repeat(513);
    let unread = Body::from_stream(
        stream::once(async { panic!("the component is asked for") })
            .map(Ok::<Bytes, std::io::Error>),
    );
    let path = format!("/policies/upload?why={long}");
    let answer = desk.send(Method::POST, &path, Some(HOSTS_OWN), &[WASM], unread).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    assert_eq!(answer.body["problems"][0]["path"], "why", "{}", answer.body);

    let uploaded = upload(&desk, OTHER, "", &[]).await;
    let component = &uploaded.body["component"];
    let before = status(&desk).await;
    for (verb, body) in [
        ("load", json!({"name": "unruly", "why": long})),
        ("activate", json!({"component": component, "why": long})),
        ("rollback", json!({"why": long})),
    ] {
        let answer = change(&desk, verb, &etag(&before), &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{verb}: {}", answer.body);
        assert_eq!(answer.body["problems"][0]["path"], "why", "{verb}: {}", answer.body);
    }
    let after = status(&desk).await;
    // The rest has ages in it.
    for part in ["revision", "requested", "loaded", "passage", "activations"] {
        assert_eq!(after.body[part], before.body[part], "{part}: nothing was tried");
    }
}

/// Refused requests of one token that the audit log takes within a minute.
const REFUSALS_KEPT: usize = 120;

#[tokio::test(start_paused = true)]
async fn what_the_host_could_not_do_is_on_record_however_much_was_refused_before() {
    let desk = Desk::set().await;
    for _ in 0..REFUSALS_KEPT + 3 {
        let refused = desk.post("/policies/load", HOSTS_OWN, &json!({"name": "nobodys"})).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.body);
    }
    // Components cannot be kept any more, and everything else can.
    let shelf = desk.folder.path().join("policies");
    fs::remove_dir_all(&shelf).unwrap();
    fs::write(&shelf, "a file").unwrap();
    let failed = desk.post("/policies/load", HOSTS_OWN, &json!({"name": "count-debounce"})).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE, "{}", failed.body);
    let record = desk.get("/audit?limit=2", HOSTS_OWN).await.body;
    assert_eq!(record["entries"][0]["status"], 503, "{record}");
    assert_eq!(record["entries"][0]["left_out"], 3, "and counts what was left out: {record}");
    assert_eq!(record["entries"][1]["status"], 404, "{record}");
}
