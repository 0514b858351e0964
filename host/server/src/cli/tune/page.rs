//! The front between the two mistakes, as a page of its own.

use std::fmt::Write as _;

use reprieve_lab::tune::Search;

use super::{
    found::{Found, row, shown},
    ground::Ground,
};
use crate::cli::{
    html::{self, escaped},
    scatter::{Dot, scatter},
};

/// The most points that are drawn: the front, then the cheapest.
const MAX_DOTS: usize = 200;

pub(super) fn page(ground: &Ground, search: &Search, found: &Found) -> String {
    let front = search.front();
    let mut order: Vec<usize> = front.clone();
    order.extend((0..search.points().len()).filter(|point| !front.contains(point)));
    let best = search.best();
    let dots = order.into_iter().take(MAX_DOTS).filter_map(|index| {
        let point = &search.points()[index];
        let name = match best == Some(index) {
            true => shown(&point.settings),
            false => String::new(),
        };
        Some(Dot {
            name,
            x: point.figure(|outcome| outcome.unfound_min_a_day)?.mean,
            y: point.figure(|outcome| outcome.false_a_day)?.mean,
            is_front: front.contains(&index),
        })
    });
    let title = format!("Tuned on {}", ground.name());
    let mut body = format!(
        "<header><h1>{}</h1><p class=\"hypothesis\">{}</p></header><section>",
        escaped(&title),
        escaped(&ground.about())
    );
    body += &scatter(
        "What each point costs: minutes unfound and false restarts, a workspace and day",
        ["minutes in which somebody lay dead, a day", "false restarts a day"],
        &dots.collect::<Vec<_>>(),
    );
    let _ = write!(
        body,
        "<p><strong>Recommended: {}</strong>, at {} for a restart of the living and {} for a minute \
         in which one lies dead.</p></section><section><h2>The front</h2><div \
         class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"The front\"><table><thead><tr><th>settings</th><th>time to detect</th><th>unfound min a \
         day</th><th>false a day</th><th>price</th><th>{}</th></tr></thead><tbody>",
        escaped(&shown(&found.best.settings)),
        found.price.false_restart,
        found.price.unfound_min,
        ground.runs()
    );
    for told in &found.front {
        body += "<tr>";
        for cell in row(told) {
            let _ = write!(body, "<td>{}</td>", escaped(&cell));
        }
        body += "</tr>";
    }
    body += "</tbody></table></div></section>";
    html::page(&title, &body)
}
