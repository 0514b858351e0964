//! Each fact that a policy asks, as one plain question and one plain answer.

use std::time::{Duration, UNIX_EPOCH};

use reprieve_core::{
    evidence::{
        Answer, Beat, Exchange, Eyesight, Fleet, Health, Life, Note, Question, Sighting, Status,
        StoreFault, Subject,
    },
    ids::LifeId,
    judgement::RestartCause,
    time::{Millis, UnixMillis},
};

/// Notes longer than this are cut in print.
const NOTE_BYTES_SHOWN: usize = 16;

/// "2026-04-16 09:10:26.250 UTC"
pub(crate) fn date(at: UnixMillis) -> String {
    // The year 9999, the last that has this form.
    const LAST_MS: u64 = 253_402_300_799_999;
    let time = UNIX_EPOCH + Duration::from_millis(at.0.min(LAST_MS));
    let text = humantime::format_rfc3339_millis(time).to_string();
    format!("{} UTC", text.trim_end_matches('Z').replacen('T', " ", 1))
}

pub(crate) fn life(life: LifeId) -> String {
    match life.0 {
        0 => "the life that the host found".into(),
        number => format!("life {number}"),
    }
}

pub(crate) fn bytes(note: &[u8]) -> String {
    let shown = note.get(..NOTE_BYTES_SHOWN).unwrap_or(note);
    let dots = if shown.len() < note.len() { "…" } else { "" };
    format!("{} bytes ({}{dots})", note.len(), shown.escape_ascii())
}

pub(crate) fn question(question: &Question) -> String {
    match question {
        Question::Subject => "Who is it?".into(),
        Question::Look => "What does the runtime see?".into(),
        Question::NewestBeat => "When was its newest heartbeat?".into(),
        Question::Intervals { limit } => format!("How far apart were its last {limit} heartbeats?"),
        Question::NewestContact => "When did it last answer a request?".into(),
        Question::CurrentLife => "How did its present life begin?".into(),
        Question::RestartCount { within } => {
            format!("How many restarts that no person asked for began in the last {within}?")
        }
        Question::Memory => "What was noted about it before?".into(),
        Question::Eyesight { since, until } if *until == Millis::ZERO => {
            format!("How well did the host see in the last {since}?")
        }
        Question::Eyesight { since, until } => {
            format!("How well did the host see from {since} ago until {until} ago?")
        }
        Question::Fleet { within } => {
            format!("How is the rest of its tenant, over the last {within}?")
        }
    }
}

pub(crate) fn answer(exchange: &Exchange) -> String {
    match &exchange.answer {
        Answer::Subject(subject) => of_subject(subject),
        Answer::Look(Ok(sighting)) => of_sighting(sighting),
        Answer::Look(Err(fault)) => {
            format!("The host could not see: {fault}. That says nothing about the workspace.")
        }
        Answer::NewestBeat(beat) => told(beat, |beat| of_sign(*beat, "It never beat.")),
        Answer::NewestContact(contact) => {
            told(contact, |contact| of_sign(*contact, "It never answered one."))
        }
        Answer::Intervals(intervals) => told(intervals, |intervals| match intervals.as_slice() {
            [] => "There are too few to tell.".into(),
            some => {
                let texts: Vec<_> = some.iter().map(Millis::to_string).collect();
                format!("{}, the newest first.", texts.join(", "))
            }
        }),
        Answer::CurrentLife(life) => told(life, of_life),
        Answer::RestartCount(count) => told(count, |count| match count {
            0 => "None.".into(),
            some => format!("{some}."),
        }),
        Answer::Memory(note) => told(note, |note| of_note(note.as_ref())),
        Answer::Eyesight(eyesight) => of_eyesight(eyesight),
        Answer::Fleet(fleet) => of_fleet(fleet),
    }
}

fn told<T>(answer: &Result<T, StoreFault>, say: impl Fn(&T) -> String) -> String {
    match answer {
        Ok(known) => say(known),
        Err(StoreFault::Unavailable) => {
            "The host could not read its own store. That says nothing about the workspace.".into()
        }
    }
}

