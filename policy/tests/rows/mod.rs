//! Reads `judgements.toml`.

use std::collections::BTreeMap;

use reprieve_policy::{
    Admission, Attempt, Beat, Eyesight, FakeEvidence, Fleet, ForwardFailure, Health, Life, Millis,
    ProbeFault, RestartCause, Sighting, Status, StoreFault, Trigger, Verdict,
};
use serde::Deserialize;

const TABLE: &str = include_str!("../judgements.toml");

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) settings: String,
    pub(crate) call: Call,
    pub(crate) evidence: FakeEvidence,
    pub(crate) never_look: bool,
    pub(crate) expected: Expected,
    pub(crate) reason: String,
}

#[derive(Clone, Copy)]
pub(crate) enum Call {
    Judge(Trigger, Attempt),
    Admit(RestartCause),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Verdict(Verdict),
    Admission(Admission),
}

pub(crate) fn all() -> Vec<Row> {
    let table: Table = toml::from_str(TABLE).expect("judgements.toml can be read");
    table.row.into_iter().map(row).collect()
}

fn row(written: WrittenRow) -> Row {
    let name = written.name;
    let attempt = written.attempt.map_or(Attempt::FIRST, |attempt| Attempt {
        number: attempt.number,
        since_first: Millis(attempt.since_first),
    });
    let (call, expected) =
        match (written.trigger, written.verdict, written.cause, written.admission) {
            (Some(trigger), Some(verdict), None, None) => (
                Call::Judge(trigger.into(), attempt),
                Expected::Verdict(match verdict {
                    WrittenVerdict::Alive => Verdict::Alive,
                    WrittenVerdict::Busy(after) => Verdict::Busy(Millis(after)),
                    WrittenVerdict::Dead => Verdict::Dead,
                    WrittenVerdict::Recheck(after) => Verdict::Recheck(Millis(after)),
                }),
            ),
            (None, None, Some(cause), Some(admission)) => (
                Call::Admit(cause.into()),
                Expected::Admission(match admission {
                    WrittenAdmission::Admit => Admission::Admit,
                    WrittenAdmission::Drop => Admission::Drop,
                    WrittenAdmission::Defer(after) => Admission::Defer(Millis(after)),
                }),
            ),
            _ => panic!("{name}: needs trigger and verdict, or cause and admission"),
        };
    let mut evidence = evidence(written.evidence);
    evidence.eyesight_windows = written
        .eyesight_windows
        .into_iter()
        .map(|window| {
            let seen = Eyesight {
                probes: window.probes,
                probe_faults: window.probe_faults,
                store_faults: window.store_faults,
                loop_lag: Millis(window.loop_lag),
            };
            (Millis(window.since), Millis(window.until), seen)
        })
        .collect();
    assert!(written.never_asked.iter().all(|question| question == "look"), "{name}: never_asked");
    Row {
        name,
        settings: serde_json::to_string(&written.settings).expect("TOML tables are JSON objects"),
        call,
        evidence,
        never_look: !written.never_asked.is_empty(),
        expected,
        reason: written.reason,
    }
}

