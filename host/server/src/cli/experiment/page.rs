//! A report as a page of its own.

use std::fmt::Write as _;

use reprieve_core::time::UnixMillis;

use super::{Explained, course, plot, prose};
use crate::{
    cli::{
        explain::facts,
        html::{self, escaped},
    },
    experiments::ExperimentReport,
};

pub(super) fn page(explained: &Explained) -> String {
    let report = &explained.report;
    let name = escaped(&report.name);
    let state = escaped(prose::standing(report));
    let mut body = format!(
        "<header><h1>{name} <span class=\"state {state}\">{state}</span></h1>\
         <p class=\"hypothesis\">{}</p></header>",
        escaped(&report.hypothesis)
    );
    body += &about(report);
    body += &plots(report);
    body += &course::section(report);
    body += &arms(report);
    body += &disagreements(explained);
    body += "<footer>Intervals are of 95 %, for one look. What aborts a candidate is the \
             evidence, which may be looked at all the time.</footer>";
    html::page(&format!("Experiment {}", report.name), &body)
}

fn about(report: &ExperimentReport) -> String {
    let lines = prose::facts_of(report).into_iter();
    let lines = lines.map(|(what, text)| format!("<dt>{what}</dt><dd>{}</dd>", escaped(&text)));
    format!("<section><dl>{}</dl></section>", lines.collect::<String>())
}

fn plots(report: &ExperimentReport) -> String {
    let rails = plot::evidence(&report.guardrails, report.threshold);
    let arms = &report.arms;
    let (number, percent) = (&prose::number, &prose::percent);
    let figures = [
        plot::intervals(
            "Ruled dead, a workspace-hour",
            arms,
            |arm| arm.deaths_per_workspace_hour,
            number,
        ),
        plot::intervals("Falsely dead, of the dead", arms, |arm| arm.false_part, percent),
        plot::intervals(
            "Restarts, a workspace-hour",
            arms,
            |arm| arm.restarts_per_workspace_hour,
            number,
        ),
        plot::intervals("Failed, of the calls", arms, |arm| arm.failed_part, percent),
    ];
    format!(
        "<section><h2>Guardrails</h2>{rails}</section>\
         <section><h2>Rates</h2><div class=\"plots\">{}</div></section>",
        figures.concat()
    )
}

fn arms(report: &ExperimentReport) -> String {
    let mut rows = String::new();
    for [what, control, candidate] in prose::arm_rows(report) {
        let class = if what.starts_with(' ') { " class=\"of\"" } else { "" };
        let what = escaped(what.trim());
        let (control, candidate) = (escaped(&control), escaped(&candidate));
        let _ = write!(
            rows,
            "<tr{class}><th scope=\"row\">{what}</th><td>{control}</td><td>{candidate}</td></tr>"
        );
    }
    format!(
        "<section><h2>What the arms did</h2><div class=\"wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"What the arms did\"><table><thead><tr><th></th><th scope=\"col\">control</th>\
         <th scope=\"col\">candidate</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
}

fn disagreements(explained: &Explained) -> String {
    let report = &explained.report;
    let mut out = format!(
        "<section><h2>Where they disagreed</h2><p>{}</p>",
        escaped(&prose::comparison(report))
    );
    if !report.kinds.is_empty() {
        let rows = report.kinds.iter().map(|kind| {
            format!("<tr><td>{}</td><td>{}</td></tr>", kind.count, escaped(&kind.kind))
        });
        let _ = write!(
            out,
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Kinds of \
             disagreement\"><table class=\"kinds\"><thead><tr><th scope=\"col\">times</th>\
             <th scope=\"col\">control / candidate</th></tr></thead><tbody>{}</tbody></table></div>",
            rows.collect::<String>()
        );
    }
    for one in &report.disagreements {
        let line = format!(
            "{} · {} · {} against {}",
            facts::date(UnixMillis(one.at_ms)),
            one.workspace,
            one.control,
            one.candidate
        );
        let (line, id) = (escaped(&line), escaped(&one.decision));
        let (known, unknown) = (&explained.explained, &explained.unexplained);
        let _ = match (known.get(&one.decision), unknown.get(&one.decision)) {
            (Some(prose), _) => write!(
                out,
                "<details><summary>{line}</summary><p class=\"id\">{id}</p><pre>{}</pre></details>",
                escaped(prose)
            ),
            (None, Some(why)) => write!(
                out,
                "<p class=\"other\">{line}<br><span class=\"id\">{id}</span><br>not explained: {}</p>",
                escaped(why)
            ),
            (None, None) => {
                write!(out, "<p class=\"other\">{line}<br><span class=\"id\">{id}</span></p>")
            }
        };
    }
    out + "</section>"
}
