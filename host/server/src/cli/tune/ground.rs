//! What points are tried on: a scenario, run by seeds, or a log of decisions, judged again
//! group by group. A group takes the place of a seed.

use std::{collections::HashMap, fs::File, io::Read as _, path::Path, sync::Arc};

use anyhow::Context as _;
use reprieve_core::{ids::Digest, settings::Settings};
use reprieve_lab::{
    Contender, Lab, RunOptions, Scenario, Seed, simulate as play,
    tune::{MAX_DECISIONS, Outcome, Part, Record, RecordRefused, Tally},
};
use reprieve_runtime::Policy;
use serde_json::{Value, json};

use crate::cli::{
    output::{self, BAD, UsageError},
    replay::Log,
    simulate,
};

/// What the search has not seen is numbered from here on.
const UNSEEN: u64 = 1 << 40;
/// Lines of a log that are no decisions and are told one by one.
const MAX_BAD_LINES: usize = 20;
/// So much of a file tells what it is.
const BEGINNING_BYTES: u64 = 4 << 10;

pub(super) enum Ground {
    Scenario(Box<Scenario>),
    Record { name: String, record: Record },
}

impl Ground {
    /// None: it is no log, and all that is wrong with it has been told.
    pub(super) fn read(on: &Path) -> anyhow::Result<Option<Self>> {
        if !is_log(on)? {
            let scenario = simulate::read(on).map_err(UsageError::of)?;
            return Ok(Some(Self::Scenario(Box::new(scenario))));
        }
        let mut log = Log::open(on).map_err(UsageError::of)?;
        let (mut decisions, mut bad_lines) = (Vec::new(), 0);
        while let Some(read) = log.next().map_err(UsageError::of)? {
            match read {
                Ok(_) if decisions.len() == MAX_DECISIONS => {
                    return Err(refused(log.name(), RecordRefused::TooLong).into());
                }
                Ok(decision) => decisions.push(decision),
                Err(bad) => {
                    bad_lines += 1;
                    if bad_lines <= MAX_BAD_LINES {
                        let line = output::plain(&format!("{}, {bad}", log.name()));
                        output::complain(&format!("{} {line}", output::styled(BAD, "error:")));
                    }
                }
            }
        }
        if bad_lines > 0 {
            if bad_lines > MAX_BAD_LINES {
                output::complain(&format!("{bad_lines} in all are no decisions"));
            }
            return Ok(None);
        }
        let name = log.name().to_owned();
        let record = Record::of(decisions).map_err(|error| refused(&name, error))?;
        Ok(Some(Self::Record { name, record }))
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Scenario(scenario) => &scenario.name,
            Self::Record { name, .. } => name,
        }
    }

    pub(super) fn about(&self) -> String {
        match self {
            Self::Scenario(scenario) => scenario.about.clone(),
            Self::Record { record, .. } => format!(
                "{} decisions about {} workspaces within {}.",
                record.decisions(),
                record.workspaces(),
                record.lasts()
            ),
        }
    }

    /// The first seed or group that is searched, and how many of them.
    pub(super) fn searched(&self, seed: u64, runs: u64) -> (u64, u64) {
        match self {
            Self::Scenario(_) => (seed, runs),
            Self::Record { record, .. } => (0, runs.min(record.groups(Part::Earlier))),
        }
    }

    /// Those that the search has not seen.
    pub(super) fn unseen(&self, seed: u64, runs: u64) -> Vec<u64> {
        let (first, count) = match self {
            Self::Scenario(_) => (UNSEEN + seed, runs),
            Self::Record { record, .. } => (UNSEEN, record.groups(Part::Later)),
        };
        (first..first + count).collect()
    }

    /// What seeds are here, for people.
    pub(super) const fn runs(&self) -> &'static str {
        match self {
            Self::Scenario(_) => "runs",
            Self::Record { .. } => "groups of incidents",
        }
    }

    /// Where what is recommended was tried again, for people.
    pub(super) const fn again(&self) -> &'static str {
        match self {
            Self::Scenario(_) => "other seeds",
            Self::Record { .. } => "groups of the later part, which the search has not seen",
        }
    }
}