fn evidence(written: WrittenEvidence) -> FakeEvidence {
    let known = FakeEvidence::default();
    let beat = |beat: Answer<WrittenBeat>| {
        let beat = beat.map_err(|_| StoreFault)?;
        Ok(Some(Beat { age: Millis(beat.age), this_life: beat.this_life }))
    };
    FakeEvidence {
        look: written.look.map_or(known.look, |look| match look {
            Ok(sighting) => Ok(sighting.into()),
            Err(fault) => Err(fault.into()),
        }),
        newest_beat: written.newest_beat.map_or(known.newest_beat, beat),
        newest_contact: written.newest_contact.map_or(known.newest_contact, beat),
        intervals: written.intervals.map_or(known.intervals, |intervals| {
            Ok(intervals.map_err(|_| StoreFault)?.into_iter().map(Millis).collect())
        }),
        current_life: written.current_life.map_or(known.current_life, |life| {
            let life = life.map_err(|_| StoreFault)?;
            Ok(Life {
                in_flight: life.in_flight,
                began: life.began.map(Millis),
                cause: None,
                revision_stale: life.revision_stale,
            })
        }),
        restart_count: written
            .restart_count
            .map_or(known.restart_count, |count| count.map_err(|_| StoreFault)),
        eyesight: written.eyesight.map_or(known.eyesight, |seen| Eyesight {
            probes: seen.probes,
            probe_faults: seen.probe_faults,
            store_faults: seen.store_faults,
            loop_lag: Millis(seen.loop_lag),
        }),
        fleet: written.fleet.map_or(known.fleet, |fleet| Fleet {
            workspaces: fleet.workspaces,
            suspected: fleet.suspected,
            restarting: fleet.restarting,
        }),
        ..FakeEvidence::default()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<WrittenRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRow {
    name: String,
    #[serde(default)]
    settings: BTreeMap<String, toml::Value>,
    trigger: Option<WrittenTrigger>,
    attempt: Option<WrittenAttempt>,
    cause: Option<WrittenCause>,
    #[serde(default)]
    evidence: WrittenEvidence,
    #[serde(default)]
    eyesight_windows: Vec<WrittenWindow>,
    #[serde(default)]
    never_asked: Vec<String>,
    verdict: Option<WrittenVerdict>,
    admission: Option<WrittenAdmission>,
    reason: String,
}

type Answer<T> = Result<T, WrittenStoreFault>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEvidence {
    look: Option<Result<WrittenSighting, WrittenProbeFault>>,
    newest_beat: Option<Answer<WrittenBeat>>,
    newest_contact: Option<Answer<WrittenBeat>>,
    intervals: Option<Answer<Vec<u64>>>,
    current_life: Option<Answer<WrittenLife>>,
    restart_count: Option<Answer<u32>>,
    eyesight: Option<WrittenEyesight>,
    fleet: Option<WrittenFleet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAttempt {
    number: u32,
    since_first: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSighting {
    status: WrittenStatus,
    uptime: Option<u64>,
    ended: Option<u64>,
    exit_code: Option<i32>,
    out_of_memory: bool,
    health: Option<WrittenHealth>,
}

impl From<WrittenSighting> for Sighting {
    fn from(sighting: WrittenSighting) -> Self {
        Self {
            status: sighting.status.into(),
            uptime: sighting.uptime.map(Millis),
            ended: sighting.ended.map(Millis),
            exit_code: sighting.exit_code,
            out_of_memory: sighting.out_of_memory,
            health: sighting.health.map(Health::from),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBeat {
    age: u64,
    this_life: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLife {
    in_flight: bool,
    began: Option<u64>,
    revision_stale: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEyesight {
    probes: u32,
    probe_faults: u32,
    store_faults: u32,
    loop_lag: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWindow {
    since: u64,
    until: u64,
    probes: u32,
    probe_faults: u32,
    store_faults: u32,
    loop_lag: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFleet {
    workspaces: u32,
    suspected: u32,
    restarting: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenVerdict {
    Alive,
    Busy(u64),
    Dead,
    Recheck(u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenAdmission {
    Admit,
    Drop,
    Defer(u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenTrigger {
    ForwardFailed(WrittenFailure),
    Preflight,
    HeartbeatExpired,
    RuntimeStopped,
    Unhealthy,
    Settling,
    Sweep,
}

impl From<WrittenTrigger> for Trigger {
    fn from(trigger: WrittenTrigger) -> Self {
        match trigger {
            WrittenTrigger::ForwardFailed(WrittenFailure::BadStatus(status)) => {
                Self::ForwardFailed(ForwardFailure::BadStatus(status))
            }
            WrittenTrigger::ForwardFailed(WrittenFailure::Refused) => {
                Self::ForwardFailed(ForwardFailure::Refused)
            }
            WrittenTrigger::ForwardFailed(WrittenFailure::Reset) => {
                Self::ForwardFailed(ForwardFailure::Reset)
            }
            WrittenTrigger::ForwardFailed(WrittenFailure::ClosedEarly) => {
                Self::ForwardFailed(ForwardFailure::ClosedEarly)
            }
            WrittenTrigger::ForwardFailed(WrittenFailure::TimedOut) => {
                Self::ForwardFailed(ForwardFailure::TimedOut)
            }
            WrittenTrigger::ForwardFailed(WrittenFailure::Unresolved) => {
                Self::ForwardFailed(ForwardFailure::Unresolved)
            }
            WrittenTrigger::Preflight => Self::Preflight,
            WrittenTrigger::HeartbeatExpired => Self::HeartbeatExpired,
            WrittenTrigger::RuntimeStopped => Self::RuntimeStopped,
            WrittenTrigger::Unhealthy => Self::Unhealthy,
            WrittenTrigger::Settling => Self::Settling,
            WrittenTrigger::Sweep => Self::Sweep,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenFailure {
    Refused,
    Reset,
    ClosedEarly,
    TimedOut,
    Unresolved,
    BadStatus(u16),
}

/// Enums that differ from the kit's by nothing but that they can be read.
macro_rules! written {
    ($written:ident as $kit:ident { $($variant:ident),+ $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum $written {
            $($variant),+
        }

        impl From<$written> for $kit {
            fn from(written: $written) -> Self {
                match written {
                    $($written::$variant => Self::$variant),+
                }
            }
        }
    };
}

written!(WrittenStatus as Status { Running, Starting, Restarting, Paused, Stopped, Missing });
written!(WrittenHealth as Health { Starting, Healthy, Unhealthy });
written!(WrittenProbeFault as ProbeFault {
    TimedOut, Unreachable, ClosedEarly, Overloaded, Denied, Malformed
});
written!(WrittenCause as RestartCause { Operator, DeadVerdict, SettingsChanged, Wake, Dependency });

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenStoreFault {
    Unavailable,
}
