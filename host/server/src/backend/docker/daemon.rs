//! One small client of the Docker daemon. Every call runs under a deadline of its
//! own that covers the body too: bollard's ends with the headers, and a daemon
//! that is short of CPU stalls in either.

use std::{collections::HashMap, path::Path, time::Duration};

use bollard::{
    API_DEFAULT_VERSION,
    errors::Error,
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerSummary, EndpointSettings,
        EventMessage, NetworkConnectRequest,
    },
    query_parameters::{
        CreateContainerOptions, EventsOptions, InspectContainerOptions, ListContainersOptions,
        RemoveContainerOptions, RenameContainerOptions, RestartContainerOptions,
        StartContainerOptions, StopContainerOptions,
    },
};
use futures::{Stream, StreamExt as _};
use parking_lot::Mutex;
use reprieve_core::{evidence::ProbeFault, ids::WorkspaceId, time::Millis};
use tokio::time::timeout;

use super::{
    failure::CallFailure,
    labels::WORKSPACE,
    names::{ContainerId, ContainerName},
};

/// bollard's own deadline, which our own always comes before.
const BOLLARD_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// How long the daemon may take.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// To answer a question, body and all. An inspect takes 0.25 ms, and 0.8 ms at
    /// the 99th percentile; a daemon that needs this long sees nothing.
    pub question: Duration,
    /// To start, create, rename or remove, and beyond the stop grace of a restart
    /// or stop: an image on a slow disk takes seconds to mount.
    pub act: Duration,
    /// After an act that nobody was told the outcome of: how long beyond `act` the
    /// outcome is looked for.
    pub follow_up: Duration,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            question: Duration::from_secs(5),
            act: Duration::from_secs(15),
            follow_up: Duration::from_secs(30),
        }
    }
}

/// What the event stream is asked for: what begins, ends or changes a run. A
/// container that was created only is nobody's wish yet.
const EVENTS: [&str; 7] = ["start", "die", "oom", "stop", "health_status", "destroy", "rename"];

#[derive(Debug)]
pub(super) struct Daemon {
    /// Speaks the newest version of the interface that the client knows.
    newest: bollard::Docker,
    /// Speaks the daemon's, once that one has said which it is.
    agreed: Mutex<Option<bollard::Docker>>,
    pub(super) limits: CallLimits,
}

impl Daemon {
    /// Fails if there is no socket. Nothing is asked yet.
    pub(super) fn at(socket: &Path, limits: CallLimits) -> Result<Self, CallFailure> {
        let seconds = BOLLARD_DEADLINE.as_secs();
        let socket = socket.to_string_lossy();
        let newest = bollard::Docker::connect_with_unix(&socket, seconds, API_DEFAULT_VERSION)?;
        Ok(Self { newest, agreed: Mutex::default(), limits })
    }

    /// Asks which version of the interface it speaks. Another daemon may listen
    /// there than the last time: people upgrade theirs.
    pub(super) async fn agree(&self) -> Result<bollard::Docker, CallFailure> {
        let agreed = within(self.limits.question, self.newest.clone().negotiate_version()).await?;
        *self.agreed.lock() = Some(agreed.clone());
        Ok(agreed)
    }

    async fn client(&self) -> Result<bollard::Docker, CallFailure> {
        let agreed = self.agreed.lock().clone();
        match agreed {
            Some(agreed) => Ok(agreed),
            None => self.agree().await,
        }
    }

    pub(super) async fn inspect(
        &self,
        id: &ContainerId,
    ) -> Result<ContainerInspectResponse, CallFailure> {
        let response = self.inspect_named(id.as_str()).await?;
        // The answer to another question, from whatever lies between.
        if response.id.as_deref() == Some(id.as_str()) {
            Ok(response)
        } else {
            Err(CallFailure::MALFORMED)
        }
    }

    pub(super) async fn inspect_name(
        &self,
        name: &ContainerName,
    ) -> Result<ContainerInspectResponse, CallFailure> {
        self.inspect_named(name.as_str()).await
    }

    async fn inspect_named(&self, name: &str) -> Result<ContainerInspectResponse, CallFailure> {
        let client = self.client().await?;
        let call = client.inspect_container(name, None::<InspectContainerOptions>);
        within(self.limits.question, call).await
    }

