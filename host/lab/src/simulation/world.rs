//! The world as it is at the beginning, and as it turns by itself.

use std::sync::Arc;

use reprieve_core::{
    evidence::Subject,
    ids::{LifeId, Revision},
    incident::{Incident, Standing},
    judgement::{RestartCause, Trigger},
    liveness::Liveness,
    ports::{RestartHistory, Signs},
    reports::Reports,
    supervision::Pace,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::Who;

use super::{
    Happening, RunOptions, START, Simulation, Truth,
    agenda::{Agenda, AtHost, Due},
    host::{Host, Live, Probing, Surroundings, Timer},
    pulse::Pulse,
    requests::Stream,
    truth::{Running, Spell, SpellKind},
    weather::Weather,
    workspace::{Book, Kept, Shows, Workspace},
};
use crate::{
    Chance, Contender, Scenario,
    scenario::{Beats, Group},
};

/// How long the fleet has been there when a run begins.
const BEFORE: Millis = Millis::from_secs(24 * 3_600);

/// Streams of a workspace's chance.
const RUNS: u64 = 1;
const REQUESTS: u64 = 2;
const RESETS: u64 = 3;
/// Streams of the whole.
const WORKSPACES: u64 = 1;
const EVENTS: u64 = 2;

impl<'a> Simulation<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        contender: &Contender,
        options: RunOptions,
        happens: &'a mut dyn FnMut(Happening<'_>),
    ) -> Self {
        let chance = Chance::new(options.seed);
        let hosts = scenario.hosts as usize;
        let workspaces = people(scenario, chance.stream(WORKSPACES));
        let mut simulation = Self {
            scenario,
            options,
            happens,
            now: START,
            end: START + scenario.lasts,
            agenda: Agenda::default(),
            chance: chance.stream(EVENTS),
            drawn: 0,
            generations: vec![Arc::clone(contender.generation())],
            weather: Weather::new(hosts),
            hosts: (0..hosts).map(|_| host(&workspaces)).collect(),
            workspaces,
            decisions: 0,
            coming_up: 0,
            measures: super::Measures::default(),
            violations: Vec::new(),
        };
        simulation.measures.workspaces = u64::from(scenario.workspaces());
        simulation
    }

    pub(super) fn begin(&mut self) {
        for h in 0..self.hosts.len() {
            for w in 0..self.workspaces.len() {
                let limit = self.generation().silence_limit(&self.workspaces[w].who);
                let id = self.workspaces[w].who.workspace.clone();
                self.hosts[h].liveness.set_limit(&id, limit);
                self.feed(h, w);
            }
            self.plan_silence(h);
        }
        for w in 0..self.workspaces.len() {
            self.plan_reset(w);
            if self.pulse(w).is_some() && self.signs(w, false).beat.is_none() {
                // Its first beat begins its watch: somebody has to hear it.
                self.workspaces[w].unheard = true;
                self.rouse(w);
            }
        }
        self.plan_script();
    }

    pub(super) fn group(&self, w: usize) -> &'a Group {
        &self.scenario.groups[self.workspaces[w].group]
    }

    /// The beats of its present run.
    pub(super) fn pulse(&self, w: usize) -> Option<Pulse<'a>> {
        let workspace = &self.workspaces[w];
        let run = &workspace.run;
        Some(match self.group(w).beats.as_ref()? {
            Beats::Made(beats) => Pulse::made(beats, run.chance, run.up_at),
            Beats::Recorded(trace) => {
                let sender = trace.senders.get(workspace.sender?)?;
                Pulse::recorded(sender, trace.ends, run.up_at)
            }
        })
    }

    pub(super) fn stream(&self, w: usize) -> Option<Stream> {
        let requests = self.group(w).requests.as_ref()?;
        Some(Stream::new(requests, self.workspaces[w].chance.stream(REQUESTS)))
    }

    pub(super) fn shows(&self, w: usize) -> Shows {
        let group = self.group(w);
        Shows { ends: group.reports_ends, booting: group.boot_shows }
    }

    pub(super) fn truth(&self, w: usize) -> Truth {
        let workspace = &self.workspaces[w];
        if workspace.restarting.is_some() { Truth::Booting } else { workspace.run.truth(self.now) }
    }

    /// The signs of life that hosts have of it.
    pub(super) fn signs(&self, w: usize, intervals: bool) -> Signs {
        let workspace = &self.workspaces[w];
        let (run, now) = (&workspace.run, self.now);
        let life = workspace.life();
        let most = if intervals { Signs::MAX_INTERVALS + 1 } else { 1 };
        let arrived = self
            .pulse(w)
            .map(|pulse| run.arrivals(&pulse, &self.weather, now, most))
            .unwrap_or_default();
        let mut signs = workspace.kept.earlier.clone();
        if let Some(newest) = arrived.first() {
            signs.beat = Some((*newest, life));
            signs.intervals =
                arrived.windows(2).map(|two| two[1].age(two[0])).filter(|gap| gap.0 > 0).collect();
        }
        let contact = self.stream(w).and_then(|stream| {
            let hosts = self.weather.hosts();
            let answered = |at| {
                let cut = self.weather.is_cut(stream.host(at, hosts), at);
                run.answered(at) && !cut
            };
            stream.newest(now, run.up_at.max(START), answered)
        });
        if let Some(newest) = contact {
            signs.contact = Some((newest, life));
        }
        signs
    }

    /// A run ends by itself, or never answers again: from here on a restart is right.
    pub(super) fn went_down(&mut self, w: usize) {
        let now = self.now;
        let book = &mut self.workspaces[w].book;
        if book.down_since.is_none() {
            (book.down_since, book.detected) = (Some(now), false);
            self.measures.deaths += 1;
        }
        self.turned(w);
    }

    /// A new run takes the place of the present one.
    pub(super) fn begin_run(&mut self, w: usize, boot: Millis) {
        let now = self.now;
        let workspace = &mut self.workspaces[w];
        workspace.runs += 1;
        let chance = workspace.chance.stream(RUNS);
        workspace.run = Running::new(workspace.runs, now, boot, chance);
        workspace.was_unhealthy = false;
        if !std::mem::replace(&mut workspace.book.coming_up, true) {
            self.coming_up += 1;
        }
        self.agenda.plan(now + boot, Due::Turn { workspace: w });
        self.turned(w);
    }

    /// What is true of it may have changed.
    pub(super) fn turned(&mut self, w: usize) {
        let truth = self.truth(w);
        let (id, now) = (&self.workspaces[w].who.workspace, self.now);
        (self.happens)(Happening::Truth { at: now, workspace: id, truth });
        let is_up = matches!(truth, Truth::Healthy | Truth::Slow);
        if is_up && std::mem::take(&mut self.workspaces[w].book.coming_up) {
            self.came_up(w);
        }
        self.rouse_anew(w);
    }

    pub(super) fn begin_spell(&mut self, w: usize, kind: SpellKind, lasts: Millis) {
        let (from, until) = (self.now, self.now + lasts);
        self.workspaces[w].run.begin_spell(Spell { kind, from, until });
        self.agenda.plan(until, Due::Turn { workspace: w });
        self.turned(w);
        if kind != SpellKind::Mute {
            self.plan_check(w);
        }
    }

    /// The runtime's health check is worth an event only while it may fail.
    pub(super) fn plan_check(&mut self, w: usize) {
        let Some(check) = &self.group(w).health_check else { return };
        let run = &self.workspaces[w].run;
        let every = check.every.0;
        let nth = run.up_at.age(self.now).0 / every.0 + 1;
        let due = Due::Checked { workspace: w, run: run.number };
        self.agenda.plan(run.up_at + Millis(nth * every.0), due);
    }

    pub(super) fn checked(&mut self, w: usize, run: u64) {
        let Some(check) = &self.group(w).health_check else { return };
        let (now, workspace) = (self.now, &mut self.workspaces[w]);
        if workspace.run.number != run || workspace.restarting.is_some() {
            return;
        }
        let truth = workspace.run.truth(now);
        let is_unhealthy = workspace.run.is_unhealthy(check.every.0, check.retries, now);
        let turned = is_unhealthy && !workspace.was_unhealthy;
        workspace.was_unhealthy = is_unhealthy;
        if turned {
            self.report(w, run, Trigger::Unhealthy);
        }
        if matches!(truth, Truth::Slow | Truth::Hung) {
            self.plan_check(w);
        }
    }

    /// The runtime tells every host.
    pub(super) fn report(&mut self, w: usize, run: u64, trigger: Trigger) {
        for host in 0..self.hosts.len() {
            self.plan_at(self.now, host, AtHost::Reported { workspace: w, run, trigger });
        }
    }

    /// Requests that fail although the workspace is well come at times of their own.
    pub(super) fn plan_reset(&mut self, w: usize) {
        let Some(requests) = &self.group(w).requests else { return };
        let share = requests.fail.get();
        if share > 0.0 {
            let workspace = &mut self.workspaces[w];
            let mean = requests.every.0.0 as f64 / share;
            let nth = self.now.0;
            let wait = workspace.chance.stream(RESETS).exponential(nth, mean);
            self.agenda.plan(self.now + Millis(1 + wait as u64), Due::Reset { workspace: w });
        }
    }
}

