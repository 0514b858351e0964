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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-22T03:24:40Z";
    const NO_TIME: &str = NEVER;

    fn now() -> UnixMillis {
        time(Some(NOW)).unwrap().unwrap()
    }

    fn inspected(state: &Value) -> Result<Look, ProbeFault> {
        let id = "e4023437deac8918".repeat(4);
        let response = serde_json::from_value(json!({"Id": id, "State": state}));
        look_at(&response.unwrap(), now())
    }

    fn secs(secs: u64) -> Option<reprieve_core::time::Millis> {
        Some(reprieve_core::time::Millis::from_secs(secs))
    }

    /// States as a daemon of version 20.10 shows them.
    #[test]
    fn every_state_shows_what_it_is() {
        let bare = Sighting::bare;
        for (case, state, expected, has_run) in [
            (
                "running",
                json!({"Status": "running", "Running": true, "Paused": false, "Pid": 5814,
                    "ExitCode": 0, "StartedAt": "2026-11-22T03:24:10.158725708Z", "FinishedAt": NO_TIME}),
                Sighting {
                    uptime: Some(reprieve_core::time::Millis(29_842)),
                    ..bare(Status::Running)
                },
                true,
            ),
            (
                "running again, with the end of the run before",
                json!({"Status": "running", "Running": true, "Pid": 9, "ExitCode": 0,
                    "StartedAt": "2026-11-22T03:24:38Z", "FinishedAt": "2026-11-22T03:24:37Z"}),
                Sighting { uptime: secs(2), ..bare(Status::Running) },
                true,
            ),
            (
                "paused: the flag says that it runs",
                json!({"Status": "paused", "Running": true, "Paused": true, "Pid": 5814,
                    "StartedAt": "2026-11-22T03:24:30Z", "FinishedAt": NO_TIME,
                    "Health": {"Status": "unhealthy", "FailingStreak": 0, "Log": []}}),
                Sighting {
                    uptime: secs(10),
                    health: Some(Health::Unhealthy),
                    ..bare(Status::Paused)
                },
                true,
            ),
            (
                "crash loop: the flag says that it runs",
                json!({"Status": "restarting", "Running": true, "Restarting": true, "Pid": 0,
                    "ExitCode": 1, "StartedAt": "2026-11-22T03:24:36.008602696Z",
                    "FinishedAt": "2026-11-22T03:24:36.057061686Z"}),
                Sighting { exit_code: Some(1), ..bare(Status::Restarting) },
                true,
            ),
            (
                "exited",
                json!({"Status": "exited", "Running": false, "Pid": 0, "ExitCode": 3,
                    "StartedAt": "2026-11-22T03:24:00Z", "FinishedAt": "2026-11-22T03:24:35Z"}),
                Sighting { ended: secs(5), exit_code: Some(3), ..bare(Status::Stopped) },
                true,
            ),
            (
                "out of memory",
                json!({"Status": "exited", "Running": false, "OOMKilled": true, "ExitCode": 137,
                    "StartedAt": "2026-11-22T03:24:33.922005702Z", "FinishedAt": "2026-11-22T03:24:34Z"}),
                Sighting {
                    ended: secs(6),
                    exit_code: Some(137),
                    out_of_memory: true,
                    ..bare(Status::Stopped)
                },
                true,
            ),
            (
                "an end that lies ahead",
                json!({"Status": "exited", "Running": false, "ExitCode": 0,
                    "StartedAt": "2026-11-22T03:24:00Z", "FinishedAt": "2026-11-22T03:25:00Z"}),
                Sighting { ended: secs(0), exit_code: Some(0), ..bare(Status::Stopped) },
                true,
            ),
            (
                "created",
                json!({"Status": "created", "Running": false, "ExitCode": 0,
                    "StartedAt": NO_TIME, "FinishedAt": NO_TIME}),
                bare(Status::Stopped),
                false,
            ),
            (
                "its start failed",
                json!({"Status": "created", "Running": false, "ExitCode": 127,
                    "Error": "failed to create shim task", "StartedAt": NO_TIME, "FinishedAt": NO_TIME}),
                bare(Status::Stopped),
                false,
            ),
            (
                "being removed",
                json!({"Status": "removing", "Running": false, "ExitCode": 137,
                    "StartedAt": "2026-11-22T03:24:00Z", "FinishedAt": "2026-11-22T03:24:35Z"}),
                Sighting { exit_code: Some(137), ..bare(Status::Stopped) },
                true,
            ),
            (
                "dead",
                json!({"Status": "dead", "Running": false, "Dead": true, "ExitCode": 137,
                    "StartedAt": "2026-11-22T03:24:00Z", "FinishedAt": "2026-11-22T03:24:35Z"}),
                Sighting { ended: secs(5), exit_code: Some(137), ..bare(Status::Stopped) },
                true,
            ),
        ] {
            let look = inspected(&state).expect(case);
            assert_eq!(look.sighting, expected, "{case}");
            assert_eq!(look.mark.is_some(), has_run, "{case}");
        }
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_a_fault() {
        let began = "2026-11-22T03:24:00Z";
        for (case, state) in [
            ("nothing", json!(null)),
            ("no status", json!({"Running": true, "StartedAt": began})),
            ("an empty status", json!({"Status": "", "Running": true})),
            (
                "exited and running",
                json!({"Status": "exited", "Running": true, "StartedAt": began}),
            ),
            ("running and not", json!({"Status": "running", "Running": false, "StartedAt": began})),
            ("exited, with no flag", json!({"Status": "exited", "StartedAt": began})),
            (
                "an end at no time",
                json!({"Status": "exited", "Running": false, "StartedAt": began, "FinishedAt": "x"}),
            ),
        ] {
            assert_eq!(inspected(&state), Err(ProbeFault::Malformed), "{case}");
        }
    }

    #[test]
    fn health_is_what_the_check_says() {
        for (said, expected) in [
            ("starting", Some(Health::Starting)),
            ("healthy", Some(Health::Healthy)),
            ("unhealthy", Some(Health::Unhealthy)),
            ("none", None),
            ("", None),
        ] {
            let state = json!({"Status": "running", "Running": true,
                "StartedAt": "2026-11-22T03:24:00Z", "Health": {"Status": said}});
            assert_eq!(inspected(&state).unwrap().sighting.health, expected, "{said:?}");
        }
    }

    #[test]
    fn a_mark_tells_when_its_run_began() {
        let state = json!({"Status": "running", "Running": true, "RestartCount": 7,
            "StartedAt": "1970-01-01T00:00:02.000000003Z"});
        let mark = inspected(&state).unwrap().mark.unwrap();
        let id = "e4023437deac8918".repeat(4);
        assert_eq!(mark, LifeMark(format!("{id}@1970-01-01T00:00:02.000000003Z")));
        assert_eq!(began_nanos(&mark), Some(2_000_000_003));
        assert_eq!(began_nanos(&LifeMark("1@2/3".to_owned())), None);
    }
}
