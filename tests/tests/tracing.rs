//! Spans: a collector sees what a request led to, as one trace with the caller's
//! and the workspace's own; and neither a collector that is deaf nor none at all
//! makes a difference to requests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, extract::State, routing::post};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Attribute,
    trace::v1::Span, trace::v1::status::StatusCode as SpanStatus,
};
use parking_lot::Mutex;
use prost::Message as _;
use reprieve_tests::Program;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// In headers, bodies and queries: not for a collector's eyes.
const SECRET: &str = "a-secret-of-the-caller";

/// What a server was sent.
struct Heard {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Takes whatever is posted to it, and keeps it.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<Heard>>>);

impl Listener {
    /// Where it listens.
    async fn start(&self) -> String {
        let hear = |State(Self(heard)): State<Self>, uri: Uri, headers: HeaderMap, body: Bytes| {
            heard.lock().push(Heard { path: uri.path().to_owned(), headers, body });
            async { [("content-type", "application/json")] }
        };
        let router = Router::new().fallback(post(hear)).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// The spans that it was sent.
    fn spans(&self) -> Trace {
        let heard = self.0.lock();
        let mut spans = Vec::new();
        for message in &*heard {
            assert_eq!(message.path, "/v1/traces");
            assert_eq!(message.headers["content-type"], "application/x-protobuf");
            let sent = ExportTraceServiceRequest::decode(message.body.clone()).unwrap();
            for resource in sent.resource_spans {
                let attributes = resource.resource.unwrap().attributes;
                let is_name = |of: &&_| key_of(of) == "service.name";
                let name = attributes.iter().find(is_name).map(value_of);
                assert_eq!(name.as_deref(), Some("reprieve"));
                spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        Trace(spans)
    }

    /// The newest `traceparent`, if the newest message has one.
    fn newest_traceparent(&self) -> Option<String> {
        let heard = self.0.lock();
        let newest = heard.last().expect("it was sent something");
        newest.headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned())
    }
}

fn key_of(attribute: &opentelemetry_proto::tonic::common::v1::KeyValue) -> &str {
    &attribute.key
}

fn value_of(attribute: &opentelemetry_proto::tonic::common::v1::KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()).unwrap() {
        Attribute::StringValue(text) => text.clone(),
        Attribute::IntValue(number) => number.to_string(),
        other => panic!("{} is {other:?}", attribute.key),
    }
}

/// Spans of any trace.
struct Trace(Vec<Span>);

impl Trace {
    fn of(&self, trace_id: &str) -> Self {
        let of_it = |span: &&Span| hex(&span.trace_id) == trace_id;
        Self(self.0.iter().filter(of_it).cloned().collect())
    }

    fn named(&self, name: &str) -> Vec<&Span> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    fn only(&self, name: &str) -> &Span {
        let spans = self.named(name);
        assert_eq!(spans.len(), 1, "{name} among {:?}", self.names());
        spans[0]
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|span| span.name.as_str()).collect()
    }

    fn parent(&self, of: &Span) -> Option<&Span> {
        self.0.iter().find(|span| span.span_id == of.parent_span_id && span.trace_id == of.trace_id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    span.attributes.iter().map(|attribute| (key_of(attribute), value_of(attribute))).collect()
}

/// `expected`: among others.
fn assert_attributes(span: &Span, expected: &[(&str, &str)]) {
    let all = attributes(span);
    for (key, value) in expected {
        assert_eq!(
            all.get(key).map(String::as_str),
            Some(*value),
            "{key} of {}: {all:?}",
            span.name
        );
    }
}

fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == SpanStatus::Error)
}

fn trace_id(number: u32) -> String {
    format!("{number:032x}")
}

fn traceparent(number: u32) -> String {
    format!("00-{}-00000000000000aa-01", trace_id(number))
}

/// `agent` misbehaves as it is told. `ear` is this test: its process does nothing,
/// and its requests go to `ear`.
fn program(telemetry: &str, ear: &str) -> Program {
    Program::new(&format!(
        "{telemetry}\n[policy.settings]\nsettle = \"300ms\"\nrestart_debounce = \"300ms\"\n\
         reprobe_delay = \"100ms\"\n\
         [workspaces.agent]\ntenant = \"acme\"\nstop_grace = \"1s\"\n\
         command = [\"{{reprieve}}\", \"agent\", \"--beat-every-ms\", \"100\"]\n\
         [workspaces.ear]\ntenant = \"acme\"\nstop_grace = \"1s\"\n\
         command = [\"sleep\", \"3600\"]\naddress = \"{ear}\"\n"
    ))
}

