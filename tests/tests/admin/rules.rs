//! Every route of the served document, asked by those who may not.

use http::{Method, StatusCode, header};
use reprieve_core::{access::Role, time::Millis};
use serde_json::Value;

use crate::desk::{Answer, Desk, HOSTS_OWN, TENANT, filled};

/// Routes that answer whoever comes. Nothing else may be added here: they tell
/// nothing.
const OPEN: [&str; 2] = ["/health", "/readyz"];

/// A route as the document has it.
struct Route {
    method: Method,
    /// With braces.
    template: String,
    /// With names in the place of braces.
    path: String,
    role: Role,
    of: String,
}

/// Of the tenant.
const EXPERIMENT: &str = "somebodys-experiment";

/// What stands in the place of each parameter: something that is there.
struct Names {
    decision: String,
    item: String,
    change: String,
}

impl Names {
    async fn of(desk: &Desk) -> Self {
        desk.try_settings(EXPERIMENT, &[TENANT]).await;
        let decisions = desk.stage.store.decisions.clone();
        let newest = reprieve_core::ports::DecisionFilter { limit: 1, ..Default::default() };
        let decisions = reprieve_core::ports::Decisions::list(&*decisions, &newest).await.unwrap();
        let accepted = desk.stage.queue(1, "m-1").await;
        let wanted = serde_json::json!({"settings": {"settle": "90s"}}).to_string();
        let headers = [("content-type", "application/json"), ("if-match", "*")];
        let path = format!("/settings/tenants/{TENANT}");
        let made = desk.ask(Method::PATCH, &path, Some(HOSTS_OWN), &headers, &wanted).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        Self {
            decision: decisions[0].id.to_string(),
            item: accepted.id.to_string(),
            change: made.body["number"].to_string(),
        }
    }

    fn fill(&self, template: &str) -> String {
        let value = |name: &str| match name {
            "workspace" => "ws-1".to_owned(),
            "tenant" => TENANT.to_owned(),
            "token" => "somebodys".to_owned(),
            "decision" => self.decision.clone(),
            "item" => self.item.clone(),
            "change" => self.change.clone(),
            "experiment" => EXPERIMENT.to_owned(),
            other => panic!("{template}: name something that is there for {{{other}}}"),
        };
        filled(template, value)
    }
}

async fn routes(desk: &Desk) -> Vec<Route> {
    let document = desk.get("/openapi.json", HOSTS_OWN).await;
    assert_eq!(document.status, StatusCode::OK);
    let names = Names::of(desk).await;
    let mut routes = Vec::new();
    for (path, item) in document.body["paths"].as_object().unwrap() {
        let template = path.strip_prefix("/admin/v1").expect("all are below the prefix");
        for (method, operation) in item.as_object().unwrap() {
            if OPEN.contains(&template) {
                continue;
            }
            let rule = |name: &str| {
                let value = operation[name].as_str();
                value.unwrap_or_else(|| panic!("{method} {template} has no {name}")).to_owned()
            };
            routes.push(Route {
                method: method.to_uppercase().parse().unwrap(),
                template: template.to_owned(),
                path: names.fill(template),
                role: rule("x-reprieve-role").parse().unwrap(),
                of: rule("x-reprieve-of"),
            });
        }
    }
    assert!(routes.len() >= 10, "the document has all routes");
    routes
}

