//! The built components, compiled once per test program.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use reprieve_core::settings::SettingsBook;
use reprieve_runtime::{Engine, EngineOptions, Generation, Limits, Owners, Policy};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyName {
    Default,
    TrustTheProbe,
    CountDebounce,
    /// Misbehaves on demand.
    Unruly,
}

impl PolicyName {
    fn file(self) -> PathBuf {
        let name = match self {
            Self::Default => "default.wasm",
            Self::TrustTheProbe => "trust-the-probe.wasm",
            Self::CountDebounce => "count-debounce.wasm",
            Self::Unruly => "unruly.wasm",
        };
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../policies").join(name)
    }

    pub fn load(self) -> Arc<Policy> {
        static ENGINE: LazyLock<Engine> =
            LazyLock::new(|| Engine::new(EngineOptions::default()).expect("an engine"));
        static LOADED: LazyLock<Mutex<HashMap<PolicyName, Arc<Policy>>>> =
            LazyLock::new(Mutex::default);
        let mut loaded = LOADED.lock();
        let policy = loaded.entry(self).or_insert_with(|| {
            let bytes = std::fs::read(self.file()).expect("built by `cargo xtask policies`");
            // Tests share two cores: a judgement that was preempted is no fault
            // of the policy's.
            let limits =
                Limits { guest_deadline: std::time::Duration::from_secs(5), ..Limits::default() };
            ENGINE.load(&bytes, limits).expect("a committed component loads")
        });
        Arc::clone(policy)
    }
}

/// The first generation of a host with that policy.
pub fn generation(policy: PolicyName, settings: SettingsBook) -> Generation {
    Generation::new(1, policy.load(), settings, &Owners::new()).expect("settings are accepted")
}
