use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

const LIMIT: Millis = Millis::from_secs(180);

fn workspace(number: u8) -> WorkspaceId {
    format!("ws-{number}").parse().unwrap()
}

fn at_s(secs: u64) -> UnixMillis {
    UnixMillis(1_000_000 + secs * 1000)
}

fn watched(number: u8) -> (Liveness, WorkspaceId) {
    let (mut liveness, id) = (Liveness::new(), workspace(number));
    liveness.set_limit(&id, Some(LIMIT));
    (liveness, id)
}

#[test]
fn silence_is_reported_at_its_limit_and_once() {
    let (mut liveness, id) = watched(1);
    liveness.beat(&id, LifeId(1), at_s(0));
    assert_eq!(liveness.next_deadline(), Some(at_s(180)));
    assert!(liveness.expired(UnixMillis(at_s(180).0 - 1), 10).is_empty(), "just before");
    assert_eq!(liveness.expired(at_s(180), 10), std::slice::from_ref(&id), "at the limit");
    assert!(liveness.expired(at_s(999), 10).is_empty(), "reported already");
    assert_eq!(liveness.next_deadline(), None);
}

#[test]
fn whoever_gives_a_sign_again_is_watched_again() {
    type Sign = fn(&mut Liveness, &WorkspaceId);
    let signs: [(&str, Sign); 4] = [
        ("a beat", |liveness, id| liveness.beat(id, LifeId(1), at_s(200))),
        ("a contact", |liveness, id| liveness.contact(id, LifeId(1), at_s(200))),
        ("a rearming", |liveness, id| liveness.rearm(id, at_s(200))),
        ("a later life", |liveness, id| liveness.beat(id, LifeId(2), at_s(200))),
    ];
    for (case, sign) in signs {
        let (mut liveness, id) = watched(1);
        liveness.beat(&id, LifeId(1), at_s(0));
        assert_eq!(liveness.expired(at_s(190), 10).len(), 1, "{case}");
        sign(&mut liveness, &id);
        assert_eq!(liveness.next_deadline(), Some(at_s(380)), "{case}");
    }
}

#[test]
fn what_is_no_news_ends_no_silence() {
    let (mut liveness, id) = watched(1);
    liveness.beat(&id, LifeId(2), at_s(10));
    liveness.beat(&id, LifeId(1), at_s(20));
    liveness.beat(&id, LifeId(2), at_s(5));
    assert_eq!(liveness.next_deadline(), Some(at_s(190)));
    assert_eq!(liveness.signs(&id).beat, Some((at_s(10), LifeId(2))));
}

#[test]
fn who_never_beat_says_nothing_by_its_silence() {
    let (mut liveness, id) = watched(1);
    liveness.contact(&id, LifeId(1), at_s(0));
    liveness.rearm(&id, at_s(1));
    assert_eq!(liveness.next_deadline(), None);
    liveness.beat(&id, LifeId(1), at_s(2));
    assert_eq!(liveness.next_deadline(), Some(at_s(182)));
}

#[test]
fn a_silence_is_counted_from_the_return_of_the_host() {
    let (mut liveness, id) = watched(1);
    let signs = Signs {
        beat: Some((at_s(0), LifeId(4))),
        contact: None,
        intervals: vec![Millis(30_000), Millis(31_000)],
    };
    liveness.restore(&id, &signs, at_s(7_200));
    assert_eq!(liveness.signs(&id), signs);
    assert_eq!(liveness.next_deadline(), Some(at_s(7_200 + 180)));
    assert!(liveness.take_changed(10).is_empty(), "what came from disk is not written back");
}

#[test]
fn intervals_are_those_of_the_newest_life() {
    let (mut liveness, id) = watched(1);
    for secs in [0, 1, 3, 6] {
        liveness.beat(&id, LifeId(1), at_s(secs));
    }
    assert_eq!(liveness.signs(&id).intervals, [Millis(3_000), Millis(2_000), Millis(1_000)]);
    liveness.beat(&id, LifeId(2), at_s(60));
    assert!(liveness.signs(&id).intervals.is_empty());
    (1..20).for_each(|more| liveness.beat(&id, LifeId(2), at_s(60 + more)));
    assert_eq!(liveness.signs(&id).intervals, [Millis(1_000); Signs::MAX_INTERVALS]);
}

