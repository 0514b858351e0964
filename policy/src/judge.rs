//! Dead, or not? Every doubt is decided for the workspace.
//!
//! The order of the rules is part of them: what needs no probe comes first, so
//! that a workspace which is being restarted is ruled without asking the
//! runtime, and no DEAD leaves here unless the host can trust its eyes.

use reprieve_policy::{
    Attempt, Evidence, ForwardFailure, Health, Judgement, Life, Millis, Sighting, Status, Trigger,
};

use crate::{Reason, Settings, eyes, signs};

/// The contract holds `busy` to this and more.
const SHORTEST_BUSY: Millis = Millis::from_secs(1);

pub(crate) fn judge(
    settings: &Settings,
    evidence: &impl Evidence,
    trigger: Trigger,
    attempt: Attempt,
) -> Judgement<Reason> {
    let retry_after = settings.busy_retry_after;
    let Ok(life) = evidence.current_life() else {
        // A restart may be in flight for all we know.
        return hands_off(trigger, retry_after, Reason::StoreFault);
    };
    if life.in_flight {
        return hands_off(trigger, retry_after, Reason::InFlight);
    }
    if let Some(began) = life.began
        && began < settings.settle
    {
        return settling(settings, evidence, trigger, began);
    }
    let sighting = match evidence.look() {
        // A fault tells about our eyes, not about the workspace.
        Err(_) => return Judgement::alive(Reason::ProbeFault),
        Ok(sighting) => sighting,
    };
    match sighting.status {
        Status::Running => running(settings, evidence, life, sighting, trigger, attempt),
        Status::Starting => Judgement::busy(retry_after, Reason::Starting),
        Status::Restarting => Judgement::busy(retry_after, Reason::Restarting),
        Status::Paused => Judgement::alive(Reason::Paused),
        Status::Stopped | Status::Missing => {
            not_running(settings, evidence, life, sighting, attempt)
        }
    }
}

/// A restart is, or may be, under way: nobody is judged. A request that has not
/// been forwarded yet is let through; if the new life is up, it is served.
fn hands_off(trigger: Trigger, retry_after: Millis, reason: Reason) -> Judgement<Reason> {
    match trigger {
        Trigger::Preflight => Judgement::alive(reason),
        Trigger::ForwardFailed(_)
        | Trigger::HeartbeatExpired
        | Trigger::RuntimeStopped
        | Trigger::Unhealthy
        | Trigger::Settling
        | Trigger::Sweep => Judgement::busy(retry_after, reason),
    }
}

/// A restart began less than `settle` ago. What the runtime says now is about a
/// workspace that is coming up, so it is not asked.
fn settling(
    settings: &Settings,
    evidence: &impl Evidence,
    trigger: Trigger,
    began: Millis,
) -> Judgement<Reason> {
    if trigger == Trigger::Settling
        && let Ok(Some(_)) = signs::newest_of_this_life(evidence)
    {
        return Judgement::alive(Reason::Back);
    }
    let remaining = settings.settle.saturating_sub(began);
    let retry_after = remaining.min(settings.busy_retry_after).max(SHORTEST_BUSY);
    hands_off(trigger, retry_after, Reason::SettleWindow)
}

fn running(
    settings: &Settings,
    evidence: &impl Evidence,
    life: Life,
    sighting: Sighting,
    trigger: Trigger,
    attempt: Attempt,
) -> Judgement<Reason> {
    if signs::is_silent(settings, evidence, life, sighting) {
        return if attempt.is_first() {
            Judgement::recheck(settings.reprobe_delay, Reason::Silent)
        } else {
            unexplained_death(settings, evidence, Reason::Silent)
        };
    }
    match sighting.health {
        Some(Health::Unhealthy) => {
            return hands_off(trigger, settings.busy_retry_after, Reason::Unhealthy);
        }
        Some(Health::Starting | Health::Healthy) | None => {}
    }
    match trigger {
        Trigger::ForwardFailed(
            ForwardFailure::TimedOut | ForwardFailure::ClosedEarly | ForwardFailure::Reset,
        ) => Judgement::busy(settings.busy_retry_after, Reason::SlowAnswer),
        Trigger::ForwardFailed(
            ForwardFailure::Refused | ForwardFailure::Unresolved | ForwardFailure::BadStatus(_),
        )
        | Trigger::Preflight
        | Trigger::HeartbeatExpired
        | Trigger::RuntimeStopped
        | Trigger::Unhealthy
        | Trigger::Settling
        | Trigger::Sweep => Judgement::alive(Reason::Running),
    }
}

