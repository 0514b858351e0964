//! A fleet under virtual time, with its truth known.
//!
//! What decides is the real thing: the component, the restart machine, the watch over
//! silences, the gauges. What is simulated is the world that they ask and act on:
//!
//! - [`truth`], [`pulse`], [`requests`], [`weather`], [`workspace`]: the world
//! - [`agenda`]: what is to come; [`script`]: what the scenario makes happen
//! - [`host`]: what one host holds in memory; [`judging`], [`acting`], [`looking`],
//!   [`silence`], [`traffic`]: what it does, as the server's supervisor does it
//! - [`audit`]: the seven properties, checked while it runs; [`measures`]: what it
//!   comes to
//!
//! Beats and requests of workspaces that are well are no events: see [`truth`].

mod acting;
mod agenda;
mod audit;
mod host;
mod judging;
mod looking;
mod measures;
mod pulse;
mod requests;
mod script;
mod silence;
mod traffic;
mod truth;
mod weather;
mod witness;
mod workspace;
mod world;

use std::sync::Arc;

use reprieve_core::{
    decision::Decision,
    evidence::{ProbeFault, Status},
    ids::WorkspaceId,
    judgement::RestartCause,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::Generation;
use serde::Serialize;

use self::{
    agenda::{Agenda, AtHost, Due},
    host::Host,
    weather::Weather,
    workspace::Workspace,
};
pub use self::{
    audit::{Fault, Property, Violation},
    measures::{Measures, Samples},
    truth::Truth,
};
use crate::{Chance, Contender, Scenario, Seed};

/// When a run begins, on the clock of its hosts.
pub const START: UnixMillis = UnixMillis(1_000_000_000_000);

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    pub seed: Seed,
    /// One decision in so many is replayed on the spot, from its evidence. 0: none.
    pub replay_one_in: u64,
    /// One in so many in an instance that was never called. 0: none.
    pub replay_afresh_one_in: u64,
    /// A property that is broken on purpose, to see that it is found out.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl RunOptions {
    pub const fn seeded(seed: Seed) -> Self {
        Self { seed, replay_one_in: 64, replay_afresh_one_in: 1_024, fault: None }
    }
}

/// What came of a run. The same scenario, policy and seed give the same.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub scenario: String,
    pub policy: String,
    pub seed: Seed,
    pub measures: Measures,
    /// Of the seven properties; none, if all is well. At most
    /// [`Violation::MOST_KEPT`], the first.
    pub violations: Vec<Violation>,
    /// What was worked through.
    pub events: u64,
}

/// Something that happens in a run, for whoever draws it or keeps it.
#[derive(Clone, Copy, Debug)]
pub enum Happening<'a> {
    /// A workspace is so from now on.
    Truth {
        at: UnixMillis,
        workspace: &'a WorkspaceId,
        truth: Truth,
    },
    /// A decision, as it would be on record.
    Decided(&'a Decision),
    Restart {
        at: UnixMillis,
        workspace: &'a WorkspaceId,
        kind: RestartKind,
    },
    /// It is up again.
    Up {
        at: UnixMillis,
        workspace: &'a WorkspaceId,
    },
    /// A beat came to a host. Those of workspaces that are well are no events.
    Beat {
        at: UnixMillis,
        workspace: &'a WorkspaceId,
    },
    /// Something goes wrong that is no workspace's own doing.
    Trouble {
        from: UnixMillis,
        until: UnixMillis,
        with: With<'a>,
        trouble: Trouble,
    },
}

/// Whom a trouble befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With<'a> {
    Workspace(&'a WorkspaceId),
    /// From 0.
    Host(usize),
    AllHosts,
}

/// What goes wrong around workspaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The host stands still.
    Pause,
    /// The host and the workspaces cannot reach each other.
    Cut,
    /// The hosts' stores cannot be used.
    StoreFault,
    /// Probes of the workspace fail.
    Stall(ProbeFault),
    /// The runtime shows what is not so.
    Lie(Status),
    /// The workspace answers, and does not beat.
    Mute,
}

/// A restart, as who knows the truth sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartKind {
    pub cause: RestartCause,
    /// How the workspace was.
    pub truth: Truth,
}

