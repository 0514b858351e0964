//! The methods of the protocol over JSON-RPC, both generations at one address:
//! the header `A2A-Version` tells which, and its absence means 0.3.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State as Shared,
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Agent,
    task::{Generation, State, Task},
};

const VERSION: &str = "a2a-version";
/// An answer of more words is sent in one piece.
const MAX_PIECES: usize = 64;
/// Events of one stream that its reader has not taken yet.
const MAX_EVENTS_AHEAD: usize = 8;

/// What a call is answered with instead of a result: a JSON-RPC code and a text.
struct Refusal(i64, String);

impl Refusal {
    fn parse(error: &serde_json::Error) -> Self {
        Self(-32700, format!("the body is not JSON: {error}"))
    }
    fn request(what: &str) -> Self {
        Self(-32600, format!("not a JSON-RPC 2.0 request: {what}"))
    }
    fn method(method: &str) -> Self {
        Self(-32601, format!("there is no method {method:?} in this version of the protocol"))
    }
    fn params(what: &str) -> Self {
        Self(-32602, what.to_owned())
    }
    fn no_task(id: &str) -> Self {
        Self(-32001, format!("there is no task {id:?}"))
    }
    fn not_cancelable(task: &Task) -> Self {
        Self(-32002, format!("task {:?} has ended", task.id))
    }
    fn no_push() -> Self {
        Self(-32003, "push notifications are not supported".to_owned())
    }
    fn unsupported(method: &str) -> Self {
        Self(-32004, format!("{method:?} is not supported"))
    }
    fn version(version: &str) -> Self {
        Self(-32009, format!("protocol version {version:?} is not supported; 0.3 and 1.0 are"))
    }
}

/// What the agent does, under its name in either generation.
#[derive(Clone, Copy)]
enum Method {
    Send,
    Stream,
    Get,
    Cancel,
    PushConfig,
    Unsupported,
}

impl Method {
    fn parse(generation: Generation, name: &str) -> Option<Self> {
        match (generation, name) {
            (Generation::V03, "message/send") | (Generation::V10, "SendMessage") => {
                Some(Self::Send)
            }
            (Generation::V03, "message/stream") | (Generation::V10, "SendStreamingMessage") => {
                Some(Self::Stream)
            }
            (Generation::V03, "tasks/get") | (Generation::V10, "GetTask") => Some(Self::Get),
            (Generation::V03, "tasks/cancel") | (Generation::V10, "CancelTask") => {
                Some(Self::Cancel)
            }
            (Generation::V03, name) if name.starts_with("tasks/pushNotificationConfig/") => {
                Some(Self::PushConfig)
            }
            (Generation::V10, name) if name.contains("PushNotificationConfig") => {
                Some(Self::PushConfig)
            }
            (Generation::V03, "tasks/resubscribe")
            | (Generation::V10, "SubscribeToTask" | "ListTasks" | "GetExtendedAgentCard") => {
                Some(Self::Unsupported)
            }
            _ => None,
        }
    }
}

pub(super) async fn handle(
    Shared(agent): Shared<Arc<Agent>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut id = Value::Null;
    match call(agent, &headers, &body, &mut id).await {
        Ok(response) => response,
        Err(Refusal(code, message)) => {
            let error = json!({ "code": code, "message": message });
            Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response()
        }
    }
}

async fn call(
    agent: Arc<Agent>,
    headers: &HeaderMap,
    body: &[u8],
    id: &mut Value,
) -> Result<Response, Refusal> {
    let request: Value = serde_json::from_slice(body).map_err(|error| Refusal::parse(&error))?;
    let Value::Object(request) = request else {
        return Err(Refusal::request("it is no object"));
    };
    *id = request.get("id").cloned().unwrap_or_default();
    if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Refusal::request("\"jsonrpc\" is not \"2.0\""));
    }
    let Some(name) = request.get("method").and_then(Value::as_str) else {
        return Err(Refusal::request("it names no method"));
    };
    let generation = generation(headers)?;
    let method = Method::parse(generation, name).ok_or_else(|| Refusal::method(name))?;
    let params = request.get("params").unwrap_or(&Value::Null);
    let result = match method {
        Method::Send => {
            let task = begin(&agent, params)?;
            let task = work(&agent, task).await.render(generation);
            match generation {
                Generation::V03 => task,
                Generation::V10 => json!({ "task": task }),
            }
        }
        Method::Stream => {
            let task = begin(&agent, params)?;
            return Ok(stream_of(agent, task, generation, id.clone()));
        }
        Method::Get => known_task(&agent, params)?.render(generation),
        Method::Cancel => cancel(&agent, &known_task(&agent, params)?)?.render(generation),
        Method::PushConfig => return Err(Refusal::no_push()),
        Method::Unsupported => return Err(Refusal::unsupported(name)),
    };
    Ok(Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response())
}

