//! One workspace: the container that runs it, its newest run, how that ended, and
//! the orders about it, one at a time.

use parking_lot::Mutex;
use reprieve_core::{
    evidence::{Sighting, Status},
    ids::{LifeId, WorkspaceId},
    ports::{LifeMark, Look, Report},
    time::{Millis, UnixMillis},
};
use url::Url;

use super::{
    container::{Container, Wanted},
    names::ContainerId,
    record::{OrderRecord, Outcome, Record},
    sighting::began_nanos,
};

/// A container that is removed this soon after its end was removed for being
/// there, not for being stopped: `docker rm -f` kills first. One that has lain
/// there for longer was cleared away by a person.
const REMOVED_WITH_ITS_RUN: Millis = Millis::from_secs(30);

const NANOS_PER_MILLI: u64 = 1_000_000;

pub(super) struct Slot {
    pub(super) workspace: WorkspaceId,
    /// Held for the length of an order: one at a time.
    pub(super) order: tokio::sync::Mutex<()>,
    /// Held while the record is written: the newest is written last.
    pub(super) writing: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

struct Known {
    record: Record,
    /// It ran when it was last heard of.
    runs: bool,
    /// What was last reported of it. None: nothing yet.
    told: Option<Told>,
    /// How its newest run ended, by the event stream.
    end: Option<End>,
    /// When its newest run was first known to have ended, by this host's clock.
    /// The daemon writes the end down some milliseconds after the process is gone,
    /// and by a clock of its own, which makes it no other end.
    end_known_since: Option<UnixMillis>,
    /// Some process of its newest run was killed for want of memory.
    wanted_memory: bool,
    /// Whose first process is being watched.
    watched: Option<LifeMark>,
    /// When its container was removed, by the event stream.
    removed: Option<UnixMillis>,
    /// It vanished while it ran, which was reported.
    is_lost: bool,
    /// An order is between the end of one run and the begin of the next.
    is_restarting: bool,
    ended_by_us: Option<EndedByUs>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) wanted: Wanted,
    pub(super) address: Option<Url>,
    pub(super) mark: Option<LifeMark>,
    pub(super) runs: bool,
}

#[derive(Clone, Copy)]
struct End {
    at: UnixMillis,
    by_hand: bool,
}

/// A run that an order of ours ends. The daemon's event about it looks like a
/// person's.
struct EndedByUs {
    container: ContainerId,
    run: Option<LifeMark>,
    /// When the next run began, by the daemon's clock.
    until_nanos: Option<u64>,
}

/// What to make of a container that is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vanished {
    /// A person took it away.
    Withdrawn,
    /// It ran a moment before: that is for the policy to judge.
    Lost,
    /// The same, and it was reported before.
    StillLost,
}

impl Slot {
    pub(super) fn new(record: Record) -> Self {
        Self {
            workspace: record.workspace.clone(),
            order: tokio::sync::Mutex::new(()),
            writing: tokio::sync::Mutex::new(()),
            known: Mutex::new(Known {
                record,
                runs: false,
                told: None,
                end: None,
                end_known_since: None,
                wanted_memory: false,
                watched: None,
                removed: None,
                is_lost: false,
                is_restarting: false,
                ended_by_us: None,
            }),
        }
    }

    pub(super) fn record(&self) -> Record {
        self.known.lock().record.clone()
    }

    pub(super) fn container(&self) -> ContainerId {
        self.known.lock().record.container.clone()
    }

    pub(super) fn mark(&self) -> Option<LifeMark> {
        self.known.lock().record.mark.clone()
    }

    pub(super) fn is_told(&self) -> bool {
        self.known.lock().told.is_some()
    }

    /// Takes in what was seen. Whether the record is another one now.
    pub(super) fn note(&self, container: &Container, parent: Option<&WorkspaceId>) -> bool {
        let mut known = self.known.lock();
        let known = &mut *known;
        let record = &mut known.record;
        let another_run = record.mark.as_ref() != container.mark();
        let changed = another_run
            || record.container != container.id
            || record.name != container.name
            || parent.is_some() && record.parent.as_ref() != parent;
        if changed {
            record.container = container.id.clone();
            record.name = container.name.clone();
            record.mark = container.mark().cloned();
            record.recipe = container.recipe.clone();
            record.parent = parent.cloned().or(record.parent.take());
        }
        if another_run {
            known.end = None;
            known.end_known_since = None;
            known.wanted_memory = false;
            let began = container.mark().and_then(began_nanos);
            if let Some(ended) = &mut known.ended_by_us
                && ended.until_nanos.is_none()
                && ended.run.as_ref() != container.mark()
            {
                ended.until_nanos = began;
            }
        }
        known.removed = None;
        known.is_lost = false;
        known.runs = container.runs();
        changed
    }

