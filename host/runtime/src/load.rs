//! From bytes to a checked policy. Each step has its own refusal.

use std::sync::{Arc, atomic::AtomicUsize};

use reprieve_core::{ids::Digest, settings::Settings};
use wasmtime::component::{Component, types::ComponentItem};

use crate::{
    Description, Engine, Grants, LoadFailure, Policy, PolicyFailure, Terms, anatomy, contract,
    describe,
    engine::Place,
    instance::{Instance, Mould},
    pulse,
};

const GUARD: &str = "reprieve:policy/guard@0.1.";

/// A component that was checked and compiled, and has not run yet.
pub struct Compiled {
    digest: Digest,
    imports: Vec<String>,
    component: Component,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// A file that was looked at: a whole component whose imports are granted.
#[derive(Debug)]
pub struct Examined {
    digest: Digest,
    imports: Vec<String>,
    bytes: Arc<[u8]>,
}

impl Examined {
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// `reprieve:policy/probe@0.1.0`, …
    pub fn imports(&self) -> &[String] {
        &self.imports
    }
}

pub(crate) fn examine(bytes: Arc<[u8]>, grants: &Grants) -> Result<Examined, LoadFailure> {
    anatomy::check(&bytes)?;
    let digest = Digest::of(&bytes);
    let imports = anatomy::granted_imports(&bytes, grants)?;
    Ok(Examined { digest, imports, bytes })
}

pub(crate) fn compile(engine: &Engine, examined: Examined) -> Result<Compiled, LoadFailure> {
    let Examined { digest, imports, bytes } = examined;
    let shared = engine.shared();
    let component = Component::from_binary(&shared.wasm, &bytes)
        .map_err(|source| LoadFailure::Garbled { source })?;
    check_export(engine, &component)?;
    if let Some(cache) = &shared.cache {
        cache.put(&shared.wasm, digest, &component);
    }
    Ok(Compiled { digest, imports, component })
}

/// The error is the component itself: it was not compiled before.
pub(crate) fn cached(engine: &Engine, examined: Examined) -> Result<Compiled, Examined> {
    let shared = engine.shared();
    let cached = shared.cache.as_ref().and_then(|cache| cache.get(&shared.wasm, examined.digest));
    match cached.filter(|component| check_export(engine, component).is_ok()) {
        Some(component) => {
            Ok(Compiled { digest: examined.digest, imports: examined.imports, component })
        }
        None => Err(examined),
    }
}

pub(crate) fn start(
    engine: &Engine,
    place: Place,
    compiled: Compiled,
    terms: Terms,
) -> Result<Policy, LoadFailure> {
    let Compiled { digest, imports, component } = compiled;
    let mould = mould(engine, &component, terms)?;
    let (first, description) = {
        let _beating = engine.shared().pulse.beat();
        first_instance(&mould)?
    };
    let policy = Policy::new(engine.clone(), place, digest, description, imports, mould, first);
    match policy.check_settings(&Settings::new()) {
        Ok(_defaults) => Ok(policy),
        Err(source) => Err(LoadFailure::DefaultsRefused { source }),
    }
}

fn check_export(engine: &Engine, component: &Component) -> Result<(), LoadFailure> {
    contract_of(engine, component).map(drop).ok_or(LoadFailure::WrongWorld)
}

/// The version of the contract that a component exports its guard for.
pub(crate) fn contract_of(engine: &Engine, component: &Component) -> Option<String> {
    let wasm = &engine.shared().wasm;
    component.component_type().exports(wasm).find_map(|(name, export)| {
        let (_, version) = name.starts_with(GUARD).then(|| name.split_once('@'))??;
        matches!(export.ty, ComponentItem::ComponentInstance(_)).then(|| version.to_owned())
    })
}

fn mould(engine: &Engine, component: &Component, terms: Terms) -> Result<Mould, LoadFailure> {
    let pre = engine.shared().linker.instantiate_pre(component);
    let pre = pre
        .and_then(contract::PolicyPre::new)
        .map_err(|source| LoadFailure::OtherShape { source })?;
    let Terms { limits, isolation, trust, grants: _ } = terms;
    let ticks_per_call = pulse::ticks(limits.guest_deadline);
    Ok(Mould {
        pre,
        limits,
        isolation,
        trust,
        ticks_per_call,
        existing: Arc::new(AtomicUsize::new(0)),
    })
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