fn generation(headers: &HeaderMap) -> Result<Generation, Refusal> {
    match headers.get(VERSION).map(|version| version.to_str().unwrap_or("?").trim()) {
        None | Some("") => Ok(Generation::V03),
        Some(version) if version == "0.3" || version.starts_with("0.3.") => Ok(Generation::V03),
        Some(version) if version == "1.0" || version.starts_with("1.0.") => Ok(Generation::V10),
        Some(version) => Err(Refusal::version(version)),
    }
}

fn begin(agent: &Agent, params: &Value) -> Result<Task, Refusal> {
    let message = params.get("message").unwrap_or(&Value::Null);
    agent.tasks.begin(message).ok_or_else(|| Refusal::params("\"message\" has no \"parts\""))
}

/// Until it is completed or canceled.
async fn work(agent: &Agent, task: Task) -> Task {
    let _counted = agent.tasks.count();
    let task = agent.tasks.set_state(&task, State::Working);
    let late_ms = agent.switches.positions().late_ms;
    if late_ms > 0 {
        tokio::select! {
            () = sleep(Duration::from_millis(late_ms)) => {}
            () = task.canceled.notified() => {}
        }
    }
    agent.tasks.set_state(&task, State::Completed)
}

fn known_task(agent: &Agent, params: &Value) -> Result<Task, Refusal> {
    let id = params.get("id").and_then(Value::as_str);
    let id = id.ok_or_else(|| Refusal::params("\"id\" names no task"))?;
    agent.tasks.get(id).ok_or_else(|| Refusal::no_task(id))
}

fn cancel(agent: &Agent, task: &Task) -> Result<Task, Refusal> {
    if task.state.is_final() {
        return Err(Refusal::not_cancelable(task));
    }
    let task = agent.tasks.set_state(task, State::Canceled);
    task.canceled.notify_one();
    Ok(task)
}

/// The task as it begins, then its answer word by word.
fn stream_of(agent: Arc<Agent>, task: Task, generation: Generation, id: Value) -> Response {
    let (events, taken) = mpsc::channel(MAX_EVENTS_AHEAD);
    tokio::spawn(async move {
        let send = async |result: Value| {
            let response = json!({ "jsonrpc": "2.0", "id": id, "result": result });
            let event = Event::default().data(response.to_string());
            events.send(Ok::<_, Infallible>(event)).await
        };
        let tell = async {
            send(task.event(generation)).await?;
            send(agent.tasks.set_state(&task, State::Working).status_event(generation)).await?;
            let task = work(&agent, task).await;
            if task.state == State::Completed {
                let pieces = pieces(&task.answer);
                for (n, piece) in pieces.iter().enumerate() {
                    let is_last = n + 1 == pieces.len();
                    send(task.artifact_event(generation, piece, n == 0, is_last)).await?;
                }
            }
            send(task.status_event(generation)).await
        };
        // The reader went away: nobody is left to tell.
        let _ = tell.await;
    });
    Sse::new(ReceiverStream::new(taken)).into_response()
}

fn pieces(answer: &str) -> Vec<&str> {
    let words: Vec<&str> = answer.split_inclusive(' ').collect();
    if words.is_empty() || words.len() > MAX_PIECES { vec![answer] } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_version_means_0_3() {
        for (version, expected) in [
            (None, Some(Generation::V03)),
            (Some(""), Some(Generation::V03)),
            (Some("0.3"), Some(Generation::V03)),
            (Some("0.3.0"), Some(Generation::V03)),
            (Some("1.0"), Some(Generation::V10)),
            (Some("2.0"), None),
            (Some("latest"), None),
        ] {
            let headers = version.map(|version| {
                (VERSION.parse().expect("a name"), version.parse().expect("a value"))
            });
            let headers = HeaderMap::from_iter(headers);
            assert_eq!(generation(&headers).ok(), expected, "{version:?}");
        }
    }

    #[test]
    fn pieces_put_together_are_the_answer() {
        for (answer, count) in
            [("PONG", 1), ("", 1), ("one two  three", 4), (&"word ".repeat(MAX_PIECES + 1), 1)]
        {
            let pieces = pieces(answer);
            assert_eq!(pieces.concat(), answer);
            assert_eq!(pieces.len(), count, "{answer:?}");
        }
    }
}
