//! A row as it stands in a file, in the form of the default policy's own table
//! (`policy/tests/judgements.toml`, whose head explains it). What is misspelt is
//! refused, so that no row tests less than it says.

use std::sync::Arc;

use reprieve_core::{
    evidence::{
        Beat, Eyesight, Fleet, Health, Life, Note, ProbeFault, Sighting, Status, StoreFault,
    },
    ids::{TenantId, WorkspaceId},
    judgement::{Admission, Attempt, Call, RestartCause, Trigger, Verdict},
    settings::Settings,
    time::Millis,
};
use serde::Deserialize;

use super::{
    By, Evidence, Expected, Row, RowUnusable, Ruled, nobody,
    told::{Answers, QuestionKind, Told, Window},
};
use crate::Who;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    settings: Option<Settings>,
    tenant: Option<TenantId>,
    workspace: Option<WorkspaceId>,
    trigger: Option<Trigger>,
    #[serde(default)]
    attempt: Attempt,
    cause: Option<RestartCause>,
    #[serde(default)]
    evidence: WrittenEvidence,
    #[serde(default)]
    eyesight_windows: Vec<WrittenWindow>,
    #[serde(default)]
    never_asked: Vec<QuestionKind>,
    verdict: Option<Verdict>,
    admission: Option<Admission>,
    reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEvidence {
    look: Option<Result<WrittenSighting, ProbeFault>>,
    newest_beat: Option<Result<WrittenBeat, StoreFault>>,
    newest_contact: Option<Result<WrittenBeat, StoreFault>>,
    intervals: Option<Result<Vec<Millis>, StoreFault>>,
    current_life: Option<Result<WrittenLife, StoreFault>>,
    restart_count: Option<Result<u32, StoreFault>>,
    memory: Option<Result<WrittenNote, StoreFault>>,
    eyesight: Option<WrittenEyesight>,
    fleet: Option<WrittenFleet>,
}

/// Words of the evidence as rows write them: the same fields, those that say
/// nothing special may be left out, and others are refused.
macro_rules! written {
    ($written:ident as $word:ident {
        $($required:ident: $of_required:ty),* ;
        $($field:ident: $of:ty),* $(,)?
    }) => {
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $written {
            $($required: $of_required,)*
            $(#[serde(default)] $field: $of,)*
        }

        impl From<$written> for $word {
            fn from(written: $written) -> Self {
                let $written { $($required,)* $($field,)* } = written;
                Self { $($required,)* $($field,)* }
            }
        }
    };
}

written!(WrittenSighting as Sighting {
    status: Status;
    uptime: Option<Millis>, ended: Option<Millis>, exit_code: Option<i32>,
    out_of_memory: bool, health: Option<Health>,
});
written!(WrittenBeat as Beat { age: Millis, this_life: bool; });
written!(WrittenLife as Life {
    ;
    in_flight: bool, began: Option<Millis>, cause: Option<RestartCause>, revision_stale: bool,
});
written!(WrittenNote as Note { bytes: Vec<u8>, age: Millis; });
written!(WrittenEyesight as Eyesight {
    ;
    probes: u32, probe_faults: u32, store_faults: u32, loop_lag: Millis,
});
written!(WrittenFleet as Fleet { workspaces: u32; suspected: u32, restarting: u32 });

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWindow {
    since: Millis,
    until: Millis,
    #[serde(default)]
    probes: u32,
    #[serde(default)]
    probe_faults: u32,
    #[serde(default)]
    store_faults: u32,
    #[serde(default)]
    loop_lag: Millis,
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        row(Written::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn row(written: Written) -> Result<Row, RowUnusable> {
    let Written { name, settings, tenant, workspace, trigger, attempt, cause, .. } = written;
    let unusable = |detail| RowUnusable { row: name.clone(), detail };
    let by = match (tenant, workspace, settings) {
        (None, None, own) => By::Settings(own.unwrap_or_default()),
        (Some(tenant), Some(workspace), None) => By::Who(Who { tenant, workspace }),
        _ => return Err(unusable("has either settings, or a tenant and a workspace")),
    };
    let call = match (trigger, cause) {
        (Some(trigger), None) => Call::Judge { trigger, attempt },
        (None, Some(cause)) => Call::Admit { cause },
        _ => return Err(unusable("has either a trigger or a cause")),
    };
    let ruled = match (written.verdict, written.admission, call) {
        (Some(verdict), None, Call::Judge { .. }) => Ruled::Verdict(verdict),
        (None, Some(admission), Call::Admit { .. }) => Ruled::Admission(admission),
        _ => return Err(unusable("has a verdict if it has a trigger, an admission if a cause")),
    };
    let who = match &by {
        By::Settings(_) => nobody(),
        By::Who(who) => who.clone(),
    };
    let told = Told {
        who,
        answers: written.evidence.into(),
        windows: written.eyesight_windows.into_iter().map(Window::from).collect(),
        never_asked: written.never_asked,
    };
    let expected = Expected { ruled, reason: written.reason };
    Ok(Row { name, by, call, evidence: Evidence::Told(Arc::new(told)), expected })
}

impl From<WrittenEvidence> for Answers {
    fn from(written: WrittenEvidence) -> Self {
        Self {
            look: written.look.map(|answer| answer.map(Sighting::from)),
            newest_beat: written.newest_beat.map(|answer| answer.map(Beat::from)),
            newest_contact: written.newest_contact.map(|answer| answer.map(Beat::from)),
            intervals: written.intervals,
            current_life: written.current_life.map(|answer| answer.map(Life::from)),
            restart_count: written.restart_count,
            memory: written.memory.map(|answer| answer.map(Note::from)),
            eyesight: written.eyesight.map(Eyesight::from),
            fleet: written.fleet.map(Fleet::from),
        }
    }
}

impl From<WrittenWindow> for Window {
    fn from(written: WrittenWindow) -> Self {
        let WrittenWindow { since, until, probes, probe_faults, store_faults, loop_lag } = written;
        Self { since, until, seen: Eyesight { probes, probe_faults, store_faults, loop_lag } }
    }
}
