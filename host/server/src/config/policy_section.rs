//! The section `[policy]`: what judges, and what it must pass before it does.
//!
//! The doc comments here are the descriptions in the published schema: they are
//! written for who edits `reprieve.toml`.

use std::path::PathBuf;

use reprieve_core::{settings::Settings, time::Millis, trust::TrustLimits};
use reprieve_runtime::{DOUBLE_JUDGEMENT, Grants, Interface, Isolation, Limits, Terms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Count, Length, Size};

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;
const MIB: u64 = 1 << 20;

/// What judges, and what it must pass before it does. See `docs/swapping.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// A policy component, relative to this file, or the name of a built-in
    /// policy. Default: the built-in policy `default`.
    pub file: Option<PathBuf>,
    /// A folder of components (`*.wasm`), relative to this file: for `watch`, and
    /// for `reprieve policy load NAME`.
    pub folder: Option<PathBuf>,
    /// What happens when `file` changes, or a newer component comes into
    /// `folder`: nothing, it is checked and waits to be activated, or it is
    /// checked and comes into force.
    pub watch: Watch,
    /// Take no component without a signature by one of `keys`. Built-in policies
    /// need none.
    pub require_signature: bool,
    /// Public keys: minisign's, or `ed25519:` and a plain one in base64. A signature
    /// that is there must be by one of them, whether one is required or not.
    pub keys: Vec<String>,
    /// Judgements that a policy must give before it comes into force: a table in
    /// the form of `policy/tests/judgements.toml`, or decisions as `reprieve
    /// decisions --json` prints them (`.jsonl`). Relative to this file.
    pub golden: Option<PathBuf>,
    /// How long compiling a component may take.
    pub compile_budget: Length<{ SECOND_MS }, { HOUR_MS }>,
    /// What a policy may ask: the interfaces of the contract. Default: all.
    #[schemars(with = "Vec<String>")]
    pub grants: Vec<GrantedInterface>,
    /// Keep instances and use them again, or make a fresh one for each call.
    pub isolation: IsolationMode,
    /// One judgement in so many is judged again in a fresh instance, to find
    /// policies that keep state. 0: none.
    pub double_judgement: Count<0, 1_000_000_000>,
    pub limits: PolicyLimits,
    pub trust: PolicyTrust,
    /// Settings for the whole fleet. Which keys there are is the policy's to
    /// say. Tenants and workspaces may have their own on top.
    pub settings: Settings,
    /// A folder with settings of tenants, relative to this file: `acme.toml` holds
    /// those of the tenant acme, and its `[workspaces.<name>]` those of its
    /// workspaces. Followed while the host runs.
    pub settings_dir: Option<PathBuf>,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            file: None,
            folder: None,
            watch: Watch::Off,
            require_signature: false,
            keys: Vec::new(),
            golden: None,
            compile_budget: Length::clamped(Millis::from_secs(60)),
            grants: granted_unless_said_otherwise(),
            isolation: IsolationMode::Warm,
            double_judgement: Count::clamped(u64::from(DOUBLE_JUDGEMENT)),
            limits: PolicyLimits::default(),
            trust: PolicyTrust::default(),
            settings: Settings::new(),
            settings_dir: None,
        }
    }
}

impl PolicyConfig {
    /// On what terms a policy runs here.
    pub fn terms(&self) -> Terms {
        let grants: Grants = self.grants.iter().map(|granted| granted.0).collect();
        Terms {
            limits: self.limits.limits(),
            grants,
            isolation: match self.isolation {
                IsolationMode::Warm => Isolation::Warm,
                IsolationMode::Fresh => Isolation::Fresh,
            },
            trust: self.trust.limits(),
        }
    }

    /// The key that is at fault, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.require_signature && self.keys.is_empty() {
            let message = "is on, and policy.keys names no key; name those that you trust";
            return Err(("require_signature", message.to_owned()));
        }
        for key in &self.keys {
            if let Err(error) = reprieve_runtime::registry::TrustedKey::parse(key) {
                return Err(("keys", error.to_string()));
            }
        }
        Ok(())
    }
}

/// All that can be asked. The types are nothing that is asked: everybody has them.
fn granted_unless_said_otherwise() -> Vec<GrantedInterface> {
    let asked = Interface::ALL.iter().filter(|interface| **interface != Interface::Types);
    asked.copied().map(GrantedInterface).collect()
}

