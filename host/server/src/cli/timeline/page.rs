//! Timelines as a page of its own: a picture of each episode, and the same as a list.

use std::fmt::Write as _;

use super::{
    Kind, Timeline,
    axis::Axis,
    draw,
    episode::{Episode, MAX_EPISODES, MAX_LANES, MAX_MARKS, episodes},
};
use crate::cli::html::{self, escaped};

/// What a page says about its timelines.
pub(in crate::cli) struct About<'a> {
    pub(in crate::cli) title: &'a str,
    pub(in crate::cli) text: &'a str,
    /// What to do to see what is left out.
    pub(in crate::cli) remedy: &'a str,
}

pub(in crate::cli) fn page(about: &About<'_>, timelines: &[Timeline]) -> String {
    let mut body = format!(
        "<header><h1>{}</h1><p class=\"hypothesis\">{}</p></header>{}",
        escaped(about.title),
        escaped(about.text),
        draw::SYMBOLS
    );
    body += &legend(timelines);
    let mut number = 0;
    for timeline in timelines {
        body += &section(timeline, about.remedy, &mut number);
    }
    body += &reasons(timelines);
    html::page(about.title, &body)
}

fn legend(timelines: &[Timeline]) -> String {
    let is_there = |kind: &Kind| {
        let mut lanes = timelines.iter().flat_map(|timeline| timeline.lanes.values());
        lanes.any(|lane| lane.marks.iter().any(|mark| mark.kind == *kind))
    };
    let mut items = String::new();
    for kind in Kind::ALL.iter().filter(|kind| is_there(kind)) {
        let (name, meaning) = kind.symbol();
        let _ = write!(
            items,
            "<li class=\"{name}\"><svg class=\"timeline\" aria-hidden=\"true\"><use \
             href=\"#{name}\" x=\"11\" y=\"10\"/></svg>{meaning}</li>"
        );
    }
    let truth = match timelines.iter().any(Timeline::is_simulated) {
        true => {
            "The band above says how a workspace was in truth, which no policy knows: a thin line \
             is healthy, hatched is slow, dashed is booting, solid is dead or hung. "
        }
        false => "What nobody recorded is not drawn. ",
    };
    format!(
        "<section><h2>How to read it</h2><ul class=\"legend\">{items}</ul><p>{truth}A line before \
         a probe is how long it took. A dot is a verdict that has no room; the list below each \
         picture has all of them.</p></section>"
    )
}

fn section(timeline: &Timeline, remedy: &str, number: &mut usize) -> String {
    let (episodes, left_out) = episodes(timeline);
    let mut text = format!("<section><h2>{}</h2>", escaped(&timeline.name));
    if episodes.is_empty() {
        text += "<p>Nothing happened.</p>";
    }
    if left_out > 0 {
        let _ = write!(
            text,
            "<p class=\"other\">Episodes in which less happened are not drawn: {left_out}. A page \
             has {MAX_EPISODES}. {remedy}</p>"
        );
    }
    if let Some((from, count)) = timeline.left_out {
        let axis = Axis { from, until: from, zero: timeline.zero };
        let _ = write!(
            text,
            "<p class=\"other\">{count} things that happened after {} are not drawn: there were too \
             many before. {remedy}</p>",
            axis.told(from)
        );
    }
    for episode in &episodes {
        *number += 1;
        text += &figure(timeline, episode, *number);
    }
    text + "</section>"
}

fn figure(timeline: &Timeline, episode: &Episode, number: usize) -> String {
    let axis = Axis { from: episode.from, until: episode.until, zero: timeline.zero };
    let title = format!("{} to {}", axis.told(episode.from), axis.told(episode.until));
    let told = summary(episode);
    let unit = match timeline.is_simulated() {
        true => "hours:minutes:seconds since the run began",
        false => "UTC",
    };
    let picture = draw::picture(episode, timeline.zero, number, [&title, &told]);
    let more = match episode.lanes_left_out {
        0 => String::new(),
        more => format!(
            "<p class=\"other\">{more} more workspaces to which less happened are not drawn: a \
             picture has {MAX_LANES}.</p>"
        ),
    };
    format!(
        "<figure><h3>{title}</h3><figcaption>{told} Times: {unit}.</figcaption>{picture}{more}{}\
         </figure>",
        list(episode, &axis)
    )
}

fn summary(episode: &Episode) -> String {
    let count = |kind| episode.marks().filter(|mark| mark.kind == kind).count();
    let falsely = count(Kind::FalseRestart);
    let parts = [
        (episode.lanes.len(), "workspace", "workspaces"),
        (count(Kind::Fault), "probe that failed", "probes that failed"),
        (count(Kind::Dead), "DEAD verdict", "DEAD verdicts"),
        (count(Kind::Restart) + falsely, "restart", "restarts"),
        (falsely, "of them false", "of them false"),
    ];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let parts = parts.map(|(count, one, many)| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    });
    parts.collect::<Vec<_>>().join(", ") + "."
}

/// The same as the picture, in words and by time.
fn list(episode: &Episode, axis: &Axis) -> String {
    let mut rows = Vec::new();
    for (who, spans) in &episode.around {
        rows.extend(spans.iter().map(|span| {
            (
                span.from,
                who.as_str(),
                format!("{}, until {}", span.told, axis.told(span.until)),
                None,
            )
        }));
    }
    let mut without_room = 0;
    for strip in &episode.lanes {
        let who = strip.workspace.as_str();
        without_room += strip.marks_left_out;
        let truths = strip.truths.iter().flatten().map(|(span, _)| ("in truth ", span));
        for (before, span) in truths.chain(strip.troubles.iter().map(|span| ("", span))) {
            let told = format!("{before}{}, until {}", span.told, axis.told(span.until));
            rows.push((span.from, who, told, None));
        }
        let marks = strip.marks.iter();
        rows.extend(marks.map(|mark| (mark.at, who, mark.told.clone(), mark.id.as_deref())));
    }
    rows.sort_by_key(|(at, ..)| *at);
    let mut text = String::new();
    for (at, who, told, id) in &rows {
        let id = id.map(|id| format!(" <span class=\"id\">{}</span>", escaped(id)));
        let _ = write!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}{}</td></tr>",
            axis.told(*at),
            escaped(who),
            escaped(told),
            id.unwrap_or_default()
        );
    }
    let without_room = match without_room {
        0 => String::new(),
        more => format!("<p>{more} marks are left out: a lane has {MAX_MARKS}.</p>"),
    };
    format!(
        "<details><summary>The same as a list: {} rows</summary>{without_room}<div class=\"wide\" \
         tabindex=\"0\" role=\"region\" aria-label=\"What happened, by time\"><table \
         class=\"list\"><thead><tr><th scope=\"col\">time</th><th scope=\"col\">workspace</th><th \
         scope=\"col\">what</th></tr></thead><tbody>{text}</tbody></table></div></details>",
        rows.len()
    )
}

fn reasons(timelines: &[Timeline]) -> String {
    let mut known: Vec<_> = timelines.iter().flat_map(|timeline| &timeline.reasons).collect();
    known.sort();
    known.dedup();
    if known.is_empty() {
        return String::new();
    }
    let entry = |(code, meaning): &(&String, &String)| {
        format!("<dt>{}</dt><dd>{}</dd>", escaped(code), escaped(meaning))
    };
    let entries: String = known.iter().map(entry).collect();
    format!("<section><h2>Reasons</h2><dl>{entries}</dl></section>")
}
