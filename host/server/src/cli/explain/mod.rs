//! A decision in prose that a person on call understands at 3 am: what
//! happened, what the policy asked and was told, what it ruled and why, what was
//! done, what judged, what it cost.

pub(super) mod facts;

use std::fmt::Write as _;

use reprieve_core::{
    decision::{Decision, Outcome, Part},
    judgement::{Admission, Call, ForwardFailure, RestartCause, Trigger, Verdict},
    time::UnixMillis,
};

/// Lines are broken before this column.
const WIDTH: usize = 80;

/// The decision in prose, as of `now`. Headings begin a line; everything below
/// one is indented.
pub fn explain(decision: &Decision, now: UnixMillis) -> String {
    let mut text = Text::default();
    text.heading(&format!(
        "Workspace {} (tenant {}): {}",
        decision.workspace,
        decision.tenant,
        headline(&decision.outcome)
    ));
    text.line(&format!("{}, {} ago.", facts::date(decision.at), decision.at.age(now)));
    text.line(&format!("Decision {}, about {}.", decision.id, facts::life(decision.life)));

    text.heading("What happened");
    text.line(&occasion(&decision.call));

    text.heading("What the policy asked, and what it was told");
    if decision.evidence.is_empty() {
        text.line("Nothing: it needed no evidence.");
    }
    for exchange in &decision.evidence {
        text.item(&facts::question(&exchange.question), &facts::answer(exchange));
    }

    text.heading("What it ruled, and why");
    for sentence in ruling(&decision.outcome) {
        text.line(&sentence);
    }
    match decision.memory_write.as_deref() {
        Some([]) => text.line("It forgot its note about this workspace."),
        Some(note) => {
            text.line(&format!("It left a note of {} for its next look.", facts::bytes(note)))
        }
        None => {}
    }

    text.heading("What was done");
    text.line(decision.effect.as_deref().unwrap_or("Nothing is on record."));

    let generation = &decision.generation;
    text.heading("What judged");
    text.line(&format!("Policy {}, in generation {}.", generation.policy, generation.number));
    if let Some(part) = &decision.experiment {
        text.line(&tried(part));
    }
    text.unbroken(&format!("component {}", generation.component));
    text.unbroken(&format!("settings  {}", generation.settings));

    let cost = decision.cost;
    text.heading("What it cost");
    text.line(&format!(
        "{} {} of the policy, {} us in it; {} from the question to the answer.",
        cost.passes,
        if cost.passes == 1 { "call" } else { "calls" },
        cost.guest_us,
        cost.total
    ));
    text.0
}

fn tried(part: &Part) -> String {
    let Part { name, arm, stood_in } = part;
    let arm = arm.as_str();
    match stood_in {
        false => format!("The workspace is in the {arm}'s arm of experiment {name}."),
        true => format!(
            "The workspace is in the {arm}'s arm of experiment {name}, but the control decided: \
             the candidate gave no answer, or is not trusted."
        ),
    }
}

/// The outcome in one or two words, for a line in a list: "BUSY 30 s".
pub(crate) fn verdict(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Judged { verdict, .. } => match verdict {
            Verdict::Alive => "ALIVE".into(),
            Verdict::Busy(after) => format!("BUSY {after}"),
            Verdict::Dead => "DEAD".into(),
            Verdict::Recheck(after) => format!("RECHECK {after}"),
        },
        Outcome::Ruled { admission, .. } => match admission {
            Admission::Admit => "ADMIT".into(),
            Admission::Drop => "DROP".into(),
            Admission::Defer(after) => format!("DEFER {after}"),
        },
        Outcome::FellBack { .. } => "FELL BACK".into(),
    }
}

/// What was asked, in a few words, for a line in a list: "forward refused".
pub(crate) fn occasion_label(call: &Call) -> String {
    match call {
        Call::Judge { trigger, attempt } => {
            let what = match trigger {
                Trigger::ForwardFailed(failure) => match failure {
                    ForwardFailure::Refused => "forward refused".into(),
                    ForwardFailure::Reset => "forward reset".into(),
                    ForwardFailure::ClosedEarly => "forward closed early".into(),
                    ForwardFailure::TimedOut => "forward timed out".into(),
                    ForwardFailure::Unresolved => "forward unresolved".into(),
                    ForwardFailure::BadStatus(status) => format!("forward status {status}"),
                },
                Trigger::Preflight => "preflight".into(),
                Trigger::HeartbeatExpired => "heartbeat expired".into(),
                Trigger::RuntimeStopped => "runtime stopped".into(),
                Trigger::Unhealthy => "unhealthy".into(),
                Trigger::Settling => "settling".into(),
                Trigger::Sweep => "sweep".to_owned(),
            };
            if attempt.number == 0 { what } else { format!("{what}, look {}", attempt.number + 1) }
        }
        Call::Admit { cause } => format!("restart wanted: {}", cause_label(*cause)),
    }
}

pub(crate) const fn cause_label(cause: RestartCause) -> &'static str {
    match cause {
        RestartCause::Operator => "operator",
        RestartCause::DeadVerdict => "dead verdict",
        RestartCause::SettingsChanged => "settings changed",
        RestartCause::Wake => "wake",
        RestartCause::Dependency => "dependency",
    }
}

