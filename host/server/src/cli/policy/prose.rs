//! The host's answers about policies, for people.

use std::fmt::Write as _;

use reprieve_core::time::UnixMillis;
use serde_json::Value;

use crate::cli::{
    explain::facts,
    output::{self, BAD, CAREFUL, FAINT, GOOD, HEADING},
    table,
};

pub(super) fn status(status: &Value) -> String {
    let active = &status["active"];
    let in_force = list(&status["generations"]).first();
    let mut out = format!(
        "{} judges: generation {}, revision {}\n",
        output::styled(HEADING, &words(&active["policy"])),
        in_force.map_or(&Value::Null, |generation| &generation["number"]),
        status["revision"],
    );
    let mut line = |what: &str, text: String| {
        let _ = writeln!(out, "  {what:<10} {text}");
    };
    line(
        "component",
        format!("sha256:{} from {}", words(&active["component"]), words(&active["source"])),
    );
    line("since", activated(active));
    let before = &status["before"];
    if !before.is_null() {
        line("before", format!("{} {}", words(&before["policy"]), short(&before["component"])));
    }
    let loaded = &status["loaded"];
    if !loaded.is_null() {
        let waits = format!(
            "{} {} from {}, to be activated",
            words(&loaded["policy"]),
            short(&loaded["component"]),
            words(&loaded["source"])
        );
        line("waits", waits);
    }
    for kept in list(&status["kept"]) {
        line("kept", format!("{} {}", short(&kept["component"]), words(&kept["policy"])));
    }
    let difference = &status["difference"];
    if !difference.is_null() {
        let _ = writeln!(
            out,
            "{} {} is wanted, and does not judge\n  {}",
            output::styled(BAD, "differs:"),
            words(&difference["wanted"]),
            words(&difference["why"])
        );
    }
    for alert in list(&status["alerts"]) {
        let code = words(&alert["code"]);
        let text = words(&alert["message"]);
        let _ = writeln!(out, "{} {code}: {text}", output::styled(CAREFUL, "alert:"));
    }
    if !status["passage"].is_null() {
        let source = words(&status["passage"]["source"]);
        let _ = writeln!(out, "{}", output::styled(FAINT, &format!("the newest way: {source}")));
        out += &steps(status);
    }
    out
}

/// The answer to a load that is not activated at once.
pub(super) fn loaded(loaded: &Value) -> String {
    let component = short(&loaded["component"]);
    steps(loaded)
        + &format!(
            "{} {} {component} is kept, and judges nothing yet. Put it in force with\n  reprieve \
             policy activate {component} --why '…'\n",
            output::styled(GOOD, "OK:"),
            words(&loaded["policy"]),
        )
}

pub(super) fn in_force(done: &Value) -> String {
    let named = |activation: &Value| {
        format!("{} {}", words(&activation["policy"]), short(&activation["component"]))
    };
    let before = match &done["before"] {
        Value::Null => String::new(),
        before if before["component"] == done["active"]["component"] => ", as before".to_owned(),
        before => format!(", and {} no more", named(before)),
    };
    steps(done)
        + &format!(
            "{} {} judges{before}: generation {}, revision {}. Back with\n  reprieve policy \
             rollback --why '…'\n",
            output::styled(GOOD, "OK:"),
            named(&done["active"]),
            done["generation"],
            done["revision"],
        )
}

/// The way that a component has come, a line a step.
pub(super) fn steps(answer: &Value) -> String {
    let passage = &answer["passage"];
    let took = |step: &Value| {
        let took_us = step["took_us"].as_u64().unwrap_or_default();
        format!("{}.{} ms", took_us / 1_000, took_us % 1_000 / 100)
    };
    let mut rows: Vec<_> = list(&passage["taken"])
        .iter()
        .map(|step| [words(&step["step"]), took(step), words(&step["found"])])
        .collect();
    let failed = &passage["failed"];
    if !failed.is_null() {
        rows.push([words(&failed["step"]), "refused".to_owned(), words(&failed["why"])]);
    }
    table::print(["step", "took", "found"], &rows, |column, cell| {
        (column == 1 && cell == "refused").then_some(BAD)
    })
}

fn activated(activation: &Value) -> String {
    let at = UnixMillis(activation["at_ms"].as_u64().unwrap_or_default());
    let how = words(&activation["how"]);
    let (by, why) = (words(&activation["by"]), words(&activation["why"]));
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("{}, {how} by {by}{why}", facts::date(at))
}

/// The beginning of a digest.
fn short(component: &Value) -> String {
    words(component).chars().take(12).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or nothing. A policy's own words are not obeyed by terminals.
fn words(value: &Value) -> String {
    output::plain(value.as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn digest(digit: char) -> String {
        std::iter::repeat_n(digit, 64).collect()
    }

    #[test]
    fn a_status_tells_what_judges_what_is_wanted_and_why_they_differ() {
        let told = status(&json!({
            "revision": 3,
            "active": {"component": digest('a'), "policy": "default 0.1.0", "source": "default (built in)",
                "how": "rolled-back", "at_ms": 1_764_000_000_000_u64, "by": "ana", "why": "it restarts nobody"},
            "before": {"component": digest('b'), "policy": "mine 0.2.0"},
            "difference": {"wanted": "uploaded", "active": "default 0.1.0 from default (built in)",
                "why": "imports: the policy imports wasi:io/poll"},
            "alerts": [{"code": "policy-not-as-configured", "message": "uploaded is wanted"}],
            "passage": {"source": "uploaded",
                "taken": [{"step": "fetch", "took_us": 12_345, "found": "18123 bytes"}],
                "failed": {"step": "imports", "why": "the policy imports wasi:io/poll"}},
            "generations": [{"number": 7}],
            "kept": [{"component": digest('a'), "policy": "default 0.1.0"},
                {"component": digest('b'), "policy": "mine 0.2.0"}],
        }));
        insta::assert_snapshot!(plain(&told));
    }

    #[test]
    fn an_activation_tells_how_to_take_it_back() {
        let told = in_force(&json!({
            "revision": 2, "generation": 4,
            "active": {"component": digest('b'), "policy": "mine \u{1b}[2J"},
            "before": {"component": digest('a'), "policy": "default 0.1.0"},
            "passage": {"source": "uploaded",
                "taken": [{"step": "activate", "took_us": 900, "found": "generation 4"}]},
        }));
        insta::assert_snapshot!(plain(&told));
    }
}
