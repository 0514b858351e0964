//! Story 1: the runtime stalls while forwards fail, and one really dies.

use std::time::Duration;

use futures::future::try_join_all;
use serde_json::json;

use super::{Findings, stage::Stage, stage::ws, timeline::Timeline};

pub(super) const FLEET: u32 = 16;
/// The one that really dies in the same second.
const KILLED: u32 = 7;
const STALL: Duration = Duration::from_secs(3);

pub(super) async fn play(stage: &Stage, timeline: &Timeline) -> anyhow::Result<Findings> {
    let before = (stage.pids(), stage.starts(), stage.delivered());
    timeline.tell("", "a batch fans out; agents drop connections, the runtime stops answering")?;
    let starved = json!({"close_early": true});
    try_join_all((1..=FLEET).map(|number| stage.switch(number, &starved))).await?;
    stage.faults.stall(true);
    stage.kill(KILLED)?;
    timeline.tell(&format!("ws-{KILLED}"), "its process is killed")?;

    let callers = (1..=FLEET).map(|number| async move {
        let got = stage.ping(number).await?;
        timeline.tell(&format!("ws-{number}"), &format!("a caller gets {}", got.words()))?;
        anyhow::Ok(got)
    });
    let got = try_join_all(callers).await?;
    tokio::time::sleep(STALL).await;
    stage.faults.stall(false);
    timeline.tell("", "the runtime answers again; the agents have air")?;
    let relieved = json!({"close_early": false});
    for number in (1..=FLEET).filter(|number| *number != KILLED) {
        stage.switch(number, &relieved).await?;
    }

    let back = stage
        .until(|stage| {
            stage.pids().get(&ws(KILLED)) != before.0.get(&ws(KILLED))
                && stage.pids().contains_key(&ws(KILLED))
        })
        .await;
    let queued = got.iter().filter(|got| got.is_queued()).count() as u64;
    let delivered = stage.until(|stage| stage.delivered() - before.2 >= queued).await;

    let mut findings = Findings::default();
    let pids = stage.pids();
    for (workspace, pid) in &before.0 {
        let lives_on = *workspace == ws(KILLED) || pids.get(workspace) == Some(pid);
        findings
            .expect(lives_on, || format!("{workspace} was alive (pid {pid}) and was restarted"));
    }
    findings.expect(back, || format!("ws-{KILLED} was dead and was not brought back"));
    let starts = stage.starts() - before.1;
    findings.expect(starts == 1, || format!("{starts} restarts instead of 1"));
    findings.expect(delivered, || format!("{queued} requests were queued and not all delivered"));
    let refused = got.iter().filter(|got| !got.is_queued() && !got.is_answered()).count();
    findings
        .expect(refused == 0, || format!("{refused} callers got neither an answer nor a place"));
    Ok(findings)
}
