//! Story 3: one false reading, a moment after a healthy answer.

use std::time::Duration;

use serde_json::json;

use super::{
    Findings,
    stage::{SETTLE, Stage, ws},
    timeline::Timeline,
};

/// Callers, a second apart, within whom a dead one must be back.
const CALLERS: u32 = 10;

/// False readings in a row while the workspace beats.
const FALSE_READINGS: u32 = 4;

pub(super) async fn play(stage: &Stage, timeline: &Timeline) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    settling(stage, timeline, &mut findings).await?;
    stage.until_answered(1).await?;
    tokio::time::sleep(SETTLE + Duration::from_secs(1)).await;
    beating(stage, timeline, &mut findings).await?;
    stage.until_answered(1).await?;
    tokio::time::sleep(SETTLE + Duration::from_secs(1)).await;
    dead(stage, timeline, &mut findings).await?;
    Ok(findings)
}

/// One false reading within the settle window.
async fn settling(
    stage: &Stage,
    timeline: &Timeline,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    timeline.tell("ws-1", "its settings change, it restarts")?;
    let before = stage.starts();
    stage.revise(1, 1).await?;
    stage.until(|stage| stage.starts() > before).await;
    stage.until_answered(1).await?;
    timeline.tell("ws-1", "PONG")?;
    let (pids, looks) = (stage.pids(), stage.faults.looks(&ws(1)));
    stage.switch(1, &json!({"close_early": true})).await?;
    stage.faults.lie(&ws(1), 2);
    tokio::time::sleep(Duration::from_millis(70)).await;
    let got = stage.ping(1).await?;
    timeline.tell("ws-1", &format!("70 ms later a forward fails: {}", got.words()))?;
    let looked = stage.faults.looks(&ws(1)) - looks;
    stage.faults.lie(&ws(1), 0);
    calm(stage).await;
    findings.expect(got.is_queued(), || format!("while it settled a caller got {}", got.words()));
    findings.expect(looked == 0, || format!("while it settled it was probed {looked} times"));
    findings.expect(stage.pids() == pids, || "it was settling, and was killed".to_owned());
    Ok(())
}

/// False readings in a row about a workspace that beats.
async fn beating(
    stage: &Stage,
    timeline: &Timeline,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let pids = stage.pids();
    for _ in 0..FALSE_READINGS {
        stage.switch(1, &json!({"close_early": true})).await?;
        stage.faults.lie(&ws(1), 1);
        let got = stage.ping(1).await?;
        timeline.tell("ws-1", &format!("it beats and \"does not run\": {}", got.words()))?;
        stage.faults.lie(&ws(1), 0);
        findings.expect(got.is_queued(), || format!("while it beat a caller got {}", got.words()));
        calm(stage).await;
    }
    findings.expect(stage.pids() == pids, || "it was beating, and was killed".to_owned());
    Ok(())
}

/// The property that must not be lost: who is really dead is found at once.
async fn dead(stage: &Stage, timeline: &Timeline, findings: &mut Findings) -> anyhow::Result<()> {
    let pids = stage.pids();
    stage.kill(1)?;
    timeline.tell("ws-1", "now its process is really killed")?;
    let is_back = || stage.pids().get(&ws(1)).is_some_and(|pid| Some(pid) != pids.get(&ws(1)));
    for _ in 0..CALLERS {
        let got = stage.ping(1).await?;
        timeline.tell("ws-1", &format!("a caller gets {}", got.words()))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if is_back() {
            break;
        }
    }
    let back = is_back();
    findings.expect(back, || "it was dead, and was not brought back".to_owned());
    if back {
        stage.until_answered(1).await?;
        timeline.tell("ws-1", "PONG")?;
    }
    Ok(())
}

/// The agent behaves again. It may be restarting, and then it does anyway.
async fn calm(stage: &Stage) {
    let _ = stage.switch(1, &json!({"close_early": false})).await;
}
