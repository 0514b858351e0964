//! What is wrong with settings, in one shape whoever found it.

use reprieve_core::settings::{Change, Layer, Layers};
use reprieve_runtime::{GenerationRefused, LayerRefused, SettingsRefused};
use serde::Serialize;
use serde_json::Value;

use super::schema::SettingsSchema;

/// One thing that is wrong with settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingProblem {
    /// Whose settings. None: those that the change is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// The key; empty for the settings as a whole.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// With the value and what is allowed.
    pub message: String,
    /// "0s to 1h". None: nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

impl std::fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(layer) = &self.layer {
            write!(f, "{layer}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a change of `layer`: what the schema found, and
/// what the policy found beyond it. `layers`: as they would be.
pub(super) fn problems(
    found: Vec<SettingProblem>,
    refused: Option<GenerationRefused>,
    layer: &Layer,
    layers: &Layers,
    schema: &SettingsSchema,
) -> Vec<SettingProblem> {
    let mut problems = found;
    match refused {
        None => {}
        Some(GenerationRefused::Settings { refused, .. }) => {
            for refused in refused {
                for problem in of_layer(&refused, layers, schema) {
                    let own = refused.layer == *layer;
                    // Who checked first said the same.
                    if !own || !problems.iter().any(|known| known.path == problem.path) {
                        let of = (!own).then(|| refused.layer.clone());
                        problems.push(SettingProblem { layer: of, ..problem });
                    }
                }
            }
        }
        Some(refused @ GenerationRefused::NoOwner { .. }) => {
            problems.push(SettingProblem::whole(refused.to_string()));
        }
    }
    problems
}

/// What the policy says about one layer.
pub(super) fn of_layer(
    refused: &LayerRefused,
    layers: &Layers,
    schema: &SettingsSchema,
) -> Vec<SettingProblem> {
    let SettingsRefused::Problems(told) = &refused.reason else {
        return vec![SettingProblem::whole(refused.to_string())];
    };
    let problem = |told: &reprieve_runtime::Problem| {
        let setting = schema.setting(told.key());
        SettingProblem {
            layer: None,
            path: told.path.clone(),
            value: layers.value(std::slice::from_ref(&refused.layer), told.key()).cloned(),
            message: told.message.clone(),
            allowed: setting.and_then(super::schema::Setting::allowed),
        }
    };
    told.iter().map(problem).collect()
}

impl SettingProblem {
    pub(super) fn whole(message: String) -> Self {
        Self { layer: None, path: String::new(), value: None, message, allowed: None }
    }
}

pub(super) fn enumerated(problems: &[SettingProblem]) -> String {
    problems.iter().map(SettingProblem::to_string).collect::<Vec<_>>().join("\n")
}

/// "change 12 by ana, change 13 by bob"
pub(super) fn changes(changes: &[Change]) -> String {
    let name = |change: &Change| format!("change {} by {}", change.number, change.who);
    changes.iter().map(name).collect::<Vec<_>>().join(", ")
}
