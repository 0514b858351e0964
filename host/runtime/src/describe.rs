//! What a policy says of itself, held to the contract's bounds: its reasons
//! become labels in metrics, its schema is shown to operators.

use std::{collections::BTreeSet, sync::Arc};

use reprieve_core::judgement::Reason;
use serde_json::Value;

use crate::{MAX_CODE_BYTES, MAX_REASONS, MAX_SCHEMA_BYTES, MAX_SENTENCE_BYTES, contract::guard};

/// What a policy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema (2020-12) of the settings.
    pub settings_schema: Value,
    pub reasons: Vec<Arc<Reason>>,
}

/// The error says what is wrong with which part.
pub(crate) fn checked(told: guard::Description) -> Result<Description, String> {
    let guard::Description { name, version, summary, settings_schema: schema, reasons } = told;
    code("the name", &name)?;
    sentence("the version", &version)?;
    sentence("the summary", &summary)?;
    let bytes = schema.len();
    if bytes > MAX_SCHEMA_BYTES {
        return Err(format!(
            "the settings schema has {bytes} bytes, {MAX_SCHEMA_BYTES} are allowed"
        ));
    }
    let settings_schema: Value = serde_json::from_str(&schema)
        .map_err(|error| format!("the settings schema is not JSON: {error}"))?;
    if !settings_schema.is_object() {
        return Err("the settings schema is not a JSON object".to_owned());
    }
    let reasons = checked_reasons(reasons)?;
    Ok(Description { name, version, summary, settings_schema, reasons })
}

fn checked_reasons(told: Vec<guard::Reason>) -> Result<Vec<Arc<Reason>>, String> {
    if !(1..=MAX_REASONS).contains(&told.len()) {
        return Err(format!("it declares {} reasons, 1 to {MAX_REASONS} are allowed", told.len()));
    }
    let mut codes = BTreeSet::new();
    for (index, reason) in told.iter().enumerate() {
        code(&format!("the code of reason {index}"), &reason.code)?;
        sentence(&format!("the meaning of reason {:?}", reason.code), &reason.meaning)?;
        if !codes.insert(reason.code.as_str()) {
            return Err(format!("it declares reason {:?} twice", reason.code));
        }
    }
    let reason = |guard::Reason { code, meaning }| Arc::new(Reason { code, meaning });
    Ok(told.into_iter().map(reason).collect())
}

fn code(what: &str, text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let kebab = text.bytes().all(plain)
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && !text.ends_with('-');
    if kebab && text.len() <= MAX_CODE_BYTES {
        return Ok(());
    }
    let shown: String = text.chars().take(MAX_CODE_BYTES).collect();
    Err(format!("{what} is {shown:?}; it must be kebab-case, 1 to {MAX_CODE_BYTES} bytes"))
}

fn sentence(what: &str, text: &str) -> Result<(), String> {
    match text.len() {
        // They would steer the terminals of those who read it.
        1..=MAX_SENTENCE_BYTES if text.contains(char::is_control) => {
            Err(format!("{what} is {text:?}; it must have no control characters"))
        }
        1..=MAX_SENTENCE_BYTES => Ok(()),
        bytes => Err(format!("{what} has {bytes} bytes, 1 to {MAX_SENTENCE_BYTES} are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> guard::Description {
        guard::Description {
            name: "default".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Looks twice.".to_owned(),
            settings_schema: "{}".to_owned(),
            reasons: vec![reason("settling"), reason("alive")],
        }
    }

    fn reason(code: &str) -> guard::Reason {
        guard::Reason { code: code.to_owned(), meaning: "It is so.".to_owned() }
    }

    #[test]
    fn a_description_within_its_bounds_is_taken() {
        assert_eq!(checked(described()).map(|taken| taken.reasons.len()), Ok(2));
    }

    #[test]
    fn a_description_beyond_its_bounds_is_refused_by_name() {
        type Change = fn(&mut guard::Description);
        let cases: [(&str, Change, &str); 10] = [
            ("no name", |d| d.name.clear(), "the name is \"\""),
            ("a name in capitals", |d| d.name = "Default".to_owned(), "kebab-case"),
            ("a long summary", |d| d.summary = "x".repeat(513), "the summary has 513 bytes"),
            ("a steering version", |d| d.version = "1\u{1b}[2J".to_owned(), "no control"),
            ("no reason", |d| d.reasons.clear(), "declares 0 reasons"),
            ("257 reasons", |d| d.reasons = vec![reason("a"); 257], "declares 257 reasons"),
            ("a reason twice", |d| d.reasons[1] = reason("settling"), "\"settling\" twice"),
            ("a long code", |d| d.reasons[1] = reason(&"x".repeat(65)), "the code of reason 1"),
            ("a schema that is text", |d| d.settings_schema = "settle: 60".to_owned(), "not JSON"),
            ("a huge schema", |d| d.settings_schema = " ".repeat(MAX_SCHEMA_BYTES + 1), "262145"),
        ];
        for (case, change, expected) in cases {
            let mut told = described();
            change(&mut told);
            let refused = checked(told).expect_err(case);
            assert!(refused.contains(expected), "{case}: {refused}");
        }
    }
}
