//! How one tenant's fleet is, and how it was at its worst of late.

use std::collections::{HashMap, VecDeque};

use super::{SECONDS, first_second, second_of};
use crate::{
    evidence::Fleet,
    ids::WorkspaceId,
    time::{Millis, UnixMillis},
};

/// How one workspace stands.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    suspected: bool,
    restarting: bool,
}

/// Counts the workspaces of one tenant that should be running, those under
/// suspicion with their peak over the last [`super::REACH`], and those with a
/// restart in flight.
///
/// Every method may be called twice with the same effect as once.
#[derive(Clone, Debug, Default)]
pub struct FleetGauge {
    members: HashMap<WorkspaceId, Member>,
    suspected: u32,
    restarting: u32,
    /// The most that were suspected at once, for each second in which that
    /// number changed, oldest first. Between two, the level of the earlier one's
    /// end held. At most one a second, so at most [`SECONDS`] and one before.
    peaks: VecDeque<Peak>,
}

/// A second in which the number of suspected workspaces changed.
#[derive(Clone, Copy, Debug)]
struct Peak {
    second: u64,
    /// The most within it.
    most: u32,
    /// At its end, and until the next.
    then: u32,
}

impl FleetGauge {
    pub fn new() -> Self {
        Self::default()
    }

    /// The workspace should be running from now on.
    pub fn add(&mut self, workspace: WorkspaceId) {
        self.members.entry(workspace).or_default();
    }

    /// It need not run any more: paused, hibernated, removed.
    pub fn remove(&mut self, workspace: &WorkspaceId, now: UnixMillis) {
        self.suspect(workspace, false, now);
        self.restarting(workspace, false);
        self.members.remove(workspace);
    }

    /// Whether the workspace is under suspicion: last judged `recheck` or
    /// `dead`, or last seen not running, without a reported end and without a
    /// sign of life since. One that was not added is not counted.
    pub fn suspect(&mut self, workspace: &WorkspaceId, suspected: bool, now: UnixMillis) {
        let Some(member) = self.members.get_mut(workspace) else { return };
        if member.suspected == suspected {
            return;
        }
        member.suspected = suspected;
        let before = self.suspected;
        self.suspected = if suspected { before + 1 } else { before - 1 };
        self.note_change(before, now);
    }

    /// Whether a restart of the workspace is in flight.
    pub fn restarting(&mut self, workspace: &WorkspaceId, restarting: bool) {
        let Some(member) = self.members.get_mut(workspace) else { return };
        if member.restarting != restarting {
            member.restarting = restarting;
            self.restarting = if restarting { self.restarting + 1 } else { self.restarting - 1 };
        }
    }

    /// The fleet now, and its peak of suspicion within so long, as a policy that
    /// judges `about` sees it: its own restart is not counted.
    pub fn fleet(&self, about: &WorkspaceId, within: Millis, now: UnixMillis) -> Fleet {
        let own = self.members.get(about).is_some_and(|member| member.restarting);
        Fleet {
            workspaces: u32::try_from(self.members.len()).unwrap_or(u32::MAX),
            suspected: self.peak(first_second(within, now)),
            restarting: self.restarting - u32::from(own),
        }
    }

    /// The most that were suspected at once from that second on.
    fn peak(&self, first: u64) -> u32 {
        let mut most = self.suspected;
        for peak in self.peaks.iter().rev() {
            if peak.second < first {
                // The level that the window began with.
                return most.max(peak.then);
            }
            most = most.max(peak.most);
        }
        most
    }

