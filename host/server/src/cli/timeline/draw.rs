//! An episode in SVG. What lies along the axis is in percent and what is written is in
//! pixels, so that a telephone shows the same with texts as large.
//!
//! No colour says anything alone: verdicts are letters, probes are shapes, what was true
//! is written beside it.

use std::fmt::Write as _;

use super::{
    Kind, Line, Mark, Span, Zero,
    axis::Axis,
    episode::{Episode, Strip},
    gather::truth_name,
};
use crate::cli::html::escaped;

/// Heights in pixels.
const AXIS: f64 = 22.0;
const NAME: f64 = 20.0;
const BAND: f64 = 16.0;
const RESTARTS: f64 = 14.0;
const SIGNS: f64 = 12.0;
const PROBES: f64 = 14.0;
const VERDICTS: f64 = 19.0;
const GAP: f64 = 14.0;
/// Verdicts that are no nearer than this, in percent, stand beside each other.
const APART: f64 = 2.7;
/// The most lines of verdicts in a lane; those that have no room are dots.
const MAX_LINES: usize = 3;
/// What is written into a span needs so much of the width for each letter.
const LETTER: f64 = 2.1;
/// Classes of spans. What is healthy is a thin line without a name.
const HEALTHY: &str = "healthy";
const TROUBLE: &str = "trouble";
/// Beyond it, what is written beside a mark stands on its left.
const RIGHT: f64 = 75.0;

/// Shapes, which pictures and the legend refer to. Styles reach into them by their own
/// classes alone.
pub(super) const SYMBOLS: &str = include_str!("symbols.svg");

/// `number` tells the pictures of a page apart.
pub(super) fn picture(episode: &Episode, zero: Zero, number: usize, told: [&str; 2]) -> String {
    let axis = Axis { from: episode.from, until: episode.until, zero };
    let mut drawn = String::new();
    let mut y = AXIS;
    for (who, spans) in &episode.around {
        name(&mut drawn, who, y);
        y += NAME;
        bands(&mut drawn, &axis, spans.iter().map(|span| (span, TROUBLE)), y);
        y += BAND + GAP;
    }
    for strip in &episode.lanes {
        y = lane(&mut drawn, &axis, strip, y) + GAP;
    }
    let ticks = ticks(&axis, y);
    let [title, description] = told.map(escaped);
    format!(
        "<svg class=\"timeline\" height=\"{height}\" role=\"img\" \
         aria-labelledby=\"title-{number} told-{number}\"><title \
         id=\"title-{number}\">{title}</title><desc id=\"told-{number}\">{description}</desc>\
         {ticks}{drawn}</svg>",
        height = y + AXIS
    )
}

/// Times above and below, and a line for each.
fn ticks(axis: &Axis, bottom: f64) -> String {
    let mut drawn = String::new();
    for (moment, label) in axis.ticks() {
        let x = axis.at(moment);
        let anchor = Axis::anchor(x);
        let _ = write!(
            drawn,
            "<line class=\"grid\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{AXIS}\" y2=\"{bottom}\"/>\
             <text class=\"{anchor}\" x=\"{x:.2}%\" y=\"14\">{label}</text>\
             <text class=\"{anchor}\" x=\"{x:.2}%\" y=\"{below}\">{label}</text>",
            below = bottom + 16.0
        );
    }
    drawn
}

/// Returns where it ends.
fn lane(drawn: &mut String, axis: &Axis, strip: &Strip, top: f64) -> f64 {
    name(drawn, &heading(strip), top);
    let mut y = top + NAME;
    let began = y;
    let mut lines = String::new();
    let of = |line| strip.marks.iter().filter(move |mark| mark.kind.line() == line);
    if of(Line::Whole).next().is_some() {
        y += RESTARTS;
    }
    if let Some(truths) = &strip.truths {
        let bands = truths.iter().map(|(span, truth)| (span, truth_name(*truth)));
        self::bands(&mut lines, axis, bands, y);
        y += BAND + 3.0;
    }
    if !strip.troubles.is_empty() {
        bands(&mut lines, axis, strip.troubles.iter().map(|span| (span, TROUBLE)), y);
        y += BAND + 3.0;
    }
    for (line, height) in [(Line::Signs, SIGNS), (Line::Probes, PROBES)] {
        if of(line).next().is_some() {
            of(line).for_each(|mark| symbol(&mut lines, axis, mark, y + height / 2.0));
            y += height;
        }
    }
    y += verdicts(&mut lines, axis, strip, y);
    of(Line::Whole).for_each(|mark| restart(drawn, axis, mark, began, y));
    *drawn += &lines;
    y
}

fn heading(strip: &Strip) -> String {
    let count = |kind| strip.marks.iter().filter(|mark| mark.kind == kind).count();
    let mut told = strip.workspace.clone();
    if let Some(tenant) = &strip.tenant {
        let _ = write!(told, " of {tenant}");
    }
    let falsely = count(Kind::FalseRestart);
    for (count, what) in [
        (count(Kind::Fault), "probe fault"),
        (count(Kind::Dead), "DEAD verdict"),
        (count(Kind::Restart) + falsely, "restart"),
        (falsely, "of them false"),
    ] {
        if count > 0 {
            let ending = if count == 1 || what == "of them false" { "" } else { "s" };
            let _ = write!(told, " · {count} {what}{ending}");
        }
    }
    if strip.marks_left_out > 0 {
        let _ = write!(told, " · {} marks not drawn", strip.marks_left_out);
    }
    told
}

