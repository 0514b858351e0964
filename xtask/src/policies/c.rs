//! Builds a policy that is written in C, with clang and bindings made from `wit/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use reprieve_componentize::{STACK_SIZE, TARGET};
use wit_bindgen_core::{Files, wit_parser::Resolve};

/// Of the component that is committed. Others give other bytes.
const ON_RECORD: &str = "clang version 14.0.6";
const CLANG: &str = "clang";

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
    pub(super) fn build(self, root: &Path, folder: &Path, target_dir: &Path) -> Result<Vec<u8>> {
        let made = target_dir.join("c");
        fs::create_dir_all(&made).with_context(|| format!("cannot make {}", made.display()))?;
        let bindings = bindings(&root.join("wit"), &made)?;
        let module = made.join("module.wasm");
        let status = Command::new(CLANG)
            // So that no path gets into the bytes.
            .current_dir(folder)
            .args(["-target", TARGET, "-std=c17", "-Oz", "-Wall", "-Wextra", "-Werror"])
            .args(["-ffreestanding", "-fno-builtin", "-nostdlib", "-fno-ident", "-flto"])
            .args(["-I", "include", "-I"])
            .arg(&made)
            .args([format!("-Wl,-z,{STACK_SIZE},--no-entry,--strip-all,--gc-sections")])
            .args(sources(folder)?)
            .args(bindings)
            .arg("-o")
            .arg(&module)
            .status()
            .context("cannot start clang")?;
        ensure!(status.success(), "cannot build {}: clang ended with {status}", folder.display());
        super::read(&module)
    }
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = PathBuf::from(entry?.file_name());
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// Writes what `wit-bindgen c` writes; gives what is to be linked of it.
fn bindings(wit: &Path, into: &Path) -> Result<Vec<PathBuf>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).context("cannot read the contract")?;
    let world = resolve.select_world(&[package], Some("policy"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    let mut linked = Vec::new();
    for (name, bytes) in files.iter() {
        let path = into.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        if !name.ends_with(".h") {
            linked.push(path);
        }
    }
    Ok(linked)
}
