//! Plots in SVG: two arms with their intervals, and the evidence of guardrails. A few
//! lines and dots each, so they are written out here. Each has a text that says the
//! same, for those who do not see it.

use std::fmt::Write as _;

use super::{page::escaped, prose};
use crate::experiments::{ArmReport, GuardrailReport, IntervalReport};

const WIDTH: f64 = 640.0;
/// Left of the axis stands what a line is about.
const AXIS: f64 = 130.0;
/// Right of the plot stands the figure.
const PLOT: f64 = 330.0;
const LINE: f64 = 34.0;

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
        let y = LINE * (index as f64 + 0.5);
        let x = |value: f64| AXIS + PLOT * (value / largest).clamp(0.0, 1.0);
        let _ = write!(
            drawn,
            "<g class=\"{arm}\"><text x=\"0\" y=\"{label}\">{arm}</text>\
             <line x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y}\" y2=\"{y}\"/>\
             <circle cx=\"{value:.1}\" cy=\"{y}\" r=\"6\"/>\
             <text x=\"{right}\" y=\"{label}\">{text}</text></g>",
            low = x(of.low),
            high = x(of.high),
            value = x(of.value),
            label = y + 5.0,
            right = AXIS + PLOT + 14.0,
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
    let x = |value: f64| AXIS + PLOT * (value.max(1.0).log10() / most).clamp(0.005, 1.0);
    for (index, rail) in guardrails.iter().enumerate() {
        let y = LINE * (index as f64 + 0.5);
        let state = if rail.broken { "broken" } else { "holds" };
        let text = format!(
            "{} ({} to {})",
            prose::evidence(rail.evidence),
            rail.candidate_events,
            rail.control_events
        );
        let _ = write!(
            drawn,
            "<g class=\"{state}\"><text x=\"0\" y=\"{label}\">{name}</text>\
             <rect x=\"{AXIS}\" y=\"{top}\" width=\"{width:.1}\" height=\"14\"/>\
             <text x=\"{right}\" y=\"{label}\">{text}</text></g>",
            label = y + 5.0,
            name = escaped(&rail.guardrail),
            top = y - 7.0,
            width = x(rail.evidence) - AXIS,
            right = AXIS + PLOT + 14.0,
        );
        told.push(format!("{} {text}, {state}", rail.guardrail));
    }
    let _ = write!(
        drawn,
        "<line class=\"limit\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{bottom}\"/>",
        at = x(threshold),
        bottom = LINE * guardrails.len() as f64,
    );
    let title = format!(
        "Evidence against the candidate: events of the candidate to the control's; aborts at {}",
        prose::evidence(threshold)
    );
    framed(&title, &told.join("; "), guardrails.len(), &drawn)
}

fn framed(title: &str, told: &str, lines: usize, drawn: &str) -> String {
    let height = LINE * lines as f64 + 4.0;
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{}\"><line class=\"axis\" x1=\"{AXIS}\" x2=\"{AXIS}\" y1=\"0\" \
         y2=\"{height}\"/>{drawn}</svg></figure>",
        escaped(&format!("{title}: {told}")),
    )
}
