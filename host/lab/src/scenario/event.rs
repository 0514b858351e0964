//! What may happen, when, and to whom.

use reprieve_core::{
    evidence::{ProbeFault, Status},
    settings::Settings,
    time::Millis,
};
use serde::Deserialize;
use toml::Spanned;

use super::{Place, Placed, ScenarioRefused, Who};
use crate::{Between, Length, Share};

/// The most often that something happens by chance to one workspace, node or host.
const MOST_PER_DAY: f64 = 10_000.0;
/// The most requests of one event to one workspace.
const MOST_TIMES: u32 = 1_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) when: When,
    pub(crate) who: Who,
    /// So many of them, drawn anew each time. None: all.
    pub(crate) pick: Option<u32>,
    /// Each is hit up to so much later.
    pub(crate) spread: Millis,
}

/// When it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// After the beginning, and again after each `every`.
    At { first: Millis, every: Option<Millis> },
    /// So often on average, to each of them on its own, or to all of them together.
    PerDay { times: f64, each: Each },
}

/// To whom something happens by chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Each {
    #[default]
    Workspace,
    /// To all workspaces of one node together.
    Node,
    /// To all that `who` names together.
    Together,
}

/// What it does.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The run ends by itself.
    Crash { exit_code: i32, out_of_memory: bool },
    /// Somebody takes it away, with all that the runtime knew of it.
    Remove,
    /// It runs, and neither beats nor answers: for so long, or until it is restarted.
    Hang { lasts: Option<Between> },
    /// It answers too late: so many requests fail. Its beats come late by so much.
    Slow { lasts: Between, share: f64, late: Between },
    /// It answers, and does not beat.
    Mute { lasts: Between },
    /// The runtime does not answer probes: so many of them end in that fault.
    Stall { lasts: Between, fault: ProbeFault, share: f64 },
    /// The runtime says of a workspace what is not so.
    Lie { lasts: Between, shows: Status, share: f64 },
    /// Hosts and workspaces cannot reach each other. None: no host can.
    Cut { lasts: Between, host: Option<u32> },
    /// The hosts' stores cannot be used.
    StoreFault { lasts: Between },
    /// A host stands still.
    Pause { lasts: Between, host: u32 },
    /// The workspace's settings change.
    Change,
    /// A person orders a restart.
    Restart,
    /// A request fails although the workspace may be well: its connection is reset.
    Reset,
    /// Requests arrive, beside those of every day.
    Request { times: u32, within: Millis },
    /// The policy's settings change, from now on, for everybody.
    Retune { settings: Settings },
}

/// What an event is called in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Crash,
    Remove,
    Hang,
    Slow,
    Mute,
    Stall,
    Lie,
    Cut,
    StoreFault,
    Pause,
    Change,
    Restart,
    Reset,
    Request,
    Retune,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEvent {
    what: Spanned<Kind>,
    at: Option<Spanned<Length>>,
    every: Option<Spanned<Length>>,
    per_day: Option<Spanned<f64>>,
    each: Option<Spanned<Each>>,
    who: Option<Spanned<Who>>,
    pick: Option<Spanned<u32>>,
    spread: Option<Spanned<Length>>,
    #[serde(rename = "for")]
    lasts: Option<Spanned<Between>>,
    share: Option<Spanned<Share>>,
    fault: Option<Spanned<ProbeFault>>,
    shows: Option<Spanned<Status>>,
    late: Option<Spanned<Between>>,
    host: Option<Spanned<u32>>,
    exit_code: Option<Spanned<i32>>,
    out_of_memory: Option<Spanned<bool>>,
    times: Option<Spanned<u32>>,
    within: Option<Spanned<Length>>,
    settings: Option<Spanned<Settings>>,
}

pub(super) fn check(
    place: &Place<'_>,
    event: Spanned<RawEvent>,
    scenario_lasts: Millis,
    hosts: u32,
    placed: &Placed,
) -> Result<Event, ScenarioRefused> {
    let mut raw = event.into_inner();
    let when = raw.when(place, scenario_lasts)?;
    if let Some(who) = &raw.who
        && let Some(detail) = placed.lacks(who.get_ref())
    {
        return Err(place.refused(who, "event.who", detail));
    }
    if let Some(pick) = raw.pick.as_ref().filter(|pick| *pick.get_ref() == 0) {
        return Err(place.refused(pick, "event.pick", "must be at least 1"));
    }
    if let Some(host) = raw.host.as_ref().filter(|host| !(1..=hosts).contains(host.get_ref())) {
        return Err(place.refused(host, "event.host", format!("must be 1 to {hosts}")));
    }
    let what = raw.what(place)?;
    raw.nothing_left(place)?;
    Ok(Event {
        what,
        when,
        who: raw.who.map(Spanned::into_inner).unwrap_or_default(),
        pick: raw.pick.map(Spanned::into_inner),
        spread: raw.spread.map(|spread| spread.into_inner().0).unwrap_or_default(),
    })
}

