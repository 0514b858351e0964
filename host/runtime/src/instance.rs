//! One instance of a policy, alone in its store, with its open sessions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use reprieve_core::{ids::Digest, judgement::Call, trust::TrustLimits};
use wasmtime::{Store, component::ResourceAny};

use crate::{
    CheckedSettings, Isolation, Limits, MIN_CALLS_PER_INSTANCE, PolicyFailure,
    contract::{self, guard, types},
    pass::{Asked, Pass},
    store::State,
    words,
};

/// The most bytes that the guest may hand over in one call: a description at
/// its largest, and some.
const MAX_HANDED_OVER_BYTES: usize = 1 << 20;

/// What instances of one policy are made from.
pub(crate) struct Mould {
    pub(crate) pre: contract::PolicyPre<State>,
    pub(crate) limits: Limits,
    pub(crate) isolation: Isolation,
    pub(crate) trust: TrustLimits,
    pub(crate) ticks_per_call: u32,
    pub(crate) existing: Arc<AtomicUsize>,
}

/// What the guest ruled, not yet checked.
#[derive(Clone, Copy)]
pub(crate) enum Ruled {
    Judgement(types::Judgement),
    Ruling(types::Ruling),
}

/// Retired on any error: a trap poisons the whole store.
pub(crate) struct Instance {
    store: Store<State>,
    exports: contract::Policy,
    /// The least recently used first.
    sessions: Vec<Session>,
    max_sessions: usize,
    memory_began: usize,
    memory_worn: usize,
    _counted: Counted,
}

/// An open session, and what its calls left behind.
struct Session {
    settings: Digest,
    handle: ResourceAny,
    calls: usize,
    kept_bytes: usize,
}

/// Counts an instance for as long as it exists.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(existing: &Arc<AtomicUsize>) -> Self {
        existing.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(existing))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Instance {
    pub(crate) fn start(mould: &Mould) -> Result<Self, PolicyFailure> {
        let state = State::new(&mould.limits, mould.ticks_per_call);
        let mut store = Store::new(mould.pre.engine(), state);
        store.limiter(|state| state);
        store.epoch_deadline_callback(State::tick);
        store.set_hostcall_fuel(MAX_HANDED_OVER_BYTES);
        store.set_epoch_deadline(1);
        let exports = match mould.pre.instantiate(&mut store) {
            Ok(exports) => exports,
            Err(source) => return Err(store.data_mut().start_failure_of(source)),
        };
        let memory_bytes = store.data().memory_bytes();
        Ok(Self {
            store,
            exports,
            sessions: Vec::new(),
            max_sessions: mould.limits.sessions.max(1),
            memory_began: memory_bytes,
            memory_worn: memory_bytes.midpoint(mould.limits.memory_bytes),
            _counted: Counted::new(&mould.existing),
        })
    }

    pub(crate) fn describe(&mut self) -> Result<guard::Description, PolicyFailure> {
        self.enter();
        let described = self.exports.reprieve_policy_guard().call_describe(&mut self.store);
        described.map_err(|source| self.store.data_mut().failure_of(source))
    }

    /// Opens a session, or takes the one that is open. The inner error is the
    /// policy's refusal; after it the instance is as good as before.
    pub(crate) fn open(
        &mut self,
        digest: Digest,
        canonical_json: &str,
    ) -> Result<Result<ResourceAny, Vec<guard::Problem>>, PolicyFailure> {
        if let Some(session) = self.opened(digest) {
            return Ok(Ok(session));
        }
        if self.sessions.len() >= self.max_sessions {
            let oldest = self.sessions.remove(0);
            self.enter();
            oldest
                .handle
                .resource_drop(&mut self.store)
                .map_err(|source| self.store.data_mut().failure_of(source))?;
        }
        self.enter();
        let guard = self.exports.reprieve_policy_guard();
        let opened = guard
            .session()
            .call_open(&mut self.store, canonical_json)
            .map_err(|source| self.store.data_mut().failure_of(source))?;
        if let Ok(handle) = opened {
            self.sessions.push(Session { settings: digest, handle, calls: 0, kept_bytes: 0 });
        }
        Ok(opened)
    }

    pub(crate) fn silence_limit(
        &mut self,
        session: ResourceAny,
    ) -> Result<Option<u64>, PolicyFailure> {
        self.enter();
        let guard = self.exports.reprieve_policy_guard();
        let limit = guard.session().call_silence_limit(&mut self.store, session);
        limit.map_err(|source| self.store.data_mut().failure_of(source))
    }

    /// One pass.
    pub(crate) fn rule(
        &mut self,
        settings: &CheckedSettings,
        call: Call,
        pass: Pass,
    ) -> (Result<Ruled, PolicyFailure>, Asked) {
        let session = match self.open(settings.digest, &settings.canonical_json) {
            Ok(Ok(session)) => session,
            Ok(Err(_problems)) => return (Err(PolicyFailure::SettingsRefused), pass.end()),
            Err(failure) => return (Err(failure), pass.end()),
        };
        self.enter();
        let before = self.store.data().memory_bytes();
        self.store.data_mut().pass = Some(pass);
        let ruled = self.put(session, call);
        let kept = self.store.data().memory_bytes() - before;
        if let Some(session) = self.sessions.last_mut() {
            session.calls += 1;
            session.kept_bytes += kept;
        }
        let state = self.store.data_mut();
        let asked = state.pass.take().map_or_else(Asked::default, Pass::end);
        (ruled.map_err(|source| self.store.data_mut().failure_of(source)), asked)
    }

    /// It has taken half of the memory that it may have beyond what it began
    /// with: a policy that leaks is replaced before it fails.
    pub(crate) fn is_worn(&self) -> bool {
        self.store.data().memory_bytes() > self.memory_worn
    }

    /// What the newest call's session kept, if it is that which wore the instance out
    /// before [`MIN_CALLS_PER_INSTANCE`].
    pub(crate) fn leak(&self) -> Option<PolicyFailure> {
        let &Session { calls, kept_bytes, .. } = self.sessions.last()?;
        let bearable = (self.memory_worn - self.memory_began) / MIN_CALLS_PER_INSTANCE * calls;
        let leaks = self.is_worn() && kept_bytes > bearable;
        leaks.then_some(PolicyFailure::Leaked { bytes: kept_bytes, calls })
    }

    fn put(&mut self, session: ResourceAny, call: Call) -> wasmtime::Result<Ruled> {
        let guard = self.exports.reprieve_policy_guard();
        match call {
            Call::Judge { trigger, attempt } => guard
                .session()
                .call_judge(
                    &mut self.store,
                    session,
                    words::trigger(trigger),
                    words::attempt(attempt),
                )
                .map(Ruled::Judgement),
            Call::Admit { cause } => guard
                .session()
                .call_admit(&mut self.store, session, words::cause(cause))
                .map(Ruled::Ruling),
        }
    }

    /// The open session with these settings, as the most recently used.
    fn opened(&mut self, digest: Digest) -> Option<ResourceAny> {
        let found = self.sessions.iter().rposition(|session| session.settings == digest)?;
        if found + 1 != self.sessions.len() {
            self.sessions[found..].rotate_left(1);
        }
        self.sessions.last().map(|session| session.handle)
    }

    /// Deadlines are per call, not per instance.
    fn enter(&mut self) {
        self.store.data_mut().begin_call();
        self.store.set_epoch_deadline(1);
    }
}
