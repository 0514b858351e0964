//! Makes a whole A2A request of what a caller sent: adds the JSON-RPC envelope
//! where it is missing, fills in a missing `messageId`, and finds the message id
//! that makes the request idempotent.
//!
//! It is indifferent to the method, so both generations of the protocol pass
//! (0.3: `message/send`; 1.0: `SendMessage`), and later ones too. What a caller
//! did send is passed on byte for byte: additions are spliced in, nothing is
//! written anew, so no number is rounded and no key is moved.

mod text;

use serde_json::{Value, json};

use self::text::{member, skip_space};

/// Longer message ids are refused: each is a key in the queue.
pub const MAX_MESSAGE_ID_BYTES: usize = 256;

/// A request that can be sent, and what the proxy must know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub bytes: Vec<u8>,
    /// The idempotency key. A request that carries no message has a fresh one.
    pub message_id: String,
    pub method: String,
    /// The answer is a stream of events.
    pub streaming: bool,
    /// The JSON-RPC id, null for a notification.
    pub id: Value,
}

/// Why a body is no A2A request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct A2aProblem {
    pub code: i64,
    /// A sentence for the caller, with the place.
    pub message: String,
    /// The id to answer to, null where none could be read.
    pub id: Value,
}

impl A2aProblem {
    pub const PARSE_ERROR: i64 = -32_700;
    pub const INVALID_REQUEST: i64 = -32_600;
    pub const INVALID_PARAMS: i64 = -32_602;

    /// The JSON-RPC error answer.
    pub fn answer(&self) -> Value {
        json!({
            "jsonrpc": "2.0",
            "id": self.id,
            "error": {"code": self.code, "message": self.message},
        })
    }
}

/// Makes a request whole. `version` is what the header `A2A-Version` says;
/// absent means 0.3. `fresh` names what has no name yet: a UUID.
pub fn normalise(body: &[u8], version: Option<&str>, fresh: &str) -> Result<Envelope, A2aProblem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let message = format!("the body is not UTF-8 from byte {} on", error.valid_up_to());
        problem(A2aProblem::PARSE_ERROR, message, &Value::Null)
    })?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        problem(A2aProblem::PARSE_ERROR, format!("the body is not JSON: {error}"), &Value::Null)
    })?;
    let (text, value) = with_envelope(text, value, version, fresh)?;
    let id = checked_id(&value)?;
    let method = checked_method(&value, &id)?;
    let (text, message_id) = with_message_id(text, &value, &id, fresh)?;
    let streaming = STREAMING_METHODS.contains(&method.as_str());
    Ok(Envelope { bytes: text.into_bytes(), message_id, method, streaming, id })
}

/// Source: A2A 0.3 and 1.0, method mapping.
const STREAMING_METHODS: [&str; 4] =
    ["message/stream", "tasks/resubscribe", "SendStreamingMessage", "SubscribeToTask"];

fn problem(code: i64, message: impl Into<String>, id: &Value) -> A2aProblem {
    A2aProblem { code, message: message.into(), id: id.clone() }
}

fn invalid(message: impl Into<String>, id: &Value) -> A2aProblem {
    problem(A2aProblem::INVALID_REQUEST, message, id)
}

/// The request with an envelope around it, whatever part of one it came with.
fn with_envelope(
    text: &str,
    value: Value,
    version: Option<&str>,
    fresh: &str,
) -> Result<(String, Value), A2aProblem> {
    let Some(object) = value.as_object() else {
        let message = match value {
            Value::Array(_) => "the body is a batch; send one request at a time",
            _ => "the body must be a JSON object",
        };
        return Err(invalid(message, &Value::Null));
    };
    if object.contains_key("jsonrpc") {
        return Ok((text.to_owned(), value));
    }
    let id = json!(fresh);
    let whole = if object.contains_key("method") {
        let given = if object.contains_key("id") { "" } else { &format!("\"id\":{id},") };
        let start = skip_space(text.as_bytes(), 0) + 1;
        format!("{{\"jsonrpc\":\"2.0\",{given}{}", &text[start..])
    } else {
        let method =
            json!(if is_first_generation(version) { "message/send" } else { "SendMessage" });
        let params = if object.contains_key("message") {
            text.to_owned()
        } else if object.contains_key("parts") {
            format!("{{\"message\":{text}}}")
        } else {
            return Err(invalid(
                "the body is no JSON-RPC request and no message: it has none of \"jsonrpc\", \"method\", \"message\" and \"parts\"",
                &Value::Null,
            ));
        };
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method},\"params\":{params}}}")
    };
    // What was JSON and got whole members added is JSON.
    let value = serde_json::from_str(&whole).map_err(|error| {
        problem(
            A2aProblem::PARSE_ERROR,
            format!("the body nests too deeply: {error}"),
            &Value::Null,
        )
    })?;
    Ok((whole, value))
}