/// The workspaces as they are at the beginning: well, and up for long.
fn people(scenario: &Scenario, chance: Chance) -> Vec<Workspace> {
    let mut workspaces = Vec::with_capacity(scenario.workspaces() as usize);
    let mut first_node = 0;
    for (place, group) in scenario.groups.iter().enumerate() {
        for nth in 0..group.count {
            let own = chance.stream(workspaces.len() as u64);
            let number = workspaces.len() + 1;
            let node = first_node + (nth % group.nodes) as usize;
            let mut workspace = person(group, place, number, node, own);
            workspace.sender = group.sender(nth as usize);
            workspaces.push(workspace);
        }
        first_node += group.nodes as usize;
    }
    workspaces
}

fn person(group: &Group, place: usize, number: usize, node: usize, chance: Chance) -> Workspace {
    #[expect(clippy::expect_used, reason = "the tenant was checked with the scenario")]
    let who = Who {
        tenant: group.tenant.parse().expect("a checked name"),
        workspace: format!("ws-{number}").parse().expect("a name"),
    };
    let subject = Subject {
        id: who.workspace.to_string(),
        tenant: who.tenant.to_string(),
        kind: "simulated".to_owned(),
        labels: Vec::new(),
    };
    let began = UnixMillis(START.0 - BEFORE.0);
    let history = RestartHistory {
        life: LifeId(1),
        began: Some(began),
        cause: Some(RestartCause::Operator),
        ..RestartHistory::default()
    };
    Workspace {
        who,
        subject,
        group: place,
        node,
        sender: None,
        chance,
        run: Running::new(1, began, Millis::ZERO, chance.stream(RUNS)),
        restarting: None,
        haze: Vec::new(),
        kept: Kept { history, ..Kept::default() },
        book: Book::default(),
        awake: false,
        unheard: false,
        beat_stamp: 0,
        request_stamp: 0,
        runs: 1,
        was_unhealthy: false,
    }
}

fn host(workspaces: &[Workspace]) -> Host {
    let surroundings = Arc::<parking_lot::Mutex<Surroundings>>::default();
    let mut live = Vec::with_capacity(workspaces.len());
    for workspace in workspaces {
        let who = &workspace.who;
        surroundings.lock().fleet(&who.tenant).add(who.workspace.clone());
        let revision = Revision::default();
        live.push(Live {
            incident: Incident::new(Standing::Wanted, true, LifeId(1), revision, revision),
            mark: Some(1),
            placed: true,
            judging: None,
            judge: Timer::default(),
            take_up: Timer::default(),
            step: Timer::default(),
            probe_fault: None,
            draining: false,
            pace: Pace::default(),
            suspected: false,
            judged: None,
            reports: Reports::default(),
        });
    }
    let (liveness, probes, silence) = (Liveness::new(), Probing::default(), Timer::default());
    Host { surroundings, liveness, live, probes, silence }
}