fn refused(name: &str, error: RecordRefused) -> UsageError {
    let said = format!("nothing can be tuned on {name}");
    UsageError(said, Some(error.into()))
}

/// Standard input and folders are logs; a file is, if it begins as JSON does, or says so
/// by its name.
fn is_log(on: &Path) -> Result<bool, UsageError> {
    if on == Path::new("-") || on.is_dir() {
        return Ok(true);
    }
    let mut beginning = Vec::new();
    let read = File::open(on)
        .and_then(|file| file.take(BEGINNING_BYTES).read_to_end(&mut beginning))
        .with_context(|| format!("cannot read {}", on.display()));
    read.map_err(UsageError::of)?;
    let says_so = on.extension().is_some_and(|kind| kind == "jsonl" || kind == "json");
    Ok(says_so || beginning.trim_ascii_start().first() == Some(&b'{'))
}

/// One policy on one ground.
pub(super) struct Trial<'a> {
    pub(super) ground: &'a Ground,
    pub(super) source: &'a str,
    pub(super) bytes: &'a [u8],
}

/// What a thread tries it with.
pub(super) struct Bench {
    policy: Arc<Policy>,
    contenders: HashMap<Digest, Contender>,
}

impl Trial<'_> {
    /// What the results of a journal must be results of.
    pub(super) fn mark(&self) -> anyhow::Result<Value> {
        let on = match self.ground {
            Ground::Scenario(scenario) => Digest::of(format!("{scenario:?}").as_bytes()),
            Ground::Record { record, .. } => record.digest(),
        };
        Ok(json!({
            "reprieve": env!("CARGO_PKG_VERSION"),
            "policy": Digest::of(self.bytes).to_string(),
            "on": on.to_string(),
        }))
    }

    pub(super) fn bench(&self) -> Result<Bench, UsageError> {
        let lab = Lab::new().map_err(UsageError::of)?;
        let policy = lab.load(self.source, self.bytes).map_err(UsageError::of)?;
        Ok(Bench { policy, contenders: HashMap::new() })
    }

    /// With a scenario's own settings below those that are tried; on a log with the
    /// policy's defaults.
    pub(super) fn contender<'b>(
        &self,
        bench: &'b mut Bench,
        tried: &Settings,
    ) -> Result<&'b Contender, UsageError> {
        let key = reprieve_core::settings::digest(tried);
        if !bench.contenders.contains_key(&key) {
            let made = match self.ground {
                Ground::Scenario(scenario) => Contender::on(scenario, &bench.policy, tried),
                Ground::Record { .. } => {
                    Contender::new(self.source, Arc::clone(&bench.policy), tried.clone())
                }
            };
            bench.contenders.insert(key, made.map_err(UsageError::of)?);
        }
        Ok(&bench.contenders[&key])
    }

    pub(super) fn run(
        &self,
        bench: &mut Bench,
        tried: &Settings,
        seed: u64,
    ) -> Result<Outcome, UsageError> {
        let contender = self.contender(bench, tried)?;
        Ok(match self.ground {
            Ground::Scenario(scenario) => {
                let options = RunOptions::seeded(Seed(seed));
                Outcome::of(&play(scenario, contender, options, &mut |_| {}).measures)
            }
            Ground::Record { record, .. } => {
                let (part, group) = match seed.checked_sub(UNSEEN) {
                    None => (Part::Earlier, seed),
                    Some(group) => (Part::Later, group),
                };
                record.outcome(part, group, contender.generation())
            }
        })
    }

    /// What stands behind the outcome of settings on the later part of a log.
    pub(super) fn tally(
        &self,
        bench: &mut Bench,
        tried: &Settings,
    ) -> Result<Option<Tally>, UsageError> {
        let Ground::Record { record, .. } = self.ground else { return Ok(None) };
        let contender = self.contender(bench, tried)?;
        Ok(Some(record.tally(Part::Later, contender.generation())))
    }
}
