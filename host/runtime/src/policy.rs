//! A checked policy: what it says of itself, and its warm instances.

use reprieve_core::{ids::Digest, judgement::Reason, settings::Settings, time::Millis};

use crate::SettingsRefused;

/// What a policy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema (2020-12) of the settings.
    pub settings_schema: serde_json::Value,
    pub reasons: Vec<Reason>,
}

/// Settings that the policy took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedSettings {
    pub canonical_json: String,
    pub digest: Digest,
    /// How long a silence may last before the host asks. None: for ever.
    pub silence_limit: Option<Millis>,
}

/// A component that this host can run.
#[derive(Debug)]
pub struct Policy {
    digest: Digest,
    description: Description,
    imports: Vec<String>,
}

impl Policy {
    /// Of the component's bytes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// What it imports: `reprieve:policy/probe@0.1.0`, …
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Opens a session with these settings. Blocks for microseconds.
    pub fn check_settings(&self, settings: &Settings) -> Result<CheckedSettings, SettingsRefused> {
        let _ = settings;
        Err(SettingsRefused::Problems(Vec::new()))
    }
}
