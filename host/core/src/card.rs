//! Rewrites an agent card so that its readers come to the proxy and not to the
//! workspace behind it.
//!
//! It understands the cards of both protocol generations: `url`,
//! `preferredTransport` and `additionalInterfaces` (0.3), `supportedInterfaces`
//! (1.0). JSON-RPC endpoints become the proxy's A2A route. Other endpoints, and
//! every other URL of the same origins (icons, documentation), become paths
//! below the workspace. gRPC endpoints are left out: the proxy speaks HTTP/1.1.

use serde_json::{Map, Value};
use url::{Origin, Url};

/// Lists of endpoints that cards carry.
const INTERFACE_LISTS: [&str; 2] = ["additionalInterfaces", "supportedInterfaces"];

/// Rewrites a card in place. `address` is where the workspace listens, `public`
/// where callers reach the workspace: `https://proxy/workspaces/ws-1`.
pub fn rewrite(card: &mut Value, address: &Url, public: &Url) {
    let Some(fields) = card.as_object_mut() else { return };
    // A signature over the card as it was would be false now.
    fields.remove("signatures");
    drop_grpc(fields);
    let places = Places { address, public, origins: origins(fields, address) };
    if let Some(url) = fields.get("url").and_then(Value::as_str) {
        let transport = fields.get("preferredTransport").and_then(Value::as_str);
        let url = places.endpoint(url, transport);
        fields.insert("url".to_owned(), url.into());
    }
    for list in INTERFACE_LISTS {
        for interface in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            places.rewrite_interface(interface);
        }
    }
    for (key, value) in fields.iter_mut() {
        if key != "url" && !INTERFACE_LISTS.contains(&key.as_str()) {
            places.rewrite_all(value);
        }
    }
}

fn transport(interface: &Value) -> Option<&str> {
    // 0.3 says `transport`, 1.0 says `protocolBinding`.
    interface.get("transport").or_else(|| interface.get("protocolBinding")).and_then(Value::as_str)
}

fn drop_grpc(fields: &mut Map<String, Value>) {
    for list in INTERFACE_LISTS {
        if let Some(interfaces) = fields.get_mut(list).and_then(Value::as_array_mut) {
            interfaces.retain(|interface| {
                !transport(interface).is_some_and(|name| name.eq_ignore_ascii_case("grpc"))
            });
        }
    }
}

/// Where the workspace says that it is: agents often name themselves otherwise
/// than they are reached, `localhost` for example.
fn origins(fields: &Map<String, Value>, address: &Url) -> Vec<Origin> {
    let listed = INTERFACE_LISTS
        .iter()
        .filter_map(|list| fields.get(*list)?.as_array())
        .flatten()
        .filter_map(|interface| interface.get("url")?.as_str());
    let mut origins = vec![address.origin()];
    origins.extend(
        fields
            .get("url")
            .and_then(Value::as_str)
            .into_iter()
            .chain(listed)
            .filter_map(|url| Some(Url::parse(url).ok()?.origin())),
    );
    origins
}

struct Places<'a> {
    address: &'a Url,
    public: &'a Url,
    origins: Vec<Origin>,
}

