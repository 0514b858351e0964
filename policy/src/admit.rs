//! May a restart begin?
//!
//! The host holds the rule of one restart in flight per workspace by itself.
//! What is ruled here keeps restarts from following each other too closely, and
//! from taking down too much of a fleet at once.

use reprieve_policy::{Evidence, Life, Millis, RestartCause, Ruling};

use crate::{Reason, Settings, eyes};

/// A fleet with too many restarts is asked about again after so long.
const FLEET_CAP_RETRY: Millis = Millis::from_secs(5);
/// Within this the fleet's restarts are counted. Only the number of those in
/// flight now is used; the window is the one that judgements ask for, too.
const FLEET_WINDOW: Millis = PANIC_RETRY;
/// A panic is over so long after its cause at the earliest.
const PANIC_RETRY: Millis = Millis::from_secs(eyes::PANIC_LINGERS_S);
/// The contract holds `defer` to this and more.
const SHORTEST_DEFER: Millis = Millis(100);

pub(crate) fn admit(
    settings: &Settings,
    evidence: &impl Evidence,
    cause: RestartCause,
) -> Ruling<Reason> {
    match cause {
        RestartCause::Operator => return Ruling::admit(Reason::Operator),
        RestartCause::Wake => return Ruling::admit(Reason::Wake),
        RestartCause::DeadVerdict | RestartCause::SettingsChanged | RestartCause::Dependency => {}
    }
    let Ok(life) = evidence.current_life() else {
        return Ruling::defer(settings.restart_backoff, Reason::StoreFault);
    };
    if let Some(ruling) = too_close(settings, life, cause) {
        return ruling;
    }
    if cause == RestartCause::DeadVerdict
        && let Some(panic) = eyes::at_fault(settings, evidence)
    {
        return Ruling::defer(PANIC_RETRY, panic);
    }
    let Ok(restarts) = evidence.restart_count(settings.restart_budget_window) else {
        return Ruling::defer(settings.restart_backoff, Reason::StoreFault);
    };
    if restarts >= settings.restart_budget {
        return Ruling::defer(backoff(settings, life), Reason::OverBudget);
    }
    if !fits_the_fleet(settings, evidence) {
        return Ruling::defer(FLEET_CAP_RETRY, Reason::FleetCap);
    }
    Ruling::admit(Reason::Admitted)
}

/// What the last restart says about the next one. A restart for newer settings
/// is never dropped because of it: the settings would be lost until the next
/// restart. It waits, and is needless if the life that came up has them. Nor is
/// one that follows the restart of something that the workspace depends on.
fn too_close(settings: &Settings, life: Life, cause: RestartCause) -> Option<Ruling<Reason>> {
    let remaining = match life.began {
        Some(began) => settings.restart_debounce.saturating_sub(began),
        None => Millis::ZERO,
    };
    if cause == RestartCause::SettingsChanged {
        return if life.in_flight || remaining > Millis::ZERO {
            let wait =
                if life.in_flight { remaining.max(settings.restart_backoff) } else { remaining };
            Some(Ruling::defer(wait.max(SHORTEST_DEFER), Reason::SettingsWait))
        } else if life.revision_stale {
            None
        } else {
            Some(Ruling::drop(Reason::SettingsCurrent))
        };
    }
    if cause == RestartCause::Dependency {
        // The run that came up before what it depends on has lost what it shares
        // with it; only a later one has it back, however early that is.
        return life.in_flight.then_some(Ruling::defer(settings.restart_backoff, Reason::InFlight));
    }
    if life.in_flight {
        return Some(Ruling::drop(Reason::InFlight));
    }
    (remaining > Millis::ZERO).then_some(Ruling::drop(Reason::Debounced))
}

/// How long a restart beyond the budget waits: as long again as has passed since
/// the last one began. So the waits double from ruling to ruling, and no count
/// of rulings need be kept.
fn backoff(settings: &Settings, life: Life) -> Millis {
    let passed = life.began.unwrap_or_default();
    passed.max(settings.restart_backoff).min(settings.restart_backoff_max)
}

/// Whether one restart more stays within `max_restarting_percent`. One is always
/// allowed: a fleet so small that the percentage of it is nothing must heal, too.
fn fits_the_fleet(settings: &Settings, evidence: &impl Evidence) -> bool {
    let fleet = evidence.tenant_fleet(FLEET_WINDOW);
    let allowed = reprieve_policy::Percent(settings.max_restarting_percent).of(fleet.workspaces);
    fleet.restarting < allowed.max(1)
}
