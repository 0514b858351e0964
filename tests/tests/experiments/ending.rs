//! An experiment begins whole or not at all, and ends once and for all.

use std::{sync::Arc, time::Duration};

use futures::poll;
use reprieve_core::{
    experiment::Arm,
    ids::{Digest, ExperimentName},
    settings::{Layer, Source},
};
use reprieve_runtime::Who;
use reprieve_server::{
    experiments::{
        ExperimentFailure, ExperimentParts, Experiments, Record, SUSPENDED, Standing, State,
    },
    settings::ChangeRequest,
    store::{MAX_EXPERIMENTS, Store, StoreOptions},
};
use reprieve_tests::ws;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Laboratory, is_aborted, parts, somebody};

/// For what other threads do meanwhile.
const ROUNDS: u32 = 200;

#[tokio::test(start_paused = true)]
async fn an_experiment_survives_its_host_and_an_aborted_one_stays_so() {
    let lab = Laboratory::open().await;
    let running =
        lab.start("running", json!({"mode": "ab", "target": {"tenants": ["acme"]}})).await;
    let other = json!({"mode": "ab", "target": {"tenants": ["umbrella"]}});
    let aborted = lab.start("aborted", other).await;
    lab.experiments.abort(&aborted, &somebody()).await.unwrap();
    let before = lab.standing(&running);

    let next = lab.next_host().await;
    let trials = lab.stage.current.trials();
    let names: Vec<_> = trials.iter().map(|trial| trial.experiment().name.clone()).collect();
    assert_eq!(names, std::slice::from_ref(&running), "only what ran goes on");
    let after = next.standing(&running).unwrap();
    assert_eq!(after.record, before.record);
    assert_eq!(after.suspended, None);
    assert!(after.page.tally.hours(Arm::Candidate) > 0.0, "what was seen is not forgotten");
    assert!(is_aborted(&next.standing(&aborted).unwrap()));
    let again = next.start(lab.experiment("aborted", &json!({})), &somebody()).await;
    assert!(matches!(again, Err(ExperimentFailure::NameTaken(_))), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_was_cut_off_and_cannot_be_ended_is_told_and_can_be_aborted() {
    let lab = Laboratory::open().await;
    let name = lab.start("cut-off", json!({"mode": "ab"})).await;
    let Standing { mut record, page, .. } = lab.standing(&name);
    record.experiment.candidate.component = Some(Digest::of(b"nobody has it any more"));
    record.state = State::Promoting(record.started.clone());
    lab.stage.store.experiments.write(&record, &page).await.unwrap();

    let next = lab.next_host().await;
    let standing = next.standing(&name).unwrap();
    assert!(matches!(standing.record.state, State::Promoting(_)), "{:?}", standing.record.state);
    assert!(standing.suspended.is_some_and(|why| why.contains("cut off")));
    let aborted = next.abort(&name, &somebody()).await.unwrap();
    assert!(is_aborted(&aborted));
    assert!(lab.stage.current.trials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_experiments_never_share_a_workspace() {
    let lab = Laboratory::open().await;
    let first = lab.start("first", json!({"target": {"tenants": ["acme"]}})).await;
    let second = lab.experiment("second", &json!({}));
    let refused = lab.experiments.start(second.clone(), &somebody()).await;
    let Err(ExperimentFailure::Overlaps { running }) = refused else { panic!("{refused:?}") };
    assert_eq!(running, first);
    lab.experiments.abort(&first, &somebody()).await.unwrap();
    lab.experiments.start(second, &somebody()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_promoted_judges_everybody() {
    let lab = Laboratory::open().await;
    let candidate = json!({"component": lab.trusting, "settings": {"liveness_ttl": "45s"}});
    let target = json!({"tenants": ["acme"]});
    let more = json!({"mode": "ab", "share_bp": 100, "candidate": candidate, "target": target});
    let name = lab.start("better", more).await;
    let standing = lab.experiments.promote(&name, &somebody()).await.unwrap();
    assert!(matches!(standing.record.state, State::Promoted(_)), "{:?}", standing.record.state);
    let in_force = lab.stage.current.snapshot();
    assert_eq!(in_force.policy().digest(), lab.trusting);
    let acme = Layer::Tenant("acme".parse().unwrap());
    let applied = in_force.layers().of(Source::Applied).get(&acme).expect("acme's settings");
    assert_eq!(applied.get("liveness_ttl"), Some(&json!("45s")));
    assert!(lab.stage.current.trials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_experiment_stops_by_itself_at_its_end() {
    let lab = Laboratory::open().await;
    let name = lab.start("short", json!({"ends_at": lab.stage.clock.now().0 + 900_000})).await;
    assert_eq!(lab.standing(&name).record.state, State::Running);
    lab.stage.pass(Duration::from_secs(400)).await;
    let is_over = |standing: &Standing| matches!(standing.record.state, State::Ended(_));
    lab.until(&name, "its end", is_over).await;
    assert!(lab.stage.current.trials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_cannot_be_tried_is_refused_and_nothing_begins() {
    let lab = Laboratory::open().await;
    let unknown = json!({"candidate": {"component": Digest::of(b"nobody's")}});
    let refused = lab.experiments.start(lab.experiment("a", &unknown), &somebody()).await;
    assert!(matches!(refused, Err(ExperimentFailure::Policy(_))), "{refused:?}");
    let wrong = json!({"candidate": {"settings": {"settle": "a while"}}});
    let refused = lab.experiments.start(lab.experiment("b", &wrong), &somebody()).await;
    let Err(ExperimentFailure::Candidate { why }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("settle"), "{why}");
    assert!(lab.experiments.list().is_empty());
    assert!(lab.stage.current.trials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_meanwhile_his_start_and_his_abort_are_seen_through() {
    let lab = Laboratory::open().await;
    let experiment = lab.experiment("left", &json!({"mode": "ab"}));
    let name = experiment.name.clone();
    let actor = somebody();
    let mut starting = Box::pin(lab.experiments.start(experiment, &actor));
    assert!(poll!(starting.as_mut()).is_pending());
    drop(starting);
    lab.pass_until("it runs", || !lab.stage.current.trials().is_empty()).await;
    assert_eq!(lab.standing(&name).record.state, State::Running);

    let mut aborting = Box::pin(lab.experiments.abort(&name, &actor));
    assert!(poll!(aborting.as_mut()).is_pending());
    drop(aborting);
    lab.until(&name, "its abort", is_aborted).await;
    lab.pass_until("nobody is tried", || lab.stage.current.trials().is_empty()).await;
}

/// Experiments of a laboratory, written down on a disk that can be made to refuse.
struct OnDisk {
    experiments: Experiments,
    store: Store,
    folder: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
}

impl OnDisk {
    async fn open(lab: &Laboratory) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::clone(&lab.stage.clock);
        let store = Store::open(folder.path(), StoreOptions::default(), clock).await.unwrap();
        let experiments = Self::of(lab, &store).await;
        let stop = CancellationToken::new();
        tokio::spawn(experiments.clone().follow(stop.clone()));
        Self { experiments, store, folder, _stop: stop.drop_guard() }
    }

    async fn of(lab: &Laboratory, store: &Store) -> Experiments {
        let parts = parts(&lab.stage, &lab.policies, &lab.stage.observer);
        let parts = ExperimentParts { store: Arc::clone(&store.experiments), ..parts };
        Experiments::open(parts).await.unwrap()
    }

    async fn start(&self, lab: &Laboratory, more: &Value) -> ExperimentName {
        let experiment = lab.experiment("on-disk", more);
        self.experiments.start(experiment, &somebody()).await.unwrap().record.experiment.name
    }

    fn database(&self) -> Connection {
        Connection::open(self.folder.path().join("reprieve.db")).unwrap()
    }

    fn refuses(&self, refuses: bool) {
        let change = match refuses {
            true => {
                "CREATE TRIGGER refuses BEFORE UPDATE ON experiments
                 BEGIN SELECT RAISE(ABORT, 'a test'); END"
            }
            false => "DROP TRIGGER refuses",
        };
        self.database().execute_batch(change).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_cannot_be_written_down_stops_the_candidate_and_is_written_down_later() {
    let lab = Laboratory::open().await;
    let on_disk = OnDisk::open(&lab).await;
    let name = on_disk.start(&lab, &json!({"mode": "ab"})).await;
    on_disk.refuses(true);
    let refused = on_disk.experiments.abort(&name, &somebody()).await;
    assert!(matches!(refused, Err(ExperimentFailure::NotWritten { .. })), "{refused:?}");
    assert!(lab.stage.current.trials().is_empty(), "the brake holds all the same");
    // What a host that is killed now would come back with.
    let Standing { record, suspended, .. } = on_disk.experiments.standing(&name).unwrap();
    assert_eq!(record.state, State::Running);
    assert!(suspended.as_ref().is_some_and(|why| why.contains("written down")), "{suspended:?}");
    assert_eq!(on_disk.experiments.alerts()[0].code, SUSPENDED);

    on_disk.refuses(false);
    let is_over = || is_aborted(&on_disk.experiments.standing(&name).unwrap());
    lab.pass_until("it is written down", is_over).await;
    let next = OnDisk::of(&lab, &on_disk.store).await;
    assert!(is_aborted(&next.standing(&name).unwrap()));
    assert!(lab.stage.current.trials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_promotion_whose_last_word_cannot_be_written_down_is_in_force_and_ends_later() {
    let lab = Laboratory::open().await;
    let on_disk = OnDisk::open(&lab).await;
    let name = on_disk.start(&lab, &json!({"mode": "ab"})).await;
    on_disk
        .database()
        .execute_batch(
            "CREATE TRIGGER refuses BEFORE UPDATE ON experiments WHEN new.record LIKE '%promoted%'
         BEGIN SELECT RAISE(ABORT, 'a test'); END",
        )
        .unwrap();
    let standing = on_disk.experiments.promote(&name, &somebody()).await.unwrap();
    assert!(matches!(standing.record.state, State::Promoting(_)), "{:?}", standing.record.state);
    assert_eq!(lab.stage.current.snapshot().policy().digest(), lab.trusting);
    assert!(lab.stage.current.trials().is_empty());

    on_disk.refuses(false);
    let state = || on_disk.experiments.standing(&name).unwrap().record.state;
    lab.pass_until("it is promoted", || matches!(state(), State::Promoted(_))).await;
}

/// Whoever is told that it is over would be told otherwise by a host that was killed
/// right then.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_an_experiment_is_over_before_it_is_on_disk() {
    let lab = Laboratory::open().await;
    let on_disk = OnDisk::open(&lab).await;
    let name = on_disk.start(&lab, &json!({"mode": "ab", "share_bp": 10_000})).await;
    let who = Who { tenant: "acme".parse().unwrap(), workspace: ws(1) };
    let limit = || lab.stage.current.silence_limit(&who, &[]);
    let of_the_candidate = limit();
    let locked = on_disk.database();
    locked.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (experiments, of) = (on_disk.experiments.clone(), name.clone());
    let aborting = tokio::spawn(async move { experiments.abort(&of, &somebody()).await });
    for _ in 0..ROUNDS {
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    }
    assert_ne!(limit(), of_the_candidate, "the candidate has stopped");
    assert_eq!(on_disk.experiments.standing(&name).unwrap().record.state, State::Running);
    locked.execute_batch("COMMIT").unwrap();
    assert!(is_aborted(&aborting.await.unwrap().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_promotion_that_somebodys_settings_do_not_go_with_changes_nothing() {
    let lab = Laboratory::open().await;
    let own = json!({"recent_heartbeat_max": "20s"});
    let change = |layer: Layer, patch: &Value| ChangeRequest {
        layer,
        patch: patch.as_object().unwrap().clone(),
        who: "sre".to_owned(),
        why: String::new(),
        expected: None,
    };
    lab.stage.settings.apply(change(Layer::Workspace(ws(1)), &own)).await.unwrap();
    // Over everybody's own they are fine; below ws-1's they are not.
    let wider = json!({"recent_heartbeat": "30s", "recent_heartbeat_max": "60s"});
    let more = json!({"mode": "ab", "candidate": {"settings": wider},
        "target": {"tenants": ["aardvark", "acme"]}});
    let name = lab.start("wider", more).await;
    let before = lab.stage.current.snapshot().number();
    let refused = lab.experiments.promote(&name, &somebody()).await;
    assert!(matches!(refused, Err(ExperimentFailure::Settings(_))), "{refused:?}");
    assert_eq!(lab.stage.current.snapshot().number(), before, "not even aardvark's");
    assert_eq!(lab.standing(&name).record.state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn hours_pass_only_while_the_candidate_can_be_tried() {
    let lab = Laboratory::open().await;
    let default = lab.stage.current.snapshot().policy().digest();
    // A setting that the other policy does not know.
    let more =
        json!({"mode": "ab", "share_bp": 5_000, "candidate": {"settings": {"settle": "30s"}}});
    let name = lab.start("settle", more).await;
    let hours = || lab.standing(&name).page.tally.hours(Arm::Candidate);
    for (in_force, is_tried) in [(lab.trusting, false), (default, true)] {
        lab.policies.activate(in_force, &somebody(), None).await.unwrap();
        lab.stage.pass(Duration::from_secs(2)).await;
        let before = hours();
        lab.stage.pass(Duration::from_secs(60)).await;
        assert_eq!(lab.standing(&name).suspended.is_none(), is_tried);
        assert_eq!(hours() > before, is_tried, "{} after {before}", hours());
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_experiments_are_forgotten_and_none_that_runs() {
    let lab = Laboratory::open().await;
    let target = json!({"target": {"tenants": ["umbrella"]}});
    let name = lab.start("oldest", target.clone()).await;
    let Standing { record, page, .. } = lab.standing(&name);
    let store = &lab.stage.store.experiments;
    for number in 0..MAX_EXPERIMENTS {
        let experiment = lab.experiment(&format!("e-{number}"), &target);
        let state = State::Aborted(record.started.clone());
        let over = Record { experiment, started: record.started.clone(), state };
        store.write(&over, &page).await.unwrap();
    }
    let next = lab.next_host().await;
    let newest = lab.experiment("newest", &json!({"target": {"tenants": ["acme"]}}));
    next.start(newest, &somebody()).await.unwrap();
    for (where_, names) in [
        ("in memory", next.list().iter().map(|one| one.record.experiment.name.clone()).collect()),
        (
            "on disk",
            store.all().await.unwrap().iter().map(|(one, _)| one.experiment.name.clone()).collect(),
        ),
    ] {
        let names: Vec<ExperimentName> = names;
        assert!(names.len() <= MAX_EXPERIMENTS as usize + 1, "{where_}: {}", names.len());
        for kept in ["oldest", "newest"] {
            assert!(names.iter().any(|name| name.as_str() == kept), "{where_}: {kept}");
        }
        assert!(names.iter().all(|name| name.as_str() != "e-0"), "{where_}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_experiment_that_a_host_cannot_go_on_with_says_why() {
    let lab = Laboratory::open().await;
    let name = lab.start("gone", json!({"mode": "ab"})).await;
    let Standing { mut record, page, .. } = lab.standing(&name);
    let nobodys = Digest::of(b"nobody has it any more");
    record.experiment.candidate.component = Some(nobodys);
    lab.stage.store.experiments.write(&record, &page).await.unwrap();
    let next = lab.next_host().await;
    let suspended = next.standing(&name).unwrap().suspended.expect("it cannot be tried");
    assert!(suspended.contains(&nobodys.to_string()), "{suspended}");
    assert_eq!(next.alerts()[0].code, SUSPENDED);
}
