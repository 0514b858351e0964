//! How often one may ask: per token, and for who shows none that is known, per
//! address. Every map here is bounded.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use parking_lot::Mutex;
use reprieve_core::ids::TokenName;
use tokio::time::Instant;

use crate::serve::Network;

/// Keys that one limiter tells apart. Who comes when it is full shares one quota
/// with all others who did.
const MAX_KEYS: usize = 10_000;

/// How often one may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminLimits {
    /// Requests with one token; twice as many at once.
    pub requests_per_second: NonZeroU32,
    /// Requests without a token that is known, from one address.
    pub failures_per_minute: NonZeroU32,
}

impl Default for AdminLimits {
    /// A dashboard and a person at once; a person who mistypes, and no more.
    fn default() -> Self {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
        const PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();
        Self { requests_per_second: PER_SECOND, failures_per_minute: PER_MINUTE }
    }
}

#[derive(Debug)]
pub(super) struct Limits {
    requests: Bounded<TokenName>,
    failures: Bounded<Network>,
    refusals_of_tokens: Bounded<TokenName>,
    refusals_of_strangers: Bounded<Network>,
    refusals_of_all_strangers: Bounded<()>,
}

impl Limits {
    /// Refused requests of one token that the audit log takes within a minute:
    /// whoever is refused often hides nobody else's refusals.
    const REFUSALS_PER_TOKEN: NonZeroU32 = NonZeroU32::new(120).unwrap();

    /// Of one address without a token that is known.
    const REFUSALS_PER_STRANGER: NonZeroU32 = NonZeroU32::new(30).unwrap();

    /// Of all of those: addresses are many, and must not flush the log.
    const REFUSALS_OF_STRANGERS: NonZeroU32 = NonZeroU32::new(300).unwrap();

    pub(super) fn new(limits: &AdminLimits) -> Self {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        Self {
            requests: Bounded::new(limits.requests_per_second, second, 2 * second),
            failures: Bounded::new(limits.failures_per_minute, minute, minute),
            refusals_of_tokens: Bounded::new(Self::REFUSALS_PER_TOKEN, minute, minute),
            refusals_of_strangers: Bounded::new(Self::REFUSALS_PER_STRANGER, minute, minute),
            refusals_of_all_strangers: Bounded::new(Self::REFUSALS_OF_STRANGERS, minute, minute),
        }
    }

    /// One more request with this token, or after so long.
    pub(super) fn request(&self, token: &TokenName) -> Result<(), Duration> {
        self.requests.check(token.clone())
    }

    /// One more request without a token that is known, or after so long.
    pub(super) fn failure(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        self.failures.check(Network::of(peer.unwrap_or(Ipv6Addr::UNSPECIFIED.into())))
    }

    /// There is room in the audit log for one more refusal of this token, or of
    /// whoever shows none that is known.
    pub(super) fn has_room_for_refusal(
        &self,
        token: Option<&TokenName>,
        peer: Option<IpAddr>,
    ) -> bool {
        match token {
            Some(token) => self.refusals_of_tokens.check(token.clone()).is_ok(),
            None => {
                let network = Network::of(peer.unwrap_or(Ipv6Addr::UNSPECIFIED.into()));
                self.refusals_of_strangers.check(network).is_ok()
                    && self.refusals_of_all_strangers.check(()).is_ok()
            }
        }
    }
}

/// The generic cell rate algorithm (ITU-T I.371), for at most [`MAX_KEYS`] keys:
/// each has but the moment until which it has used up its quota.
#[derive(Debug)]
struct Bounded<K> {
    /// What one request uses up.
    cell: Duration,
    /// How far ahead one may use up one's quota.
    burst: Duration,
    used_until: Mutex<HashMap<Option<K>, Instant>>,
}

impl<K: Hash + Eq> Bounded<K> {
    /// So many `per` length of time; at once, as many as come within `burst`.
    fn new(count: NonZeroU32, per: Duration, burst: Duration) -> Self {
        Self { cell: per / count.get(), burst, used_until: Mutex::default() }
    }

    /// One more, or after so long.
    fn check(&self, key: K) -> Result<(), Duration> {
        let now = Instant::now();
        let mut used_until = self.used_until.lock();
        if used_until.len() >= MAX_KEYS {
            used_until.retain(|_, until| *until > now);
        }
        let key = if used_until.len() >= MAX_KEYS { None } else { Some(key) };
        let until = used_until.get(&key).copied().unwrap_or(now).max(now) + self.cell;
        let ahead = until - now;
        if ahead > self.burst {
            return Err(ahead - self.burst);
        }
        used_until.insert(key, until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quota_comes_back_with_time() {
        let minute = Duration::from_secs(60);
        let limiter = Bounded::new(NonZeroU32::new(3).unwrap(), minute, minute);
        for expected in [Ok(()), Ok(()), Ok(()), Err(minute / 3)] {
            assert_eq!(limiter.check("a"), expected);
        }
        assert_eq!(limiter.check("b"), Ok(()), "each has its own");
        tokio::time::advance(minute / 3).await;
        for expected in [Ok(()), Err(minute / 3)] {
            assert_eq!(limiter.check("a"), expected, "a third of a minute later");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_when_it_is_full_shares_one_quota() {
        let minute = Duration::from_secs(60);
        let limiter = Bounded::new(NonZeroU32::new(2).unwrap(), minute, minute);
        for key in 0..2 * MAX_KEYS {
            let _ = limiter.check(key);
        }
        let keys = limiter.used_until.lock().len();
        assert_eq!(keys, MAX_KEYS + 1, "and all others");
        assert!(limiter.check(3 * MAX_KEYS).is_err(), "others have used it up");
        tokio::time::advance(minute).await;
        assert!(limiter.check(3 * MAX_KEYS).is_ok(), "the old ones are forgotten");
    }
}
