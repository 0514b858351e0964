//! The default policy's table of judgements, through the built component: it
//! must say what the rules say natively.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use reprieve_runtime::Limits;
use support::{DEFAULT, ENGINE, table::Table};

const TABLE: &str = include_str!("../../../policy/tests/judgements.toml");

#[tokio::test(start_paused = true)]
async fn the_component_rules_every_row_as_the_native_rules_do() {
    let policy = ENGINE.load(DEFAULT, Limits::default()).expect("the default policy");
    let differences = Table::parse(TABLE).differences(&policy).await;
    assert!(differences.is_empty(), "{} differ: {differences:#?}", differences.len());
}