/// What a change of a source leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Watch {
    /// Nothing.
    #[default]
    Off,
    /// It is checked, and does not come into force.
    Check,
    /// It is checked, and comes into force.
    Activate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IsolationMode {
    /// Instances are kept and used again.
    #[default]
    Warm,
    /// Each call has an instance of its own.
    Fresh,
}

/// An interface of the contract, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantedInterface(pub Interface);

impl TryFrom<String> for GrantedInterface {
    type Error = reprieve_runtime::NoInterface;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse().map(Self)
    }
}

impl From<GrantedInterface> for String {
    fn from(granted: GrantedInterface) -> Self {
        granted.0.as_str().to_owned()
    }
}

/// How much a policy may use. Beyond a limit the judgement falls back to BUSY,
/// and nothing else is touched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyLimits {
    /// The policy's own code, per call. It takes microseconds.
    pub guest_deadline: Length<2, { 10 * SECOND_MS }>,
    /// One fact that has to be fetched, a probe for example.
    pub fact_deadline: Length<10, { 60 * SECOND_MS }>,
    /// A whole judgement, with all that it fetches.
    pub decision_deadline: Length<10, { 10 * 60 * SECOND_MS }>,
    /// Calls for one judgement: one, and one more for each fact that had to be
    /// fetched.
    pub passes: Count<1, 64>,
    /// Questions in one call.
    pub host_calls: Count<1, 100_000>,
    /// Memory of one instance.
    pub memory: Size<{ 64 << 10 }, { 64 * MIB }>,
    /// Elements of one table of an instance.
    pub table_elements: Count<1, 1_000_000>,
    /// Sets of settings that one instance keeps open.
    pub sessions: Count<1, 100_000>,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        let limits = Limits::default();
        let millis = |length: std::time::Duration| {
            Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
        };
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self {
            guest_deadline: Length::clamped(millis(limits.guest_deadline)),
            fact_deadline: Length::clamped(millis(limits.fact_deadline)),
            decision_deadline: Length::clamped(millis(limits.decision_deadline)),
            passes: Count::clamped(u64::from(limits.passes)),
            host_calls: Count::clamped(u64::from(limits.host_calls)),
            memory: Size::clamped(count(limits.memory_bytes)),
            table_elements: Count::clamped(count(limits.table_elements)),
            sessions: Count::clamped(count(limits.sessions)),
        }
    }
}

impl PolicyLimits {
    fn limits(&self) -> Limits {
        Limits {
            guest_deadline: self.guest_deadline.get().as_duration(),
            fact_deadline: self.fact_deadline.get().as_duration(),
            decision_deadline: self.decision_deadline.get().as_duration(),
            passes: narrow(self.passes.get()),
            host_calls: narrow(self.host_calls.get()),
            memory_bytes: self.memory.bytes(),
            table_elements: wide(self.table_elements.get()),
            sessions: wide(self.sessions.get()),
        }
    }
}

/// When a policy that keeps failing is put aside for the one before it, and what
/// it takes to come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyTrust {
    /// So many failures within `window` make it distrusted.
    pub failures: Count<1, { TrustLimits::MAX_FAILURES as u64 }>,
    /// In which `failures` are counted.
    pub window: Length<{ SECOND_MS }, { 24 * HOUR_MS }>,
    /// How often a distrusted policy is tried. Twice as long each time that it relapses
    /// within an hour, up to 32 times.
    pub probe_every: Length<100, { HOUR_MS }>,
    /// Good answers, one after the other, that make it trusted again.
    pub good_in_a_row: Count<1, 1_000_000>,
}

impl Default for PolicyTrust {
    fn default() -> Self {
        let limits = TrustLimits::default();
        Self {
            failures: Count::clamped(u64::from(limits.failures)),
            window: Length::clamped(limits.window),
            probe_every: Length::clamped(limits.probe_every),
            good_in_a_row: Count::clamped(u64::from(limits.good_in_a_row)),
        }
    }
}

impl PolicyTrust {
    fn limits(&self) -> TrustLimits {
        TrustLimits {
            failures: narrow(self.failures.get()),
            window: self.window.get(),
            probe_every: self.probe_every.get(),
            good_in_a_row: narrow(self.good_in_a_row.get()),
        }
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wide(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
