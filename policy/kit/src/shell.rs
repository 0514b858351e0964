//! Makes a [`Policy`] a component: translates between its plain words and the
//! bindings, and holds no rule.

use alloc::{string::String, vec::Vec};

use self::bindings::{
    exports::reprieve::policy::guard,
    reprieve::policy::{heartbeat, memory, probe, restarts, subject, surroundings, types},
};
use crate::{
    evidence::{
        Beat, Evidence, Eyesight, Fleet, Health, Life, Note, ProbeFault, Sighting, Status,
        StoreFault, Subject,
    },
    policy::{Policy, Reason},
    settings::Problem,
    words::{
        Admission, Attempt, ForwardFailure, Judgement, Millis, RestartCause, Ruling, Trigger,
        Verdict,
    },
};

/// Generated from `wit/`.
#[allow(missing_debug_implementations, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "policy",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "$crate::shell::bindings",
    });
}

/// The guard of a policy.
#[derive(Debug)]
pub struct Component<P>(core::marker::PhantomData<P>);

/// One session: a policy with its settings.
#[derive(Debug)]
pub struct Session<P>(P);

impl<P: Policy> guard::Guest for Component<P> {
    type Session = Session<P>;

    fn describe() -> guard::Description {
        let description = P::DESCRIPTION;
        let reason = |&(code, meaning): &(&str, &str)| guard::Reason {
            code: code.into(),
            meaning: meaning.into(),
        };
        guard::Description {
            name: description.name.into(),
            version: description.version.into(),
            summary: description.summary.into(),
            settings_schema: P::SCHEMA.into(),
            reasons: P::Reason::ALL.iter().map(reason).collect(),
        }
    }
}

impl<P: Policy> guard::GuestSession for Session<P> {
    fn open(settings: String) -> Result<guard::Session, Vec<guard::Problem>> {
        let problem = |Problem { path, message }| guard::Problem { path, message };
        match P::open(&settings) {
            Ok(policy) => Ok(guard::Session::new(Self(policy))),
            Err(problems) => Err(problems.into_iter().map(problem).collect()),
        }
    }

    fn judge(&self, trigger: types::Trigger, attempt: types::Attempt) -> types::Judgement {
        let attempt = Attempt { number: attempt.number, since_first: Millis(attempt.since_first) };
        let Judgement { verdict, reason } = self.0.judge(&Imports, trigger.into(), attempt);
        let verdict = match verdict {
            Verdict::Alive => types::Verdict::Alive,
            Verdict::Busy(Millis(retry_after)) => types::Verdict::Busy(retry_after),
            Verdict::Dead => types::Verdict::Dead,
            Verdict::Recheck(Millis(after)) => types::Verdict::Recheck(after),
        };
        types::Judgement { verdict, reason: reason.index() }
    }

    fn admit(&self, cause: types::RestartCause) -> types::Ruling {
        let Ruling { admission, reason } = self.0.admit(&Imports, cause.into());
        let admission = match admission {
            Admission::Admit => types::Admission::Admit,
            Admission::Drop => types::Admission::Drop,
            Admission::Defer(Millis(after)) => types::Admission::Defer(after),
        };
        types::Ruling { admission, reason: reason.index() }
    }

    fn silence_limit(&self) -> Option<types::Millis> {
        self.0.silence_limit().map(|Millis(limit)| limit)
    }
}

/// The evidence that the host supplies.
struct Imports;

impl Evidence for Imports {
    fn subject(&self) -> Subject {
        let subject::Workspace { id, tenant, kind, labels } = subject::describe();
        Subject { id, tenant, kind, labels }
    }

    fn look(&self) -> Result<Sighting, ProbeFault> {
        Ok(probe::look()?.into())
    }

    fn newest_beat(&self) -> Result<Option<Beat>, StoreFault> {
        Ok(heartbeat::newest()?.map(Beat::from))
    }

    fn intervals(&self, limit: u32) -> Result<Vec<Millis>, StoreFault> {
        Ok(heartbeat::intervals(limit)?.into_iter().map(Millis).collect())
    }

    fn newest_contact(&self) -> Result<Option<Beat>, StoreFault> {
        Ok(heartbeat::newest_contact()?.map(Beat::from))
    }

    fn current_life(&self) -> Result<Life, StoreFault> {
        let restarts::Life { in_flight, began, cause, revision_stale } = restarts::current()?;
        Ok(Life {
            in_flight,
            began: began.map(Millis),
            cause: cause.map(RestartCause::from),
            revision_stale,
        })
    }

    fn restart_count(&self, within: Millis) -> Result<u32, StoreFault> {
        Ok(restarts::count(within.0)?)
    }

