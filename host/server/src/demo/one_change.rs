//! Story 2: one change of settings, and an instance that is slow to come up.

use std::time::{Duration, Instant};

use super::{
    Findings,
    stage::{SETTLE, Stage},
    timeline::Timeline,
};

/// When callers come while the instance is pending, after the one before.
const POLLS_MS: [u64; 4] = [300, 400, 600, 700];

pub(super) async fn play(stage: &Stage, timeline: &Timeline) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();

    let before = stage.starts();
    timeline.tell("ws-1", "a secret changes: its settings are revision 1")?;
    stage.revise(1, 1).await?;
    for wait in POLLS_MS {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let got = stage.ping(1).await?;
        timeline.tell("ws-1", &format!("a poll while it is pending: {}", got.words()))?;
        findings.expect(got.is_queued(), || format!("a poll got {}", got.words()));
    }
    let back = stage.until_back(1).await;
    findings.expect(back, || "after 1 change it did not come back".to_owned());
    tokio::time::sleep(SETTLE + Duration::from_secs(1)).await;
    let starts = stage.starts() - before;
    findings.expect(starts == 1, || format!("1 change brought {starts} starts"));

    let before = stage.starts();
    timeline.tell("ws-1", "two changes, 0.5 s apart")?;
    let first = Instant::now();
    stage.revise(1, 2).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.revise(1, 3).await?;
    stage.until(|stage| stage.starts() - before >= 2).await;
    let apart = first.elapsed();
    let back = stage.until_back(1).await;
    findings.expect(back, || "after 2 changes it did not come back".to_owned());
    tokio::time::sleep(SETTLE + Duration::from_secs(1)).await;
    let starts = stage.starts() - before;
    findings.expect(starts == 2, || format!("2 changes brought {starts} starts"));
    findings.expect(apart >= SETTLE.mul_f64(0.9), || {
        format!("the second start came {:.1} s after the first", apart.as_secs_f64())
    });
    Ok(findings)
}
