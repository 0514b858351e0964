use std::sync::Arc;

use reprieve_core::{
    decision::{Cost, Decision, GenerationRef, Outcome},
    evidence::{Answer, Beat, Exchange, Life, ProbeFault, Question, Sighting, Status},
    ids::{DecisionId, Digest, LifeId, WorkspaceId},
    judgement::{Attempt, Call, Reason, RestartCause, Trigger, Verdict},
    time::{Millis, UnixMillis},
};
use reprieve_lab::{Happening, RestartKind, Trouble, Truth, With};

use super::{
    About, Kind, Timeline, Zero,
    episode::{MAX_EPISODES, MAX_LANES, MAX_MARKS, episodes},
    page,
};

const START: UnixMillis = UnixMillis(1_776_330_626_250);

fn at(seconds: u64) -> UnixMillis {
    START + Millis::from_secs(seconds)
}

fn workspace(number: u64) -> WorkspaceId {
    format!("ws-{number}").parse().unwrap()
}

fn decision(number: u64, seconds: u64, verdict: Verdict, evidence: Vec<Exchange>) -> Decision {
    let generation = GenerationRef {
        number: 1,
        policy: "default 0.1.0".to_owned(),
        component: Digest::of(b"c"),
        settings: Digest::of(b"s"),
    };
    let (code, meaning) = ("<a-reason>".to_owned(), "A meaning.".to_owned());
    Decision {
        id: DecisionId(format!("{number:032x}")),
        at: at(seconds),
        workspace: workspace(number),
        tenant: "acme".parse().unwrap(),
        life: LifeId(3),
        generation: Arc::new(generation),
        experiment: None,
        call: Call::Judge { trigger: Trigger::Sweep, attempt: Attempt::default() },
        evidence,
        memory_write: None,
        outcome: Outcome::Judged { verdict, reason: Arc::new(Reason { code, meaning }) },
        cost: Cost { total: Millis::from_secs(2), ..Cost::default() },
        effect: None,
    }
}

fn exchange(question: Question, answer: Answer) -> Exchange {
    Exchange { question, answer }
}

fn beat(age_s: u64) -> Exchange {
    let beat = Beat { age: Millis::from_secs(age_s), this_life: true };
    exchange(Question::NewestBeat, Answer::NewestBeat(Ok(Some(beat))))
}

fn recorded() -> Timeline {
    Timeline::new("On record".to_owned(), Zero::Epoch, None)
}

fn simulated() -> Timeline {
    Timeline::new("default".to_owned(), Zero::Since(START), None)
}

fn shown(timelines: &[Timeline]) -> String {
    page(&About { title: "<t>", text: "about", remedy: "Choose." }, timelines)
}

fn of(timeline: &Timeline, workspace: &str) -> Vec<(Kind, u64)> {
    let seconds = |at: UnixMillis| START.age(at).0 / 1_000;
    timeline.lanes[workspace].marks.iter().map(|mark| (mark.kind, seconds(mark.at))).collect()
}

#[test]
fn a_recorded_decision_tells_when_there_was_a_sign_a_look_a_verdict_and_a_restart() {
    let life = Life { began: Some(Millis::from_secs(32)), ..Life::default() };
    let known = |cause| Life { cause: Some(cause), ..life };
    let sighting = Sighting::bare(Status::Stopped);
    let mut timeline = recorded();
    timeline.decided(&decision(
        1,
        100,
        Verdict::Dead,
        vec![
            beat(12),
            exchange(Question::Look, Answer::Look(Ok(sighting))),
            exchange(
                Question::CurrentLife,
                Answer::CurrentLife(Ok(known(RestartCause::SettingsChanged))),
            ),
        ],
    ));
    // The same sign, and the same life, are told of again.
    timeline.decided(&decision(1, 110, Verdict::Alive, vec![beat(22)]));
    let timeline = timeline.sorted();
    assert_eq!(
        of(&timeline, "ws-1"),
        [
            (Kind::Restart, 70),
            (Kind::Beat, 90),
            (Kind::Down, 102),
            (Kind::Dead, 102),
            (Kind::Alive, 112)
        ]
    );
    let text = shown(&[timeline]);
    for part in [
        "2026-04-16 09:11:36.250</td><td>ws-1</td><td>restart (settings changed): life 3 begins",
        "DEAD: &lt;a-reason&gt; (sweep) <span class=\"id\">00000000000000000000000000000001",
        "<dt>&lt;a-reason&gt;</dt><dd>A meaning.</dd>",
        "What nobody recorded is not drawn",
        "&lt;t&gt;",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("in truth") && !text.contains("<t>"), "{text}");
}

#[test]
fn of_a_record_nothing_is_drawn_that_no_decision_tells() {
    let text = shown(&[recorded().sorted()]);
    assert!(text.contains("Nothing happened") && !text.contains("role=\"img\""), "{text}");
    let mut timeline = recorded();
    let old = Life { began: Some(Millis::from_secs(86_400)), ..Life::default() };
    let told = exchange(Question::CurrentLife, Answer::CurrentLife(Ok(old)));
    timeline.decided(&decision(1, 100, Verdict::Alive, vec![told]));
    assert_eq!(of(&timeline, "ws-1"), [(Kind::Alive, 102)], "a life of long ago is no event");
}

