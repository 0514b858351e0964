//! What people run today, as policies: in the host, each rules every row of its own
//! table, and the tables reach every reason.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use reprieve_runtime::{Limits, Policy};
use support::{ENGINE, table::Table};

/// Tests share two cores: a judgement that was preempted is no fault of the policy's.
const GUEST_DEADLINE: Duration = Duration::from_secs(10);

struct Animal {
    name: &'static str,
    table: &'static str,
    policy: Arc<Policy>,
}

macro_rules! animals {
    ($($name:literal),+ $(,)?) => {
        [$((
            $name,
            &include_bytes!(concat!("../../../policies/", $name, ".wasm"))[..],
            include_str!(concat!("../../../policies/zoo/", $name, "/judgements.toml")),
        )),+]
    };
}

static ZOO: LazyLock<[Animal; 7]> = LazyLock::new(|| {
    let limits = Limits { guest_deadline: GUEST_DEADLINE, ..Limits::default() };
    animals![
        "docker-autoheal",
        "docker-restart-policy",
        "envoy-outlier",
        "kubelet-liveness",
        "lifeguard",
        "nomad-check-restart",
        "phi-accrual",
    ]
    .map(|(name, bytes, table)| {
        let loaded = ENGINE.load(bytes, limits.clone());
        let policy = loaded.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        Animal { name, table, policy }
    })
});

#[tokio::test(start_paused = true)]
async fn each_of_the_zoo_rules_every_row_of_its_table() {
    for Animal { name, table, policy } in &*ZOO {
        let table = Table::parse(table);
        assert!(table.row.len() >= 10, "the table of {name} was cut to {} rows", table.row.len());
        let differences = table.differences(policy).await;
        assert!(differences.is_empty(), "{name}: {differences:#?}");
    }
}

#[test]
fn each_of_the_zoo_is_named_after_its_file_and_reaches_every_reason() {
    for Animal { name, table, policy } in &*ZOO {
        assert_eq!(policy.description().name, *name);
        let table: toml::Table = toml::from_str(table).expect("TOML");
        let rows = table["row"].as_array().expect("rows");
        let reached: BTreeSet<&str> =
            rows.iter().filter_map(|row| row["reason"].as_str()).collect();
        let declared = policy.description().reasons.iter().map(|reason| reason.code.as_ref());
        assert_eq!(reached, declared.collect(), "{name}");
    }
}
