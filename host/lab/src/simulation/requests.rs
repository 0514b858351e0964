//! When requests arrive. Like beats they are no events while all is well: the stream
//! is cut into intervals of its mean, and what arrives in each is drawn for itself.

use reprieve_core::time::{Millis, UnixMillis};

use super::START;
use crate::{
    Chance,
    scenario::{Arrive, Requests},
};

/// Intervals that are looked through for the newest or the next request.
const MAX_SCAN: u64 = 10_000;
/// The most that arrive within one interval: more are as good as impossible.
const MOST_AT_ONCE: usize = 8;

const HOW_MANY: u64 = 21;
const WHEN: u64 = 22;
const ROUTE: u64 = 23;

/// The requests of one workspace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    chance: Chance,
    every: Millis,
    arrive: Arrive,
}

impl Stream {
    pub(super) fn new(requests: &Requests, chance: Chance) -> Self {
        Self { chance, every: requests.every.0, arrive: requests.arrive }
    }

    /// The first after `now`.
    pub(super) fn next(&self, now: UnixMillis) -> Option<UnixMillis> {
        let slot = START.age(now).0 / self.every.0;
        (slot..slot + MAX_SCAN)
            .find_map(|slot| self.within(slot).into_iter().flatten().filter(|at| *at > now).min())
    }

    /// The newest up to `now` that `is_wanted`, none before `since`.
    pub(super) fn newest(
        &self,
        now: UnixMillis,
        since: UnixMillis,
        is_wanted: impl Fn(UnixMillis) -> bool,
    ) -> Option<UnixMillis> {
        let slot = START.age(now).0 / self.every.0;
        for slot in (slot.saturating_sub(MAX_SCAN)..=slot).rev() {
            let arrived = self.within(slot).into_iter().flatten();
            let newest = arrived.filter(|at| *at <= now && *at >= since && is_wanted(*at)).max();
            if newest.is_some() {
                return newest;
            }
            if START + Millis(slot * self.every.0) < since {
                return None;
            }
        }
        None
    }

    /// How many arrive until `end`.
    pub(super) fn count(&self, end: UnixMillis) -> u64 {
        let slots = START.age(end).0 / self.every.0;
        let whole: u64 = (0..slots).map(|slot| self.how_many(slot) as u64).sum();
        let rest = self.within(slots).into_iter().flatten().filter(|at| *at < end).count();
        whole + rest as u64
    }

    /// Which host a request that arrives then comes to.
    pub(super) fn host(&self, at: UnixMillis, hosts: usize) -> usize {
        self.chance.stream(ROUTE).below(at.0, hosts as u64) as usize
    }

    fn within(&self, slot: u64) -> [Option<UnixMillis>; MOST_AT_ONCE] {
        let began = START + Millis(slot * self.every.0);
        let when = self.chance.stream(WHEN);
        let mut arrived = [None; MOST_AT_ONCE];
        for (nth, place) in arrived.iter_mut().enumerate().take(self.how_many(slot)) {
            let nth = slot * MOST_AT_ONCE as u64 + nth as u64;
            *place = Some(began + Millis(when.below(nth, self.every.0)));
        }
        arrived
    }

    fn how_many(&self, slot: u64) -> usize {
        match self.arrive {
            Arrive::Steady => 1,
            Arrive::Poisson => poisson_of_one(self.chance.stream(HOW_MANY).unit(slot)),
        }
    }
}

/// A number with the Poisson distribution of mean 1, by inversion.
fn poisson_of_one(unit: f64) -> usize {
    let mut probability = (-1.0_f64).exp();
    let mut below = probability;
    let mut count = 0;
    while unit >= below && count < MOST_AT_ONCE {
        count += 1;
        probability /= count as f64;
        below += probability;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Length, Seed};

    #[test]
    fn a_stream_has_its_mean_and_the_next_follows_the_newest() {
        for arrive in [Arrive::Poisson, Arrive::Steady] {
            let chance = Chance::new(Seed(5));
            let stream = Stream { chance, every: Length::parse("10s").unwrap().0, arrive };
            let end = START + Millis::from_secs(100_000);
            let count = stream.count(end);
            assert!((9_700..=10_300).contains(&count), "{arrive:?}: {count}");
            let mut at = START;
            let mut counted = 0;
            while let Some(next) = stream.next(at).filter(|next| *next < end) {
                assert_eq!(stream.newest(next, START, |_| true), Some(next));
                (at, counted) = (next, counted + 1);
            }
            // Two within one millisecond are seen as one.
            assert!(count - counted <= 2, "{arrive:?}: {counted} of {count}");
        }
    }
}
