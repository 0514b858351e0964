//! What a policy's JSON Schema says of its settings: checked before the policy is
//! asked, and shown to whoever tunes.

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use reprieve_core::settings::Settings;
use serde::Serialize;
use serde_json::Value;

use super::SettingProblem;

/// How alike a key must be to one that there is to be called a slip of it, from 0
/// to 1.
const ALIKE: f64 = 0.8;

/// A setting as the policy's schema describes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    pub key: String,
    pub description: String,
    /// None: the schema does not say.
    pub default: Option<Value>,
    /// Both ends included; with their unit.
    pub least: Option<Value>,
    pub most: Option<Value>,
    /// The only values that are allowed, if they are few.
    pub choices: Vec<Value>,
}

/// A policy's schema, ready to check with.
#[derive(Debug)]
pub struct SettingsSchema {
    /// None: what the policy gives is no JSON Schema. Then it checks alone.
    validator: Option<Validator>,
    settings: Vec<Setting>,
}

impl SettingsSchema {
    pub fn new(schema: &Value) -> Self {
        let validator = jsonschema::validator_for(schema)
            .inspect_err(|error| {
                let error = error.to_string();
                tracing::warn!(error, "the policy's settings schema is none; it checks alone");
            })
            .ok();
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut settings: Vec<Setting> =
            properties.map(|(key, own)| Setting::of(key, own)).collect();
        settings.sort_by(|one, other| one.key.cmp(&other.key));
        Self { validator, settings }
    }

    /// By name.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// Everything that the schema finds wrong, all at once.
    pub fn problems(&self, settings: &Settings) -> Vec<SettingProblem> {
        let Some(validator) = &self.validator else { return Vec::new() };
        let instance = Value::Object(settings.clone());
        validator.iter_errors(&instance).flat_map(|error| self.problems_of(&error)).collect()
    }

    /// "there is no such setting", with the one that was probably meant.
    pub fn unknown(&self, key: &str) -> String {
        let alike =
            |setting: &Setting| (strsim::jaro_winkler(key, &setting.key), setting.key.clone());
        let nearest = self.settings.iter().map(alike).max_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((likeness, meant)) if likeness >= ALIKE => {
                format!("there is no such setting; did you mean {meant}?")
            }
            _ => {
                let known: Vec<&str> = self.settings.iter().map(|own| own.key.as_str()).collect();
                format!("there is no such setting; there are: {}", known.join(", "))
            }
        }
    }

    fn problems_of(&self, error: &ValidationError<'_>) -> Vec<SettingProblem> {
        let path = error.instance_path.as_str().trim_start_matches('/').replace('/', ".");
        let value = error.instance.as_ref();
        let setting = self.setting(&path);
        let (shown, allowed) = (short(value), setting.and_then(Setting::allowed));
        let mut message = match &error.kind {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let unknown = |key: &String| SettingProblem {
                    layer: None,
                    path: key.clone(),
                    value: value.get(key).cloned(),
                    message: self.unknown(key),
                    allowed: None,
                };
                return unexpected.iter().map(unknown).collect();
            }
            // A pattern tells nobody how a value is written; an example does.
            ValidationErrorKind::Pattern { .. } | ValidationErrorKind::Type { .. } => {
                match setting.and_then(|setting| setting.default.as_ref()) {
                    Some(like) => format!("{shown} is not written like {like}"),
                    None => error.masked_with(&shown).to_string(),
                }
            }
            _ => error.masked_with(&shown).to_string(),
        };
        if let Some(allowed) = &allowed {
            message += &format!("; allowed is {allowed}");
        }
        vec![SettingProblem { layer: None, path, value: Some(value.clone()), message, allowed }]
    }
}

/// A value as JSON, cut where it is long.
fn short(value: &Value) -> String {
    const SHOWN: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Setting {
    fn of(key: &str, schema: &Value) -> Self {
        // Ranges of texts with a unit have no keyword of their own.
        let limit = |keys: [&str; 2]| keys.iter().find_map(|key| schema.get(key)).cloned();
        let choices = schema["enum"].as_array().cloned().unwrap_or_default();
        Self {
            key: key.to_owned(),
            description: schema["description"].as_str().unwrap_or_default().to_owned(),
            default: schema.get("default").cloned(),
            least: limit(["x-least", "minimum"]),
            most: limit(["x-most", "maximum"]),
            choices: match schema["type"].as_str() {
                Some("boolean") if choices.is_empty() => vec![false.into(), true.into()],
                _ => choices,
            },
        }
    }

    /// "0s to 1h", "false or true". None: the schema does not say.
    pub fn allowed(&self) -> Option<String> {
        if !self.choices.is_empty() {
            let choices: Vec<String> = self.choices.iter().map(plain).collect();
            return Some(choices.join(" or "));
        }
        match (&self.least, &self.most) {
            (Some(least), Some(most)) => Some(format!("{} to {}", plain(least), plain(most))),
            (Some(least), None) => Some(format!("at least {}", plain(least))),
            (None, Some(most)) => Some(format!("at most {}", plain(most))),
            (None, None) => None,
        }
    }
}

/// A value as people write it: a text without its quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use reprieve_policy::FromSettings as _;
    use serde_json::json;

    use super::*;

    fn schema() -> SettingsSchema {
        let schema = serde_json::from_str(reprieve_default_policy::Settings::SCHEMA);
        SettingsSchema::new(&schema.unwrap())
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once_with_value_and_range() {
        let Value::Object(settings) = json!({
            "settle": 90, "restart_budget": 2_000, "trust_reported_exit": "yes",
            "liveness_tll": "3min", "reprobe_delay": "2s",
        }) else {
            unreachable!("an object")
        };
        let mut told: Vec<String> =
            schema().problems(&settings).iter().map(SettingProblem::to_string).collect();
        told.sort();
        insta::assert_snapshot!(told.join("\n"), @r#"
        liveness_tll: there is no such setting; did you mean liveness_ttl?
        restart_budget: 2000 is greater than the maximum of 1000; allowed is 1 to 1000
        settle: 90 is not written like "1min"; allowed is 0s to 1h
        trust_reported_exit: "yes" is not written like true; allowed is false or true
        "#);
    }

    #[test]
    fn a_key_that_is_like_none_gets_the_list() {
        assert!(schema().unknown("zzz").contains("there are: busy_retry_after, "));
    }

    #[test]
    fn a_schema_that_is_none_checks_nothing() {
        let none = SettingsSchema::new(&json!({"type": 7}));
        assert_eq!(none.problems(&Settings::new()), []);
    }

    #[test]
    fn what_is_allowed_reads_like_a_sentence() {
        for (key, expected) in [
            ("settle", Some("0s to 1h")),
            ("restart_budget", Some("1 to 1000")),
            ("trust_reported_exit", Some("false or true")),
        ] {
            let allowed = schema().setting(key).unwrap().allowed();
            assert_eq!(allowed.as_deref(), expected, "{key}");
        }
    }
}
