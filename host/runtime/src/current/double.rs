//! Some judgements are judged twice.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use reprieve_core::time::UnixMillis;

use super::tell;
use crate::{Blame, Decided, Generation, Who, judge};

/// Judges some judgements again, off their way, to find a policy that keeps state
/// between calls or rolls dice.
#[derive(Debug)]
pub(super) struct DoubleJudgement {
    one_in: u32,
    judgements: AtomicU64,
    /// One at a time; who would be the next meanwhile is left out.
    under_way: Arc<AtomicBool>,
}

impl DoubleJudgement {
    pub(super) fn one_in(one_in: u32) -> Self {
        Self { one_in, judgements: AtomicU64::new(0), under_way: Arc::default() }
    }

    pub(super) fn judge(
        &self,
        generation: &Arc<Generation>,
        who: &Who,
        first: &Decided,
        now: UnixMillis,
    ) {
        if self.one_in == 0 || first.blame.is_some() {
            return;
        }
        let nth = self.judgements.fetch_add(1, Ordering::Relaxed) + 1;
        if !nth.is_multiple_of(u64::from(self.one_in))
            || self.under_way.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let (under_way, generation) = (Arc::clone(&self.under_way), Arc::clone(generation));
        let (who, first) = (who.clone(), first.clone());
        tokio::task::spawn_blocking(move || {
            let contradicts = contradicts(&generation, &who, &first);
            // Before it is counted: whoever sees the count may be the next.
            under_way.store(false, Ordering::Release);
            if let Some(contradicts) = contradicts {
                tell(&generation, generation.policy().confidence().note_check(contradicts, now));
            }
        });
    }
}

/// Judges again. None: the host failed, which says nothing about the policy.
fn contradicts(generation: &Generation, who: &Who, first: &Decided) -> Option<bool> {
    let second = judge::replay_afresh(generation, first.call, who, &first.evidence);
    if second.blame == Some(Blame::Host) && !asked_otherwise(&second) {
        return None;
    }
    let contradicts = second.outcome != first.outcome || second.memory_write != first.memory_write;
    if contradicts {
        tracing::error!(
            policy = generation.policy().label(),
            generation = generation.number(),
            workspace = %who.workspace,
            first = ?first.outcome,
            second = ?second.outcome,
            "the policy judges the same evidence in two ways; it keeps state or rolls dice"
        );
    }
    Some(contradicts)
}

/// It asked for something that it did not ask for the first time.
fn asked_otherwise(second: &Decided) -> bool {
    second.outcome.reason_code() == "fact-not-on-record"
}
