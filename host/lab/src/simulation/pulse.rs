//! When a workspace would beat: made by chance, or as it is on record.
//!
//! Beats have numbers, and go out in their order, each up to [`Pulse::slowest`] later
//! than its turn. A run sends those whose turn comes while it is up.

use reprieve_core::time::{Millis, UnixMillis};

use super::START;
use crate::{
    Chance,
    history::{RecordedBeat, Sender},
    scenario::MadeBeats,
};

/// Streams of a run's chance.
const PHASE: u64 = 1;
const JITTER: u64 = 2;
const LATE: u64 = 3;
const LOST: u64 = 4;

#[derive(Clone, Copy, Debug)]
pub(super) enum Pulse<'a> {
    Made {
        beats: &'a MadeBeats,
        /// The run's own.
        chance: Chance,
        first: UnixMillis,
    },
    /// Counted from the beginning of the scenario; after `period` it begins anew.
    Recorded { beats: &'a [RecordedBeat], slowest: Millis, period: Millis, up_at: UnixMillis },
}

impl<'a> Pulse<'a> {
    pub(super) fn made(beats: &'a MadeBeats, chance: Chance, up_at: UnixMillis) -> Self {
        let phase = Millis(chance.stream(PHASE).below(0, beats.every.0.0));
        Self::Made { beats, chance, first: up_at + phase }
    }

    pub(super) fn recorded(sender: &'a Sender, period: Millis, up_at: UnixMillis) -> Self {
        Self::Recorded { beats: &sender.beats, slowest: sender.slowest, period, up_at }
    }

    /// The number of the first of this run whose turn comes at `at` or later.
    pub(super) fn from(&self, at: UnixMillis) -> u64 {
        match *self {
            Self::Made { beats, first, .. } => first.age(at).0.div_ceil(beats.every.0.0),
            Self::Recorded { beats, period, up_at, .. } => {
                let since = START.age(at.max(up_at)).0;
                let within = beats.partition_point(|beat| beat.sent.0 < since % period.0);
                since / period.0 * beats.len() as u64 + within as u64
            }
        }
    }

    /// Of the last whose turn has come at `at`. None: this run has sent none.
    pub(super) fn until(&self, at: UnixMillis) -> Option<u64> {
        let next = self.from(at + Millis(1));
        let newest = next.checked_sub(1)?;
        (newest >= self.from(self.begins()) && self.turn(newest)? <= at).then_some(newest)
    }

    /// The first of this run.
    pub(super) fn first(&self) -> u64 {
        self.from(self.begins())
    }

    /// The longest from a beat's turn until it arrives.
    pub(super) fn slowest(&self) -> Millis {
        match *self {
            Self::Made { beats, .. } => beats.late.most.saturating_add(beats.jitter.0),
            Self::Recorded { slowest, .. } => slowest,
        }
    }

    const fn begins(&self) -> UnixMillis {
        match *self {
            Self::Made { first, .. } => first,
            Self::Recorded { up_at, .. } => up_at,
        }
    }

    /// When its turn is. None: there are no beats.
    pub(super) fn turn(&self, nth: u64) -> Option<UnixMillis> {
        match *self {
            Self::Made { beats, first, .. } => Some(first + Millis(nth * beats.every.0.0)),
            Self::Recorded { beats, period, .. } => {
                let count = beats.len() as u64;
                let round = nth.checked_div(count)?;
                let beat = beats.get((nth % count) as usize)?;
                Some(START + Millis(round * period.0) + beat.sent)
            }
        }
    }

    /// When it is sent, and how long it is under way. None: it is lost.
    pub(super) fn sent(&self, nth: u64) -> Option<(UnixMillis, Millis)> {
        let turn = self.turn(nth)?;
        match *self {
            Self::Made { beats, chance, .. } => {
                if chance.stream(LOST).happens(nth, beats.lost.get()) {
                    return None;
                }
                let jitter = chance.stream(JITTER).below(nth, beats.jitter.0.0 + 1);
                let way = beats.late.at(chance.stream(LATE).unit(nth));
                Some((turn + Millis(jitter), way))
            }
            Self::Recorded { beats, .. } => {
                let beat = beats.get((nth % beats.len() as u64) as usize)?;
                Some((turn, beat.way))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::BeatTrace;

    fn at(ms: u64) -> UnixMillis {
        START + Millis(ms)
    }

    /// Beats at 0, 10, 20 and 50 ms; a round takes 60.
    #[test]
    fn what_is_on_record_is_played_exactly_and_again_after_its_end() {
        let text = "send_ms,receive_ms\n0,3\n10,10\n20,29\n50,51\n";
        let trace = BeatTrace::read(text.as_bytes(), None).unwrap();
        let period = trace.ends;
        assert_eq!(period, Millis(60));
        let pulse = |up_at| Pulse::recorded(&trace.senders[0], period, up_at);
        let whole = pulse(at(0));
        let sent: Vec<_> = (0..6).map(|nth| whole.sent(nth).unwrap()).collect();
        let expected = [(0, 3), (10, 0), (20, 9), (50, 1), (60, 3), (70, 0)];
        assert_eq!(sent, expected.map(|(sent, way)| (at(sent), Millis(way))));
        for (up_ms, at_ms, until) in [
            (0, 0, Some(0)),
            (0, 9, Some(0)),
            (0, 10, Some(1)),
            (0, 59, Some(3)),
            (0, 60, Some(4)),
            // A run that came up later sends what comes from then on.
            (15, 15, None),
            (15, 20, Some(2)),
            (55, 59, None),
            (55, 60, Some(4)),
        ] {
            assert_eq!(pulse(at(up_ms)).until(at(at_ms)), until, "{up_ms} {at_ms}");
        }
        assert_eq!((pulse(at(15)).first(), pulse(at(51)).first()), (2, 4));
        assert_eq!(whole.slowest(), Millis(9));
    }
}
