//! Reads `/workspaces/{id}/…` and finds the place behind the proxy that it
//! stands for.
//!
//! Paths are never decoded and written anew: what a caller sent reaches the
//! workspace as it was. They are only looked at, decoded, for tricks that could
//! lead out of the workspace's address.

use http::{Uri, uri::PathAndQuery};
use reprieve_core::ids::{InvalidName, WorkspaceId};
use url::Url;

/// A path that was decoded so often and still changes is a trick.
const MAX_DECODINGS: usize = 4;

/// Whom a request is for, and where below it: empty, or beginning with a slash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) workspace: WorkspaceId,
    pub(super) rest: &'a str,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathProblem {
    #[error("there is nothing here; workspaces are found below /workspaces/{{id}}/")]
    NotOurs,
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("the path leads out of the workspace; \".\" and \"..\" segments are not allowed")]
    Escapes,
}

pub(super) fn parse(path: &str) -> Result<Target<'_>, PathProblem> {
    let below = path.strip_prefix("/workspaces/").ok_or(PathProblem::NotOurs)?;
    let (name, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
    let workspace = name.parse()?;
    if escapes(rest) { Err(PathProblem::Escapes) } else { Ok(Target { workspace, rest }) }
}

/// Whether any segment is `.` or `..`, however often encoded and whatever some
/// server may take for a separator.
fn escapes(rest: &str) -> bool {
    let mut bytes = rest.as_bytes().to_vec();
    for _ in 0..MAX_DECODINGS {
        let mut segments = bytes.split(|byte| matches!(byte, b'/' | b'\\' | 0));
        if segments.any(|segment| {
            // Some servers cut path parameters off: `..;x` is `..` to them.
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..")
        }) {
            return true;
        }
        let decoded = decode(&bytes);
        if decoded == bytes {
            return false;
        }
        bytes = decoded;
    }
    true
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

/// The place below a workspace's address, `path` with the query.
pub(super) fn join(address: &Url, path: &str) -> Result<Uri, http::Error> {
    let base = address.path();
    let (below, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let whole = if below.is_empty() {
        format!("{base}{query}")
    } else {
        format!("{}{below}{query}", base.trim_end_matches('/'))
    };
    let authority = match (address.host_str(), address.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    };
    Uri::builder()
        .scheme(address.scheme())
        .authority(authority)
        .path_and_query(PathAndQuery::try_from(whole)?)
        .build()
}

/// The path below a workspace's address that its redirect leads to. None: it
/// leads elsewhere, or is relative and so needs no help.
pub(super) fn below(address: &Url, location: &str) -> Option<String> {
    let is_relative = !location.starts_with('/') && Url::parse(location).is_err();
    let to = address.join(location).ok()?;
    if is_relative || to.origin() != address.origin() {
        return None;
    }
    let base = address.path().trim_end_matches('/');
    let path = to.path().strip_prefix(base).filter(|rest| rest.starts_with('/'))?;
    let query = to.query().map(|query| format!("?{query}")).unwrap_or_default();
    let fragment = to.fragment().map(|fragment| format!("#{fragment}")).unwrap_or_default();
    Some(format!("{path}{query}{fragment}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_workspace_and_a_place_below_it() {
        for (path, expected) in [
            ("/workspaces/ws-1/a2a", Some(("ws-1", "/a2a"))),
            ("/workspaces/ws-1", Some(("ws-1", ""))),
            ("/workspaces/ws-1/", Some(("ws-1", "/"))),
            ("/workspaces/ws-1/a%2Fb/c%20d", Some(("ws-1", "/a%2Fb/c%20d"))),
            ("/workspaces/ws-1//x", Some(("ws-1", "//x"))),
            ("/workspaces/ws-1/...", Some(("ws-1", "/..."))),
            ("/workspaces/ws-1/100%", Some(("ws-1", "/100%"))),
            ("/workspaces/", None),
            ("/workspaces", None),
            ("/workspaces//a2a", None),
            ("/workspaces/../admin", None),
            ("/workspaces/%2e%2e/admin", None),
            ("/workspaces/ws%2d1/x", None),
            ("/workspaces/ws-1%2f..%2fws-2/x", None),
            ("/admin", None),
        ] {
            let target = parse(path).ok().map(|t| (t.workspace.to_string(), t.rest.to_owned()));
            let expected = expected.map(|(id, rest)| (id.to_owned(), rest.to_owned()));
            assert_eq!(target, expected, "{path}");
        }
    }

    #[test]
    fn no_trick_leads_out_of_a_workspace() {
        for rest in [
            "/..",
            "/../ws-2",
            "/a/./b",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e",
            "/a%2f..%2fb",
            "/a%5c..%5cb",
            "/a\\..\\b",
            "/%252e%252e/x",
            "/%25252e%25252e/x",
            "/..;a=b/x",
            "/..%00/x",
            "/%2525252525252525252e",
        ] {
            let path = format!("/workspaces/ws-1{rest}");
            assert_eq!(parse(&path), Err(PathProblem::Escapes), "{rest}");
        }
    }

    #[test]
    fn a_place_is_joined_below_the_address() {
        for (address, path, expected) in [
            ("http://127.0.0.1:4000", "", "http://127.0.0.1:4000/"),
            ("http://127.0.0.1:4000/", "/x?y=%20", "http://127.0.0.1:4000/x?y=%20"),
            ("http://127.0.0.1:4000/", "?y", "http://127.0.0.1:4000/?y"),
            ("https://a.example/base", "", "https://a.example/base"),
            ("https://a.example/base/", "/x//y", "https://a.example/base/x//y"),
            ("http://[::1]:80/base", "/", "http://[::1]/base/"),
        ] {
            let joined = join(&address.parse().unwrap(), path).unwrap();
            assert_eq!(joined.to_string(), expected, "{address} {path}");
        }
    }

    #[test]
    fn a_redirect_to_the_workspace_stays_below_it() {
        for (address, location, expected) in [
            ("http://127.0.0.1:4000/", "http://127.0.0.1:4000/x/?y#z", Some("/x/?y#z")),
            ("http://127.0.0.1:4000/", "/x/", Some("/x/")),
            ("http://127.0.0.1:4000/base/", "/base/x", Some("/x")),
            ("http://127.0.0.1:4000/base/", "/other", None),
            ("http://127.0.0.1:4000/", "//elsewhere.example/x", None),
            ("http://127.0.0.1:4000/", "https://elsewhere.example/", None),
            ("http://127.0.0.1:4000/", "http://127.0.0.1:4001/", None),
            ("http://127.0.0.1:4000/", "../x", None),
        ] {
            let found = below(&address.parse().unwrap(), location);
            assert_eq!(found.as_deref(), expected, "{address} {location}");
        }
    }
}
