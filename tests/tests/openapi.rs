//! The admin API against its own document: Schemathesis sends what fits it and
//! what does not, and looks whether every answer is one that the document names.
//!
//! `cargo xtask test` sets up Python and names its folder in `REPRIEVE_VENVS`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{path::Path, time::Duration};

use reprieve_tests::{Program, venvs};
use tokio::{process::Command, time::timeout};

/// For a run that hangs. Usually it takes less than a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// Of each route, and the same ones each time: they follow from the document.
const EXAMPLES: &str = "20";

#[tokio::test]
async fn no_request_brings_the_admin_api_down_or_to_say_what_it_does_not_document() {
    let Some(venvs) = venvs() else { return };
    let program = Program::new(
        "admin.requests_per_second = 100000\nadmin.failures_per_minute = 100000\n\
         [workspaces.alpha]\ncommand = [\"{reprieve}\", \"agent\"]\nstop_grace = \"1s\"\n",
    );
    let host = program.start();
    program.until_up().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi");
    let run = Command::new(venvs.join("schemathesis/bin/st"))
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .args(["run", "--max-examples", EXAMPLES])
        .arg("--generation-deterministic")
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", program.admin_token().trim()))
        .arg(format!("{}/admin/v1/openapi.json", program.admin()))
        // It leaves files where it runs.
        .current_dir(program.state())
        .env("SCHEMATHESIS_HOOKS", folder.join("hooks.py"))
        .kill_on_drop(true)
        .output();
    let run = timeout(PATIENCE, run).await.expect("it ends").unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}\n{}", String::from_utf8_lossy(&run.stderr));
    for route in ["/admin/v1/workspaces/{workspace}/restart", "/admin/v1/policies/upload"] {
        assert!(told.contains(route), "it tried all: {told}");
    }
    host.end().await;
}