#[test]
fn a_simulated_run_shows_what_was_true_and_that_a_restart_was_false() {
    let mut timeline = simulated();
    let (one, two) = (workspace(1), workspace(2));
    let truths = [(50, &one, Truth::Slow), (80, &one, Truth::Healthy), (60, &two, Truth::Dead)];
    for (seconds, workspace, truth) in truths {
        timeline.happened(&Happening::Truth { at: at(seconds), workspace, truth });
    }
    for (seconds, workspace, truth) in [(70, &one, Truth::Slow), (75, &two, Truth::Dead)] {
        let kind = RestartKind { cause: RestartCause::DeadVerdict, truth };
        timeline.happened(&Happening::Restart { at: at(seconds), workspace, kind });
    }
    let trouble = Trouble::Pause;
    let (from, until, with) = (at(40), at(90), With::Host(0));
    timeline.happened(&Happening::Trouble { from, until, with, trouble });
    let with = With::Workspace(&one);
    let trouble = Trouble::Stall(ProbeFault::TimedOut);
    timeline.happened(&Happening::Trouble { from: at(55), until, with, trouble });
    timeline.happened(&Happening::Beat { at: at(85), workspace: &one });
    let timeline = timeline.sorted();
    assert_eq!(of(&timeline, "ws-1"), [(Kind::FalseRestart, 70), (Kind::Beat, 85)]);
    assert_eq!(of(&timeline, "ws-2"), [(Kind::Restart, 75)]);

    let (drawn, left_out) = episodes(&timeline);
    assert_eq!((drawn.len(), left_out), (1, 0));
    assert_eq!(drawn[0].lanes[0].workspace, "ws-1", "who was falsely restarted comes first");
    let text = shown(&[timeline]);
    for part in [
        "<td>0:01:10.000</td><td>ws-1</td><td>false restart (dead verdict); in truth it was slow",
        "<td>0:00:50.000</td><td>ws-1</td><td>in truth slow, until 0:01:20.000",
        "host 1</td><td>stands still, until",
        "probes fail: the runtime did not answer in time, until 0:01:30.000",
        "2 workspaces, 2 restarts, 1 of them false.",
        "role=\"img\" aria-labelledby=\"title-1 told-1\"",
        "class=\"is-slow\"",
        "class=\"is-dead\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_quiet_time_parts_two_episodes_and_a_grave_one_is_drawn_before_others() {
    let mut timeline = recorded();
    for nth in 0..=MAX_EPISODES as u64 {
        let verdict = if nth == 4 { Verdict::Alive } else { Verdict::Dead };
        let fault = exchange(Question::Look, Answer::Look(Err(ProbeFault::TimedOut)));
        timeline.decided(&decision(1, nth * 1_000, verdict, vec![fault]));
    }
    // Nothing grave: no episode of its own where there are others.
    timeline.decided(&decision(2, 500, Verdict::Alive, vec![]));
    let (drawn, left_out) = episodes(&timeline.sorted());
    assert_eq!((drawn.len(), left_out), (MAX_EPISODES, 1));
    assert!(drawn.windows(2).all(|two| two[0].until < two[1].from), "by time: {drawn:?}");
    let within =
        |seconds: u64| drawn.iter().any(|one| one.from <= at(seconds) && at(seconds) <= one.until);
    assert!(within(3_000) && within(5_000), "{drawn:?}");
    assert!(!within(4_000), "the one in which nobody was ruled dead is left out: {drawn:?}");
    assert!(!within(500), "{drawn:?}");

    let mut calm = recorded();
    calm.decided(&decision(2, 500, Verdict::Alive, vec![]));
    assert_eq!(episodes(&calm.sorted()).0.len(), 1, "it is all that there is");
}

#[test]
fn what_has_no_room_is_counted_and_said() {
    let mut timeline = recorded();
    for number in 0..MAX_LANES as u64 + 3 {
        timeline.decided(&decision(number, 10, Verdict::Busy(Millis(1)), vec![]));
    }
    for nth in 0..MAX_MARKS as u64 + 5 {
        timeline.decided(&decision(7, 20 + nth, Verdict::Alive, vec![]));
    }
    let timeline = timeline.sorted();
    let (drawn, _) = episodes(&timeline);
    let lane = drawn.iter().flat_map(|one| &one.lanes).find(|lane| lane.marks_left_out > 0);
    let lane = lane.expect("one has too many");
    assert_eq!(lane.marks.len(), MAX_MARKS);
    let text = shown(&[timeline]);
    assert!(text.contains("6 marks not drawn") && text.contains("a lane has 150"), "{text}");
    let mut crowd = recorded();
    for number in 0..MAX_LANES as u64 + 3 {
        crowd.decided(&decision(number, 10, Verdict::Dead, vec![]));
    }
    let text = shown(&[crowd.sorted()]);
    assert!(text.contains("3 more workspaces to which less happened are not drawn"), "{text}");
}

#[test]
fn only_the_part_that_is_wanted_is_kept() {
    let between = Some((at(100), at(200)));
    let mut timeline = Timeline::new("default".to_owned(), Zero::Since(START), between);
    for seconds in [50, 150, 250] {
        timeline.happened(&Happening::Decided(&decision(1, seconds, Verdict::Dead, vec![])));
    }
    let one = workspace(1);
    let (workspace, truth) = (&one, Truth::Dead);
    timeline.happened(&Happening::Truth { at: at(20), workspace, truth });
    assert_eq!(of(&timeline, "ws-1"), [(Kind::Dead, 152)]);
    let (drawn, _) = episodes(&timeline.sorted());
    assert_eq!((drawn[0].from, drawn[0].until), (at(100), at(200)));
    let truths = drawn[0].lanes[0].truths.as_ref().unwrap();
    assert_eq!(truths.len(), 1, "dead all the while: {truths:?}");
    assert_eq!(truths[0].1, Truth::Dead);
}
