//! What was applied is taken back when the host starts.

use reprieve_core::settings::{AppliedLayer, Layer, Source};
use reprieve_runtime::{Generation, GenerationRefused, LayerChange, Owners};

use crate::store::AllApplied;

/// The generation with everything in force that was applied before and that the
/// policy still takes. What it refuses is named in the log and stays on record,
/// out of force: an old change must not keep the host from starting.
///
/// Blocks for microseconds per layer.
pub fn with_applied(generation: Generation, applied: &AllApplied, owners: &Owners) -> Generation {
    let change = |(layer, own): (&Layer, &AppliedLayer)| LayerChange {
        layer: layer.clone(),
        source: Source::Applied,
        settings: own.settings(),
    };
    let changes: Vec<LayerChange> =
        applied.iter().filter(|(_, own)| !own.values.is_empty()).map(change).collect();
    let owners =
        owners.iter().filter(|(id, _)| applied.contains_key(&Layer::Workspace((*id).clone())));
    let owners: Owners = owners.map(|(id, tenant)| (id.clone(), tenant.clone())).collect();
    taken(generation, &changes, &owners)
}

/// As many of the changes as the policy takes. Halves what is refused until the
/// one at fault is found: where nothing is refused, that is one step.
fn taken(generation: Generation, changes: &[LayerChange], owners: &Owners) -> Generation {
    if changes.is_empty() {
        return generation;
    }
    match generation.with_settings(changes, owners) {
        Ok(next) => next,
        Err(refused) => match changes {
            [one] => {
                set_aside(one, &refused);
                generation
            }
            some => {
                let (weaker, nearer) = some.split_at(some.len() / 2);
                taken(taken(generation, weaker, owners), nearer, owners)
            }
        },
    }
}

fn set_aside(change: &LayerChange, refused: &GenerationRefused) {
    let layer = change.layer.to_path();
    tracing::error!(layer, %refused,
        "applied settings are set aside: the policy refuses them now; undo them, or apply others");
}
