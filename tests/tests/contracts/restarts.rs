//! The contract of [`Restarts`].

use futures::future::join_all;
use reprieve_core::{
    ids::{LifeId, Revision},
    judgement::RestartCause,
    ports::{NotBegun, RestartHistory, Restarts},
    time::Millis,
};

use crate::{Host, suite, workspace};

suite! { restarts:
    a_restart_begins_the_next_life,
    of_many_at_once_one_begins,
    nothing_begins_while_one_is_in_flight,
    a_verdict_about_an_ended_life_is_void,
    who_finishes_an_ended_life_ends_nothing,
    only_what_no_person_asked_for_is_counted,
    the_history_reaches_back_so_far_and_no_further,
    what_begins_elsewhere_is_the_next_life_and_not_in_flight,
}

const DEAD: RestartCause = RestartCause::DeadVerdict;
const REVISION: Revision = Revision(7);

async fn history(restarts: &dyn Restarts) -> RestartHistory {
    let history = restarts.fetch(&workspace("ws")).await.unwrap();
    if let Some(at_hand) = restarts.at_hand(&workspace("ws")) {
        assert_eq!(at_hand, history);
    }
    history
}

async fn a_restart_begins_the_next_life(restarts: &dyn Restarts, host: &Host) {
    let of = workspace("ws");
    assert_eq!(history(restarts).await, RestartHistory::default());
    let began = host.now();
    let life = restarts.begin(&of, LifeId(0), DEAD, REVISION, began).await;
    assert_eq!(life, Ok(LifeId(1)));
    let expected = RestartHistory {
        life: LifeId(1),
        in_flight: true,
        began: Some(began),
        cause: Some(DEAD),
        revision: REVISION,
        unasked: vec![began],
    };
    assert_eq!(history(restarts).await, expected);
    restarts.finish(&of, LifeId(1)).await.unwrap();
    assert_eq!(history(restarts).await, RestartHistory { in_flight: false, ..expected });
}

async fn of_many_at_once_one_begins(restarts: &dyn Restarts, host: &Host) {
    let of = workspace("ws");
    let begin = || restarts.begin(&of, LifeId(0), DEAD, REVISION, host.now());
    let begun = join_all((0..32).map(|_| begin())).await;
    assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 1);
    let refused = begun.iter().filter(|begun| **begun == Err(NotBegun::InFlight)).count();
    assert_eq!(refused, 31);
    assert_eq!(history(restarts).await.life, LifeId(1));
}

async fn nothing_begins_while_one_is_in_flight(restarts: &dyn Restarts, host: &Host) {
    let of = workspace("ws");
    restarts.begin(&of, LifeId(0), DEAD, REVISION, host.now()).await.unwrap();
    for life in [LifeId(0), LifeId(1), LifeId(2)] {
        let begun = restarts.begin(&of, life, RestartCause::Operator, REVISION, host.now()).await;
        assert_eq!(begun, Err(NotBegun::InFlight), "{life:?}");
    }
    let other = restarts.begin(&workspace("other"), LifeId(0), DEAD, REVISION, host.now()).await;
    assert_eq!(other, Ok(LifeId(1)), "another workspace is free");
}

async fn a_verdict_about_an_ended_life_is_void(restarts: &dyn Restarts, host: &Host) {
    let of = workspace("ws");
    restarts.begin(&of, LifeId(0), DEAD, REVISION, host.now()).await.unwrap();
    restarts.finish(&of, LifeId(1)).await.unwrap();
    for life in [LifeId(0), LifeId(2)] {
        let begun = restarts.begin(&of, life, DEAD, REVISION, host.now()).await;
        assert_eq!(
            begun,
            Err(NotBegun::LifeEnded { current: LifeId(1), revision: REVISION }),
            "{life:?}"
        );
    }
    let begun = restarts.begin(&of, LifeId(1), DEAD, REVISION, host.now()).await;
    assert_eq!(begun, Ok(LifeId(2)));
}

async fn who_finishes_an_ended_life_ends_nothing(restarts: &dyn Restarts, host: &Host) {
    let of = workspace("ws");
    restarts.begin(&of, LifeId(0), DEAD, REVISION, host.now()).await.unwrap();
    restarts.finish(&of, LifeId(1)).await.unwrap();
    restarts.begin(&of, LifeId(1), DEAD, REVISION, host.now()).await.unwrap();
    restarts.finish(&of, LifeId(1)).await.unwrap();
    assert!(history(restarts).await.in_flight);
}

async fn only_what_no_person_asked_for_is_counted(restarts: &dyn Restarts, host: &Host) {
    let of = workspace("ws");
    let causes = [
        (RestartCause::Operator, 0),
        (RestartCause::DeadVerdict, 1),
        (RestartCause::SettingsChanged, 2),
        (RestartCause::Operator, 2),
        (RestartCause::Wake, 3),
        (RestartCause::Dependency, 4),
    ];
    for (life, (cause, unasked)) in (0..).zip(causes) {
        host.clock.advance(Millis(10));
        restarts.begin(&of, LifeId(life), cause, REVISION, host.now()).await.unwrap();
        restarts.finish(&of, LifeId(life + 1)).await.unwrap();
        assert_eq!(history(restarts).await.unasked.len(), unasked, "{cause:?}");
    }
    assert!(history(restarts).await.unasked.is_sorted_by(|newer, older| newer > older));
}

async fn the_history_reaches_back_so_far_and_no_further(restarts: &dyn Restarts, host: &Host) {
    let (of, more) = (workspace("ws"), RestartHistory::MAX_UNASKED as u64 + 6);
    for life in 0..more {
        restarts.begin(&of, LifeId(life), DEAD, REVISION, host.now()).await.unwrap();
        restarts.finish(&of, LifeId(life + 1)).await.unwrap();
    }
    assert_eq!(history(restarts).await.unasked.len(), RestartHistory::MAX_UNASKED);
    host.clock.advance(RestartHistory::REACH);
    assert_eq!(history(restarts).await.unasked.len(), RestartHistory::MAX_UNASKED, "just within");
    host.clock.advance(Millis(1));
    assert!(history(restarts).await.unasked.is_empty(), "just beyond");
}

async fn what_begins_elsewhere_is_the_next_life_and_not_in_flight(
    restarts: &dyn Restarts,
    host: &Host,
) {
    let of = workspace("ws");
    restarts.begin(&of, LifeId(0), DEAD, REVISION, host.now()).await.unwrap();
    let began = restarts.began_elsewhere(&of, LifeId(1), host.now()).await;
    assert_eq!(began, Err(NotBegun::InFlight), "the run is the restart's own");
    restarts.finish(&of, LifeId(1)).await.unwrap();
    host.clock.advance(Millis(10));
    let began = restarts.began_elsewhere(&of, LifeId(0), host.now()).await;
    assert_eq!(began, Err(NotBegun::LifeEnded { current: LifeId(1), revision: REVISION }));
    let unasked = history(restarts).await.unasked;
    assert_eq!(restarts.began_elsewhere(&of, LifeId(1), host.now()).await, Ok(LifeId(2)));
    let expected = RestartHistory {
        life: LifeId(2),
        in_flight: false,
        began: Some(host.now()),
        cause: None,
        revision: REVISION,
        unasked,
    };
    assert_eq!(history(restarts).await, expected);
}
