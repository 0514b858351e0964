//! Beats, requests and the queue, where somebody waits for them or they may fail.

use reprieve_core::{
    decision::{Finding, Outcome},
    ids::LifeId,
    incident::{Step, WorkspaceState},
    judgement::{ForwardFailure, Trigger},
    queue,
    reply::{self, Kind, Manners, Progress, Reply},
    time::Millis,
};

use super::{
    Fault, Happening, Simulation, Truth,
    agenda::{AtHost, Due},
    truth::SpellKind,
    workspace::Item,
};

/// How long an ordinary answer takes.
const ANSWER_TAKES: Millis = Millis(50);
/// How long a delivery may take where no request of the group says so.
const PATIENCE: Millis = Millis::from_secs(30);

/// A request that waits for a judgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) failure: ForwardFailure,
}

/// What becomes of a request, and when that is known.
enum Fate {
    Answered(Millis),
    Failed(ForwardFailure, Millis),
}

impl Simulation<'_> {
    /// Lets beats and requests of a workspace be events from here on, if somebody
    /// waits for them.
    pub(super) fn rouse(&mut self, w: usize) {
        if !self.workspaces[w].awake && self.is_of_interest(w) {
            self.workspaces[w].awake = true;
            self.plan_beat(w);
            self.plan_request(w);
        }
    }

    /// The same, where what was planned may not be so any more.
    pub(super) fn rouse_anew(&mut self, w: usize) {
        let workspace = &mut self.workspaces[w];
        workspace.awake = false;
        workspace.beat_stamp = workspace.beat_stamp.wrapping_add(1);
        workspace.request_stamp = workspace.request_stamp.wrapping_add(1);
        self.rouse(w);
    }

    fn is_of_interest(&self, w: usize) -> bool {
        let workspace = &self.workspaces[w];
        let is_waited_for = workspace.unheard
            || !workspace.kept.queue.is_empty()
            || self.hosts.iter().any(|host| {
                let live = &host.live[w];
                let incident = &live.incident;
                live.suspected
                    || incident.is_settling()
                    || incident.is_unseen()
                    || incident.state() == WorkspaceState::Offline
            });
        is_waited_for
            || self.truth(w) != Truth::Healthy
            || (0..self.hosts.len()).any(|host| self.weather.is_cut(host, self.now))
    }

    fn plan_beat(&mut self, w: usize) {
        let workspace = &self.workspaces[w];
        if workspace.restarting.is_some() {
            return;
        }
        let next = self
            .pulse(w)
            .and_then(|pulse| workspace.run.next_arrival(&pulse, &self.weather, self.now));
        if let Some(at) = next {
            let stamp = workspace.beat_stamp;
            self.agenda.plan(at, Due::Beat { workspace: w, stamp });
        }
    }

    fn plan_request(&mut self, w: usize) {
        if let Some(at) = self.stream(w).and_then(|stream| stream.next(self.now)) {
            let stamp = self.workspaces[w].request_stamp;
            self.agenda.plan(at, Due::Request { workspace: w, stamp });
        }
    }

    pub(super) fn beat(&mut self, w: usize, stamp: u32) {
        if stamp != self.workspaces[w].beat_stamp {
            return;
        }
        let workspace = &self.workspaces[w];
        let newest = self
            .pulse(w)
            .and_then(|pulse| workspace.run.arrivals(&pulse, &self.weather, self.now, 1).pop());
        // A spell may have kept it from being sent since it was planned.
        if newest == Some(self.now) && workspace.restarting.is_none() {
            let first = workspace.run.host_of_beat(self.now, self.hosts.len());
            let hosts = (first..self.hosts.len()).chain(0..first);
            let hears = |h: &usize| !self.weather.is_cut(*h, self.now);
            if let Some(h) = hosts.into_iter().find(hears) {
                self.hear(h, w);
            }
        }
        if self.is_of_interest(w) {
            self.plan_beat(w);
        } else {
            self.workspaces[w].awake = false;
        }
    }

    /// A beat comes to a host.
    fn hear(&mut self, h: usize, w: usize) {
        let (at, workspace) = (self.now, &self.workspaces[w].who.workspace);
        (self.happens)(Happening::Beat { at, workspace });
        if std::mem::take(&mut self.workspaces[w].unheard) {
            self.heard(w);
        }
        let life = self.hosts[h].live[w].incident.life();
        self.sign(h, w, life);
        self.drain(h, w);
    }

    /// The workspace gave a sign of that life.
    fn sign(&mut self, h: usize, w: usize, life: LifeId) {
        let live = &mut self.hosts[h].live[w];
        if live.incident.life() != life {
            return;
        }
        let is_first = live.incident.is_unseen();
        let steps = live.incident.sign(life);
        // Only the first sign tells something new of a life that settles.
        let is_known = !is_first && steps == [Step::AskSettled];
        let steps = if is_known && live.judge.set_for.is_some() { vec![] } else { steps };
        self.suspect(h, w, false);
        self.carry_out(h, w, steps);
    }

    pub(super) fn suspect(&mut self, h: usize, w: usize, suspected: bool) {
        let who = &self.workspaces[w].who;
        self.hosts[h].live[w].suspected = suspected;
        self.hosts[h].suspect(&who.tenant, &who.workspace, suspected, self.now);
    }

    pub(super) fn contact(&mut self, h: usize, w: usize, life: LifeId) {
        self.sign(h, w, life);
    }

    /// A request of the stream arrives.
    pub(super) fn requested(&mut self, w: usize, stamp: u32) {
        if stamp != self.workspaces[w].request_stamp {
            return;
        }
        let hosts = self.hosts.len();
        let h = self.stream(w).map_or(0, |stream| stream.host(self.now, hosts));
        self.forward(h, w);
        if self.is_of_interest(w) {
            self.plan_request(w);
        } else {
            self.workspaces[w].awake = false;
        }
    }

    /// A request arrives beside those of every day.
    pub(super) fn requested_beside(&mut self, w: usize) {
        self.measures.requests += 1;
        let h = (self.draw() * self.hosts.len() as f64) as usize;
        self.forward(h, w);
    }

    fn forward(&mut self, h: usize, w: usize) {
        let life = self.hosts[h].live[w].incident.life();
        match self.fate(h, w) {
            Fate::Answered(after) => {
                self.plan_at(self.now + after, h, AtHost::Answered { workspace: w, life });
            }
            Fate::Failed(failure, after) => {
                let caller = Caller { failure };
                let what = AtHost::Failed { workspace: w, caller };
                self.plan_at(self.now + after, h, what);
            }
        }
    }

    /// One that fails although the workspace may be well.
    pub(super) fn reset(&mut self, w: usize) {
        self.measures.requests += 1;
        let h = (self.draw() * self.hosts.len() as f64) as usize;
        let caller = Caller { failure: ForwardFailure::Reset };
        self.plan_at(self.now, h, AtHost::Failed { workspace: w, caller });
    }

    /// What becomes of a request that is sent now.
    fn fate(&mut self, h: usize, w: usize) -> Fate {
        let patience = self.group(w).requests.as_ref().map_or(PATIENCE, |of| of.patience.0);
        let too_late = Fate::Failed(ForwardFailure::TimedOut, patience);
        if self.weather.is_cut(h, self.now) {
            return too_late;
        }
        if !self.hosts[h].live[w].placed {
            return Fate::Failed(ForwardFailure::Unresolved, Millis::ZERO);
        }
        match self.truth(w) {
            Truth::Dead | Truth::Booting => Fate::Failed(ForwardFailure::Refused, Millis::ZERO),
            Truth::Hung => too_late,
            Truth::Healthy => Fate::Answered(ANSWER_TAKES),
            Truth::Slow => {
                let Some(spell) = self.workspaces[w].run.answering_spell(self.now).copied() else {
                    return Fate::Answered(ANSWER_TAKES);
                };
                match spell.kind {
                    SpellKind::Slow { share, .. } if self.draw() < share => too_late,
                    SpellKind::Slow { .. } | SpellKind::Mute => Fate::Answered(ANSWER_TAKES),
                    SpellKind::Hang if self.now.age(spell.until) < patience => {
                        Fate::Answered(self.now.age(spell.until).saturating_add(ANSWER_TAKES))
                    }
                    SpellKind::Hang => too_late,
                }
            }
        }
    }

    pub(super) fn forward_failed(&mut self, h: usize, w: usize, caller: Caller) {
        self.measures.failed_forwards += 1;
        self.judge(h, w, Trigger::ForwardFailed(caller.failure), Some(caller));
    }

    /// A request that waited for a judgement is answered.
    pub(super) fn reply(&mut self, h: usize, w: usize, caller: Caller, finding: Finding) {
        let manners = Manners::default();
        let told =
            reply::after_failure(Kind::A2a, caller.failure, Progress::Unanswered, finding, manners);
        match told {
            Reply::Queue { .. } => self.accept(h, w),
            Reply::Busy { .. } | Reply::Restarting { .. } | Reply::Waking { .. } => {
                self.measures.refused += 1;
            }
            Reply::UpstreamsOwn
            | Reply::BadGateway
            | Reply::GatewayTimeout
            | Reply::DeliveryConfirmed
            | Reply::Paused
            | Reply::Gone => self.measures.errors += 1,
        }
    }

    fn accept(&mut self, h: usize, w: usize) {
        if self.weather.stores_fail(self.now) {
            self.measures.refused += 1;
            return self.store_failed(h);
        }
        let workspace = &mut self.workspaces[w];
        if workspace.kept.queue.len() >= queue::CAPACITY as usize {
            self.measures.refused += 1;
            return;
        }
        workspace.book.accepted += 1;
        self.measures.queued += 1;
        if self.options.fault != Some(Fault::LoseAccepted) {
            let item = Item { accepted: self.now, attempts: 0, is_notice: false };
            workspace.kept.queue.push_back(item);
        }
        if self.hosts[h].live[w].judge.set_for.is_none() {
            self.judge_after(h, w, Outcome::FALL_BACK_RETRY);
        }
        self.rouse(w);
    }

    /// Delivers what waits, one after the other.
    pub(super) fn drain(&mut self, h: usize, w: usize) {
        let live = &self.hosts[h].live[w];
        let may = live.pace.is_due(self.now)
            && !live.draining
            && live.placed
            && live.incident.state().takes_requests()
            && !self.weather.stores_fail(self.now);
        let kept = &mut self.workspaces[w].kept;
        if !may || kept.taken.is_some() {
            return;
        }
        let Some(mut item) = kept.queue.pop_front() else { return };
        item.attempts += 1;
        kept.taken = Some(item);
        self.hosts[h].live[w].draining = true;
        let life = self.hosts[h].live[w].incident.life();
        let (failure, after) = match self.fate(h, w) {
            Fate::Answered(after) => (None, after),
            Fate::Failed(failure, after) => (Some(failure), after),
        };
        self.plan_at(self.now + after, h, AtHost::Delivered { workspace: w, life, failure });
    }

    pub(super) fn delivery_ended(
        &mut self,
        h: usize,
        w: usize,
        life: LifeId,
        failure: Option<ForwardFailure>,
    ) {
        let now = self.now;
        self.hosts[h].live[w].draining = false;
        let Some(item) = self.workspaces[w].kept.taken.take() else { return };
        let Some(failure) = failure else {
            self.hosts[h].live[w].pace.succeeded();
            if !item.is_notice {
                self.workspaces[w].book.ended += 1;
                self.measures.delivered += 1;
                self.measures.delivery_delay.add(item.accepted.age(now));
            }
            self.sign(h, w, life);
            return self.drain(h, w);
        };
        self.hosts[h].live[w].pace.failed(now);
        if item.attempts < queue::MAX_ATTEMPTS {
            self.workspaces[w].kept.queue.push_front(item);
        } else if !item.is_notice {
            self.workspaces[w].book.ended += 1;
            self.measures.lost += 1;
        }
        self.rouse(w);
        self.judge(h, w, Trigger::ForwardFailed(failure), None);
    }
}