fn is_first_generation(version: Option<&str>) -> bool {
    version.is_none_or(|version| version.trim().is_empty() || version.trim().starts_with("0."))
}

fn checked_id(value: &Value) -> Result<Value, A2aProblem> {
    match value.get("id") {
        None => Ok(Value::Null),
        Some(id @ (Value::Null | Value::String(_) | Value::Number(_))) => Ok(id.clone()),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Err(invalid("\"id\" must be a string, a number or null", &Value::Null))
        }
    }
}

fn checked_method(value: &Value, id: &Value) -> Result<String, A2aProblem> {
    if value.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid("\"jsonrpc\" must be \"2.0\"", id));
    }
    if let Some(params) = value.get("params")
        && !params.is_object()
        && !params.is_array()
    {
        return Err(invalid("\"params\" must be an object or an array", id));
    }
    match value.get("method").and_then(Value::as_str) {
        Some(method) if !method.is_empty() => Ok(method.to_owned()),
        Some(_) | None => Err(invalid("\"method\" must be a non-empty string", id)),
    }
}

/// The request with a message id, and the id. Requests without a message (those
/// about tasks) are not changed; their key is fresh.
fn with_message_id(
    text: String,
    value: &Value,
    id: &Value,
    fresh: &str,
) -> Result<(String, String), A2aProblem> {
    let Some(message) = value.pointer("/params/message").and_then(Value::as_object) else {
        return Ok((text, fresh.to_owned()));
    };
    let place = "params.message.messageId";
    match message.get("messageId") {
        Some(Value::String(given)) if given.len() > MAX_MESSAGE_ID_BYTES => Err(problem(
            A2aProblem::INVALID_PARAMS,
            format!("{place} is longer than {MAX_MESSAGE_ID_BYTES} bytes"),
            id,
        )),
        Some(Value::String(given)) if !given.is_empty() => Ok((text, given.clone())),
        Some(_) => Err(problem(
            A2aProblem::INVALID_PARAMS,
            format!("{place} must be a non-empty string"),
            id,
        )),
        None => {
            let at = message_start(&text).ok_or_else(|| {
                problem(A2aProblem::INVALID_PARAMS, "params.message was not found", id)
            })?;
            let comma = if message.is_empty() { "" } else { "," };
            let added = format!("\"messageId\":{}{comma}", json!(fresh));
            let (before, after) = text.split_at(at + 1);
            Ok((format!("{before}{added}{after}"), fresh.to_owned()))
        }
    }
}

