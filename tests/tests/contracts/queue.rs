//! The contract of [`Queue`], fact by fact. `queue_model.rs` holds it against a
//! model on random histories.

use std::collections::BTreeMap;

use futures::future::join_all;
use reprieve_core::{
    evidence::StoreFault,
    ids::{DecisionId, QueueId},
    ports::{Accepted, Queue, QueueRefusal},
    queue::{
        ATTEMPTS_EXHAUSTED, Ending, GivenUp, Item, MAX_ATTEMPTS, NewItem, Priority, STALE, Stage,
        StoredAnswer, StoredRequest,
    },
    time::Millis,
};

use crate::{CAPACITY, Host, suite, workspace};

suite! { queue:
    an_item_comes_back_as_it_was_accepted,
    a_message_is_accepted_once,
    of_many_at_once_one_is_accepted,
    the_most_urgent_goes_first_then_the_oldest,
    one_item_of_a_workspace_is_taken_at_a_time,
    an_item_put_back_keeps_its_place_and_its_attempts,
    after_the_last_attempt_it_is_dropped_with_a_reason,
    the_first_ending_stands,
    a_full_queue_refuses_and_loses_nothing,
    what_waits_for_too_long_is_dropped_with_a_reason,
    what_was_taken_waits_again_after_a_crash,
    large_bodies_survive,
    an_unknown_item_is_nothing,
}

fn request(body: &[u8]) -> StoredRequest {
    StoredRequest {
        method: "POST".to_owned(),
        path: "/a2a?x=1".to_owned(),
        headers: vec![("x-odd".to_owned(), vec![0xff, 0x00])],
        body: body.to_vec(),
    }
}

pub(crate) fn new_item(of: &str, message_id: &str, priority: Priority) -> NewItem {
    NewItem {
        workspace: workspace(of),
        message_id: message_id.to_owned(),
        priority,
        request: request(message_id.as_bytes()),
        decision: None,
    }
}

fn answer(body: &[u8]) -> Ending {
    Ending::Delivered(StoredAnswer {
        status: 200,
        headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
        body: body.to_vec(),
    })
}

fn dropped(reason: &str) -> Ending {
    Ending::Dropped { reason: reason.to_owned() }
}

async fn accept(queue: &dyn Queue, host: &Host, message_id: &str) -> Accepted {
    queue.accept(new_item("ws", message_id, Priority::TASK), host.now()).await.unwrap()
}

async fn take(queue: &dyn Queue, host: &Host) -> Option<Item> {
    queue.take(&workspace("ws"), host.now()).await.unwrap()
}

async fn stage(queue: &dyn Queue, id: &QueueId) -> Stage {
    queue.get(id).await.unwrap().unwrap().stage
}

async fn an_item_comes_back_as_it_was_accepted(queue: &dyn Queue, host: &Host) {
    let decision = Some(DecisionId("d-1".to_owned()));
    let new = NewItem { decision, ..new_item("ws", "m-1", Priority::CRITICAL) };
    let accepted = queue.accept(new.clone(), host.now()).await.unwrap();
    assert_eq!((accepted.depth, accepted.repeated), (1, false));
    let expected = Item {
        id: accepted.id.clone(),
        workspace: new.workspace,
        message_id: new.message_id,
        priority: new.priority,
        accepted: host.now(),
        attempts: 0,
        last_failure: None,
        request: new.request,
        decision: new.decision,
        stage: Stage::Waiting,
    };
    assert_eq!(queue.get(&accepted.id).await, Ok(Some(expected.clone())));
    assert_eq!(queue.depths().await, Ok([(workspace("ws"), 1)].into()));
    let taken = take(queue, host).await;
    assert_eq!(taken, Some(Item { attempts: 1, stage: Stage::Taken, ..expected }));
    assert_eq!(queue.depths().await, Ok(BTreeMap::new()));
}

