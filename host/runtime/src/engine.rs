//! The WebAssembly engine, shared by all policies of a process.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use reprieve_core::ids::Digest;
use tokio::sync::Semaphore;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, component::Linker};

use crate::{
    Compiled, EngineFailure, Examined, Grants, Limits, LoadFailure, Policy, Terms, cache::Cache,
    contract, load, pulse::Pulse, store::State,
};

/// Policies that may be loaded at once: the one in force, the one before, and
/// the arms of experiments. Bounds the address space that is set aside.
const MAX_POLICIES: usize = 16;

/// Memory and tables of one component. wit-component makes one memory, two
/// tables and three core instances; a JavaScript engine with stubs for what it
/// would ask of WASI has three memories, three tables and thirteen core instances.
const MEMORIES_PER_COMPONENT: u32 = 3;
const TABLES_PER_COMPONENT: u32 = 4;
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Where compiled policies are kept; None compiles afresh each time. Must
    /// belong to this user alone; made, with mode 0700, if it is missing.
    pub cache_dir: Option<PathBuf>,
    /// Sets address space aside for instances, which makes a fresh one cheaper.
    /// Where the machine has none to spare the engine does without by itself.
    pub pooling: bool,
    /// Guest calls that run at the same moment, in all policies together.
    pub parallel_calls: usize,
    /// The most memory that one instance may have; larger
    /// [`Limits::memory_bytes`] are cut to it.
    pub max_memory_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            pooling: true,
            parallel_calls: std::thread::available_parallelism().map_or(2, usize::from),
            max_memory_bytes: 64 << 20,
        }
    }
}

/// Policies that are loaded in one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    pub taken: usize,
    pub limit: usize,
}

/// The state of an engine's timer. It rests while no guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Since the engine was made.
    pub ticks: u64,
    pub rests: bool,
}

/// Compiles policies and gives their instances room. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) wasm: wasmtime::Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Option<Cache>,
    /// A guest call takes one for as long as it runs, so there are never more
    /// instances of a policy than of these, and one for calls from outside
    /// judgements.
    pub(crate) calls: Semaphore,
    pub(crate) max_idle: usize,
    pub(crate) pulse: Arc<Pulse>,
    max_memory_bytes: usize,
    pooling: bool,
    policies: Arc<AtomicUsize>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pulse.end();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let policies = self.0.policies.load(Ordering::Relaxed);
        f.debug_struct("Engine")
            .field("pooling", &self.0.pooling)
            .field("policies", &policies)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub fn new(options: EngineOptions) -> Result<Self, EngineFailure> {
        let cache = options.cache_dir.map(Cache::open).transpose()?;
        let parallel_calls = options.parallel_calls.clamp(1, 1024);
        let pool = options.pooling.then(|| pool(parallel_calls, options.max_memory_bytes));
        let (wasm, pooling) = build(pool)?;
        let linker = linker(&wasm).map_err(|source| EngineFailure::Setup { source })?;
        let pulse = Pulse::start(wasm.weak())?;
        Ok(Self(Arc::new(Shared {
            wasm,
            linker,
            cache,
            calls: Semaphore::new(parallel_calls),
            max_idle: parallel_calls,
            pulse,
            max_memory_bytes: options.max_memory_bytes,
            pooling,
            policies: Arc::default(),
        })))
    }

    /// Checks and compiles a policy, starts it, lets it describe itself and
    /// opens it with its defaults. Blocks for tens of milliseconds.
    pub fn load(&self, bytes: &[u8], terms: impl Into<Terms>) -> Result<Arc<Policy>, LoadFailure> {
        let terms = terms.into();
        let examined = self.examine(bytes.into(), &terms.grants)?;
        let compiled = match self.cached(examined) {
            Ok(compiled) => compiled,
            Err(examined) => self.compile(examined)?,
        };
        self.start(compiled, terms)
    }

    /// The first step of [`Self::load`]: what the file is and what it imports.
    /// Compiles nothing.
    pub fn examine(&self, bytes: Arc<[u8]>, grants: &Grants) -> Result<Examined, LoadFailure> {
        load::examine(bytes, grants)
    }

    /// What an earlier compilation of the same component left, if it is still
    /// there; else the component, to be compiled. Blocks for less than a
    /// millisecond.
    pub fn cached(&self, examined: Examined) -> Result<Compiled, Examined> {
        load::cached(self, examined)
    }

    /// Lets go of compilations of other components than these.
    pub fn forget_compiled(&self, but: &BTreeSet<Digest>) -> io::Result<()> {
        match &self.0.cache {
            Some(cache) => cache.forget(&self.0.wasm, but),
            None => Ok(()),
        }
    }

    /// The second step: runs none of it. Blocks for as long as a compiler takes:
    /// milliseconds for a small component, minutes for the largest.
    pub fn compile(&self, examined: Examined) -> Result<Compiled, LoadFailure> {
        load::compile(self, examined)
    }

    /// The last step: really starts it, and lets it describe itself.
    pub fn start(&self, compiled: Compiled, terms: Terms) -> Result<Arc<Policy>, LoadFailure> {
        let place = Place::take(&self.0.policies)?;
        let memory_bytes = terms.limits.memory_bytes.min(self.0.max_memory_bytes);
        let limits = Limits { memory_bytes, ..terms.limits };
        load::start(self, place, compiled, Terms { limits, ..terms }).map(Arc::new)
    }

    /// How many policies are loaded, and how many may be.
    pub fn places(&self) -> Places {
        Places { taken: self.0.policies.load(Ordering::Relaxed), limit: MAX_POLICIES }
    }

    /// The timer that ends guests which run too long.
    pub fn timer(&self) -> Timer {
        Timer { ticks: self.0.pulse.ticks(), rests: self.0.pulse.rests() }
    }

    /// Whether address space was set aside for instances.
    pub fn is_pooling(&self) -> bool {
        self.0.pooling
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }
}

