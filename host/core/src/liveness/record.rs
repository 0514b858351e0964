//! The signs of life of one workspace in 64 bytes.

use crate::{
    ids::LifeId,
    ports::Signs,
    time::{Millis, UnixMillis},
};

/// Of what is at the time zero there is no sign yet: the host's clock stands far
/// past it.
const NEVER: UnixMillis = UnixMillis(0);

#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    beat: UnixMillis,
    beat_life: LifeId,
    contact: UnixMillis,
    contact_life: LifeId,
    /// In milliseconds, newest first. A beat is never two in one millisecond, so
    /// 0 means none.
    intervals_ms: [u32; Signs::MAX_INTERVALS],
}

/// A million workspaces are to fit into 400 MB with their names, their deadlines
/// and the ways to find them.
const _: () = assert!(size_of::<Record>() <= 64);

impl Record {
    pub(super) fn has_beaten(&self) -> bool {
        self.beat != NEVER
    }

    /// Whether it is news.
    pub(super) fn beat(&mut self, life: LifeId, at: UnixMillis) -> bool {
        if !is_newer((life, at), (self.beat_life, self.beat)) {
            return false;
        }
        if life == self.beat_life && self.has_beaten() {
            self.intervals_ms.rotate_right(1);
            self.intervals_ms[0] = u32::try_from(at.0 - self.beat.0).unwrap_or(u32::MAX);
        } else {
            self.intervals_ms = Default::default();
        }
        (self.beat_life, self.beat) = (life, at);
        true
    }

    /// Whether it is news.
    pub(super) fn contact(&mut self, life: LifeId, at: UnixMillis) -> bool {
        let newer = is_newer((life, at), (self.contact_life, self.contact));
        if newer {
            (self.contact_life, self.contact) = (life, at);
        }
        newer
    }

    pub(super) fn signs(&self) -> Signs {
        let given = |at, life| (at != NEVER).then_some((at, life));
        let intervals = self.intervals_ms.iter().take_while(|interval| **interval != 0);
        Signs {
            beat: given(self.beat, self.beat_life),
            contact: given(self.contact, self.contact_life),
            intervals: intervals.map(|interval| Millis(u64::from(*interval))).collect(),
        }
    }
}

impl From<&Signs> for Record {
    fn from(signs: &Signs) -> Self {
        let (beat, beat_life) = signs.beat.unwrap_or_default();
        let (contact, contact_life) = signs.contact.unwrap_or_default();
        let mut intervals_ms = [0; Signs::MAX_INTERVALS];
        for (kept, interval) in intervals_ms.iter_mut().zip(&signs.intervals) {
            *kept = u32::try_from(interval.0).unwrap_or(u32::MAX);
        }
        Self { beat, beat_life, contact, contact_life, intervals_ms }
    }
}

/// A later life is newer whatever the times say: both were measured on one
/// clock, but a request to the old life may be answered late.
fn is_newer(sign: (LifeId, UnixMillis), than: (LifeId, UnixMillis)) -> bool {
    sign.1 != NEVER && sign > than
}
