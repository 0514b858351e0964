//! The JSON Schema of the settings, generated from their type. It is committed
//! as `settings.schema.json`; a test keeps the two equal.
//!
//! `BLESS=1 cargo test -p reprieve-default-policy schema` writes it anew.

use std::{env, fs};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Value, json};

use super::*;

/// How each kind of setting looks in JSON.
pub(super) struct Length;
pub(super) struct Flag;
pub(super) struct Count;
pub(super) struct Share;

macro_rules! inline_schema {
    ($kind:ident, $schema:tt) => {
        impl JsonSchema for $kind {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

inline_schema!(Length, {
    "type": "string",
    "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m|min|h)$",
});
inline_schema!(Flag, { "type": "boolean" });
inline_schema!(Count, { "type": "integer" });
inline_schema!(Share, { "type": "string", "pattern": "^[0-9]+%$" });

/// Key, default and, where there is one, range.
type Described = (&'static str, Value, Option<(Value, Value)>);

/// Every setting, as JSON.
fn ranges() -> Vec<Described> {
    fn row<T: Copy>(setting: &Setting<T>, written: impl Fn(T) -> Value) -> Described {
        let Setting { key, default, least, most } = *setting;
        (key, written(default), Some((written(least), written(most))))
    }
    let length = |setting| row(setting, |length: Millis| json!(length.to_string()));
    let count = |setting| row(setting, |count: u32| json!(count));
    vec![
        length(&SETTLE),
        length(&RECENT_HEARTBEAT),
        length(&RECENT_HEARTBEAT_MAX),
        (TRUST_REPORTED_EXIT.0, json!(TRUST_REPORTED_EXIT.1), None),
        length(&REPROBE_DELAY),
        length(&RESTART_DEBOUNCE),
        length(&LIVENESS_TTL),
        length(&BUSY_RETRY_AFTER),
        count(&RESTART_BUDGET),
        length(&RESTART_BUDGET_WINDOW),
        length(&RESTART_BACKOFF),
        length(&RESTART_BACKOFF_MAX),
        count(&MAX_RESTARTING_PERCENT),
        row(&PANIC_THRESHOLD, |share: Percent| json!(share.to_string())),
    ]
}

fn generated() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Settings>().to_value();
    schema.as_object_mut().unwrap().remove("required");
    let properties = schema["properties"].as_object_mut().unwrap();
    assert_eq!(properties.len(), ranges().len(), "a setting has no row in `ranges`");
    for (key, default, range) in ranges() {
        let property = properties[key].as_object_mut().unwrap();
        property.insert("default".into(), default);
        if let Some((least, most)) = range {
            if least.is_number() {
                property.insert("minimum".into(), least.clone());
                property.insert("maximum".into(), most.clone());
            }
            // JSON Schema knows no range of texts, so these two are our own.
            property.insert("x-least".into(), least);
            property.insert("x-most".into(), most);
        }
    }
    schema
}

#[test]
fn the_committed_schema_is_what_the_type_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/settings.schema.json");
    if env::var_os("BLESS").is_some() {
        let text = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
        fs::write(path, &text).unwrap();
    }
    // As values: the order of keys depends on a feature of serde_json that
    // other crates of the workspace switch on.
    let committed: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        committed == generated(),
        "stale: run BLESS=1 cargo test -p reprieve-default-policy schema"
    );
}

#[test]
fn the_schema_says_what_is_enforced() {
    for (key, default, range) in ranges() {
        let refused = |value: &Value| Settings::parse(&json!({ key: value }).to_string()).is_err();
        let only = |value: &Value| Settings::parse(&json!({ key: value }).to_string());
        assert_eq!(only(&default), Ok(Settings::default()), "{key}: default");
        let Some((least, most)) = range else { continue };
        let contradicts = |problems: Vec<Problem>| {
            problems.iter().all(|problem| problem.message.contains("more than"))
        };
        for end in [&least, &most] {
            assert!(only(end).is_ok() || only(end).is_err_and(contradicts), "{key}: {end}");
        }
        for beyond in [json!(u32::MAX), json!("99999h"), json!("101%"), json!(0), json!("0%")] {
            assert!(refused(&beyond), "{key}: {beyond}");
        }
    }
}

#[test]
fn every_setting_has_its_sentence() {
    for (key, property) in generated()["properties"].as_object().unwrap() {
        let sentence = property["description"].as_str().unwrap_or_default();
        assert!(sentence.ends_with('.'), "{key}: {sentence:?}");
    }
}
