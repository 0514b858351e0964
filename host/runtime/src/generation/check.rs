//! Opens a session of the policy with each distinct set of settings.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::RwLock;
use reprieve_core::{
    decision::GenerationRef,
    ids::Digest,
    settings::{self, Layer, Layers, Origin},
};

use super::Generation;
use crate::{
    CheckedSettings, GenerationRefused, LayerRefused, MAX_LAYERS_REFUSED, Policy, Problem,
    SettingsRefused,
};

/// The effective settings of somebody, and how a decision names them. Shared by
/// all generations of one policy in which they are the same.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) settings: CheckedSettings,
    /// As the newest generation that decided by them is named: made once for each,
    /// so a decision takes a reference and no copy.
    reference: RwLock<Arc<GenerationRef>>,
}

impl InForce {
    pub(super) fn new(number: u64, policy: &Policy, settings: CheckedSettings) -> Self {
        let reference = RwLock::new(Arc::new(reference(number, policy, settings.digest)));
        Self { settings, reference }
    }

    /// How decisions of `generation` by these settings name it.
    pub(crate) fn reference(&self, generation: &Generation) -> Arc<GenerationRef> {
        let known = Arc::clone(&self.reference.read());
        if known.number == generation.number {
            return known;
        }
        let made = reference(generation.number, &generation.policy, self.settings.digest);
        let made = Arc::new(made);
        let mut newest = self.reference.write();
        // An older generation that still decides leaves the newest in its place.
        if newest.number < made.number {
            newest.clone_from(&made);
        }
        made
    }
}

pub(super) fn reference(number: u64, policy: &Policy, settings: Digest) -> GenerationRef {
    let (policy, component) = (policy.label().to_owned(), policy.digest());
    GenerationRef { number, policy, component, settings }
}

/// Checks each distinct set of settings once.
pub(super) struct Checker<'a> {
    number: u64,
    policy: &'a Policy,
    layers: &'a Layers,
    checked: HashMap<Digest, Arc<InForce>>,
    refused: Vec<LayerRefused>,
    /// What was said of which value: said once, not once for each tenant that
    /// has it from the fleet.
    named: HashSet<(Origin, Problem)>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(number: u64, policy: &'a Policy, layers: &'a Layers) -> Self {
        let (checked, refused, named) = (HashMap::new(), Vec::new(), HashSet::new());
        Self { number, policy, layers, checked, refused, named }
    }

    /// What these layers, the weakest first, come to. None: refused. `former`:
    /// what their owner had before, of whichever policy.
    pub(super) fn check(
        &mut self,
        of: &[Layer],
        former: Option<&Arc<InForce>>,
    ) -> Option<Arc<InForce>> {
        if self.refused.len() >= MAX_LAYERS_REFUSED {
            return None;
        }
        let effective = self.layers.effective(of);
        let digest = settings::digest(&effective);
        let is_same = |former: &&Arc<InForce>| {
            former.settings.digest == digest
                && former.reference.read().component == self.policy.digest()
        };
        if let Some(same) = self.checked.get(&digest).or(former.filter(is_same)) {
            return Some(Arc::clone(same));
        }
        match self.policy.check_settings(&effective) {
            Ok(settings) => {
                let in_force = Arc::new(InForce::new(self.number, self.policy, settings));
                self.checked.insert(digest, Arc::clone(&in_force));
                Some(in_force)
            }
            Err(reason) => {
                self.refuse(of, reason);
                None
            }
        }
    }

    /// Nothing was refused.
    pub(super) fn end(self) -> Result<(), GenerationRefused> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let policy = self.policy.label().to_owned();
        Err(GenerationRefused::Settings { policy, refused: self.refused })
    }

    fn refuse(&mut self, of: &[Layer], reason: SettingsRefused) {
        let reason = match reason {
            SettingsRefused::Problems(mut problems) => {
                let had_some = !problems.is_empty();
                problems.retain(|problem| {
                    let origin = self.layers.origin(of, problem.key());
                    let weaker = matches!(&origin, Origin::Layer(at, _) if Some(at) != of.last());
                    self.named.insert((origin, problem.clone())) || !weaker
                });
                if had_some && problems.is_empty() {
                    return;
                }
                SettingsRefused::Problems(problems)
            }
            other => other,
        };
        if let Some(layer) = of.last().cloned() {
            self.refused.push(LayerRefused { layer, reason });
        }
    }
}
