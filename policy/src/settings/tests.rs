use super::*;

fn problems(json: &str) -> Vec<(String, String)> {
    let problems = Settings::parse(json).err().unwrap_or_default();
    problems.into_iter().map(|problem| (problem.path, problem.message)).collect()
}

#[test]
fn absent_keys_have_their_defaults() {
    assert_eq!(Settings::parse("{}"), Ok(Settings::default()));
    let settings = Settings::parse(r#"{"settle": "90s", "panic_threshold": "40%"}"#);
    let expected =
        Settings { settle: secs(90), panic_threshold: Percent(40), ..Settings::default() };
    assert_eq!(settings, Ok(expected));
}

#[test]
fn the_defaults_do_not_contradict_each_other() {
    let mut reader = Reader::new("{}").unwrap();
    Settings::default().refuse_contradictions(&mut reader);
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (json, path, message) in [
        (
            r#"{"recent_heartbeat": "2min"}"#,
            "recent_heartbeat",
            "2min is more than `recent_heartbeat_max`, 1min",
        ),
        (
            r#"{"recent_heartbeat_max": "10s"}"#,
            "recent_heartbeat",
            "15s is more than `recent_heartbeat_max`, 10s",
        ),
        (
            r#"{"restart_backoff_max": "5s"}"#,
            "restart_backoff",
            "10s is more than `restart_backoff_max`, 5s",
        ),
    ] {
        assert_eq!(problems(json), [(path.to_string(), message.to_string())], "{json}");
    }
}

#[test]
fn every_problem_is_reported_with_its_path() {
    let found = problems(
        r#"{"settle": 60, "reprobe_delay": "2h", "panic_threshold": "0%", "settel": "60s"}"#,
    );
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["settle", "reprobe_delay", "panic_threshold", "settel"]);
}
