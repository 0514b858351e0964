//! What the tests need of Python: the official A2A SDKs, one virtual environment
//! for each generation, and Schemathesis, which tries APIs by their documents.
//!
//! What is there already, from the same requirements, is not touched: a second
//! run needs no network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::{root, say};

/// Name of the environment, and what is to be in it.
const VENVS: [(&str, &str); 3] = [
    ("v1", "tests/a2a/requirements-v1.txt"),
    ("v03", "tests/a2a/requirements-v03.txt"),
    ("schemathesis", "tests/openapi/requirements.txt"),
];

/// Written last into a finished environment: the digest of its requirements.
const STAMP: &str = "reprieve-requirements.sha256";

/// The folder that holds the environments, by name.
pub(crate) fn ensure_venvs() -> anyhow::Result<PathBuf> {
    let folder = target_dir().join("python");
    for (name, requirements) in VENVS {
        ensure_venv(&folder.join(name), &root().join(requirements))
            .with_context(|| format!("cannot set up the Python environment for {requirements}"))?;
    }
    Ok(folder)
}

fn ensure_venv(venv: &Path, requirements: &Path) -> anyhow::Result<()> {
    let wanted = fs::read(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let wanted = format!("{:x}", Sha256::digest(wanted));
    let stamp = venv.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    say(&format!("setting up {}", venv.display()));
    // `--clear`: half an environment, or one of other requirements, is no help.
    run(
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv),
        "install Python 3.10 or newer with venv (Debian: apt-get install python3-venv)",
    )?;
    run(
        Command::new(venv.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(requirements),
        "this needs the Python package index once: check the network, then run it again",
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

fn run(command: &mut Command, remedy: &str) -> anyhow::Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{shown} ended with {status}; {remedy}"),
        Err(error) => bail!("cannot run {shown}: {error}; {remedy}"),
    }
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of a stamped environment and its requirements.
    fn stamped(dir: &Path, text: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        let (venv, requirements) = (dir.join("venv"), dir.join("requirements.txt"));
        fs::create_dir_all(&venv)?;
        fs::write(&requirements, text)?;
        fs::write(venv.join(STAMP), format!("{:x}", Sha256::digest(text)))?;
        Ok((venv, requirements))
    }

    #[test]
    fn an_environment_of_the_same_requirements_is_left_alone() -> anyhow::Result<()> {
        let dir = std::env::temp_dir().join(format!("reprieve-xtask-{}", std::process::id()));
        let (venv, requirements) = stamped(&dir, "a2a-sdk==1.3.0\n")?;
        let kept = venv.join("kept");
        fs::write(&kept, "")?;
        let result = ensure_venv(&venv, &requirements);
        let is_kept = kept.exists();
        fs::remove_dir_all(&dir)?;
        assert!(result.is_ok(), "{result:?}");
        assert!(is_kept, "it was cleared");
        Ok(())
    }

    #[test]
    fn what_cannot_be_run_is_named_with_its_remedy() {
        let error = run(&mut Command::new("no-such-python"), "install it").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no-such-python") && text.ends_with("; install it"), "{text}");
    }

    #[test]
    fn every_requirement_is_pinned() -> anyhow::Result<()> {
        for (_, requirements) in VENVS {
            for line in fs::read_to_string(root().join(requirements))?.lines() {
                assert!(line.contains("=="), "{requirements}: {line}");
            }
        }
        Ok(())
    }
}
