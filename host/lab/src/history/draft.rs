//! A history as a scenario with its traces, for a person to read and edit.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use reprieve_core::time::Millis;
use serde::Serialize;

use super::{
    BeatTrace, MAX_BEATS, Outage, ProbeTrace, Refused, Sender,
    ground::{Event, Ground, What, ground},
};
use crate::{Length, scenario::MAX_LISTED, units::LONGEST};

/// What somebody has of their own fleet.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub beats: Option<BeatTrace>,
    pub outages: Vec<Outage>,
    pub probes: Option<ProbeTrace>,
}

/// Why a history makes no scenario, though each of its files can be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryRefused {
    #[error("nothing names a workspace; import beats, or outages of workspaces")]
    Nobody,
    #[error(
        "the history lasts {lasts}, a scenario at most {LONGEST}: is a unit wrong, or does one \
         file count time from elsewhere?"
    )]
    TooLong { lasts: Millis },
    #[error(
        "the history has {events} outages and ended runs, a scenario takes {MAX_LISTED}; import a \
         shorter time"
    )]
    TooMuch { events: usize },
    #[error(
        "with the beats that its workspaces would have sent while they were down, the history has \
         {beats}; a scenario plays {MAX_BEATS}; import a shorter time"
    )]
    TooManyBeats { beats: u64 },
    /// Of the outages.
    #[error("{source}")]
    Outages {
        #[from]
        source: Refused,
    },
}

/// What is understood of a history, for whoever brought it to check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Understood {
    /// As RFC 3339, or the first number of the files.
    pub begins: String,
    pub lasts: Millis,
    pub workspaces: Vec<SenderTold>,
    /// By what they are in the scenario.
    pub events: BTreeMap<&'static str, usize>,
    /// Runs that ended, or hang until somebody restarts them.
    pub deaths: usize,
    /// Beats that workspaces would have sent while they were down.
    pub filled: u64,
    pub probes: Option<ProbesTold>,
    /// Columns that mean nothing here.
    pub ignored: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SenderTold {
    pub name: String,
    pub beats: usize,
    pub lost: u64,
    pub interval: Option<Millis>,
    pub way_p50: Option<Millis>,
    pub way_p99: Option<Millis>,
    pub longest_silence: Option<Millis>,
    /// Runs that its count tells of.
    pub runs: usize,
    /// How long nothing came of it at the end, if that is longer than any silence
    /// before.
    pub silent_at_end: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbesTold {
    pub probes: usize,
    pub faults: usize,
    pub took_p50: Option<Millis>,
    pub took_p99: Option<Millis>,
}

/// A scenario, and the traces that it plays.
#[derive(Debug)]
pub struct Draft<'a> {
    history: &'a History,
    names: Vec<String>,
    begins: Millis,
    ends: Millis,
    ground: Ground,
    filled: u64,
}

impl History {
    pub fn draft(&self) -> Result<Draft<'_>, HistoryRefused> {
        let names = self.names();
        if names.is_empty() {
            return Err(HistoryRefused::Nobody);
        }
        let (begins, ends) = self.span();
        let lasts = Millis(ends.0 - begins.0);
        if lasts > LONGEST {
            return Err(HistoryRefused::TooLong { lasts });
        }
        let ground = ground(self.beats.as_ref(), &self.outages, &names, ends)?;
        if ground.events.len() > MAX_LISTED {
            return Err(HistoryRefused::TooMuch { events: ground.events.len() });
        }
        let mut draft = Draft { history: self, names, begins, ends, ground, filled: 0 };
        draft.filled = draft.made_beats();
        let beats = self.beats.as_ref().map_or(0, BeatTrace::arrived) as u64 + draft.filled;
        if beats > MAX_BEATS as u64 {
            return Err(HistoryRefused::TooManyBeats { beats });
        }
        Ok(draft)
    }

    /// Those who beat; where nobody does, those who were down.
    fn names(&self) -> Vec<String> {
        if let Some(beats) = &self.beats {
            return beats.senders.iter().map(|sender| sender.name.clone()).collect();
        }
        let targets = self.outages.iter().map(|outage| outage.target.clone());
        let mut names: Vec<String> =
            targets.filter(|target| target != "*" && target != "runtime").collect();
        names.sort();
        names.dedup();
        names
    }

    fn span(&self) -> (Millis, Millis) {
        let beats = self.beats.as_ref();
        let outages = self.outages.iter();
        let probes = self.probes.iter().flat_map(ProbeTrace::all);
        let begins = beats.and_then(BeatTrace::begins).into_iter();
        let begins = begins.chain(outages.clone().map(|outage| outage.began));
        let begins = begins.chain(probes.clone().map(|probe| probe.at)).min().unwrap_or_default();
        let ends = beats.map(|beats| beats.ends).into_iter();
        // The scenario goes on for a moment after what happens last.
        let moment = Millis::from_secs(1);
        let last = |outage: &Outage| outage.ended.unwrap_or(outage.began).saturating_add(moment);
        let ends = ends.chain(outages.map(last));
        let ends = ends.chain(probes.map(|probe| probe.at.saturating_add(probe.took))).max();
        (begins, ends.unwrap_or_default().max(begins.saturating_add(moment)))
    }
}

