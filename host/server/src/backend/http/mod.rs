//! Workspaces as cloud instances behind a control plane that speaks the HTTP
//! contract of `docs/control-plane.md`.
//!
//! - [`contract`]: what is said over the wire, and what it means
//! - [`client`]: one call: its deadline, its size, its token, its faults
//! - [`order`]: one restart or stop, followed up by looking
//!
//! What holds:
//! - **An order is sent once.** What became of an order that got no clear answer
//!   is found out by looking, never by sending it again.
//! - **A run that somebody else began meanwhile is taken as it is,** not ended: it
//!   may be what a second host, or a person, has just launched.
//! - **No answer is a death but a definite one:** 404 together with the code
//!   `not_found`, or the state `terminated`.
//! - **The token goes to the configured address and nowhere else:** no redirect
//!   is followed, and no log or error shows it.

mod client;
mod contract;
mod order;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    evidence::ProbeFault,
    ids::WorkspaceId,
    ports::{
        Clock, Look, Probe, RestartFailure, RestartOrder, Restarter, RuntimeEvent,
        RuntimeEventKind, Started,
    },
    time::Millis,
};
use tokio::sync::mpsc;
use url::Url;

use self::{
    client::{CallFailure, Client},
    contract::Instance,
    order::Slot,
};
use crate::config::Secret;
pub use crate::tls::InvalidAuthorities;

/// What a control plane is reached with, and how patiently.
#[derive(Clone)]
pub struct ControlPlaneOptions {
    /// For messages.
    pub name: String,
    /// `http` or `https`; the paths of the contract go below it.
    pub url: Url,
    pub token: Option<Secret>,
    /// Over https: a PEM file with the authorities to trust, and no others. None:
    /// whom the machine trusts.
    pub ca_file: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    /// Hears of an instance's address once it is known: an instance that is
    /// pending often has none. A full channel loses it until the next look.
    pub events: mpsc::Sender<RuntimeEvent>,
    /// One call: connecting, the answer's head and its body.
    pub call_timeout: Millis,
    /// From a stop that was taken until the instance is stopped.
    pub stop_limit: Millis,
    /// From a start without a clear answer until a run shows.
    pub start_limit: Millis,
    /// For how long an instance on its way up is watched for its address.
    pub boot_limit: Millis,
    /// The first wait between two looks at an order under way; doubled up to
    /// [`ControlPlaneOptions::MAX_PAUSE_FACTOR`] times that.
    pub look_pause: Millis,
}

impl ControlPlaneOptions {
    pub const MAX_PAUSE_FACTOR: u32 = 8;

    /// With limits whose sum stays below the supervisor's for a restart (120 s):
    /// instances take 20 to 30 s to come up, and as long to stop.
    pub fn new(
        name: impl Into<String>,
        url: Url,
        token: Option<Secret>,
        clock: Arc<dyn Clock>,
        events: mpsc::Sender<RuntimeEvent>,
    ) -> Self {
        Self {
            name: name.into(),
            url,
            token,
            ca_file: None,
            clock,
            events,
            call_timeout: Millis::from_secs(5),
            stop_limit: Millis::from_secs(60),
            start_limit: Millis::from_secs(30),
            boot_limit: Millis::from_secs(600),
            look_pause: Millis(250),
        }
    }
}

impl std::fmt::Debug for ControlPlaneOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlaneOptions")
            .field("name", &self.name)
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Why a control plane cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum InvalidControlPlane {
    #[error(
        "{url} is not valid for control plane {name}: must be an http or https URL without user, query and fragment, written like \"https://cloud.example/v1\""
    )]
    Url { name: String, url: String },
    #[error("the token of control plane {name} is not valid: must be of visible ASCII characters")]
    Token { name: String },
    #[error("the ca_file of control plane {name} is not valid")]
    Authorities { name: String, source: InvalidAuthorities },
}

/// A control plane and the instances that it runs for this host. Cheap to clone.
#[derive(Clone)]
pub struct ControlPlane(Arc<Inner>);

struct Inner {
    client: Client,
    options: ControlPlaneOptions,
    /// One for each workspace that was ever asked about; their number is the
    /// configuration's.
    slots: Mutex<HashMap<WorkspaceId, Arc<Slot>>>,
    /// A person has been told what to change, and nothing was answered since.
    is_reported: AtomicBool,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ControlPlane").field(&self.0.options).finish()
    }
}

impl ControlPlane {
    /// Connects to nothing yet.
    pub fn new(options: ControlPlaneOptions) -> Result<Self, InvalidControlPlane> {
        let client = Client::new(&options)?;
        let (slots, is_reported) = Default::default();
        Ok(Self(Arc::new(Inner { client, options, slots, is_reported })))
    }

    fn slot(&self, workspace: &WorkspaceId) -> Arc<Slot> {
        self.0.slots.lock().entry(workspace.clone()).or_default().clone()
    }

    /// A fault names the kind of trouble only. What it takes a person to end is
    /// told in full, once until there is an answer.
    fn report(&self, failure: Option<&CallFailure>) {
        let Some(failure) = failure else {
            return self.0.is_reported.store(false, Ordering::Relaxed);
        };
        if failure.waits_for_a_person() && !self.0.is_reported.swap(true, Ordering::Relaxed) {
            let control_plane = &self.0.options.name;
            tracing::warn!(%control_plane, %failure, "nobody can be seen through this control plane");
        }
    }

    /// An address that has become known is told once for each run. Not while an
    /// order is under way: the run that is seen may be the one that ends.
    fn tell_address(&self, workspace: &WorkspaceId, instance: &Instance) {
        let (slot, mark) = (self.slot(workspace), instance.mark());
        let Some(address) = instance.address_if_running().filter(|_| !slot.is_under_way()) else {
            return;
        };
        let mut told = slot.told.lock();
        let news = Some((mark.clone(), address.clone()));
        if *told == news {
            return;
        }
        let event = RuntimeEvent {
            workspace: workspace.clone(),
            kind: RuntimeEventKind::Started,
            mark: Some(mark),
            address: Some(address.clone()),
            report: None,
        };
        // Whoever looks must not wait for whoever listens.
        if self.0.options.events.try_send(event).is_ok() {
            *told = news;
        }
    }
}

#[async_trait]
impl Probe for ControlPlane {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault> {
        let seen = self.0.client.look(workspace).await;
        self.report(seen.as_ref().err());
        let seen = seen.map_err(|failure| failure.as_fault())?;
        if let Some(instance) = &seen {
            self.tell_address(workspace, instance);
        }
        let is_ordered = self.slot(workspace).is_under_way();
        Ok(contract::sight(seen.as_ref(), is_ordered, self.0.options.clock.now()))
    }
}

/// A caller that stops waiting does not stop the order.
#[async_trait]
impl Restarter for ControlPlane {
    async fn restart(&self, order: &RestartOrder) -> Result<Started, RestartFailure> {
        let (plane, order) = (self.clone(), order.clone());
        carry_out(tokio::spawn(async move { plane.restart_one(&order).await })).await
    }

    async fn stop(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure> {
        let (plane, workspace) = (self.clone(), workspace.clone());
        carry_out(tokio::spawn(async move { plane.stop_one(&workspace).await })).await
    }
}

async fn carry_out<T>(
    order: tokio::task::JoinHandle<Result<T, RestartFailure>>,
) -> Result<T, RestartFailure> {
    order.await.unwrap_or_else(|error| {
        Err(RestartFailure::Refused { detail: format!("the order was broken off: {error}") })
    })
}
