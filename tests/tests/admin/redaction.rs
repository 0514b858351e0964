//! Two tenants on one host: what a token of one reads, over every route of the
//! served document, tells nothing of the other.

use axum::body::Body;
use futures::FutureExt as _;
use http::StatusCode;
use http_body_util::BodyExt as _;
use reprieve_core::{
    access::Role,
    judgement::ForwardFailure,
    ports::{DecisionFilter, Decisions as _},
    settings::Settings,
    time::Millis,
};
use serde_json::{Value, json};

use crate::desk::{Desk, HOSTS_OWN, filled};

/// A tenant of the stage with one workspace, with which something is going on.
struct Side {
    tenant: &'static str,
    number: u32,
    token: String,
    decision: String,
    item: String,
    change: String,
}

impl Side {
    async fn set(desk: &Desk, tenant: &'static str, number: u32) -> Self {
        let workspace = format!("ws-{number}");
        let token = desk.token(&format!("{tenant}s"), Role::PolicyAdmin, &[tenant]).await;
        let wanted = json!({"settings": {"settle": format!("{}s", 90 + number)}, "why": format!("why-{tenant}")});
        let made = desk.patch(&format!("tenants/{tenant}"), &token, "*", &wanted).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        desk.try_settings(&format!("exp-{tenant}"), &[tenant]).await;
        desk.stage.fail(number, ForwardFailure::Refused).await;
        let newest = DecisionFilter {
            workspace: Some(workspace.parse().unwrap()),
            limit: 1,
            ..DecisionFilter::default()
        };
        let decision = desk.stage.store.decisions.list(&newest).await.unwrap().remove(0).id;
        let item = desk.stage.queue(number, &format!("m-{tenant}")).await.id;
        Self {
            tenant,
            number,
            token,
            decision: decision.to_string(),
            item: item.to_string(),
            change: made.body["number"].to_string(),
        }
    }

    fn workspace(&self) -> String {
        format!("ws-{}", self.number)
    }

    /// What only who sees the tenant may read.
    fn marks(&self) -> [String; 6] {
        let (tenant, workspace) = (self.tenant, self.workspace());
        [
            tenant.to_owned(),
            workspace,
            format!("why-{tenant}"),
            format!("m-{tenant}"),
            self.decision.clone(),
            format!("{}s", 90 + self.number),
        ]
    }

    fn fill(&self, template: &str) -> String {
        let value = |name: &str| match name {
            "workspace" => self.workspace(),
            "tenant" => self.tenant.to_owned(),
            "token" => format!("{}s", self.tenant),
            "decision" => self.decision.clone(),
            "item" => self.item.clone(),
            "change" => self.change.clone(),
            "experiment" => format!("exp-{}", self.tenant),
            other => panic!("{template}: name something that is there for {{{other}}}"),
        };
        filled(template, value)
    }
}

/// Both with a restart in flight, so that there are incidents.
async fn both_sides() -> (Desk, Side, Side) {
    let desk = Desk::set().await;
    let mut spec = desk.stage.spec(2);
    spec.tenant = "globex".parse().unwrap();
    desk.stage.supervisor.found(spec, Settings::default(), None).await.unwrap();
    desk.pass(Millis::from_secs(100)).await;
    let (acme, globex) = (Side::set(&desk, "acme", 1).await, Side::set(&desk, "globex", 2).await);
    for side in [&acme, &globex] {
        let path = format!("/workspaces/{}/restart", side.workspace());
        let answer = desk.post(&path, &side.token, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    }
    (desk, acme, globex)
}

/// Routes that are read, and whose each is.
async fn read_routes(desk: &Desk) -> Vec<(String, String)> {
    let document = desk.get("/openapi.json", HOSTS_OWN).await.body;
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let template = path.strip_prefix("/admin/v1").unwrap();
        let Some(of) = item["get"]["x-reprieve-of"].as_str() else { continue };
        // Read below, to its end.
        if template != "/decisions/stream" {
            routes.push((template.to_owned(), of.to_owned()));
        }
    }
    routes
}

