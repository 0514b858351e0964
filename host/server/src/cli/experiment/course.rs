//! The arms over time, in SVG: one figure below the other on the same axis. What lies
//! along the axis is in percent, so that texts stay as large as they are.

use std::fmt::Write as _;

use reprieve_core::time::UnixMillis;

use super::prose;
use crate::cli::{
    html::escaped,
    timeline::{Axis, Zero},
};
use crate::experiments::{CoursePart, CourseReport, ExperimentReport};

/// Steps that a picture has at most: more parts are drawn together.
const MAX_STEPS: usize = 24;
/// Heights in pixels.
const TITLE: f64 = 22.0;
const PLOT: f64 = 64.0;
const AXIS: f64 = 20.0;
const DOT: f64 = 3.5;

/// What is drawn: its name, and how often it happened.
type Figure = (&'static str, fn(&CoursePart) -> u64);

const FIGURES: [Figure; 4] = [
    ("Calls, a workspace-hour", |part| part.judged),
    ("Ruled dead, a workspace-hour", |part| part.dead),
    ("Falsely dead, a workspace-hour", |part| part.false_deaths),
    ("Restarts, a workspace-hour", |part| part.restarts),
];

/// A step of the picture: from when until when, and what the arms did.
struct Step {
    from: UnixMillis,
    until: UnixMillis,
    arms: [CoursePart; 2],
}

pub(super) fn section(report: &ExperimentReport) -> String {
    let Some(course) = &report.course else {
        return "<section><h2>Over time</h2><p>Nothing yet.</p></section>".to_owned();
    };
    let steps = steps(course);
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return String::new() };
    let axis = Axis { from: first.from, until: last.until, zero: Zero::Epoch };
    let mut figures = String::new();
    for (nth, (title, count)) in FIGURES.iter().enumerate() {
        figures += &figure(&axis, &steps, title, *count, nth);
    }
    let older = match course.began_ms > report.started.at_ms.saturating_add(LATE_MS) {
        true => {
            "<p class=\"other\">What was before is in the counts below alone: an older version \
                 of the host kept no course.</p>"
        }
        false => "",
    };
    format!(
        "<section><h2>Over time</h2><p class=\"arms\"><span class=\"control\">{} control</span> \
         <span class=\"candidate\">{} candidate</span></p>{older}{figures}{}</section>",
        sample("control"),
        sample("candidate"),
        list(&axis, &steps)
    )
}

/// A course that begins so long after the experiment is not all of it. The first part
/// begins when workspaces are first counted, within seconds.
const LATE_MS: u64 = 60_000;

/// At most [`MAX_STEPS`], all but the last of the same length.
fn steps(course: &CourseReport) -> Vec<Step> {
    let count = course.control.len().max(course.candidate.len());
    let together = count.div_ceil(MAX_STEPS).max(1);
    let width = course.width_ms.saturating_mul(together as u64);
    let sum = |parts: &[CoursePart], nth: usize| {
        let mut sum = CoursePart::default();
        for part in parts.iter().skip(nth * together).take(together) {
            sum.workspace_hours += part.workspace_hours;
            sum.judged = sum.judged.saturating_add(part.judged);
            sum.dead = sum.dead.saturating_add(part.dead);
            sum.false_deaths = sum.false_deaths.saturating_add(part.false_deaths);
            sum.restarts = sum.restarts.saturating_add(part.restarts);
        }
        sum
    };
    let from = |nth: usize| UnixMillis(course.began_ms.saturating_add(width * nth as u64));
    let step = |nth: usize| Step {
        from: from(nth),
        until: from(nth + 1),
        arms: [sum(&course.control, nth), sum(&course.candidate, nth)],
    };
    (0..count.div_ceil(together)).map(step).collect()
}

/// None: no workspace of that arm was there.
fn rate(part: &CoursePart, count: fn(&CoursePart) -> u64) -> Option<f64> {
    (part.workspace_hours > 0.0).then(|| count(part) as f64 / part.workspace_hours)
}

