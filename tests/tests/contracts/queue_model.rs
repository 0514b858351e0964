//! Random histories of the queue against a model of it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use reprieve_core::{
    ids::QueueId,
    ports::{Queue, QueueRefusal},
    queue::{Ending, MAX_ATTEMPTS, Priority, Stage},
    time::Millis,
};
use reprieve_server::store::{Store, StoreOptions};

use crate::{CAPACITY, TestClock, queue::new_item, workspace};

const WORKSPACES: [&str; 2] = ["a", "b"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Accept {
        message: u8,
        priority: u8,
    },
    Take,
    PutBack,
    Deliver,
    Drop {
        message: u8,
    },
    /// The host dies and comes back.
    Recover,
    DropStale {
        max_age_ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let priorities = prop::sample::select(vec![100u8, 50, 10]);
    prop_oneof![
        6 => (0u8..40, priorities).prop_map(|(message, priority)| Step::Accept { message, priority }),
        5 => Just(Step::Take),
        3 => Just(Step::PutBack),
        2 => Just(Step::Deliver),
        1 => (0u8..40).prop_map(|message| Step::Drop { message }),
        1 => Just(Step::Recover),
        1 => (0u64..300).prop_map(|max_age_ms| Step::DropStale { max_age_ms }),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Waiting,
    Taken,
    Delivered,
    Dropped(&'static str),
}

/// What the model knows of an item; its index is its age.
#[derive(Clone, Debug)]
struct Known {
    id: QueueId,
    of: usize,
    message: u8,
    priority: u8,
    accepted_ms: u64,
    attempts: u32,
    place: Place,
}

#[derive(Debug, Default)]
struct Model(Vec<Known>);

impl Model {
    fn of(&mut self, of: usize, place: &Place) -> impl Iterator<Item = &mut Known> {
        self.0.iter_mut().filter(move |known| known.of == of && known.place == *place)
    }

    fn message(&mut self, of: usize, message: u8) -> Option<&mut Known> {
        self.0.iter_mut().find(|known| known.of == of && known.message == message)
    }

    fn next(&mut self, of: usize) -> Option<&mut Known> {
        if self.of(of, &Place::Taken).next().is_some() {
            return None;
        }
        // Of equals, `min_by_key` keeps the first: the oldest.
        self.of(of, &Place::Waiting).min_by_key(|known| u8::MAX - known.priority)
    }
}

impl Known {
    fn put_back(&mut self) {
        let exhausted = self.attempts >= MAX_ATTEMPTS;
        self.place = if exhausted { Place::Dropped("attempts exhausted") } else { Place::Waiting };
    }
}

/// Carries one step out on both and compares what they say of it.
async fn run(queue: &dyn Queue, clock: &TestClock, model: &mut Model, of: usize, step: Step) {
    use reprieve_core::ports::Clock as _;
    let (now, name) = (clock.now(), workspace(WORKSPACES[of]));
    match step {
        Step::Accept { message, priority } => {
            let new = new_item(WORKSPACES[of], &format!("m-{message}"), Priority(priority));
            let accepted = queue.accept(new, now).await;
            let waiting = u32::try_from(model.of(of, &Place::Waiting).count()).unwrap();
            if let Some(known) = model.message(of, message) {
                let accepted = accepted.unwrap();
                assert_eq!((accepted.id, accepted.repeated), (known.id.clone(), true));
            } else if waiting >= CAPACITY {
                assert_eq!(accepted, Err(QueueRefusal::Full { limit: CAPACITY }));
            } else {
                let accepted = accepted.unwrap();
                assert_eq!((accepted.depth, accepted.repeated), (waiting + 1, false));
                let (id, accepted_ms, place) = (accepted.id, now.0, Place::Waiting);
                model.0.push(Known { id, of, message, priority, accepted_ms, attempts: 0, place });
            }
        }
        Step::Take => {
            let taken = queue.take(&name, now).await.unwrap();
            let expected = model.next(of).map(|known| {
                known.attempts += 1;
                known.place = Place::Taken;
                (known.id.clone(), known.attempts)
            });
            assert_eq!(taken.map(|item| (item.id, item.attempts)), expected);
        }
        Step::PutBack => {
            if let Some(known) = model.of(of, &Place::Taken).next() {
                queue.put_back(&known.id, "refused").await.unwrap();
                known.put_back();
            }
        }
        Step::Deliver => {
            if let Some(known) = model.of(of, &Place::Taken).next() {
                let answer = reprieve_core::queue::StoredAnswer {
                    status: 200,
                    headers: Vec::new(),
                    body: vec![known.message],
                };
                queue.end(&known.id, Ending::Delivered(answer), now).await.unwrap();
                known.place = Place::Delivered;
            }
        }
        Step::Drop { message } => {
            if let Some(known) = model.message(of, message) {
                let ending = Ending::Dropped { reason: "operator".to_owned() };
                queue.end(&known.id, ending, now).await.unwrap();
                if matches!(known.place, Place::Waiting | Place::Taken) {
                    known.place = Place::Dropped("operator");
                }
            }
        }
        Step::Recover => {
            queue.recover().await.unwrap();
            (0..WORKSPACES.len())
                .for_each(|of| model.of(of, &Place::Taken).for_each(Known::put_back));
        }
        Step::DropStale { max_age_ms } => {
            queue.drop_stale(Millis(max_age_ms), now).await.unwrap();
            for known in &mut model.0 {
                if known.place == Place::Waiting && known.accepted_ms + max_age_ms < now.0 {
                    known.place = Place::Dropped("stale");
                }
            }
        }
    }
}

/// Nothing that was accepted is lost: every item is where the model has it.
async fn compare(queue: &dyn Queue, model: &mut Model) {
    for known in &model.0 {
        let item = queue.get(&known.id).await.unwrap().expect("an accepted item is on record");
        let place = match item.stage {
            Stage::Waiting => Place::Waiting,
            Stage::Taken => Place::Taken,
            Stage::Ended { ending: Ending::Delivered(answer), .. } => {
                assert_eq!(answer.body, [known.message]);
                Place::Delivered
            }
            Stage::Ended { ending: Ending::Dropped { reason }, .. } => {
                let reasons = ["attempts exhausted", "operator", "stale"];
                let known_reason = reasons.into_iter().find(|known| *known == reason);
                Place::Dropped(known_reason.expect("a reason is on record"))
            }
        };
        assert_eq!((place, item.attempts), (known.place.clone(), known.attempts));
    }
    let mut waiting = BTreeMap::new();
    for known in model.0.iter().filter(|known| known.place == Place::Waiting) {
        *waiting.entry(workspace(WORKSPACES[known.of])).or_insert(0) += 1;
    }
    assert_eq!(queue.depths().await.unwrap(), waiting);
    for (name, depth) in waiting {
        assert_eq!(queue.depth(&name).await, Ok(depth));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_its_model(
        steps in prop::collection::vec((0u64..100, 0usize..WORKSPACES.len(), step()), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (clock, mut model) = (TestClock::new(), Model::default());
            let options = StoreOptions { queue_capacity: CAPACITY, ..StoreOptions::default() };
            let store = Store::in_memory(options, clock.clone()).await.unwrap();
            for (later_ms, of, step) in steps {
                clock.advance(Millis(later_ms));
                run(&*store.queue, &clock, &mut model, of, step).await;
            }
            compare(&*store.queue, &mut model).await;
        });
    }
}
