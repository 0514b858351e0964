//! What happens to headers on their way through: those of one connection are
//! taken off, the way here is written down, and nobody outside speaks for the
//! system.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reprieve_core::queue::Priority;
use url::Url;

use crate::telemetry::traces::context;

/// Names the decision behind an answer.
pub const DECISION: HeaderName = HeaderName::from_static("reprieve-decision");

/// A caller may say how urgent a request is: `critical`, `task` or `info`.
pub const PRIORITY: HeaderName = HeaderName::from_static("reprieve-priority");

/// Set by the host alone, on the messages that it sends to workspaces itself.
pub const SYSTEM_CALLER: HeaderName = HeaderName::from_static("reprieve-caller");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that begin so speak for the system.
const SYSTEM_PREFIXES: [&str; 3] = ["reprieve-", "x-reprieve-", "x-system-"];

/// Those of them that callers may send.
const OPEN_TO_CALLERS: [HeaderName; 1] = [PRIORITY];

/// Source: RFC 9110, 7.6.1, and the older names still sent. `Trailer` is not
/// among them: it tells about the message, and trailers pass.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

fn speaks_for_the_system(name: &HeaderName) -> bool {
    SYSTEM_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

/// A header by which a caller claims to be the system.
pub(super) fn forged(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| speaks_for_the_system(name) && !OPEN_TO_CALLERS.contains(name))
}

/// The priority that a caller asks for. `Err`: what was sent is none.
pub(super) fn priority(headers: &HeaderMap) -> Result<Priority, String> {
    let Some(value) = headers.get(PRIORITY) else { return Ok(Priority::default()) };
    match value.to_str() {
        Ok("critical") => Ok(Priority::CRITICAL),
        Ok("task") => Ok(Priority::TASK),
        Ok("info") => Ok(Priority::INFO),
        Ok(_) | Err(_) => Err(format!(
            "the header {PRIORITY} must be \"critical\", \"task\" or \"info\", not {value:?}"
        )),
    }
}

/// The protocol that a request wants to change to.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wants = listed(headers, &header::CONNECTION).any(|name| name == "upgrade");
    if wants { headers.get(header::UPGRADE).cloned() } else { None }
}

/// Whether a message carries trailers that its receiver asked for.
fn wants_trailers(headers: &HeaderMap) -> bool {
    listed(headers, &header::TE).any(|coding| coding == "trailers")
}

fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_ascii_lowercase())
}

