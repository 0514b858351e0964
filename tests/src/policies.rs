//! The built components, compiled once per test program; and policies of hosts that
//! replace them.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use reprieve_core::{settings::SettingsBook, time::Millis};
use reprieve_runtime::{Engine, EngineOptions, Generation, Limits, Owners, Policy};
use reprieve_server::{
    clock::HostClock,
    config::{PolicyConfig, policy::PolicySource, units::Length},
    policies::{BootOptions, Policies, boot},
};

/// Tests share two cores: a judgement that was preempted is no fault of the
/// policy's.
const GUEST_DEADLINE: Millis = Millis::from_secs(5);

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
            let limits =
                Limits { guest_deadline: GUEST_DEADLINE.as_duration(), ..Limits::default() };
            ENGINE.load(&bytes, limits).expect("a committed component loads")
        });
        Arc::clone(policy)
    }
}

/// The first generation of a host with that policy.
pub fn generation(policy: PolicyName, settings: SettingsBook) -> Generation {
    Generation::new(1, policy.load(), settings, &Owners::new()).expect("settings are accepted")
}

/// The policies of a host that begins with the default one and keeps its state in a
/// folder. `folder` in it, if there is one, is `policy.folder`.
pub async fn policies_in(state: &Path) -> Policies {
    let mut config = PolicyConfig { folder: Some(state.join("folder")), ..Default::default() };
    config.limits.guest_deadline = Length::clamped(GUEST_DEADLINE);
    let options = BootOptions {
        config: &config,
        source: PolicySource::named(Path::new("default")),
        state_dir: state,
        cache_dir: state.join("cache"),
        clock: Arc::new(HostClock::start()),
        first: Arc::new(|policy| {
            Generation::new(1, policy, SettingsBook::default(), &Owners::new())
        }),
        pinned: BTreeSet::new(),
    };
    boot(options).await.expect("the default policy begins")
}
