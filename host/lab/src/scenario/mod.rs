//! A fleet, how it lives, and what happens to it: the file that the simulator reads.
//!
//! - this file: the fleet, and the checks that need more than one value
//! - [`event`]: what may happen, when, and to whom
//! - [`trace`]: beats and probes, made by chance or played from files
//!
//! `docs/simulation.md` documents every key.

pub(crate) mod event;
mod trace;
mod who;

use std::collections::BTreeMap;

use reprieve_core::{evidence::Status, settings::Settings, time::Millis};
use serde::Deserialize;
use toml::Spanned;

pub use self::trace::Open;
use self::{
    event::{Event, RawEvent},
    trace::{RawBeats, RawProbes},
    who::Placed,
};
pub(crate) use self::{
    event::{What, When},
    trace::{Beats, MadeBeats, Probes},
    who::Who,
};
use crate::{Between, Length, Share};

/// The most workspaces of one scenario: what fits into some gigabytes.
pub const MAX_WORKSPACES: u32 = 1_000_000;
/// The most hosts.
const MAX_HOSTS: u32 = 16;
/// What is wrong with a text that is shown to people.
const NOT_SEEN: &str = "holds a character that is not seen, such as \\u001b; leave it out";
/// The most events and groups in one file.
pub(crate) const MAX_LISTED: usize = 1_000;

/// A scenario that holds together.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub about: String,
    pub lasts: Millis,
    /// Hosts that see the same workspaces and share their stores.
    pub(crate) hosts: u32,
    pub(crate) groups: Vec<Group>,
    pub(crate) probes: Probes,
    pub(crate) events: Vec<Event>,
    settings: BTreeMap<String, Settings>,
}

/// Workspaces that live alike.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) count: u32,
    pub(crate) tenant: String,
    pub(crate) nodes: u32,
    pub(crate) beats: Option<Beats>,
    pub(crate) requests: Option<Requests>,
    pub(crate) boot: Between,
    pub(crate) boot_shows: Status,
    pub(crate) restart_takes: Between,
    pub(crate) restart_refused: Share,
    pub(crate) reports_ends: bool,
    /// The runtime begins another run by itself, so long after one ended.
    pub(crate) comes_back: Option<Between>,
    pub(crate) health_check: Option<HealthCheck>,
}

impl Group {
    /// Whose recorded beats its nth workspace sends, from 0: where there are more
    /// workspaces than senders, several send the same.
    pub(crate) fn sender(&self, nth: usize) -> Option<usize> {
        match self.beats.as_ref()? {
            Beats::Made(_) => None,
            Beats::Recorded(trace) => nth.checked_rem(trace.senders.len()),
        }
    }
}

/// The requests that a workspace is sent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requests {
    /// On average.
    pub(crate) every: Length,
    #[serde(default)]
    pub(crate) arrive: Arrive,
    /// After so long without an answer a request has failed.
    #[serde(default = "patience")]
    pub(crate) patience: Length,
    /// So many fail although the workspace is well: a connection that was reset.
    #[serde(default)]
    pub(crate) fail: Share,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arrive {
    /// Independently of each other.
    #[default]
    Poisson,
    /// One in each interval.
    Steady,
}

/// The runtime's own health check.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthCheck {
    pub(crate) every: Length,
    /// So many failures in a row make it unhealthy.
    #[serde(default = "three")]
    pub(crate) retries: u32,
}

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioRefused {
    /// With the place and the text around it.
    #[error("{source}")]
    Unreadable {
        #[from]
        source: toml::de::Error,
    },
    #[error("line {line}: {field}: {detail}")]
    Impossible { line: usize, field: String, detail: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    name: Spanned<String>,
    about: Spanned<String>,
    lasts: Spanned<Length>,
    hosts: Option<Spanned<u32>>,
    workspaces: Spanned<Vec<Spanned<RawGroup>>>,
    #[serde(default)]
    probes: RawProbes,
    #[serde(default, rename = "event")]
    events: Vec<Spanned<RawEvent>>,
    #[serde(default)]
    settings: BTreeMap<String, Settings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    count: Spanned<u32>,
    #[serde(default = "tenant")]
    tenant: Spanned<String>,
    nodes: Option<Spanned<u32>>,
    beats: Option<Spanned<RawBeats>>,
    requests: Option<Spanned<Requests>>,
    boot: Option<Between>,
    boot_shows: Option<Status>,
    restart_takes: Option<Between>,
    restart_refused: Option<Share>,
    #[serde(default)]
    reports_ends: bool,
    comes_back: Option<Between>,
    health_check: Option<Spanned<HealthCheck>>,
}

fn a_moment() -> Between {
    Between { least: Millis(2), most: Millis(20) }
}

fn patience() -> Length {
    Length(Millis::from_secs(30))
}

const fn three() -> u32 {
    3
}

fn tenant() -> Spanned<String> {
    Spanned::new(0..0, "acme".to_owned())
}

/// Where something stands in the file, for messages.
pub(crate) struct Place<'a>(&'a str);

impl Place<'_> {
    pub(crate) fn refused<T>(
        &self,
        at: &Spanned<T>,
        field: &str,
        detail: impl Into<String>,
    ) -> ScenarioRefused {
        let before = self.0.get(..at.span().start).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        ScenarioRefused::Impossible { line, field: field.to_owned(), detail: detail.into() }
    }
}

impl Scenario {
    /// Reads a scenario that names no files.
    pub fn parse(text: &str) -> Result<Self, ScenarioRefused> {
        let nowhere = "a scenario that is no file has none beside it";
        Self::parse_with(text, &mut |_| Err(std::io::Error::other(nowhere)))
    }

