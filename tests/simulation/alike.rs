//! The simulated host does what the real one does.
//!
//! The laboratory's host follows the supervisor's steps by hand. So here the same
//! mishaps befall one fleet on the stage, under the real supervisor, and one in the
//! laboratory, and both must come to the same judgements and the same restarts.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use reprieve_core::{
    decision::Decision,
    evidence::ProbeFault,
    ids::WorkspaceId,
    judgement::{Call, ForwardFailure, RestartCause},
    ports::{DecisionFilter, Decisions as _},
    time::{Millis, UnixMillis},
};
use reprieve_lab::{Happening, RunOptions, START, Scenario, Seed, simulate};
use reprieve_tests::{Stage, StageOptions, ws};

use crate::contender;

const FLEET: u32 = 12;
/// The one that has a health check.
const SICK: u32 = FLEET;
const BEAT_EVERY: u64 = 10;
/// What comes before is not looked at: everybody starts and settles.
const SETTLED_S: u64 = 300;
const ENDS_S: u64 = 2_400;
/// Beats of the two fleets do not keep the same time, and a look takes a moment.
const APART: Millis = Millis::from_secs(BEAT_EVERY + 2);

#[derive(Clone, Copy)]
enum Mishap {
    /// The run ends, and the runtime reports it.
    Crash(u32),
    Remove(u32),
    /// It runs, and gives no sign any more, until it is restarted.
    Hang(u32),
    /// A request fails although it is well.
    Reset(u32),
    /// The runtime answers no question for so many seconds.
    Stall(u64),
    Change(u32),
    Order(u32),
    /// Its health check fails from now on, and it beats.
    Sicken(u32),
}

use Mishap::{Change, Crash, Hang, Order, Remove, Reset, Sicken, Stall};

/// When, in seconds since everybody has settled.
const MISHAPS: &[(u64, Mishap)] = &[
    (0, Crash(1)),
    (60, Hang(2)),
    (400, Stall(60)),
    (410, Reset(3)),
    (411, Reset(4)),
    (412, Reset(5)),
    (413, Reset(6)),
    (600, Change(4)),
    (610, Change(4)),
    (800, Order(5)),
    (812, Reset(5)),
    (1_000, Remove(6)),
    (1_203, Crash(7)),
    (1_204, Reset(7)),
    (1_234, Reset(7)),
    (1_400, Reset(8)),
    // A life that just began to settle ends.
    (1_500, Order(9)),
    (1_510, Crash(9)),
    // A node dies.
    (1_700, Crash(10)),
    (1_700, Crash(11)),
    (1_700, Crash(12)),
    (2_000, Sicken(SICK)),
];

impl Mishap {
    fn event(self, at: u64) -> String {
        let (what, more) = match self {
            Crash(n) => ("crash", who(n)),
            Remove(n) => ("remove", who(n)),
            Hang(n) => ("hang", who(n)),
            Reset(n) => ("reset", who(n)),
            Stall(lasts) => ("stall", format!("fault = \"closed_early\"\nfor = \"{lasts}s\"")),
            Change(n) => ("change", who(n)),
            Order(n) => ("restart", who(n)),
            Sicken(n) => ("slow", format!("share = 1\nfor = \"{ENDS_S}s\"\n{}", who(n))),
        };
        format!("[[event]]\nwhat = \"{what}\"\nat = \"{}s\"\n{more}\n", SETTLED_S + at)
    }

    async fn befall(self, stage: &Stage, revision: &mut u64) {
        match self {
            Crash(n) => stage.runtime.crash(&ws(n)),
            Remove(n) => stage.runtime.remove(&ws(n)),
            Hang(n) => stage.hang(n),
            Reset(n) => drop(stage.fail(n, ForwardFailure::Reset).await),
            Stall(_) => stage.runtime.stall(ProbeFault::ClosedEarly),
            Change(n) => {
                *revision += 1;
                stage.revise(n, *revision).await;
            }
            Order(n) => drop(stage.want_restart(n, RestartCause::Operator).await),
            Sicken(n) => stage.runtime.turn_unhealthy(&ws(n)),
        }
    }
}

fn who(number: u32) -> String {
    format!("who = \"ws-{number}\"")
}

/// What came of it, by workspace.
#[derive(Debug, Default)]
struct Story {
    /// Reasons, each said once however often it is repeated.
    reasons: BTreeMap<WorkspaceId, Vec<String>>,
    restarts: BTreeMap<WorkspaceId, Vec<(Millis, RestartCause)>>,
}

impl Story {
    fn decided(&mut self, decision: &Decision, begin: UnixMillis) {
        if !matches!(decision.call, Call::Judge { .. }) || decision.at < begin {
            return;
        }
        let reason = decision.outcome.reason_code();
        let reasons = self.reasons.entry(decision.workspace.clone()).or_default();
        if reasons.last().is_none_or(|last| last != reason) {
            reasons.push(reason.to_owned());
        }
    }

    fn restarted(&mut self, workspace: &WorkspaceId, after: Millis, cause: RestartCause) {
        self.restarts.entry(workspace.clone()).or_default().push((after, cause));
    }
}

