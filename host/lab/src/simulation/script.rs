//! Makes happen what the scenario says.

use reprieve_core::{
    judgement::Trigger,
    settings::{Layer, Source},
    supervision::LAG_TICK,
    time::Millis,
};
use reprieve_runtime::{LayerChange, Owners};

use super::{
    Happening, START, Simulation, Trouble, With,
    agenda::{AtHost, Due},
    host::next_tick,
    truth::{End, SpellKind},
    weather::{Haze, HazeKind},
};
use crate::scenario::{What, When, Who, event::Each};

const DAY_MS: f64 = 86_400_000.0;

impl Simulation<'_> {
    pub(super) fn plan_script(&mut self) {
        let scenario = self.scenario;
        for (event, spec) in scenario.events.iter().enumerate() {
            match spec.when {
                When::At { first, .. } => self.agenda.plan(START + first, Due::Scripted { event }),
                When::PerDay { each, .. } => {
                    for unit in self.units(event, each) {
                        self.plan_chance(event, unit);
                    }
                }
            }
        }
    }

    /// Whom an event hits on their own.
    fn units(&self, event: usize, each: Each) -> Vec<usize> {
        let spec = &self.scenario.events[event];
        let is_of_all = matches!(
            spec.what,
            What::Cut { .. } | What::StoreFault { .. } | What::Pause { .. } | What::Retune { .. }
        );
        let members = self.members(&spec.who);
        match each {
            _ if is_of_all => vec![0],
            Each::Workspace => members,
            Each::Together => vec![0],
            Each::Node => {
                let mut nodes: Vec<usize> =
                    members.iter().map(|w| self.workspaces[*w].node).collect();
                nodes.sort_unstable();
                nodes.dedup();
                nodes
            }
        }
    }

    fn plan_chance(&mut self, event: usize, unit: usize) {
        if let When::PerDay { times, .. } = self.scenario.events[event].when {
            let unit_draw = self.draw();
            let wait = -(1.0 - unit_draw).ln() * DAY_MS / times;
            self.plan(Millis(1 + wait as u64), Due::ByChance { event, unit });
        }
    }

    fn members(&self, who: &Who) -> Vec<usize> {
        let all = 0..self.workspaces.len();
        match who {
            Who::All => all.collect(),
            Who::Workspaces(first, last) => (*first as usize - 1..*last as usize).collect(),
            Who::Node(node) => {
                all.filter(|w| self.workspaces[*w].node + 1 == *node as usize).collect()
            }
            Who::Tenant(tenant) => {
                all.filter(|w| self.workspaces[*w].who.tenant.as_str() == tenant).collect()
            }
        }
    }

    pub(super) fn scripted(&mut self, event: usize) {
        let spec = &self.scenario.events[event];
        if let When::At { every: Some(every), .. } = spec.when {
            self.plan(every, Due::Scripted { event });
        }
        self.befall(event, self.members(&spec.who));
    }

    pub(super) fn by_chance(&mut self, event: usize, unit: usize) {
        let spec = &self.scenario.events[event];
        self.plan_chance(event, unit);
        let When::PerDay { each, .. } = spec.when else { return };
        let members = match each {
            Each::Workspace => vec![unit],
            Each::Together => self.members(&spec.who),
            Each::Node => {
                let mut members = self.members(&spec.who);
                members.retain(|w| self.workspaces[*w].node == unit);
                members
            }
        };
        self.befall(event, members);
    }

    /// It happens to these, or to as many of them as are to be picked.
    fn befall(&mut self, event: usize, mut members: Vec<usize>) {
        let spec = &self.scenario.events[event];
        if self.befalls_all(&spec.what) {
            return;
        }
        if let Some(pick) = spec.pick.map(|pick| pick as usize) {
            // The first `pick` of a shuffle.
            let there = members.len();
            for place in 0..pick.min(there) {
                let other = place + (self.draw() * (there - place) as f64) as usize;
                members.swap(place, other.min(there - 1));
            }
            members.truncate(pick);
        }
        for workspace in members {
            if spec.spread == Millis::ZERO {
                self.hit(event, workspace);
            } else {
                let after = Millis((self.draw() * (spec.spread.0 + 1) as f64) as u64);
                self.plan(after, Due::Hit { event, workspace });
            }
        }
    }

    /// Hosts, networks and stores. False: it happens to workspaces.
    fn befalls_all(&mut self, what: &What) -> bool {
        let now = self.now;
        match what {
            What::Cut { lasts, host } => {
                let lasts = lasts.at(self.draw());
                for h in 0..self.hosts.len() {
                    if host.is_none_or(|cut| cut as usize == h) {
                        self.weather.cut(h, now, lasts);
                        self.troubled(lasts, With::Host(h), Trouble::Cut);
                    }
                }
                for w in 0..self.workspaces.len() {
                    self.agenda.plan(now + lasts, Due::Turn { workspace: w });
                    self.rouse_anew(w);
                }
            }
            What::StoreFault { lasts } => {
                let lasts = lasts.at(self.draw());
                self.weather.fail_stores(now, lasts);
                self.troubled(lasts, With::AllHosts, Trouble::StoreFault);
            }
            What::Pause { lasts, host } => {
                let (lasts, host) = (lasts.at(self.draw()), *host as usize);
                self.weather.pause(host, now, lasts);
                self.troubled(lasts, With::Host(host), Trouble::Pause);
                let due = next_tick(now + Millis(1), LAG_TICK);
                self.plan_at(due, host, AtHost::Lag { due });
            }
            What::Retune { settings } => self.retune(settings),
            What::Crash { .. }
            | What::Remove
            | What::Hang { .. }
            | What::Slow { .. }
            | What::Mute { .. }
            | What::Stall { .. }
            | What::Lie { .. }
            | What::Change
            | What::Restart
            | What::Reset
            | What::Request { .. } => return false,
        }
        true
    }

    /// Settings that the policy refuses never become part of a generation.
    fn retune(&mut self, settings: &reprieve_core::settings::Settings) {
        let change = LayerChange {
            layer: Layer::Fleet,
            source: Source::Applied,
            settings: settings.clone(),
        };
        let Ok(next) = self.generation().with_settings(&[change], &Owners::new()) else { return };
        self.generations.push(std::sync::Arc::new(next));
        for w in 0..self.workspaces.len() {
            let limit = self.generation().silence_limit(&self.workspaces[w].who);
            for host in &mut self.hosts {
                host.liveness.set_limit(&self.workspaces[w].who.workspace, limit);
            }
        }
        for h in 0..self.hosts.len() {
            self.plan_silence(h);
        }
    }

    /// It happens to this one.
    pub(super) fn hit(&mut self, event: usize, w: usize) {
        let now = self.now;
        let what = &self.scenario.events[event].what;
        match what {
            What::Crash { exit_code, out_of_memory } => {
                let (exit_code, out_of_memory) = (*exit_code, *out_of_memory);
                self.end_run(w, End { at: now, exit_code, out_of_memory, removed: false });
            }
            What::Remove => {
                self.end_run(w, End { at: now, exit_code: 0, out_of_memory: false, removed: true });
            }
            What::Hang { lasts: None } => {
                if self.is_running(w) && self.workspaces[w].run.hung.is_none() {
                    self.workspaces[w].run.hung = Some(now);
                    self.went_down(w);
                    self.plan_check(w);
                }
            }
            What::Hang { lasts: Some(lasts) } => {
                let lasts = lasts.at(self.draw());
                self.begin_spell(w, SpellKind::Hang, lasts);
            }
            What::Slow { lasts, share, late } => {
                let (lasts, late) = (lasts.at(self.draw()), late.at(self.draw()));
                self.begin_spell(w, SpellKind::Slow { share: *share, late }, lasts);
            }
            What::Mute { lasts } => {
                let lasts = lasts.at(self.draw());
                self.begin_spell(w, SpellKind::Mute, lasts);
                self.befallen(w, lasts, Trouble::Mute);
            }
            What::Stall { lasts, fault, share } => {
                let lasts = lasts.at(self.draw());
                self.begin_haze(w, lasts, *share, HazeKind::Stall(*fault));
            }
            What::Lie { lasts, shows, share } => {
                let lasts = lasts.at(self.draw());
                self.begin_haze(w, lasts, *share, HazeKind::Lie(*shows));
            }
            What::Change => self.change(w),
            What::Restart => {
                let host = (self.draw() * self.hosts.len() as f64) as usize;
                self.plan_at(now, host, AtHost::Ordered { workspace: w });
            }
            What::Reset => self.reset(w),
            What::Request { times, within } => {
                for _ in 0..*times {
                    let after = Millis((self.draw() * (within.0 + 1) as f64) as u64);
                    self.plan(after, Due::Beside { workspace: w });
                }
            }
            What::Cut { .. }
            | What::StoreFault { .. }
            | What::Pause { .. }
            | What::Retune { .. } => {}
        }
    }

    fn begin_haze(&mut self, w: usize, lasts: Millis, share: f64, kind: HazeKind) {
        let until = self.now + lasts;
        self.workspaces[w].haze.push(Haze { until, share, kind });
        let trouble = match kind {
            HazeKind::Stall(fault) => Trouble::Stall(fault),
            HazeKind::Lie(shows) => Trouble::Lie(shows),
        };
        self.befallen(w, lasts, trouble);
    }

    fn befallen(&mut self, w: usize, lasts: Millis, trouble: Trouble) {
        let (from, until) = (self.now, self.now + lasts);
        let with = With::Workspace(&self.workspaces[w].who.workspace);
        (self.happens)(Happening::Trouble { from, until, with, trouble });
    }

    fn troubled(&mut self, lasts: Millis, with: With<'_>, trouble: Trouble) {
        let (from, until) = (self.now, self.now + lasts);
        (self.happens)(Happening::Trouble { from, until, with, trouble });
    }

    fn is_running(&self, w: usize) -> bool {
        let workspace = &self.workspaces[w];
        workspace.restarting.is_none() && workspace.run.end.is_none()
    }

    fn end_run(&mut self, w: usize, end: End) {
        if !self.is_running(w) {
            return;
        }
        let group = self.group(w);
        let workspace = &mut self.workspaces[w];
        workspace.run.end = Some(end);
        let run = workspace.run.number;
        self.went_down(w);
        if group.reports_ends {
            self.report(w, run, Trigger::RuntimeStopped);
        }
        if let Some(after) = group.comes_back.filter(|_| !end.removed) {
            let after = after.at(self.draw());
            self.plan(after, Due::Revival { workspace: w, run });
        }
    }

    /// The runtime begins another run by itself.
    pub(super) fn revive(&mut self, w: usize, run: u64) {
        let workspace = &self.workspaces[w];
        if workspace.run.number != run || workspace.restarting.is_some() {
            return;
        }
        self.workspaces[w].kept.earlier = self.signs(w, true);
        let boot = self.group(w).boot.at(self.draw());
        self.begin_run(w, boot);
        let run = self.workspaces[w].run.number;
        for host in 0..self.hosts.len() {
            self.plan_at(self.now, host, AtHost::Started { workspace: w, run });
        }
    }

    /// Whoever configures a workspace tells one host.
    fn change(&mut self, w: usize) {
        self.measures.settings_changes += 1;
        let host = (self.draw() * self.hosts.len() as f64) as usize;
        let workspace = &mut self.workspaces[w];
        workspace.book.newest_change = Some(self.now);
        workspace.kept.revision += 1;
        let revision = workspace.kept.revision;
        self.plan_at(self.now, host, AtHost::Revised { workspace: w, revision });
    }
}