    /// Reads a scenario, and the traces that it names; refuses what cannot be, with the
    /// line and the field.
    pub fn parse_with(text: &str, open: &mut Open<'_>) -> Result<Self, ScenarioRefused> {
        let raw: RawScenario = toml::from_str(text)?;
        let place = Place(text);
        let lasts = raw.lasts.get_ref().0;
        if lasts < Millis::from_secs(1) {
            return Err(place.refused(&raw.lasts, "lasts", "must be at least \"1s\""));
        }
        if raw.name.get_ref().trim().is_empty() {
            return Err(place.refused(&raw.name, "name", "must not be empty"));
        }
        // They are printed, and stand in tables.
        if raw.name.get_ref().contains(char::is_control) {
            return Err(place.refused(&raw.name, "name", NOT_SEEN));
        }
        if raw.about.get_ref().contains(|letter: char| letter.is_control() && letter != '\n') {
            return Err(place.refused(&raw.about, "about", NOT_SEEN));
        }
        let hosts = match raw.hosts {
            None => 1,
            Some(hosts) if (1..=MAX_HOSTS).contains(hosts.get_ref()) => hosts.into_inner(),
            Some(hosts) => {
                return Err(place.refused(&hosts, "hosts", format!("must be 1 to {MAX_HOSTS}")));
            }
        };
        let groups = groups(&place, raw.workspaces, lasts, open)?;
        if let Some(event) = raw.events.get(MAX_LISTED) {
            return Err(place.refused(event, "event", format!("at most {MAX_LISTED} are taken")));
        }
        let placed = Placed::of(&groups);
        let checked = |event| event::check(&place, event, lasts, hosts, &placed);
        let events = raw.events.into_iter().map(checked).collect::<Result<_, _>>()?;
        Ok(Self {
            name: raw.name.into_inner(),
            about: raw.about.into_inner(),
            lasts,
            hosts,
            groups,
            probes: raw.probes.check(&place, open)?,
            events,
            settings: raw.settings,
        })
    }

    /// Workspaces of all groups.
    pub fn workspaces(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// What the scenario sets for a policy of that name.
    pub fn settings_of(&self, policy: &str) -> Settings {
        self.settings.get(policy).cloned().unwrap_or_default()
    }
}

fn groups(
    place: &Place<'_>,
    raw: Spanned<Vec<Spanned<RawGroup>>>,
    lasts: Millis,
    open: &mut Open<'_>,
) -> Result<Vec<Group>, ScenarioRefused> {
    if raw.get_ref().is_empty() || raw.get_ref().len() > MAX_LISTED {
        let detail = format!("1 to {MAX_LISTED} groups are taken");
        return Err(place.refused(&raw, "workspaces", detail));
    }
    let mut total = 0_u32;
    let mut groups = Vec::new();
    for group in raw.into_inner() {
        let group = group.into_inner();
        let count = *group.count.get_ref();
        total = total.saturating_add(count);
        if count == 0 || total > MAX_WORKSPACES {
            let detail =
                format!("must be 1 to {MAX_WORKSPACES} workspaces, of all groups together");
            return Err(place.refused(&group.count, "workspaces.count", detail));
        }
        groups.push(group.check(place, lasts, open)?);
    }
    Ok(groups)
}

impl RawGroup {
    fn check(
        self,
        place: &Place<'_>,
        lasts: Millis,
        open: &mut Open<'_>,
    ) -> Result<Group, ScenarioRefused> {
        let count = self.count.into_inner();
        let nodes = match self.nodes {
            None => 1,
            Some(nodes) if (1..=count).contains(nodes.get_ref()) => nodes.into_inner(),
            Some(nodes) => {
                let detail = format!("must be 1 to {count}, as many as there are workspaces");
                return Err(place.refused(&nodes, "workspaces.nodes", detail));
            }
        };
        if let Err(error) = self.tenant.get_ref().parse::<reprieve_core::ids::TenantId>() {
            return Err(place.refused(&self.tenant, "workspaces.tenant", error.to_string()));
        }
        if let Some(requests) = &self.requests {
            let Requests { every, patience, .. } = requests.get_ref();
            if every.0 < SHORTEST_INTERVAL || patience.0 == Millis::ZERO {
                let detail = format!(
                    "`every` must be at least \"{}\", and `patience` more than nothing",
                    Length(SHORTEST_INTERVAL)
                );
                return Err(place.refused(requests, "workspaces.requests", detail));
            }
        }
        if let Some(check) = &self.health_check {
            let HealthCheck { every, retries } = check.get_ref();
            if every.0 < SHORTEST_INTERVAL || !(1..=MAX_RETRIES).contains(retries) {
                let detail = format!(
                    "`every` must be at least \"{}\", and `retries` 1 to {MAX_RETRIES}",
                    Length(SHORTEST_INTERVAL)
                );
                return Err(place.refused(check, "workspaces.health_check", detail));
            }
        }
        let beats =
            self.beats.map(|beats| RawBeats::check(beats, place, lasts, open)).transpose()?;
        Ok(Group {
            count,
            tenant: self.tenant.into_inner(),
            nodes,
            beats,
            requests: self.requests.map(Spanned::into_inner),
            boot: self.boot.unwrap_or(Between::exactly(Millis::from_secs(5))),
            boot_shows: self.boot_shows.unwrap_or(Status::Starting),
            restart_takes: self.restart_takes.unwrap_or(Between::exactly(Millis(250))),
            restart_refused: self.restart_refused.unwrap_or_default(),
            reports_ends: self.reports_ends,
            comes_back: self.comes_back,
            health_check: self.health_check.map(Spanned::into_inner),
        })
    }
}

/// Nothing that repeats does so more often.
const SHORTEST_INTERVAL: Millis = Millis(100);
/// As many failed checks in a row as a health check may want.
const MAX_RETRIES: u32 = 100;

#[cfg(test)]
mod tests;
