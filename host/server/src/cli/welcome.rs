//! What the host says once it runs: where everything is, and three lines to try.

use std::path::PathBuf;

use reprieve_core::ids::WorkspaceId;
use url::Url;

use super::output::{self, BAD, CAREFUL, GOOD, HEADING};

/// What is running.
#[derive(Clone, Debug)]
pub struct Welcome {
    pub proxy: Url,
    pub admin: Url,
    pub state_dir: PathBuf,
    /// The policy's name and version.
    pub policy: String,
    pub workspaces: Vec<WorkspaceId>,
    /// Containers that name a workspace join them.
    pub containers: bool,
    /// The workspaces are `reprieve agent`s, which can be told to misbehave.
    pub try_it: bool,
}

const PING: &str = r#"{"method":"message/send","params":{"message":{"role":"user","parts":[{"kind":"text","text":"ping"}]}}}"#;

/// Prints it. A standard output that has gone away does not stop the host.
pub fn welcome(welcome: &Welcome) {
    let _ = output::print(&text(welcome));
}

fn text(welcome: &Welcome) -> String {
    let Welcome { proxy, admin, state_dir, policy, workspaces, containers, try_it } = welcome;
    let names: Vec<_> = workspaces.iter().map(WorkspaceId::as_str).collect();
    let mut listed = names.clone();
    if *containers {
        listed.push("containers with a label reprieve.workspace");
    }
    let mut text = format!(
        "{}\n  proxy      {proxy}workspaces/<name>/a2a\n  workspaces {}\n  policy     {policy}\n  operator   {admin} (reprieve workspaces, restart, pause, …)\n  state      {}\n",
        output::styled(HEADING, "Reprieve runs."),
        if listed.is_empty() { "none configured".into() } else { listed.join(", ") },
        state_dir.display(),
    );
    if let (true, [alive, busy, dead, ..]) = (*try_it, names.as_slice()) {
        text += &scenes(proxy, alive, busy, dead);
    }
    text
}

/// One line for each of the three answers. Each works on its own.
fn scenes(proxy: &Url, alive: &str, busy: &str, dead: &str) -> String {
    let at = |name: &str, path: &str| format!("{proxy}workspaces/{name}/{path}");
    format!(
        "
{alive_label}  it answers PONG:
  curl --json '{PING}' {alive_a2a}

{busy_label}   it closes the connection on a request and is left alone: 202, and a queue_id.
  curl --json '{{\"close_early\":true}}' {busy_switch} --next -i --json '{PING}' {busy_a2a} --next --json '{{\"close_early\":false}}' {busy_switch}
  The answer is there after its next heartbeat (5 s):
  curl {busy_queue}<queue_id>

{dead_label}   it crashes; the next request finds out, 503 restarting; the one after gets PONG.
  curl --json '{{\"crash\":true}}' {dead_switch}; sleep 1; curl -i --json '{PING}' {dead_a2a}

Why it was judged so: reprieve explain last
",
        alive_label = output::styled(GOOD, "ALIVE"),
        busy_label = output::styled(CAREFUL, "BUSY"),
        dead_label = output::styled(BAD, "DEAD"),
        alive_a2a = at(alive, "a2a"),
        busy_switch = at(busy, "switch"),
        busy_a2a = at(busy, "a2a"),
        busy_queue = at(busy, "queue/"),
        dead_switch = at(dead, "switch"),
        dead_a2a = at(dead, "a2a"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(names: &[&str]) -> Welcome {
        Welcome {
            proxy: Url::parse("http://127.0.0.1:8484/").unwrap(),
            admin: Url::parse("http://127.0.0.1:8485/").unwrap(),
            state_dir: "/var/lib/reprieve".into(),
            policy: "default 0.1.0".into(),
            workspaces: names.iter().map(|name| name.parse().unwrap()).collect(),
            containers: false,
            try_it: true,
        }
    }

    #[test]
    fn a_newcomer_is_shown_all_three_answers() {
        let text = text(&running(&["alpha", "beta", "gamma"]));
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
    }

    #[test]
    fn a_fleet_without_test_agents_is_shown_no_tricks() {
        let quiet = Welcome { try_it: false, ..running(&["alpha", "beta", "gamma"]) };
        assert!(!text(&quiet).contains("curl"));
        assert!(!text(&running(&["alpha"])).contains("curl"));
    }
}
