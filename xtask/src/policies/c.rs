//! Builds a policy that is written in C, with clang. The bindings beside it are what
//! `wit-bindgen c` makes of `wit/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use reprieve_componentize::{STACK_SIZE, TARGET};

/// Of the component that is committed. Others give other bytes.
const ON_RECORD: &str = "clang version 14.0.6";
const CLANG: &str = "clang";
/// Below the folder of the sources.
const BINDINGS: &str = "bindings";

/// A clang that can build for wasm32.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clang {
    /// Whether its bytes are those on record.
    pub(super) is_on_record: bool,
}

impl Clang {
    /// None where there is none, or none that can.
    pub(super) fn find() -> Option<Self> {
        let said = |arg| {
            let output = Command::new(CLANG).arg(arg).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let linker = Command::new("wasm-ld").arg("--version").output();
        let can = said("--print-targets")?.contains("wasm32")
            && linker.is_ok_and(|output| output.status.success());
        can.then_some(Self { is_on_record: said("--version")?.contains(ON_RECORD) })
    }

    /// The core module of the C files in `folder`.
    pub(super) fn build(self, folder: &Path, target_dir: &Path) -> Result<Vec<u8>> {
        fs::create_dir_all(target_dir)
            .with_context(|| format!("cannot make {}", target_dir.display()))?;
        let module = target_dir.join("c.wasm");
        let status = Command::new(CLANG)
            // So that no path gets into the bytes.
            .current_dir(folder)
            .args(["-target", TARGET, "-std=c17", "-Oz", "-Wall", "-Wextra", "-Werror"])
            .args(["-ffreestanding", "-fno-builtin", "-nostdlib", "-fno-ident", "-flto"])
            .args(["-I", "include", "-I", BINDINGS])
            .args([format!("-Wl,-z,{STACK_SIZE},--no-entry,--strip-all,--gc-sections")])
            .args(linked(folder, "", &["c"])?)
            .args(linked(folder, BINDINGS, &["c", "o"])?)
            .arg("-o")
            .arg(&module)
            .status()
            .context("cannot start clang")?;
        ensure!(status.success(), "cannot build {}: clang ended with {status}", folder.display());
        super::read(&module)
    }
}

/// What is to be compiled or linked of a folder below, by name.
fn linked(folder: &Path, below: &str, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let from = folder.join(below);
    let mut linked = Vec::new();
    for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = Path::new(below).join(entry?.file_name());
        if path.extension().is_some_and(|found| extensions.iter().any(|known| found == *known)) {
            linked.push(path);
        }
    }
    linked.sort();
    Ok(linked)
}
