//! What Envoy's outlier detection does: it counts failed requests in a row, and
//! ejects.
//!
//! Envoy spreads requests over hosts and takes one out for a while. A workspace is
//! the only host of its requests, so here an ejection is a death, unless
//! `restart_ejected` says otherwise. The README of this folder says more, and cites
//! the sources.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, ForwardFailure, Judgement, Life, Millis, Percent, Policy,
    RestartCause, Ruling, Trigger,
};
use reprieve_zoo::{SHORTEST_BUSY, notes::Notes};

#[cfg(test)]
mod tests;

reprieve_policy::settings! {
    /// Settings of envoy-outlier. Where nothing else is said they are fields of
    /// `config.cluster.v3.OutlierDetection` with their defaults.
    pub struct EnvoyOutlier {
        /// So many failed requests in a row eject a workspace.
        pub consecutive_5xx: u32 = 5 in 1..=200,
        /// So many gateway errors in a row (502, 503, 504, or no answer at all) eject it, if
        /// `enforce_gateway_failure` is set.
        pub consecutive_gateway_failure: u32 = 5 in 1..=200,
        /// `enforcing_consecutive_gateway_failure`, which is 0 % by default or 100 %.
        pub enforce_gateway_failure: bool = false,
        /// The first ejection in a row lasts so long, the second twice as long, the third three
        /// times.
        pub base_ejection_time: Millis = "30s" in "1s"..="1h",
        /// An ejection lasts at most so long.
        pub max_ejection_time: Millis = "5min" in "1s"..="1h",
        /// For each such time without an ejection the next one is shorter by one
        /// `base_ejection_time`.
        pub interval: Millis = "10s" in "1s"..="1h",
        /// At most such a share of the tenant's workspaces may be ejected at once. 10 % of fewer
        /// than ten is none.
        pub max_ejection_percent: Percent = "10%" in "0%"..="100%",
        /// One may always be ejected, however small the fleet.
        pub always_eject_one_host: bool = false,
        /// Not Envoy's: whether an ejected workspace is restarted. If not, it is left alone for
        /// as long as the ejection lasts, as Envoy does.
        pub restart_ejected: bool = true,
    }
    where base_ejection_time <= max_ejection_time
}

reprieve_policy::reasons! {
    /// Why envoy-outlier rules as it does.
    pub enum Reason {
        /// Nothing ejects it.
        InRotation = "in-rotation",
        /// `consecutive_5xx` requests failed in a row.
        Consecutive5xx = "consecutive-5xx",
        /// `consecutive_gateway_failure` requests failed at the gateway in a row.
        ConsecutiveGatewayFailure = "consecutive-gateway-failure",
        /// The time of its ejection is not over.
        Ejected = "ejected",
        /// It would be ejected, but `max_ejection_percent` are already.
        Overflow = "overflow",
        /// A restart is being carried out at this moment.
        InFlight = "in-flight",
        /// A store of the host cannot be read, so this failure is not counted.
        StoreFault = "store-fault",
        /// The restart of an ejected workspace may begin.
        Admitted = "admitted",
        /// Somebody else than a verdict wants the restart.
        Wanted = "wanted",
    }
}

/// Letter, failures in a row, those at the gateway in a row, ejections in a row,
/// whether it is ejected.
const NOTES: Notes<5> = Notes::of(b'e');
/// The number of the fleet's restarts in flight is used, which has no window.
const FLEET_WINDOW: Millis = Millis(1_000);
/// What Envoy makes of a request that got no answer, and of one that timed out.
const SERVICE_UNAVAILABLE: u16 = 503;
const GATEWAY_TIMEOUT: u16 = 504;

/// What is counted of one host, and how long ago it was noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    failures: u8,
    at_gateway: u8,
    ejections: u8,
    ejected: bool,
    age: Millis,
}

impl Policy for EnvoyOutlier {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "envoy-outlier",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Envoy: five failed requests in a row eject, here with a restart.",
    };

    fn judge(&self, evidence: &impl Evidence, trigger: Trigger, _: Attempt) -> Judgement<Reason> {
        let Ok(life) = evidence.current_life() else {
            return Judgement::alive(Reason::StoreFault);
        };
        if life.in_flight {
            return Judgement::busy(SHORTEST_BUSY, Reason::InFlight);
        }
        let Ok(counted) = Counted::read(evidence, life) else {
            return Judgement::alive(Reason::StoreFault);
        };
        match self.rest_of_ejection(evidence, life, counted) {
            Err(_) => return Judgement::alive(Reason::StoreFault),
            Ok(Some(rest)) => return Judgement::busy(rest.max(SHORTEST_BUSY), Reason::Ejected),
            Ok(None) => {}
        }
        let counted = counted.back_in_rotation(self);
        match trigger {
            Trigger::ForwardFailed(failure) => self.failed(evidence, counted, failure),
            // Outlier detection is passive: nothing else is looked at.
            Trigger::Preflight
            | Trigger::HeartbeatExpired
            | Trigger::RuntimeStopped
            | Trigger::Unhealthy
            | Trigger::Settling
            | Trigger::Sweep => Judgement::alive(Reason::InRotation),
        }
    }

    fn admit(&self, evidence: &impl Evidence, cause: RestartCause) -> Ruling<Reason> {
        match cause {
            // Those who were judged at the same moment are admitted one by one.
            RestartCause::DeadVerdict if self.has_room(evidence) => Ruling::admit(Reason::Admitted),
            RestartCause::DeadVerdict => Ruling::drop(Reason::Overflow),
            RestartCause::Operator
            | RestartCause::SettingsChanged
            | RestartCause::Wake
            | RestartCause::Dependency => Ruling::admit(Reason::Wanted),
        }
    }
}

