//! A component on its way in: its bytes as they are, and its signature in a header.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode, header, request::Parts};
use reprieve_core::ids::Digest;
use reprieve_runtime::{MAX_COMPONENT_BYTES, registry::MAX_SIGNATURE_BYTES};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{actor, asked::UploadQuery};
use crate::{
    admin::{
        Admin,
        extract::{Query, stalled},
        guard::Caller,
        problem::{Flaw, Problem},
    },
    policies::Actor,
};

/// The media type of a component.
pub(super) const WASM: &str = "application/wasm";

/// The header that holds a signature file, which has line feeds or is no text at
/// all: hence base64.
pub(super) const SIGNATURE: &str = "reprieve-signature";

/// RFC 4648, with padding.
pub(super) const BASE64_PATTERN: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

/// A component must be here within this: 32 MiB over 2 Mbit/s.
const COMES_WITHIN: Duration = Duration::from_secs(150);

/// When to come back if others are at it.
pub(super) const COME_BACK_AFTER: Duration = Duration::from_secs(5);

/// Who uploads, and what he says it is. Refused before a component is read.
pub(super) struct Announced {
    pub(super) actor: Actor,
    pub(super) expected: Option<Digest>,
}

impl FromRequestParts<Admin> for Announced {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, admin).await?;
        let Query(UploadQuery { component: expected, why }) =
            Query::from_request_parts(parts, admin).await?;
        Ok(Self { actor: actor(&caller, why)?, expected })
    }
}

/// What was uploaded.
pub(super) struct Upload {
    pub(super) bytes: Bytes,
    /// What the signature file holds.
    pub(super) signature: Option<Vec<u8>>,
    /// Among those who upload. Held for as long as the bytes are.
    pub(super) place: OwnedSemaphorePermit,
}

impl FromRequest<Admin> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, admin: &Admin) -> Result<Self, Problem> {
        check_head(request.headers())?;
        let signature = signature(request.headers())?;
        let place = admin.uploads().try_acquire_owned().map_err(|_taken| {
            let detail = "others are uploading policies at this moment";
            Problem::too_many(detail, COME_BACK_AFTER)
        })?;
        let bytes = timeout(COMES_WITHIN, Bytes::from_request(request, admin)).await;
        let bytes = bytes.map_err(|_elapsed| {
            let detail = format!("the component did not come within {COMES_WITHIN:?}");
            Problem::new(StatusCode::REQUEST_TIMEOUT, "too slow", detail)
        })?;
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => stalled(&rejection).unwrap_or_else(|| Problem::malformed("the body broke off")),
        })?;
        Ok(Self { bytes, signature, place })
    }
}

/// Whoever asks before he sends (`Expect: 100-continue`) is told before.
fn check_head(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(WASM) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = format!("send a component, with the header `content-type: {WASM}`");
        return Err(Problem::new(status, "unsupported media type", detail));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse::<usize>().ok());
    match length {
        Some(length) if length > MAX_COMPONENT_BYTES => Err(too_large()),
        Some(_) | None => Ok(()),
    }
}

fn too_large() -> Problem {
    let detail = format!("a component has at most {MAX_COMPONENT_BYTES} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large", detail)
}

/// Whether it is a signature is the registry's to say.
fn signature(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let Some(value) = headers.get(SIGNATURE) else { return Ok(None) };
    let wrong = |message: String| {
        let flaws = vec![Flaw { path: SIGNATURE.to_owned(), message }];
        Problem::invalid("the signature cannot be read", flaws)
    };
    let signature = BASE64_STANDARD.decode(value.as_bytes());
    let signature = signature.map_err(|error| wrong(format!("is no base64: {error}")))?;
    match signature.len() {
        0..=MAX_SIGNATURE_BYTES => Ok(Some(signature)),
        bytes => Err(wrong(format!("has {bytes} bytes; {MAX_SIGNATURE_BYTES} are allowed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_cannot_be_a_component_is_refused_by_its_head() {
        let too_long = (MAX_COMPONENT_BYTES + 1).to_string();
        let at_most = MAX_COMPONENT_BYTES.to_string();
        for (case, pairs, status) in [
            ("no type", vec![], Some(415)),
            ("JSON", vec![("content-type", "application/json")], Some(415)),
            ("Wasm", vec![("content-type", "Application/wasm; x=y")], None),
            ("long", vec![("content-type", WASM), ("content-length", &too_long)], Some(413)),
            ("just fits", vec![("content-type", WASM), ("content-length", &at_most)], None),
        ] {
            use axum::response::IntoResponse as _;
            let refused = check_head(&headers(&pairs)).err();
            let refused = refused.map(|problem| problem.into_response().status().as_u16());
            assert_eq!(refused, status, "{case}");
        }
    }

    #[test]
    fn a_signature_file_comes_in_base64() {
        let long = BASE64_STANDARD.encode(vec![b'x'; MAX_SIGNATURE_BYTES + 1]);
        for (case, value, expected) in [
            ("none", None, Some(None)),
            ("two lines", Some("dW50cnVzdGVkCnNpZw=="), Some(Some("untrusted\nsig"))),
            ("empty", Some(""), Some(Some(""))),
            ("no base64", Some("untrusted comment"), None),
            ("too long", Some(&*long), None),
        ] {
            let pairs: Vec<_> = value.into_iter().map(|value| (SIGNATURE, value)).collect();
            let read = signature(&headers(&pairs)).ok();
            let expected = expected.map(|text| text.map(|text: &str| text.as_bytes().to_vec()));
            assert_eq!(read, expected, "{case}");
        }
    }
}
