//! What is said over the wire, and what it means. Pure: see
//! `docs/control-plane.md` for the contract.

use http::StatusCode;
use reprieve_core::{
    evidence::{ProbeFault, Sighting, Status},
    ports::{LifeMark, Look},
    time::{Millis, UnixMillis},
};
use serde::Deserialize;
use url::Url;

/// The longest name of an instance, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    Terminated,
}

/// An instance as the control plane shows it. Keys that are not known are for
/// later versions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Instance {
    pub(super) state: State,
    id: String,
    /// When the run began to be started.
    #[serde(default)]
    started_at_ms: Option<u64>,
    #[serde(default)]
    ended_at_ms: Option<u64>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    pub(super) address: Option<Url>,
    /// The key of the start that began the run, if one did.
    #[serde(default)]
    pub(super) start_key: Option<String>,
    /// The control plane's clock as it answered.
    #[serde(default)]
    now_ms: Option<u64>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    code: Code,
    #[serde(default)]
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
    NotFound,
    Denied,
    Overloaded,
    Conflict,
    Internal,
}

/// What an answer other than an instance says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Definitely: no such instance.
    NotFound,
    Denied,
    Overloaded,
    /// Another order is under way.
    Conflict {
        message: String,
    },
    /// Something behind the control plane's door failed, or a gateway on the way:
    /// the order may have been taken.
    Broken {
        status: u16,
    },
    /// Not of the contract.
    Nonsense {
        status: u16,
    },
}

impl Instance {
    /// Reads an answer. The status decides first, and a 404 needs the code, too:
    /// any web server has a 404 for a path that it does not know.
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<Self, Refusal> {
        let nonsense = Refusal::Nonsense { status: status.as_u16() };
        if matches!(status, StatusCode::OK | StatusCode::ACCEPTED) {
            let instance: Self = serde_json::from_slice(body).map_err(|_| nonsense.clone())?;
            return if instance.is_sound() { Ok(instance) } else { Err(nonsense) };
        }
        let error = serde_json::from_slice::<ErrorBody>(body).map(|body| body.error);
        let code = error.as_ref().ok().map(|error| error.code);
        Err(match status {
            StatusCode::NOT_FOUND if code == Some(Code::NotFound) => Refusal::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Refusal::Denied,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Refusal::Overloaded,
            StatusCode::CONFLICT if code == Some(Code::Conflict) => {
                Refusal::Conflict { message: error.map(|error| error.message).unwrap_or_default() }
            }
            status if status.is_server_error() => Refusal::Broken { status: status.as_u16() },
            _ => nonsense,
        })
    }

    fn is_sound(&self) -> bool {
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= MAX_ID_BYTES
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        plain(&self.id)
            && self
                .address
                .as_ref()
                .is_none_or(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    }

    /// Tells one run from every other.
    pub(super) fn mark(&self) -> LifeMark {
        LifeMark(match self.started_at_ms {
            Some(started) => format!("{}@{started}", self.id),
            None => self.id.clone(),
        })
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Pending | State::Running)
    }

    pub(super) fn address_if_running(&self) -> Option<&Url> {
        self.address.as_ref().filter(|_| self.state == State::Running)
    }

    /// How long ago that was. On the control plane's own clock if it tells it:
    /// two machines' clocks differ, and an end must not look younger than a sign
    /// of life that came after it.
    fn age(&self, at_ms: u64, now: UnixMillis) -> Millis {
        UnixMillis(at_ms).age(self.now_ms.map_or(now, UnixMillis))
    }
}

/// What a probe brings home. `is_ordered`: this host is restarting it.
pub(super) fn sight(seen: Option<&Instance>, is_ordered: bool, now: UnixMillis) -> Look {
    let Some(instance) = seen else {
        return Look { sighting: Sighting::bare(Status::Missing), mark: None };
    };
    let up = |status| Sighting {
        uptime: instance.started_at_ms.map(|at| instance.age(at, now)),
        ..Sighting::bare(status)
    };
    let ended = |status| Sighting {
        ended: instance.ended_at_ms.map(|at| instance.age(at, now)),
        exit_code: instance.exit_code,
        ..Sighting::bare(status)
    };
    let sighting = match instance.state {
        State::Pending => up(Status::Starting),
        State::Running => up(Status::Running),
        State::Stopping | State::Stopped | State::Terminated if is_ordered => {
            Sighting::bare(Status::Restarting)
        }
        // On its way down it has not ended: there is no end to be trusted.
        State::Stopping => Sighting::bare(Status::Stopped),
        State::Stopped => ended(Status::Stopped),
        State::Terminated => ended(Status::Missing),
    };
    Look { sighting, mark: Some(instance.mark()) }
}

