//! Changes that people apply to the running host, and how they are undone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Layer, Settings};
use crate::time::UnixMillis;

/// What to change in one layer: a value for each key. Null takes back what was
/// applied before, so that the file's value is in force again, or a weaker
/// layer's.
pub type Patch = Settings;

/// Counts the changes of one host. The version of a layer is the number of its
/// newest change; 0: there was none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ChangeNumber(pub u64);

impl ChangeNumber {
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for ChangeNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One change on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub number: ChangeNumber,
    pub at: UnixMillis,
    pub who: String,
    /// In the words of who did it; may be empty.
    pub why: String,
    pub layer: Layer,
    /// What was applied before, of the keys that it touched. Null: nothing.
    pub before: Patch,
    /// What it set. Null: it took back what was applied.
    pub after: Patch,
    /// The change that it undid.
    pub undo_of: Option<ChangeNumber>,
}

/// A value, and the change that it was applied by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedValue {
    pub value: Value,
    pub change: ChangeNumber,
    pub who: String,
}

/// All that is applied in one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLayer {
    pub version: ChangeNumber,
    pub values: BTreeMap<String, AppliedValue>,
}

impl AppliedLayer {
    pub fn settings(&self) -> Settings {
        self.values.iter().map(|(key, applied)| (key.clone(), applied.value.clone())).collect()
    }

    /// What is applied of the keys that `patch` touches: what takes it back.
    pub fn before(&self, patch: &Patch) -> Patch {
        let value =
            |key: &String| self.values.get(key).map_or(Value::Null, |own| own.value.clone());
        patch.keys().map(|key| (key.clone(), value(key))).collect()
    }

    /// What is applied after that change.
    pub fn after(&self, change: &Change) -> Self {
        let mut next = Self { version: change.number, values: self.values.clone() };
        for (key, value) in &change.after {
            match value {
                Value::Null => drop(next.values.remove(key)),
                value => {
                    let (value, who) = (value.clone(), change.who.clone());
                    let applied = AppliedValue { value, change: change.number, who };
                    next.values.insert(key.clone(), applied);
                }
            }
        }
        next
    }
}

impl Change {
    /// Those of the later changes of the same layer that touched keys of this
    /// one: undoing it would undo them, too.
    pub fn overlaid_by<'a>(&self, later: &'a [Self]) -> Vec<&'a Self> {
        let overlays = |other: &&Self| {
            other.layer == self.layer
                && other.number > self.number
                && other.after.keys().any(|key| self.after.contains_key(key))
        };
        later.iter().filter(overlays).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn change(number: u64, layer: Layer, before: Patch, after: Patch) -> Change {
        Change {
            number: ChangeNumber(number),
            at: UnixMillis(number),
            who: "ana".to_owned(),
            why: String::new(),
            layer,
            before,
            after,
            undo_of: None,
        }
    }

    fn patch(value: Value) -> Patch {
        let Value::Object(patch) = value else { panic!("{value} is no object") };
        patch
    }

    /// Applies one patch after the other; the changes and what each led to.
    fn run(patches: &[Patch]) -> (Vec<Change>, Vec<AppliedLayer>) {
        let (mut changes, mut layers) = (Vec::new(), vec![AppliedLayer::default()]);
        for (number, patch) in (1..).zip(patches) {
            let known = &layers[layers.len() - 1];
            let made = change(number, Layer::Fleet, known.before(patch), patch.clone());
            layers.push(known.after(&made));
            changes.push(made);
        }
        (changes, layers)
    }

    #[test]
    fn null_takes_back_what_was_applied() {
        let (changes, layers) =
            run(&[patch(json!({"a": 1, "b": 2})), patch(json!({"a": null, "c": null}))]);
        assert_eq!(layers[2].settings(), patch(json!({"b": 2})));
        assert_eq!(changes[1].before, patch(json!({"a": 1, "c": null})));
        assert_eq!((layers[2].version, layers[2].values["b"].change.0), (ChangeNumber(2), 1));
    }

    #[test]
    fn only_later_changes_of_the_same_keys_in_the_same_layer_lie_over_one() {
        let acme = || Layer::Tenant("acme".parse().unwrap());
        let of = |number, layer, key: &str| {
            change(number, layer, Patch::new(), patch(json!({ key: number })))
        };
        let all = [
            of(1, acme(), "settle"),
            of(2, acme(), "settle"),
            of(3, Layer::Fleet, "settle"),
            of(4, acme(), "other"),
            of(5, acme(), "settle"),
        ];
        let over = |index: usize| -> Vec<u64> {
            all[index].overlaid_by(&all).iter().map(|change| change.number.0).collect()
        };
        assert_eq!((over(0), over(1), over(2), over(4)), (vec![2, 5], vec![5], vec![], vec![]));
    }

    fn any_patch() -> impl Strategy<Value = Patch> {
        let value = prop_oneof![Just(Value::Null), (0_u32..4).prop_map(Value::from)];
        proptest::collection::btree_map("[a-d]", value, 0..4)
            .prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        #[test]
        fn undone_from_the_newest_on_every_change_gives_back_what_was_before_it(
            patches in proptest::collection::vec(any_patch(), 0..8)
        ) {
            let (changes, layers) = run(&patches);
            let mut known = layers[layers.len() - 1].clone();
            for (index, done) in changes.iter().enumerate().rev() {
                let number = known.version.next().0;
                let undo = change(number, Layer::Fleet, known.before(&done.before), done.before.clone());
                known = known.after(&undo);
                prop_assert_eq!(known.settings(), layers[index].settings());
            }
        }

        #[test]
        fn a_change_that_nothing_lies_over_is_undone_alone(
            patches in proptest::collection::vec(any_patch(), 1..8), which in any::<prop::sample::Index>()
        ) {
            let (changes, layers) = run(&patches);
            let done = which.get(&changes);
            prop_assume!(done.overlaid_by(&changes).is_empty());
            let newest = &layers[layers.len() - 1];
            let undo = change(99, Layer::Fleet, newest.before(&done.before), done.before.clone());
            let undone = newest.after(&undo).settings();
            let without: Vec<Patch> = changes.iter().filter(|other| *other != done).map(|other| other.after.clone()).collect();
            let (_, without) = run(&without);
            prop_assert_eq!(undone, without[without.len() - 1].settings());
        }
    }
}
