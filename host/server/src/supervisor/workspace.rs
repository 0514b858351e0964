//! One workspace as the supervisor holds it.

use std::sync::{Arc, atomic::AtomicBool};

use parking_lot::Mutex;
use reprieve_core::{
    evidence::Subject,
    ids::{LifeId, TenantId, WorkspaceId},
    incident::{Incident, Standing},
    ports::LifeMark,
    reports::Reports,
    supervision::Pace,
    time::UnixMillis,
};
use reprieve_runtime::Who;
use tokio::sync::Notify;
use url::Url;

use super::{sharing::Coming, timers::Timers};
use crate::proxy::fleet::Route;

/// A workspace as it was configured.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkspaceSpec {
    pub id: WorkspaceId,
    pub tenant: TenantId,
    /// Which kind of backend runs it; `external` where none does.
    pub kind: String,
    pub labels: Vec<(String, String)>,
    pub queues_for_itself: bool,
    /// What the workspace shows when it reports. Never logged.
    pub token: String,
    /// Where it listens, if the configuration says so.
    pub address: Option<Url>,
    /// Restarted after each restart of these: they share what a restart takes
    /// away, a network namespace for example.
    pub depends_on: Vec<WorkspaceId>,
    /// Its runtime describes it, not the configuration. Whether it shall run is
    /// then the runtime's to show: it is not started for the first time here.
    pub discovered: bool,
    /// Its runs end with this host, and are begun again when it comes back.
    pub ends_with_host: bool,
}

impl std::fmt::Debug for WorkspaceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkspaceSpec")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl WorkspaceSpec {
    /// Some backend here can restart it.
    pub fn is_restartable(&self) -> bool {
        self.kind != "external"
    }
}

#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) spec: WorkspaceSpec,
    pub(super) who: Who,
    pub(super) live: Mutex<Live>,
    /// The judgement under way, for others to join.
    pub(super) under_way: Mutex<Option<Coming>>,
    pub(super) timers: Timers,
    pub(super) draining: AtomicBool,
    pub(super) pace: Mutex<Pace>,
    /// Told whenever a restart of it was carried out, or was not.
    pub(super) restarted: Notify,
}

/// What changes about a workspace.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) incident: Incident,
    /// Where the backend put it.
    pub(super) owned_address: Option<Url>,
    /// Where it says that it listens.
    pub(super) own_word: Option<Url>,
    pub(super) queues_for_itself: bool,
    /// Which run the runtime shows, as last seen.
    pub(super) mark: Option<LifeMark>,
    /// The run that a person ended through the runtime itself.
    pub(super) ended_by_hand: Option<LifeMark>,
    /// Since when the runtime could not be asked about it.
    pub(super) blind_since: Option<UnixMillis>,
    pub(super) reports: Reports,
}

impl Live {
    pub(super) fn address(&self) -> Option<&Url> {
        self.own_word.as_ref().or(self.owned_address.as_ref())
    }

    /// The runtime shows this run; whether it is another one than the newest
    /// life's, which somebody else began. While a restart is in flight it is that
    /// restart's own or the one that it ends: who carries it out tells which.
    pub(super) fn notice_run(&mut self, mark: Option<LifeMark>, address: Option<Url>) -> bool {
        if self.incident.is_in_flight() {
            return false;
        }
        let is_first = self.incident.life() == LifeId::default();
        // Where the life's run is not known yet, it is this one.
        let is_another = is_first || (self.mark.is_some() && self.mark != mark);
        self.mark = mark;
        if address.is_some() {
            self.owned_address = address;
        }
        is_another
    }

    /// The runtime reports something of that run; whether it is a reason to judge.
    /// While a restart is in flight it is not: it is about the run that is ended.
    pub(super) fn take_report(&mut self, of: Option<&LifeMark>) -> bool {
        let of_this_run = match (of, &self.mark) {
            (Some(reported), Some(known)) => reported == known,
            (None, _) | (_, None) => true,
        };
        let is_a_reason = of_this_run && self.may_be_judged();
        if is_a_reason {
            self.reports.tell(self.incident.life());
        }
        is_a_reason
    }

    /// A run is found that may have been going on for long. What was reported of it
    /// before, nobody heard; what was since so many had been told, is of this life.
    pub(super) fn found(&mut self, is_unhealthy: bool, told: u64) {
        if is_unhealthy || self.reports.told() > told {
            self.reports.tell(self.incident.life());
        }
    }

    /// It is wanted, and no restart of it is in flight.
    pub(super) fn may_be_judged(&self) -> bool {
        self.incident.standing() == Standing::Wanted && !self.incident.is_in_flight()
    }

    /// The runtime reported something of this life that nobody has looked into.
    pub(super) fn owes_a_look(&self) -> bool {
        self.reports.are_owed(self.incident.life())
    }

    /// The backend put the workspace there.
    pub(super) fn owns(&self, asked: Option<&Url>) -> bool {
        let (Some(own), Some(asked)) = (&self.owned_address, asked) else { return false };
        own.host() == asked.host() && own.port_or_known_default() == asked.port_or_known_default()
    }
}

impl Workspace {
    pub(super) fn new(spec: WorkspaceSpec, live: Live) -> Arc<Self> {
        Arc::new(Self {
            who: Who { tenant: spec.tenant.clone(), workspace: spec.id.clone() },
            live: Mutex::new(live),
            under_way: Mutex::default(),
            timers: Timers::default(),
            draining: AtomicBool::default(),
            pace: Mutex::default(),
            restarted: Notify::new(),
            spec,
        })
    }

    pub(super) fn id(&self) -> &WorkspaceId {
        &self.spec.id
    }

    pub(super) fn life(&self) -> LifeId {
        self.live.lock().incident.life()
    }

    /// The backend put its run there, if it said so.
    pub(super) fn placed_at(&self, address: Option<Url>) {
        if address.is_some() {
            self.live.lock().owned_address = address;
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject {
            id: self.spec.id.to_string(),
            tenant: self.spec.tenant.to_string(),
            kind: self.spec.kind.clone(),
            labels: self.spec.labels.clone(),
        }
    }

    pub(super) fn route(&self) -> Route {
        let live = self.live.lock();
        Route {
            tenant: self.spec.tenant.clone(),
            life: live.incident.life(),
            state: live.incident.state(),
            owned: live.own_word.is_none() || live.owns(live.own_word.as_ref()),
            address: live.address().cloned(),
            queues_for_itself: live.queues_for_itself,
        }
    }
}

#[cfg(test)]
mod tests {
    use reprieve_core::ids::Revision;

    use super::*;

    #[test]
    fn another_run_is_one_that_is_not_the_newest_lifes() {
        let mark = |name: &str| LifeMark(name.to_owned());
        for (case, life, known, seen, expected) in [
            ("the first that is seen", 0, None, "b", true),
            ("the newest life's", 1, Some("a"), "a", false),
            ("another", 1, Some("a"), "b", true),
            ("which one the life is was not known yet", 1, None, "b", false),
        ] {
            let incident = Incident::new(
                Standing::Wanted,
                true,
                LifeId(life),
                Revision::default(),
                Revision::default(),
            );
            let mut live = Live {
                incident,
                owned_address: None,
                own_word: None,
                queues_for_itself: false,
                mark: known.map(mark),
                ended_by_hand: None,
                blind_since: None,
                reports: Reports::default(),
            };
            assert_eq!(live.notice_run(Some(mark(seen)), None), expected, "{case}");
            assert_eq!(live.mark, Some(mark(seen)), "{case}");
            assert!(!live.notice_run(Some(mark(seen)), None) || life == 0, "{case}: again");
        }
    }
}