fn not_running(
    settings: &Settings,
    evidence: &impl Evidence,
    life: Life,
    sighting: Sighting,
    attempt: Attempt,
) -> Judgement<Reason> {
    // A sign that cannot be read counts as recent, never as stale.
    let Ok(sign) = signs::newest_of_this_life(evidence) else {
        return Judgement::busy(settings.busy_retry_after, Reason::StoreFault);
    };
    if let Some(ended) = end_of_this_life(settings, life, sighting, sign) {
        return reported_end(settings, evidence, sighting, ended, attempt);
    }
    if let Some(sign) = sign {
        match signs::is_recent(settings, evidence, sign) {
            Err(_) => return Judgement::busy(settings.busy_retry_after, Reason::StoreFault),
            Ok(true) => return Judgement::busy(settings.busy_retry_after, Reason::RecentSign),
            Ok(false) => {}
        }
    }
    if attempt.is_first() {
        return Judgement::recheck(settings.reprobe_delay, Reason::NotRunning);
    }
    unexplained_death(settings, evidence, Reason::NotRunning)
}

/// How long ago this life ended, if the runtime reports it and it is to be
/// trusted: after the life began and after its newest sign. An older end is that
/// of an earlier life, or was followed by a sign that refutes it.
fn end_of_this_life(
    settings: &Settings,
    life: Life,
    sighting: Sighting,
    sign: Option<Millis>,
) -> Option<Millis> {
    let is_later_than = |ended: Millis, other: Option<Millis>| other.is_none_or(|age| ended < age);
    sighting.ended.filter(|ended| {
        settings.trust_reported_exit
            && is_later_than(*ended, life.began)
            && is_later_than(*ended, sign)
    })
}

fn reported_end(
    settings: &Settings,
    evidence: &impl Evidence,
    sighting: Sighting,
    ended: Millis,
    attempt: Attempt,
) -> Judgement<Reason> {
    let reason = match sighting.status {
        // Positively removed: a second look would see the same.
        Status::Missing => Reason::Removed,
        Status::Running
        | Status::Starting
        | Status::Restarting
        | Status::Paused
        | Status::Stopped => {
            if !is_reported_again(ended, attempt) {
                return Judgement::recheck(settings.reprobe_delay, Reason::ExitReported);
            }
            Reason::ExitReported
        }
    };
    match eyes::at_fault(settings, evidence) {
        Some(panic) => Judgement::busy(settings.busy_retry_after, panic),
        None => Judgement::dead(reason),
    }
}

/// Whether an end was there to be seen at the look before this one. A younger
/// end is another one: the workspace came up in between.
///
/// The looks of a chain are about equally far apart, so the one before this was
/// as long ago as the chain is old, divided by its number. After the first
/// recheck that is exact.
fn is_reported_again(ended: Millis, attempt: Attempt) -> bool {
    match attempt.number {
        0 => false,
        number => ended.0 >= attempt.since_first.0.div_ceil(u64::from(number)),
    }
}

/// DEAD without a report of the runtime that the life ended: only if neither the
/// host's eyes nor something that the fleet shares is the likelier cause.
fn unexplained_death(
    settings: &Settings,
    evidence: &impl Evidence,
    reason: Reason,
) -> Judgement<Reason> {
    let panic = eyes::at_fault(settings, evidence)
        .or_else(|| eyes::fleet_is_suspect(settings, evidence).then_some(Reason::PanicFleet));
    match panic {
        Some(panic) => Judgement::busy(settings.busy_retry_after, panic),
        None => Judgement::dead(reason),
    }
}