/// Where the object `params.message` begins.
fn message_start(text: &str) -> Option<usize> {
    let params = member(text, skip_space(text.as_bytes(), 0), "params")?;
    let message = member(text, params.start, "message")?;
    Some(message.start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(envelope: &Envelope) -> &str {
        std::str::from_utf8(&envelope.bytes).unwrap()
    }

    #[test]
    fn what_is_whole_is_passed_on_byte_for_byte() {
        for (body, method, message_id, streaming, id) in [
            (
                r#" {"jsonrpc":"2.0", "id":12345678901234567890,"method":"message/send","params":{"message":{"messageId":"m"}}}"#,
                "message/send",
                "m",
                false,
                json!(12_345_678_901_234_567_890_u64),
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"SendStreamingMessage","params":{"message":{"messageId":"m-2","n":1.000000000000000000001}}}"#,
                "SendStreamingMessage",
                "m-2",
                true,
                json!(7),
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"tasks/get","params":{"id":"t"}}"#,
                "tasks/get",
                "fresh",
                false,
                json!("a"),
            ),
            (
                r#"{"jsonrpc":"2.0","method":"tomorrow/thing"}"#,
                "tomorrow/thing",
                "fresh",
                false,
                Value::Null,
            ),
        ] {
            let envelope = normalise(body.as_bytes(), None, "fresh").unwrap();
            assert_eq!(text(&envelope), body);
            assert_eq!(envelope.method, method, "{body}");
            assert_eq!(envelope.message_id, message_id, "{body}");
            assert_eq!(envelope.streaming, streaming, "{body}");
            assert_eq!(envelope.id, id, "{body}");
        }
    }

    #[test]
    fn what_is_missing_is_added_and_nothing_else_is_touched() {
        for (case, body, version, whole) in [
            (
                "a message id",
                r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{ "x":[{"message":{}}], "message": {"parts":[],"n":1.50}}}"#,
                None,
                r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{ "x":[{"message":{}}], "message": {"messageId":"F","parts":[],"n":1.50}}}"#,
            ),
            (
                "a message id in an empty message, by an escaped key",
                r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"mess\u0061ge":{}}}"#,
                None,
                r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"mess\u0061ge":{"messageId":"F"}}}"#,
            ),
            (
                "a message id where braces and quotes stand in strings",
                r#"{"jsonrpc":"2.0","id":"}\"{","method":"x","params":{"a":"\\","message":{"parts":["}"]}}}"#,
                None,
                r#"{"jsonrpc":"2.0","id":"}\"{","method":"x","params":{"a":"\\","message":{"messageId":"F","parts":["}"]}}}"#,
            ),
            (
                "the envelope's head",
                r#" {"method":"tasks/get","params":{"id":"t"}}"#,
                None,
                r#"{"jsonrpc":"2.0","id":"F","method":"tasks/get","params":{"id":"t"}}"#,
            ),
            (
                "the envelope's head, but not its id",
                r#"{"id":3,"method":"tasks/get"}"#,
                None,
                r#"{"jsonrpc":"2.0","id":3,"method":"tasks/get"}"#,
            ),
            (
                "the envelope around params",
                r#"{"message":{"messageId":"m","parts":[]}}"#,
                None,
                r#"{"jsonrpc":"2.0","id":"F","method":"message/send","params":{"message":{"messageId":"m","parts":[]}}}"#,
            ),
            (
                "the envelope around a message of 1.0",
                r#"{"role":"ROLE_USER","parts":[{"text":"hi"}]}"#,
                Some("1.0"),
                r#"{"jsonrpc":"2.0","id":"F","method":"SendMessage","params":{"message":{"messageId":"F","role":"ROLE_USER","parts":[{"text":"hi"}]}}}"#,
            ),
        ] {
            let envelope = normalise(body.as_bytes(), version, "F").unwrap();
            assert_eq!(text(&envelope), whole, "{case}");
        }
    }

    #[test]
    fn a_malformed_request_is_told_its_place() {
        let deep = "[".repeat(200);
        for (body, code, place) in [
            ("", A2aProblem::PARSE_ERROR, "line 1 column 0"),
            ("{\"a\":\n nonsense}", A2aProblem::PARSE_ERROR, "line 2 column"),
            ("{} {}", A2aProblem::PARSE_ERROR, "line 1 column 4"),
            (&deep, A2aProblem::PARSE_ERROR, "recursion limit"),
            ("[]", A2aProblem::INVALID_REQUEST, "batch"),
            ("7", A2aProblem::INVALID_REQUEST, "object"),
            ("{}", A2aProblem::INVALID_REQUEST, "\"method\""),
            (r#"{"jsonrpc":"1.0","method":"x"}"#, A2aProblem::INVALID_REQUEST, "\"jsonrpc\""),
            (r#"{"jsonrpc":"2.0"}"#, A2aProblem::INVALID_REQUEST, "\"method\""),
            (r#"{"jsonrpc":"2.0","method":""}"#, A2aProblem::INVALID_REQUEST, "\"method\""),
            (r#"{"jsonrpc":"2.0","method":"x","id":{}}"#, A2aProblem::INVALID_REQUEST, "\"id\""),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":1}"#,
                A2aProblem::INVALID_REQUEST,
                "\"params\"",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":{"message":{"messageId":""}}}"#,
                A2aProblem::INVALID_PARAMS,
                "params.message.messageId",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":{"message":{"messageId":1}}}"#,
                A2aProblem::INVALID_PARAMS,
                "params.message.messageId",
            ),
        ] {
            let problem = normalise(body.as_bytes(), None, "fresh").unwrap_err();
            assert_eq!(problem.code, code, "{body:.60}: {problem}");
            assert!(problem.message.contains(place), "{body:.60}: {problem}");
        }
        let problem = normalise(b"{\"\xff\"}", None, "fresh").unwrap_err();
        assert_eq!(problem.message, "the body is not UTF-8 from byte 2 on");
    }

    #[test]
    fn a_problem_answers_to_the_id_that_was_sent() {
        let problem = normalise(br#"{"jsonrpc":"1.0","id":9}"#, None, "fresh").unwrap_err();
        assert_eq!(
            problem.answer(),
            json!({"jsonrpc":"2.0","id":9,"error":{"code":-32600,"message":"\"jsonrpc\" must be \"2.0\""}})
        );
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_filled_in_message_id_is_the_only_difference(
            other in json_value(),
            message in prop::collection::btree_map("[a-z\"{}\\\\]{1,4}", json_value(), 0..4),
            pretty in any::<bool>(),
        ) {
            let before = json!({"jsonrpc":"2.0","id":1,"method":"x","params":{"other":other,"message":message}});
            let body = if pretty { serde_json::to_vec_pretty(&before) } else { serde_json::to_vec(&before) };
            let envelope = normalise(&body.unwrap(), None, "fresh").unwrap();
            let mut after: Value = serde_json::from_slice(&envelope.bytes).unwrap();
            let added = after["params"]["message"].as_object_mut().unwrap().remove("messageId");
            prop_assert_eq!(added, Some(json!("fresh")));
            prop_assert_eq!(after, before);
        }

        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = normalise(&body, None, "fresh");
        }
    }
}