fn assert_tells_nothing_of(case: &str, text: &str, other: &Side) {
    for mark in other.marks() {
        assert!(!text.contains(&mark), "{case}: tells of {mark}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_route_tells_a_token_of_one_tenant_anything_of_another() {
    let (desk, acme, globex) = both_sides().await;
    let routes = read_routes(&desk).await;
    assert!(routes.len() >= 10, "the document has all routes");
    for (own, other) in [(&acme, &globex), (&globex, &acme)] {
        for (template, of) in &routes {
            let case = format!("{template}, for {}", own.tenant);
            let answer = desk.get(&own.fill(template), &own.token).await;
            match of.as_str() {
                "fleet" => assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}"),
                _ => assert_eq!(answer.status, StatusCode::OK, "{case}: {}", answer.body),
            }
            assert_tells_nothing_of(&case, &answer.body.to_string(), other);
            // A route that lists nothing at all would pass otherwise.
            if of == "listed" {
                let text = answer.body.to_string();
                let is_told = own.marks().iter().any(|mark| text.contains(mark));
                assert!(is_told, "{case}: its own is there: {text}");
            }
            if matches!(of.as_str(), "workspace" | "tenant" | "found") {
                let answer = desk.get(&other.fill(template), &own.token).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{case}: {}", answer.body);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_query_tells_a_token_of_one_tenant_anything_of_another() {
    let (desk, acme, globex) = both_sides().await;
    for (path, list) in [
        ("/workspaces?tenant=globex", "workspaces"),
        ("/decisions?tenant=globex", "decisions"),
        ("/decisions?workspace=ws-2", "decisions"),
        ("/settings/history?layer=tenants/globex", "changes"),
        ("/settings/history?who=globexs", "changes"),
        ("/incidents?after=ws-1", "incidents"),
        ("/workspaces?after=ws-1", "workspaces"),
    ] {
        let own = desk.get(path, &acme.token).await;
        assert_eq!(own.body[list], json!([]), "{path}: {}", own.body);
        let theirs = desk.get(path, &globex.token).await;
        assert_ne!(theirs.body[list], json!([]), "{path}: there is something to be seen");
    }
}

/// What a stream has told so far.
async fn told(stream: &mut Body) -> String {
    let mut text = String::new();
    while let Some(Some(frame)) = stream.frame().now_or_never() {
        let data = frame.unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&data).unwrap());
        tokio::task::yield_now().await;
    }
    text
}

#[tokio::test(start_paused = true)]
async fn no_stream_tells_a_token_of_one_tenant_anything_of_another() {
    let (desk, acme, globex) = both_sides().await;
    for (own, other) in [(&acme, &globex), (&globex, &acme)] {
        for query in ["", "?tenant=acme", "?tenant=globex", "?workspace=ws-1", "?workspace=ws-2"] {
            let after = if query.is_empty() { '?' } else { '&' };
            let path = format!("/decisions/stream{query}{after}after=0");
            let mut stream = desk.stream(&path, &own.token).await;
            let missed = told(&mut stream).await;
            for side in [&acme, &globex] {
                desk.stage.fail(side.number, ForwardFailure::Refused).await;
            }
            desk.pass(Millis(1)).await;
            let case = format!("{path}, for {}", own.tenant);
            let text = missed + &told(&mut stream).await;
            assert_tells_nothing_of(&case, &text, other);
            if query.is_empty() {
                assert!(text.contains(&own.workspace()), "{case}: {text}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_tenants_people_do_is_on_record_for_them_alone() {
    let (desk, acme, globex) = both_sides().await;
    for side in [&acme, &globex] {
        let path = format!("/workspaces/{}/queue/{}/drop", side.workspace(), side.item);
        let reason = json!({"reason": format!("why-{}", side.tenant)});
        let answer = desk.post(&path, &side.token, &reason).await;
        assert!(matches!(answer.status.as_u16(), 200 | 409), "{}", answer.body);
    }
    for (own, other) in [(&acme, &globex), (&globex, &acme)] {
        let record = desk.get("/audit", &own.token).await.body;
        let entries = record["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 3, "settings, a restart, a drop: {record}");
        assert_tells_nothing_of(own.tenant, &record.to_string(), other);
    }
}
