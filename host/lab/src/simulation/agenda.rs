//! What is to come, in order. What comes at the same moment comes in the order in
//! which it was planned.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use reprieve_core::{
    ids::LifeId,
    judgement::{ForwardFailure, Trigger},
    time::UnixMillis,
};

use super::traffic::Caller;

/// Something that happens at one moment. Hosts, workspaces and events of the
/// scenario are named by their places.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// An event of the scenario, at its time.
    Scripted { event: usize },
    /// The same, by chance, to this one.
    ByChance { event: usize, unit: usize },
    /// The same, to this workspace, after its spread.
    Hit { event: usize, workspace: usize },
    /// A spell or a boot begins or ends: who is to be asked sooner, is.
    Turn { workspace: usize },
    /// The runtime begins a run of its own accord.
    Revival { workspace: usize, run: u64 },
    /// The runtime's health check.
    Checked { workspace: usize, run: u64 },
    /// A beat, where somebody waits for one.
    Beat { workspace: usize, stamp: u32 },
    /// A request, where it may fail or somebody waits for a sign.
    Request { workspace: usize, stamp: u32 },
    /// A request beside those of the stream.
    Beside { workspace: usize },
    /// A request that fails although all is well.
    Reset { workspace: usize },
    /// A restart command has been carried out, or refused.
    Restarted { host: usize, workspace: usize, life: LifeId, refused: bool },
    /// At one host.
    At { host: usize, what: AtHost },
}

#[derive(Clone, Debug)]
pub(super) enum AtHost {
    /// A request got no usable answer.
    Failed {
        workspace: usize,
        caller: Caller,
    },
    Answered {
        workspace: usize,
        life: LifeId,
    },
    /// A delivery from the queue ended.
    Delivered {
        workspace: usize,
        life: LifeId,
        failure: Option<ForwardFailure>,
    },
    /// A probe ended, or its time is up.
    Looked {
        workspace: usize,
        stamp: u32,
        in_time: bool,
    },
    /// A `recheck` is due.
    Again {
        workspace: usize,
        stamp: u32,
    },
    /// The timer of judgements.
    Sweep {
        workspace: usize,
        stamp: u32,
    },
    /// The timer of wishes.
    TakeUp {
        workspace: usize,
        stamp: u32,
    },
    /// `Step::AskSettled`.
    AskSettled {
        workspace: usize,
    },
    /// A verdict is acted on late, as no host does it.
    ActLate {
        workspace: usize,
    },
    /// A person orders a restart.
    Ordered {
        workspace: usize,
    },
    /// The workspace's settings have changed.
    Revised {
        workspace: usize,
        revision: u64,
    },
    /// The host hears that a restart was carried out, or refused.
    CarriedOut {
        workspace: usize,
        life: LifeId,
        refused: bool,
    },
    /// The runtime reports something of that run.
    Reported {
        workspace: usize,
        run: u64,
        trigger: Trigger,
    },
    /// The runtime reports that another run began.
    Started {
        workspace: usize,
        run: u64,
    },
    Silence {
        stamp: u32,
    },
    /// The host measures how late it is, due then.
    Lag {
        due: UnixMillis,
    },
}

#[derive(Debug)]
struct Entry {
    at: UnixMillis,
    order: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BinaryHeap<Reverse<Entry>>,
    planned: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: UnixMillis, due: Due) {
        self.planned += 1;
        self.entries.push(Reverse(Entry { at, order: self.planned, due }));
    }

    /// The next, if it comes before `end`.
    pub(super) fn next(&mut self, end: UnixMillis) -> Option<(UnixMillis, Due)> {
        if self.entries.peek()?.0.at >= end {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| (entry.at, entry.due))
    }

    /// Everything that was ever planned.
    pub(super) const fn planned(&self) -> u64 {
        self.planned
    }
}
