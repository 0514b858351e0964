//! Policies of a host over several starts, in a folder of its own.

mod waiting;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use reprieve_core::{
    ids::Digest,
    ports::Clock,
    settings::{Settings, SettingsBook},
    time::UnixMillis,
};
use reprieve_runtime::{Generation, Owners, registry::Step};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::{
    PolicyConfig, Watch,
    policy::{BUILT_IN, PolicySource},
};

const UNRULY: &[u8] = include_bytes!("../../../../policies/unruly.wasm");

struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixMillis {
        UnixMillis(43_200_000)
    }
}

/// A state folder and a folder of files, for hosts that come and go.
struct Home {
    dir: TempDir,
    config: PolicyConfig,
    fleet: Settings,
    pinned: BTreeSet<Digest>,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (fleet, pinned) = (Settings::new(), BTreeSet::new());
        Self { dir, config: PolicyConfig::default(), fleet, pinned }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    async fn boot(&self, policy: &Path) -> anyhow::Result<Policies> {
        let book = SettingsBook { fleet: self.fleet.clone().into(), ..SettingsBook::default() };
        let first = move |policy| Generation::new(1, policy, book.clone(), &Owners::new());
        let state_dir = self.dir.path().join("state");
        boot(BootOptions {
            config: &self.config,
            source: PolicySource::named(policy),
            cache_dir: state_dir.join("cache"),
            state_dir: &state_dir,
            clock: Arc::new(Noon),
            first: Arc::new(first),
            pinned: self.pinned.clone(),
        })
        .await
    }

    async fn default(&self) -> Policies {
        self.boot(Path::new("default")).await.unwrap()
    }
}

fn built_in(name: &str) -> Candidate {
    PolicySource::named(Path::new(name)).fetch().unwrap()
}

fn uploaded(bytes: &[u8]) -> Candidate {
    Candidate {
        source: "uploaded".to_owned(),
        bytes: bytes.into(),
        expected: None,
        signature: None,
        built_in: false,
    }
}

fn digest(name: &str) -> Digest {
    Digest::of(&built_in(name).bytes)
}

fn somebody() -> Actor {
    Actor { by: "somebody".to_owned(), why: "to try it".to_owned() }
}

fn in_force(policies: &Policies) -> String {
    policies.current().snapshot().policy().description().name.clone()
}

fn alerts(policies: &Policies) -> Vec<&'static str> {
    policies.alerts().iter().map(|alert| alert.code).collect()
}

fn failed_step(policies: &Policies) -> Option<Step> {
    policies.status().passage.unwrap().failed.map(|failed| failed.step)
}

#[tokio::test]
async fn a_policy_is_loaded_activated_and_rolled_back() {
    let home = Home::new();
    let policies = home.default().await;
    let component = policies.load(built_in("count-debounce"), &somebody()).await.unwrap().component;
    assert_eq!(in_force(&policies), "default", "loading changes nothing");
    let status = policies.status();
    assert_eq!(status.loaded.unwrap().component, component);
    assert_eq!(status.difference, None, "it waits, and that is no trouble");

    let done = policies.activate(component, &somebody(), None).await.unwrap();
    assert_eq!(done.before.map(|before| before.component), Some(digest("default")));
    assert_eq!((done.revision, done.generation), (policies.revision(), 2));
    let activation = done.activation;
    assert_eq!(in_force(&policies), "count-debounce");
    assert_eq!((activation.by.as_str(), activation.how), ("somebody", How::Activated));
    let status = policies.status();
    assert_eq!(status.active, Some(activation));
    assert_eq!(status.before.as_ref().map(|before| before.component), Some(digest("default")));
    let steps: Vec<_> = status.passage.unwrap().taken.iter().map(|taken| taken.step).collect();
    assert_eq!(steps, [Step::Settings, Step::Golden, Step::Activate], "it ran already");
    assert_eq!(done.passage.taken.len(), 3, "and who asked is told of each");

    let back = policies.roll_back(&somebody(), None).await.unwrap();
    assert_eq!((in_force(&policies).as_str(), back.activation.how), ("default", How::RolledBack));
    policies.roll_back(&somebody(), None).await.unwrap();
    assert_eq!(in_force(&policies), "count-debounce", "back and forth");
    assert_eq!(policies.status().activations.len(), 4);
}

#[tokio::test]
async fn what_an_experiment_tries_outlives_the_start_of_a_host_with_a_full_shelf() {
    let mut home = Home::new();
    let tried = home.default().await.load(built_in("count-debounce"), &somebody()).await;
    let tried = tried.unwrap().component;
    for nth in 0..2 * u8::try_from(shelf::MAX_KEPT).unwrap() {
        let newer = home.dir.path().join(format!("state/policies/{}.wasm", Digest::of(&[nth])));
        fs::write(newer, [nth]).unwrap();
    }
    home.pinned = [tried].into();
    let kept = home.default().await.0.shelf.kept().unwrap();
    assert!(kept.contains(&tried) && kept.len() == shelf::MAX_KEPT, "{kept:?}");
}

