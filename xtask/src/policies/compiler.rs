//! Finds a compiler that can build for wasm32-unknown-unknown, and installs what
//! it lacks.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use reprieve_componentize::{TARGET, has_core};

use crate::say;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// What builds the components.
pub(super) enum Compiler {
    /// The one that `rust-toolchain.toml` pins: its bytes are those on record.
    Pinned,
    /// Debian's, where the target of the pinned one cannot be had. It builds the
    /// target's core library from source, and other bytes.
    Debian { linker: PathBuf },
}

impl Compiler {
    /// Installs the target if it is missing.
    pub(super) fn find() -> Result<Self> {
        if has_target()? {
            return Ok(Self::Pinned);
        }
        say(&format!("installing the compiler's target {TARGET}: rustup target add {TARGET}"));
        let added = Command::new("rustup").args(["target", "add", TARGET]).status();
        if added.is_ok_and(|status| status.success()) && has_target()? {
            return Ok(Self::Pinned);
        }
        Self::find_debian().with_context(|| {
            format!("the compiler's target {TARGET} is missing and rustup cannot install it; see `rustup target add {TARGET}`")
        })
    }

    fn find_debian() -> Result<Self> {
        ensure!(is_debian(), "no other way is known but on Debian");
        if !Path::new(DEBIAN_RUSTC).exists() || !has_debian_sources() {
            ensure!(
                output("id", &["-u"])? == "0",
                "on Debian, `apt-get install {}` as root is the other way",
                DEBIAN_PACKAGES.join(" ")
            );
            say(&format!("rustup failed; installing Debian's {}", DEBIAN_PACKAGES.join(" and ")));
            let status = Command::new("apt-get")
                .args(["install", "--yes", "--no-install-recommends"])
                .args(DEBIAN_PACKAGES)
                .status()
                .context("cannot start apt-get")?;
            ensure!(status.success(), "apt-get ended with {status}");
        }
        let linker =
            sysroot(&rustc())?.join("lib/rustlib").join(host(&rustc())?).join("bin/rust-lld");
        ensure!(linker.exists(), "there is no linker at {}", linker.display());
        Ok(Self::Debian { linker })
    }

    /// Whether its bytes are those on record.
    pub(super) const fn is_pinned(&self) -> bool {
        matches!(self, Self::Pinned)
    }

    /// Of the build; the two compilers must not share one.
    pub(super) const fn target_dir(&self) -> &'static str {
        match self {
            Self::Pinned => "target/components",
            Self::Debian { .. } => "target/components-debian",
        }
    }

    /// Makes cargo use it.
    pub(super) fn apply(&self, cargo: &mut Command) {
        match self {
            Self::Pinned => {}
            Self::Debian { linker } => {
                // -Zbuild-std is not for stable compilers; this says: yet it is.
                cargo
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                    .arg("-Zbuild-std=core,alloc");
            }
        }
    }
}

fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Whether the target's core library is installed.
fn has_target() -> Result<bool> {
    let folder = output(rustc(), &["--print", "target-libdir", "--target", TARGET])?;
    Ok(has_core(Path::new(&folder)))
}

fn has_debian_sources() -> bool {
    sysroot(DEBIAN_RUSTC.as_ref())
        .is_ok_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/core").exists())
}

fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
}

fn sysroot(rustc: &std::ffi::OsStr) -> Result<PathBuf> {
    Ok(output(rustc, &["--print", "sysroot"])?.into())
}

/// The machine that a compiler runs on.
fn host(rustc: &std::ffi::OsStr) -> Result<String> {
    let version = output(rustc, &["--version", "--verbose"])?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("the compiler does not name its host")?.to_owned())
}

fn output(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        bail!("{} ended with {}", program.display(), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