    /// Every container that names a workspace, or that workspace, running or not.
    pub(super) async fn list(
        &self,
        of: Option<&WorkspaceId>,
    ) -> Result<Vec<ContainerSummary>, CallFailure> {
        let label = of.map_or_else(|| WORKSPACE.to_owned(), |of| format!("{WORKSPACE}={of}"));
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let client = self.client().await?;
        match within(self.limits.question, client.list_containers(Some(options))).await {
            // A list is there, however short: whoever answered was not the daemon.
            Err(CallFailure::Absent) => Err(CallFailure::MALFORMED),
            listed => listed,
        }
    }

    /// Ends the run, if one runs, and begins the next.
    pub(super) async fn restart(&self, id: &ContainerId, grace: Millis) -> Result<(), CallFailure> {
        let options = RestartContainerOptions { signal: None, t: Some(seconds(grace)) };
        let limit = self.limits.act + grace.as_duration();
        let client = self.client().await?;
        within(limit, client.restart_container(id.as_str(), Some(options))).await
    }

    /// Fine as well if it runs already.
    pub(super) async fn start(&self, id: &ContainerId) -> Result<(), CallFailure> {
        let client = self.client().await?;
        let call = client.start_container(id.as_str(), None::<StartContainerOptions>);
        within(self.limits.act, call).await
    }

    /// Fine as well if it does not run.
    pub(super) async fn stop(&self, id: &ContainerId, grace: Millis) -> Result<(), CallFailure> {
        let options = StopContainerOptions { signal: None, t: Some(seconds(grace)) };
        let limit = self.limits.act + grace.as_duration();
        let client = self.client().await?;
        within(limit, client.stop_container(id.as_str(), Some(options))).await
    }

    pub(super) async fn create(
        &self,
        name: &ContainerName,
        body: ContainerCreateBody,
    ) -> Result<ContainerId, CallFailure> {
        let options =
            CreateContainerOptions { name: Some(name.as_str().to_owned()), ..Default::default() };
        let client = self.client().await?;
        let call = client.create_container(Some(options), body);
        let created = within(self.limits.act, call).await?;
        created.id.parse().map_err(|_| CallFailure::MALFORMED)
    }

    pub(super) async fn connect_network(
        &self,
        network: &str,
        id: &ContainerId,
        endpoint: EndpointSettings,
    ) -> Result<(), CallFailure> {
        // Not escaped by the client, and as free in form as a container's name.
        let network: ContainerName = network.parse().map_err(|_| CallFailure::MALFORMED)?;
        let request = NetworkConnectRequest {
            container: id.as_str().to_owned(),
            endpoint_config: Some(endpoint),
        };
        let client = self.client().await?;
        within(self.limits.act, client.connect_network(network.as_str(), request)).await
    }

    pub(super) async fn rename(
        &self,
        id: &ContainerId,
        name: &ContainerName,
    ) -> Result<(), CallFailure> {
        let options = RenameContainerOptions { name: name.as_str().to_owned() };
        let client = self.client().await?;
        within(self.limits.act, client.rename_container(id.as_str(), options)).await
    }

    /// With force, and without its volumes.
    pub(super) async fn remove(&self, id: &ContainerId) -> Result<(), CallFailure> {
        let options = RemoveContainerOptions { force: true, ..Default::default() };
        let client = self.client().await?;
        within(self.limits.act, client.remove_container(id.as_str(), Some(options))).await
    }

    /// What happens to containers that name a workspace, from `since` on: first
    /// what the daemon still remembers, then what happens. Silence is fine, so
    /// only the headers have a deadline.
    pub(super) async fn events(
        &self,
        since_nanos: u64,
    ) -> Result<impl Stream<Item = Result<EventMessage, CallFailure>> + Send + use<>, CallFailure>
    {
        const NANOS: u64 = 1_000_000_000;
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![WORKSPACE.to_owned()]),
            ("event".to_owned(), EVENTS.map(str::to_owned).to_vec()),
        ]);
        let options = EventsOptions {
            since: Some(format!("{}.{:09}", since_nanos / NANOS, since_nanos % NANOS)),
            until: None,
            filters: Some(filters),
        };
        // Whole seconds: bollard would make none of half a one.
        let headers = self.limits.question.max(Duration::from_secs(1));
        let client = self.client().await?.with_timeout(headers);
        Ok(client.events(Some(options)).map(|event| event.map_err(CallFailure::from)))
    }
}

/// Docker counts a grace in whole seconds.
fn seconds(grace: Millis) -> i32 {
    i32::try_from(grace.0.div_ceil(1_000)).unwrap_or(i32::MAX)
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, CallFailure> {
    match timeout(limit, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallFailure::Fault(ProbeFault::TimedOut)),
    }
}

#[cfg(test)]
mod tests;
