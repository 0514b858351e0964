//! One inspected container as a workspace: who it is, what it shows, where it
//! listens, and how to make it again.

use std::net::IpAddr;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, EndpointSettings,
};
use reprieve_core::{
    evidence::Status,
    ids::WorkspaceId,
    ports::{LifeMark, Look},
    time::{Millis, UnixMillis},
};
use url::Url;

use super::{
    failure::CallFailure,
    labels::{self, Description, LabelFault, WORKSPACE},
    names::{ContainerId, ContainerName},
    recipe::Recipe,
    sighting::look_at,
};
use crate::config::Secret;

/// What a workspace shows in its heartbeats, in its container's environment.
const TOKEN: &str = "REPRIEVE_TOKEN";

/// A container that was inspected just now.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) id: ContainerId,
    pub(super) name: ContainerName,
    pub(super) workspace: WorkspaceId,
    pub(super) look: Look,
    pub(super) recipe: Recipe,
    /// How long the container itself wants after its stop signal.
    pub(super) grace: Option<Millis>,
    pub(super) removal: Removal,
    pub(super) response: ContainerInspectResponse,
}

/// How far the daemon is with removing a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    NotBegun,
    UnderWay,
    /// Some of it could not be removed. It can never start again, and keeps its
    /// name.
    Failed,
}

/// What it wants to be taken on as.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) description: Description,
    pub(super) token: Option<Secret>,
}

/// Why it is not taken on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Labels(#[from] LabelFault),
    #[error(
        "{TOKEN} in the container's environment has {bytes} bytes; give it at least {}, or leave it out",
        Secret::MIN_BYTES
    )]
    ShortToken { bytes: usize },
}

impl Container {
    /// Anything that is missing makes it an answer that makes no sense.
    pub(super) fn of(
        response: ContainerInspectResponse,
        now: UnixMillis,
    ) -> Result<Self, CallFailure> {
        let look = look_at(&response, now).map_err(CallFailure::Fault)?;
        let parts = (|| {
            let id = response.id.as_deref()?.parse().ok()?;
            let name = response.name.as_deref()?.parse().ok()?;
            let labels = response.config.as_ref()?.labels.as_ref()?;
            let workspace = labels.get(WORKSPACE)?.parse().ok()?;
            Some((id, name, workspace, Recipe::of(&response)?))
        })();
        let (id, name, workspace, recipe) = parts.ok_or(CallFailure::MALFORMED)?;
        let config = response.config.as_ref();
        let grace = config.and_then(|config| u64::try_from(config.stop_timeout?).ok());
        let state = response.state.as_ref().and_then(|state| state.status);
        Ok(Self {
            id,
            name,
            workspace,
            look,
            recipe,
            grace: grace.map(Millis::from_secs),
            removal: match state {
                Some(ContainerStateStatusEnum::REMOVING) => Removal::UnderWay,
                Some(ContainerStateStatusEnum::DEAD) => Removal::Failed,
                Some(_) | None => Removal::NotBegun,
            },
            response,
        })
    }

    pub(super) fn mark(&self) -> Option<&LifeMark> {
        self.look.mark.as_ref()
    }

    pub(super) fn runs(&self) -> bool {
        match self.look.sighting.status {
            Status::Running | Status::Starting | Status::Restarting | Status::Paused => true,
            Status::Stopped | Status::Missing => false,
        }
    }

    pub(super) fn wanted(&self) -> Result<Wanted, Refusal> {
        self.recipe.wanted()
    }
}

impl Recipe {
    /// What the container that it makes wants to be taken on as.
    pub(super) fn wanted(&self) -> Result<Wanted, Refusal> {
        let config = self.config();
        let labels = config.labels.as_ref().ok_or(LabelFault::NoWorkspace)?;
        let exposed = config.exposed_ports.as_deref().unwrap_or_default();
        let description = labels::describe(labels, exposed)?;
        let env = config.env.as_deref().unwrap_or_default();
        let token = env.iter().find_map(|line| line.strip_prefix(TOKEN)?.strip_prefix('='));
        match token.map(str::len) {
            Some(bytes) if bytes < Secret::MIN_BYTES => Err(Refusal::ShortToken { bytes }),
            Some(_) | None => {
                Ok(Wanted { description, token: token.map(|token| Secret::new(token.to_owned())) })
            }
        }
    }
}