/// Runs a scenario to its end.
pub fn simulate(
    scenario: &Scenario,
    contender: &Contender,
    options: RunOptions,
    happens: &mut dyn FnMut(Happening<'_>),
) -> Run {
    let mut simulation = Simulation::new(scenario, contender, options, happens);
    simulation.begin();
    let end = simulation.end;
    while let Some((at, due)) = simulation.agenda.next(end) {
        simulation.now = at;
        simulation.happen(due);
    }
    simulation.now = end;
    simulation.conclude_run();
    Run {
        scenario: scenario.name.clone(),
        policy: contender.name().to_owned(),
        seed: options.seed,
        measures: simulation.measures,
        violations: simulation.violations,
        events: simulation.agenda.planned(),
    }
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    options: RunOptions,
    happens: &'a mut dyn FnMut(Happening<'_>),
    now: UnixMillis,
    end: UnixMillis,
    agenda: Agenda,
    chance: Chance,
    /// What there was to draw so far, of events.
    drawn: u64,
    /// By number, from 1; the last is in force.
    generations: Vec<Arc<Generation>>,
    weather: Weather,
    workspaces: Vec<Workspace>,
    hosts: Vec<Host>,
    decisions: u64,
    coming_up: u64,
    measures: Measures,
    violations: Vec<Violation>,
}

impl Simulation<'_> {
    fn happen(&mut self, due: Due) {
        match due {
            Due::Scripted { event } => self.scripted(event),
            Due::ByChance { event, unit } => self.by_chance(event, unit),
            Due::Hit { event, workspace } => self.hit(event, workspace),
            Due::Turn { workspace } => self.turned(workspace),
            Due::Revival { workspace, run } => self.revive(workspace, run),
            Due::Checked { workspace, run } => self.checked(workspace, run),
            Due::Beat { workspace, stamp } => self.beat(workspace, stamp),
            Due::Request { workspace, stamp } => self.requested(workspace, stamp),
            Due::Reset { workspace } => {
                self.reset(workspace);
                self.plan_reset(workspace);
            }
            Due::Beside { workspace } => self.requested_beside(workspace),
            Due::Restarted { host, workspace, life, refused } => {
                self.restarted(host, workspace, life, refused);
            }
            Due::At { host, what } => match self.weather.paused_until(host, self.now) {
                Some(until) => self.agenda.plan(until, Due::At { host, what }),
                None => self.at_host(host, what),
            },
        }
    }

    fn at_host(&mut self, h: usize, what: AtHost) {
        match what {
            AtHost::Failed { workspace, caller } => self.forward_failed(h, workspace, caller),
            AtHost::Answered { workspace, life } => self.contact(h, workspace, life),
            AtHost::Delivered { workspace, life, failure } => {
                self.delivery_ended(h, workspace, life, failure);
            }
            AtHost::Looked { workspace, stamp, in_time } => {
                self.looked(h, workspace, stamp, in_time);
            }
            AtHost::Again { workspace, stamp } => self.look_again_due(h, workspace, stamp),
            AtHost::Sweep { workspace, stamp } => self.sweep_due(h, workspace, stamp),
            AtHost::TakeUp { workspace, stamp } => self.take_up_due(h, workspace, stamp),
            AtHost::AskSettled { workspace } => self.sweep(h, workspace),
            AtHost::ActLate { workspace } => self.act_late(h, workspace),
            AtHost::Ordered { workspace } => self.ordered(h, workspace),
            AtHost::Revised { workspace, revision } => self.revised(h, workspace, revision),
            AtHost::CarriedOut { workspace, life, refused } => {
                self.carried_out(h, workspace, life, refused);
            }
            AtHost::Reported { workspace, run, trigger } => {
                self.reported(h, workspace, run, trigger);
            }
            AtHost::Started { workspace, run } => self.started(h, workspace, run),
            AtHost::Silence { stamp } => self.ask_who_is_silent(h, stamp),
            AtHost::Lag { due } => {
                let lag = due.age(self.now);
                self.hosts[h].surroundings.lock().eyes.record_lag(self.now, lag);
            }
        }
    }

    fn plan(&mut self, after: Millis, due: Due) {
        self.agenda.plan(self.now + after, due);
    }

    fn plan_at(&mut self, at: UnixMillis, host: usize, what: AtHost) {
        self.agenda.plan(at.max(self.now), Due::At { host, what });
    }

    /// What is drawn next: events are worked through in one order.
    fn draw(&mut self) -> f64 {
        self.drawn += 1;
        self.chance.unit(self.drawn)
    }

    fn generation(&self) -> Arc<Generation> {
        // There is the first one from the beginning.
        Arc::clone(&self.generations[self.generations.len() - 1])
    }
}