impl EnvoyOutlier {
    fn failed(
        &self,
        evidence: &impl Evidence,
        before: Counted,
        failure: ForwardFailure,
    ) -> Judgement<Reason> {
        let Ok(contact) = evidence.newest_contact() else {
            return Judgement::alive(Reason::StoreFault);
        };
        let answered = contact.is_some_and(|contact| contact.age < before.age);
        let (failures, at_gateway) =
            if answered { (0, 0) } else { (before.failures, before.at_gateway) };
        let counted = match status_code(failure) {
            502..=504 => Counted {
                failures: failures.saturating_add(1),
                at_gateway: at_gateway.saturating_add(1),
                ..before
            },
            500..=599 => Counted { failures: failures.saturating_add(1), at_gateway: 0, ..before },
            _ => Counted { failures: 0, at_gateway: 0, ..before },
        };
        let gateway_limit = self.consecutive_gateway_failure;
        let reason = if u32::from(counted.failures) >= self.consecutive_5xx {
            Reason::Consecutive5xx
        } else if self.enforce_gateway_failure && u32::from(counted.at_gateway) >= gateway_limit {
            Reason::ConsecutiveGatewayFailure
        } else {
            counted.write(evidence);
            return Judgement::alive(Reason::InRotation);
        };
        self.eject(evidence, Counted { failures: 0, at_gateway: 0, ..counted }, reason)
    }

    fn eject(
        &self,
        evidence: &impl Evidence,
        counted: Counted,
        reason: Reason,
    ) -> Judgement<Reason> {
        if !self.has_room(evidence) {
            counted.write(evidence);
            return Judgement::alive(Reason::Overflow);
        }
        if self.restart_ejected {
            counted.write(evidence);
            return Judgement::dead(reason);
        }
        let ejections = counted.ejections.saturating_add(1);
        Counted { ejections, ejected: true, ..counted }.write(evidence);
        Judgement::busy(self.ejection_time(ejections.into()), reason)
    }

    /// A restart of a verdict is an ejection, too: it lasts for some time after the
    /// new life began, as a host that comes back gets no requests before.
    fn rest_of_ejection(
        &self,
        evidence: &impl Evidence,
        life: Life,
        counted: Counted,
    ) -> Result<Option<Millis>, reprieve_policy::StoreFault> {
        let (ejections, since) = match life.began {
            _ if counted.ejected => (counted.ejections.into(), counted.age),
            Some(began) if life.cause == Some(RestartCause::DeadVerdict) => {
                if began >= self.max_ejection_time {
                    return Ok(None);
                }
                (evidence.restart_count(self.max_ejection_time)?, began)
            }
            Some(_) | None => return Ok(None),
        };
        let rest = self.ejection_time(ejections).saturating_sub(since);
        Ok((rest > Millis::ZERO).then_some(rest))
    }

    fn ejection_time(&self, ejections: u32) -> Millis {
        let base = self.base_ejection_time.0;
        Millis(base.saturating_mul(ejections.max(1).into())).min(self.max_ejection_time)
    }

    fn has_room(&self, evidence: &impl Evidence) -> bool {
        let fleet = evidence.tenant_fleet(FLEET_WINDOW);
        fleet.restarting < self.max_ejection_percent.of(fleet.workspaces)
            || self.always_eject_one_host && fleet.restarting == 0
    }
}

impl Counted {
    fn read(evidence: &impl Evidence, life: Life) -> Result<Self, reprieve_policy::StoreFault> {
        let noted = NOTES.read(evidence, life)?;
        Ok(noted.map_or_else(Self::default, |(bytes, age)| {
            let [_, failures, at_gateway, ejections, ejected] = bytes;
            Self { failures, at_gateway, ejections, ejected: ejected != 0, age }
        }))
    }

    fn write(self, evidence: &impl Evidence) {
        let Self { failures, at_gateway, ejections, ejected, age: _ } = self;
        NOTES.write(evidence, [0, failures, at_gateway, ejections, u8::from(ejected)]);
    }

    /// Once the time of an ejection is over: the multiplier falls by one for each
    /// `interval` in rotation.
    fn back_in_rotation(self, settings: &EnvoyOutlier) -> Self {
        if !self.ejected {
            return self;
        }
        let healthy = self.age.saturating_sub(settings.ejection_time(self.ejections.into()));
        let forgiven = u8::try_from(healthy.0 / settings.interval.0.max(1)).unwrap_or(u8::MAX);
        Self { ejections: self.ejections.saturating_sub(forgiven), ejected: false, ..self }
    }
}

fn status_code(failure: ForwardFailure) -> u16 {
    match failure {
        ForwardFailure::BadStatus(code) => code,
        ForwardFailure::TimedOut => GATEWAY_TIMEOUT,
        ForwardFailure::Refused
        | ForwardFailure::Reset
        | ForwardFailure::ClosedEarly
        | ForwardFailure::Unresolved => SERVICE_UNAVAILABLE,
    }
}

reprieve_policy::export!(EnvoyOutlier);