#[tokio::test]
async fn whatever_fails_what_judges_stays_and_the_status_says_why() {
    let mut home = Home::new();
    home.fleet = json!({"settle": "90s"}).as_object().unwrap().clone();
    let policies = home.default().await;
    let cut_off = &built_in("count-debounce").bytes[..1_000];
    for (case, candidate, step) in [
        ("a file that is cut off", uploaded(cut_off), Step::Imports),
        ("text", uploaded(b"settle = 60"), Step::Imports),
        (
            "another component than was meant",
            Candidate { expected: Some(digest("default")), ..built_in("count-debounce") },
            Step::Digest,
        ),
        ("a policy without that setting", uploaded(UNRULY), Step::Settings),
    ] {
        policies.load(candidate, &somebody()).await.expect_err(case);
        assert_eq!(in_force(&policies), "default", "{case}");
        let status = policies.status();
        assert_eq!(status.passage.unwrap().failed.unwrap().step, step, "{case}");
        assert!(status.difference.is_some(), "{case}");
        assert_eq!(alerts(&policies), ["policy-not-as-configured"], "{case}");
        assert_eq!((status.loaded, status.revision), (None, 1), "{case}");
    }
    let unknown = policies.activate(Digest::of(b"nothing"), &somebody(), None).await;
    assert!(matches!(unknown, Err(PoliciesFailure::Unknown { .. })));
    let nothing = policies.roll_back(&somebody(), None).await;
    assert!(matches!(nothing, Err(PoliciesFailure::NothingBefore)));
}

#[tokio::test]
async fn no_more_wait_than_there_are_places_for() {
    let home = Home::new();
    let policies = home.default().await;
    let full = policies.0.queues.fill();
    let loading = policies.load(uploaded(UNRULY), &somebody()).await.map(drop);
    let named = policies.load_named("default", &somebody()).await.map(drop);
    let activating = policies.activate(digest("default"), &somebody(), None).await.map(drop);
    let back = policies.roll_back(&somebody(), None).await.map(drop);
    for (case, refused) in
        [("load", loading), ("named", named), ("activate", activating), ("back", back)]
    {
        let crowded = matches!(refused, Err(PoliciesFailure::Crowded { .. }));
        assert!(crowded, "{case}: {refused:?}");
    }
    drop(full);
    policies.load_named("default", &somebody()).await.unwrap();
}

#[tokio::test]
async fn what_judges_already_keeps_what_is_known_of_its_conduct() {
    let home = Home::new();
    let policies = home.default().await;
    let judging = Arc::clone(policies.current().snapshot().policy());
    policies.activate(digest("default"), &somebody(), None).await.unwrap();
    assert!(Arc::ptr_eq(&judging, policies.current().snapshot().policy()));
}

#[tokio::test]
async fn what_people_try_hides_no_refusal_of_the_configured_policy() {
    let home = Home::new();
    let file = home.file("policy.wasm", &built_in("default").bytes);
    let policies = home.boot(&file).await.unwrap();
    home.file("policy.wasm", b"oh no");
    policies.look_at_sources(Watch::Check).await;
    assert_eq!(alerts(&policies), ["policy-not-as-configured"]);
    policies.load(built_in("count-debounce"), &somebody()).await.unwrap();
    assert_eq!(alerts(&policies), ["policy-not-as-configured"], "somebody only tried another");
    policies.load(uploaded(b"text"), &somebody()).await.unwrap_err();
    home.file("policy.wasm", &built_in("trust-the-probe").bytes);
    policies.look_at_sources(Watch::Check).await;
    let difference = policies.status().difference.unwrap();
    assert_eq!(difference.wanted, "uploaded", "the file is mended, the upload is not");
    policies.activate(digest("default"), &somebody(), None).await.unwrap();
    assert!(alerts(&policies).is_empty(), "what judges is wanted");
}

