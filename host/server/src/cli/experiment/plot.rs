//! Plots in SVG: two arms with their intervals, and the evidence of guardrails. A few
//! lines and dots each, so they are written out here. Each has a text that says the
//! same, for those who do not see it.

use std::fmt::Write as _;

use super::prose;
use crate::cli::html::escaped;
use crate::experiments::{ArmReport, GuardrailReport, IntervalReport};

/// As wide as a telephone: texts are as large there as beside the plot.
const WIDTH: f64 = 360.0;
/// Each line is a text, and what it says as a drawing below it.
const LINE: f64 = 46.0;
const TEXT_AT: f64 = 15.0;
const DRAWN_AT: f64 = 30.0;
/// Room for a dot at either end.
const EDGE: f64 = 7.0;

/// A figure of both arms, with its interval of confidence.
pub(super) fn intervals(
    title: &str,
    arms: &[ArmReport],
    of: impl Fn(&ArmReport) -> Option<IntervalReport>,
    figure: &dyn Fn(f64) -> String,
) -> String {
    let known: Vec<_> = arms.iter().filter_map(|arm| Some((arm.arm.as_str(), of(arm)?))).collect();
    if known.is_empty() {
        return format!("<figure><figcaption>{title}</figcaption><p>Nothing yet.</p></figure>");
    }
    let largest = known.iter().map(|(_, of)| of.high).fold(f64::MIN_POSITIVE, f64::max);
    let mut told = Vec::new();
    let mut drawn = String::new();
    for (index, (arm, of)) in known.iter().enumerate() {
        let text = prose::interval(*of, figure);
        let (label, y) = (LINE * index as f64 + TEXT_AT, LINE * index as f64 + DRAWN_AT);
        let _ = write!(
            drawn,
            "<g class=\"{arm}\">{}<line x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y}\" \
             y2=\"{y}\"/><circle cx=\"{value:.1}\" cy=\"{y}\" r=\"6\"/></g>",
            texts(arm, &text, label),
            arm = escaped(arm),
            low = at(of.low / largest),
            high = at(of.high / largest),
            value = at(of.value / largest),
        );
        told.push(format!("{arm} {text}"));
    }
    framed(title, &told.join("; "), known.len(), &drawn)
}

/// How near each guardrail is to aborting the candidate, on a scale of powers of ten.
pub(super) fn evidence(guardrails: &[GuardrailReport], threshold: f64) -> String {
    let mut told = Vec::new();
    let mut drawn = String::new();
    // Up to a little beyond what aborts; what is beyond that is broken in any case.
    let most = threshold.max(1.0).log10() * 1.25 + 0.01;
    let along = |value: f64| at(value.max(1.0).log10() / most);
    let limit = along(threshold);
    for (index, rail) in guardrails.iter().enumerate() {
        let (label, y) = (LINE * index as f64 + TEXT_AT, LINE * index as f64 + DRAWN_AT);
        let state = if rail.broken { "broken" } else { "holds" };
        let text = format!(
            "{} ({} to {})",
            prose::evidence(rail.evidence),
            rail.candidate_events,
            rail.control_events
        );
        let _ = write!(
            drawn,
            "<g class=\"{state}\">{}<rect x=\"{EDGE}\" y=\"{top}\" width=\"{width:.1}\" \
             height=\"10\"/></g><line class=\"limit\" x1=\"{limit:.1}\" x2=\"{limit:.1}\" \
             y1=\"{above}\" y2=\"{below}\"/>",
            texts(&rail.guardrail, &text, label),
            top = y - 5.0,
            width = (along(rail.evidence) - EDGE).max(2.0),
            above = y - 9.0,
            below = y + 9.0,
        );
        told.push(format!("{} {text}, {state}", rail.guardrail));
    }
    let title = format!(
        "Evidence against the candidate: events of the candidate to the control's; aborts at {}",
        prose::evidence(threshold)
    );
    framed(&title, &told.join("; "), guardrails.len(), &drawn)
}

/// Where a part of the whole lies, 0 to 1.
fn at(part: f64) -> f64 {
    EDGE + (WIDTH - 2.0 * EDGE) * part.clamp(0.0, 1.0)
}

fn texts(name: &str, figure: &str, y: f64) -> String {
    format!(
        "<text x=\"0\" y=\"{y}\">{}</text>\
         <text class=\"figure\" x=\"{WIDTH}\" y=\"{y}\">{}</text>",
        escaped(name),
        escaped(figure)
    )
}

fn framed(title: &str, told: &str, lines: usize, drawn: &str) -> String {
    let height = LINE * lines as f64;
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{}\">{drawn}</svg></figure>",
        escaped(&format!("{title}: {told}")),
    )
}
