//! A process that is frozen (SIGSTOP) and one that is slow, both real, side by
//! side: the runtime says of both that they run, and only one of them lives.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use http::{Method, StatusCode};
use reprieve_tests::Program;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Minutes of the default policy, as seconds.
const CONFIG: &str = "
proxy.idle_timeout = \"500ms\"
[policy.settings]
settle = \"300ms\"
restart_debounce = \"300ms\"
recent_heartbeat = \"1s\"
reprobe_delay = \"200ms\"
liveness_ttl = \"3s\"
busy_retry_after = \"1s\"
[workspaces.frozen]
command = [\"{reprieve}\", \"agent\", \"--beat-every-ms\", \"100\"]
stop_grace = \"1s\"
[workspaces.slow]
command = [\"{reprieve}\", \"agent\", \"--beat-every-ms\", \"100\"]
stop_grace = \"1s\"
";

fn ping() -> Value {
    json!({"parts": [{"kind": "text", "text": "ping"}]})
}

async fn answers(program: &Program, workspace: &str) -> bool {
    let got = program.send(Method::POST, &format!("{workspace}/a2a"), &ping()).await;
    got.is_some_and(|(status, _)| status == StatusCode::OK)
}

#[tokio::test]
async fn a_frozen_process_is_busy_until_its_silence_convicts_it_and_a_slow_one_is_never_touched() {
    let program = Program::new(CONFIG);
    let host = program.start();
    program.until_up().await;
    program.until("the frozen one answers", || answers(&program, "frozen")).await;
    program.until("the slow one answers", || answers(&program, "slow")).await;
    let before = program.children();

    // Longer than the proxy waits, and far longer than the silence that convicts:
    // but it beats.
    program.send(Method::POST, "slow/switch", &json!({"late_ms": 6_000})).await.unwrap();
    let pid = Pid::from_raw(before["frozen"][0].cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();

    let (status, queued) = program.send(Method::POST, "frozen/a2a", &ping()).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{queued}");
    assert_eq!(program.children(), before, "one failed request convicts nobody");
    let (request, id) = (ping(), queued["queue_id"].as_str().unwrap().to_owned());
    let slow = program.send(Method::POST, "slow/a2a", &request);
    let verdict = async {
        let is_another = || async {
            program.children().get("frozen").is_some_and(|pids| *pids != before["frozen"])
        };
        program.until("the frozen one is restarted", is_another).await;
        let path = format!("frozen/queue/{id}");
        let is_delivered = || async {
            let item = program.send(Method::GET, &path, &Value::Null).await;
            item.is_some_and(|(_, item)| item["state"] == "delivered")
        };
        program.until("the new life answers what was queued", is_delivered).await;
    };
    let (slow, ()) = tokio::join!(slow, verdict);

    let (status, body) = slow.unwrap();
    assert!([StatusCode::OK, StatusCode::ACCEPTED].contains(&status), "{status}: {body}");
    assert_eq!(program.children()["slow"], before["slow"], "it was slow, not dead");
    host.end().await;
}
