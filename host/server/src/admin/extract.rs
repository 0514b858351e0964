//! What a request carries, checked: names in its path, its query, its body. What
//! is not known is refused, in the one shape of a [`Problem`].

use std::{fmt, str::FromStr};

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Query as AxumQuery, RawPathParams, Request,
        rejection::{JsonRejection, QueryRejection},
    },
};
use http::{StatusCode, request::Parts};
use reprieve_core::{
    ids::{DecisionId, ExperimentName, QueueId, TenantId, TokenName, WorkspaceId},
    settings::ChangeNumber,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::Number;

use super::problem::Problem;
use crate::{cause, serve::PeerStalled};

/// The longest id that the host itself makes: a UUID.
const MAX_ID_BYTES: usize = 36;

/// What may stand in a path between braces.
pub(super) trait Parameter: Sized {
    /// As in the path: `{workspace}`.
    const NAME: &'static str;
    /// None: nothing can have that name.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! parameter {
    ($type:ty, $name:literal, $read:expr) => {
        impl Parameter for $type {
            const NAME: &'static str = $name;
            fn read(text: &str) -> Option<Self> {
                $read(text)
            }
        }
    };
}

parameter!(WorkspaceId, "workspace", parsed);
parameter!(TenantId, "tenant", parsed);
parameter!(TokenName, "token", parsed);
parameter!(ExperimentName, "experiment", parsed);
parameter!(ChangeNumber, "change", |text| parsed(text).map(ChangeNumber));
parameter!(DecisionId, "decision", |text| made_here(text).map(DecisionId));
parameter!(QueueId, "item", |text| made_here(text).map(QueueId));

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn made_here(text: &str) -> Option<String> {
    let plain = |c: u8| c.is_ascii_hexdigit() || c == b'-';
    let valid = (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(plain);
    valid.then(|| text.to_owned())
}

/// An id of something that the host made, in a query.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Id(pub(super) String);

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        made_here(&text).map(Self).ok_or("an id has 1 to 36 hex digits and dashes")
    }
}

/// A whole number, however JSON writes it: `1e3` and `1000.0` are whole.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    /// The largest below which JSON's usual readers tell all whole numbers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let as_float = number.as_f64().filter(|float| float.fract() == 0.0);
    let as_float = as_float.filter(|float| (0.0..=EXACT).contains(float));
    // Within the bounds that were looked at, nothing is cut off.
    let whole = number.as_u64().or(as_float.map(|float| float as u64));
    let wrong = || D::Error::custom(format_args!("{number} is no whole number from 0 on"));
    whole.map(Some).ok_or_else(wrong)
}

/// A name in the path. What can be nobody's name is unknown.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: Parameter> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_parameter(parts, state, T::NAME).await.unwrap_or_default();
        T::read(&text).map(Self).ok_or_else(|| Problem::unknown(T::NAME, text))
    }
}

/// As it stands in the path, decoded.
pub(super) async fn path_parameter<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Option<String> {
    let parameters = RawPathParams::from_request_parts(parts, state).await.ok()?;
    let found = parameters.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| value.to_owned())
}

/// The query, which must be one that the route knows.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |rejection: QueryRejection| Problem::malformed(deepest(&rejection));
        let AxumQuery(query) =
            AxumQuery::from_request_parts(parts, state).await.map_err(refused)?;
        Ok(Self(query))
    }
}

/// A JSON body, which must be what the route takes.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let refused = |rejection: JsonRejection| {
            if let Some(problem) = stalled(&rejection) {
                return problem;
            }
            let detail = deepest(&rejection);
            match rejection.status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "unsupported media type",
                    "send JSON, with the header `content-type: application/json`",
                ),
                StatusCode::PAYLOAD_TOO_LARGE => {
                    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large", detail)
                }
                _ => Problem::malformed(detail),
            }
        };
        let Json(body) = Json::from_request(request, state).await.map_err(refused)?;
        Ok(Self(body))
    }
}

/// The body stopped coming.
pub(super) fn stalled(rejection: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    let stalled = cause::find::<PeerStalled>(rejection)?;
    Some(Problem::new(StatusCode::REQUEST_TIMEOUT, "too slow", stalled))
}

/// The innermost cause: what serde says, without axum's preface.
fn deepest(error: &dyn std::error::Error) -> impl fmt::Display {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string().chars().take(400).collect::<String>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Body as RawBody, response::IntoResponse as _};
    use futures::stream;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn a_body_that_stops_coming_is_told_from_one_that_is_wrong() {
        let stalls = stream::iter([
            Ok("[1,".to_owned()),
            Err(PeerStalled::SendsNothing(Duration::from_secs(60))),
        ]);
        for (case, body, expected) in [
            ("stalls", RawBody::from_stream(stalls), StatusCode::REQUEST_TIMEOUT),
            ("wrong", RawBody::from("[1,"), StatusCode::BAD_REQUEST),
        ] {
            let request = Request::builder().header("content-type", "application/json");
            let read = Body::<Value>::from_request(request.body(body).unwrap(), &()).await;
            assert_eq!(read.unwrap_err().into_response().status(), expected, "{case}");
        }
    }
}