/// Makes a caller's headers fit for the workspace.
pub(super) fn towards_workspace(headers: &mut HeaderMap, way: &Way) {
    let trailers = wants_trailers(headers);
    // A body of unknown length stays chunked: without this, clients send GET
    // requests without their bodies.
    let chunked = headers.contains_key(header::TRANSFER_ENCODING);
    strip(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if chunked {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let host = headers.remove(header::HOST);
    headers.remove(header::EXPECT);
    headers.remove(PRIORITY);
    context::hand_on(headers);
    way.write(headers, host);
}

/// Makes a workspace's headers fit for the caller.
pub(super) fn towards_caller(headers: &mut HeaderMap) {
    strip(headers);
    let forged: Vec<_> = headers.keys().filter(|n| speaks_for_the_system(n)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<_> = listed(headers, &header::CONNECTION).collect();
    // Framing and routing are not a caller's to take off.
    let kept = [header::CONTENT_LENGTH, header::HOST];
    for name in named.iter().filter_map(|name| name.parse::<HeaderName>().ok()) {
        if !kept.contains(&name) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// How a request came here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) peer: Option<IpAddr>,
    /// Another proxy in front sets `X-Forwarded-*`.
    pub(super) trust_forwarded: bool,
}

impl Way {
    fn write(&self, headers: &mut HeaderMap, host: Option<HeaderValue>) {
        let before = listed(headers, &FORWARDED_FOR).filter(|_| self.trust_forwarded);
        let peer = self.peer.map(|peer| peer.to_canonical().to_string());
        let way = before.chain(peer).collect::<Vec<_>>().join(", ");
        headers.remove(FORWARDED_FOR);
        if let (Ok(way), false) = (HeaderValue::try_from(&way), way.is_empty()) {
            headers.insert(FORWARDED_FOR, way);
        }
        if !self.trust_forwarded {
            headers.remove(header::FORWARDED);
            headers.remove(FORWARDED_HOST);
            headers.remove(FORWARDED_PROTO);
        }
        if let (Some(host), false) = (host, headers.contains_key(FORWARDED_HOST)) {
            headers.insert(FORWARDED_HOST, host);
        }
        if !headers.contains_key(FORWARDED_PROTO) {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
        }
    }

    /// Where the caller reached this proxy.
    pub(super) fn public_url(&self, headers: &HeaderMap) -> Option<Url> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let forwarded = |name| text(name).filter(|_| self.trust_forwarded);
        let proto = forwarded(FORWARDED_PROTO).filter(|proto| matches!(*proto, "http" | "https"));
        let host = forwarded(FORWARDED_HOST).or_else(|| text(header::HOST))?;
        // A host that is more than a host could put a path into every URL.
        if host.contains(['/', '@', '?', '#', '\\']) {
            return None;
        }
        format!("{}://{host}/", proto.unwrap_or("http")).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn way(trust_forwarded: bool) -> Way {
        Way { peer: Some([192, 0, 2, 7].into()), trust_forwarded }
    }

    #[test]
    fn nobody_outside_speaks_for_the_system() {
        for (name, expected) in [
            ("reprieve-caller", true),
            ("reprieve-decision", true),
            ("reprieve-anything", true),
            ("x-reprieve-caller", true),
            ("x-system-caller", true),
            ("reprieve-priority", false),
            ("a2a-version", false),
            ("authorization", false),
        ] {
            assert_eq!(forged(&map(&[(name, "x")])).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn headers_of_one_connection_end_with_it() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Mine, content-length"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers, gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "secret"),
            ("content-length", "3"),
            ("a2a-version", "1.0"),
            ("host", "proxy.example:8484"),
            ("expect", "100-continue"),
            ("reprieve-priority", "info"),
        ]);
        towards_workspace(&mut headers, &way(false));
        assert_eq!(
            headers,
            map(&[
                ("te", "trailers"),
                ("transfer-encoding", "chunked"),
                ("content-length", "3"),
                ("a2a-version", "1.0"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-host", "proxy.example:8484"),
                ("x-forwarded-proto", "http"),
            ])
        );
    }

    #[test]
    fn the_way_here_is_believed_only_behind_a_trusted_proxy() {
        let sent = [
            ("host", "inner"),
            ("x-forwarded-for", "203.0.113.5"),
            ("x-forwarded-host", "public.example"),
            ("x-forwarded-proto", "https"),
        ];
        for (trusted, way_here, host, proto, public) in [
            (true, "203.0.113.5, 192.0.2.7", "public.example", "https", "https://public.example/"),
            (false, "192.0.2.7", "inner", "http", "http://inner/"),
        ] {
            let mut headers = map(&sent);
            let url = way(trusted).public_url(&headers).unwrap();
            assert_eq!(url.as_str(), public, "trusted: {trusted}");
            towards_workspace(&mut headers, &way(trusted));
            assert_eq!(headers["x-forwarded-for"], way_here, "trusted: {trusted}");
            assert_eq!(headers["x-forwarded-host"], host, "trusted: {trusted}");
            assert_eq!(headers["x-forwarded-proto"], proto, "trusted: {trusted}");
        }
    }

    #[test]
    fn a_workspace_cannot_name_a_decision() {
        let mut headers = map(&[("reprieve-decision", "mine"), ("content-type", "a/b")]);
        towards_caller(&mut headers);
        assert_eq!(headers, map(&[("content-type", "a/b")]));
    }

    #[test]
    fn a_priority_is_one_of_three_words() {
        for (value, expected) in [
            ("critical", Some(Priority::CRITICAL)),
            ("task", Some(Priority::TASK)),
            ("info", Some(Priority::INFO)),
            ("high", None),
        ] {
            assert_eq!(priority(&map(&[("reprieve-priority", value)])).ok(), expected, "{value}");
        }
        assert_eq!(priority(&HeaderMap::new()), Ok(Priority::TASK));
    }
}
