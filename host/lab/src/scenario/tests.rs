use super::*;

const FLEET: &str =
    "name = \"x\"\nabout = \"y\"\nlasts = \"1h\"\n[[workspaces]]\ncount = 4\nnodes = 2\n";

#[test]
fn a_scenario_needs_little() {
    let scenario = Scenario::parse(FLEET).unwrap();
    assert_eq!((scenario.workspaces(), scenario.hosts, scenario.events.len()), (4, 1, 0));
}

#[test]
fn what_cannot_be_is_refused_with_its_line_and_field() {
    for (case, text, expected) in [
        (
            "no workspace",
            "name = \"x\"\nabout = \"y\"\nlasts = \"1h\"\n[[workspaces]]\ncount = 0\n",
            &["line 5", "workspaces.count"][..],
        ),
        ("an unknown key", "name = \"x\"\nabot = \"y\"\n", &["line 2", "abot"]),
        (
            "a share above 1",
            &format!("{FLEET}restart_refused = 1.5\n"),
            &["line 7", "1.5 is no share"],
        ),
        ("no unit", &format!("{FLEET}boot = \"5\"\n"), &["line 7"]),
        ("a range upside down", &format!("{FLEET}boot = [\"9s\", \"2s\"]\n"), &["line 7"]),
        (
            "more nodes than workspaces",
            &FLEET.replace("nodes = 2", "nodes = 5"),
            &["line 6", "workspaces.nodes"],
        ),
        (
            "an event after the end",
            &format!("{FLEET}[[event]]\nwhat = \"crash\"\nat = \"2h\"\n"),
            &["line 9", "event.at", "1h"],
        ),
        (
            "an event that never happens",
            &format!("{FLEET}[[event]]\nwhat = \"crash\"\n"),
            &["line 8", "event.at"],
        ),
        (
            "nobody",
            &format!("{FLEET}[[event]]\nwhat = \"crash\"\nat = \"1s\"\nwho = \"ws-9\"\n"),
            &["line 10", "event.who", "ws-4"],
        ),
        (
            "what does not belong",
            &format!("{FLEET}[[event]]\nwhat = \"crash\"\nat = \"1s\"\nfault = \"denied\"\n"),
            &["line 10", "event.fault", "crash"],
        ),
        (
            "how long is missing",
            &format!("{FLEET}[[event]]\nwhat = \"stall\"\nat = \"1s\"\n"),
            &["line 8", "event.for"],
        ),
        (
            "a host that is not there",
            &format!("{FLEET}[[event]]\nwhat = \"pause\"\nat = \"1s\"\nfor = \"9s\"\nhost = 2\n"),
            &["line 11", "event.host"],
        ),
        (
            "beats without end",
            &format!("{FLEET}beats = {{ every = \"0ms\" }}\n"),
            &["line 7", "workspaces.beats"],
        ),
    ] {
        let refused = Scenario::parse(text).unwrap_err().to_string();
        for part in expected {
            assert!(refused.contains(part), "{case}: {refused}");
        }
    }
}
