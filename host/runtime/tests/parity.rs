//! The default policy's table of judgements, through the built component: it
//! must say what the rules say natively, with all evidence at hand and with all
//! of it fetched.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use std::sync::Arc;

use reprieve_core::{
    evidence::{Answer, Question},
    ports::Witness,
    settings::SettingsBook,
    time::UnixMillis,
};
use reprieve_runtime::{Generation, Limits, Owners, registry::GoldenRow, replay};
use serde::Deserialize;
use support::{DEFAULT, ENGINE, may_be_fetched, who};

const TABLE: &str = include_str!("../../../policy/tests/judgements.toml");

#[derive(Deserialize)]
struct Table {
    row: Vec<GoldenRow>,
}

/// The same evidence, and none of it at hand that may be fetched.
struct Slow(Arc<dyn Witness>);

#[async_trait::async_trait]
impl Witness for Slow {
    fn now(&self) -> UnixMillis {
        self.0.now()
    }

    fn at_hand(&self, question: &Question, now: UnixMillis) -> Option<Answer> {
        (!may_be_fetched(question)).then(|| self.0.at_hand(question, now)).flatten()
    }

    async fn fetch(&self, question: &Question) -> Answer {
        self.0.at_hand(question, self.now()).unwrap_or_else(|| panic!("it asked {question:?}"))
    }
}

#[tokio::test(start_paused = true)]
async fn the_component_rules_every_row_as_the_native_rules_do() {
    let policy = ENGINE.load(DEFAULT, Limits::default()).expect("the default policy");
    let table: Table = toml::from_str(TABLE).expect("judgements.toml can be read");
    let mut wrong = Vec::new();
    for row in &table.row {
        let settings = row.settings().expect("no row is about a workspace of a host").clone();
        let book = SettingsBook { fleet: settings.into(), ..SettingsBook::default() };
        let generation = Generation::new(1, Arc::clone(&policy), book, &Owners::new());
        let generation = generation.unwrap_or_else(|error| panic!("{}: {error:?}", row.name));
        let told = row.witness().expect("no row is a decision on record");
        let may_look = told.at_hand(&Question::Look, told.now()).is_some();
        let slow: Arc<dyn Witness> = Arc::new(Slow(Arc::clone(&told)));
        for witness in [told, slow] {
            let decided = generation.decide(row.call(), &who(), &witness).await;
            let looked = decided.evidence.iter().any(|fact| fact.question == Question::Look);
            assert!(!looked || may_look, "{}: it looked", row.name);
            wrong.extend(row.difference(&decided.outcome));
            let again = replay(&generation, decided.call, &who(), &decided.evidence);
            assert_eq!(again.outcome, decided.outcome, "{}: replayed", row.name);
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ: {wrong:#?}", wrong.len(), table.row.len() * 2);
}
