//! What a host can know: its own facts, and probes, so many at once.

use reprieve_core::{
    evidence::{Answer, Health, Note, ProbeFault, Question, Sighting, Status},
    supervision::MAX_PROBES,
    time::Millis,
};

use super::{
    Fault, START, Simulation, Truth,
    agenda::AtHost,
    host::Stage,
    weather::HazeKind,
    witness::{Facts, Stored},
};
use crate::{history::RecordedProbe, scenario::Beats};

/// What a probe brought home, and of which run.
type Seen = Result<(Sighting, Option<u64>), ProbeFault>;

impl Simulation<'_> {
    /// What is at hand of it now.
    pub(super) fn facts(&self, h: usize, w: usize) -> Facts {
        let (workspace, live) = (&self.workspaces[w], &self.hosts[h].live[w]);
        let stored = (!self.weather.stores_fail(self.now)).then(|| Stored {
            life: live.incident.life(),
            signs: self.signs(w, true),
            history: workspace.kept.history.clone(),
            in_flight: live.incident.is_in_flight(),
            revision_stale: live.incident.is_revision_stale(),
            note: workspace
                .kept
                .note
                .as_ref()
                .map(|(bytes, at)| Note { bytes: bytes.clone(), age: at.age(self.now) }),
        });
        Facts {
            now: self.now,
            who: workspace.who.clone(),
            subject: workspace.subject.clone(),
            stored,
            surroundings: std::sync::Arc::clone(&self.hosts[h].surroundings),
        }
    }

    /// Begins a probe, or lets it wait for its turn; in both cases its time is up
    /// after `patience`.
    pub(super) fn probe(&mut self, h: usize, w: usize, patience: Millis) {
        let until = self.now + patience;
        let stamp = self.hosts[h].live[w].step.set(until);
        self.plan_at(until, h, AtHost::Looked { workspace: w, stamp, in_time: false });
        let probes = &mut self.hosts[h].probes;
        if probes.under_way < MAX_PROBES {
            probes.under_way += 1;
            self.ask_runtime(h, w, stamp);
        } else {
            probes.waiting.push_back((w, stamp));
        }
    }

    /// When the runtime answers. One that is stalled answers when it is not any more.
    fn ask_runtime(&mut self, h: usize, w: usize, stamp: u32) {
        let unit = self.draw();
        let recorded = self.recorded_probe(w);
        let takes = recorded.map_or(self.scenario.probes.takes.at(unit), |probe| probe.took);
        self.hosts[h].live[w].probe_fault = recorded.and_then(|probe| probe.fault);
        let mut answers = self.now + takes;
        for haze in &self.workspaces[w].haze {
            if let HazeKind::Stall(ProbeFault::TimedOut) = haze.kind
                && haze.until > self.now
                && haze.share >= 1.0
            {
                answers = answers.max(haze.until);
            }
        }
        self.plan_at(answers, h, AtHost::Looked { workspace: w, stamp, in_time: true });
    }

    /// A probe ended. What it shows is what is so now.
    pub(super) fn looked(&mut self, h: usize, w: usize, stamp: u32, in_time: bool) {
        if !self.hosts[h].live[w].step.strike(stamp) {
            return;
        }
        self.next_probe(h, w, stamp);
        let seen = match self.hosts[h].live[w].probe_fault.take() {
            _ if !in_time => Err(ProbeFault::TimedOut),
            Some(fault) => Err(fault),
            None => self.see(w),
        };
        self.note_probe(h, seen.is_ok());
        let now = self.now;
        let Some(judging) = &mut self.hosts[h].live[w].judging else { return };
        judging.looked = Some(seen.as_ref().map(|_| ()).map_err(|fault| *fault));
        match &mut judging.stage {
            Stage::Deliberating(deliberating) => {
                if let Ok((_, run)) = seen {
                    judging.seen = run;
                }
                let answer = Answer::Look(match (seen, self.options.fault) {
                    (Err(_), Some(Fault::ErrorIsDeath)) => Ok(Sighting::bare(Status::Stopped)),
                    (seen, _) => seen.map(|(sighting, _)| sighting),
                });
                deliberating.deliberation.fetched(Question::Look, answer, now);
                self.deliberate(h, w);
            }
            Stage::LookingAgain { .. } => {
                let judged = judging.seen;
                // Where it cannot be seen, nothing says otherwise.
                let same_run = match seen {
                    Ok((_, shown)) => judged.is_none() || shown.is_none() || shown == judged,
                    Err(_) => true,
                };
                self.looked_again(h, w, same_run);
            }
            Stage::Waiting | Stage::Turning => {}
        }
    }

    /// Whoever waits is next; whose time is up meanwhile is not asked for.
    fn next_probe(&mut self, h: usize, w: usize, stamp: u32) {
        let host = &mut self.hosts[h];
        let waited = host.probes.waiting.iter().position(|waiting| *waiting == (w, stamp));
        if let Some(place) = waited {
            // Its time was up before its turn came.
            host.probes.waiting.remove(place);
            return;
        }
        match host.probes.waiting.pop_front() {
            Some((w, stamp)) => self.ask_runtime(h, w, stamp),
            None => host.probes.under_way -= 1,
        }
    }

    /// A look that takes no time.
    pub(super) fn look_at_once(&mut self, h: usize, w: usize) -> Answer {
        let seen = match self.recorded_probe(w).and_then(|probe| probe.fault) {
            Some(fault) => Err(fault),
            None => self.see(w),
        };
        self.note_probe(h, seen.is_ok());
        Answer::Look(seen.map(|(sighting, _)| sighting))
    }

    fn note_probe(&mut self, h: usize, well: bool) {
        self.measures.probes += 1;
        self.measures.probe_faults += u64::from(!well);
        self.hosts[h].surroundings.lock().eyes.record_probe(self.now, well);
    }

    /// What is on record of how the runtime answered about it, the newest.
    fn recorded_probe(&self, w: usize) -> Option<RecordedProbe> {
        let trace = self.scenario.probes.trace.as_ref()?;
        let workspace = &self.workspaces[w];
        let name = match &self.group(w).beats {
            Some(Beats::Recorded(beats)) => &*beats.senders.get(workspace.sender?)?.name,
            Some(Beats::Made(_)) | None => workspace.who.workspace.as_str(),
        };
        trace.newest(name, START.age(self.now)).copied()
    }

    /// What the runtime shows of it.
    fn see(&mut self, w: usize) -> Seen {
        let now = self.now;
        self.workspaces[w].haze.retain(|haze| haze.until > now);
        for place in 0..self.workspaces[w].haze.len() {
            let haze = self.workspaces[w].haze[place];
            if self.draw() < haze.share {
                return match haze.kind {
                    HazeKind::Stall(fault) => Err(fault),
                    HazeKind::Lie(shows) => {
                        Ok((Sighting::bare(shows), Some(self.workspaces[w].run.number)))
                    }
                };
            }
        }
        let share = self.scenario.probes.fail.get();
        if share > 0.0 && self.draw() < share {
            let which = self.draw();
            return Err(ProbeFault::ALL
                [(which * ProbeFault::ALL.len() as f64) as usize % ProbeFault::ALL.len()]);
        }
        let (sighting, run) = self.workspaces[w].sighting(self.shows(w), now);
        Ok((Sighting { health: self.health(w, sighting.status), ..sighting }, run))
    }

    fn health(&self, w: usize, shown: Status) -> Option<Health> {
        let check = self.group(w).health_check.as_ref()?;
        let run = &self.workspaces[w].run;
        if shown != Status::Running {
            return None;
        }
        Some(match self.truth(w) {
            Truth::Booting => Health::Starting,
            _ if run.is_unhealthy(check.every.0, check.retries, self.now) => Health::Unhealthy,
            Truth::Healthy | Truth::Slow | Truth::Hung | Truth::Dead => Health::Healthy,
        })
    }
}
