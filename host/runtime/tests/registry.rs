//! The way of a component into force, step by step.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::{io, sync::Arc, time::Duration};

use reprieve_core::{decision::Decision, ids::Digest, settings::SettingsBook};
use reprieve_runtime::{
    Current, Engine, EngineOptions, Generation, Interface, Limits, Owners, Policy, Terms,
    registry::{Candidate, Golden, Passage, Progress, Refused, Registry, Standards, Step},
    table::Row,
};
use serde::Deserialize;
use serde_json::json;
use support::{DEFAULT, REFUSED, Scene, UNRULY, facts, settings, told, unruly, who};

const STEPS: [Step; 9] = [
    Step::Fetch,
    Step::Digest,
    Step::Signature,
    Step::Imports,
    Step::Compile,
    Step::Describe,
    Step::Settings,
    Step::Golden,
    Step::Activate,
];

fn candidate(bytes: &[u8]) -> Candidate {
    Candidate {
        source: "a test".to_owned(),
        bytes: bytes.into(),
        expected: None,
        signature: None,
        built_in: false,
    }
}

fn registry(standards: Standards) -> Registry {
    Registry::new(Engine::new(EngineOptions::default()).expect("an engine"), standards)
}

async fn vetted(registry: &Registry, bytes: &[u8]) -> Arc<Policy> {
    registry.vet(candidate(bytes), &Progress::new("a test")).await.expect("a policy")
}

fn taken(passage: &Passage) -> Vec<Step> {
    passage.taken.iter().map(|taken| taken.step).collect()
}

/// Everything from the bytes to the swap.
async fn brought_in(
    registry: &Registry,
    current: &Current,
    candidate: Candidate,
    keep: impl FnOnce() -> io::Result<()>,
) -> (Passage, Option<Refused>) {
    let progress = Progress::new(&candidate.source);
    let outcome = match registry.vet(candidate, &progress).await {
        Ok(policy) => registry.activate(current, &policy, &progress, keep).map(drop),
        Err(refused) => Err(refused),
    };
    let refused = outcome.err();
    if let Some(refused) = &refused {
        progress.failed(refused);
    }
    (progress.passage(), refused)
}

#[tokio::test]
async fn a_good_component_takes_every_step_in_order() {
    let registry = registry(Standards::default());
    let current = Current::new(unruly("nothing"));
    let mut kept = false;
    let (passage, refused) = brought_in(&registry, &current, candidate(UNRULY), || {
        kept = true;
        Ok(())
    })
    .await;
    assert!(refused.is_none() && kept, "{refused:?}");
    assert_eq!(taken(&passage), STEPS);
    assert!(passage.is_active());
    assert_eq!((passage.component, passage.bytes), (Some(Digest::of(UNRULY)), UNRULY.len()));
    assert_eq!(passage.policy.as_deref(), Some("unruly 0.1.0"));
    assert_eq!(current.snapshot().number(), 2);
}

