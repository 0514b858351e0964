//! Changes come into force, and go again.

use std::sync::Arc;

use reprieve_core::settings::{
    Change, ChangeNumber, Layer, Patch, Settings, Source, canonical_json,
};
use reprieve_runtime::{Generation, GenerationRefused, LayerChange, Owners};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    ChangeRefused, ChangeRequest, LiveSettings, MAX_LAYER_BYTES, MAX_PATCH_KEYS, MAX_WHY_BYTES,
    problem,
};
use crate::store::ChangeFilter;

/// A change that could be made: what it would lead to.
pub(super) struct Draft {
    pub(super) layer: Layer,
    pub(super) chain: Vec<Layer>,
    pub(super) before: Patch,
    /// All that would be applied in the layer.
    pub(super) applied: Settings,
    pub(super) owners: Owners,
}

impl LiveSettings {
    /// Makes the change: checked, then on disk, then in force. Every decision
    /// that begins after this has returned is made by it.
    pub async fn apply(&self, request: ChangeRequest) -> Result<Change, ChangeRefused> {
        self.blocking(move |own, handle| {
            let _one_at_a_time = own.0.one_at_a_time.lock();
            own.make(request, None, handle)
        })
        .await
    }

    /// Puts back what a change replaced. Refused if later changes touched the
    /// same settings, unless `force`.
    pub async fn undo(
        &self,
        number: ChangeNumber,
        who: String,
        why: String,
        force: bool,
    ) -> Result<Change, ChangeRefused> {
        self.blocking(move |own, handle| {
            let _one_at_a_time = own.0.one_at_a_time.lock();
            let done = handle.block_on(own.0.store.change(number))?;
            let done = done.ok_or(ChangeRefused::NoSuchChange(number))?;
            let layer = Some(done.layer.clone());
            let filter = ChangeFilter { layer, after: number, ..ChangeFilter::default() };
            let later = handle.block_on(own.0.store.changes(&filter))?;
            let overlaid: Vec<Change> = done.overlaid_by(&later).into_iter().cloned().collect();
            if !overlaid.is_empty() && !force {
                return Err(ChangeRefused::Overlaid { later: overlaid });
            }
            let Change { layer, before: patch, .. } = done;
            let request = ChangeRequest { layer, patch, who, why, expected: None };
            own.make(request, Some(number), handle)
        })
        .await
    }

    /// One change on record.
    pub async fn change(&self, number: ChangeNumber) -> Result<Change, ChangeRefused> {
        let found = self.0.store.change(number).await?;
        found.ok_or(ChangeRefused::NoSuchChange(number))
    }

    /// The changes on record, the newest first.
    pub async fn history(&self, filter: &ChangeFilter) -> Result<Vec<Change>, ChangeRefused> {
        Ok(self.0.store.changes(filter).await?)
    }

    fn make(
        &self,
        request: ChangeRequest,
        undo_of: Option<ChangeNumber>,
        handle: &Handle,
    ) -> Result<Change, ChangeRefused> {
        let draft = self.draft(&request, undo_of.is_some())?;
        let record = self.record();
        let known = record.layers.get(&request.layer).cloned().unwrap_or_default();
        let change = Change {
            number: record.newest.next(),
            at: self.0.clock.now(),
            who: request.who,
            why: request.why,
            layer: request.layer,
            before: draft.before.clone(),
            after: request.patch,
            undo_of,
        };
        let applied = known.after(&change);
        let former = self.0.current.snapshot();
        let in_force = self.0.current.update(|in_force| {
            let next = self.checked(in_force, &draft)?;
            // Durable first: whoever is killed now comes back with all of it.
            handle.block_on(self.0.store.record(&change, &applied))?;
            Ok::<_, ChangeRefused>(next)
        })?;
        let touched = self.touched(&former, &in_force);
        let mut next = (*record).clone();
        next.newest = change.number;
        next.layers.insert(change.layer.clone(), applied);
        *self.0.record.write() = Arc::new(next);
        self.0.supervisor.silence_limits_changed(&touched);
        tracing::info!(
            change = change.number.0,
            layer = change.layer.to_path(),
            who = change.who,
            why = change.why,
            undo_of = undo_of.map(|undone| undone.0),
            workspaces = touched.len(),
            "settings changed"
        );
        Ok(change)
    }

    /// What a change would lead to, as far as that can be told without the policy.
    pub(super) fn draft(
        &self,
        request: &ChangeRequest,
        is_undo: bool,
    ) -> Result<Draft, ChangeRefused> {
        let ChangeRequest { layer, patch, why, expected, .. } = request;
        let too_large = |what, size, limit| ChangeRefused::TooLarge { what, size, limit };
        if patch.is_empty() {
            return Err(ChangeRefused::Empty);
        }
        if patch.len() > MAX_PATCH_KEYS {
            return Err(too_large("the change", patch.len(), MAX_PATCH_KEYS));
        }
        if why.len() > MAX_WHY_BYTES {
            return Err(too_large("the reason", why.len(), MAX_WHY_BYTES));
        }
        let (record, chain) = (self.record(), self.chain(layer)?);
        let version = record.version(layer);
        if let Some(expected) = expected.filter(|expected| *expected != version) {
            return Err(ChangeRefused::Stale { layer: layer.clone(), expected, version });
        }
        let known = record.layers.get(layer).cloned().unwrap_or_default();
        let mut applied = known.settings();
        for (key, value) in patch {
            match value {
                Value::Null if applied.remove(key).is_none() && !is_undo => {
                    let (layer, key) = (layer.clone(), key.clone());
                    return Err(ChangeRefused::NothingApplied { layer, key });
                }
                Value::Null => {}
                value => drop(applied.insert(key.clone(), value.clone())),
            }
        }
        let bytes = canonical_json(&applied).len();
        if bytes > MAX_LAYER_BYTES {
            return Err(too_large("what would be applied in the layer", bytes, MAX_LAYER_BYTES));
        }
        let owners = match &chain[..] {
            [_, Layer::Tenant(tenant), Layer::Workspace(id)] => {
                [(id.clone(), tenant.clone())].into()
            }
            _ => Owners::new(),
        };
        let (layer, before) = (layer.clone(), known.before(patch));
        Ok(Draft { layer, chain, before, applied, owners })
    }

    /// The generation that the change leads to, or everything that is wrong.
    pub(super) fn checked(
        &self,
        in_force: &Generation,
        draft: &Draft,
    ) -> Result<Generation, ChangeRefused> {
        let (schema, mut layers) = (self.schema(in_force), in_force.layers().clone());
        layers.set(Source::Applied, &draft.layer, Arc::new(draft.applied.clone()));
        let found = schema.problems(&layers.effective(&draft.chain));
        let change = LayerChange {
            layer: draft.layer.clone(),
            source: Source::Applied,
            settings: draft.applied.clone(),
        };
        let next: Result<Generation, GenerationRefused> =
            in_force.with_settings(&[change], &draft.owners);
        let (next, refused) = match next {
            Ok(next) => (Some(next), None),
            Err(refused) => (None, Some(refused)),
        };
        let problems = problem::problems(found, refused, &draft.layer, &layers, &schema);
        match next {
            Some(next) if problems.is_empty() => Ok(next),
            _ => Err(ChangeRefused::Problems(problems)),
        }
    }
}