fn figure(
    axis: &Axis,
    steps: &[Step],
    title: &str,
    count: fn(&CoursePart) -> u64,
    nth: usize,
) -> String {
    let rates = |arm: usize| steps.iter().map(move |step| rate(&step.arms[arm], count));
    let largest = rates(0).chain(rates(1)).flatten().fold(0.0, f64::max);
    let bottom = TITLE + PLOT;
    let mut drawn = String::new();
    for (moment, label) in axis.ticks() {
        let x = axis.at(moment);
        let _ = write!(
            drawn,
            "<line class=\"grid\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{TITLE}\" y2=\"{bottom}\"/>\
             <text class=\"{}\" x=\"{x:.2}%\" y=\"{}\">{label}</text>",
            Axis::anchor(x),
            bottom + 15.0
        );
    }
    let _ = write!(
        drawn,
        "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
         <text class=\"name\" x=\"0\" y=\"14\">{title}</text>\
         <text class=\"figure\" x=\"100%\" y=\"14\">at most {}</text>",
        prose::number(largest)
    );
    let at = |rate: f64| bottom - PLOT * rate / if largest > 0.0 { largest } else { 1.0 };
    for (arm, name) in [(0, "control"), (1, "candidate")] {
        let _ = write!(drawn, "<g class=\"{name}\">");
        let mut before: Option<f64> = None;
        for (step, rate) in steps.iter().zip(rates(arm)) {
            let Some(y) = rate.map(at) else {
                before = None;
                continue;
            };
            let (from, until) = (axis.at(step.from), axis.at(step.until));
            if let Some(before) = before {
                segment(&mut drawn, [from, from], [before, y]);
            }
            segment(&mut drawn, [from, until], [y, y]);
            before = Some(y);
            let middle = f64::midpoint(from, until);
            let _ = write!(drawn, "{}", dot(name, &format!("{middle:.2}%"), y));
        }
        drawn += "</g>";
    }
    let total = |arm: usize| -> u64 { steps.iter().map(|step| count(&step.arms[arm])).sum() };
    let told = format!(
        "{title}, from {} to {}. In all {} of the control and {} of the candidate; the list below \
         has them by time.",
        axis.told(axis.from),
        axis.told(axis.until),
        total(0),
        total(1)
    );
    format!(
        "<svg class=\"timeline course\" height=\"{}\" role=\"img\" aria-labelledby=\"course-{nth}\">\
         <title id=\"course-{nth}\">{}</title>{drawn}</svg>",
        bottom + AXIS,
        escaped(&told)
    )
}

fn segment(drawn: &mut String, [x1, x2]: [f64; 2], [y1, y2]: [f64; 2]) {
    let _ = write!(drawn, "<line x1=\"{x1:.2}%\" x2=\"{x2:.2}%\" y1=\"{y1:.1}\" y2=\"{y2:.1}\"/>");
}

/// The control is round and the candidate is square, whoever sees no colours.
fn dot(arm: &str, x: &str, y: f64) -> String {
    match arm {
        "control" => format!("<circle cx=\"{x}\" cy=\"{y:.1}\" r=\"{DOT}\"/>"),
        _ => format!(
            "<svg x=\"{x}\" y=\"{y:.1}\" width=\"1\" height=\"1\"><rect x=\"-{DOT}\" y=\"-{DOT}\" \
             width=\"{size}\" height=\"{size}\"/></svg>",
            size = 2.0 * DOT
        ),
    }
}

fn sample(arm: &str) -> String {
    format!(
        "<svg class=\"timeline course\" aria-hidden=\"true\"><line x1=\"0\" x2=\"100%\" y1=\"8\" \
         y2=\"8\"/>{}</svg>",
        dot(arm, "50%", 8.0)
    )
}

/// The same in words.
fn list(axis: &Axis, steps: &[Step]) -> String {
    let mut rows = String::new();
    for step in steps {
        let _ = write!(rows, "<tr><td>{}</td>", axis.told(step.from));
        for (_, count) in FIGURES {
            let [control, candidate] = step.arms.each_ref().map(count);
            let _ = write!(rows, "<td>{control} / {candidate}</td>");
        }
        let [control, candidate] = step.arms.map(|part| prose::number(part.workspace_hours));
        let _ = write!(rows, "<td>{control} / {candidate}</td></tr>");
    }
    format!(
        "<details><summary>The same as a list: control / candidate</summary><div class=\"wide\" \
         tabindex=\"0\" role=\"region\" aria-label=\"What the arms did, by time\"><table><thead>\
         <tr><th scope=\"col\">from, UTC</th><th scope=\"col\">calls</th><th scope=\"col\">ruled \
         dead</th><th scope=\"col\">falsely</th><th scope=\"col\">restarts</th><th \
         scope=\"col\">workspace-hours</th></tr></thead><tbody>{rows}</tbody></table></div>\
         </details>"
    )
}