impl Draft<'_> {
    pub fn understood(&self) -> Understood {
        let mut events = BTreeMap::new();
        for event in &self.ground.events {
            *events.entry(event.what.name()).or_default() += 1;
        }
        let deaths = self.ground.events.iter().filter(|event| {
            event.lasts.is_none() && matches!(event.what, What::Crash | What::Hang)
        });
        let (beats, probes) = (self.history.beats.as_ref(), self.history.probes.as_ref());
        let ignored = beats.iter().flat_map(|beats| &beats.ignored);
        let ignored = ignored.chain(probes.iter().flat_map(|probes| &probes.ignored));
        Understood {
            begins: clock(self.begins),
            lasts: Millis(self.ends.0 - self.begins.0),
            workspaces: beats
                .iter()
                .flat_map(|beats| &beats.senders)
                .map(|sender| told(sender, self.ends))
                .collect(),
            events,
            deaths: deaths.count(),
            filled: self.filled,
            probes: probes.map(told_probes),
            ignored: ignored.cloned().collect(),
        }
    }

    /// The scenario. `beats` and `probes`: what its traces are called beside it.
    pub fn scenario(&self, name: &str, beats: &str, probes: &str) -> String {
        let mut text = format!(
            "# Made by `reprieve import` from what was recorded from {} on.\n\
             # Read it, and correct what you know better: docs/history.md says what each guess\n\
             # rests on.\n\
             name = {}\n\
             about = \"What was recorded from {} on.\"\n\
             lasts = \"{}\"\n\n[[workspaces]]\ncount = {}\n",
            clock(self.begins),
            toml::Value::from(name),
            clock(self.begins),
            seconds(Millis(self.ends.0 - self.begins.0)),
            self.names.len(),
        );
        if self.history.beats.is_some() {
            let _ = writeln!(text, "beats = {{ trace = {} }}", toml::Value::from(beats));
        }
        text += "# Nothing recorded says how these are: assumed.\n\
                 requests = { every = \"1min\" }\nboot = \"5s\"\nreports_ends = false\n";
        for (number, name) in (1..).zip(&self.names) {
            let _ = writeln!(text, "# ws-{number} is {}", plain(name));
        }
        if self.history.probes.is_some() {
            let _ = writeln!(text, "\n[probes]\ntrace = {}", toml::Value::from(probes));
        }
        for event in &self.ground.events {
            text += &self.event(event);
        }
        text
    }

    fn event(&self, event: &Event) -> String {
        let Event { at, workspace, what, lasts, why } = event;
        let mut text = format!(
            "\n# {}, {}\n[[event]]\nwhat = \"{}\"\nat = \"{}\"\n",
            clock(*at),
            why,
            what.name(),
            seconds(Millis(at.0 - self.begins.0))
        );
        if let Some(lasts) = lasts {
            let _ = writeln!(text, "for = \"{}\"", seconds(*lasts));
        }
        if let Some(place) = workspace {
            let _ = writeln!(text, "who = \"ws-{}\" # {}", place + 1, plain(&self.names[*place]));
        }
        text
    }

    /// Beats as the scenario plays them: since its beginning, and those besides that
    /// would have come from whoever was down.
    pub fn write_beats(&self, to: &mut impl Write) -> io::Result<()> {
        let mut rows = csv::Writer::from_writer(to);
        rows.write_record(["workspace", "send_ms", "receive_ms", "from"])?;
        let begins = self.begins.0;
        let mut write = |name: &str, sent: Millis, way: Millis, from: &str| {
            let (sent, received) = (sent.0 - begins, sent.0 - begins + way.0);
            rows.write_record([name, &sent.to_string(), &received.to_string(), from])
        };
        for (place, sender) in self.senders() {
            let (way, every) = (sender.way(0.5).unwrap_or_default(), sender.interval());
            for (index, beat) in sender.beats.iter().enumerate() {
                write(&sender.name, beat.sent, beat.way, "recorded")?;
                if self.ground.gaps[place].contains(&index) {
                    for sent in self.made(sender, index, every) {
                        write(&sender.name, sent, way, "made")?;
                    }
                }
            }
        }
        rows.flush()
    }

    pub fn write_probes(&self, to: &mut impl Write) -> io::Result<()> {
        let mut rows = csv::Writer::from_writer(to);
        rows.write_record(["workspace", "time_ms", "duration_ms", "result"])?;
        for (name, probes) in self.history.probes.iter().flat_map(|probes| &probes.of) {
            // Where nobody beats, workspaces are called as the scenario does it.
            let place = self.names.iter().position(|known| known == name);
            let name = match (place, &self.history.beats) {
                (Some(place), None) => format!("ws-{}", place + 1),
                (Some(_), Some(_)) | (None, _) => name.clone(),
            };
            for probe in probes {
                let result = match probe.fault {
                    None => "ok".to_owned(),
                    Some(fault) => word(fault),
                };
                let at = (probe.at.0 - self.begins.0).to_string();
                rows.write_record([&name, &at, &probe.took.0.to_string(), &result])?;
            }
        }
        rows.flush()
    }

    fn senders(&self) -> impl Iterator<Item = (usize, &Sender)> {
        self.history.beats.iter().flat_map(|beats| beats.senders.iter().enumerate())
    }

    /// How many are made.
    fn made_beats(&self) -> u64 {
        let of = |(place, sender): (usize, &Sender)| {
            let gaps = &self.ground.gaps[place];
            let every = sender.interval();
            gaps.iter().map(|index| self.made(sender, *index, every).count() as u64).sum::<u64>()
        };
        self.senders().map(of).sum()
    }

    /// Between that beat and the next, at the sender's own pace.
    fn made(
        &self,
        sender: &Sender,
        index: usize,
        every: Option<Millis>,
    ) -> impl Iterator<Item = Millis> + use<> {
        let last = sender.beats.get(index).map_or(self.ends, |beat| beat.sent);
        let next = sender.beats.get(index + 1).map_or(self.ends, |beat| beat.sent);
        let every = every.unwrap_or_default().0;
        // Nearer to the next than half of its pace there is none.
        let count = next.0.saturating_sub(last.0 + every / 2).checked_div(every).unwrap_or(0);
        (1..=count).map(move |nth| Millis(last.0 + nth * every))
    }
}

