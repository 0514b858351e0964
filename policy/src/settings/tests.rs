use reprieve_policy::FromSettings as _;
use serde_json::Value;

use super::*;

fn problems(json: &str) -> Vec<(String, String)> {
    let problems = Settings::open(json).err().unwrap_or_default();
    problems.into_iter().map(|problem| (problem.path, problem.message)).collect()
}

#[test]
fn absent_keys_have_their_defaults() {
    assert_eq!(Settings::open("{}"), Ok(Settings::default()));
    let settings = Settings::open(r#"{"settle": "90s", "panic_threshold": "40%"}"#);
    let expected = Settings {
        settle: Millis::from_secs(90),
        panic_threshold: Percent(40),
        ..Settings::default()
    };
    assert_eq!(settings, Ok(expected));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (json, path, message) in [
        (
            r#"{"recent_heartbeat": "2min"}"#,
            "recent_heartbeat",
            "\"2min\" is more than `recent_heartbeat_max`, 1min",
        ),
        (
            r#"{"recent_heartbeat_max": "10s"}"#,
            "recent_heartbeat",
            "15s is more than `recent_heartbeat_max`, \"10s\"",
        ),
        (
            r#"{"restart_backoff_max": "5s"}"#,
            "restart_backoff",
            "10s is more than `restart_backoff_max`, \"5s\"",
        ),
    ] {
        assert_eq!(problems(json), [(path.to_string(), message.to_string())], "{json}");
    }
}

#[test]
fn every_problem_is_reported_with_its_path() {
    let found = problems(
        r#"{"settle": 60, "reprobe_delay": "2h", "panic_threshold": "0%", "settel": "60s"}"#,
    );
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["settle", "reprobe_delay", "panic_threshold", "settel"]);
}

#[test]
fn the_schema_says_what_is_enforced() {
    let schema: Value = serde_json::from_str(Settings::SCHEMA).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 14);
    for (key, property) in properties {
        let only = |value: &Value| {
            let found = problems(&serde_json::json!({ key: value }).to_string());
            found.into_iter().filter(|(_, message)| !message.contains("more than")).count()
        };
        assert_eq!(only(&property["default"]), 0, "{key}: default");
        for end in ["x-least", "x-most"] {
            assert!(property.get(end).is_none_or(|end| only(end) == 0), "{key}: {end}");
        }
        for beyond in ["99999h", "101%", "0%", "4294967295", "0"] {
            let beyond = serde_json::from_str(beyond).unwrap_or(Value::from(beyond));
            assert_eq!(only(&beyond), 1, "{key}: {beyond}");
        }
        let sentence = property["description"].as_str().unwrap_or_default();
        assert!(sentence.ends_with('.'), "{key}: {sentence:?}");
    }
}