#[tokio::test]
async fn each_step_refuses_what_is_its_own_and_what_judges_stays() {
    let golden = || {
        let row = r#"[[row]]
            name = "whoever is refused is dead"
            trigger = { forward_failed = "refused" }
            verdict = "dead"
            reason = "as-told""#;
        let table: Table = toml::from_str(row).expect("a table");
        Golden::new(table.row).map(Arc::new).expect("a golden table")
    };
    let but_memory = || {
        let interfaces = Interface::ALL.iter().copied();
        Terms {
            grants: interfaces.filter(|i| *i != Interface::Memory).collect(),
            ..Terms::default()
        }
    };
    let normal = Standards::default;
    for (case, standards, candidate, step) in [
        (
            "another component",
            normal(),
            Candidate { expected: Some(Digest::of(DEFAULT)), ..candidate(UNRULY) },
            Step::Digest,
        ),
        (
            "no signature",
            Standards { require_signature: true, ..normal() },
            candidate(UNRULY),
            Step::Signature,
        ),
        (
            "garbage for a signature",
            normal(),
            Candidate { signature: Some(b"garbage".to_vec()), ..candidate(UNRULY) },
            Step::Signature,
        ),
        ("no component", normal(), candidate(b"(component)"), Step::Imports),
        (
            "an import that is not granted",
            Standards { terms: but_memory(), ..normal() },
            candidate(UNRULY),
            Step::Imports,
        ),
        ("another world", normal(), candidate(b"\0asm\x0d\0\x01\0"), Step::Compile),
        (
            "no time to compile",
            Standards { compile_budget: Duration::ZERO, ..normal() },
            candidate(UNRULY),
            Step::Compile,
        ),
        (
            "no room to start",
            Standards {
                terms: Limits { memory_bytes: 1 << 10, ..Limits::default() }.into(),
                ..normal()
            },
            candidate(UNRULY),
            Step::Describe,
        ),
        ("settings that it does not know", normal(), candidate(DEFAULT), Step::Settings),
        (
            "other judgements",
            Standards { golden: Some(golden()), ..normal() },
            candidate(UNRULY),
            Step::Golden,
        ),
    ] {
        let registry = registry(standards);
        let current = Current::new(unruly("nothing"));
        let (passage, refused) =
            brought_in(&registry, &current, candidate, || panic!("{case}: it was kept")).await;
        let refused = refused.unwrap_or_else(|| panic!("{case}: it came into force"));
        assert_eq!(refused.step(), step, "{case}: {refused:?}");
        assert_eq!(passage.failed.as_ref().map(|failed| failed.step), Some(step), "{case}");
        let before: Vec<_> = STEPS.into_iter().take_while(|before| *before != step).collect();
        assert_eq!(taken(&passage), before, "{case}");
        assert!(!passage.is_active(), "{case}");
        assert_eq!(current.snapshot().number(), 1, "{case}");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_does_not_judge() {
    let registry = registry(Standards::default());
    let current = Current::new(unruly("nothing"));
    let keep = || Err(io::Error::other("disk full"));
    let (passage, refused) = brought_in(&registry, &current, candidate(UNRULY), keep).await;
    assert!(matches!(refused, Some(Refused::NotKept { .. })), "{refused:?}");
    assert!(passage.failed.expect("a failure").why.contains("disk full"));
    assert_eq!(current.snapshot().number(), 1);
}

/// A compiler cannot be stopped: until it has ended, the next one has to wait.
#[tokio::test]
async fn a_compiler_that_takes_too_long_keeps_others_from_beginning() {
    let registry = registry(Standards { compile_budget: Duration::ZERO, ..Standards::default() });
    let vet = async || registry.vet(candidate(DEFAULT), &Progress::new("a test")).await;
    assert!(matches!(vet().await, Err(Refused::CompileBudget { .. })));
    // Whether it still compiles is a matter of time; it is one or the other.
    let again = vet().await;
    assert!(matches!(again, Err(Refused::CompileBudget { .. } | Refused::Compiling)), "{again:?}");
}

#[tokio::test]
async fn what_was_compiled_before_waits_for_no_compiler() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache_dir = Some(dir.path().join("cache"));
    let engine = Engine::new(EngineOptions { cache_dir, ..EngineOptions::default() });
    let engine = engine.expect("an engine");
    vetted(&Registry::new(engine.clone(), Standards::default()), UNRULY).await;
    let no_time = Standards { compile_budget: Duration::ZERO, ..Standards::default() };
    vetted(&Registry::new(engine, no_time), UNRULY).await;
}

#[tokio::test]
async fn a_rehearsal_changes_nothing() {
    let registry = registry(Standards::default());
    let current = Current::new(unruly("nothing"));
    let policy = vetted(&registry, UNRULY).await;
    let progress = Progress::new("a test");
    registry.rehearse(&current, &policy, &progress).expect("it would do");
    assert_eq!(taken(&progress.passage()), [Step::Settings, Step::Golden]);
    assert_eq!(current.snapshot().number(), 1);
}

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

#[tokio::test]
async fn decisions_on_record_are_a_golden_table() {
    let registry = registry(Standards::default());
    let policy = vetted(&registry, UNRULY).await;
    let everything = told(&policy, "ask-everything").expect("a generation");
    let decided = everything.decide(REFUSED, &who(), &Scene::new(facts()).share()).await;
    let decision = Decision {
        id: reprieve_core::ids::DecisionId("d-1".to_owned()),
        at: Default::default(),
        workspace: who().workspace,
        tenant: who().tenant,
        life: Default::default(),
        generation: decided.generation,
        experiment: None,
        call: decided.call,
        evidence: decided.evidence,
        memory_write: decided.memory_write,
        outcome: decided.outcome,
        cost: decided.cost,
        effect: None,
    };
    let golden = Golden::new(vec![Row::recorded(decision.clone()).expect("a row")]);
    let golden = golden.expect("a golden table");
    golden.replay(&everything).expect("it rules as it did");
    let other = golden.replay(&told(&policy, "nothing").expect("a generation"));
    let text = other.expect_err("it rules otherwise").to_string();
    assert!(text.contains("1 of 1 rows") && text.contains("\"d-1\": alive"), "{text}");

    let outcome = reprieve_core::decision::Outcome::FellBack {
        failure: "policy-trapped".to_owned(),
        detail: String::new(),
    };
    let refused = Row::recorded(Decision { outcome, ..decision }).expect_err("no row");
    assert!(refused.to_string().contains("it fell back"), "{refused}");
}

#[tokio::test]
async fn a_row_is_judged_by_its_own_settings_or_by_those_of_the_workspace_it_names() {
    let registry = registry(Standards::default());
    let policy = vetted(&registry, UNRULY).await;
    let book = SettingsBook {
        tenants: [(who().tenant, settings(json!({"do": "hurry"})).into())].into(),
        ..SettingsBook::default()
    };
    let next = Generation::new(1, policy, book, &Owners::new()).expect("a generation");
    for (about, verdict, holds) in [
        ("", "\"alive\"", true),
        ("settings = { do = \"hurry\" }", "{ recheck = 10 }", true),
        ("settings = { do = \"hurry\" }", "\"alive\"", false),
        ("tenant = \"acme\"\nworkspace = \"ws-1\"", "{ recheck = 10 }", true),
        ("tenant = \"other\"\nworkspace = \"ws-1\"", "\"alive\"", true),
        ("settings = { do = \"ask-two\" }\nnever_asked = [\"look\"]", "\"alive\"", true),
        ("settings = { do = \"ask-again\" }\nnever_asked = [\"look\"]", "\"alive\"", false),
    ] {
        let row = format!(
            "[[row]]\nname = \"a row\"\ntrigger = \"sweep\"\n{about}\nverdict = {verdict}\n\
             reason = \"as-told\"\n"
        );
        let table: Table = toml::from_str(&row).unwrap_or_else(|error| panic!("{row}: {error}"));
        let ruled = Golden::new(table.row).expect("a golden table").replay(&next);
        assert_eq!(ruled.is_ok(), holds, "{about}, {verdict}: {ruled:?}");
    }
}