    fn note_change(&mut self, before: u32, now: UnixMillis) {
        let (second, level) = (second_of(now), self.suspected);
        match self.peaks.back_mut() {
            Some(newest) if newest.second == second => {
                newest.most = newest.most.max(level);
                newest.then = level;
            }
            _ => {
                // The second began with the level of before.
                self.peaks.push_back(Peak { second, most: level.max(before), then: level });
            }
        }
        // One from before the reach stays: it tells the level at its beginning.
        let oldest = second.saturating_sub(SECONDS as u64 - 1);
        while self.peaks.get(1).is_some_and(|peak| peak.second <= oldest) {
            self.peaks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workspace(number: u8) -> WorkspaceId {
        format!("ws-{number}").parse().unwrap()
    }

    fn gauge_of(size: u8) -> FleetGauge {
        let mut gauge = FleetGauge::new();
        (0..size).for_each(|number| gauge.add(workspace(number)));
        gauge
    }

    const NOW: UnixMillis = UnixMillis(1_000_000);

    #[test]
    fn the_peak_outlasts_the_suspicion_by_the_window() {
        let mut gauge = gauge_of(4);
        for number in 0..3 {
            gauge.suspect(&workspace(number), true, NOW);
        }
        let cleared = NOW + Millis(2_000);
        for number in 0..3 {
            gauge.suspect(&workspace(number), false, cleared);
        }
        for (case, later_ms, within_ms, suspected) in [
            ("in the same second", 0, 0, 3),
            ("a window that still touches it", 5_000, 5_000, 3),
            ("a window that does not any more", 6_000, 5_000, 0),
            ("the longest window", 300_000, 300_000, 3),
            ("past the longest window", 301_000, 900_000, 0),
        ] {
            let fleet = gauge.fleet(&workspace(0), Millis(within_ms), cleared + Millis(later_ms));
            assert_eq!(fleet.suspected, suspected, "{case}");
        }
    }

    #[test]
    fn a_suspicion_that_lasts_counts_in_every_window() {
        let mut gauge = gauge_of(2);
        gauge.suspect(&workspace(1), true, NOW);
        let fleet = gauge.fleet(&workspace(0), Millis::ZERO, NOW + Millis::from_secs(7_200));
        assert_eq!(fleet, Fleet { workspaces: 2, suspected: 1, restarting: 0 });
    }

    #[test]
    fn its_own_restart_is_not_counted() {
        let mut gauge = gauge_of(3);
        gauge.restarting(&workspace(0), true);
        gauge.restarting(&workspace(0), true);
        gauge.restarting(&workspace(1), true);
        let restarting = |about| gauge.fleet(&workspace(about), Millis::ZERO, NOW).restarting;
        assert_eq!((restarting(0), restarting(2)), (1, 2));
    }

    #[test]
    fn who_leaves_takes_its_suspicion_and_restart_along() {
        let mut gauge = gauge_of(2);
        gauge.suspect(&workspace(0), true, NOW);
        gauge.restarting(&workspace(0), true);
        gauge.remove(&workspace(0), NOW);
        gauge.suspect(&workspace(0), true, NOW);
        let fleet = gauge.fleet(&workspace(1), Millis::ZERO, NOW + Millis::from_secs(1));
        assert_eq!(fleet, Fleet { workspaces: 1, suspected: 0, restarting: 0 });
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_level_of_every_millisecond(
            steps in prop::collection::vec((0u64..30_000, 0u8..6, any::<bool>()), 1..80),
            within_ms in 0u64..400_000,
        ) {
            let mut gauge = gauge_of(6);
            let mut levels: Vec<(u64, usize)> = vec![(0, 0)];
            let mut suspected = std::collections::HashSet::new();
            let mut now = UnixMillis(500_000);
            for (step, number, suspect) in steps {
                now = now + Millis(step);
                gauge.suspect(&workspace(number), suspect, now);
                if suspect { suspected.insert(number); } else { suspected.remove(&number); }
                levels.push((now.0, suspected.len()));
            }
            let from = (now.0 - within_ms.min(300_000)) / 1000 * 1000;
            let began_with = levels.iter().rev().find(|(at, _)| *at < from).map_or(0, |(_, level)| *level);
            let since = levels.iter().filter(|(at, _)| *at >= from).map(|(_, level)| *level);
            let expected = since.chain([began_with]).max().unwrap();
            let fleet = gauge.fleet(&workspace(0), Millis(within_ms), now);
            prop_assert_eq!(fleet.suspected as usize, expected);
            prop_assert!(gauge.peaks.len() <= SECONDS + 1);
        }
    }
}