impl Route {
    async fn asked_by(&self, desk: &Desk, token: Option<&str>) -> Answer {
        desk.ask(self.method.clone(), &self.path, token, &[], "").await
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

fn assert_problem(case: &str, answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{case}: {}", answer.body);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json", "{case}");
    assert_eq!(answer.body["status"], status.as_u16(), "{case}");
}

#[tokio::test(start_paused = true)]
async fn every_route_is_closed_to_who_shows_no_good_token() {
    let desk = Desk::set().await;
    let soon = desk.now() + Millis(1);
    let expired = desk.token_until("expired", Role::PolicyAdmin, &[], Some(soon)).await;
    let revoked = desk.token("revoked", Role::PolicyAdmin, &[]).await;
    desk.revoke("revoked").await;
    desk.pass(Millis(1)).await;
    for route in routes(&desk).await {
        for (case, token) in [
            ("none", None),
            ("unknown", Some("rpv_unknown")),
            ("expired", Some(&*expired)),
            ("revoked", Some(&*revoked)),
        ] {
            let case = format!("{}, {case}", route.name());
            let answer = route.asked_by(&desk, token).await;
            assert_problem(&case, &answer, StatusCode::UNAUTHORIZED);
            assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE), "{case}");
        }
    }
    for path in OPEN {
        assert_eq!(desk.ask(Method::GET, path, None, &[], "").await.status, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn every_route_is_closed_to_a_lower_role() {
    let desk = Desk::set().await;
    let viewer = desk.token("viewer", Role::Viewer, &[]).await;
    let operator = desk.token("operator", Role::Operator, &[]).await;
    for route in routes(&desk).await {
        let name = route.name();
        assert!(
            route.method == Method::GET || route.role > Role::Viewer,
            "{name}: a viewer changes nothing"
        );
        let below = match route.role {
            Role::Viewer => &[][..],
            Role::Operator => &[&viewer][..],
            Role::PolicyAdmin => &[&viewer, &operator][..],
        };
        for token in below {
            assert_problem(&name, &route.asked_by(&desk, Some(token)).await, StatusCode::FORBIDDEN);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_write_lives_and_is_not_ready() {
    let desk = Desk::set().await;
    desk.stage.store.clone().close().await.unwrap();
    assert_eq!(desk.ask(Method::GET, "/health", None, &[], "").await.status, StatusCode::OK);
    let answer = desk.ask(Method::GET, "/readyz", None, &[], "").await;
    assert_problem("/readyz", &answer, StatusCode::SERVICE_UNAVAILABLE);
}

/// The names that only who sees the tenant may read.
fn tells_of_the_tenant(body: &Value) -> bool {
    let text = body.to_string();
    ["ws-1", TENANT, "somebodys"].iter().any(|name| text.contains(name))
}

#[tokio::test(start_paused = true)]
async fn every_route_is_closed_to_another_tenants_token() {
    let desk = Desk::set().await;
    desk.token("somebodys", Role::Viewer, &[TENANT]).await;
    let stranger = desk.token("stranger", Role::PolicyAdmin, &["globex"]).await;
    let owner = desk.token("owner", Role::PolicyAdmin, &[TENANT]).await;
    for route in routes(&desk).await {
        let name = route.name();
        let answer = route.asked_by(&desk, Some(&stranger)).await;
        match route.of.as_str() {
            "workspace" | "tenant" | "found" => {
                assert_problem(&name, &answer, StatusCode::NOT_FOUND);
            }
            "fleet" => assert_problem(&name, &answer, StatusCode::FORBIDDEN),
            "listed" => assert!(!tells_of_the_tenant(&answer.body), "{name}: {}", answer.body),
            "nobody" => {}
            other => panic!("{name}: nothing is known of x-reprieve-of {other:?}"),
        }
        if route.method == Method::GET && route.of != "fleet" {
            let answer = route.asked_by(&desk, Some(&owner)).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}: the owner is let in");
        }
    }
    let restarts = desk.stage.restarts();
    assert!(desk.stage.store.tokens.get(&"somebodys".parse().unwrap()).is_some());
    // Every 404 above was about something that is there: its owner gets further.
    for route in routes(&desk).await {
        if matches!(route.of.as_str(), "workspace" | "tenant" | "found") {
            let answer = route.asked_by(&desk, Some(&owner)).await;
            let is_closed = matches!(answer.status.as_u16(), 401 | 403 | 404);
            assert!(!is_closed, "{}: the owner: {} {}", route.name(), answer.status, answer.body);
        }
    }
    assert!(restarts.is_empty(), "nobody who may not has restarted anything: {restarts:?}");
}

#[tokio::test(start_paused = true)]
async fn another_tenants_workspace_is_as_unknown_as_none() {
    let desk = Desk::set().await;
    let stranger = desk.token("stranger", Role::PolicyAdmin, &["globex"]).await;
    let (theirs, nobodys) = (
        desk.get("/workspaces/ws-1", &stranger).await,
        desk.get("/workspaces/ws-9", &stranger).await,
    );
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    let told = |answer: &Answer| answer.body.to_string().replace("ws-1", "ws-9");
    assert_eq!(told(&theirs), told(&nobodys));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_route_is_not_told_to_strangers() {
    let desk = Desk::set().await;
    for (path, method) in [("/nowhere", Method::GET), ("/workspaces", Method::PATCH)] {
        let stranger = desk.ask(method.clone(), path, None, &[], "").await;
        assert_problem(path, &stranger, StatusCode::UNAUTHORIZED);
        let known = desk.ask(method, path, Some(HOSTS_OWN), &[], "").await;
        assert!(matches!(known.status.as_u16(), 404 | 405), "{path}: {}", known.status);
    }
}
