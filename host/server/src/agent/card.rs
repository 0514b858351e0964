//! How the agent introduces itself: one card that both generations of the
//! protocol can read.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::Agent;

pub(super) async fn show(State(agent): State<Arc<Agent>>, headers: HeaderMap) -> Json<Value> {
    // Where the caller found it is where it can be reached.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let url = format!("http://{}/", host.map_or_else(|| agent.address.to_string(), str::to_owned));
    Json(card(&agent.args.name, &url))
}

fn card(name: &str, url: &str) -> Value {
    let interface = |version: &str| json!({ "url": url, "protocolBinding": "JSONRPC", "protocolVersion": version });
    json!({
        "name": name,
        "description": "Echoes what it is told; answers PONG to a ping.",
        "version": env!("CARGO_PKG_VERSION"),
        // Read by 1.0.
        "supportedInterfaces": [interface("1.0"), interface("0.3")],
        // Read by 0.3.
        "url": url,
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "additionalInterfaces": [{ "url": url, "transport": "JSONRPC" }],
        // Read by both.
        "capabilities": { "streaming": true, "pushNotifications": false },
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{
            "id": "echo",
            "name": "Echo",
            "description": "Says what it heard.",
            "tags": ["echo"],
            "examples": ["ping"],
        }],
    })
}
