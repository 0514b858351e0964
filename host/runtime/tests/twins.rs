//! One small policy in three languages: Rust, C and JavaScript. In the host, all
//! three rule every row of one table alike, and take and refuse the same settings.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use reprieve_core::settings::SettingsBook;
use reprieve_runtime::{Generation, Limits, Owners, Policy};
use serde_json::{Value, json};
use support::{ENGINE, settings, table::Table};

const TABLE: &str = include_str!("../../../policies/examples/judgements.toml");
/// Tests share two cores, and an interpreter is no compiler: a judgement that was
/// preempted is no fault of the policy's.
const GUEST_DEADLINE: Duration = Duration::from_secs(10);

type Twin = (&'static str, Arc<Policy>);

static TWINS: LazyLock<[Twin; 3]> = LazyLock::new(|| {
    let limits = Limits { guest_deadline: GUEST_DEADLINE, ..Limits::default() };
    [
        ("rust", &include_bytes!("../../../policies/examples/second-look-rust.wasm")[..]),
        ("c", include_bytes!("../../../policies/examples/second-look-c.wasm")),
        ("javascript", include_bytes!("../../../policies/examples/second-look-javascript.wasm")),
    ]
    .map(|(language, bytes)| {
        let loaded = ENGINE.load(bytes, limits.clone());
        (language, loaded.unwrap_or_else(|error| panic!("{language}: {error:?}")))
    })
});

fn takes(policy: &Arc<Policy>, given: Value) -> bool {
    let book = SettingsBook { fleet: settings(given).into(), ..SettingsBook::default() };
    Generation::new(1, Arc::clone(policy), book, &Owners::new()).is_ok()
}

#[tokio::test(start_paused = true)]
async fn all_three_rule_every_row_as_it_says() {
    let table = Table::parse(TABLE);
    assert!(table.row.len() >= 20, "the table was cut to {} rows", table.row.len());
    for (language, policy) in &*TWINS {
        let differences = table.differences(policy).await;
        assert!(differences.is_empty(), "in {language}: {differences:#?}");
    }
}

#[test]
fn all_three_declare_the_same_and_every_reason_is_reached() {
    let [(_, rust), others @ ..] = &*TWINS;
    for (language, twin) in others {
        let (rust, twin) = (rust.description(), twin.description());
        assert_eq!(twin.reasons, rust.reasons, "{language}");
        assert_eq!(twin.settings_schema, rust.settings_schema, "{language}");
        assert_eq!((&twin.version, &twin.summary), (&rust.version, &rust.summary), "{language}");
        assert_eq!(twin.name, format!("second-look-{language}"));
    }
    let table: toml::Table = toml::from_str(TABLE).expect("TOML");
    let rows = table["row"].as_array().expect("rows");
    let reached: BTreeSet<&str> = rows.iter().filter_map(|row| row["reason"].as_str()).collect();
    let declared = rust.description().reasons.iter().map(|reason| reason.code.as_ref());
    assert_eq!(reached, declared.collect());
}

#[test]
fn all_three_take_and_refuse_the_same_settings() {
    for (given, expected) in [
        (json!({}), true),
        (json!({"reprobe_delay": "2s"}), true),
        (json!({"reprobe_delay": "10ms"}), true),
        (json!({"reprobe_delay": "0.010s"}), true),
        (json!({"reprobe_delay": "1.5s"}), true),
        (json!({"reprobe_delay": "1m"}), true),
        (json!({"reprobe_delay": "0.5min"}), true),
        (json!({"reprobe_delay": "0.01h"}), true),
        (json!({"reprobe_delay": "9ms"}), false),
        (json!({"reprobe_delay": "61s"}), false),
        (json!({"reprobe_delay": "99999999999999999999h"}), false),
        (json!({"reprobe_delay": "0.0105s"}), false),
        (json!({"reprobe_delay": "2"}), false),
        (json!({"reprobe_delay": "2 s"}), false),
        (json!({"reprobe_delay": "-2s"}), false),
        (json!({"reprobe_delay": ".5s"}), false),
        (json!({"reprobe_delay": "1.s"}), false),
        (json!({"reprobe_delay": "2d"}), false),
        (json!({"reprobe_delay": "2sec"}), false),
        (json!({"reprobe_delay": ""}), false),
        (json!({"reprobe_delay": 2}), false),
        (json!({"reprobe_delay": null}), false),
        (json!({"reprobe_delay": ["2s"]}), false),
        (json!({"reprobe_delay": {"s": 2}}), false),
        (json!({"reprobe_dela": "2s"}), false),
        (json!({"reprobe_delay": "2s", "settle": "2s"}), false),
        (json!({"": "2s"}), false),
    ] {
        for (language, policy) in &*TWINS {
            assert_eq!(takes(policy, given.clone()), expected, "{language}: {given}");
        }
    }
}