async fn a_message_is_accepted_once(queue: &dyn Queue, host: &Host) {
    let first = accept(queue, host, "m-1").await;
    let again = accept(queue, host, "m-1").await;
    assert_eq!(again, Accepted { id: first.id.clone(), depth: 1, repeated: true });
    let elsewhere = queue.accept(new_item("other", "m-1", Priority::TASK), host.now()).await;
    assert!(!elsewhere.unwrap().repeated, "another workspace's message is another one");
    take(queue, host).await.unwrap();
    queue.end(&first.id, answer(b"done"), host.now()).await.unwrap();
    let after = accept(queue, host, "m-1").await;
    assert_eq!(after, Accepted { id: first.id, depth: 0, repeated: true }, "after its end too");
}

async fn of_many_at_once_one_is_accepted(queue: &dyn Queue, host: &Host) {
    let accepted = join_all((0..32).map(|_| accept(queue, host, "m-1"))).await;
    assert_eq!(accepted.iter().filter(|accepted| !accepted.repeated).count(), 1);
    assert!(accepted.iter().all(|other| other.id == accepted[0].id));
    assert_eq!(queue.depth(&workspace("ws")).await, Ok(1));
}

async fn the_most_urgent_goes_first_then_the_oldest(queue: &dyn Queue, host: &Host) {
    let order = [("a", Priority::INFO), ("b", Priority::TASK), ("c", Priority::CRITICAL)];
    let again = [("d", Priority::TASK), ("e", Priority::CRITICAL)];
    for (message_id, priority) in order.into_iter().chain(again) {
        queue.accept(new_item("ws", message_id, priority), host.now()).await.unwrap();
    }
    for expected in ["c", "e", "b", "d", "a"] {
        let item = take(queue, host).await.unwrap();
        assert_eq!(item.message_id, expected);
        queue.end(&item.id, answer(b""), host.now()).await.unwrap();
    }
    assert_eq!(take(queue, host).await, None);
}

async fn one_item_of_a_workspace_is_taken_at_a_time(queue: &dyn Queue, host: &Host) {
    for message_id in ["a", "b", "c"] {
        accept(queue, host, message_id).await;
    }
    queue.accept(new_item("other", "a", Priority::TASK), host.now()).await.unwrap();
    let taken = join_all((0..8).map(|_| take(queue, host))).await;
    assert_eq!(taken.iter().flatten().count(), 1);
    let other = queue.take(&workspace("other"), host.now()).await.unwrap();
    assert!(other.is_some(), "another workspace is free");
}

async fn an_item_put_back_keeps_its_place_and_its_attempts(queue: &dyn Queue, host: &Host) {
    accept(queue, host, "a").await;
    accept(queue, host, "b").await;
    let item = take(queue, host).await.unwrap();
    queue.put_back(&item.id, "connection refused").await.unwrap();
    let again = take(queue, host).await.unwrap();
    assert_eq!((&*again.message_id, again.attempts), ("a", 2));
    assert_eq!(again.last_failure.as_deref(), Some("connection refused"));
    let waits = queue.accept(new_item("ws", "b", Priority::TASK), host.now()).await.unwrap().id;
    queue.put_back(&waits, "it was never taken").await.unwrap();
    assert_eq!(queue.get(&waits).await.unwrap().unwrap().last_failure, None);
}

async fn after_the_last_attempt_it_is_dropped_with_a_reason(queue: &dyn Queue, host: &Host) {
    let id = accept(queue, host, "a").await.id;
    for attempt in 1..=MAX_ATTEMPTS {
        let item = take(queue, host).await.unwrap();
        assert_eq!(item.attempts, attempt);
        queue.put_back(&id, "timed out").await.unwrap();
    }
    assert_eq!(take(queue, host).await, None);
    let ended = Stage::Ended { at: host.now(), ending: dropped(ATTEMPTS_EXHAUSTED) };
    assert_eq!(stage(queue, &id).await, ended);
    assert_eq!(queue.get(&id).await.unwrap().unwrap().last_failure.as_deref(), Some("timed out"));
}

async fn the_first_ending_stands(queue: &dyn Queue, host: &Host) {
    let id = accept(queue, host, "a").await.id;
    take(queue, host).await.unwrap();
    let at = host.now();
    queue.end(&id, answer(b"first"), at).await.unwrap();
    host.clock.advance(Millis(5));
    queue.end(&id, dropped("late"), host.now()).await.unwrap();
    queue.end(&id, answer(b"second"), host.now()).await.unwrap();
    queue.put_back(&id, "late").await.unwrap();
    assert_eq!(stage(queue, &id).await, Stage::Ended { at, ending: answer(b"first") });
}