fn headline(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Judged { verdict, .. } => match verdict {
            Verdict::Alive => "found ALIVE".into(),
            Verdict::Busy(_) => "found BUSY, not to be touched".into(),
            Verdict::Dead => "found DEAD".into(),
            Verdict::Recheck(after) => format!("not decided, to be looked at again after {after}"),
        },
        Outcome::Ruled { admission, .. } => match admission {
            Admission::Admit => "a restart may begin".into(),
            Admission::Drop => "a restart was turned down".into(),
            Admission::Defer(after) => format!("a restart has to wait {after}"),
        },
        Outcome::FellBack { .. } => "the policy gave no answer, so nothing was touched".into(),
    }
}

fn occasion(call: &Call) -> String {
    let (trigger, attempt) = match call {
        Call::Judge { trigger, attempt } => (trigger, attempt),
        Call::Admit { cause } => {
            let why = match cause {
                RestartCause::Operator => "A person asked for it.",
                RestartCause::DeadVerdict => "The policy had found the workspace dead.",
                RestartCause::SettingsChanged => "Its settings are newer than the running life.",
                RestartCause::Wake => "A request came while it was hibernated.",
                RestartCause::Dependency => "A workspace that it depends on was restarted.",
            };
            return format!(
                "A restart was wanted, and the policy was asked whether it may begin. {why}"
            );
        }
    };
    let what = match trigger {
        Trigger::ForwardFailed(failure) => match failure {
            ForwardFailure::Refused => {
                "A request could not be forwarded: the workspace's address refused the connection."
                    .into()
            }
            ForwardFailure::Reset => {
                "A forwarded request failed: the workspace reset the connection.".into()
            }
            ForwardFailure::ClosedEarly => {
                "A forwarded request failed: the connection ended before a whole answer had come."
                    .into()
            }
            ForwardFailure::TimedOut => {
                "A forwarded request failed: nothing came back within the idle time-out.".into()
            }
            ForwardFailure::Unresolved => {
                "A request could not be forwarded: the workspace has no address that resolves."
                    .into()
            }
            ForwardFailure::BadStatus(status) => format!(
                "A forwarded request was answered with status {status}, which counts as a failure."
            ),
        },
        Trigger::Preflight => "A request was about to be forwarded.".into(),
        Trigger::HeartbeatExpired => {
            "The workspace gave no sign of life for as long as the policy allows.".into()
        }
        Trigger::RuntimeStopped => "The runtime reported that the workspace's life ended.".into(),
        Trigger::Unhealthy => {
            "The runtime's own health check called the workspace unhealthy.".into()
        }
        Trigger::Settling => "A restart had been carried out. Is the workspace back?".into(),
        Trigger::Sweep => {
            "The host came back to a workspace that was not clearly alive before.".to_owned()
        }
    };
    if attempt.number == 0 {
        what
    } else {
        format!(
            "{what} This is look {}, {} after the first.",
            attempt.number + 1,
            attempt.since_first
        )
    }
}

fn ruling(outcome: &Outcome) -> Vec<String> {
    let because = |code: &str, meaning: &str| format!("Reason {code}: {meaning}");
    match outcome {
        Outcome::Judged { verdict, reason } => vec![
            match verdict {
                Verdict::Alive => {
                    "ALIVE: not dead. A failed forward gets the ordinary error.".into()
                }
                Verdict::Busy(after) => format!(
                    "BUSY: perhaps alive, so it is left alone. Callers are told to come back after {after}, and the host itself asks again by then."
                ),
                Verdict::Dead => {
                    "DEAD: to be restarted, if the policy admits a restart now.".into()
                }
                Verdict::Recheck(after) => format!(
                    "RECHECK: not decided on this evidence. The host looks again after {after}."
                ),
            },
            because(&reason.code, &reason.meaning),
        ],
        Outcome::Ruled { admission, reason } => vec![
            match admission {
                Admission::Admit => "ADMIT: the restart may begin now.".into(),
                Admission::Drop => "DROP: no restart. The wish was counted and is not kept.".into(),
                Admission::Defer(after) => {
                    format!("DEFER: not yet. The host asks again after about {after}.")
                }
            },
            because(&reason.code, &reason.meaning),
        ],
        Outcome::FellBack { failure, detail } => vec![
            format!(
                "None. No failure of a policy is a death: it counts as BUSY, and a wanted restart waits, {} at first.",
                Outcome::FALL_BACK_RETRY
            ),
            format!("What failed: {failure}: {detail}"),
        ],
    }
}

/// Lines that end before [`WIDTH`].
#[derive(Default)]
struct Text(String);

impl Text {
    fn heading(&mut self, heading: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.wrapped(heading, "", "");
    }

    fn unbroken(&mut self, line: &str) {
        let _ = writeln!(self.0, "  {line}");
    }

    fn line(&mut self, sentence: &str) {
        self.wrapped(sentence, "  ", "  ");
    }

    fn item(&mut self, question: &str, answer: &str) {
        self.wrapped(&format!("{question} {answer}"), "  - ", "    ");
    }

    fn wrapped(&mut self, text: &str, first: &str, rest: &str) {
        let mut column = first.len();
        self.0.push_str(first);
        let mut begun = false;
        for word in text.split(' ') {
            let width = word.chars().count();
            if begun && column + 1 + width > WIDTH {
                let _ = write!(self.0, "\n{rest}");
                column = rest.len();
            } else if begun {
                self.0.push(' ');
                column += 1;
            }
            self.0.push_str(word);
            column += width;
            begun = true;
        }
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests;
