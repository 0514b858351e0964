//! What befalls hosts, networks, stores and runtimes.

use reprieve_core::{
    evidence::{ProbeFault, Status},
    time::{Millis, UnixMillis},
};

/// Times in which something is so, the earliest first, none touching another.
#[derive(Clone, Debug, Default)]
struct Times(Vec<(UnixMillis, UnixMillis)>);

impl Times {
    /// Later ones begin no earlier.
    fn add(&mut self, from: UnixMillis, until: UnixMillis) {
        match self.0.last_mut() {
            Some((_, end)) if *end >= from => *end = (*end).max(until),
            _ => self.0.push((from, until)),
        }
    }

    /// Until when it is so. None: it is not.
    fn until(&self, at: UnixMillis) -> Option<UnixMillis> {
        let begun = self.0.partition_point(|(from, _)| *from <= at);
        let (_, until) = self.0.get(begun.checked_sub(1)?)?;
        (at < *until).then_some(*until)
    }
}

/// The runtime does not tell, or tells what is not so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Haze {
    pub(super) until: UnixMillis,
    pub(super) share: f64,
    pub(super) kind: HazeKind,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum HazeKind {
    Stall(ProbeFault),
    Lie(Status),
}

#[derive(Debug)]
pub(super) struct Weather {
    /// By host.
    cuts: Vec<Times>,
    pauses: Vec<Times>,
    stores: Times,
}

impl Weather {
    pub(super) fn new(hosts: usize) -> Self {
        let none = || vec![Times::default(); hosts];
        Self { cuts: none(), pauses: none(), stores: Times::default() }
    }

    pub(super) fn hosts(&self) -> usize {
        self.cuts.len()
    }

    pub(super) fn cut(&mut self, host: usize, now: UnixMillis, lasts: Millis) {
        self.cuts[host].add(now, now + lasts);
    }

    pub(super) fn pause(&mut self, host: usize, now: UnixMillis, lasts: Millis) {
        self.pauses[host].add(now, now + lasts);
    }

    pub(super) fn fail_stores(&mut self, now: UnixMillis, lasts: Millis) {
        self.stores.add(now, now + lasts);
    }

    pub(super) fn is_cut(&self, host: usize, now: UnixMillis) -> bool {
        self.cuts[host].until(now).is_some()
    }

    /// Until when the host stands still.
    pub(super) fn paused_until(&self, host: usize, now: UnixMillis) -> Option<UnixMillis> {
        self.pauses[host].until(now)
    }

    pub(super) fn stores_fail(&self, now: UnixMillis) -> bool {
        self.stores.until(now).is_some()
    }

    /// When that host has a beat that reaches it at `at`. None: never.
    pub(super) fn beat_arrives(&self, host: usize, at: UnixMillis) -> Option<UnixMillis> {
        if self.is_cut(host, at) {
            return None;
        }
        Some(self.paused_until(host, at).unwrap_or(at))
    }
}