fn of_subject(subject: &Subject) -> String {
    let Subject { id, tenant, kind, labels } = subject;
    let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = if labels.is_empty() {
        "no labels".into()
    } else {
        format!("labels {}", labels.join(", "))
    };
    format!("{id} of tenant {tenant}, of kind {kind}, with {labels}.")
}

fn of_sighting(sighting: &Sighting) -> String {
    let mut sentence = match sighting.status {
        Status::Running => "It runs".to_owned(),
        Status::Starting => "It is starting".to_owned(),
        Status::Restarting => "The runtime itself is restarting it".to_owned(),
        Status::Paused => "It is paused".to_owned(),
        Status::Stopped => "It does not run".to_owned(),
        Status::Missing => "The runtime knows no such workspace".to_owned(),
    };
    if let Some(uptime) = sighting.uptime {
        sentence += &format!(", for {uptime} now");
    }
    match (sighting.ended, sighting.status.is_down()) {
        (Some(ended), _) => sentence += &format!("; its last run ended {ended} ago"),
        (None, true) => sentence += ", and nobody says since when",
        (None, false) => {}
    }
    if let Some(code) = sighting.exit_code {
        sentence += &format!(", {}", of_exit_code(code));
    }
    if sighting.out_of_memory {
        sentence += ", for lack of memory";
    }
    match sighting.health {
        Some(Health::Starting) => sentence += "; its health check has not begun",
        Some(Health::Healthy) => sentence += "; its health check says healthy",
        Some(Health::Unhealthy) => sentence += "; its health check says unhealthy",
        None => {}
    }
    sentence + "."
}

/// Codes above 128 are signals, as shells and runtimes report them.
fn of_exit_code(code: i32) -> String {
    let signal = match code {
        130 => " (SIGINT)",
        134 => " (SIGABRT: it gave up)",
        137 => " (SIGKILL: killed from outside)",
        139 => " (SIGSEGV: it crashed)",
        143 => " (SIGTERM: asked to end)",
        _ => "",
    };
    format!("with exit code {code}{signal}")
}

fn of_sign(sign: Option<Beat>, never: &str) -> String {
    match sign {
        None => never.into(),
        Some(Beat { age, this_life: true }) => format!("{age} ago, in its present life."),
        Some(Beat { age, this_life: false }) => {
            format!("{age} ago, in an earlier life, so it is no sign of this one.")
        }
    }
}

fn of_life(life: &Life) -> String {
    let began = match (life.began, life.cause) {
        (None, _) => "The host never restarted it".to_owned(),
        (Some(began), None) => format!("With a restart {began} ago"),
        (Some(began), Some(cause)) => {
            format!("With a restart {began} ago, {}", of_cause(cause))
        }
    };
    let in_flight = if life.in_flight {
        "a restart is being carried out right now"
    } else {
        "no restart is in flight"
    };
    let stale = if life.revision_stale { ". Its settings are older than the newest" } else { "" };
    format!("{began}; {in_flight}{stale}.")
}

const fn of_cause(cause: RestartCause) -> &'static str {
    match cause {
        RestartCause::Operator => "because a person asked",
        RestartCause::DeadVerdict => "because it was found dead",
        RestartCause::SettingsChanged => "because its settings had changed",
        RestartCause::Wake => "to wake it",
        RestartCause::Dependency => "because one that it depends on was restarted",
    }
}

fn of_note(note: Option<&Note>) -> String {
    match note {
        None => "Nothing.".into(),
        Some(note) => format!("{}, written {} ago.", bytes(&note.bytes), note.age),
    }
}

fn of_eyesight(eyesight: &Eyesight) -> String {
    let Eyesight { probes, probe_faults, store_faults, loop_lag } = eyesight;
    format!(
        "{probe_faults} of {probes} probes failed, its stores failed {store_faults} times, and it was late by at most {loop_lag}."
    )
}

fn of_fleet(fleet: &Fleet) -> String {
    let Fleet { workspaces, suspected, restarting } = fleet;
    format!(
        "Of {workspaces} workspaces at most {suspected} were suspected at once; {restarting} others are being restarted."
    )
}
