//! Who has been silent for longer than its limit, and the signs of life that
//! say so.
//!
//! [`Liveness`] keeps the [`Signs`] of every workspace and watches the silence
//! of those that have a limit. A sign of life costs the same whether ten
//! workspaces are watched or a million, and asking who has expired costs nothing
//! for those that have not: see `watch.rs`. Each workspace takes about 170 bytes
//! beside its name, its place in the map included.
//!
//! A workspace is watched from its first heartbeat on. One that never beat says
//! nothing by its silence; once it beats, round trips count as signs too.

mod record;
mod watch;

use std::collections::{HashMap, VecDeque};

use self::{record::Record, watch::Watch};
use crate::{
    ids::{LifeId, WorkspaceId},
    ports::Signs,
    time::{Millis, UnixMillis},
};

/// What is kept of one workspace. None: the slot is free.
#[derive(Debug, Default)]
struct Entry {
    workspace: Option<WorkspaceId>,
    record: Record,
    /// Waits in [`Liveness::changed`].
    changed: bool,
}

/// The signs of life of all workspaces, and who has been silent for too long.
#[derive(Debug, Default)]
pub struct Liveness {
    slots: HashMap<WorkspaceId, u32>,
    entries: Vec<Entry>,
    /// Slots that may be used again.
    free: Vec<u32>,
    watch: Watch,
    /// Slots whose signs changed since they were last taken, in that order.
    changed: VecDeque<u32>,
}

impl Liveness {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many workspaces are known.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A heartbeat of that life. One of a life older than the newest that gave a
    /// sign is no news.
    pub fn beat(&mut self, workspace: &WorkspaceId, life: LifeId, at: UnixMillis) {
        let slot = self.slot_of(workspace);
        if self.entries[slot as usize].record.beat(life, at) {
            self.watch.sign(slot, at);
            self.mark(slot);
        }
    }

    /// A forwarded request that the workspace answered. Ends a silence, but only
    /// a heartbeat begins the watch.
    pub fn contact(&mut self, workspace: &WorkspaceId, life: LifeId, at: UnixMillis) {
        let slot = self.slot_of(workspace);
        let record = &mut self.entries[slot as usize].record;
        if record.contact(life, at) {
            if record.has_beaten() {
                self.watch.sign(slot, at);
            }
            self.mark(slot);
        }
    }

    /// Empty for a workspace that never gave a sign.
    pub fn signs(&self, workspace: &WorkspaceId) -> Signs {
        self.slots
            .get(workspace)
            .map(|slot| self.entries[*slot as usize].record.signs())
            .unwrap_or_default()
    }

    /// After how long a silence the workspace is reported. None: never. Held to
    /// [`Self::MAX_LIMIT`].
    pub fn set_limit(&mut self, workspace: &WorkspaceId, limit: Option<Millis>) {
        let slot = self.slot_of(workspace);
        self.watch.set_limit(slot, limit);
    }

    /// Counts the silence of a workspace from `now` on and reports it again: a
    /// restart began, or the report was looked into. Nothing for one that never
    /// beat.
    pub fn rearm(&mut self, workspace: &WorkspaceId, now: UnixMillis) {
        if let Some(slot) = self.slots.get(workspace) {
            self.watch.rearm(*slot, now);
        }
    }

    /// Forgets a workspace and its signs.
    pub fn remove(&mut self, workspace: &WorkspaceId) {
        if let Some(slot) = self.slots.remove(workspace) {
            self.watch.remove(slot);
            self.entries[slot as usize] = Entry::default();
            self.free.push(slot);
        }
    }

    /// Those that have been silent for their limit or longer, the longest overdue
    /// first, at most so many. Each is reported once, until its next sign,
    /// [`Self::rearm`] or another limit.
    pub fn expired(&mut self, now: UnixMillis, at_most: usize) -> Vec<WorkspaceId> {
        let mut expired = Vec::new();
        while expired.len() < at_most
            && let Some(slot) = self.watch.expire(now)
        {
            expired.extend(self.entries[slot as usize].workspace.clone());
        }
        expired
    }

    /// When the next workspace expires if it gives no sign.
    pub fn next_deadline(&self) -> Option<UnixMillis> {
        self.watch.next_deadline()
    }

    /// Takes back what was kept on disk. The silence counts from `now` on:
    /// nobody could be heard while the host was away.
    pub fn restore(&mut self, workspace: &WorkspaceId, signs: &Signs, now: UnixMillis) {
        let slot = self.slot_of(workspace);
        let record = Record::from(signs);
        if record.has_beaten() {
            self.watch.sign(slot, now);
        }
        self.entries[slot as usize].record = record;
    }

    /// Those whose signs changed since they were last taken, at most so many.
    pub fn take_changed(&mut self, at_most: usize) -> Vec<(WorkspaceId, Signs)> {
        let mut taken = Vec::with_capacity(at_most.min(self.changed.len()));
        while taken.len() < at_most
            && let Some(slot) = self.changed.pop_front()
        {
            let entry = &mut self.entries[slot as usize];
            // The slot may have been freed meanwhile, or taken already.
            if std::mem::take(&mut entry.changed)
                && let Some(workspace) = &entry.workspace
            {
                taken.push((workspace.clone(), entry.record.signs()));
            }
        }
        taken
    }

    /// What was taken could not be kept: it has to be taken again.
    pub fn mark_changed(&mut self, workspace: &WorkspaceId) {
        if let Some(slot) = self.slots.get(workspace) {
            self.mark(*slot);
        }
    }

    fn mark(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        if !entry.changed {
            entry.changed = true;
            self.changed.push_back(slot);
        }
    }

    fn slot_of(&mut self, workspace: &WorkspaceId) -> u32 {
        if let Some(slot) = self.slots.get(workspace) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            // 2^32 workspaces do not fit into memory.
            (self.entries.len() - 1) as u32
        });
        self.entries[slot as usize].workspace = Some(workspace.clone());
        self.slots.insert(workspace.clone(), slot);
        slot
    }
}

#[cfg(test)]
mod tests;
