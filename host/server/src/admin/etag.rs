//! So that two people cannot overwrite each other: what can be changed has an
//! `ETag`, and who overwrites it says with `If-Match` which one he has seen.
//!
//! A handler that changes something takes a [`Turn`](super::Admin::turn) first,
//! then checks, then changes: no other request comes between.

use std::collections::BTreeSet;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use reprieve_core::ids::Digest;
use serde::Serialize;

use super::problem::Problem;

/// Tags that one `If-Match` may name.
const MAX_TAGS: usize = 16;

/// A state of something that can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// Of the state as JSON. Leave out what changes by itself, ages for example.
    pub(super) fn of(state: &impl Serialize) -> Self {
        let state = serde_json::to_vec(state).unwrap_or_default();
        Self(Digest::of(&state).short())
    }

    /// Of what counts its own changes.
    pub(super) fn of_version(version: u64) -> Self {
        Self(version.to_string())
    }

    /// The header `ETag`.
    pub(super) fn header(&self) -> [(header::HeaderName, HeaderValue); 1] {
        let value = HeaderValue::try_from(format!("\"{}\"", self.0));
        [(header::ETAG, value.unwrap_or_else(|_| HeaderValue::from_static("\"\"")))]
    }
}

/// The header `If-Match`. As an `Option` it may be left out; without, leaving it
/// out is refused with 428.
#[derive(Debug)]
pub(super) enum IfMatch {
    /// `*`: whatever it is, as long as it is there.
    Any,
    Tags(BTreeSet<String>),
}

impl IfMatch {
    /// 412 if what is in force is not what the asker has seen.
    pub(super) fn check(&self, in_force: &Tag) -> Result<(), Problem> {
        match self {
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.contains(&in_force.0) => Ok(()),
            Self::Tags(_) => Err(Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "changed meanwhile",
                format!(
                    "somebody changed it meanwhile: its ETag is \"{}\" now; read it again, and \
                     decide anew",
                    in_force.0
                ),
            )),
        }
    }

    /// None: there is no such header. What is no tag matches nothing.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::IF_MATCH);
        let tags = values.iter().flat_map(|value| value.to_str().unwrap_or_default().split(','));
        let mut tags = tags.map(str::trim).take(MAX_TAGS).peekable();
        tags.peek()?;
        let mut these = BTreeSet::new();
        for tag in tags {
            if tag == "*" {
                return Some(Self::Any);
            }
            // Gateways that compress make tags weak; ours mean the content.
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            these.extend(tag.map(str::to_owned));
        }
        Some(Self::Tags(these))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers).ok_or_else(|| {
            Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                "if-match missing",
                "this overwrites: read it first, and send its ETag in `If-Match`",
            )
        })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(Self::read(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_seen_the_state_in_force_may_overwrite_it() {
        let (seen, changed) = (Tag::of(&"paused"), Tag::of(&"wanted"));
        let quoted = |tag: &Tag| tag.header()[0].1.to_str().unwrap().to_owned();
        for (case, header, expected) in [
            ("the one in force", Some(quoted(&seen)), Some(true)),
            ("an older one", Some(quoted(&changed)), Some(false)),
            ("one of several", Some(format!("\"x\", {}", quoted(&seen))), Some(true)),
            ("made weak on the way", Some(format!("W/{}", quoted(&seen))), Some(true)),
            ("any", Some("*".to_owned()), Some(true)),
            ("without its quotes", Some(quoted(&seen).replace('"', "")), Some(false)),
            ("empty", Some(String::new()), Some(false)),
            ("none", None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::IF_MATCH, header.parse().unwrap());
            }
            let allowed = IfMatch::read(&headers).map(|read| read.check(&seen).is_ok());
            assert_eq!(allowed, expected, "{case}");
        }
    }
}
