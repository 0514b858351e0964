//! The file that says what is tried. What is wrong in it is named with its line, before
//! a host is asked.

use std::{fs, path::Path, time::UNIX_EPOCH};

use reprieve_core::{
    experiment::{ALL_BP, Candidate, Experiment, Guardrails, Mode, Target, Unsound},
    ids::{Digest, ExperimentName},
    settings::Settings,
    time::{Millis, UnixMillis},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

use crate::{cli::output::UsageError, config::units::Length};

/// From a second to a year.
type Runs = Length<1_000, 31_536_000_000>;
/// As guardrails allow it.
type Recovery = Length<1_000, 3_600_000>;

/// An experiment to be started.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    /// Its candidate's component stands in `component`.
    experiment: Experiment,
    /// The candidate's, as the definition names it: a file, a name or a digest.
    pub(crate) policy: Option<String>,
    pub(crate) component: Option<Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: ExperimentName,
    owner: String,
    hypothesis: String,
    mode: Mode,
    share: Option<Share>,
    share_bp: Option<u16>,
    ends_at: Option<Moment>,
    #[serde(rename = "for")]
    runs_for: Option<Runs>,
    #[serde(default)]
    target: Target,
    candidate: CandidateNamed,
    #[serde(default)]
    guardrails: GuardrailsNamed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CandidateNamed {
    policy: Option<String>,
    #[serde(default)]
    settings: Settings,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GuardrailsNamed {
    error_bound: Option<f64>,
    min_events: Option<u64>,
    min_judgements: Option<u64>,
    max_disagreement: Option<Share>,
    max_disagreement_bp: Option<u16>,
    slow_recovery: Option<Recovery>,
}

/// Of a whole, in basis points: `"10%"`, `"0.5%"`.
#[derive(Clone, Copy)]
struct Share(u16);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        let bp = percent.map(|percent| (percent * 100.0).round());
        let bp = bp.filter(|bp| (1.0..=f64::from(ALL_BP)).contains(bp));
        let wrong = || {
            D::Error::custom(format_args!(
                "{text:?} is no share; write 0.01% to 100%, like \"10%\""
            ))
        };
        // Within the range that was looked at.
        bp.map(|bp| Self(bp as u16)).ok_or_else(wrong)
    }
}

/// RFC 3339, in UTC; in quotes or without.
struct Moment(UnixMillis);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        let at = humantime::parse_rfc3339_weak(&text).ok();
        let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let ms = since.and_then(|since| u64::try_from(since.as_millis()).ok());
        ms.map(|ms| Self(UnixMillis(ms))).ok_or_else(|| {
            D::Error::custom(format_args!(
                "{text:?} is no moment; write it in UTC, like \"2027-01-31T12:00:00Z\""
            ))
        })
    }
}

/// `--for`: a length of time, as files have it.
pub(crate) fn length(text: &str) -> Result<Millis, String> {
    let quoted = toml::Value::String(text.to_owned());
    Runs::deserialize(quoted).map(Runs::get).map_err(|error| error.message().to_owned())
}

impl Definition {
    /// Reads a file. `runs_for` goes before what it says of its end.
    pub(super) fn read(
        file: &Path,
        runs_for: Option<Millis>,
        now: UnixMillis,
    ) -> Result<Self, UsageError> {
        let at = file.display();
        let text = fs::read_to_string(file).map_err(|error| {
            UsageError(format!("cannot read the definition {at}"), Some(error.into()))
        })?;
        Self::parse(&text, runs_for, now)
            .map_err(|wrong| UsageError(format!("the definition {at} is not valid: {wrong}"), None))
    }

    /// The error names the line.
    fn parse(text: &str, runs_for: Option<Millis>, now: UnixMillis) -> Result<Self, String> {
        let read: Result<File, toml::de::Error> = toml::from_str(text);
        let file = read.map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            format!("line {line}: {}", error.message())
        })?;
        let at = |key: &str, wrong: String| format!("line {}: {wrong}", line_of(text, key));
        let runs_for = runs_for.or(file.runs_for.map(Runs::get));
        let ends_at = match (runs_for, file.ends_at) {
            (Some(runs_for), _) => now + runs_for,
            (None, Some(Moment(ends_at))) => ends_at,
            (None, None) => {
                let remedy = "an end is missing: write for = \"7d\", or say --for 7d";
                return Err(at("name", remedy.to_owned()));
            }
        };
        let share = file.share.map(|Share(bp)| bp).or(file.share_bp);
        let Some(share_bp) = share else {
            return Err(at("mode", "a share is missing: write share = \"10%\"".to_owned()));
        };
        let CandidateNamed { policy, settings } = file.candidate;
        // What it will be is found out by whoever loads it.
        let component = policy.as_deref().map(|policy| Digest::of(policy.as_bytes()));
        let experiment = Experiment {
            name: file.name,
            owner: file.owner,
            hypothesis: file.hypothesis,
            mode: file.mode,
            share_bp,
            target: file.target,
            candidate: Candidate { component, settings },
            guardrails: file.guardrails.over_the_usual(),
            ends_at,
        };
        experiment.check(now).map_err(|unsound| at(key(&unsound), unsound.to_string()))?;
        Ok(Self { experiment, policy, component: None })
    }

    /// A shadow over the fleet.
    pub(crate) fn shadow(
        name: ExperimentName,
        component: Digest,
        owner: &str,
        hypothesis: &str,
        ends_at: UnixMillis,
    ) -> Self {
        let experiment = Experiment {
            name,
            owner: owner.to_owned(),
            hypothesis: hypothesis.to_owned(),
            mode: Mode::Shadow,
            share_bp: ALL_BP,
            target: Target::default(),
            candidate: Candidate::default(),
            guardrails: Guardrails::default(),
            ends_at,
        };
        Self { experiment, policy: None, component: Some(component) }
    }

    /// As the host takes it.
    pub(super) fn to_json(&self) -> Value {
        let Experiment { guardrails, target, candidate, .. } = &self.experiment;
        let mut judges_by = json!({"settings": candidate.settings});
        if let Some(component) = self.component {
            judges_by["component"] = json!(component);
        }
        let mut held_to = json!({
            "error_bound": guardrails.error_bound,
            "min_events": guardrails.min_events,
            "min_judgements": guardrails.min_judgements,
            "slow_recovery_ms": guardrails.slow_recovery,
        });
        if let Some(bp) = guardrails.max_disagreement_bp {
            held_to["max_disagreement_bp"] = json!(bp);
        }
        json!({
            "name": self.experiment.name,
            "owner": self.experiment.owner,
            "hypothesis": self.experiment.hypothesis,
            "mode": self.experiment.mode,
            "share_bp": self.experiment.share_bp,
            "target": target,
            "candidate": judges_by,
            "guardrails": held_to,
            "ends_at_ms": self.experiment.ends_at,
        })
    }
}

