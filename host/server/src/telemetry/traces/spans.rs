//! The spans that there are. `docs/tracing.md` names them and their attributes.
//!
//! None holds a body, a query, a header or a token. Each is made where it begins,
//! entered by whoever works in it, and told its end.

use http::{Method, Request, StatusCode};
use opentelemetry::trace::Status;
use reprieve_core::{
    decision::{Decision, Outcome},
    ids::{LifeId, TenantId, WorkspaceId},
    judgement::{Call, ForwardFailure, Trigger},
};
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{TARGET, context};

/// What OpenTelemetry calls a method that is none of the usual ones: a caller must
/// not make up as many names as it likes.
const OTHER_METHOD: &str = "_OTHER";

/// A request for a workspace, until its answer begins.
pub(crate) fn request<B>(request: &Request<B>, workspace: &WorkspaceId, tenant: &TenantId) -> Span {
    let method = known(request.method());
    let span = info_span!(
        target: TARGET,
        "HTTP",
        otel.name = if method == OTHER_METHOD { "HTTP".to_owned() } else { format!("HTTP {method}") },
        otel.kind = "server",
        http.request.method = method,
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        reprieve.workspace = workspace.as_str(),
        reprieve.tenant = tenant.as_str(),
    );
    if !span.is_disabled() {
        // It is new, so its parent can still be set.
        let _ = span.set_parent(context::of(request.headers()));
    }
    span
}

pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        failed(span, "");
    }
}

/// A judgement, to its verdict in force: all looks at the workspace, and what was
/// done about it.
pub(crate) fn judge(trigger: Trigger, workspace: &WorkspaceId, tenant: &TenantId) -> Span {
    info_span!(
        target: TARGET,
        "reprieve.judge",
        reprieve.workspace = workspace.as_str(),
        reprieve.tenant = tenant.as_str(),
        reprieve.trigger = trigger_name(trigger),
    )
}

/// One call of the policy: for a verdict, or for the admission of a restart.
pub(crate) fn decide(call: &Call, workspace: &WorkspaceId, tenant: &TenantId) -> Span {
    info_span!(
        target: TARGET,
        "reprieve.decide",
        reprieve.workspace = workspace.as_str(),
        reprieve.tenant = tenant.as_str(),
        reprieve.trigger = match call {
            Call::Judge { trigger, .. } => trigger_name(*trigger),
            Call::Admit { .. } => "admission",
        },
        reprieve.decision = Empty,
        reprieve.policy = Empty,
        reprieve.generation = Empty,
        reprieve.verdict = Empty,
        reprieve.reason = Empty,
        reprieve.passes = Empty,
    )
}

/// `verdict`: of a judgement the verdict, of a ruling the admission.
pub(crate) fn decided(span: &Span, decision: &Decision, verdict: &'static str) {
    span.record("reprieve.decision", decision.id.0.as_str());
    span.record("reprieve.policy", decision.generation.policy.as_str());
    span.record("reprieve.generation", decision.generation.number);
    span.record("reprieve.verdict", verdict);
    span.record("reprieve.reason", decision.outcome.reason_code());
    span.record("reprieve.passes", decision.cost.passes);
    if let Outcome::FellBack { failure, .. } = &decision.outcome {
        failed(span, failure);
    }
}

/// One look at what the runtime shows. `kind`: of the workspace, and so of its
/// backend.
pub(crate) fn look(kind: &str, workspace: &WorkspaceId, tenant: &TenantId) -> Span {
    info_span!(
        target: TARGET,
        "reprieve.look",
        otel.kind = "client",
        reprieve.workspace = workspace.as_str(),
        reprieve.tenant = tenant.as_str(),
        reprieve.backend = kind,
        reprieve.fault = Empty,
    )
}

pub(crate) fn looked(span: &Span, fault: Option<&'static str>) {
    if let Some(fault) = fault {
        span.record("reprieve.fault", fault);
        failed(span, fault);
    }
}

/// A restart, from its order to what came of it.
pub(crate) fn restart(
    cause: &'static str,
    life: LifeId,
    workspace: &WorkspaceId,
    tenant: &TenantId,
) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "reprieve.restart",
        reprieve.workspace = workspace.as_str(),
        reprieve.tenant = tenant.as_str(),
        reprieve.cause = cause,
        reprieve.life = life.0,
        reprieve.outcome = Empty,
    );
    if !span.is_disabled() {
        // Of the same trace, but not held open by it: nobody waits for a restart.
        let _ = span.set_parent(Span::current().context());
    }
    span
}

/// `failure`: None if it was carried out.
pub(crate) fn restarted(span: &Span, failure: Option<&'static str>) {
    span.record("reprieve.outcome", failure.unwrap_or("carried-out"));
    if let Some(failure) = failure {
        failed(span, failure);
    }
}