    fn note(&self) -> Result<Option<Note>, StoreFault> {
        let note = |memory::Note { bytes, age }| Note { bytes, age: Millis(age) };
        Ok(memory::read()?.map(note))
    }

    fn write_note(&self, bytes: &[u8]) {
        memory::write(bytes);
    }

    fn eyesight_between(&self, since: Millis, until: Millis) -> Eyesight {
        let surroundings::Eyesight { probes, probe_faults, store_faults, loop_lag } =
            surroundings::eyesight_between(since.0, until.0);
        Eyesight { probes, probe_faults, store_faults, loop_lag: Millis(loop_lag) }
    }

    fn tenant_fleet(&self, within: Millis) -> Fleet {
        let surroundings::Fleet { workspaces, suspected, restarting } =
            surroundings::tenant_fleet(within.0);
        Fleet { workspaces, suspected, restarting }
    }
}

impl From<types::Trigger> for Trigger {
    fn from(trigger: types::Trigger) -> Self {
        match trigger {
            types::Trigger::ForwardFailed(failure) => Self::ForwardFailed(failure.into()),
            types::Trigger::Preflight => Self::Preflight,
            types::Trigger::HeartbeatExpired => Self::HeartbeatExpired,
            types::Trigger::RuntimeStopped => Self::RuntimeStopped,
            types::Trigger::Unhealthy => Self::Unhealthy,
            types::Trigger::Settling => Self::Settling,
            types::Trigger::Sweep => Self::Sweep,
        }
    }
}

impl From<types::ForwardFailure> for ForwardFailure {
    fn from(failure: types::ForwardFailure) -> Self {
        match failure {
            types::ForwardFailure::Refused => Self::Refused,
            types::ForwardFailure::Reset => Self::Reset,
            types::ForwardFailure::ClosedEarly => Self::ClosedEarly,
            types::ForwardFailure::TimedOut => Self::TimedOut,
            types::ForwardFailure::Unresolved => Self::Unresolved,
            types::ForwardFailure::BadStatus(status) => Self::BadStatus(status),
        }
    }
}

impl From<types::RestartCause> for RestartCause {
    fn from(cause: types::RestartCause) -> Self {
        match cause {
            types::RestartCause::Operator => Self::Operator,
            types::RestartCause::DeadVerdict => Self::DeadVerdict,
            types::RestartCause::SettingsChanged => Self::SettingsChanged,
            types::RestartCause::Wake => Self::Wake,
            types::RestartCause::Dependency => Self::Dependency,
        }
    }
}

impl From<probe::Sighting> for Sighting {
    fn from(sighting: probe::Sighting) -> Self {
        Self {
            status: match sighting.status {
                probe::Status::Running => Status::Running,
                probe::Status::Starting => Status::Starting,
                probe::Status::Restarting => Status::Restarting,
                probe::Status::Paused => Status::Paused,
                probe::Status::Stopped => Status::Stopped,
                probe::Status::Missing => Status::Missing,
            },
            uptime: sighting.uptime.map(Millis),
            ended: sighting.ended.map(Millis),
            exit_code: sighting.exit_code,
            out_of_memory: sighting.out_of_memory,
            health: sighting.health.map(|health| match health {
                probe::Health::Starting => Health::Starting,
                probe::Health::Healthy => Health::Healthy,
                probe::Health::Unhealthy => Health::Unhealthy,
            }),
        }
    }
}

impl From<probe::Fault> for ProbeFault {
    fn from(fault: probe::Fault) -> Self {
        match fault {
            probe::Fault::TimedOut => Self::TimedOut,
            probe::Fault::Unreachable => Self::Unreachable,
            probe::Fault::ClosedEarly => Self::ClosedEarly,
            probe::Fault::Overloaded => Self::Overloaded,
            probe::Fault::Denied => Self::Denied,
            probe::Fault::Malformed => Self::Malformed,
        }
    }
}

impl From<heartbeat::Beat> for Beat {
    fn from(beat: heartbeat::Beat) -> Self {
        Self { age: Millis(beat.age), this_life: beat.this_life }
    }
}

impl From<heartbeat::Fault> for StoreFault {
    fn from(heartbeat::Fault::StoreUnavailable: heartbeat::Fault) -> Self {
        Self
    }
}

impl From<restarts::Fault> for StoreFault {
    fn from(restarts::Fault::StoreUnavailable: restarts::Fault) -> Self {
        Self
    }
}

impl From<memory::Fault> for StoreFault {
    fn from(memory::Fault::StoreUnavailable: memory::Fault) -> Self {
        Self
    }
}
