//! A real A2A agent, as a process: what a workspace runs in the examples, the
//! demo and the tests. It answers what it is told, and misbehaves on demand.
//!
//! - [`args`]: its command line
//! - [`switches`]: how it misbehaves, changed while it runs by `POST /switch`
//! - [`listener`]: connections, and those faults that are made of them
//! - [`rpc`]: the protocol's methods, generations 0.3 and 1.0
//! - [`task`]: what it did, in the words of either generation
//! - [`card`]: how it introduces itself
//! - [`beat`]: its heartbeats
//!
//! It guards nothing: whoever reaches its port may switch it. It listens on
//! loopback unless told otherwise.

mod args;
mod beat;
mod card;
mod listener;
mod rpc;
mod switches;
mod task;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    routing::{get, post},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use self::args::AgentArgs;
use self::{switches::Switches, task::Tasks};

/// As the proxy's.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What all its requests share.
#[derive(Debug)]
struct Agent {
    args: AgentArgs,
    /// Where it listens, for the card of a caller that names no host.
    address: SocketAddr,
    switches: Switches,
    tasks: Tasks,
}

/// Serves until SIGTERM or SIGINT, then lets requests under way end.
pub async fn run(args: AgentArgs) -> anyhow::Result<()> {
    let end = CancellationToken::new();
    let switches = Switches::new(&args);
    // Heard from the first moment on: a slow boot, too, can be broken off.
    let _signals = AbortOnDropHandle::new(tokio::spawn(await_signals(
        end.clone(),
        switches.ignore_term_flag(),
    )?));
    tokio::select! {
        () = sleep(Duration::from_millis(args.boot_ms)) => {}
        () = end.cancelled() => return Ok(()),
    }
    let (wanted, life) = (SocketAddr::new(args.host, args.port), args.life);
    let listener = listener::bind(wanted).with_context(|| format!("cannot listen on {wanted}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    let agent = Arc::new(Agent { args, address, switches, tasks: Tasks::new(life) });
    tracing::info!(%address, "agent listens");
    let _beating = beat::start(agent.clone())?.map(AbortOnDropHandle::new);
    listener::serve(listener, router(agent.clone()), agent, end).await
}

fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/", post(rpc::handle))
        .route("/a2a", post(rpc::handle))
        .route("/.well-known/agent-card.json", get(card::show))
        .route("/.well-known/agent.json", get(card::show))
        .route("/switch", get(show_switches).post(switches::handle))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(agent)
}

async fn show_switches(State(agent): State<Arc<Agent>>) -> axum::Json<switches::Positions> {
    axum::Json(agent.switches.positions())
}

/// Fails at once if signals cannot be heard.
fn await_signals(
    end: CancellationToken,
    ignores_term: Arc<std::sync::atomic::AtomicBool>,
) -> anyhow::Result<impl Future<Output = ()>> {
    let hear = |kind| signal(kind).context("cannot hear signals");
    let (mut term, mut interrupt) =
        (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    Ok(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = term.recv() => {
                    if !ignores_term.load(std::sync::atomic::Ordering::SeqCst) {
                        break;
                    }
                    tracing::info!("agent ignores SIGTERM, as it was told");
                }
            }
        }
        end.cancel();
    })
}