    /// Remembers what is being reported; returns what was before.
    pub(super) fn tell(&self, told: Told) -> Option<Told> {
        self.known.lock().told.replace(told)
    }

    /// The daemon reports the end of the newest run, and of no earlier one.
    pub(super) fn ended(&self, of: &ContainerId, at_nanos: u64, now: UnixMillis) -> bool {
        let mut known = self.known.lock();
        if known.is_old_news(of, at_nanos) {
            return false;
        }
        let at = millis(at_nanos);
        let by_hand = known.end.is_some_and(|end| end.by_hand);
        known.end = Some(End { at, by_hand });
        known.end_is_known(at, now);
        known.runs = false;
        if let Some(told) = &mut known.told {
            told.runs = false;
        }
        true
    }

    /// What is known of an end that was reported at that time, before anybody
    /// looked.
    pub(super) fn report_of_end(
        &self,
        at_nanos: u64,
        exit_code: Option<i32>,
        now: UnixMillis,
    ) -> Report {
        /// What the kernel leaves of a process that it killed.
        const KILLED: i32 = 137;
        let known = self.known.lock();
        let sighting = Sighting {
            ended: Some(millis(at_nanos).age(now)),
            exit_code,
            // Some process was killed: the first one, if that is how it ended.
            out_of_memory: known.wanted_memory && exit_code == Some(KILLED),
            ..Sighting::bare(Status::Stopped)
        };
        Report { sighting: known.unless_restarting(sighting), at: now }
    }

    pub(super) fn wants_memory(&self, of: &ContainerId, at_nanos: u64) {
        let mut known = self.known.lock();
        if !known.is_old_news(of, at_nanos) {
            known.wanted_memory = true;
        }
    }

    /// Whether nobody watches the first process of that run yet. From now on
    /// somebody does.
    pub(super) fn begin_to_watch(&self, run: &LifeMark) -> bool {
        let watched = &mut self.known.lock().watched;
        let is_new = watched.as_ref() != Some(run);
        if is_new {
            *watched = Some(run.clone());
        }
        is_new
    }

    /// The daemon reports that somebody had it end the newest run. Whether it was
    /// a person.
    pub(super) fn stopped(&self, of: &ContainerId, at_nanos: u64) -> bool {
        let mut known = self.known.lock();
        let ours = known.ended_by_us.as_ref().is_some_and(|ended| {
            ended.container == *of && ended.until_nanos.is_none_or(|until| at_nanos < until)
        });
        if ours || known.is_old_news(of, at_nanos) {
            return false;
        }
        known.end = Some(End { at: millis(at_nanos), by_hand: true });
        true
    }

    pub(super) fn removed(&self, of: &ContainerId, at_nanos: u64) -> bool {
        let mut known = self.known.lock();
        let is_it = known.record.container == *of;
        if is_it {
            known.removed = Some(millis(at_nanos));
            known.runs = false;
        }
        is_it
    }

    /// Both calls agree that nothing with its label is there.
    pub(super) fn vanish(&self, now: UnixMillis) -> Vanished {
        let mut known = self.known.lock();
        if known.is_lost || known.is_restarting || known.record.order_is_open() {
            return Vanished::StillLost;
        }
        let at = known.removed.unwrap_or(now);
        let ran_a_moment_before = match known.end {
            Some(end) => !end.by_hand && end.at.age(at) <= REMOVED_WITH_ITS_RUN,
            None => known.told.as_ref().is_some_and(|told| told.runs),
        };
        if known.record.mark.is_none() || !ran_a_moment_before {
            return Vanished::Withdrawn;
        }
        known.is_lost = true;
        if let Some(told) = &mut known.told {
            told.runs = false;
        }
        Vanished::Lost
    }

    /// What a probe brings home when nothing with its label is there.
    pub(super) fn missing(&self, now: UnixMillis) -> Look {
        let known = self.known.lock();
        let sighting = Sighting {
            ended: known.removed.map(|at| at.age(now)),
            ..Sighting::bare(Status::Missing)
        };
        Look { sighting: known.unless_restarting(sighting), mark: known.record.mark.clone() }
    }

