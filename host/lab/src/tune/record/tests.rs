use std::sync::Arc;

use reprieve_core::{
    decision::{Cost, GenerationRef},
    evidence::{Answer, Beat, Exchange, Question, Sighting, Status},
    ids::{DecisionId, LifeId},
    judgement::{Admission, Reason, RestartCause, Trigger},
};

use super::*;

const MINUTE: u64 = 60;

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(seconds * 1_000)
}

/// A judgement so late, whose newest beat came `beat_s`, if one is told.
fn judged(at_s: u64, life: u64, beat_s: Option<u64>) -> Decision {
    let beat = |sent| Beat { age: at(sent).age(at(at_s)), this_life: true };
    let answer = Answer::NewestBeat(Ok(beat_s.map(beat)));
    let reason = Arc::new(Reason { code: "said".to_owned(), meaning: "so".to_owned() });
    Decision {
        id: DecisionId(format!("{at_s}")),
        at: at(at_s),
        workspace: "ws-1".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        life: LifeId(life),
        generation: Arc::new(GenerationRef {
            number: 1,
            policy: "p".to_owned(),
            component: Digest::of(b"p"),
            settings: Digest::of(b"s"),
        }),
        experiment: None,
        call: Call::Judge { trigger: Trigger::Sweep, attempt: Attempt::default() },
        evidence: vec![Exchange { question: Question::NewestBeat, answer }],
        memory_write: None,
        outcome: Recorded::Judged { verdict: Verdict::Alive, reason },
        cost: Cost::default(),
        effect: None,
    }
}

/// The runtime says that it ended then.
fn ended(mut decision: Decision, at_s: u64) -> Decision {
    let sighting =
        Sighting { ended: Some(at(at_s).age(decision.at)), ..Sighting::bare(Status::Stopped) };
    let answer = Answer::Look(Ok(sighting));
    decision.evidence.push(Exchange { question: Question::Look, answer });
    decision
}

/// A restart is admitted.
fn admitted(at_s: u64, life: u64, cause: RestartCause) -> Decision {
    let reason = Arc::new(Reason { code: "said".to_owned(), meaning: "so".to_owned() });
    let outcome = Recorded::Ruled { admission: Admission::Admit, reason };
    Decision { call: Call::Admit { cause }, outcome, ..judged(at_s, life, None) }
}

fn endings(decisions: Vec<Decision>) -> Vec<(u64, Ending)> {
    let told = incidents(decisions).into_iter();
    told.map(|incident| (incident.began().0 / 1_000, incident.ending)).collect()
}

#[test]
fn how_an_incident_ended_is_told_by_the_record_or_by_nothing() {
    // It beat 20 s after a judgement in which it had been silent for 30 s.
    let overcame = [judged(MINUTE, 1, Some(30)), judged(100, 1, Some(80))];
    let restart = |cause| vec![admitted(202, 1, cause), judged(260, 2, None)];
    for (case, more, expected) in [
        ("nothing more", vec![], (100, Ending::Unknown)),
        ("a later sign", vec![judged(150, 1, Some(140))], (150, Ending::Unknown)),
        (
            "an end that was reported",
            vec![ended(judged(200, 1, Some(80)), 190)],
            (100, Ending::DownSince(at(190))),
        ),
        (
            "an end that a later sign gainsays",
            vec![ended(judged(200, 1, Some(80)), 190), judged(230, 1, Some(220))],
            (230, Ending::Unknown),
        ),
        (
            "restarted by a verdict, silent for longer than ever",
            [vec![judged(200, 1, Some(80))], restart(RestartCause::DeadVerdict)].concat(),
            (100, Ending::DownSince(at(100))),
        ),
        (
            "restarted by a person",
            [vec![judged(200, 1, Some(80))], restart(RestartCause::Operator)].concat(),
            (100, Ending::Unknown),
        ),
        (
            "restarted by a verdict soon after a sign",
            [
                vec![judged(200, 1, Some(199))],
                vec![admitted(202, 1, RestartCause::DeadVerdict), judged(210, 2, None)],
            ]
            .concat(),
            (200, Ending::Unknown),
        ),
    ] {
        let told = endings([overcame.to_vec(), more].concat());
        assert_eq!(told[0], (MINUTE, Ending::LivedOn), "{case}");
        // What the next life begins with is another incident.
        let last = told.iter().rfind(|(began, _)| *began < 240 && *began != 210).unwrap();
        assert_eq!(*last, expected, "{case}: {told:?}");
    }
}

#[test]
fn a_beat_that_only_the_next_life_tells_of_is_a_sign_of_the_one_before() {
    let mut next = judged(300, 2, Some(250));
    let Answer::NewestBeat(Ok(Some(beat))) = &mut next.evidence[0].answer else { unreachable!() };
    beat.this_life = false;
    let told = endings(vec![
        judged(100, 1, Some(90)),
        judged(200, 1, Some(90)),
        admitted(202, 1, RestartCause::DeadVerdict),
        next,
    ]);
    assert_eq!(told[0], (100, Ending::LivedOn));
}

#[test]
fn a_dead_before_the_end_is_false_and_what_is_not_known_counts_for_nothing() {
    let incident =
        |ending| Incident { decisions: vec![judged(100, 1, None)], ending, until: at(400) };
    let down = incident(Ending::DownSince(at(150)));
    assert_eq!(down.found(Some(at(140))), Found::Falsely);
    assert_eq!(down.found(Some(at(170))), Found::After(Millis::from_secs(20)));
    assert_eq!(down.found(None), Found::Never(Millis::from_secs(250)));
    let lived_on = incident(Ending::LivedOn);
    assert_eq!(lived_on.found(Some(at(140))), Found::Falsely);
    assert_eq!(lived_on.found(None), Found::Nothing);
    let unknown = incident(Ending::Unknown);
    assert_eq!(unknown.found(Some(at(140))), Found::Nothing);
}

#[test]
fn a_log_that_tells_too_little_is_refused_with_what_is_missing() {
    assert!(matches!(Record::of(vec![]), Err(RecordRefused::Empty)));
    let few = Record::of(vec![judged(100, 1, None)]).unwrap_err().to_string();
    assert!(few.contains("it tells of 0 incidents") && few.contains("longer log"), "{few}");
    // Each judgement is followed by a sign: all but the last are known.
    let many = (1..=21).map(|nth| judged(nth * MINUTE, 1, Some(nth * MINUTE - 5))).collect();
    let record = Record::of(many).unwrap();
    assert_eq!((record.groups(Part::Earlier), record.groups(Part::Later)), (12, 8));
    assert_eq!((record.workspaces(), record.decisions()), (1, 21));
}