impl Places<'_> {
    fn rewrite_interface(&self, interface: &mut Value) {
        let Some(url) = interface.get("url").and_then(Value::as_str) else { return };
        let url = self.endpoint(url, transport(interface));
        interface["url"] = url.into();
    }

    /// Endpoints that cannot be read as URLs are taken for the workspace's
    /// address: better than to send callers past the proxy.
    fn endpoint(&self, url: &str, transport: Option<&str>) -> String {
        let below = match Url::parse(url) {
            Ok(url) => self.below(&url),
            Err(_) => String::new(),
        };
        let is_rpc = transport.is_none_or(|name| name.eq_ignore_ascii_case("jsonrpc"));
        let base = self.public.as_str().trim_end_matches('/');
        match (is_rpc, below.trim_end_matches('/')) {
            (true, "") => format!("{base}/a2a"),
            (true, path) => format!("{base}/a2a-at{path}"),
            (false, _) => format!("{base}{below}"),
        }
    }

    /// The path of a URL below the workspace's address.
    fn below(&self, url: &Url) -> String {
        let base = self.address.path().trim_end_matches('/');
        let path = url.path();
        let path = match path.strip_prefix(base) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            Some(_) | None => path,
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{path}{query}")
    }

    /// Every string that is a URL of the workspace. Cards are shallow; the depth
    /// is that of what was parsed, and so bounded.
    fn rewrite_all(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Ok(url) = Url::parse(text)
                    && self.origins.contains(&url.origin())
                {
                    *text = format!(
                        "{}{}",
                        self.public.as_str().trim_end_matches('/'),
                        self.below(&url)
                    );
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rewrite_all(item)),
            Value::Object(fields) => fields.values_mut().for_each(|item| self.rewrite_all(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(mut card: Value, address: &str) -> Value {
        let public = "https://proxy.example/workspaces/ws-1".parse().unwrap();
        rewrite(&mut card, &address.parse().unwrap(), &public);
        card
    }

    #[test]
    fn a_card_of_the_first_generation_leads_to_the_proxy() {
        let card = json!({
            "name": "a",
            "url": "http://localhost:9999/",
            "preferredTransport": "JSONRPC",
            "additionalInterfaces": [
                {"url": "http://localhost:9999/", "transport": "JSONRPC"},
                {"url": "http://localhost:9999/rest", "transport": "HTTP+JSON"},
                {"url": "localhost:9998", "transport": "GRPC"},
            ],
            "iconUrl": "http://localhost:9999/icon.png?v=2",
            "documentationUrl": "http://127.0.0.1:4000/docs",
            "provider": {"url": "https://elsewhere.example/"},
            "signatures": [{"signature": "x"}],
        });
        assert_eq!(
            rewritten(card, "http://127.0.0.1:4000/"),
            json!({
                "name": "a",
                "url": "https://proxy.example/workspaces/ws-1/a2a",
                "preferredTransport": "JSONRPC",
                "additionalInterfaces": [
                    {"url": "https://proxy.example/workspaces/ws-1/a2a", "transport": "JSONRPC"},
                    {"url": "https://proxy.example/workspaces/ws-1/rest", "transport": "HTTP+JSON"},
                ],
                "iconUrl": "https://proxy.example/workspaces/ws-1/icon.png?v=2",
                "documentationUrl": "https://proxy.example/workspaces/ws-1/docs",
                "provider": {"url": "https://elsewhere.example/"},
            })
        );
    }

    #[test]
    fn a_card_of_the_second_generation_leads_to_the_proxy() {
        let card = json!({
            "supportedInterfaces": [
                {"url": "http://127.0.0.1:4000/base/rpc", "protocolBinding": "JSONRPC"},
                {"url": "http://127.0.0.1:4000/base", "protocolBinding": "JSONRPC"},
                {"url": "http://127.0.0.1:4000/base/rest", "protocolBinding": "HTTP+JSON"},
                {"url": "127.0.0.1:4001", "protocolBinding": "GRPC"},
            ],
        });
        assert_eq!(
            rewritten(card, "http://127.0.0.1:4000/base/"),
            json!({
                "supportedInterfaces": [
                    {"url": "https://proxy.example/workspaces/ws-1/a2a-at/rpc", "protocolBinding": "JSONRPC"},
                    {"url": "https://proxy.example/workspaces/ws-1/a2a", "protocolBinding": "JSONRPC"},
                    {"url": "https://proxy.example/workspaces/ws-1/rest", "protocolBinding": "HTTP+JSON"},
                ],
            })
        );
    }

    #[test]
    fn no_url_of_the_workspace_survives_wherever_it_stands() {
        let card = json!({
            "url": "not a url",
            "skills": [{"examples": ["http://10.0.0.1:4000/x"]}],
            "extra": {"deep": [["http://10.0.0.1:4000"]]},
        });
        let text = rewritten(card, "http://10.0.0.1:4000/").to_string();
        assert!(!text.contains("10.0.0.1"), "{text}");
        assert!(text.contains("ws-1/a2a"), "{text}");
    }

    #[test]
    fn what_is_no_card_is_left_alone() {
        for card in [json!(null), json!([]), json!("http://127.0.0.1:1/"), json!({})] {
            assert_eq!(rewritten(card.clone(), "http://127.0.0.1:1/"), card);
        }
    }
}