    /// What a look at its container is, with what else is known of its newest run.
    pub(super) fn in_context(&self, look: Look, now: UnixMillis) -> Look {
        let mut known = self.known.lock();
        let mut sighting = known.unless_restarting(look.sighting);
        if let Some(ended) = &mut sighting.ended
            && look.mark == known.record.mark
        {
            *ended = known.end_is_known(now - *ended, now).age(now);
        }
        Look { sighting, ..look }
    }

    /// An order of ours is about to end the run, if one runs.
    pub(super) fn is_ending(&self, container: &ContainerId, run: Option<LifeMark>) {
        let (container, until_nanos) = (container.clone(), None);
        self.known.lock().ended_by_us = Some(EndedByUs { container, run, until_nanos });
    }

    pub(super) fn set_restarting(&self, is_restarting: bool) {
        self.known.lock().is_restarting = is_restarting;
    }

    pub(super) fn set_order(&self, order: OrderRecord) {
        self.known.lock().record.order = Some(order);
    }

    pub(super) fn conclude(&self, life: LifeId, outcome: Outcome) {
        if let Some(order) = &mut self.known.lock().record.order
            && order.life == life
        {
            order.outcome = outcome;
        }
    }
}

impl Known {
    /// About another container, or about a run before the newest.
    fn is_old_news(&self, of: &ContainerId, at_nanos: u64) -> bool {
        let began = self.record.mark.as_ref().and_then(began_nanos);
        self.record.container != *of || began.is_some_and(|began| at_nanos < began)
    }

    /// Since when it is, with the newest word of when it was. A clock that is ahead
    /// of this host's says nothing of the future.
    fn end_is_known(&mut self, at: UnixMillis, now: UnixMillis) -> UnixMillis {
        let at = at.min(now);
        *self.end_known_since.insert(self.end_known_since.map_or(at, |since| since.min(at)))
    }

    /// In the 200 ms between the two runs of a restart there is none to be seen.
    fn unless_restarting(&self, sighting: Sighting) -> Sighting {
        if self.is_restarting && sighting.status.is_down() {
            Sighting::bare(Status::Restarting)
        } else {
            sighting
        }
    }
}

impl Record {
    pub(super) fn order_is_open(&self) -> bool {
        self.order.as_ref().is_some_and(|order| order.outcome == Outcome::Open)
    }
}

fn millis(nanos: u64) -> UnixMillis {
    UnixMillis(nanos / NANOS_PER_MILLI)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BEGAN: &str = "2026-11-22T03:24:10Z";
    const BEGAN_AT: UnixMillis = UnixMillis(1_795_317_850_000);

    fn slot() -> Slot {
        let id = "e4023437deac8918".repeat(4);
        let record = json!({
            "workspace": "one", "container": id, "name": "one", "mark": format!("{id}@{BEGAN}"),
            "recipe": { "image": "agent", "config": {}, "host_config": {}, "networks": {} },
            "parent": null, "order": null,
        });
        Slot::new(serde_json::from_value(record).unwrap())
    }

    /// What a look at the ended run shows, by a clock that is so far ahead.
    fn age_of_the_end(slot: &Slot, ended: UnixMillis, ahead: Millis, now: UnixMillis) -> Millis {
        let ended = Some((ended + ahead).age(now));
        let sighting = Sighting { ended, ..Sighting::bare(Status::Stopped) };
        slot.in_context(Look { sighting, mark: slot.mark() }, now).sighting.ended.unwrap()
    }

    /// The policy believes an end that was there to be seen at the look before.
    #[test]
    fn an_end_is_as_old_as_it_has_been_known_whatever_the_clock_that_reports_it() {
        let (ended, second) = (BEGAN_AT + Millis(700), Millis::from_secs(2));
        for ahead in [Millis(0), Millis(1), Millis(3), Millis::from_secs(3_600)] {
            let reported = slot();
            let of = reported.container();
            let nanos = (ended + ahead).0 * NANOS_PER_MILLI;
            assert!(reported.ended(&of, nanos, ended));
            assert!(age_of_the_end(&reported, ended, ahead, ended + second) >= second, "{ahead}");

            let seen = slot();
            assert_eq!(age_of_the_end(&seen, ended, ahead, ended), Millis(0));
            assert_eq!(age_of_the_end(&seen, ended, ahead, ended + second), second, "{ahead}");
        }
    }
}
