//! How far the host has come with a policy, on a terminal, while one waits.

use std::{io::IsTerminal as _, pin::pin, time::Duration};

use reprieve_runtime::registry::Step;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::cli::{client::AdminClient, output, progress::Progress};

/// What ends sooner needs no telling.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits for what was asked. Where nobody watches, nothing is told.
pub(super) async fn told_until_done<T>(client: &AdminClient, asked: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return asked.await;
    }
    let (progress, began) = (Progress::begin(), Instant::now());
    let mut look = interval_at(began + LOOK_EVERY, LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = pin!(asked);
    loop {
        tokio::select! {
            done = &mut asked => return done,
            _ = look.tick() => {}
        }
        let meanwhile = async {
            let status = client.get::<Value>("policies").await.ok();
            let under_way = status.and_then(|status| under_way(&status["passage"]));
            let line = |what| format!("{what}, {} s", began.elapsed().as_secs());
            progress.tell(|| under_way.map_or_else(String::new, line));
        };
        tokio::select! {
            done = &mut asked => return done,
            () = meanwhile => {}
        }
    }
}

/// None: nothing is.
fn under_way(passage: &Value) -> Option<String> {
    if !passage["failed"].is_null() {
        return None;
    }
    let source = output::plain(passage["source"].as_str()?);
    let newest = passage["taken"].as_array()?.last();
    let newest = newest.and_then(|taken| taken["step"].as_str());
    let position = Step::ALL.iter().position(|step| Some(step.as_str()) == newest);
    let next = Step::ALL.get(position.map_or(0, |position| position + 1))?;
    Some(format!("{source}: {}", next.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_under_way_is_the_step_after_the_newest() {
        let passage = |taken: &[&str]| {
            let taken: Vec<_> = taken.iter().map(|step| json!({"step": step})).collect();
            json!({"source": "uploaded", "taken": taken})
        };
        for (taken, expected) in [
            (&[][..], Some("uploaded: fetch")),
            (&["fetch", "digest", "signature", "imports"], Some("uploaded: compile")),
            (&["settings"], Some("uploaded: golden")),
            (&["settings", "golden", "activate"], None),
        ] {
            assert_eq!(under_way(&passage(taken)).as_deref(), expected, "{taken:?}");
        }
        let mut failed = passage(&["fetch"]);
        failed["failed"] = json!({"step": "digest"});
        assert_eq!(under_way(&failed), None);
        assert_eq!(under_way(&Value::Null), None);
    }
}
