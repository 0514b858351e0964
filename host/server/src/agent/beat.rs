//! The agent's heartbeats to the proxy in front of it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::Agent;

/// A beat that is not taken so soon is given up; the next one follows anyway.
const BEAT_WAIT: Duration = Duration::from_secs(2);

/// None: nobody wants them.
pub(super) fn start(agent: Arc<Agent>) -> anyhow::Result<Option<JoinHandle<()>>> {
    let Some(base) = agent.args.heartbeat_url.clone() else { return Ok(None) };
    ensure!(base.scheme() == "http", "heartbeats go to http addresses only, not to {base}");
    let base = base.as_str().trim_end_matches('/');
    let target = format!("{base}/workspaces/{}/heartbeat", agent.args.name);
    let target: http::Uri =
        target.parse().with_context(|| format!("{target:?} is no address for heartbeats"))?;
    Ok(Some(tokio::spawn(beat(agent, target))))
}

async fn beat(agent: Arc<Agent>, target: http::Uri) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut ticks = interval(Duration::from_millis(agent.args.beat_every_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_taken = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Capacity came free, for example: the proxy's queue waits for it.
            () = agent.switches.news.notified() => {}
        }
        if !agent.switches.positions().beats {
            continue;
        }
        let sent = send(&client, &agent, &target).await;
        match &sent {
            Ok(()) if !was_taken => tracing::info!("heartbeats are taken again"),
            Err(error) if was_taken => tracing::warn!("heartbeat was not taken: {error:#}"),
            Ok(()) | Err(_) => {}
        }
        was_taken = sent.is_ok();
    }
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    agent: &Agent,
    target: &http::Uri,
) -> anyhow::Result<()> {
    let positions = agent.switches.positions();
    let spare_capacity = if positions.busy || positions.hang {
        0
    } else {
        agent.args.capacity.saturating_sub(agent.tasks.under_way())
    };
    let mut body = json!({ "spare_capacity": spare_capacity });
    if let Some(life) = agent.args.life {
        body["life"] = json!(life);
    }
    let mut request =
        Request::post(target.clone()).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = &agent.args.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::from(body.to_string()))?;
    let response = timeout(BEAT_WAIT, client.request(request))
        .await
        .with_context(|| format!("no answer within {BEAT_WAIT:?}"))??;
    ensure!(response.status().is_success(), "the proxy answered {}", response.status());
    Ok(())
}
