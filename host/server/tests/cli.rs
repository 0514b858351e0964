//! The command line as people and scripts meet it: exit codes, messages, pipes.
//! Starts the real binary; nothing here needs a running host.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so by panicking")]

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Output, Stdio},
};

fn reprieve(arguments: &[&str], state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reprieve"));
    command.args(arguments).env_clear().env("REPRIEVE_STATE_DIR", state).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], state: &Path) -> (i32, String, String) {
    let Output { status, stdout, stderr } = reprieve(arguments, state).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A configuration in a folder of its own.
fn configuration(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reprieve.toml");
    std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap().to_owned();
    (folder, name)
}

#[test]
fn a_wrong_question_exits_with_2_and_a_no_with_1() {
    let state = tempfile::tempdir().unwrap();
    let (folder, bad) = configuration("[proxy]\nidle_timeout = 30\n");
    let (_folder, free_port) = configuration("[admin]\nlisten = \"127.0.0.1:1\"\n");
    std::fs::write(state.path().join("admin.token"), "a-token-of-an-operator").unwrap();
    let not_wasm = folder.path().join("not.wasm");
    std::fs::write(&not_wasm, "plain text").unwrap();
    let not_wasm = not_wasm.to_str().unwrap();

    for (case, arguments, code, said) in [
        ("no such subcommand", &["resart"][..], 2, "unrecognized subcommand"),
        ("a name that is none", &["restart", "../x"][..], 2, "1 to 63 characters"),
        ("a missing file", &["check", "--config", "nowhere.toml"][..], 2, "--config"),
        ("a bad value", &["check", "--config", &bad][..], 2, "proxy.idle_timeout"),
        ("a bad value, to run", &["run", "--config", &bad][..], 2, "proxy.idle_timeout"),
        ("a missing policy", &["check", "--policy", "nowhere.wasm"][..], 2, "nowhere.wasm"),
        ("a policy that is none", &["check", "--policy", not_wasm][..], 2, "not.wasm"),
        ("no decision log", &["explain", "last"][..], 2, "--state-dir"),
        (
            "no host",
            &["restart", "alpha", "--config", &free_port][..],
            1,
            "is `reprieve run` running",
        ),
    ] {
        let (exit, _, error) = run(arguments, state.path());
        assert_eq!(exit, code, "{case}: {error}");
        assert!(error.contains(said), "{case}: {error:?} lacks {said:?}");
        assert!(!error.contains('\u{1b}'), "{case}: colour where no terminal is");
    }
}

#[test]
fn the_embedded_configuration_would_run() {
    let state = tempfile::tempdir().unwrap();
    let (exit, told, error) = run(&["check"], state.path());
    assert_eq!(exit, 0, "{error}");
    assert!(told.contains("would run") && told.contains("alpha of tenant default"), "{told}");

    let (exit, told, _) = run(&["check", "--json"], state.path());
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((exit, &report["ok"]), (0, &true.into()));
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "check writes nothing");
}

#[test]
fn a_setting_that_the_policy_refuses_is_named_with_its_line_and_range() {
    let state = tempfile::tempdir().unwrap();
    for (case, text, parts) in [
        (
            "the fleet's",
            "[policy.settings]\nsettle = \"2h\"\n",
            &["reprieve.toml:2:1: policy.settings.settle", "2h", "1h"][..],
        ),
        (
            "a tenant's",
            "[workspaces.a]\ntenant = \"t\"\ncommand = [\"x\"]\n[tenants.t.settings]\nstettle = \"1s\"\n",
            &["reprieve.toml:5:1: tenants.t.settings.stettle"][..],
        ),
        (
            "a workspace's",
            "[workspaces.a]\ncommand = [\"x\"]\nsettings = { restart_budget = \"many\" }\n",
            &["reprieve.toml:3:14: workspaces.a.settings.restart_budget", "1000"][..],
        ),
    ] {
        let (_folder, file) = configuration(text);
        let (exit, _, error) = run(&["check", "--config", &file], state.path());
        assert_eq!(exit, 2, "{case}: {error}");
        for part in parts {
            assert!(error.contains(part), "{case}: {error:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let state = tempfile::tempdir().unwrap();
    let mut child = reprieve(&["completions", "zsh"], state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before anything is read.
    drop(child.stdout.take());
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!((child.wait().unwrap().code(), error.as_str()), (Some(0), ""));
}

#[test]
fn shells_editors_and_man_get_their_files() {
    let state = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["completions", "bash"][..], "complete -F _reprieve"),
        (&["man"][..], ".TH reprieve"),
        (&["schema"][..], "\"$schema\""),
        (&["--help"][..], "Exit codes"),
        (&["explain", "--help"][..], "reprieve explain last"),
    ] {
        let (exit, told, error) = run(arguments, state.path());
        assert_eq!(exit, 0, "{arguments:?}: {error}");
        assert!(told.contains(part), "{arguments:?} lacks {part:?}");
    }
}