fn told(sender: &Sender, ends: Millis) -> SenderTold {
    let longest_silence = sender.longest_silence();
    let at_end = sender.beats.last().map(|beat| Millis(ends.0.saturating_sub(beat.sent.0)));
    let usual = longest_silence.unwrap_or_default().max(sender.interval().unwrap_or_default());
    SenderTold {
        name: sender.name.clone(),
        beats: sender.beats.len(),
        lost: sender.lost,
        interval: sender.interval(),
        way_p50: sender.way(0.5),
        way_p99: sender.way(0.99),
        longest_silence,
        runs: sender.births.len() + 1,
        silent_at_end: at_end.filter(|silence| silence.0 > usual.0.saturating_mul(2)),
    }
}

fn told_probes(probes: &ProbeTrace) -> ProbesTold {
    let mut took: Vec<Millis> = probes.all().map(|probe| probe.took).collect();
    took.sort_unstable();
    let at = |share: f64| {
        let rank = (share * took.len() as f64).ceil() as usize;
        took.get(rank.saturating_sub(1)).copied()
    };
    ProbesTold {
        probes: took.len(),
        faults: probes.all().filter(|probe| probe.fault.is_some()).count(),
        took_p50: at(0.5),
        took_p99: at(0.99),
    }
}

/// As traces write it.
fn word(fault: reprieve_core::evidence::ProbeFault) -> String {
    let value = serde_json::to_value(fault).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// A date, if the file has dates.
fn clock(at: Millis) -> String {
    /// The year 2000: what is less counts from somewhere else.
    const DATES_FROM: Millis = Millis(946_684_800_000);
    if at < DATES_FROM {
        return format!("{} ms", at.0);
    }
    let date = std::time::UNIX_EPOCH + at.as_duration();
    humantime::format_rfc3339_millis(date).to_string()
}

/// As scenarios write it.
fn seconds(length: Millis) -> String {
    match length.0 % 1_000 {
        0 => Length(length).to_string(),
        rest => format!("{}.{rest:03}s", length.0 / 1_000),
    }
}

/// For a comment: on one line.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}
