//! Which trace a message belongs to: the header `traceparent` of W3C Trace Context.

use http::{HeaderMap, HeaderName};
use opentelemetry::{
    Context,
    propagation::TextMapPropagator as _,
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The span that a message's sender made it in.
pub(super) fn of(headers: &HeaderMap) -> Context {
    // Nothing is taken from the surroundings: a message that names no trace has none.
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// The same, of headers as the queue keeps them.
pub(super) fn of_stored(headers: &[(String, Vec<u8>)]) -> Option<SpanContext> {
    let kept = |(name, value): &(String, Vec<u8>)| {
        Some((name.parse::<HeaderName>().ok()?, value.as_slice().try_into().ok()?))
    };
    let is_of_trace = |(name, _): &&(String, Vec<u8>)| {
        name.eq_ignore_ascii_case(TRACEPARENT) || name.eq_ignore_ascii_case(TRACESTATE.as_str())
    };
    let headers: HeaderMap = headers.iter().filter(is_of_trace).filter_map(kept).collect();
    let context = of(&headers).span().span_context().clone();
    context.is_valid().then_some(context)
}

/// Names the current span as the one that a message is sent in. Where there is
/// none, the message keeps what its sender said.
pub(crate) fn hand_on(headers: &mut HeaderMap) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(headers));
    if headers.get(TRACESTATE).is_some_and(|state| state.is_empty()) {
        headers.remove(TRACESTATE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn without_a_span_a_message_keeps_what_its_sender_said() {
        let mut headers = HeaderMap::new();
        hand_on(&mut headers);
        assert!(headers.is_empty(), "no trace is made up: {headers:?}");
        headers.insert(TRACEPARENT, PARENT.parse().unwrap());
        hand_on(&mut headers);
        assert_eq!(headers[TRACEPARENT], PARENT);
    }

    #[test]
    fn a_trace_is_what_a_message_names_well() {
        for (case, value, expected) in [
            ("named", PARENT, true),
            ("no trace", "00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("malformed", "nonsense", false),
            ("empty", "", false),
        ] {
            let stored = [("traceparent".to_owned(), value.as_bytes().to_vec())];
            assert_eq!(of_stored(&stored).is_some(), expected, "{case}");
        }
        assert_eq!(of_stored(&[("traceparent".to_owned(), vec![0])]), None);
        assert_eq!(of_stored(&[]), None);
    }
}