/// Where the workspace listens. `network_of` is the container whose network it
/// uses: itself, or the one that it shares with.
pub(super) fn address(
    description: &Description,
    network_of: &ContainerInspectResponse,
) -> Option<Url> {
    let mode = network_of.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    let ip = match mode {
        Some("host") => IpAddr::from([127, 0, 0, 1]),
        _ => ip_in(network_of, description.network.as_deref())?,
    };
    let host = std::net::SocketAddr::new(ip, description.port);
    Url::parse(&format!("http://{host}{}", description.path)).ok()
}

/// Its address in that network, or in the first by name that it has one in.
fn ip_in(response: &ContainerInspectResponse, network: Option<&str>) -> Option<IpAddr> {
    let networks = response.network_settings.as_ref()?.networks.as_ref()?;
    if let Some(network) = network {
        return ip_of(networks.get(network)?);
    }
    let mut by_name: Vec<_> = networks.iter().collect();
    by_name.sort_by_key(|(name, _)| *name);
    by_name.into_iter().find_map(|(_, endpoint)| ip_of(endpoint))
}

fn ip_of(endpoint: &EndpointSettings) -> Option<IpAddr> {
    let either = [&endpoint.ip_address, &endpoint.global_ipv6_address];
    either.into_iter().flatten().find_map(|text| text.parse().ok())
}

/// A container in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: ContainerId,
    pub(super) workspace: Result<WorkspaceId, String>,
    runs: bool,
    created: i64,
}

impl Listed {
    pub(super) const fn runs(&self) -> bool {
        self.runs
    }

    /// None if the daemon left out what every entry has.
    pub(super) fn of(summary: &ContainerSummary) -> Option<Self> {
        use ContainerSummaryStateEnum as State;
        let label = summary.labels.as_ref()?.get(WORKSPACE)?;
        Some(Self {
            id: summary.id.as_deref()?.parse().ok()?,
            workspace: label
                .parse()
                .map_err(|error: reprieve_core::ids::InvalidName| error.to_string()),
            runs: match summary.state? {
                State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING => true,
                State::EMPTY | State::CREATED | State::EXITED | State::REMOVING | State::DEAD => {
                    false
                }
            },
            created: summary.created?,
        })
    }
}

