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

    /// None: there is no such header.
    fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let unreadable = || Problem::malformed("If-Match holds an ETag in quotes, or `*`");
        let mut tags = BTreeSet::new();
        for value in headers.get_all(header::IF_MATCH) {
            let value = value.to_str().map_err(|_| unreadable())?;
            for tag in value.split(',').map(str::trim) {
                if tag == "*" {
                    return Ok(Some(Self::Any));
                }
                // Gateways that compress make tags weak; ours mean the content.
                let tag = tag.strip_prefix("W/").unwrap_or(tag);
                let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                tags.insert(tag.ok_or_else(unreadable)?.to_owned());
                if tags.len() > MAX_TAGS {
                    return Err(unreadable());
                }
            }
        }
        Ok((!tags.is_empty()).then_some(Self::Tags(tags)))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)?.ok_or_else(|| {
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
        Self::read(&parts.headers)
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
            ("the one in force", Some(quoted(&seen)), Ok(true)),
            ("an older one", Some(quoted(&changed)), Ok(false)),
            ("one of several", Some(format!("\"x\", {}", quoted(&seen))), Ok(true)),
            ("made weak on the way", Some(format!("W/{}", quoted(&seen))), Ok(true)),
            ("any", Some("*".to_owned()), Ok(true)),
            ("no quotes", Some("abc".to_owned()), Err(400)),
            ("none", None, Ok(false)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::IF_MATCH, header.parse().unwrap());
            }
            let allowed = match IfMatch::read(&headers) {
                Ok(read) => Ok(read.is_some_and(|read| read.check(&seen).is_ok())),
                Err(_) => Err(400),
            };
            assert_eq!(allowed, expected, "{case}");
        }
    }
}
