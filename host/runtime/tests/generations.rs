//! One generation after another: what a change touches is checked again, and
//! nothing else; readers keep what they have.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Barrier, mpsc},
    thread,
};

use proptest::prelude::*;
use reprieve_core::{
    ids::{TenantId, WorkspaceId},
    settings::{Layer, Settings, SettingsBook, Source},
};
use reprieve_runtime::{
    Current, Generation, GenerationRefused, LayerChange, Limits, MAX_LAYERS_REFUSED, Owners,
    Policy, SettingsRefused, Who,
};
use serde_json::json;
use support::{DEFAULT, ENGINE, UNRULY, settings, told, who};

fn tenant(number: usize) -> TenantId {
    format!("t-{number}").parse().expect("a name")
}

fn member(of: usize) -> Who {
    Who { tenant: tenant(of), workspace: "ws-9".parse().expect("a name") }
}

fn settle(seconds: usize) -> Settings {
    settings(json!({"settle": format!("{seconds}s")}))
}

fn applied(layer: Layer, settings: Settings) -> LayerChange {
    LayerChange { layer, source: Source::Applied, settings }
}

/// So many tenants, each with a window of its own.
fn fleet_of(tenants: usize) -> Generation {
    let own = |number| {
        let settle = format!("{}ms", 60_001 + number);
        (tenant(number), Arc::new(settings(json!({ "settle": settle }))))
    };
    let book = SettingsBook { tenants: (0..tenants).map(own).collect(), ..SettingsBook::default() };
    Generation::new(1, policy(DEFAULT), book, &Owners::new()).expect("a generation")
}

fn policy(bytes: &[u8]) -> Arc<Policy> {
    ENGINE.load(bytes, Limits::default()).expect("a policy")
}

