//! Builds the policy components: `cargo xtask policies [--check]`.
//!
//! Each policy crate becomes a core module for wasm32-unknown-unknown and then a
//! component. The bytes depend on the sources, the compiler and wit-component
//! alone, not on the folder or the home of cargo; so the built components are
//! committed, and `--check` rebuilds and compares.

mod compiler;

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use self::compiler::{Compiler, TARGET};
use crate::say;

const PROFILE: &str = "component";
/// Rules need little; a small stack keeps the initial memory at one page.
const STACK_BYTES: u32 = 16 * 1024;
/// All that a policy may import.
const PACKAGE: &str = "reprieve:policy";
/// What a policy must export, in any version.
const GUARD: &str = "reprieve:policy/guard@";

/// A policy of this repository.
struct Source {
    /// Of the component's file.
    name: &'static str,
    package: &'static str,
}

const SOURCES: [Source; 4] = [
    Source { name: "count-debounce", package: "reprieve-count-debounce" },
    Source { name: "default", package: "reprieve-default-policy" },
    Source { name: "trust-the-probe", package: "reprieve-trust-the-probe" },
    Source { name: "unruly", package: "reprieve-unruly" },
];

/// A component, ready to be written.
struct Built {
    file_name: String,
    bytes: Vec<u8>,
}

/// What `cargo xtask policies` takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// Write nothing: rebuild, compare with what is committed, name what differs
    #[arg(long)]
    pub(crate) check: bool,
}

/// Builds every component below `root`, the repository's folder.
pub(crate) fn run(root: &Path, options: Options) -> Result<()> {
    let compiler = Compiler::find()?;
    let built =
        SOURCES.iter().map(|source| build(root, source, &compiler)).collect::<Result<Vec<_>>>()?;
    let folder = root.join("policies");
    match (options.check, compiler.is_pinned()) {
        (true, true) => compare(&folder, &built),
        (true, false) => {
            say(
                "not compared: this compiler is Debian's, whose bytes differ from the pinned one's; every policy was built and is a valid component",
            );
            Ok(())
        }
        (false, is_pinned) => {
            if !is_pinned {
                say(
                    "do not commit these: they were built by Debian's compiler, not by the pinned one",
                );
            }
            write(&folder, &built)
        }
    }
}

fn build(root: &Path, source: &Source, compiler: &Compiler) -> Result<Built> {
    let target_dir = root.join(compiler.target_dir());
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["rustc", "--quiet", "--locked", "--lib", "--crate-type", "cdylib"])
        .args(["--package", source.package, "--profile", PROFILE, "--target", TARGET])
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(root)?);
    compiler.apply(&mut cargo);
    let status = cargo.status().context("cannot start cargo")?;
    ensure!(status.success(), "cannot build {}: cargo ended with {status}", source.package);
    let module_name = format!("{}.wasm", source.package.replace('-', "_"));
    let module_path = target_dir.join(TARGET).join(PROFILE).join(module_name);
    let module =
        fs::read(&module_path).with_context(|| format!("cannot read {}", module_path.display()))?;
    let bytes = componentize(&module)
        .with_context(|| format!("cannot make a component of {}", source.package))?;
    Ok(Built { file_name: format!("{}.wasm", source.name), bytes })
}

/// The flags that the bytes depend on, and the maps that hide where things lie.
fn rust_flags(root: &Path) -> Result<String> {
    let cargo_home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => {
            env::home_dir().context("cannot find the home folder; set CARGO_HOME")?.join(".cargo")
        }
    };
    let flags = [
        format!("-Clink-arg=-zstack-size={STACK_BYTES}"),
        format!("--remap-path-prefix={}=/reprieve", root.display()),
        format!("--remap-path-prefix={}=/registry", cargo_home.join("registry/src").display()),
    ];
    Ok(flags.join("\u{1f}"))
}

/// Makes a component of a core module. Refuses what imports more than the
/// contract, or does not export the guard.
fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let bytes = ComponentEncoder::default().validate(true).module(module)?.encode()?;
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&bytes)? else {
        bail!("the encoder gave something that is no component");
    };
    for key in resolve.worlds[world].imports.keys() {
        let name = resolve.name_world_key(key);
        ensure!(
            name.starts_with(&format!("{PACKAGE}/")),
            "it imports {name}; a policy may import {PACKAGE} alone"
        );
    }
    let mut exports = resolve.worlds[world].exports.keys();
    ensure!(
        exports.any(|key| resolve.name_world_key(key).starts_with(GUARD)),
        "it does not export {GUARD}"
    );
    Ok(bytes)
}

fn write(folder: &Path, built: &[Built]) -> Result<()> {
    for component in built {
        let path = folder.join(&component.file_name);
        fs::write(&path, &component.bytes)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let sums_path = folder.join("SHA256SUMS");
    fs::write(&sums_path, sums(built))
        .with_context(|| format!("cannot write {}", sums_path.display()))
}

/// In the format of `sha256sum`, so that `sha256sum -c` reads it.
fn sums(built: &[Built]) -> String {
    let mut text = String::new();
    for component in built {
        for byte in Sha256::digest(&component.bytes) {
            let _ = write!(text, "{byte:02x}");
        }
        let _ = writeln!(text, "  {}", component.file_name);
    }
    text
}

fn compare(folder: &Path, built: &[Built]) -> Result<()> {
    let mut different = Vec::new();
    for component in built {
        if fs::read(folder.join(&component.file_name)).ok().as_ref() != Some(&component.bytes) {
            different.push(component.file_name.as_str());
        }
    }
    if fs::read_to_string(folder.join("SHA256SUMS")).ok() != Some(sums(built)) {
        different.push("SHA256SUMS");
    }
    ensure!(
        different.is_empty(),
        "policies/ is not what its sources build: {}; run `cargo xtask policies` and commit",
        different.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_read_like_those_of_sha256sum() {
        let built = [Built { file_name: "empty.wasm".into(), bytes: Vec::new() }];
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sums(&built), format!("{empty}  empty.wasm\n"));
    }

    #[test]
    fn what_is_no_policy_module_makes_no_component() {
        for (case, module) in
            [("empty", &b""[..]), ("text", b"(module)"), ("no world", b"\0asm\x01\0\0\0")]
        {
            assert!(componentize(module).is_err(), "{case}");
        }
    }
}
