//! What a search came to, for people and for machines.

use std::fmt::Write as _;

use anyhow::Context as _;
use reprieve_core::settings::Settings;
use reprieve_lab::{
    score::Figure,
    tune::{Price, Search, Tally, Told},
};
use serde_json::{Value, json};

use super::{
    TuneArgs,
    ground::{Ground, Trial},
};
use crate::cli::{
    output::{self, GOOD},
    pool,
    progress::Progress,
    table,
};

/// What the search came to.
pub(super) struct Found {
    pub(super) price: Price,
    pub(super) best: Told,
    /// On what the search has not seen.
    again: Told,
    /// Of a log: how much of that it tells.
    tally: Option<Tally>,
    /// By how much the second best is dearer.
    margin: Option<(Told, Figure)>,
    pub(super) front: Vec<Told>,
    points: usize,
    runs: usize,
}

impl Found {
    pub(super) fn of(
        search: &Search,
        trial: &Trial<'_>,
        args: &TuneArgs,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let price = search.plan().price;
        let points = search.points();
        let best = search.best().context("nothing was run; that is a defect")?;
        let seeds = trial.ground.unseen(args.seed, args.runs);
        let settings = &points[best].settings;
        let outcomes = pool::each(
            &seeds,
            args.jobs,
            progress,
            || trial.bench(),
            |bench, seed| trial.run(bench, settings, *seed),
        )?;
        let mut again = points[best].clone();
        again.outcomes = seeds.into_iter().zip(outcomes).collect();
        let most = points[best].outcomes.len();
        let others = (0..points.len())
            .filter(|&other| other != best && points[other].outcomes.len() == most);
        let margin = others
            .filter_map(|other| Some((other, search.dearer(other, best)?)))
            .min_by(|(_, a), (_, b)| a.mean.total_cmp(&b.mean))
            .map(|(other, margin)| (Told::of(&points[other], price), margin));
        Ok(Self {
            price,
            best: Told::of(&points[best], price),
            again: Told::of(&again, price),
            tally: trial.tally(&mut trial.bench()?, settings)?,
            margin,
            front: search
                .front()
                .into_iter()
                .map(|point| Told::of(&points[point], price))
                .collect(),
            points: points.len(),
            runs: points.iter().map(|point| point.outcomes.len()).sum(),
        })
    }

    pub(super) fn to_json(&self, ground: &Ground) -> Value {
        let margin = self.margin.as_ref();
        let mut told = json!({
            "price": self.price,
            "recommended": self.best,
            "second": margin.map(|(second, by)| json!({"point": second, "dearer_by": by})),
            "front": self.front,
            "points": self.points,
            "runs": self.runs,
        });
        match ground {
            Ground::Scenario(scenario) => {
                told["scenario"] = json!(scenario.name);
                told["on_other_seeds"] = json!(self.again);
            }
            Ground::Record { name, .. } => {
                told["log"] = json!(name);
                told["on_later_part"] = json!(self.again);
                told["tally"] = json!(self.tally);
                let share = self.tally.as_ref().and_then(Tally::false_share);
                told["false_share"] = json!(share.map(|(low, high)| [low, high]));
            }
        }
        told
    }

    /// The settings file.
    pub(super) fn file(&self, ground: &Ground) -> String {
        let mut text = format!(
            "# Recommended by `reprieve tune` on {}: {} points, {} {}.\n",
            output::plain(ground.name()),
            self.points,
            self.runs,
            ground.runs()
        );
        text += &toml::to_string(&self.best.settings).unwrap_or_default();
        text
    }

    pub(super) fn prose(&self, ground: &Ground, args: &TuneArgs) -> String {
        let Price { false_restart, unfound_min } = self.price;
        let mut text = format!(
            "{}: {} points, {} {}; {false_restart} for a restart of the living, {unfound_min} for \
             a minute in which one lies dead\n\n",
            output::plain(ground.name()),
            self.points,
            self.runs,
            ground.runs()
        );
        let rows = self.front.iter().map(row).collect::<Vec<_>>();
        let runs = ground.runs().to_uppercase();
        let headings =
            ["THE FRONT", "T_D MEAN", "UNFOUND MIN A DAY", "FALSE A DAY", "PRICE", &*runs];
        text += &table::print(headings, &rows, |_, _| None);
        let _ = writeln!(
            text,
            "\n{} {}",
            output::styled(GOOD, "recommended:"),
            shown(&self.best.settings)
        );
        let [_, detect, unfound, false_a_day, price, _] = row(&self.best);
        let _ = writeln!(
            text,
            "  found within {detect} on average, {unfound} min unfound and {false_a_day} false \
             restarts a workspace and day; price {price}"
        );
        let [_, detect, unfound, false_a_day, price, _] = row(&self.again);
        let _ = writeln!(
            text,
            "  on {} {}: {detect}, {unfound}, {false_a_day}; price {price}",
            self.again.runs,
            ground.again()
        );
        text += &self.tally.as_ref().map(told).unwrap_or_default();
        if let Some((second, by)) = &self.margin {
            let sure = match by.low > 0.0 {
                true => "surely",
                false => "not surely",
            };
            let _ = writeln!(
                text,
                "  {sure} better than {}: by {:.3} ({:.3} to {:.3})",
                shown(&second.settings),
                by.mean,
                by.low,
                by.high
            );
        }
        if let Some(file) = &args.out {
            let file = output::plain(&file.display().to_string());
            let _ = writeln!(
                text,
                "  in {file}: reprieve settings apply fleet --file {file} --why '…'"
            );
        }
        text
    }
}

/// How much of a log says something, and what it says.
fn told(tally: &Tally) -> String {
    let Tally { lived_on, down, unknown, found, falsely, .. } = tally;
    let mut text = format!(
        "  there, of {lived_on} incidents the log tells that the workspace lived on, of {down} that \
         it was down, of {unknown} nothing: they count for nothing\n  {found} of {down} are found, \
         {falsely} of the living would be restarted"
    );
    if let Some((low, high)) = tally.false_share() {
        let _ = write!(text, ": {:.1} % to {:.1} % of incidents", low * 100.0, high * 100.0);
    }
    let _ = writeln!(text, "; {} DEAD where nothing is known", tally.dead_of_unknown);
    for (count, what) in [
        (tally.missing, "ask for what nobody was asked then: they count as no answer"),
        (tally.failing, "fail under these settings"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  {count} of {} judgements {what}", tally.asked);
        }
    }
    text
}

pub(super) fn row(told: &Told) -> [String; 6] {
    let figure = |figure: &Option<Figure>| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{:.3}", figure.mean))
    };
    let detect = told.detect_s.map_or_else(|| "-".to_owned(), |of| format!("{:.1} s", of.mean));
    [
        shown(&told.settings),
        detect,
        figure(&told.unfound_min_a_day),
        figure(&told.false_restarts_a_day),
        figure(&told.cost),
        told.runs.to_string(),
    ]
}

/// `settle=60s restart_budget=5`
pub(super) fn shown(settings: &Settings) -> String {
    let one = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    settings.iter().map(one).collect::<Vec<_>>().join(" ")
}
