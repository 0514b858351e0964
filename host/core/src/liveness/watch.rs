//! Watches silences, at a cost that does not grow with how many keep beating.
//!
//! Signs arrive in the order of time, so among workspaces with the same limit
//! the one whose sign is oldest expires first. Each distinct limit therefore has
//! a doubly-linked list through the slots, oldest sign first: a sign moves its
//! slot to the end, and only the heads can expire. What does not fit that order
//! (a limit that changed, a sign that was reported late, a limit too many) goes
//! to a sorted remainder, exact too but logarithmic, until its next sign.

use std::collections::BTreeSet;

use crate::{
    liveness::Liveness,
    time::{Millis, UnixMillis},
};

/// Distinct limits with a list of their own. Settings give a handful; beyond it
/// the sorted remainder serves.
const MAX_LISTS: usize = 32;

/// No slot: the end of a list.
const NONE: u32 = u32::MAX;

impl Liveness {
    /// Longer silences are not told apart: 49 days.
    pub const MAX_LIMIT: Millis = Millis(u32::MAX as u64);
}

/// Where a slot waits for its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Not watched, or reported.
    #[default]
    Nowhere,
    List(u8),
    Sorted,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Silent since. Never moves back.
    since: UnixMillis,
    /// 0: no limit.
    limit_ms: u32,
    before: u32,
    after: u32,
    place: Place,
    /// Gave a sign or was rearmed: there is a silence to measure.
    begun: bool,
}

const _: () = assert!(size_of::<Node>() <= 32);

impl Default for Node {
    fn default() -> Self {
        Self {
            since: UnixMillis(0),
            limit_ms: 0,
            before: NONE,
            after: NONE,
            place: Place::Nowhere,
            begun: false,
        }
    }
}

impl Node {
    fn deadline(&self) -> UnixMillis {
        self.since + Millis(u64::from(self.limit_ms))
    }
}

/// The slots with one limit, longest silent first. Empty, it may serve another
/// limit.
#[derive(Clone, Copy, Debug)]
struct List {
    limit_ms: u32,
    first: u32,
    last: u32,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    nodes: Vec<Node>,
    lists: Vec<List>,
    sorted: BTreeSet<(UnixMillis, u32)>,
}

impl Watch {
    /// A sign of life. One older than the newest is no news.
    pub(super) fn sign(&mut self, slot: u32, at: UnixMillis) {
        let node = self.node(slot);
        if !node.begun || at > node.since {
            self.watch_from(slot, at);
        }
    }

    /// Nothing for a slot that never gave a sign.
    pub(super) fn rearm(&mut self, slot: u32, now: UnixMillis) {
        if self.node(slot).begun {
            self.watch_from(slot, now);
        }
    }

    pub(super) fn set_limit(&mut self, slot: u32, limit: Option<Millis>) {
        let limit = limit.map_or(0, |limit| limit.0.clamp(1, Liveness::MAX_LIMIT.0));
        let limit_ms = u32::try_from(limit).unwrap_or(u32::MAX);
        if self.node(slot).limit_ms != limit_ms {
            self.detach(slot);
            self.nodes[slot as usize].limit_ms = limit_ms;
            self.place(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if (slot as usize) < self.nodes.len() {
            self.detach(slot);
            self.nodes[slot as usize] = Node::default();
        }
    }

    /// Takes the slot that is longest overdue.
    pub(super) fn expire(&mut self, now: UnixMillis) -> Option<u32> {
        let (deadline, slot) = self.earliest()?;
        if deadline > now {
            return None;
        }
        self.detach(slot);
        Some(slot)
    }

    pub(super) fn next_deadline(&self) -> Option<UnixMillis> {
        self.earliest().map(|(deadline, _)| deadline)
    }

    fn earliest(&self) -> Option<(UnixMillis, u32)> {
        let heads = self.lists.iter().filter(|list| list.first != NONE);
        heads
            .map(|list| (self.nodes[list.first as usize].deadline(), list.first))
            .chain(self.sorted.first().copied())
            .min()
    }

    fn node(&mut self, slot: u32) -> &mut Node {
        let slot = slot as usize;
        if slot >= self.nodes.len() {
            self.nodes.resize(slot + 1, Node::default());
        }
        &mut self.nodes[slot]
    }

    fn watch_from(&mut self, slot: u32, at: UnixMillis) {
        self.detach(slot);
        let node = &mut self.nodes[slot as usize];
        node.since = node.since.max(at);
        node.begun = true;
        self.place(slot);
    }

    /// Puts a detached slot where it waits for its deadline, if it has one.
    fn place(&mut self, slot: u32) {
        let node = self.nodes[slot as usize];
        if node.limit_ms == 0 || !node.begun {
            return;
        }
        let list = self.list_for(node.limit_ms);
        let last = list.map(|list| self.lists[list].last);
        match (list, last) {
            (Some(list), Some(last))
                if last == NONE || self.nodes[last as usize].since <= node.since =>
            {
                self.append(list, slot);
            }
            _ => {
                self.sorted.insert((node.deadline(), slot));
                self.nodes[slot as usize].place = Place::Sorted;
            }
        }
    }

    /// The list of that limit, or one that may become it.
    fn list_for(&mut self, limit_ms: u32) -> Option<usize> {
        if let Some(list) = self.lists.iter().position(|list| list.limit_ms == limit_ms) {
            return Some(list);
        }
        let fresh = List { limit_ms, first: NONE, last: NONE };
        if let Some(list) = self.lists.iter().position(|list| list.first == NONE) {
            self.lists[list] = fresh;
            return Some(list);
        }
        if self.lists.len() == MAX_LISTS {
            return None;
        }
        self.lists.push(fresh);
        Some(self.lists.len() - 1)
    }

    fn append(&mut self, list: usize, slot: u32) {
        let last = std::mem::replace(&mut self.lists[list].last, slot);
        if last == NONE {
            self.lists[list].first = slot;
        } else {
            self.nodes[last as usize].after = slot;
        }
        let node = &mut self.nodes[slot as usize];
        (node.before, node.after) = (last, NONE);
        // At most MAX_LISTS, so it fits.
        node.place = Place::List(list as u8);
    }

    /// Takes a slot from where it waits.
    fn detach(&mut self, slot: u32) {
        let node = *self.node(slot);
        match node.place {
            Place::Nowhere => return,
            Place::Sorted => {
                self.sorted.remove(&(node.deadline(), slot));
            }
            Place::List(list) => {
                let list = &mut self.lists[list as usize];
                match node.before {
                    NONE => list.first = node.after,
                    before => self.nodes[before as usize].after = node.after,
                }
                match node.after {
                    NONE => list.last = node.before,
                    after => self.nodes[after as usize].before = node.before,
                }
            }
        }
        self.nodes[slot as usize].place = Place::Nowhere;
    }
}
