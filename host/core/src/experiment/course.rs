//! What the arms did over time, in a bounded number of equal parts of it.
//!
//! When the parts are used up, each two neighbours become one: an experiment of an hour
//! is told by the half minute, one of a month by the third of a day, and none of them
//! takes more room.

use serde::{Deserialize, Serialize};

use super::Arm;
use crate::time::{Millis, UnixMillis};

/// Parts that are kept at most. As many as a picture has room for.
pub const MAX_PARTS: usize = 120;
/// How long the first parts are.
const FIRST_WIDTH: Millis = Millis::from_secs(10);

/// The course of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// When the first part begins. None: nothing was counted yet.
    began: Option<UnixMillis>,
    width: Millis,
    /// Of both arms, one part of time after the other.
    parts: Vec<[Part; 2]>,
}

/// What one arm did within one part of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    #[serde(skip_serializing_if = "is_zero")]
    pub workspace_hours: f64,
    #[serde(skip_serializing_if = "is_none")]
    pub judged: u64,
    #[serde(skip_serializing_if = "is_none")]
    pub dead: u64,
    #[serde(skip_serializing_if = "is_none")]
    pub false_deaths: u64,
    #[serde(skip_serializing_if = "is_none")]
    pub restarts: u64,
}

impl Default for Course {
    fn default() -> Self {
        Self { began: None, width: FIRST_WIDTH, parts: Vec::new() }
    }
}

impl Course {
    /// When the first part begins, how long each is, and what the arms did in them.
    /// None: nothing was counted yet.
    pub fn parts(&self) -> Option<(UnixMillis, Millis, &[[Part; 2]])> {
        Some((self.began?, self.width, &self.parts))
    }

    /// Counts something that an arm did. What lies before the first part, because a
    /// clock was set back between two runs of the host, counts as of its beginning.
    pub(super) fn count(&mut self, arm: Arm, now: UnixMillis, add: impl FnOnce(&mut Part)) {
        let began = *self.began.get_or_insert(now);
        let since = began.age(now).0;
        // Ends: each turn doubles the width.
        while since / self.width.0.max(1) >= MAX_PARTS as u64 {
            self.halve();
        }
        let place = (since / self.width.0.max(1)) as usize;
        if self.parts.len() <= place {
            self.parts.resize(place + 1, Default::default());
        }
        add(&mut self.parts[place][arm as usize]);
    }

    /// Half as many parts, each twice as long.
    fn halve(&mut self) {
        self.width = Millis(self.width.0.max(1).saturating_mul(2));
        self.parts = self.parts.chunks(2).map(sum).collect();
    }
}

fn sum(parts: &[[Part; 2]]) -> [Part; 2] {
    Arm::ALL.map(|arm| {
        let mut sum = Part::default();
        parts.iter().for_each(|part| sum.add(&part[arm as usize]));
        sum
    })
}

impl Part {
    pub fn add(&mut self, other: &Self) {
        self.workspace_hours += other.workspace_hours;
        self.judged += other.judged;
        self.dead += other.dead;
        self.false_deaths += other.false_deaths;
        self.restarts += other.restarts;
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(hours: &f64) -> bool {
    *hours == 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEGAN: UnixMillis = UnixMillis(1_800_000_000_000);

    fn judged(course: &mut Course, arm: Arm, after: Millis) {
        course.count(arm, BEGAN + after, |part| part.judged += 1);
    }

    #[test]
    fn each_two_parts_become_one_when_there_is_no_room() {
        let mut course = Course::default();
        let last = Millis(FIRST_WIDTH.0 * (MAX_PARTS as u64 - 1));
        for (arm, after) in [
            (Arm::Control, Millis::ZERO),
            (Arm::Control, FIRST_WIDTH),
            (Arm::Candidate, Millis(FIRST_WIDTH.0 * 2 - 1)),
            (Arm::Candidate, last),
        ] {
            judged(&mut course, arm, after);
        }
        let (began, width, parts) = course.parts().unwrap();
        assert_eq!((began, width, parts.len()), (BEGAN, FIRST_WIDTH, MAX_PARTS));
        let counts = |part: &[Part; 2]| [part[0].judged, part[1].judged];
        assert_eq!([counts(&parts[0]), counts(&parts[1])], [[1, 0], [1, 1]]);

        judged(&mut course, Arm::Control, last.saturating_add(FIRST_WIDTH));
        let (began, width, parts) = course.parts().unwrap();
        assert_eq!(
            (began, width, parts.len()),
            (BEGAN, Millis(FIRST_WIDTH.0 * 2), MAX_PARTS / 2 + 1)
        );
        assert_eq!(counts(&parts[0]), [2, 1], "what was counted in both");
        assert_eq!(counts(&parts[MAX_PARTS / 2 - 1]), [0, 1]);
        assert_eq!(counts(&parts[MAX_PARTS / 2]), [1, 0]);
    }

    #[test]
    fn a_clock_that_was_set_back_loses_nothing() {
        let mut course = Course::default();
        course.count(Arm::Control, BEGAN, |part| part.dead += 1);
        course.count(Arm::Control, UnixMillis(0), |part| part.dead += 1);
        course.count(Arm::Control, UnixMillis(u64::MAX), |part| part.dead += 1);
        let (_, _, parts) = course.parts().unwrap();
        assert!(parts.len() <= MAX_PARTS, "{}", parts.len());
        assert_eq!(parts.iter().map(|part| part[0].dead).sum::<u64>(), 3);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_moved_or_kept_beyond_the_bound(
            events in prop::collection::vec((any::<bool>(), 0_u64..400_000_000), 1..200),
        ) {
            let mut course = Course::default();
            course.count(Arm::Control, BEGAN, |_| {});
            for (is_candidate, after) in &events {
                let arm = if *is_candidate { Arm::Candidate } else { Arm::Control };
                judged(&mut course, arm, Millis(*after));
            }
            let (began, width, parts) = course.parts().unwrap();
            prop_assert!(began == BEGAN && parts.len() <= MAX_PARTS);
            for (nth, part) in parts.iter().enumerate() {
                for arm in Arm::ALL {
                    let of_arm = |is_candidate| is_candidate == (arm == Arm::Candidate);
                    let within = events.iter().filter(|(is_candidate, after)| {
                        of_arm(*is_candidate) && (after / width.0) as usize == nth
                    });
                    prop_assert_eq!(part[arm as usize].judged, within.count() as u64);
                }
            }
            let text = serde_json::to_string(&course).unwrap();
            prop_assert_eq!(serde_json::from_str::<Course>(&text).unwrap(), course);
        }
    }
}
