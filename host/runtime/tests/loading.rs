//! What is no policy is refused, each kind in its own words; what a policy
//! refuses never becomes part of a generation.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::{error::Error, fs, sync::Arc};

use reprieve_core::{ids::Digest, settings::SettingsBook, time::Millis};
use reprieve_runtime::{
    Engine, EngineOptions, Generation, Limits, LoadFailure, Owners, SettingsRefused,
};
use serde_json::json;
use support::{DEFAULT, ENGINE, UNRULY, settings, told, who};

/// An error and its causes, as the command line prints them.
fn whole(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", whole(cause)),
        None => error.to_string(),
    }
}

/// A component of these sections, each shorter than 128 bytes.
fn component(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for (id, content) in sections {
        bytes.extend([*id, u8::try_from(content.len()).expect("a short section")]);
        bytes.extend(content);
    }
    bytes
}

/// A component that imports an empty instance of that name.
fn importing(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    let import = [&[1, 0, length], name.as_bytes(), &[5, 0]].concat();
    component(&[(7, vec![1, 0x42, 0]), (10, import)])
}

/// A component that exports an empty instance of that name.
fn exporting(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    let export = [&[1, 0, length], name.as_bytes(), &[5, 0, 0]].concat();
    component(&[(5, vec![1, 1, 0]), (11, export)])
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut found = 0;
    for start in 0..bytes.len() - from.len() {
        if bytes[start..].starts_with(from) {
            bytes[start..start + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "{:?} does not occur", String::from_utf8_lossy(from));
    bytes
}

#[test]
fn what_is_no_policy_is_refused_in_its_own_words() {
    let mut garbled = DEFAULT.to_vec();
    garbled[200..][..64].fill(0xff);
    for (case, bytes, expected) in [
        ("empty", Vec::new(), "the policy file is empty"),
        (
            "text",
            b"settle = \"60s\"\n".to_vec(),
            "not WebAssembly: it begins with \"settle = \\\"60",
        ),
        ("cut off", DEFAULT[..DEFAULT.len() - 100].to_vec(), "is cut off: it ends after"),
        ("garbled", garbled, "is damaged"),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "wasm-tools component new"),
        ("another world", component(&[]), "does not export reprieve:policy/guard@0.1.0"),
        ("a later contract", exporting("reprieve:policy/guard@0.2.0"), "does not export"),
        ("an empty guard", exporting("reprieve:policy/guard@0.1.0"), "another shape"),
        (
            "a clock of WASI",
            importing("wasi:clocks/monotonic-clock@0.2.0"),
            "imports wasi:clocks/monotonic-clock@0.2.0, which is WASI",
        ),
        (
            "a network",
            importing("acme:net/http"),
            "imports acme:net/http, which this host does not",
        ),
        (
            "a later import",
            importing("reprieve:policy/probe@0.2.0"),
            "imports reprieve:policy/probe@0.2.0",
        ),
        (
            "another record",
            replaced(DEFAULT, b"since-first", b"since-start"),
            "another shape of reprieve:policy@0.1.0",
        ),
        ("an oversized file", vec![0; (32 << 20) + 1], "33554432 are allowed"),
    ] {
        let text = match ENGINE.load(&bytes, Limits::default()) {
            Ok(policy) => panic!("{case} was taken: {policy:?}"),
            Err(failure) => whole(&failure),
        };
        assert!(text.contains(expected), "{case}: {text}");
    }
}

#[test]
fn a_policy_says_what_it_is() {
    let policy = ENGINE.load(DEFAULT, Limits::default()).expect("the default policy");
    assert_eq!(policy.digest(), Digest::of(DEFAULT));
    assert_eq!(policy.description().name, "default");
    assert!(policy.description().reasons.iter().any(|reason| reason.code == "settle-window"));
    assert!(policy.imports().iter().all(|import| import.starts_with("reprieve:policy/")));
    let defaults = policy.check_settings(&settings(json!({}))).expect("its defaults");
    assert_eq!(defaults.silence_limit, Some(Millis::from_secs(180)));
}

#[test]
fn settings_that_a_policy_refuses_name_their_layer_and_the_problem() {
    let policy = ENGINE.load(UNRULY, Limits::default()).expect("the unruly policy");
    let bad = || Arc::new(settings(json!({"do": "dance"})));
    let fleet = SettingsBook { fleet: bad(), ..SettingsBook::default() };
    let tenant =
        SettingsBook { tenants: [(who().tenant, bad())].into(), ..SettingsBook::default() };
    let workspace =
        SettingsBook { workspaces: [(who().workspace, bad())].into(), ..SettingsBook::default() };
    let owners: Owners = [(who().workspace, who().tenant)].into();
    for (book, owners, expected) in [
        (&fleet, &owners, "refuses the fleet's settings: do: is not a deed"),
        (&tenant, &owners, "refuses the settings of tenant acme: do: is not a deed"),
        (&workspace, &owners, "refuses the settings of workspace ws-1: do: is not a deed"),
        (&workspace, &Owners::new(), "nobody knows its tenant"),
    ] {
        let refused = Generation::new(1, Arc::clone(&policy), book.clone(), owners);
        let text = whole(&refused.expect_err(expected));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn settings_that_make_a_policy_misbehave_are_refused() {
    let policy = ENGINE.load(UNRULY, Limits::default()).expect("the unruly policy");
    for (deed, expected) in [
        ("loop-on-open", "did not answer within 10ms"),
        ("trap-on-open", "the policy trapped"),
        ("ask-on-open", "asked for evidence while it was not judging"),
        ("nervous", "a silence of 10 ms, at least 1 s is allowed"),
    ] {
        let text = whole(&told(&policy, deed).expect_err(deed));
        assert!(text.contains(expected), "{deed}: {text}");
        assert!(told(&policy, "nothing").is_ok(), "after {deed}");
    }
}

#[test]
fn a_policy_that_complains_without_end_is_cut_short() {
    let policy = ENGINE.load(UNRULY, Limits::default()).expect("the unruly policy");
    match policy.check_settings(&settings(json!({"do": "complain"}))) {
        Err(SettingsRefused::Problems(problems)) => {
            assert_eq!(problems.len(), 64);
            assert!(problems.iter().all(|problem| problem.message.len() <= 1_024));
        }
        Err(SettingsRefused::Failed(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_compiled_policy_is_found_again_and_a_damaged_one_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache_dir = Some(dir.path().join("cache"));
    let load = || {
        let options = EngineOptions { cache_dir: cache_dir.clone(), ..EngineOptions::default() };
        let engine = Engine::new(options).expect("an engine");
        engine.load(DEFAULT, Limits::default()).map(|policy| policy.digest())
    };
    let entries = || {
        let entries = fs::read_dir(dir.path().join("cache")).expect("the cache");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    assert!(load().is_ok());
    let [entry] = &entries()[..] else { panic!("{:?}", entries()) };
    let good = fs::read(entry).expect("the entry");
    assert!(load().is_ok(), "from the cache");
    fs::write(entry, &good[..good.len() / 2]).expect("written");
    assert!(load().is_ok(), "with half an entry");
    assert_eq!(fs::read(entry).expect("the entry"), good, "it was compiled anew");
}

#[test]
fn policies_are_counted_and_make_room_when_they_go() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache_dir = Some(dir.path().join("cache"));
    let options = EngineOptions { cache_dir, ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine");
    let load = || engine.load(DEFAULT, Limits::default());
    let mut policies: Vec<_> = (0..16).map(|_| load().expect("a place")).collect();
    assert!(matches!(load(), Err(LoadFailure::TooMany { limit: 16 })));
    policies.pop();
    assert!(load().is_ok());
}

#[test]
fn a_machine_without_address_space_to_spare_runs_policies_all_the_same() {
    let options = EngineOptions { pooling: false, ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine");
    assert!(!engine.is_pooling());
    assert!(engine.load(DEFAULT, Limits::default()).is_ok());
    // More than any machine has.
    let options = EngineOptions { max_memory_bytes: 1 << 44, ..EngineOptions::default() };
    let engine = Engine::new(options).expect("an engine");
    assert!(!engine.is_pooling());
}
