//! The scoreboard as a page of its own, with a plot for each scenario.

use std::fmt::Write as _;

use reprieve_lab::{
    Scenario,
    score::{Detected, Score, Scoreboard},
};

use super::{
    about,
    columns::{COLUMNS, Column, OVERALL},
};
use crate::cli::{
    html::{self, escaped},
    scatter::{Dot, scatter},
};

pub(super) fn page(board: &Scoreboard, scenarios: &[Scenario]) -> String {
    let mut body = "<header><h1>Scoreboard</h1><p class=\"hypothesis\">Who finds the dead sooner, \
                    and restarts fewer of the living? Lower and further to the left is better; \
                    nobody on the front, whose dots are full, is beaten in both.</p></header>"
        .to_owned();
    let by_scenario = board.by_scenario();
    if by_scenario.len() > 1 {
        body += "<section><h2>All scenarios</h2>";
        body += &table(board, &OVERALL, &board.overall());
        body += &meanings(&OVERALL);
        body += "</section>";
    }
    for (name, scores) in by_scenario {
        let about = about(scenarios, name);
        let _ = write!(body, "<section><h2>{}</h2><p>{}</p>", escaped(name), escaped(about));
        body += &plot(board, &scores);
        body += &table(board, &COLUMNS, scores);
        body += "</section>";
    }
    let _ = write!(body, "<section><h2>Columns</h2>{}</section>", meanings(&COLUMNS));
    html::page("Scoreboard", &body)
}

fn plot(board: &Scoreboard, scores: &[&Score]) -> String {
    let dots = scores.iter().filter_map(|score| {
        let Detected::After(length) = score.detect_p50 else { return None };
        Some(Dot {
            name: score.policy.clone(),
            x: length.0 as f64 / 1e3,
            y: score.false_restarts_a_day.mean,
            is_front: board.better_than(score).is_empty(),
        })
    });
    let unfound: Vec<_> = scores
        .iter()
        .filter(|score| matches!(score.detect_p50, Detected::Never))
        .map(|score| escaped(&score.policy))
        .collect();
    let unfound = match &unfound[..] {
        [] => String::new(),
        some => {
            format!("<p>Not drawn, as half of the dead are never found: {}.</p>", some.join(", "))
        }
    };
    let plot = scatter(
        "Median time to detect (s) and false restarts a workspace-day",
        ["time to detect, s", "false restarts a workspace-day"],
        &dots.collect::<Vec<_>>(),
    );
    plot + &unfound
}

fn table<'a, T: 'a>(
    board: &Scoreboard,
    columns: &[Column<T>],
    rows: impl IntoIterator<Item = &'a T>,
) -> String {
    let mut text = "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"All \
                    figures\"><table><thead><tr>"
        .to_owned();
    for column in columns {
        let _ = write!(text, "<th scope=\"col\">{}</th>", column.heading);
    }
    text += "</tr></thead><tbody>";
    for row in rows {
        text += "<tr>";
        for column in columns {
            let _ = write!(text, "<td>{}</td>", escaped(&(column.cell)(board, row)));
        }
        text += "</tr>";
    }
    text + "</tbody></table></div>"
}

fn meanings<T>(columns: &[Column<T>]) -> String {
    let mut text = "<dl>".to_owned();
    for column in columns {
        let meaning = column.meaning.replace('\\', "");
        let _ = write!(text, "<dt>{}</dt><dd>{}</dd>", column.heading, escaped(&meaning));
    }
    text + "</dl>"
}