#[test]
fn what_changed_is_taken_once_and_can_be_handed_back() {
    let mut liveness = Liveness::new();
    for number in [1, 2, 1, 3] {
        liveness.beat(&workspace(number), LifeId(0), at_s(u64::from(number)));
    }
    liveness.remove(&workspace(2));
    let names = |taken: Vec<(WorkspaceId, Signs)>| -> Vec<_> {
        taken.into_iter().map(|(workspace, _)| workspace).collect()
    };
    assert_eq!(names(liveness.take_changed(1)), [workspace(1)]);
    assert_eq!(names(liveness.take_changed(9)), [workspace(3)]);
    liveness.mark_changed(&workspace(3));
    assert_eq!(names(liveness.take_changed(9)), [workspace(3)]);
}

#[test]
fn more_limits_than_lists_are_all_kept() {
    let mut liveness = Liveness::new();
    for number in 0..100u8 {
        let limit = Millis::from_secs(1_000 - u64::from(number));
        liveness.set_limit(&workspace(number), Some(limit));
        liveness.beat(&workspace(number), LifeId(0), at_s(0));
    }
    let expired = liveness.expired(at_s(1_000), 200);
    let expected: Vec<_> = (0..100).rev().map(workspace).collect();
    assert_eq!(expired, expected);
}

/// What the naive way knows of one workspace.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    since: Option<UnixMillis>,
    limit: Option<Millis>,
    reported: bool,
}

impl Known {
    fn deadline(&self) -> Option<UnixMillis> {
        Some(self.since? + self.limit?).filter(|_| !self.reported)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A sign that was given so long ago.
    Beat {
        late_ms: u64,
    },
    Limit {
        secs: Option<u64>,
    },
    Rearm,
    Remove,
    Expire {
        at_most: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![3 => Just(0), 1 => 0u64..20_000].prop_map(|late_ms| Step::Beat { late_ms }),
        2 => prop::option::weighted(0.8, 1u64..40).prop_map(|secs| Step::Limit { secs }),
        1 => Just(Step::Rearm),
        1 => Just(Step::Remove),
        3 => (0usize..4).prop_map(|at_most| Step::Expire { at_most }),
    ]
}

proptest! {
    #[test]
    fn it_agrees_with_looking_at_everyone(
        steps in prop::collection::vec((0u64..9_000, 0u8..50, step()), 1..400),
    ) {
        let (mut liveness, mut now) = (Liveness::new(), at_s(100));
        let mut model: BTreeMap<u8, Known> = BTreeMap::new();
        for (later_ms, number, step) in steps {
            now = now + Millis(later_ms);
            let id = workspace(number);
            match step {
                Step::Beat { late_ms } => {
                    let at = UnixMillis(now.0 - late_ms);
                    liveness.beat(&id, LifeId(0), at);
                    let known = model.entry(number).or_default();
                    if known.since.is_none_or(|since| at > since) {
                        *known = Known { since: Some(at), limit: known.limit, reported: false };
                    }
                }
                Step::Limit { secs } => {
                    let limit = secs.map(Millis::from_secs);
                    liveness.set_limit(&id, limit);
                    let known = model.entry(number).or_default();
                    known.reported &= known.limit == limit;
                    known.limit = limit;
                }
                Step::Rearm => {
                    liveness.rearm(&id, now);
                    if let Some(known) = model.get_mut(&number)
                        && let Some(since) = known.since
                    {
                        known.since = Some(since.max(now));
                        known.reported = false;
                    }
                }
                Step::Remove => {
                    liveness.remove(&id);
                    model.remove(&number);
                }
                Step::Expire { at_most } => {
                    let mut due: Vec<_> = model
                        .iter()
                        .filter_map(|(number, known)| Some((known.deadline()?, *number)))
                        .filter(|(deadline, _)| *deadline <= now)
                        .collect();
                    due.sort_unstable();
                    let expired = liveness.expired(now, at_most);
                    // The earliest deadlines; among equal ones, any.
                    let latest = due.get(at_most.wrapping_sub(1)).map_or(now, |last| last.0);
                    let may: HashSet<_> = due.iter().filter(|(deadline, _)| *deadline <= latest)
                        .map(|(_, number)| workspace(*number)).collect();
                    prop_assert_eq!(expired.len(), at_most.min(due.len()));
                    prop_assert!(expired.iter().all(|id| may.contains(id)));
                    for (number, known) in &mut model {
                        known.reported |= expired.contains(&workspace(*number));
                    }
                }
            }
            let next = model.values().filter_map(Known::deadline).min();
            prop_assert_eq!(liveness.next_deadline(), next);
            prop_assert_eq!(liveness.len(), model.keys().count());
        }
    }
}