fn layers_of(refused: GenerationRefused) -> Vec<Layer> {
    match refused {
        GenerationRefused::Settings { refused, .. } => {
            refused.into_iter().map(|refused| refused.layer).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_leaves_snapshots_alone() {
    let policy = policy(UNRULY);
    let current = Current::new(told(&policy, "nothing").expect("a generation"));
    let before = current.snapshot();
    let change = applied(Layer::Fleet, settings(json!({"do": "hurry"})));
    let next = current.update(|known| known.with_settings(&[change], &Owners::new()));
    let next = next.expect("it is accepted");
    assert!(Arc::ptr_eq(&next, &current.snapshot()));
    assert_eq!((before.number(), next.number()), (1, 2));
    let (old, new) = (before.reference(&who()), next.reference(&who()));
    assert_eq!((old.number, new.number), (1, 2));
    assert_ne!(old.settings, new.settings);
}

#[test]
fn an_update_that_is_refused_changes_nothing() {
    let policy = policy(UNRULY);
    let current = Current::new(told(&policy, "nothing").expect("a generation"));
    let before = current.snapshot();
    let change = applied(Layer::Fleet, settings(json!({"do": "dance"})));
    let refused = current.update(|known| known.with_settings(&[change], &Owners::new()));
    assert!(refused.expect_err("refused").to_string().contains("do: is not a deed"));
    assert!(Arc::ptr_eq(&before, &current.snapshot()));
}

#[test]
fn writers_take_turns_and_readers_do_not_wait() {
    const WRITERS: usize = 8;
    let current = Arc::new(Current::new(fleet_of(0)));
    let (started, ready) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let first = thread::spawn({
        let current = Arc::clone(&current);
        move || {
            current.update(|known| {
                started.send(()).expect("the test waits");
                wait.recv().expect("the test says go");
                known.with_settings(&[applied(Layer::Tenant(tenant(0)), settle(7))], &Owners::new())
            })
        }
    });
    ready.recv().expect("the first writer is at work");
    assert_eq!(current.snapshot().number(), 1, "who reads meanwhile gets the one in force");
    let line = Arc::new(Barrier::new(WRITERS));
    let others: Vec<_> = (1..=WRITERS)
        .map(|number| {
            let (current, line) = (Arc::clone(&current), Arc::clone(&line));
            thread::spawn(move || {
                line.wait();
                let change = applied(Layer::Tenant(tenant(number)), settle(number));
                let next = current.update(|known| known.with_settings(&[change], &Owners::new()));
                next.expect("it is accepted").number()
            })
        })
        .collect();
    go.send(()).expect("the first writer waits");
    assert_eq!(first.join().expect("no panic").expect("it is accepted").number(), 2);
    let numbers: BTreeSet<u64> =
        others.into_iter().map(|other| other.join().expect("no panic")).collect();
    assert_eq!(numbers, (3..3 + WRITERS as u64).collect(), "each from the one before");
    let tenants = current.snapshot().layers().of(Source::Applied).tenants.len();
    assert_eq!(tenants, WRITERS + 1, "no change was lost");
}

#[test]
fn one_workspaces_own_settings_make_the_next_generation_or_none() {
    let before = support::default();
    let Who { tenant, workspace } = who();
    let own = |settle: &str| settings(json!({ "settle": settle }));
    let next = before.with_workspace(&workspace, &tenant, own("5min")).expect("a generation");
    assert_eq!(next.number(), before.number() + 1);
    assert_ne!(next.reference(&who()).settings, before.reference(&who()).settings);
    let other = Who { workspace: "ws-2".parse().expect("a name"), ..who() };
    assert_eq!(next.reference(&other).settings, before.reference(&other).settings);

    let refused = next.with_workspace(&workspace, &tenant, own("5 days")).expect_err("refused");
    assert!(refused.to_string().contains("workspace ws-1"), "{refused}");

    let without = next.without_workspace(&workspace);
    assert_eq!(without.reference(&who()).settings, before.reference(&who()).settings);
    assert!(without.knows_workspace(&workspace, &tenant, &Settings::new()));
}

#[test]
fn what_was_applied_to_a_workspace_waits_for_it() {
    let (Who { tenant: acme, workspace }, layer) = (who(), Layer::Workspace(who().workspace));
    let before = support::default();
    let absent = before.with_settings(&[applied(layer, settle(7))], &Owners::new());
    let absent = absent.expect("kept, and not checked");
    assert!(!absent.knows_workspace(&workspace, &acme, &Settings::new()));
    let found = absent.with_workspace(&workspace, &acme, settle(9)).expect("a generation");
    let outcome = |generation: &Generation| generation.reference(&who()).settings;
    assert_eq!(outcome(&found), reprieve_core::settings::digest(&settle(7)));
    let gone = found.without_workspace(&workspace);
    let back = gone.with_workspace(&workspace, &acme, Settings::new()).expect("a generation");
    assert_eq!(outcome(&back), outcome(&found), "it is there again");
    let moved = back.with_workspace(&workspace, &tenant(1), Settings::new()).expect("a generation");
    let there = Who { tenant: tenant(1), workspace: workspace.clone() };
    assert_eq!(moved.reference(&there).settings, outcome(&found), "under another tenant, too");
    assert_eq!(moved.silence_limit(&who()), None, "and no more under the former");
}

/// Ten thousand tenants, and a policy that would count every session: what is
/// not touched is not asked about, and is the very same.
#[test]
fn a_change_of_one_of_ten_thousand_tenants_checks_one_set() {
    let before = fleet_of(10_000);
    let calls = before.policy().settings_checked();
    let change = applied(Layer::Tenant(tenant(17)), settle(7));
    let next = before.with_settings(&[change], &Owners::new()).expect("a generation");
    assert_eq!(next.policy().settings_checked() - calls, 1);
    for number in [0, 16, 18, 9_999] {
        let (old, new) = (before.reference(&member(number)), next.reference(&member(number)));
        assert_eq!((old.settings, old.number, new.number), (new.settings, 1, 2), "{number}");
    }
    assert_ne!(before.reference(&member(17)).settings, next.reference(&member(17)).settings);

    let withdrawn = applied(Layer::Tenant(tenant(17)), Settings::new());
    let back = next.with_settings(&[withdrawn], &Owners::new()).expect("a generation");
    assert_eq!(back.reference(&member(17)).settings, before.reference(&member(17)).settings);
    let nothing = back.with_settings(&[], &Owners::new()).expect("a generation");
    assert_eq!(nothing.policy().settings_checked() - calls, 2);
}

#[test]
fn a_change_of_the_fleets_settings_checks_only_what_it_changes() {
    let before = fleet_of(20);
    let calls = || before.policy().settings_checked();
    let former = calls();
    // Each tenant replaces this key, so only those without their own are concerned.
    let change = applied(Layer::Fleet, settle(7));
    let next = before.with_settings(&[change], &Owners::new()).expect("a generation");
    assert_eq!(calls() - former, 1);
    let change = applied(Layer::Fleet, settings(json!({"reprobe_delay": "3s"})));
    next.with_settings(&[change], &Owners::new()).expect("a generation");
    assert_eq!(calls() - former, 1 + 21, "the fleet's and every tenant's");
}

#[test]
fn a_generation_names_itself_as_long_as_it_decides() {
    let older = fleet_of(1);
    let change = applied(Layer::Tenant(tenant(5)), settle(7));
    let newer = older.with_settings(&[change], &Owners::new()).expect("a generation");
    for round in 0..3 {
        let (old, new) = (older.reference(&member(0)), newer.reference(&member(0)));
        assert_eq!((old.number, new.number), (1, 2), "round {round}");
    }
    let (one, other) = (newer.reference(&member(0)), newer.reference(&member(0)));
    assert!(Arc::ptr_eq(&one, &other), "a decision takes a reference and no copy");
}

#[test]
fn another_policy_is_asked_about_everybody_and_every_refusal_is_named() {
    let before = fleet_of(3);
    let next = before.with_policy(policy(DEFAULT)).expect("the same policy, loaded anew");
    assert_eq!(next.number(), 2);
    assert_eq!(next.reference(&member(1)).settings, before.reference(&member(1)).settings);
    assert!(!Arc::ptr_eq(next.policy(), before.policy()));

    let refused = before.with_policy(policy(UNRULY)).expect_err("it has no such settings");
    assert_eq!(layers_of(refused), (0..3).map(|t| Layer::Tenant(tenant(t))).collect::<Vec<_>>());

    let refused = fleet_of(100).with_policy(policy(UNRULY)).expect_err("refused");
    assert!(refused.to_string().contains("nobody else's were checked"), "{refused}");
    assert_eq!(layers_of(refused).len(), MAX_LAYERS_REFUSED);
}

#[test]
fn what_the_fleet_has_wrong_is_said_once_and_not_for_every_tenant() {
    let own = |number| (tenant(number), Arc::new(settings(json!({"reprobe_delay": "3s"}))));
    let mut tenants: std::collections::BTreeMap<_, _> = (0..3).map(own).collect();
    tenants.insert(tenant(3), Arc::new(settings(json!({"settle": "2h"}))));
    let book = SettingsBook {
        fleet: settings(json!({"settle": "2h"})).into(),
        tenants,
        ..SettingsBook::default()
    };
    let refused = Generation::new(1, policy(DEFAULT), book, &Owners::new()).expect_err("refused");
    let GenerationRefused::Settings { refused, .. } = refused else { panic!("{refused:?}") };
    let layers: Vec<_> = refused.iter().map(|refused| refused.layer.clone()).collect();
    assert_eq!(layers, [Layer::Fleet, Layer::Tenant(tenant(3))]);
    for refused in refused {
        let SettingsRefused::Problems(problems) = refused.reason else { panic!("{refused:?}") };
        assert_eq!((problems.len(), problems[0].path.as_str()), (1, "settle"));
    }
}

/// A layer of one of two tenants, two workspaces or the fleet.
fn any_change() -> impl Strategy<Value = LayerChange> {
    let layer = (0_usize..5).prop_map(|which| match which {
        0 => Layer::Fleet,
        1 | 2 => Layer::Tenant(tenant(which)),
        _ => Layer::Workspace(workspace(which)),
    });
    let values = prop_oneof![
        Just(Settings::new()),
        (1_usize..4).prop_map(settle),
        Just(settings(json!({"restart_budget": 3})))
    ];
    let source = prop_oneof![Just(Source::Label), Just(Source::File), Just(Source::Applied)];
    (layer, source, values).prop_map(|(layer, source, settings)| LayerChange {
        layer,
        source,
        settings,
    })
}

fn workspace(number: usize) -> WorkspaceId {
    format!("ws-{number}").parse().expect("a name")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// However it came about, a generation judges by what its layers come to.
    #[test]
    fn a_derived_generation_has_what_one_made_at_once_has(
        changes in proptest::collection::vec(any_change(), 1..12)
    ) {
        let owners: Owners = [(workspace(3), tenant(1)), (workspace(4), tenant(2))].into();
        let first = support::default();
        let mut one_by_one = first.clone();
        for change in &changes {
            one_by_one = one_by_one.with_settings(std::slice::from_ref(change), &owners).expect("taken");
        }
        let at_once = first.with_settings(&changes, &owners).expect("taken");
        for (of, at) in [(1, 3), (2, 4), (1, 9), (2, 9), (7, 9)] {
            let who = Who { tenant: tenant(of), workspace: workspace(at) };
            let effective = at_once.layers().effective(&Layer::of_workspace(&who.tenant, &who.workspace));
            let expected = reprieve_core::settings::digest(&effective);
            prop_assert_eq!(at_once.reference(&who).settings, expected);
            prop_assert_eq!(one_by_one.reference(&who).settings, expected);
        }
    }
}
