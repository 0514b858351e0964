//! From bytes to a checked policy. Each step has its own refusal.

use std::sync::{Arc, atomic::AtomicUsize};

use reprieve_core::{ids::Digest, settings::Settings};
use wasmtime::component::{Component, types::ComponentItem};

use crate::{
    Description, Engine, Limits, LoadFailure, Policy, PolicyFailure, anatomy, contract, describe,
    engine::{self, Place},
    instance::{Instance, Mould},
};

const PACKAGE: &str = "reprieve:policy/";
const GUARD: &str = "reprieve:policy/guard@0.1.";
/// What a policy may import of the package.
const OFFERED: [&str; 7] =
    ["types", "subject", "probe", "heartbeat", "restarts", "memory", "surroundings"];

pub(crate) fn load(
    engine: &Engine,
    place: Place,
    bytes: &[u8],
    limits: Limits,
) -> Result<Policy, LoadFailure> {
    anatomy::check(bytes)?;
    let digest = Digest::of(bytes);
    let component = compiled(engine, digest, bytes)?;
    let imports = checked_imports(engine, &component)?;
    check_export(engine, &component)?;
    let mould = mould(engine, &component, limits)?;
    let (first, description) = first_instance(&mould)?;
    let policy = Policy::new(engine.clone(), place, digest, description, imports, mould, first);
    match policy.check_settings(&Settings::new()) {
        Ok(_defaults) => Ok(policy),
        Err(source) => Err(LoadFailure::DefaultsRefused { source }),
    }
}

fn compiled(engine: &Engine, digest: Digest, bytes: &[u8]) -> Result<Component, LoadFailure> {
    let shared = engine.shared();
    let cached = shared.cache.as_ref().and_then(|cache| cache.get(&shared.wasm, digest));
    if let Some(component) = cached {
        return Ok(component);
    }
    let component = Component::from_binary(&shared.wasm, bytes)
        .map_err(|source| LoadFailure::Garbled { source })?;
    if let Some(cache) = &shared.cache {
        cache.put(&shared.wasm, digest, &component);
    }
    Ok(component)
}

fn checked_imports(engine: &Engine, component: &Component) -> Result<Vec<String>, LoadFailure> {
    let wasm = &engine.shared().wasm;
    let names: Vec<String> =
        component.component_type().imports(wasm).map(|(name, _)| name.to_owned()).collect();
    for name in &names {
        if name.starts_with("wasi:") || name.starts_with("wasi_") {
            return Err(LoadFailure::WasiImport { name: name.clone() });
        }
        let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once("@0.1."));
        if !interface.is_some_and(|(interface, _patch)| OFFERED.contains(&interface)) {
            return Err(LoadFailure::UnknownImport { name: name.clone() });
        }
    }
    Ok(names)
}

fn check_export(engine: &Engine, component: &Component) -> Result<(), LoadFailure> {
    let wasm = &engine.shared().wasm;
    let guards = component.component_type().exports(wasm).any(|(name, export)| {
        name.starts_with(GUARD) && matches!(export.ty, ComponentItem::ComponentInstance(_))
    });
    if guards { Ok(()) } else { Err(LoadFailure::WrongWorld) }
}

fn mould(engine: &Engine, component: &Component, limits: Limits) -> Result<Mould, LoadFailure> {
    let pre = engine.shared().linker.instantiate_pre(component);
    let pre = pre
        .and_then(contract::PolicyPre::new)
        .map_err(|source| LoadFailure::OtherShape { source })?;
    let ticks_per_call = engine::ticks(limits.guest_deadline);
    Ok(Mould { pre, limits, ticks_per_call, existing: Arc::new(AtomicUsize::new(0)) })
}

/// A changed record shows only when a policy really starts.
fn first_instance(mould: &Mould) -> Result<(Instance, Description), LoadFailure> {
    let mut first = Instance::start(mould).map_err(|failure| match failure {
        PolicyFailure::NoInstance { source } if !source.is::<wasmtime::Trap>() => {
            LoadFailure::OtherShape { source }
        }
        source => LoadFailure::NotStarted { source },
    })?;
    let described = first.describe().map_err(|source| LoadFailure::NotDescribed { source })?;
    let description =
        describe::checked(described).map_err(|detail| LoadFailure::BadDescription { detail })?;
    Ok((first, description))
}