fn name(drawn: &mut String, text: &str, y: f64) {
    let _ =
        write!(drawn, "<text class=\"name\" x=\"0\" y=\"{}\">{}</text>", y + 13.0, escaped(text));
}

/// What was so one after the other, each with its name where there is room: within,
/// behind or before it, as far as nothing else is drawn.
fn bands<'a>(
    drawn: &mut String,
    axis: &Axis,
    spans: impl Iterator<Item = (&'a Span, &'a str)>,
    y: f64,
) {
    let mut named: Vec<(f64, f64, &str)> = Vec::new();
    for (span, class) in spans {
        let (from, until) = (axis.at(span.from), axis.at(span.until));
        let _ = write!(
            drawn,
            "<g class=\"is-{class}\"><title>{}: {} to {}</title><rect x=\"{from:.2}%\" \
             y=\"{y}\" width=\"{:.2}%\" height=\"{BAND}\"/></g>",
            escaped(&span.told),
            axis.told(span.from),
            axis.told(span.until),
            (until - from).max(0.2)
        );
        if class != HEALTHY {
            named.push((from, until, &span.told));
        }
    }
    // Nothing that is drawn later covers a name.
    let mut taken = 0.0;
    for (nth, (from, until, told)) in named.iter().copied().enumerate() {
        let next = named.get(nth + 1).map_or(100.0, |(next, ..)| *next);
        let short = told.split(": ").next().unwrap_or_default();
        let places = |word| {
            let before = (word, from, "word figure", from - taken);
            [(word, from, "word", until - from), (word, until, "word", next - until), before]
        };
        let needed = |word: &str| LETTER * word.chars().count() as f64;
        let mut places = [told, short].into_iter().flat_map(places);
        let fitting = places.find(|(word, .., room)| *room >= needed(word));
        taken = until;
        if let Some((word, at, class, _)) = fitting {
            let (word, y, dx) = (escaped(word), y + 12.0, if class == "word" { 4 } else { -4 });
            if at >= until {
                taken = until + needed(told);
            }
            let _ = write!(
                drawn,
                "<text class=\"{class}\" x=\"{at:.2}%\" dx=\"{dx}\" y=\"{y}\">{word}</text>"
            );
        }
    }
}

fn symbol(drawn: &mut String, axis: &Axis, mark: &Mark, y: f64) {
    let (from, x) = (axis.at(mark.from), axis.at(mark.at));
    let (name, _) = mark.kind.symbol();
    let _ = write!(drawn, "<g class=\"{name}\">{}", tip(axis, mark));
    // It took a time that can be seen.
    if x - from > 0.3 {
        let _ = write!(
            drawn,
            "<line class=\"took\" x1=\"{from:.2}%\" x2=\"{x:.2}%\" y1=\"{y}\" y2=\"{y}\"/>"
        );
    }
    let _ = write!(drawn, "<use href=\"#{name}\" x=\"{x:.2}%\" y=\"{y}\"/></g>");
}

/// Deaths take their places first, then the others by time. Returns their height.
fn verdicts(drawn: &mut String, axis: &Axis, strip: &Strip, top: f64) -> f64 {
    let mut marks: Vec<&Mark> =
        strip.marks.iter().filter(|mark| mark.kind.line() == Line::Verdicts).collect();
    marks.sort_by_key(|mark| (mark.kind != Kind::Dead, mark.at));
    let mut lines: Vec<Vec<f64>> = Vec::new();
    for mark in marks {
        let x = axis.at(mark.at);
        let is_free = |line: &Vec<f64>| line.iter().all(|other| (other - x).abs() >= APART);
        let free = lines.iter().position(is_free);
        if free.is_none() && lines.len() < MAX_LINES {
            lines.push(Vec::new());
        }
        let is_dot = free.is_none() && lines.last().is_some_and(|line| !line.is_empty());
        let place = free.unwrap_or(lines.len() - 1);
        let y = top + VERDICTS * place as f64 + VERDICTS / 2.0;
        if is_dot {
            let (name, _) = mark.kind.symbol();
            let tip = tip(axis, mark);
            let y = y + VERDICTS / 2.0;
            let _ = write!(
                drawn,
                "<g class=\"{name}\">{tip}<use href=\"#dot\" x=\"{x:.2}%\" y=\"{y}\"/></g>"
            );
        } else {
            lines[place].push(x);
            symbol(drawn, axis, mark, y);
        }
    }
    VERDICTS * lines.len() as f64
}

/// Across the lane, from when on there is another run.
fn restart(drawn: &mut String, axis: &Axis, mark: &Mark, top: f64, bottom: f64) {
    let (x, y) = (axis.at(mark.at), top + RESTARTS / 2.0);
    let (name, _) = mark.kind.symbol();
    let word = if mark.kind == Kind::FalseRestart { "false restart" } else { "restart" };
    let (anchor, dx) = if x > RIGHT { (" figure", -9) } else { ("", 9) };
    let _ = write!(
        drawn,
        "<g class=\"{name}\">{}<line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{top}\" \
         y2=\"{bottom}\"/><use href=\"#{name}\" x=\"{x:.2}%\" y=\"{y}\"/><text \
         class=\"word{anchor}\" x=\"{x:.2}%\" dx=\"{dx}\" y=\"{}\">{word}</text></g>",
        tip(axis, mark),
        y + 4.0
    );
}

/// What is shown of a mark that is pointed at.
fn tip(axis: &Axis, mark: &Mark) -> String {
    format!("<title>{}: {}</title>", axis.told(mark.at), escaped(&mark.told))
}