async fn on_the_stage() -> Story {
    let stage = Stage::set(StageOptions {
        workspaces: FLEET,
        beat_every: Duration::from_secs(BEAT_EVERY),
        reports_ends: true,
        ..StageOptions::default()
    })
    .await;
    let begin = stage.clock.now();
    let mut acts: Vec<(u64, Option<Mishap>)> = Vec::new();
    for (at, mishap) in MISHAPS {
        acts.push((*at, Some(*mishap)));
        if let Stall(lasts) = mishap {
            acts.push((at + lasts, None));
        }
    }
    acts.sort_by_key(|(at, _)| *at);
    let (mut passed, mut revision) = (0, 1);
    for (at, act) in acts {
        stage.pass(Duration::from_secs(at - passed)).await;
        passed = at;
        match act {
            Some(mishap) => mishap.befall(&stage, &mut revision).await,
            None => stage.runtime.recover(),
        }
    }
    stage.pass(Duration::from_secs(ENDS_S - passed)).await;
    stage.store.decisions.flush().await.unwrap();
    let filter = DecisionFilter { limit: 10_000, ..DecisionFilter::default() };
    let mut story = Story::default();
    for decision in stage.store.decisions.list(&filter).await.unwrap() {
        story.decided(&decision, begin);
    }
    for start in stage.restarts() {
        story.restarted(&start.workspace, begin.age(start.at), start.cause);
    }
    story
}

fn in_the_laboratory() -> Story {
    let well = SICK - 1;
    let mut events = String::new();
    for (at, mishap) in MISHAPS {
        let _ = write!(events, "{}", mishap.event(*at));
    }
    simulated(&format!("{}{}{events}", agents(well, "500ms", ""), agents(1, "500ms", HEALTH_CHECK)))
}

const HEALTH_CHECK: &str = "health_check = { every = \"1s\", retries = 1 }\n";

fn agents(count: u32, boot: &str, more: &str) -> String {
    format!(
        "[[workspaces]]\ncount = {count}\nboot = \"{boot}\"\nreports_ends = true\n\
         beats = {{ every = \"{BEAT_EVERY}s\" }}\n{more}"
    )
}

fn simulated(happens: &str) -> Story {
    let lasts = SETTLED_S + ENDS_S;
    let text = format!(
        "name = \"alike\"\nabout = \"What befalls the stage.\"\nlasts = \"{lasts}s\"\n{happens}"
    );
    let scenario = Scenario::parse(&text).unwrap();
    let policy = contender("default", scenario.settings_of("default"));
    let mut story = Story::default();
    let begin = START + Millis::from_secs(SETTLED_S);
    simulate(&scenario, &policy, RunOptions::seeded(Seed(1)), &mut |happening| match happening {
        Happening::Decided(decision) => story.decided(decision, begin),
        Happening::Restart { at, workspace, kind } => {
            story.restarted(workspace, begin.age(at), kind.cause);
        }
        Happening::Truth { .. }
        | Happening::Up { .. }
        | Happening::Beat { .. }
        | Happening::Trouble { .. } => {}
    });
    story
}

#[tokio::test(start_paused = true)]
async fn the_same_mishaps_lead_to_the_same_judgements_and_restarts() {
    let [real, simulated] = [on_the_stage().await, in_the_laboratory()];
    for number in 1..=FLEET {
        let id = ws(number);
        let told = |story: &Story| format!("{id}: {:?}", story.reasons.get(&id));
        assert_eq!(told(&simulated), told(&real), "\nsimulated: {simulated:#?}\nreal: {real:#?}");
        let causes = |story: &Story| {
            let restarts = story.restarts.get(&id).into_iter().flatten();
            restarts.map(|(_, cause)| *cause).collect::<Vec<_>>()
        };
        assert_eq!(causes(&simulated), causes(&real), "{id}");
        let of = |story: &Story| story.restarts.get(&id).cloned().unwrap_or_default();
        for ((one, _), (other, _)) in of(&simulated).into_iter().zip(of(&real)) {
            let apart = Millis(one.0.abs_diff(other.0));
            assert!(apart <= APART, "{id}: restarted after {one} and after {other}");
        }
    }
    let restarted = real.restarts.values().flatten().count();
    assert!(restarted >= 8, "something happened: {:?}", real.restarts);
}

/// The runtime reports it once, nobody asks in the settle window, and the first beat
/// comes after the report: see `what_turns_unhealthy_while_it_settles_...` of the stage.
#[test]
fn what_turns_unhealthy_while_it_settles_is_looked_into_here_too() {
    let story = simulated(&format!(
        "{}[[event]]\nwhat = \"slow\"\nat = \"{}s\"\nshare = 1\nlate = \"20s\"\nfor = \"{ENDS_S}s\"\n{}",
        agents(1, "5s", HEALTH_CHECK),
        SETTLED_S + 1,
        Order(1).event(0)
    ));
    assert_eq!(story.reasons[&ws(1)], ["settle-window", "back", "settle-window", "unhealthy"]);
}

/// The look under way, begun for a request that failed, fails itself: the end that is
/// reported meanwhile is judged after it, and not when the host would look by itself.
#[test]
fn what_is_reported_while_somebody_looks_is_judged_by_itself_here_too() {
    let story = simulated(&format!(
        "[probes]\ntakes = \"2s\"\n{}{}{}{}",
        agents(1, "500ms", ""),
        "[[event]]\nwhat = \"stall\"\nat = \"300s\"\nfault = \"closed_early\"\nfor = \"2500ms\"\n",
        Reset(1).event(0),
        Crash(1).event(1),
    ));
    assert_eq!(story.reasons[&ws(1)][..2], ["probe-fault", "exit-reported"]);
    let (after, cause) = story.restarts[&ws(1)][0];
    assert_eq!(cause, RestartCause::DeadVerdict);
    // Four looks and a recheck, each of 2 s; by itself the host looks again after 10 s.
    assert_eq!(after, Millis::from_secs(10));
}