/// One attempt to deliver a queued request: a trace of its own, because the request
/// was answered long ago. A link leads to the request's span.
pub(crate) fn deliver(
    headers: &[(String, Vec<u8>)],
    workspace: &WorkspaceId,
    tenant: &TenantId,
) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "reprieve.deliver",
        otel.kind = "consumer",
        reprieve.workspace = workspace.as_str(),
        reprieve.tenant = tenant.as_str(),
        http.response.status_code = Empty,
        reprieve.failure = Empty,
    );
    if !span.is_disabled()
        && let Some(queued) = context::of_stored(headers)
    {
        span.add_link(queued);
    }
    span
}

/// `ended`: the status of the workspace's answer, or why there is none.
pub(crate) fn delivered(span: &Span, ended: Result<u16, Option<ForwardFailure>>) {
    match ended {
        Ok(status) => {
            span.record("http.response.status_code", status);
        }
        Err(failure) => {
            let failure = failure.map_or("not-sent", failure_name);
            span.record("reprieve.failure", failure);
            failed(span, failure);
        }
    }
}

fn failed(span: &Span, why: &str) {
    if !span.is_disabled() {
        span.set_status(Status::error(why.to_owned()));
    }
}

fn known(method: &Method) -> &'static str {
    // Source: OpenTelemetry's semantic conventions, `http.request.method`.
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| method == known).unwrap_or(OTHER_METHOD)
}

const fn trigger_name(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::ForwardFailed(failure) => failure_name(failure),
        Trigger::Preflight => "preflight",
        Trigger::HeartbeatExpired => "heartbeat-expired",
        Trigger::RuntimeStopped => "runtime-stopped",
        Trigger::Unhealthy => "unhealthy",
        Trigger::Settling => "settling",
        Trigger::Sweep => "sweep",
    }
}

const fn failure_name(failure: ForwardFailure) -> &'static str {
    match failure {
        ForwardFailure::Refused => "refused",
        ForwardFailure::Reset => "reset",
        ForwardFailure::ClosedEarly => "closed-early",
        ForwardFailure::TimedOut => "timed-out",
        ForwardFailure::Unresolved => "unresolved",
        ForwardFailure::BadStatus(_) => "bad-status",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use reprieve_core::judgement::RestartCause;

    use super::*;
    use crate::logged::Logged;

    /// What every span has.
    const COMMON: [&str; 2] = ["reprieve.workspace", "reprieve.tenant"];

    /// Names of spans, and of the attributes that they have beside the common ones.
    type Spans = BTreeMap<String, BTreeSet<String>>;

    fn in_code() -> Spans {
        // Somebody takes them.
        let (_log, _taking) = Logged::begin();
        let (workspace, tenant) = (&"ws-1".parse().unwrap(), &"acme".parse().unwrap());
        let spans = [
            request(&Request::new(()), workspace, tenant),
            judge(Trigger::Sweep, workspace, tenant),
            decide(&Call::Admit { cause: RestartCause::Operator }, workspace, tenant),
            look("process", workspace, tenant),
            restart("operator", LifeId(1), workspace, tenant),
            deliver(&[], workspace, tenant),
        ];
        // One that is made elsewhere in this file has to be in the list.
        let source = include_str!("spans.rs").split("#[cfg(test)]").next().unwrap();
        assert_eq!(source.matches("info_span!(").count(), spans.len());
        let spans = spans.iter().map(|span| {
            let span = span.metadata().unwrap();
            let fields: BTreeSet<_> = span.fields().iter().map(|field| field.name()).collect();
            assert!(COMMON.iter().all(|common| fields.contains(common)), "{}", span.name());
            let own = fields.into_iter().filter(|field| !field.starts_with("otel."));
            let own = own.filter(|field| !COMMON.contains(field)).map(str::to_owned);
            (span.name().to_owned(), own.collect())
        });
        spans.collect()
    }

    /// Of the table: what is in backquotes in its first and its third column.
    fn in_the_document() -> Spans {
        let document = include_str!("../../../../../docs/tracing.md");
        let rows = document.lines().filter(|line| line.starts_with("| `"));
        let quoted = |cell: &str| -> Vec<String> {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let spans = rows.map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').collect();
            // A request is named after its method, too.
            let name = quoted(cells[0]).remove(0);
            let name = name.split(' ').next().unwrap().to_owned();
            (name, quoted(cells[2]).into_iter().collect())
        });
        spans.collect()
    }

    #[test]
    fn the_document_names_every_span_and_every_attribute_and_no_other() {
        assert_eq!(in_the_document(), in_code());
    }
}
