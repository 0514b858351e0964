//! The contract of [`Heartbeats`].

use reprieve_core::{
    ids::LifeId,
    ports::{Heartbeats, Signs},
    time::Millis,
};

use crate::{Host, suite, workspace};

suite! { heartbeats:
    the_newest_signs_and_their_lives_are_kept,
    who_never_gave_a_sign_has_none,
    a_beat_of_an_ended_life_is_no_news,
    who_is_silent_for_its_limit_is_named_once,
    a_contact_puts_silence_off,
    another_limit_does_not_begin_the_silence_anew,
    nobody_is_overdue_without_a_limit,
}

async fn the_newest_signs_and_their_lives_are_kept(beats: &dyn Heartbeats, host: &Host) {
    let of = workspace("ws");
    for _ in 0..3 {
        host.clock.advance(Millis(500));
        beats.beat(&of, LifeId(3), host.now());
    }
    beats.contact(&of, LifeId(2), host.now());
    let expected = Signs {
        beat: Some((host.now(), LifeId(3))),
        contact: Some((host.now(), LifeId(2))),
        intervals: vec![Millis(500); 2],
    };
    assert_eq!(beats.fetch(&of).await, Ok(expected.clone()));
    if let Some(at_hand) = beats.at_hand(&of) {
        assert_eq!(at_hand, expected);
    }
}

async fn who_never_gave_a_sign_has_none(beats: &dyn Heartbeats, _host: &Host) {
    assert_eq!(beats.fetch(&workspace("ws")).await, Ok(Signs::default()));
}

async fn a_beat_of_an_ended_life_is_no_news(beats: &dyn Heartbeats, host: &Host) {
    let of = workspace("ws");
    let first = host.now();
    beats.beat(&of, LifeId(2), first);
    host.clock.advance(Millis(500));
    beats.beat(&of, LifeId(1), host.now());
    assert_eq!(beats.fetch(&of).await.unwrap().beat, Some((first, LifeId(2))));
}

async fn who_is_silent_for_its_limit_is_named_once(beats: &dyn Heartbeats, host: &Host) {
    let (silent, healthy) = (workspace("silent"), workspace("healthy"));
    for of in [&silent, &healthy] {
        beats.watch(of, Some(Millis::from_secs(180)), host.now());
        beats.beat(of, LifeId(0), host.now());
    }
    host.clock.advance(Millis::from_secs(100));
    beats.beat(&healthy, LifeId(0), host.now());
    host.clock.advance(Millis::from_secs(80));
    assert_eq!(beats.overdue(host.now(), 10), std::slice::from_ref(&silent));
    assert!(beats.overdue(host.now(), 10).is_empty(), "named already");
    beats.watch(&silent, Some(Millis::from_secs(60)), host.now());
    host.clock.advance(Millis::from_secs(60));
    assert_eq!(beats.overdue(host.now(), 10), [silent], "watched again");
}

async fn a_contact_puts_silence_off(beats: &dyn Heartbeats, host: &Host) {
    let of = workspace("ws");
    beats.watch(&of, Some(Millis::from_secs(10)), host.now());
    beats.beat(&of, LifeId(0), host.now());
    host.clock.advance(Millis::from_secs(6));
    beats.contact(&of, LifeId(0), host.now());
    host.clock.advance(Millis::from_secs(6));
    assert!(beats.overdue(host.now(), 10).is_empty());
}

async fn another_limit_does_not_begin_the_silence_anew(beats: &dyn Heartbeats, host: &Host) {
    let of = workspace("ws");
    beats.watch(&of, Some(Millis::from_secs(180)), host.now());
    beats.beat(&of, LifeId(0), host.now());
    host.clock.advance(Millis::from_secs(50));
    beats.limit_silence(&of, Some(Millis::from_secs(60)));
    host.clock.advance(Millis::from_secs(9));
    assert!(beats.overdue(host.now(), 10).is_empty());
    host.clock.advance(Millis::from_secs(1));
    assert_eq!(beats.overdue(host.now(), 10), [of]);
}

async fn nobody_is_overdue_without_a_limit(beats: &dyn Heartbeats, host: &Host) {
    let of = workspace("ws");
    beats.watch(&of, Some(Millis::from_secs(10)), host.now());
    beats.beat(&of, LifeId(0), host.now());
    beats.watch(&of, None, host.now());
    host.clock.advance(Millis::from_secs(3_600));
    assert!(beats.overdue(host.now(), 10).is_empty());
}
