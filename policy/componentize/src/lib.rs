//! Makes a component of a policy's core module, for whoever builds policies.
//!
//! A compiler for wasm32-unknown-unknown, whatever its language, gives a core
//! module that carries its world's types in a custom section. What comes out of
//! [`componentize`] is what `wasm-tools component new` gives, without the names
//! that only debuggers read, and it keeps to the contract in `wit/`: it imports
//! nothing else, and exports the guard.

use std::{fs, path::Path};

use wit_component::{ComponentEncoder, DecodedWasm};

/// What a core module is compiled for. No WASI: a policy has no ambient authority.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// For the linker. Rules need little; a small stack keeps the initial memory at
/// one page.
pub const STACK_SIZE: &str = "stack-size=16384";
/// All that a policy may import.
const PACKAGE: &str = "reprieve:policy";
/// What a policy must export, in any version.
const GUARD: &str = "reprieve:policy/guard@";

/// Whether a folder, as `rustc --print target-libdir` names it, holds the target's core
/// library: asked of the compiler, since not every installation is rustup's.
pub fn has_core(target_libdir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(target_libdir) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

/// Why a module makes no policy.
#[derive(Debug, thiserror::Error)]
pub enum NoPolicy {
    #[error("the module makes no component; it has to be built for {TARGET}, over wit/")]
    NoComponent { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("it imports {name}; a policy may import {PACKAGE} alone")]
    Imports { name: String },
    #[error("it does not export {GUARD}…; a policy in Rust ends with `reprieve_policy::export!`")]
    NoGuard,
}

/// Makes a component of a core module. Refuses what imports more than the
/// contract, or does not export the guard.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, NoPolicy> {
    let encoder = ComponentEncoder::default().validate(true).debug_names(false);
    let mut encoder = encoder.module(module).map_err(no_component)?;
    let bytes = encoder.encode().map_err(no_component)?;
    let DecodedWasm::Component(resolve, world) =
        wit_component::decode(&bytes).map_err(no_component)?
    else {
        return Err(NoPolicy::NoGuard);
    };
    let name = |key| resolve.name_world_key(key);
    let world = &resolve.worlds[world];
    let foreign =
        |name: &String| name.strip_prefix(PACKAGE).is_none_or(|rest| !rest.starts_with('/'));
    if let Some(name) = world.imports.keys().map(name).find(foreign) {
        return Err(NoPolicy::Imports { name });
    }
    if !world.exports.keys().map(name).any(|name| name.starts_with(GUARD)) {
        return Err(NoPolicy::NoGuard);
    }
    Ok(bytes)
}

fn no_component(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> NoPolicy {
    NoPolicy::NoComponent { source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_policy_module_makes_no_component() {
        for (case, module) in
            [("empty", &b""[..]), ("text", b"(module)"), ("no world", b"\0asm\x01\0\0\0")]
        {
            assert!(componentize(module).is_err(), "{case}");
        }
    }
}
