//! The generation that an experiment's candidate judges by.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use reprieve_core::{experiment::Experiment, settings::Layer};

use super::{Generation, InForce, check::Checker};
use crate::{GenerationRefused, Policy};

impl Generation {
    /// The same as this one, but for the candidate's policy, and its settings over
    /// everybody's. Only who can take part is put to the candidate.
    ///
    /// `former`: an earlier generation and its candidate. Whoever has in this one
    /// what he had in that keeps what he had of the candidate.
    pub(crate) fn candidate(
        &self,
        policy: Option<&Arc<Policy>>,
        experiment: &Experiment,
        former: Option<(&Self, &Self)>,
    ) -> Result<Self, GenerationRefused> {
        let policy = Arc::clone(policy.unwrap_or(&self.policy));
        let over = Arc::new(experiment.candidate.settings.clone());
        let layers = self.layers.clone().under(over);
        let former = former.filter(|(_, candidate)| candidate.policy.digest() == policy.digest());
        let takes_part = |tenant| {
            let tenants = &experiment.target.tenants;
            tenants.is_empty() || tenants.contains(tenant)
        };
        let mut checker = Checker::new(self.number, &policy, &layers);
        let fleet = match former.filter(|(was, _)| Arc::ptr_eq(&was.fleet, &self.fleet)) {
            Some((_, candidate)) => Some(Arc::clone(&candidate.fleet)),
            None => checker.check(&[Layer::Fleet], None),
        };
        let mut tenants = HashMap::new();
        for (tenant, own) in self.tenants.iter().filter(|(tenant, _)| takes_part(tenant)) {
            let known = former.and_then(|(was, candidate)| {
                kept(&was.tenants, &candidate.tenants, tenant, |known| Arc::ptr_eq(known, own))
            });
            let checked = known.or_else(|| checker.check(&Layer::of_tenant(tenant), None));
            tenants.extend(checked.map(|checked| (tenant.clone(), checked)));
        }
        let mut workspaces = HashMap::new();
        for (id, (tenant, own)) in self.workspaces.iter().filter(|(_, (of, _))| takes_part(of)) {
            let known = former.and_then(|(was, candidate)| {
                let is_same =
                    |known: &(_, Arc<InForce>)| known.0 == *tenant && Arc::ptr_eq(&known.1, own);
                kept(&was.workspaces, &candidate.workspaces, id, is_same)
            });
            let checked = known.map(|(_, known)| known);
            let checked = checked.or_else(|| checker.check(&Layer::of_workspace(tenant, id), None));
            workspaces.extend(checked.map(|checked| (id.clone(), (tenant.clone(), checked))));
        }
        checker.end()?;
        let Some(fleet) = fleet else {
            // It was refused, so the checker has said so.
            return Err(GenerationRefused::Settings {
                policy: policy.label().to_owned(),
                refused: Vec::new(),
            });
        };
        Ok(Self { number: self.number, policy, layers, fleet, tenants, workspaces })
    }
}

/// What a candidate has for somebody who had the same before.
fn kept<K: Hash + Eq, V: Clone>(
    was: &HashMap<K, V>,
    candidate: &HashMap<K, V>,
    of: &K,
    is_same: impl FnOnce(&V) -> bool,
) -> Option<V> {
    was.get(of).filter(|known| is_same(known))?;
    candidate.get(of).cloned()
}