impl GuardrailsNamed {
    fn over_the_usual(self) -> Guardrails {
        let usual = Guardrails::default();
        let most = self.max_disagreement.map(|Share(bp)| bp).or(self.max_disagreement_bp);
        Guardrails {
            error_bound: self.error_bound.unwrap_or(usual.error_bound),
            min_events: self.min_events.unwrap_or(usual.min_events),
            min_judgements: self.min_judgements.unwrap_or(usual.min_judgements),
            max_disagreement_bp: most.or(usual.max_disagreement_bp),
            slow_recovery: self.slow_recovery.map_or(usual.slow_recovery, Recovery::get),
        }
    }
}

/// The key that is at fault.
const fn key(unsound: &Unsound) -> &'static str {
    match unsound {
        Unsound::Share { .. } | Unsound::LargeCanary { .. } => "share",
        Unsound::NoDifference => "[candidate]",
        Unsound::Empty { what, .. } | Unsound::TooLong { what, .. } => what,
        Unsound::Over { .. } => "ends_at",
        Unsound::Guardrails(unsound) => unsound.key,
    }
}

/// The line of a key, or the first.
fn line_of(text: &str, key: &str) -> usize {
    let found = text.lines().position(|line| line.trim_start().starts_with(key));
    found.map_or(1, |index| index + 1)
}

fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const GOOD: &str = "name = 'faster'\nowner = 'ana'\nhypothesis = 'finds more'\n\
        mode = 'canary'\nshare = '10%'\nfor = '7d'\n[target]\ntenants = ['acme']\n\
        [candidate]\npolicy = 'mine.wasm'\nsettings = { settle = '30s' }\n\
        [guardrails]\nmax_disagreement = '5%'\nslow_recovery = '90s'\n";

    #[test]
    fn a_definition_says_what_is_tried_on_whom_and_until_when() {
        let read = Definition::parse(GOOD, None, NOW).unwrap();
        assert_eq!(read.policy.as_deref(), Some("mine.wasm"));
        let told = read.to_json();
        assert_eq!(told["share_bp"], 1_000);
        assert_eq!(told["ends_at_ms"], NOW.0 + 7 * 86_400_000);
        assert_eq!(told["guardrails"]["max_disagreement_bp"], 500);
        assert_eq!(told["guardrails"]["slow_recovery_ms"], 90_000);
        assert_eq!(told["target"]["tenants"], json!(["acme"]));
        assert_eq!(told["candidate"], json!({"settings": {"settle": "30s"}}));
        let sooner = Definition::parse(GOOD, length("1h").ok(), NOW).unwrap();
        assert_eq!(sooner.to_json()["ends_at_ms"], NOW.0 + 3_600_000, "--for goes before");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_its_value_and_the_remedy() {
        for (good, bad, line, part) in [
            ("share = '10%'", "share = '0%'", 5, "\"0%\" is no share; write 0.01% to 100%"),
            ("share = '10%'", "share = 10", 5, "expected a string"),
            ("share = '10%'", "share = '80%'", 5, "most of the fleet"),
            ("mode = 'canary'", "mode = 'canry'", 4, "unknown variant `canry`"),
            ("owner = 'ana'", "owner = ''", 2, "say whom to ask"),
            ("owner = 'ana'", "owners = 'ana'", 2, "unknown field `owners`"),
            ("name = 'faster'", "name = 'a b'", 1, "\"a b\" is not valid"),
            ("for = '7d'", "for = '7'", 6, "\"7\" is not valid"),
            ("for = '7d'", "ends_at = 'soon'", 6, "\"soon\" is no moment; write it in UTC"),
            ("for = '7d'", "ends_at = 2001-01-01T00:00:00Z", 6, "name a later end"),
            ("for = '7d'\n", "", 1, "write for = \"7d\""),
            ("slow_recovery = '90s'", "error_bound = 2.0", 14, "0.0001 to 0.5 is allowed"),
            ("= '7d'", "= ", 6, ""),
        ] {
            let refused = Definition::parse(&GOOD.replace(good, bad), None, NOW).unwrap_err();
            assert!(refused.starts_with(&format!("line {line}: ")), "{bad}: {refused}");
            assert!(refused.contains(part), "{bad}: {refused}");
        }
    }
}
