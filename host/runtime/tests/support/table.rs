//! A table of judgements, put to a built component with all evidence at hand and
//! with all of it fetched.

use std::sync::Arc;

use reprieve_core::{
    evidence::{Answer, Question},
    ports::Witness,
    settings::SettingsBook,
    time::UnixMillis,
};
use reprieve_runtime::{Generation, Owners, Policy, replay, table::Row};
use serde::Deserialize;

use super::{may_be_fetched, who};

#[derive(Deserialize)]
pub(crate) struct Table {
    pub(crate) row: Vec<Row>,
}

impl Table {
    pub(crate) fn parse(text: &str) -> Self {
        toml::from_str(text).expect("a table of judgements")
    }

    /// The rows that the policy rules otherwise, each with what it ruled.
    pub(crate) async fn differences(&self, policy: &Arc<Policy>) -> Vec<String> {
        let mut differences = Vec::new();
        for row in &self.row {
            let settings = row.settings().expect("no row is about a workspace of a host").clone();
            let book = SettingsBook { fleet: settings.into(), ..SettingsBook::default() };
            let generation = Generation::new(1, Arc::clone(policy), book, &Owners::new());
            let generation = generation.unwrap_or_else(|error| panic!("{}: {error:?}", row.name));
            let told = row.witness().expect("no row is a decision on record");
            let may_look = told.at_hand(&Question::Look, told.now()).is_some();
            let slow: Arc<dyn Witness> = Arc::new(Slow(Arc::clone(&told)));
            for witness in [told, slow] {
                let decided = generation.decide(row.call(), &who(), &witness).await;
                let looked = decided.evidence.iter().any(|fact| fact.question == Question::Look);
                assert!(!looked || may_look, "{}: it looked", row.name);
                differences.extend(row.difference(&decided.outcome));
                let again = replay(&generation, decided.call, &who(), &decided.evidence);
                assert_eq!(again.outcome, decided.outcome, "{}: replayed", row.name);
            }
        }
        differences
    }
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