#[tokio::test]
async fn where_there_was_only_no_room_nothing_was_refused() {
    let home = Home::new();
    let policies = home.default().await;
    let way = policies.0.begins(None, "uploaded", &somebody(), Origin::People);
    policies.0.refused(&way, &Refused::Compiling);
    assert!(alerts(&policies).is_empty());
    let failed = policies.status().passage.unwrap().failed;
    assert!(failed.is_some(), "whoever looks sees it all the same");
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_compiled() {
    let mut home = Home::new();
    home.fleet = json!({"settle": "90s"}).as_object().unwrap().clone();
    let policies = home.default().await;
    let compiled = || {
        let entries = fs::read_dir(home.dir.path().join("state/cache")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let before = compiled();
    assert_eq!(before.len(), 1);
    policies.load(uploaded(UNRULY), &somebody()).await.unwrap_err();
    assert_eq!(compiled(), before);
}

#[tokio::test]
async fn whatever_is_kept_is_known_by_its_name() {
    let home = Home::new();
    let policies = home.default().await;
    for name in ["count-debounce", "trust-the-probe"] {
        policies.load(built_in(name), &somebody()).await.unwrap();
    }
    drop(policies);
    let kept = home.default().await.status().kept;
    assert_eq!(kept.len(), 3);
    for Kept { component, policy } in kept {
        let name = BUILT_IN.iter().find(|(name, _)| digest(name) == component).unwrap().0;
        assert!(policy.unwrap().starts_with(&format!("{name} ")), "{name}");
    }
}

#[tokio::test]
async fn two_people_do_not_overwrite_each_other() {
    let home = Home::new();
    let policies = home.default().await;
    let component = policies.load(built_in("count-debounce"), &somebody()).await.unwrap().component;
    let seen = policies.revision();
    policies.activate(component, &somebody(), Some(seen)).await.unwrap();
    let late = policies.activate(component, &somebody(), Some(seen)).await;
    assert!(matches!(late, Err(PoliciesFailure::Changed { found: 2, expected: 1 })), "{late:?}");
    let late = policies.roll_back(&somebody(), Some(seen)).await;
    assert!(matches!(late, Err(PoliciesFailure::Changed { .. })), "{late:?}");
}

#[tokio::test]
async fn what_people_activated_judges_after_a_restart_until_the_configuration_changes() {
    let home = Home::new();
    let file = home.file("policy.wasm", &built_in("default").bytes);
    let policies = home.boot(&file).await.unwrap();
    let component = policies.load(built_in("count-debounce"), &somebody()).await.unwrap().component;
    policies.activate(component, &somebody(), None).await.unwrap();
    drop(policies);

    let policies = home.boot(&file).await.unwrap();
    assert_eq!(in_force(&policies), "count-debounce");
    assert_eq!(policies.status().activations.len(), 2, "a restart is no activation");
    assert!(alerts(&policies).is_empty());
    drop(policies);

    home.file("policy.wasm", &built_in("trust-the-probe").bytes);
    let policies = home.boot(&file).await.unwrap();
    assert_eq!(in_force(&policies), "trust-the-probe");
    assert_eq!(policies.status().before.unwrap().component, digest("count-debounce"));
}

#[tokio::test]
async fn a_host_whose_policy_is_bad_starts_with_the_last_good_one_and_says_so() {
    let home = Home::new();
    let file = home.file("policy.wasm", &built_in("default").bytes);
    drop(home.boot(&file).await.unwrap());
    for (case, bytes) in [("text", Some(&b"oh no"[..])), ("empty", Some(&b""[..])), ("gone", None)]
    {
        match bytes {
            Some(bytes) => drop(home.file("policy.wasm", bytes)),
            None => fs::remove_file(&file).unwrap(),
        }
        let policies = home.boot(&file).await.unwrap();
        assert_eq!(in_force(&policies), "default", "{case}");
        assert_eq!(alerts(&policies), ["policy-not-as-configured"], "{case}");
        let difference = policies.status().difference.expect(case);
        assert!(difference.wanted.ends_with("policy.wasm"), "{case}: {difference:?}");
    }
    // Mended, it is taken again.
    home.file("policy.wasm", &built_in("count-debounce").bytes);
    let policies = home.boot(&file).await.unwrap();
    assert_eq!((in_force(&policies).as_str(), alerts(&policies).len()), ("count-debounce", 0));
}

#[tokio::test]
async fn a_host_that_never_had_a_good_policy_does_not_start() {
    let home = Home::new();
    let file = home.file("policy.wasm", b"oh no");
    let error = format!("{:#}", home.boot(&file).await.unwrap_err());
    assert!(error.contains("policy.wasm") && error.contains("not WebAssembly"), "{error}");
}

#[tokio::test]
async fn a_kept_component_that_was_changed_is_not_trusted() {
    let home = Home::new();
    let policies = home.default().await;
    let component = policies.load(uploaded(UNRULY), &somebody()).await.unwrap().component;
    let kept = home.dir.path().join(format!("state/policies/{component}.wasm"));
    // It is loaded, and runs; so let another one take its place first.
    policies.load(built_in("count-debounce"), &somebody()).await.unwrap();
    fs::write(&kept, built_in("trust-the-probe").bytes).unwrap();
    let refused = policies.activate(component, &somebody(), None).await;
    assert!(matches!(refused, Err(PoliciesFailure::Refused(Refused::OtherDigest { .. }))));
    assert_eq!(
        (in_force(&policies).as_str(), failed_step(&policies)),
        ("default", Some(Step::Digest))
    );
}

#[tokio::test]
async fn a_policy_must_rule_as_the_golden_table_says() {
    let mut home = Home::new();
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy/tests/judgements.toml");
    home.config.golden = Some(table);
    let policies = home.default().await;
    let refused = policies.load(built_in("trust-the-probe"), &somebody()).await.unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, PoliciesFailure::Refused(Refused::Golden(_))), "{text}");
    assert!(text.contains("of the golden table"), "{text}");
    assert_eq!(failed_step(&policies), Some(Step::Golden));
    assert!(policies.load(built_in("default"), &somebody()).await.is_ok());
}

#[tokio::test]
async fn only_signed_components_come_in_where_the_operator_wants_that() {
    let mut home = Home::new();
    home.config.require_signature = true;
    home.config.keys = vec!["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".to_owned()];
    let policies = home.default().await;
    let refused = policies.load(uploaded(UNRULY), &somebody()).await.unwrap_err();
    assert!(matches!(refused, PoliciesFailure::Refused(Refused::Signature(_))), "{refused:?}");
    assert_eq!(failed_step(&policies), Some(Step::Signature));
    // What the program itself brings needs nobody to vouch for it, from the shelf neither.
    let component = policies.load(built_in("count-debounce"), &somebody()).await.unwrap().component;
    policies.activate(component, &somebody(), None).await.unwrap();
    policies.roll_back(&somebody(), None).await.unwrap();
    assert_eq!(in_force(&policies), "default");
}

#[tokio::test]
async fn a_change_of_a_watched_source_is_followed_once() {
    for (watch, expected) in [(Watch::Check, "default"), (Watch::Activate, "count-debounce")] {
        let mut home = Home::new();
        let folder = home.dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        home.config.folder = Some(folder.clone());
        let file = home.file("policy.wasm", &built_in("default").bytes);
        let policies = home.boot(&file).await.unwrap();
        policies.look_at_sources(watch).await;
        assert_eq!(policies.revision(), 1, "{watch:?}: nothing has changed");

        fs::write(folder.join("new.wasm"), built_in("count-debounce").bytes).unwrap();
        policies.look_at_sources(watch).await;
        assert_eq!(in_force(&policies), expected, "{watch:?}");
        assert_eq!(policies.status().loaded.is_some(), watch == Watch::Check, "{watch:?}");
        if watch == Watch::Activate {
            // What people do after it is not undone, by a restart neither.
            policies.roll_back(&somebody(), None).await.unwrap();
            policies.look_at_sources(watch).await;
            drop(policies);
            let policies = home.boot(&file).await.unwrap();
            policies.look_at_sources(watch).await;
            assert_eq!(in_force(&policies), "default");
            // The configured file changes, too.
            home.file("policy.wasm", &built_in("trust-the-probe").bytes);
            policies.look_at_sources(watch).await;
            assert_eq!(in_force(&policies), "trust-the-probe");
        }
    }
}

#[tokio::test]
async fn components_of_the_folder_are_loaded_by_name() {
    let mut home = Home::new();
    let folder = home.dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("v2.wasm"), built_in("count-debounce").bytes).unwrap();
    home.config.folder = Some(folder.clone());
    let policies = home.default().await;
    for name in ["v2", "v2.wasm"] {
        let component = policies.load_named(name, &somebody()).await.unwrap().component;
        assert_eq!(component, digest("count-debounce"), "{name}");
    }
    let component = policies.load_named("trust-the-probe", &somebody()).await.unwrap().component;
    assert_eq!(component, digest("trust-the-probe"), "or of those that the program carries");
    let missing = policies.load_named("../v2", &somebody()).await.unwrap_err().to_string();
    assert!(missing.contains("there are: v2.wasm, default"), "{missing}");
    assert!(alerts(&policies).is_empty(), "a slip is no wish");
    symlink("nowhere", folder.join("gone.wasm")).unwrap();
    let refused = policies.load_named("gone", &somebody()).await.unwrap_err();
    assert!(matches!(refused, PoliciesFailure::Refused(Refused::Unreadable { .. })));
    assert_eq!(failed_step(&policies), Some(Step::Fetch), "it was wanted, and is not there");
}

#[test]
fn every_built_in_policy_is_known_by_its_digest() {
    for (name, bytes) in BUILT_IN {
        assert_eq!(digest(name), Digest::of(bytes));
    }
}
