//! What is JSON and what is not, against serde_json, which knows.

use alloc::{borrow::ToOwned as _, format, vec};

use proptest::prelude::*;

use super::*;

fn is_object_for_serde(json: &str) -> bool {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).is_ok()
}

fn json_is_beyond_doubles(json: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(json)
        .is_err_and(|error| error.to_string().contains("number out of range"))
}

#[test]
fn values_are_read_as_they_are_written() {
    let text = |text: &str| Value::Text(text.to_owned());
    for (json, expected) in [
        (r#""""#, text("")),
        (r#""60s""#, text("60s")),
        (r#""größer 🚀""#, text("größer 🚀")),
        (r#""a\"b\\c\/d\b\f\n\r\te""#, text("a\"b\\c/d\u{8}\u{c}\n\r\te")),
        (r#""\u0041\u00e9\uD83D\uDE80""#, text("Aé🚀")),
        ("0", Value::Number("0")),
        ("-12.50e+3", Value::Number("-12.50e+3")),
        ("99999999999999999999999999", Value::Number("99999999999999999999999999")),
        ("true", Value::Flag(true)),
        ("false", Value::Flag(false)),
        ("null", Value::Other("null")),
        ("[1, [], {\"a\": 2}]", Value::Other("a list")),
        ("{\"a\": {}}", Value::Other("an object")),
    ] {
        let object = format!("\t{{ \"key\" :{json}\r\n}} ");
        assert_eq!(super::object(&object), Ok(vec![("key".to_owned(), expected)]), "{json}");
    }
}

#[test]
fn what_is_no_object_is_told_with_its_place() {
    for (json, at_byte, expected) in [
        ("", 0, "an object"),
        ("null", 0, "an object"),
        ("[]", 0, "an object"),
        ("{", 1, "a text in quotes"),
        ("{a: 1}", 1, "a text in quotes"),
        ("{\"a\" 1}", 5, "a colon"),
        ("{\"a\":}", 5, "a value"),
        ("{\"a\": nul}", 6, "a value"),
        ("{\"a\": 1 \"b\": 2}", 8, "a comma or }"),
        ("{\"a\": 1,}", 8, "a text in quotes"),
        ("{\"a\": [1,]}", 9, "a value"),
        ("{\"a\": [1 2]}", 9, "a comma or ]"),
        ("{\"a\": 01}", 7, "a comma or }"),
        ("{\"a\": 1.}", 8, "a digit"),
        ("{\"a\": .5}", 6, "a value"),
        ("{\"a\": 1e}", 8, "a digit"),
        ("{\"a\": -}", 7, "a digit"),
        ("{\"a", 3, "a closing quote"),
        ("{\"a\n\": 1}", 3, "a closing quote"),
        (r#"{"\x": 1}"#, 3, "an escape that JSON knows"),
        (r#"{"\u00g0": 1}"#, 6, "a hexadecimal digit"),
        (r#"{"\ud800": 1}"#, 8, "a whole character"),
        (r#"{"\udc00": 1}"#, 8, "a whole character"),
        (r#"{"\ud800\n": 1}"#, 9, "a unicode escape"),
        (r#"{"\ud800\u0041": 1}"#, 14, "a whole character"),
        ("{} {}", 3, "the end"),
        ("{}\0", 2, "the end"),
    ] {
        assert_eq!(object(json), Err(Unreadable { at_byte, expected }), "{json:?}");
        assert!(!is_object_for_serde(json), "serde_json reads {json:?}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |levels: usize, open: &str, close: &str| {
        format!("{{\"a\": {}1{}}}", open.repeat(levels), close.repeat(levels))
    };
    for (open, close) in [("[", "]"), ("{\"b\": ", "}")] {
        assert!(object(&nested(31, open, close)).is_ok(), "{open}");
        for levels in [32, 100_000] {
            let refused = object(&nested(levels, open, close)).unwrap_err();
            assert_eq!(refused.expected, "less nesting", "{levels} of {open}");
        }
    }
}

/// Texts that are JSON, or nearly.
fn nearly_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just(" "),
        Just("\"a\""),
        Just("\"b\":"),
        Just("\\"),
        Just("\""),
        Just("\\u00e9"),
        Just("\\ud83d"),
        Just("\\ude80"),
        Just("true"),
        Just("nul"),
        Just("null"),
        Just("-"),
        Just("0"),
        Just("1"),
        Just("7.5"),
        Just("e9"),
        Just("."),
        Just("é"),
        Just("\u{1}"),
        Just("{\"a\":"),
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat()),
        ".{0,40}",
        json_value().prop_map(|value| format!("{{\"a\": {value}}}")),
    ]
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn it_takes_what_serde_json_takes(json in nearly_json()) {
        // JSON all the same, but serde_json reads numbers that a double can hold.
        prop_assume!(!json_is_beyond_doubles(&json));
        prop_assert_eq!(object(&json).is_ok(), is_object_for_serde(&json), "{:?}", json);
    }

    #[test]
    fn it_reads_texts_as_serde_json_does(key in any::<String>(), text in any::<String>()) {
        let json = serde_json::json!({ &key: &text }).to_string();
        prop_assert_eq!(object(&json), Ok(vec![(key, Value::Text(text))]));
    }
}