/// Which of several containers is the workspace: the newest that runs, or the
/// newest. The second is another one that runs as well, which is somebody's
/// mistake. A list tells ages in whole seconds; of two as old as each other
/// `preferred` is the one.
pub(super) fn newest_running<'a>(
    listed: impl IntoIterator<Item = &'a Listed>,
    preferred: Option<&ContainerId>,
) -> Option<(&'a Listed, Option<&'a Listed>)> {
    let mut listed: Vec<&Listed> = listed.into_iter().collect();
    listed.sort_by_key(|one| (one.runs, one.created, Some(&one.id) == preferred, &one.id));
    let best = listed.pop()?;
    Some((best, listed.pop().filter(|other| other.runs)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn response(with: &Value) -> ContainerInspectResponse {
        let mut whole = json!({
            "Id": id('a'), "Name": "/ws-1", "Image": "sha256:1",
            "State": {"Status": "running", "Running": true, "StartedAt": "2026-05-19T00:05:00.5Z"},
            "Config": {"Labels": {"reprieve.workspace": "ws-1", "reprieve.port": "80"}},
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {}},
        });
        for (key, value) in with.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn container(with: &Value) -> Result<Container, CallFailure> {
        Container::of(response(with), UnixMillis(0))
    }

    #[test]
    fn an_address_is_that_of_the_network() {
        let networks = json!({
            "b": {"IPAddress": "10.0.0.2"}, "a": {"IPAddress": "10.0.0.1"}, "0": {"IPAddress": ""},
            "six": {"IPAddress": "", "GlobalIPv6Address": "fd00::1"},
        });
        for (case, mode, network, expected) in [
            ("the first by name that has one", "a", None, Some("http://10.0.0.1/")),
            ("the one that the label names", "a", Some("b"), Some("http://10.0.0.2/")),
            ("version 6", "a", Some("six"), Some("http://[fd00::1]/")),
            ("a network that it is not in", "a", Some("c"), None),
            ("not yet connected", "a", Some("0"), None),
            ("the host's", "host", None, Some("http://127.0.0.1/")),
        ] {
            let response = response(&json!({
                "HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": networks},
            }));
            let container = Container::of(response.clone(), UnixMillis(0)).unwrap();
            let mut description = container.wanted().unwrap().description;
            description.network = network.map(str::to_owned);
            let address = address(&description, &response);
            assert_eq!(address.as_ref().map(Url::as_str), expected, "{case}");
        }
    }

    #[test]
    fn a_token_is_taken_from_the_environment_and_never_shown() {
        let with = |env: &str| {
            json!({"Config": {
                "Labels": {"reprieve.workspace": "ws-1", "reprieve.port": "80"}, "Env": ["A=b", env],
            }})
        };
        let taken = container(&with("REPRIEVE_TOKEN=0123456789abcdef")).unwrap().wanted().unwrap();
        assert_eq!(taken.token.as_ref().map(Secret::reveal), Some("0123456789abcdef"));
        assert!(!format!("{taken:?}").contains("0123456789abcdef"));
        let other = container(&with("REPRIEVE_TOKENS=0123456789abcdef")).unwrap().wanted().unwrap();
        assert_eq!(other.token, None);
        let short = container(&with("REPRIEVE_TOKEN=secret")).unwrap().wanted().unwrap_err();
        assert!(short.to_string().contains("has 6 bytes; give it at least 16"), "{short}");
        assert!(!short.to_string().contains("secret"), "{short}");
    }

    #[test]
    fn an_answer_that_leaves_something_out_is_none() {
        for (case, with) in [
            ("no state", json!({"State": null})),
            ("no id", json!({"Id": null})),
            ("an id that is none", json!({"Id": "../../info"})),
            ("no name", json!({"Name": null})),
            ("no labels", json!({"Config": {}})),
            ("no workspace", json!({"Config": {"Labels": {}}})),
            ("no image", json!({"Image": null})),
            ("no host configuration", json!({"HostConfig": null})),
        ] {
            assert_eq!(container(&with).err(), Some(CallFailure::MALFORMED), "{case}");
        }
    }

    #[test]
    fn the_newest_container_that_runs_is_the_workspace() {
        let listed = |digit: char, state: &str, created: i64| {
            let labels = json!({"reprieve.workspace": "ws-1"});
            let summary =
                json!({"Id": id(digit), "State": state, "Created": created, "Labels": labels});
            Listed::of(&serde_json::from_value(summary).unwrap()).unwrap()
        };
        for (case, containers, expected) in [
            ("none", vec![], None),
            ("one", vec![listed('a', "exited", 1)], Some(('a', None))),
            (
                "the older runs",
                vec![listed('a', "running", 1), listed('b', "created", 2)],
                Some(('a', None)),
            ),
            (
                "both run",
                vec![listed('a', "running", 1), listed('b', "paused", 2)],
                Some(('b', Some('a'))),
            ),
            (
                "both run, as old as each other",
                vec![listed('f', "running", 1), listed('b', "running", 1)],
                Some(('b', Some('f'))),
            ),
            (
                "neither runs",
                vec![listed('b', "exited", 2), listed('a', "exited", 1)],
                Some(('b', None)),
            ),
        ] {
            let preferred = id('b').parse().unwrap();
            let found = newest_running(&containers, Some(&preferred));
            let found = found.map(|(best, other)| {
                (best.id.to_string(), other.map(|other| other.id.to_string()))
            });
            let expected = expected.map(|(best, other)| (id(best), other.map(id)));
            assert_eq!(found, expected, "{case}");
        }
    }
}
