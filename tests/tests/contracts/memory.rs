//! The contract of [`Memory`].

use reprieve_core::{
    evidence::{Note, StoreFault},
    ports::Memory,
    time::Millis,
};

use crate::{Host, suite, workspace};

suite! { memory:
    a_note_is_kept_with_its_age,
    the_newest_note_replaces_the_one_before,
    an_empty_note_forgets,
    a_note_of_another_workspace_is_left_alone,
    a_note_that_is_too_large_is_a_fault_and_changes_nothing,
}

async fn a_note_is_kept_with_its_age(memory: &dyn Memory, host: &Host) {
    let of = workspace("ws");
    assert_eq!(memory.fetch(&of, host.now()).await, Ok(None));
    memory.write(&of, b"seen".to_vec(), host.now()).await.unwrap();
    host.clock.advance(Millis(700));
    let note = Note { bytes: b"seen".to_vec(), age: Millis(700) };
    assert_eq!(memory.fetch(&of, host.now()).await, Ok(Some(note.clone())));
    if let Some(at_hand) = memory.at_hand(&of, host.now()) {
        assert_eq!(at_hand, Some(note));
    }
}

async fn the_newest_note_replaces_the_one_before(memory: &dyn Memory, host: &Host) {
    let of = workspace("ws");
    for bytes in [vec![1], vec![2; 1_024], vec![3]] {
        memory.write(&of, bytes.clone(), host.now()).await.unwrap();
        let note = memory.fetch(&of, host.now()).await.unwrap().unwrap();
        assert_eq!(note.bytes, bytes);
    }
}

async fn an_empty_note_forgets(memory: &dyn Memory, host: &Host) {
    let of = workspace("ws");
    memory.write(&of, b"seen".to_vec(), host.now()).await.unwrap();
    for _ in 0..2 {
        memory.write(&of, Vec::new(), host.now()).await.unwrap();
        assert_eq!(memory.fetch(&of, host.now()).await, Ok(None));
    }
}

async fn a_note_of_another_workspace_is_left_alone(memory: &dyn Memory, host: &Host) {
    memory.write(&workspace("a"), vec![1], host.now()).await.unwrap();
    memory.write(&workspace("b"), vec![2], host.now()).await.unwrap();
    memory.write(&workspace("a"), Vec::new(), host.now()).await.unwrap();
    let note = memory.fetch(&workspace("b"), host.now()).await.unwrap().unwrap();
    assert_eq!(note.bytes, [2]);
}

async fn a_note_that_is_too_large_is_a_fault_and_changes_nothing(memory: &dyn Memory, host: &Host) {
    let of = workspace("ws");
    memory.write(&of, vec![1], host.now()).await.unwrap();
    let refused = memory.write(&of, vec![2; 1_025], host.now()).await;
    assert_eq!(refused, Err(StoreFault::Unavailable));
    assert_eq!(memory.fetch(&of, host.now()).await.unwrap().unwrap().bytes, [1]);
}