fn message(id: &str) -> Value {
    json!({"method": "message/send", "params": {"message": {
        "role": "user", "messageId": id, "parts": [{"kind": "text", "text": SECRET}],
    }}})
}

/// Sends until the answer is 200, each time in a trace of its own, from that number on.
/// The trace of the request that was answered so.
async fn send_until(program: &Program, path: &str, body: &Value, first: u32) -> u32 {
    let number = Mutex::new(first);
    let wanted = StatusCode::OK;
    let so = || async {
        let now = {
            let mut number = number.lock();
            *number += 1;
            *number
        };
        let headers = [("traceparent", traceparent(now)), ("authorization", SECRET.to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let path = format!("{path}?key={SECRET}");
        let answer = program.send_with(Method::POST, &path, &headers, body).await;
        answer.is_some_and(|(status, _)| status == wanted)
    };
    program.until(&format!("{path} answers {wanted}"), so).await;
    number.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_what_it_led_to_are_one_trace() {
    let (collector, ear) = (Listener::default(), Listener::default());
    let config = format!(
        "telemetry.otlp_endpoint = \"{}\"\ntelemetry.otlp_headers_file = \"headers\"",
        collector.start().await
    );
    let program = program(&config, &ear.start().await);
    std::fs::write(program.folder().join("headers"), "x-scope: acme\n").unwrap();
    let host = program.start();
    program.until_up().await;

    let plain = send_until(&program, "ear/a2a", &message("plain"), 0).await;
    let carried = ear.newest_traceparent().expect("the trace is handed on");
    // Until a judgement is this request's own: others may be under way.
    let close_early = |on: bool| json!({"close_early": on});
    send_until(&program, "agent/switch", &close_early(true), 2_000).await;
    let queued = 1_000;
    let so = || async {
        let headers = [("traceparent", &*traceparent(queued))];
        let sent = message("queued");
        program.send_with(Method::POST, "agent/a2a", &headers, &sent).await;
        let spans = collector.spans().of(&trace_id(queued));
        !spans.named("reprieve.look").is_empty()
    };
    program.until("a request was judged", so).await;
    program.send(Method::POST, "agent/switch", &close_early(false)).await;
    let so = || async { !collector.spans().named("reprieve.deliver").is_empty() };
    program.until("it is delivered", so).await;
    program.send(Method::POST, "agent/switch", &json!({"crash": true})).await;
    let so = || async {
        let spans = collector.spans();
        let restarts = spans.named("reprieve.restart");
        restarts.iter().any(|span| attributes(span)["reprieve.cause"] == "dead-verdict")
    };
    program.until("it is restarted", so).await;
    host.end().await;

    assert_eq!(collector.0.lock()[0].headers["x-scope"], "acme");
    let all = collector.spans();
    a_forward_is_one_span(&all.of(&trace_id(plain)), &carried);
    a_judgement_hangs_below_its_request(&all.of(&trace_id(queued)));
    a_delivery_leads_to_its_request(&all, &trace_id(queued));
    a_restart_hangs_below_its_judgement(&all);
    let shown = format!("{:?}", all.0);
    assert!(!shown.contains(SECRET), "no header, body or query: {shown}");
}

fn a_forward_is_one_span(spans: &Trace, carried: &str) {
    let request = spans.only("HTTP POST");
    assert_eq!(hex(&request.parent_span_id), "00000000000000aa", "the caller's span");
    assert_eq!(carried, format!("00-{}-{}-01", hex(&request.trace_id), hex(&request.span_id)));
    assert!(!has_failed(request));
    assert_attributes(
        request,
        &[
            ("http.request.method", "POST"),
            ("url.path", "/workspaces/ear/a2a"),
            ("http.response.status_code", "200"),
            ("reprieve.workspace", "ear"),
            ("reprieve.tenant", "acme"),
        ],
    );
}

fn a_judgement_hangs_below_its_request(spans: &Trace) {
    let look = spans.named("reprieve.look")[0];
    assert_attributes(look, &[("reprieve.backend", "process"), ("reprieve.workspace", "agent")]);
    let decide = spans.parent(look).unwrap();
    assert_eq!(decide.name, "reprieve.decide");
    assert_attributes(decide, &[("reprieve.trigger", "closed-early"), ("reprieve.tenant", "acme")]);
    for key in ["policy", "generation", "verdict", "reason", "passes", "decision"] {
        let key = format!("reprieve.{key}");
        assert!(attributes(decide).contains_key(&*key), "{key}: {decide:?}");
    }
    let judge = spans.parent(decide).unwrap();
    assert_eq!(judge.name, "reprieve.judge");
    let request = spans.parent(judge).unwrap();
    assert_eq!(request.name, "HTTP POST");
}

fn a_delivery_leads_to_its_request(spans: &Trace, request: &str) {
    let linked = |span: &&&Span| span.links.iter().any(|link| hex(&link.trace_id) == request);
    let deliveries = spans.named("reprieve.deliver");
    let delivery = deliveries.iter().find(linked).expect("a delivery of the request");
    assert!(delivery.parent_span_id.is_empty(), "a trace of its own");
    assert_attributes(delivery, &[("reprieve.workspace", "agent"), ("reprieve.tenant", "acme")]);
}

fn a_restart_hangs_below_its_judgement(spans: &Trace) {
    let of_the_dead = |span: &&&Span| attributes(span)["reprieve.cause"] == "dead-verdict";
    let restarts = spans.named("reprieve.restart");
    let restart = restarts.iter().find(of_the_dead).unwrap();
    assert_attributes(
        restart,
        &[("reprieve.outcome", "carried-out"), ("reprieve.workspace", "agent")],
    );
    let judge = spans.parent(restart).unwrap();
    assert_eq!(judge.name, "reprieve.judge");
    let trace = spans.of(&hex(&restart.trace_id));
    let verdicts: Vec<_> = trace
        .named("reprieve.decide")
        .iter()
        .map(|span| attributes(span)["reprieve.verdict"].clone())
        .collect();
    assert!(verdicts.contains(&"dead".to_owned()), "{verdicts:?}");
    assert!(verdicts.contains(&"admit".to_owned()), "{verdicts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_none_leaves_the_callers_own_traces() {
    let (collector, ear) = (Listener::default(), Listener::default());
    let endpoint = collector.start().await;
    let config = format!("telemetry.otlp_endpoint = \"{endpoint}\"\ntelemetry.sample_ratio = 0");
    let program = program(&config, &ear.start().await);
    let host = program.start();
    program.until_up().await;
    let called = send_until(&program, "ear/a2a", &message("called"), 0).await;
    program.send(Method::POST, "ear/a2a", &message("uncalled")).await.unwrap();
    let carried = ear.newest_traceparent().expect("an unsent trace has a name, too");
    assert!(carried.ends_with("-00"), "nobody below sends it either: {carried}");
    host.end().await;
    let spans = collector.spans();
    assert_eq!(spans.of(&trace_id(called)).names(), ["HTTP POST"]);
    let callers = |span: &Span| hex(&span.trace_id) <= trace_id(called);
    assert!(spans.0.iter().all(callers), "{:?}", spans.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_no_collector() {
    let ear = Listener::default();
    // Connections come about, and nobody ever reads from them.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = format!("telemetry.otlp_endpoint = \"http://{}\"", deaf.local_addr().unwrap());
    let program = program(&config, &ear.start().await);
    let host = program.start();
    program.until_up().await;
    send_until(&program, "ear/a2a", &message("first"), 0).await;
    let (connection, _) = deaf.accept().await.expect("the host sends to it");
    for number in 0..100 {
        let sent = message(&format!("m-{number}"));
        let answer = program.send(Method::POST, "ear/a2a", &sent).await;
        assert_eq!(answer.map(|(status, _)| status), Some(StatusCode::OK), "request {number}");
    }
    // It ends, too.
    host.end().await;
    drop(connection);
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_no_trace_is_made_up() {
    let ear = Listener::default();
    let program = program("", &ear.start().await);
    let host = program.start();
    program.until_up().await;
    let number = send_until(&program, "ear/a2a", &message("called"), 0).await;
    assert_eq!(ear.newest_traceparent(), Some(traceparent(number)), "the caller's own passes");
    program.send(Method::POST, "ear/a2a", &message("uncalled")).await.unwrap();
    assert_eq!(ear.newest_traceparent(), None);
    host.end().await;
}