impl RawEvent {
    fn when(&mut self, place: &Place<'_>, scenario_lasts: Millis) -> Result<When, ScenarioRefused> {
        match (self.at.take(), self.per_day.take()) {
            (Some(at), None) => {
                let first = at.get_ref().0;
                if first >= scenario_lasts {
                    let detail = format!("the scenario ends at \"{}\"", Length(scenario_lasts));
                    return Err(place.refused(&at, "event.at", detail));
                }
                let every = self.every.take();
                if let Some(every) = every.as_ref().filter(|every| every.get_ref().0.0 == 0) {
                    return Err(place.refused(every, "event.every", "must be more than nothing"));
                }
                Ok(When::At { first, every: every.map(|every| every.into_inner().0) })
            }
            (None, Some(times)) => {
                let wanted = *times.get_ref();
                if !(wanted > 0.0 && wanted <= MOST_PER_DAY) {
                    let detail = format!("must be above 0 and at most {MOST_PER_DAY}");
                    return Err(place.refused(&times, "event.per_day", detail));
                }
                let each = self.each.take().map(Spanned::into_inner).unwrap_or_default();
                Ok(When::PerDay { times: wanted, each })
            }
            (Some(_), Some(both)) => {
                Err(place.refused(&both, "event.per_day", "say `at` or `per_day`, not both"))
            }
            (None, None) => {
                Err(place.refused(&self.what, "event.at", "say `at` or `per_day`: when it happens"))
            }
        }
    }

    fn what(&mut self, place: &Place<'_>) -> Result<What, ScenarioRefused> {
        let share =
            |share: Option<Spanned<Share>>| share.map_or(1.0, |share| share.get_ref().get());
        Ok(match *self.what.get_ref() {
            Kind::Crash => What::Crash {
                exit_code: taken(&mut self.exit_code).unwrap_or(137),
                out_of_memory: taken(&mut self.out_of_memory).unwrap_or_default(),
            },
            Kind::Remove => What::Remove,
            Kind::Hang => What::Hang { lasts: taken(&mut self.lasts) },
            Kind::Slow => What::Slow {
                lasts: self.lasts(place)?,
                share: share(self.share.take()),
                late: taken(&mut self.late).unwrap_or(Between::exactly(Millis::ZERO)),
            },
            Kind::Mute => What::Mute { lasts: self.lasts(place)? },
            Kind::Stall => What::Stall {
                lasts: self.lasts(place)?,
                fault: taken(&mut self.fault).unwrap_or(ProbeFault::TimedOut),
                share: share(self.share.take()),
            },
            Kind::Lie => What::Lie {
                lasts: self.lasts(place)?,
                shows: taken(&mut self.shows).unwrap_or(Status::Stopped),
                share: share(self.share.take()),
            },
            Kind::Cut => What::Cut {
                lasts: self.lasts(place)?,
                host: taken(&mut self.host).map(|host| host - 1),
            },
            Kind::StoreFault => What::StoreFault { lasts: self.lasts(place)? },
            Kind::Pause => What::Pause {
                lasts: self.lasts(place)?,
                host: taken(&mut self.host).unwrap_or(1) - 1,
            },
            Kind::Change => What::Change,
            Kind::Restart => What::Restart,
            Kind::Reset => What::Reset,
            Kind::Request => {
                let times = self.times.take();
                if let Some(times) =
                    times.as_ref().filter(|times| !(1..=MOST_TIMES).contains(times.get_ref()))
                {
                    let detail = format!("must be 1 to {MOST_TIMES}");
                    return Err(place.refused(times, "event.times", detail));
                }
                What::Request {
                    times: times.map_or(1, Spanned::into_inner),
                    within: taken(&mut self.within).map(|within| within.0).unwrap_or_default(),
                }
            }
            Kind::Retune => match taken(&mut self.settings) {
                Some(settings) => What::Retune { settings },
                None => return Err(place.refused(&self.what, "event.settings", "are missing")),
            },
        })
    }

    fn lasts(&mut self, place: &Place<'_>) -> Result<Between, ScenarioRefused> {
        taken(&mut self.lasts)
            .ok_or_else(|| place.refused(&self.what, "event.for", "is missing: how long it lasts"))
    }

    /// What was not taken does not belong to this kind of event.
    fn nothing_left(&self, place: &Place<'_>) -> Result<(), ScenarioRefused> {
        let kind = self.what.get_ref();
        let left = [
            self.every.as_ref().map(|at| (at.span(), "every")),
            self.each.as_ref().map(|at| (at.span(), "each")),
            self.lasts.as_ref().map(|at| (at.span(), "for")),
            self.share.as_ref().map(|at| (at.span(), "share")),
            self.fault.as_ref().map(|at| (at.span(), "fault")),
            self.shows.as_ref().map(|at| (at.span(), "shows")),
            self.late.as_ref().map(|at| (at.span(), "late")),
            self.host.as_ref().map(|at| (at.span(), "host")),
            self.exit_code.as_ref().map(|at| (at.span(), "exit_code")),
            self.out_of_memory.as_ref().map(|at| (at.span(), "out_of_memory")),
            self.times.as_ref().map(|at| (at.span(), "times")),
            self.within.as_ref().map(|at| (at.span(), "within")),
            self.settings.as_ref().map(|at| (at.span(), "settings")),
        ];
        match left.into_iter().flatten().next() {
            None => Ok(()),
            Some((span, field)) => {
                let (at, kind) = (Spanned::new(span, ()), format!("{kind:?}").to_lowercase());
                let detail = format!("means nothing here, with what = {kind:?}");
                Err(place.refused(&at, &format!("event.{field}"), detail))
            }
        }
    }
}

fn taken<T>(value: &mut Option<Spanned<T>>) -> Option<T> {
    value.take().map(Spanned::into_inner)
}
