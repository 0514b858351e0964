//! What a declaration gives: a type, a reader, its problems and a schema.

use alloc::string::ToString as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::words::Millis;

crate::settings! {
    /// Settings with a "quote", a \backslash and
    /// two lines.
    struct Example {
        /// The wait between two looks.
        delay: Millis = "2s" in "100ms"..="1min",
        /// The longest wait.
        delay_max: Millis = "1min" in "100ms"..="24h",
        /// So many.
        budget: u32 = 5 in 1..=1_000,
        /// So much.
        share: Percent = "50%" in "1%"..="100%",
        /// Whether.
        trust: bool = true,
    }
    where delay <= delay_max
}

crate::settings! {
    /// Nothing to tune.
    struct Untuned {}
}

fn problems(json: &str) -> Vec<(String, String)> {
    let problems = Example::open(json).err().unwrap_or_default();
    problems.into_iter().map(|problem| (problem.path, problem.message)).collect()
}

#[test]
fn absent_keys_have_their_defaults() {
    let defaults = Example {
        delay: Millis(2_000),
        delay_max: Millis(60_000),
        budget: 5,
        share: Percent(50),
        trust: true,
    };
    assert_eq!(Example::default(), defaults);
    assert_eq!(Example::open("{}"), Ok(defaults.clone()));
    let given = r#"{"trust": false, "share": "40%", "budget": 1000, "delay": "1.5s"}"#;
    let expected = Example {
        delay: Millis(1_500),
        budget: 1_000,
        share: Percent(40),
        trust: false,
        ..defaults
    };
    assert_eq!(Example::open(given), Ok(expected));
}

