//! How many restarts followed each other, and how long that makes the next one wait.
//!
//! Restart managers keep a counter for each container. Here it is read back from
//! the host's record of restarts, whatever policy began them.

use reprieve_policy::{Evidence, Millis, StoreFault};

/// Ages of one judgement that are measured apart differ by less.
const SAME_MOMENT: Millis = Millis(1_000);

/// `first`, doubled so many times, at most `longest`.
pub const fn doubled(first: Millis, times: u32, longest: Millis) -> Millis {
    let factor = match 1_u64.checked_shl(times) {
        Some(factor) => factor,
        None => u64::MAX,
    };
    let wait = first.0.saturating_mul(factor);
    Millis(if wait < longest.0 { wait } else { longest.0 })
}

/// How many restarts that no person asked for followed each other, the newest so
/// long ago, counted up to `at_most`.
///
/// The row ends where `gap` passed without one. It is found in steps of `gap`, so a
/// pause between one and two times as long may be taken for none.
pub fn restarts_in_a_row(
    evidence: &impl Evidence,
    newest: Millis,
    gap: Millis,
    at_most: u32,
) -> Result<u32, StoreFault> {
    let mut reach = newest.saturating_add(SAME_MOMENT);
    let mut restarts = evidence.restart_count(reach)?;
    // None: it was a person who began the newest life, and the row with it. Each
    // step finds one more restart or is the last, so there are `at_most` of them.
    while restarts > 0 && restarts < at_most {
        reach = reach.saturating_add(gap);
        let within_reach = evidence.restart_count(reach)?;
        if within_reach == restarts {
            break;
        }
        restarts = within_reach;
    }
    Ok(restarts.min(at_most))
}

#[cfg(test)]
mod tests {
    use reprieve_policy::{
        Beat, Eyesight, FakeEvidence, Fleet, Life, Note, ProbeFault, Sighting, Subject,
    };

    use super::*;

    const MINUTE: u64 = 60_000;

    /// A workspace with restarts so long ago.
    struct Restarted<'a>(FakeEvidence, &'a [u64]);

    impl Evidence for Restarted<'_> {
        fn restart_count(&self, within: Millis) -> Result<u32, StoreFault> {
            let count = self.1.iter().filter(|age| **age <= within.0).count();
            Ok(u32::try_from(count).unwrap_or(u32::MAX))
        }
        fn subject(&self) -> Subject {
            self.0.subject()
        }
        fn look(&self) -> Result<Sighting, ProbeFault> {
            self.0.look()
        }
        fn newest_beat(&self) -> Result<Option<Beat>, StoreFault> {
            self.0.newest_beat()
        }
        fn intervals(&self, limit: u32) -> Result<Vec<Millis>, StoreFault> {
            self.0.intervals(limit)
        }
        fn newest_contact(&self) -> Result<Option<Beat>, StoreFault> {
            self.0.newest_contact()
        }
        fn current_life(&self) -> Result<Life, StoreFault> {
            self.0.current_life()
        }
        fn note(&self) -> Result<Option<Note>, StoreFault> {
            self.0.note()
        }
        fn write_note(&self, bytes: &[u8]) {
            self.0.write_note(bytes);
        }
        fn eyesight_between(&self, since: Millis, until: Millis) -> Eyesight {
            self.0.eyesight_between(since, until)
        }
        fn tenant_fleet(&self, within: Millis) -> Fleet {
            self.0.tenant_fleet(within)
        }
    }

    #[test]
    fn a_row_ends_where_a_gap_passed_without_a_restart() {
        let gap = Millis(10 * MINUTE);
        for (case, ages_min, expected) in [
            ("none at all", &[][..], 0),
            ("one", &[1], 1),
            ("two within a gap", &[1, 9], 2),
            ("each within a gap of the one before", &[1, 10, 19, 28], 4),
            ("a pause of two gaps ends it", &[1, 5, 26, 27], 2),
            ("as far as is asked", &[1, 2, 3, 4, 5, 6, 7, 8], 6),
        ] {
            let ages: Vec<u64> = ages_min.iter().map(|age| age * MINUTE).collect();
            let evidence = Restarted(FakeEvidence::default(), &ages);
            let newest = Millis(MINUTE);
            assert_eq!(restarts_in_a_row(&evidence, newest, gap, 6), Ok(expected), "{case}");
        }
    }

    #[test]
    fn a_life_that_a_person_began_begins_the_row_anew() {
        // It began a minute ago, and the record of what nobody asked for is older.
        let evidence = Restarted(FakeEvidence::default(), &[3 * MINUTE, 4 * MINUTE]);
        let row = restarts_in_a_row(&evidence, Millis(MINUTE), Millis(10 * MINUTE), 6);
        assert_eq!(row, Ok(0));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_no_empty_record() {
        let evidence = FakeEvidence::default().without_stores();
        assert_eq!(restarts_in_a_row(&evidence, Millis(1), Millis(1), 6), Err(StoreFault));
    }

    #[test]
    fn a_wait_is_doubled_up_to_the_longest() {
        let of = |times| doubled(Millis(10_000), times, Millis(300_000)).0 / 1_000;
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 63, 64, 1_000].map(of),
            [10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
        );
        assert_eq!(doubled(Millis(u64::MAX), 2, Millis(u64::MAX)), Millis(u64::MAX));
    }
}
