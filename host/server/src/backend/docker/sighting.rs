//! What an inspected container shows of a workspace. A pure function of the
//! daemon's answer and of `now`.

use std::time::UNIX_EPOCH;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, HealthStatusEnum,
};
use reprieve_core::{
    evidence::{Health, ProbeFault, Sighting, Status},
    ports::{LifeMark, Look},
    time::UnixMillis,
};

/// How Docker writes "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What is seen of it. An answer that contradicts itself is a fault: it is no
/// evidence of anything.
pub(super) fn look_at(
    response: &ContainerInspectResponse,
    now: UnixMillis,
) -> Result<Look, ProbeFault> {
    let state = response.state.as_ref().ok_or(ProbeFault::Malformed)?;
    let status = status_of(state)?;
    let began = time(state.started_at.as_deref())?;
    let ended = time(state.finished_at.as_deref())?;
    let exit_code = state.exit_code.and_then(|code| i32::try_from(code).ok());
    let is_up = matches!(status, Status::Running | Status::Paused);
    let is_over = matches!(
        state.status,
        Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD)
    );
    let sighting = Sighting {
        status,
        uptime: began.filter(|_| is_up).map(|at| at.age(now)),
        ended: ended.filter(|_| is_over).map(|at| at.age(now)),
        exit_code: exit_code.filter(|_| !is_up && began.is_some()),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        health: health_of(state),
    };
    Ok(Look { sighting, mark: mark_of(response) })
}

/// Its newest run, if it ever ran. An API restart leaves `RestartCount` as it
/// is; `StartedAt` changes with every run.
pub(super) fn mark_of(response: &ContainerInspectResponse) -> Option<LifeMark> {
    let began = response.state.as_ref()?.started_at.as_deref()?;
    let id = response.id.as_deref()?;
    (!began.is_empty() && began != NEVER).then(|| LifeMark(format!("{id}@{began}")))
}

/// When the run of that mark began, by the daemon's clock.
pub(super) fn began_nanos(mark: &LifeMark) -> Option<u64> {
    let (_, began) = mark.0.rsplit_once('@')?;
    let since_epoch = humantime::parse_rfc3339(began).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since_epoch.as_nanos()).ok()
}

/// The word and the flag that stands for it agree, or it is no answer.
fn status_of(state: &ContainerState) -> Result<Status, ProbeFault> {
    use ContainerStateStatusEnum as Said;
    let (status, runs) = match state.status {
        Some(Said::RUNNING) => (Status::Running, true),
        // The flag stays set: the processes are frozen, not gone.
        Some(Said::PAUSED) => (Status::Paused, true),
        // A crash loop: between two runs, and still "running" to Docker.
        Some(Said::RESTARTING) => (Status::Restarting, true),
        Some(Said::CREATED | Said::EXITED | Said::DEAD | Said::REMOVING) => {
            (Status::Stopped, false)
        }
        // Docker itself does not say so; who does still has the process.
        Some(Said::STOPPING) => return Ok(Status::Running),
        Some(Said::EMPTY) | None => return Err(ProbeFault::Malformed),
    };
    if state.running == Some(runs) { Ok(status) } else { Err(ProbeFault::Malformed) }
}

fn health_of(state: &ContainerState) -> Option<Health> {
    match state.health.as_ref()?.status? {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

fn time(text: Option<&str>) -> Result<Option<UnixMillis>, ProbeFault> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != NEVER) else {
        return Ok(None);
    };
    let at = humantime::parse_rfc3339(text).map_err(|_| ProbeFault::Malformed)?;
    let since_epoch = at.duration_since(UNIX_EPOCH).map_err(|_| ProbeFault::Malformed)?;
    let millis = u64::try_from(since_epoch.as_millis()).map_err(|_| ProbeFault::Malformed)?;
    Ok(Some(UnixMillis(millis)))
}