async fn a_full_queue_refuses_and_loses_nothing(queue: &dyn Queue, host: &Host) {
    for number in 0..CAPACITY {
        accept(queue, host, &format!("m-{number}")).await;
    }
    let refused = queue.accept(new_item("ws", "more", Priority::CRITICAL), host.now()).await;
    assert_eq!(refused, Err(QueueRefusal::Full { limit: CAPACITY }));
    assert!(accept(queue, host, "m-0").await.repeated, "what is known is no more of a load");
    assert_eq!(queue.depth(&workspace("ws")).await, Ok(CAPACITY));
    let other = queue.accept(new_item("other", "more", Priority::TASK), host.now()).await;
    assert!(other.is_ok(), "another workspace has room of its own");
}

async fn what_waits_for_too_long_is_dropped_with_a_reason(queue: &dyn Queue, host: &Host) {
    let taken = accept(queue, host, "taken").await.id;
    take(queue, host).await.unwrap();
    let stale = accept(queue, host, "stale").await.id;
    host.clock.advance(Millis(1_000));
    let young = accept(queue, host, "young").await.id;
    let at_the_limit = queue.drop_stale(Millis(1_000), host.now()).await;
    assert_eq!(at_the_limit, Ok(Vec::new()));
    let accepted = queue.get(&stale).await.unwrap().unwrap().accepted;
    host.clock.advance(Millis(1));
    let message_id = "stale".to_owned();
    let given_up = GivenUp { workspace: workspace("ws"), message_id, accepted };
    assert_eq!(queue.drop_stale(Millis(1_000), host.now()).await, Ok(vec![given_up]));
    let ended = Stage::Ended { at: host.now(), ending: dropped(STALE) };
    assert_eq!(stage(queue, &stale).await, ended);
    assert_eq!(stage(queue, &taken).await, Stage::Taken);
    assert_eq!(stage(queue, &young).await, Stage::Waiting);
}

async fn what_was_taken_waits_again_after_a_crash(queue: &dyn Queue, host: &Host) {
    let id = accept(queue, host, "a").await.id;
    accept(queue, host, "b").await;
    for recovery in 1..MAX_ATTEMPTS {
        assert_eq!(take(queue, host).await.unwrap().attempts, recovery);
        assert_eq!(queue.recover().await, Ok(1));
        assert_eq!(stage(queue, &id).await, Stage::Waiting);
    }
    take(queue, host).await.unwrap();
    assert_eq!(queue.recover().await, Ok(0), "its attempts are exhausted");
    let ended = Stage::Ended { at: host.now(), ending: dropped(ATTEMPTS_EXHAUSTED) };
    assert_eq!(stage(queue, &id).await, ended);
}

async fn large_bodies_survive(queue: &dyn Queue, host: &Host) {
    let request = request(&vec![7; 1 << 20]);
    let new = NewItem { request: request.clone(), ..new_item("ws", "a", Priority::TASK) };
    let id = queue.accept(new, host.now()).await.unwrap().id;
    assert_eq!(take(queue, host).await.unwrap().request, request);
    let ending = answer(&vec![9; 10 << 20]);
    queue.end(&id, ending.clone(), host.now()).await.unwrap();
    assert_eq!(stage(queue, &id).await, Stage::Ended { at: host.now(), ending });
}

async fn an_unknown_item_is_nothing(queue: &dyn Queue, host: &Host) {
    let id = QueueId("no such item".to_owned());
    assert_eq!(queue.get(&id).await, Ok(None));
    assert_eq!(queue.put_back(&id, "?").await, Ok(()));
    assert_eq!(queue.end(&id, answer(b""), host.now()).await, Ok(()));
    assert_eq!(queue.depth(&workspace("nobody")).await, Ok::<u32, StoreFault>(0));
    assert_eq!(queue.depths().await, Ok(BTreeMap::new()));
}
