//! Builds the policy components: `cargo xtask policies [--check]`.
//!
//! Each policy becomes a core module for wasm32-unknown-unknown and then a
//! component. The bytes depend on the sources, the compiler and wit-component
//! alone, not on the folder or the home of cargo; so the built components are
//! committed, and `--check` rebuilds and compares.
//!
//! - [`compiler`]: which compiler builds those that are written in Rust
//! - [`c`]: the one in C, where there is a clang
//! - [`javascript`]: the one in JavaScript, whose bytes differ from build to build

mod c;
mod compiler;
mod javascript;

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use reprieve_componentize::{STACK_SIZE, TARGET, componentize};
use sha2::{Digest as _, Sha256};

use self::{c::Clang, compiler::Compiler};
use crate::say;

const PROFILE: &str = "component";
const FOLDER: &str = "policies";
const SUMS: &str = "SHA256SUMS";

/// Policies of this repository in Rust: the component's file, and the package.
const RUST: [(&str, &str); 13] = [
    ("count-debounce.wasm", "reprieve-count-debounce"),
    ("default.wasm", "reprieve-default-policy"),
    ("do-nothing.wasm", "reprieve-do-nothing"),
    ("docker-autoheal.wasm", "reprieve-docker-autoheal"),
    ("docker-restart-policy.wasm", "reprieve-docker-restart-policy"),
    ("envoy-outlier.wasm", "reprieve-envoy-outlier"),
    ("kubelet-liveness.wasm", "reprieve-kubelet-liveness"),
    ("lifeguard.wasm", "reprieve-lifeguard"),
    ("nomad-check-restart.wasm", "reprieve-nomad-check-restart"),
    ("phi-accrual.wasm", "reprieve-phi-accrual"),
    ("trust-the-probe.wasm", "reprieve-trust-the-probe"),
    ("unruly.wasm", "reprieve-unruly"),
    ("examples/second-look-rust.wasm", "reprieve-second-look"),
];
/// And in C: the component's file, and the folder of the sources.
const C: (&str, &str) = ("examples/second-look-c.wasm", "examples/c");

/// A component, ready to be written.
struct Built {
    /// Below `FOLDER`.
    file_name: &'static str,
    bytes: Vec<u8>,
    /// Whether its compiler is the one of the bytes on record.
    is_on_record: bool,
}

/// What `cargo xtask policies` takes.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Write nothing: rebuild, compare with what is committed, name what differs
    #[arg(long)]
    pub(crate) check: bool,
    /// Build the one in JavaScript anew, too; needs npx
    #[arg(long, conflicts_with = "check")]
    pub(crate) javascript: bool,
}

/// Builds every component below `root`, the repository's folder.
pub(crate) fn run(root: &Path, options: Options) -> Result<()> {
    let compiler = Compiler::find()?;
    let mut built =
        RUST.iter().map(|source| build(root, *source, &compiler)).collect::<Result<Vec<_>>>()?;
    built.extend(build_c(root, &compiler)?);
    let folder = root.join(FOLDER);
    if options.javascript {
        javascript::build(root)?;
    }
    if options.check {
        javascript::check(root)?;
        compare(&folder, &built)
    } else {
        write(&folder, &built)
    }
}

fn build(
    root: &Path,
    (file_name, package): (&'static str, &str),
    compiler: &Compiler,
) -> Result<Built> {
    let target_dir = root.join(compiler.target_dir());
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["rustc", "--quiet", "--locked", "--lib", "--crate-type", "cdylib"])
        .args(["--package", package, "--profile", PROFILE, "--target", TARGET])
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(root)?);
    compiler.apply(&mut cargo);
    let status = cargo.status().context("cannot start cargo")?;
    ensure!(status.success(), "cannot build {package}: cargo ended with {status}");
    let module_name = format!("{}.wasm", package.replace('-', "_"));
    let module_path = target_dir.join(TARGET).join(PROFILE).join(module_name);
    let module = read(&module_path)?;
    let bytes =
        componentize(&module).with_context(|| format!("cannot make a component of {package}"))?;
    Ok(Built { file_name, bytes, is_on_record: compiler.is_pinned() })
}

/// None where no clang can build it: the committed one stays, unchecked.
fn build_c(root: &Path, compiler: &Compiler) -> Result<Option<Built>> {
    let (file_name, folder) = C;
    let Some(clang) = Clang::find() else {
        say(&format!(
            "{file_name} is not built: there is no clang with wasm-ld (`apt-get install clang lld`)"
        ));
        return Ok(None);
    };
    let folder = root.join(FOLDER).join(folder);
    let module = clang.build(&folder, &root.join(compiler.target_dir()))?;
    let bytes = componentize(&module)
        .with_context(|| format!("cannot make a component of {}", folder.display()))?;
    Ok(Some(Built { file_name, bytes, is_on_record: clang.is_on_record }))
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
        format!("-Clink-arg=-z{STACK_SIZE}"),
        format!("--remap-path-prefix={}=/reprieve", root.display()),
        format!("--remap-path-prefix={}=/registry", cargo_home.join("registry/src").display()),
    ];
    Ok(flags.join("\u{1f}"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(folder: &Path, built: &[Built]) -> Result<()> {
    for component in built {
        if !component.is_on_record {
            say(&format!(
                "do not commit {}: another compiler built it than the one on record",
                component.file_name
            ));
        }
        let path = folder.join(component.file_name);
        fs::write(&path, &component.bytes)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let sums_path = folder.join(SUMS);
    fs::write(&sums_path, sums(folder)?)
        .with_context(|| format!("cannot write {}", sums_path.display()))
}

/// Of the components on disk, in the format of `sha256sum`, so that
/// `sha256sum -c` reads it.
fn sums(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for file_name in RUST.map(|(file_name, _)| file_name).into_iter().chain([C.0]) {
        text += &sum(&read(&folder.join(file_name))?, file_name);
    }
    Ok(text)
}

fn sum(bytes: &[u8], file_name: &str) -> String {
    let mut line = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(line, "{byte:02x}");
    }
    line + "  " + file_name + "\n"
}

fn compare(folder: &Path, built: &[Built]) -> Result<()> {
    let mut different = Vec::new();
    for component in built {
        let file_name = component.file_name;
        if !component.is_on_record {
            say(&format!(
                "{file_name} is not compared: it was built, and is a policy, but by another compiler than the one on record"
            ));
        } else if fs::read(folder.join(file_name)).ok().as_ref() != Some(&component.bytes) {
            different.push(file_name);
        }
    }
    if fs::read_to_string(folder.join(SUMS)).ok() != Some(sums(folder)?) {
        different.push(SUMS);
    }
    ensure!(
        different.is_empty(),
        "{FOLDER}/ is not what its sources build: {}; run `cargo xtask policies` and commit",
        different.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_read_like_those_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sum(b"", "empty.wasm"), format!("{empty}  empty.wasm\n"));
    }
}
