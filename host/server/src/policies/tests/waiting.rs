//! Who waits for whom, where it shows.

use super::*;
use crate::logged::Logged;

/// A load that is about to compile, and does so for a while.
async fn load_at_the_compiler(
    policies: &Policies,
) -> tokio::task::JoinHandle<Result<Checked, PoliciesFailure>> {
    let policies_too = policies.clone();
    let load = tokio::spawn(async move { policies_too.load(uploaded(UNRULY), &somebody()).await });
    let is_at_the_compiler = |policies: &Policies| {
        let status = policies.status();
        status.requested.is_some_and(|wish| wish.component == Some(Digest::of(UNRULY)))
            && status.passage.is_some_and(|passage| {
                passage.taken.last().is_some_and(|taken| taken.step == Step::Imports)
            })
    };
    while !is_at_the_compiler(policies) {
        tokio::task::yield_now().await;
    }
    load
}

#[tokio::test]
async fn who_rolls_back_waits_for_nobodys_compiler() {
    let home = Home::new();
    let policies = home.default().await;
    let component = policies.load(built_in("count-debounce"), &somebody()).await.unwrap().component;
    policies.activate(component, &somebody(), None).await.unwrap();
    let load = load_at_the_compiler(&policies).await;
    let done = policies.roll_back(&somebody(), None).await.unwrap();
    assert_eq!(in_force(&policies), "default");
    let steps: Vec<_> = done.passage.taken.iter().map(|taken| taken.step).collect();
    assert!(!steps.contains(&Step::Compile), "it stood by: {steps:?}");
    load.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_activation_that_must_compile_anew_waits_for_the_compiler() {
    let home = Home::new();
    let policies = home.default().await;
    // The last of them is in force, and the one before stands by.
    for name in ["count-debounce", "trust-the-probe", "default"] {
        let loaded = policies.load(built_in(name), &somebody()).await.unwrap().component;
        policies.activate(loaded, &somebody(), None).await.unwrap();
    }
    let component = digest("count-debounce");
    fs::remove_dir_all(home.dir.path().join("state/cache")).unwrap();

    let load = load_at_the_compiler(&policies).await;
    let done = policies.activate(component, &somebody(), None).await;
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(in_force(&policies), "count-debounce");
    load.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_watched_policy_that_waits_because_somebody_was_faster_is_named_in_the_log() {
    let home = Home::new();
    let policies = home.default().await;
    let watched = policies.load(built_in("count-debounce"), &somebody()).await.unwrap().component;
    let before = policies.revision();
    let faster = policies.load(built_in("trust-the-probe"), &somebody()).await.unwrap().component;
    policies.activate(faster, &somebody(), None).await.unwrap();
    let watch = Actor { by: "watch".to_owned(), why: "policy.wasm changed".to_owned() };
    let (log, _logging) = Logged::begin();
    policies.put_watched_in_force(watched, &watch, before).await;
    assert_eq!(in_force(&policies), "trust-the-probe", "what people do stands");
    let told = log.text();
    for part in
        ["a watched policy waits", &watched.to_string(), "policy.wasm changed", "policy activate"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}