impl Refusal {
    /// What it means for a probe; [`Refusal::NotFound`] is none.
    pub(super) const fn as_fault(&self) -> ProbeFault {
        match self {
            Self::Denied => ProbeFault::Denied,
            Self::Overloaded => ProbeFault::Overloaded,
            Self::NotFound
            | Self::Conflict { .. }
            | Self::Broken { .. }
            | Self::Nonsense { .. } => ProbeFault::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn read(status: u16, body: &str) -> Result<Instance, Refusal> {
        Instance::read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    fn error(code: &str) -> String {
        format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#)
    }

    #[test]
    fn a_refusal_is_decided_on_status_and_code() {
        let nonsense = |status| Refusal::Nonsense { status };
        for (status, body, expected) in [
            (404, error("not_found"), Refusal::NotFound),
            (404, error("internal"), nonsense(404)),
            (404, "<h1>Not Found</h1>".to_owned(), nonsense(404)),
            (404, String::new(), nonsense(404)),
            (404, r#"{"error":"not_found"}"#.to_owned(), nonsense(404)),
            (200, error("not_found"), nonsense(200)),
            (410, error("not_found"), nonsense(410)),
            (401, String::new(), Refusal::Denied),
            (403, error("denied"), Refusal::Denied),
            (403, error("not_found"), Refusal::Denied),
            (429, String::new(), Refusal::Overloaded),
            (503, error("overloaded"), Refusal::Overloaded),
            (409, error("conflict"), Refusal::Conflict { message: "m".to_owned() }),
            (409, String::new(), nonsense(409)),
            (500, error("internal"), Refusal::Broken { status: 500 }),
            (502, String::new(), Refusal::Broken { status: 502 }),
            (301, String::new(), nonsense(301)),
            (204, String::new(), nonsense(204)),
        ] {
            assert_eq!(read(status, &body), Err(expected), "{status} {body}");
        }
    }

    #[test]
    fn an_instance_that_makes_no_sense_is_no_instance() {
        for (case, body) in [
            ("empty", ""),
            ("no object", "[]"),
            ("nothing said", "{}"),
            ("an unknown state", r#"{"state":"hibernating","id":"i-1"}"#),
            ("no id", r#"{"state":"running"}"#),
            ("an empty id", r#"{"state":"running","id":""}"#),
            ("an id of two lines", "{\"state\":\"running\",\"id\":\"i\\n1\"}"),
            ("an age that is no number", r#"{"state":"running","id":"i-1","started_at_ms":"x"}"#),
            ("a time before all time", r#"{"state":"running","id":"i-1","started_at_ms":-1}"#),
            ("no URL", r#"{"state":"running","id":"i-1","address":"10.0.0.1"}"#),
            ("no web address", r#"{"state":"running","id":"i-1","address":"file:///etc"}"#),
            ("cut off", r#"{"state":"running","id":"i-"#),
        ] {
            assert_eq!(read(200, body), Err(Refusal::Nonsense { status: 200 }), "{case}");
        }
        assert!(
            read(200, r#"{"state":"running","id":"i-1","colour":"red"}"#).is_ok(),
            "later keys"
        );
    }

    #[test]
    fn every_state_is_seen_as_what_it_is() {
        let started = r#""started_at_ms":990000"#;
        let ended = r#""ended_at_ms":999000,"exit_code":137"#;
        let secs = Millis::from_secs;
        for (state, more, is_ordered, status, uptime, end) in [
            ("pending", started, false, Status::Starting, Some(secs(10)), None),
            ("pending", started, true, Status::Starting, Some(secs(10)), None),
            ("running", started, false, Status::Running, Some(secs(10)), None),
            ("running", "", false, Status::Running, None, None),
            ("stopping", ended, false, Status::Stopped, None, None),
            ("stopping", ended, true, Status::Restarting, None, None),
            ("stopped", ended, false, Status::Stopped, None, Some(secs(1))),
            ("stopped", started, false, Status::Stopped, None, None),
            ("stopped", ended, true, Status::Restarting, None, None),
            ("terminated", ended, false, Status::Missing, None, Some(secs(1))),
            ("terminated", "", false, Status::Missing, None, None),
        ] {
            let comma = if more.is_empty() { "" } else { "," };
            let body = format!(r#"{{"state":"{state}","id":"i-1"{comma}{more}}}"#);
            let sighting = sight(Some(&read(200, &body).unwrap()), is_ordered, NOW).sighting;
            let seen = (sighting.status, sighting.uptime, sighting.ended);
            assert_eq!(seen, (status, uptime, end), "{body} {is_ordered}");
            assert_eq!(sighting.exit_code, end.filter(|_| more == ended).map(|_| 137), "{body}");
        }
        let nothing = sight(None, false, NOW);
        assert_eq!((nothing.sighting, nothing.mark), (Sighting::bare(Status::Missing), None));
    }

    #[test]
    fn ages_are_measured_on_the_control_planes_own_clock_if_it_tells_it() {
        let ended = |more: &str| {
            let body = format!(r#"{{"state":"stopped","id":"i-1","ended_at_ms":1500000{more}}}"#);
            sight(Some(&read(200, &body).unwrap()), false, NOW).sighting.ended
        };
        assert_eq!(ended(r#","now_ms":1503000"#), Some(Millis::from_secs(3)), "its clock is ahead");
        assert_eq!(ended(""), Some(Millis::ZERO), "an end in the future is now");
    }

    #[test]
    fn a_run_is_told_from_another_by_instance_and_start() {
        let mark = |body: &str| read(200, body).unwrap().mark().0;
        assert_eq!(mark(r#"{"state":"running","id":"i-1","started_at_ms":7}"#), "i-1@7");
        assert_eq!(mark(r#"{"state":"pending","id":"i-1"}"#), "i-1");
    }
}