/// The place of one loaded policy among [`MAX_POLICIES`].
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(policies: &Arc<AtomicUsize>) -> Result<Self, LoadFailure> {
        let place = Self(Arc::clone(policies));
        if policies.fetch_add(1, Ordering::Relaxed) >= MAX_POLICIES {
            return Err(LoadFailure::TooMany { limit: MAX_POLICIES });
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An engine with a pool; without one where the address space is too small for
/// it, or where none is wanted.
fn build(pool: Option<PoolingAllocationConfig>) -> Result<(wasmtime::Engine, bool), EngineFailure> {
    if let Some(pool) = pool {
        let mut config = deterministic();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        match wasmtime::Engine::new(&config) {
            Ok(engine) => return Ok((engine, true)),
            Err(why) => {
                tracing::info!(why = %format!("{why:#}"), "no address space for a pool of instances");
            }
        }
    }
    let mut config = deterministic();
    // Guest memories as small as the guest needs, not 4 GiB each.
    config.memory_reservation(0).memory_guard_size(1 << 16).memory_reservation_for_growth(1 << 20);
    let engine = wasmtime::Engine::new(&config);
    engine.map(|engine| (engine, false)).map_err(|source| EngineFailure::Setup { source })
}

/// Same component, same evidence, same judgement: on any machine.
fn deterministic() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false);
    // Several memories stay allowed: what wasmtime itself puts between the parts of a
    // component that was made of components (a JavaScript engine and stubs for what
    // it would ask of WASI) has them, and where they are switched off it panics over
    // such a component. The limiter counts all of them as one policy's.
    config
}

fn pool(parallel_calls: usize, max_memory_bytes: usize) -> PoolingAllocationConfig {
    // Each policy: its parallel calls, one call from outside judgements, and a
    // fresh instance for it while as many are warm.
    let instances = u32::try_from((parallel_calls + 2) * MAX_POLICIES).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(max_memory_bytes);
    pool
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    contract::Policy::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| {
        state
    })?;
    Ok(linker)
}
