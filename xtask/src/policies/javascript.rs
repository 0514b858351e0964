//! The policy that is written in JavaScript. It carries a JavaScript engine, and
//! what builds it gives other bytes each time; so it is built on demand, and what
//! is checked is that it was built of the source that is committed.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{FOLDER, SUMS, read, sum};

/// With the version, since the engine comes with it.
const BUILDER: &str = "componentize-qjs@0.4.5";
/// Below `FOLDER`.
const SOURCE: &str = "examples/javascript/policy.js";
const COMPONENT: &str = "examples/second-look-javascript.wasm";
/// The sums of both, as of the last build, lie beside the source.
const SUMS_FOLDER: &str = "examples/javascript";

pub(super) fn build(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    let status = Command::new("npx")
        .current_dir(root)
        .args(["--yes", "--package", BUILDER, "componentize-qjs"])
        .args(["--wit", "wit", "--world", "policy", "--stub-wasi", "--sync", "--opt-size"])
        .arg("--js")
        .arg(folder.join(SOURCE))
        .arg("--output")
        .arg(folder.join(COMPONENT))
        .status()
        .context("cannot start npx; it comes with Node.js")?;
    ensure!(status.success(), "cannot build {COMPONENT}: npx ended with {status}");
    let sums_path = folder.join(SUMS_FOLDER).join(SUMS);
    fs::write(&sums_path, sums(&folder)?)
        .with_context(|| format!("cannot write {}", sums_path.display()))
}

pub(super) fn check(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    let on_record = fs::read_to_string(folder.join(SUMS_FOLDER).join(SUMS)).unwrap_or_default();
    ensure!(
        on_record == sums(&folder)?,
        "{COMPONENT} was not built of {SOURCE} as it is; run `cargo xtask policies --javascript` and commit"
    );
    Ok(())
}

/// Named as seen from where they lie.
fn sums(folder: &Path) -> Result<String> {
    let component = sum(&read(&folder.join(COMPONENT))?, "../second-look-javascript.wasm");
    Ok(component + &sum(&read(&folder.join(SOURCE))?, "policy.js"))
}
