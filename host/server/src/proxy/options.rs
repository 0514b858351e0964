//! What can be set about the proxy.

use std::{collections::BTreeSet, time::Duration};

use url::Url;

use crate::serve::ServeOptions;

/// How the proxy treats requests. Every limit here is per request or per
/// connection unless it says otherwise.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Where callers reach this proxy, for the URLs in agent cards. None: as the
    /// request's `Host` says.
    pub public_url: Option<Url>,
    /// `X-Forwarded-*` of a request are believed and extended. Only behind
    /// another proxy that sets them; otherwise they are replaced.
    pub trust_forwarded: bool,
    /// Statuses of a workspace that count as a failed forward.
    pub bad_statuses: BTreeSet<u16>,
    /// Requests that find the workspace dead are queued for its next life.
    pub queue_on_dead: bool,
    /// Largest body of an A2A request.
    pub request_limit_bytes: usize,
    /// Largest A2A answer that is read whole. Event streams are passed on as
    /// they come and have no limit.
    pub response_limit_bytes: usize,
    pub connect_timeout: Duration,
    /// So long without any sign from the workspace, neither a byte of this
    /// answer nor a heartbeat, and the forward has failed.
    pub idle_timeout: Duration,
    /// The longest wait for an answer to begin, however lively the workspace.
    pub answer_timeout: Duration,
    /// A caller has so long to send a request that is read whole.
    pub caller_timeout: Duration,
    /// A pooled connection is not used again after so long.
    pub pool_idle_timeout: Duration,
    /// Caller connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// Of one address. None: as many as there may be at all, which is right behind
    /// a load balancer, whose address is everybody's.
    pub max_connections_per_address: Option<usize>,
    /// Running requests may take so long to end when the proxy stops.
    pub shutdown_timeout: Duration,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            public_url: None,
            trust_forwarded: false,
            bad_statuses: DEFAULT_BAD_STATUSES.into_iter().collect(),
            queue_on_dead: false,
            request_limit_bytes: 1 << 20,
            response_limit_bytes: 10 << 20,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5 * 60),
            answer_timeout: Duration::from_secs(60 * 60),
            caller_timeout: Duration::from_secs(60),
            // Below the 5 s after which uvicorn and Node close an idle
            // connection: one that is just being closed fails a forward for
            // nothing.
            pool_idle_timeout: Duration::from_secs(4),
            max_connections: 10_000,
            max_connections_per_address: None,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl From<&ProxyOptions> for ServeOptions {
    fn from(options: &ProxyOptions) -> Self {
        Self {
            max_connections: options.max_connections,
            max_connections_per_address: options.max_connections_per_address,
            body_timeout: Self::DEFAULT_BODY_TIMEOUT,
            write_timeout: CALLER_TAKES_WITHIN,
            shutdown_timeout: options.shutdown_timeout,
            tls: None,
        }
    }
}

/// As patient as the proxy is with workspaces: an agent may be at work on an event
/// for minutes before it reads the next one.
const CALLER_TAKES_WITHIN: Duration = Duration::from_secs(5 * 60);

/// 520 to 524 are what CDNs say of an origin that is down or silent.
pub const DEFAULT_BAD_STATUSES: [u16; 8] = [502, 503, 504, 520, 521, 522, 523, 524];
