//! How far one loaded policy is believed, cheap to ask for one that is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use reprieve_core::{
    ids::Digest,
    time::UnixMillis,
    trust::{Spared, Trust, TrustLimits, TrustRecord, Turn},
};

use crate::Blame;

/// What a policy did since it was loaded, and what is thought of it.
#[derive(Debug)]
pub struct Confidence {
    /// Spares the lock on the way that nearly every judgement goes.
    trusted: AtomicBool,
    record: Mutex<TrustRecord>,
    spared: Mutex<Spared>,
    failures: AtomicU64,
    checks: AtomicU64,
    contradictions: AtomicU64,
}

/// Counts of one policy since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    pub trust: Trust,
    /// Calls that it gave no usable answer to, by its own fault.
    pub failures: u64,
    /// Judgements that were judged twice.
    pub checks: u64,
    /// Of those: judged otherwise the second time, from the same evidence.
    pub contradictions: u64,
}

impl Confidence {
    pub(crate) fn new(limits: TrustLimits) -> Self {
        Self {
            trusted: AtomicBool::new(true),
            record: Mutex::new(TrustRecord::new(limits)),
            spared: Mutex::new(Spared::new(&limits)),
            failures: AtomicU64::new(0),
            checks: AtomicU64::new(0),
            contradictions: AtomicU64::new(0),
        }
    }

    pub fn conduct(&self) -> Conduct {
        Conduct {
            trust: self.record.lock().trust(),
            failures: self.failures.load(Ordering::Relaxed),
            checks: self.checks.load(Ordering::Relaxed),
            contradictions: self.contradictions.load(Ordering::Relaxed),
        }
    }

    pub fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire)
    }

    /// Who the next call is put to.
    pub(crate) fn turn(&self, now: UnixMillis) -> Turn {
        if self.is_trusted() { Turn::Own } else { self.record.lock().turn(now) }
    }

    /// What a call on that turn came to. Returns the trust that the policy has
    /// now, if it changed.
    pub(crate) fn note(&self, turn: Turn, blame: Option<Blame>, now: UnixMillis) -> Option<Trust> {
        match (blame, turn) {
            (None, Turn::Own | Turn::StandIn) => None,
            (None, Turn::Probe) => self.change(|record| record.answered(turn, now)),
            // The world failed, or the host: it says nothing about the policy.
            (Some(Blame::Host), _) => None,
            (Some(Blame::Policy), _) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.change(|record| record.failed(now))
            }
        }
    }

    /// Whether a policy that nobody stands in for is not to be asked about these
    /// settings now.
    pub(crate) fn spares(&self, settings: Digest, now: UnixMillis) -> bool {
        self.spared.lock().spares(settings, now)
    }

    /// What a call with these settings came to, that nobody stood in for.
    pub(crate) fn note_settings(&self, settings: Digest, blame: Option<Blame>, now: UnixMillis) {
        match blame {
            None => self.spared.lock().answered(settings),
            Some(Blame::Policy) => self.spared.lock().failed(settings, now),
            Some(Blame::Host) => {}
        }
    }

    /// A judgement was judged again.
    pub(crate) fn note_check(&self, contradicts: bool, now: UnixMillis) -> Option<Trust> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if !contradicts {
            return None;
        }
        self.contradictions.fetch_add(1, Ordering::Relaxed);
        self.change(|record| record.failed(now))
    }

    fn change(&self, act: impl FnOnce(&mut TrustRecord) -> Option<Trust>) -> Option<Trust> {
        let mut record = self.record.lock();
        let changed = act(&mut record);
        self.trusted.store(record.trust() == Trust::Trusted, Ordering::Release);
        changed
    }
}