#[test]
fn every_problem_names_its_place_its_value_and_its_range() {
    for (json, path, message) in [
        (r#"{"delay": "5h"}"#, "delay", "\"5h\" is out of range; allowed is 100ms to 1min"),
        (
            r#"{"delay": "99999999999999999999h"}"#,
            "delay",
            "\"99999999999999999999h\" is out of range; allowed is 100ms to 1min",
        ),
        (
            r#"{"delay": 5}"#,
            "delay",
            "5 is not a length of time with its unit, like \"500ms\", \"1.5s\", \"10min\" or \
             \"1h\"; allowed is 100ms to 1min",
        ),
        (r#"{"budget": 1001}"#, "budget", "1001 is out of range; allowed is 1 to 1000"),
        (r#"{"budget": 4294967301}"#, "budget", "4294967301 is out of range; allowed is 1 to 1000"),
        (
            r#"{"budget": 99999999999999999999}"#,
            "budget",
            "99999999999999999999 is out of range; allowed is 1 to 1000",
        ),
        (r#"{"budget": 1.5}"#, "budget", "1.5 is not a whole number; allowed is 1 to 1000"),
        (r#"{"budget": 1e2}"#, "budget", "1e2 is not a whole number; allowed is 1 to 1000"),
        (r#"{"budget": -2}"#, "budget", "-2 is not a whole number; allowed is 1 to 1000"),
        (r#"{"budget": "5"}"#, "budget", "\"5\" is not a whole number; allowed is 1 to 1000"),
        (r#"{"budget": null}"#, "budget", "null is not a whole number; allowed is 1 to 1000"),
        (r#"{"budget": [1]}"#, "budget", "a list is not a whole number; allowed is 1 to 1000"),
        (r#"{"trust": {"a": 1}}"#, "trust", "an object is neither true nor false"),
        (r#"{"trust": "true"}"#, "trust", "\"true\" is neither true nor false"),
        (r#"{"trust": 1}"#, "trust", "1 is neither true nor false"),
        (r#"{"share": "0%"}"#, "share", "\"0%\" is out of range; allowed is 1% to 100%"),
        (r#"{"share": 50}"#, "share", "50 is not a share like \"50%\"; allowed is 1% to 100%"),
        (r#"{"budget": 2, "budget": 3}"#, "budget", "is given more than once"),
        (r#"{"budget": 2, "b\u0075dget": 3}"#, "budget", "is given more than once"),
        (
            r#"{"delay": "50s", "delay_max": "30s"}"#,
            "delay",
            "\"50s\" is more than `delay_max`, \"30s\"",
        ),
        (r#"{"delay_max": "1s"}"#, "delay", "2s is more than `delay_max`, \"1s\""),
        (
            r#"{"dely": "2s"}"#,
            "dely",
            "there is no such setting; there are: delay, delay_max, budget, share, trust",
        ),
        ("[]", "", "settings are no JSON object: an object is expected at byte 0"),
        ("{\"delay\": ", "", "settings are no JSON object: a value is expected at byte 10"),
    ] {
        assert_eq!(problems(json), [(path.to_string(), message.to_string())], "{json}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems(r#"{"delay": "1ms", "other": 1, "budget": "5", "trust": 0, "other": 2}"#);
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["delay", "other", "budget", "trust", "other"]);
}

#[test]
fn a_long_value_is_cut_in_the_message() {
    for long in ["x".repeat(500), "ü".repeat(500), "9".repeat(500)] {
        let found = problems(&alloc::format!(r#"{{"delay": "{long}"}}"#));
        assert!(found[0].1.chars().count() < 200, "{}", found[0].1);
        assert!(found[0].1.contains('…'), "{}", found[0].1);
    }
}

#[test]
fn a_policy_may_have_nothing_to_tune() {
    assert_eq!(Untuned::open("{}"), Ok(Untuned::default()));
    let problems = Untuned::open(r#"{"a": 1}"#).unwrap_err();
    assert_eq!(problems[0].message, "there is no such setting; there are: none");
}

#[test]
fn the_schema_says_what_is_declared() {
    let length = "^[0-9]+(\\.[0-9]+)?(ms|s|m|min|h)$";
    let schema: Value = serde_json::from_str(Example::SCHEMA).unwrap();
    let expected = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "Settings with a \"quote\", a \\backslash and two lines.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "delay": {
                "description": "The wait between two looks.", "type": "string",
                "pattern": length, "default": "2s", "x-least": "100ms", "x-most": "1min",
            },
            "delay_max": {
                "description": "The longest wait.", "type": "string",
                "pattern": length, "default": "1min", "x-least": "100ms", "x-most": "24h",
            },
            "budget": {
                "description": "So many.", "type": "integer", "default": 5,
                "minimum": 1, "maximum": 1000, "x-least": 1, "x-most": 1000,
            },
            "share": {
                "description": "So much.", "type": "string", "pattern": "^[0-9]+%$",
                "default": "50%", "x-least": "1%", "x-most": "100%",
            },
            "trust": { "description": "Whether.", "type": "boolean", "default": true },
        },
    });
    assert_eq!(schema, expected);
    assert!(jsonschema::meta::is_valid(&schema));
    let untuned: Value = serde_json::from_str(Untuned::SCHEMA).unwrap();
    assert_eq!(untuned["properties"], json!({}));
}

#[test]
fn the_ends_of_a_range_are_in_it() {
    let schema: Value = serde_json::from_str(Example::SCHEMA).unwrap();
    for (key, setting) in schema["properties"].as_object().unwrap() {
        for end in ["x-least", "x-most", "default"] {
            let Some(value) = setting.get(end) else { continue };
            // So that only the range of this one counts.
            let mut given = json!({ "delay": "100ms", "delay_max": "24h" });
            given[key] = value.clone();
            assert!(Example::open(&given.to_string()).is_ok(), "{given}");
        }
    }
}

/// Values of settings, right, wrong and nearly.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..100_000_u64, "(ms|s|m|min|h|%|d|)").prop_map(|(n, unit)| format_value(n, &unit)),
        any::<u64>().prop_map(Value::from),
        (0..2_000_u64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!([1])),
        Just(json!({"a": {}})),
    ]
}

fn format_value(number: u64, unit: &str) -> Value {
    alloc::format!("{number}{unit}").into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn what_the_schema_refuses_is_refused(
        key in prop_oneof!["(delay|delay_max|budget|share|trust)", "[a-z]{1,3}"],
        value in value(),
    ) {
        let schema: Value = serde_json::from_str(Example::SCHEMA).unwrap();
        let given = json!({ key: value });
        let opened = Example::open(&given.to_string());
        prop_assert!(opened.is_err() || jsonschema::is_valid(&schema, &given), "{}", given);
    }

    #[test]
    fn no_text_whatever_does_harm(json in any::<String>()) {
        let _ = Example::open(&json);
    }
}
