//! Settings are changed while the fleet runs: checked, on disk, in force, undone;
//! and what is refused changes nothing anywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

use std::{path::Path, sync::Arc, time::Duration};

use reprieve_core::{
    judgement::ForwardFailure,
    ports::{DecisionFilter, Decisions as _},
    settings::{
        AppliedLayer, AppliedValue, Change, ChangeNumber, Layer, Patch, SettingsBook, Source,
    },
};
use reprieve_runtime::{Generation, Owners};
use reprieve_server::{
    config::Config,
    settings::{ChangeRefused, ChangeRequest, with_applied},
    store::{AllApplied, ChangeFilter},
};
use reprieve_tests::{PolicyName, Stage, StageOptions, generation, ws};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn patch(value: Value) -> Patch {
    let Value::Object(patch) = value else { panic!("{value} is no object") };
    patch
}

fn acme() -> Layer {
    Layer::Tenant("acme".parse().unwrap())
}

fn want(layer: Layer, settings: Value) -> ChangeRequest {
    let (who, why) = ("ana".to_owned(), "slow imports".to_owned());
    ChangeRequest { layer, patch: patch(settings), who, why, expected: None }
}

async fn apply(stage: &Stage, layer: Layer, settings: Value) -> Result<Change, ChangeRefused> {
    stage.settings.apply(want(layer, settings)).await
}

/// Value and origin of a setting.
fn shown(stage: &Stage, layer: &Layer, key: &str) -> (Value, String) {
    let shown = stage.settings.show(layer).unwrap();
    let setting = shown.settings.into_iter().find(|setting| setting.key == key).unwrap();
    (setting.value.unwrap(), setting.origin)
}

async fn newest_digest(stage: &Stage) -> String {
    let filter = DecisionFilter { limit: 1, ..DecisionFilter::default() };
    let newest = stage.store.decisions.list(&filter).await.unwrap().pop().unwrap();
    newest.generation.settings.to_string()
}

#[tokio::test(start_paused = true)]
async fn the_first_decision_after_an_accepted_change_is_made_by_it() {
    let stage = Stage::set(StageOptions::default()).await;
    let mut before = stage.settings.show(&Layer::Workspace(ws(1))).unwrap().digest.to_string();
    for (round, layer) in [acme(), Layer::Fleet, Layer::Workspace(ws(1))].into_iter().enumerate() {
        stage.fail(1, ForwardFailure::TimedOut).await;
        assert_eq!(newest_digest(&stage).await, before, "round {round}");
        let change = json!({"settle": format!("{}s", 90 + round), "reprobe_delay": format!("{}s", 3 + round)});
        apply(&stage, layer, change).await.unwrap();
        stage.fail(1, ForwardFailure::TimedOut).await;
        let after = stage.settings.show(&Layer::Workspace(ws(1))).unwrap().digest.to_string();
        assert_eq!(newest_digest(&stage).await, after, "round {round}");
        // The fleet's values are outweighed by the tenant's: nothing changes for it.
        assert_eq!(after == before, round == 1, "round {round}");
        before = after;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_changes_nothing_and_names_path_value_and_range() {
    let stage = Stage::set(StageOptions::default()).await;
    let in_force = stage.current.snapshot();
    for (case, layer, settings, parts) in [
        ("range", acme(), json!({"settle": "2h"}), &["settle", "2h", "0s to 1h"][..]),
        ("unit", acme(), json!({"settle": 90}), &["settle", "90", "0s to 1h"][..]),
        ("slip", acme(), json!({"setle": "9s"}), &["setle", "did you mean settle?"][..]),
        (
            "all at once",
            Layer::Fleet,
            json!({"settle": "2h", "restart_budget": 0, "liveness_tll": "1min"}),
            &["settle", "0s to 1h", "restart_budget: 0", "1 to 1000", "liveness_ttl?"][..],
        ),
        (
            "one against the other",
            Layer::Workspace(ws(1)),
            json!({"recent_heartbeat": "2min"}),
            &["recent_heartbeat", "is more than `recent_heartbeat_max`"][..],
        ),
        ("nothing to take back", acme(), json!({"settle": null}), &["nothing was applied"][..]),
        ("nothing at all", acme(), json!({}), &["name at least one"][..]),
        ("nobody", Layer::Workspace(ws(9)), json!({"settle": "9s"}), &["no workspace ws-9"][..]),
    ] {
        for refused in [
            stage.settings.check(want(layer.clone(), settings.clone())).await.err(),
            apply(&stage, layer, settings).await.err(),
        ] {
            let text = refused.expect(case).to_string();
            for part in parts {
                assert!(text.contains(part), "{case}: {text:?} lacks {part:?}");
            }
        }
        assert!(Arc::ptr_eq(&in_force, &stage.current.snapshot()), "{case}");
        assert_eq!(stage.store.settings.applied().await.unwrap(), AllApplied::default(), "{case}");
    }
    assert_eq!(stage.settings.history(&ChangeFilter::default()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_fleets_change_that_hurts_one_tenant_is_refused_and_names_him() {
    let own = Arc::new(patch(json!({"recent_heartbeat": "50s"})));
    let settings = SettingsBook {
        tenants: [("acme".parse().unwrap(), own)].into(),
        ..SettingsBook::default()
    };
    let stage = Stage::set(StageOptions { settings, ..StageOptions::default() }).await;
    let refused = apply(&stage, Layer::Fleet, json!({"recent_heartbeat_max": "40s"})).await;
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("the settings of tenant acme: recent_heartbeat: \"50s\" is more"),
        "{text}"
    );
    assert_eq!(stage.settings.version(&Layer::Fleet), ChangeNumber(0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_down_does_not_come_into_force() {
    let stage = Stage::set(StageOptions::default()).await;
    let in_force = stage.current.snapshot();
    stage.store.clone().close().await.unwrap();
    let refused = apply(&stage, acme(), json!({"settle": "90s"})).await;
    assert!(matches!(refused, Err(ChangeRefused::Store(_))), "{refused:?}");
    assert!(Arc::ptr_eq(&in_force, &stage.current.snapshot()));
    assert_eq!(stage.settings.version(&acme()), ChangeNumber(0));
}

#[tokio::test(start_paused = true)]
async fn two_people_cannot_overwrite_each_other() {
    let stage = Stage::set(StageOptions::default()).await;
    let seen = stage.settings.show(&acme()).unwrap().version;
    let by = |settle: &str| ChangeRequest {
        expected: Some(seen),
        ..want(acme(), json!({ "settle": settle }))
    };
    stage.settings.apply(by("90s")).await.unwrap();
    let refused = stage.settings.apply(by("30s")).await.unwrap_err();
    assert!(matches!(refused, ChangeRefused::Stale { version: ChangeNumber(1), .. }), "{refused}");
    assert_eq!(shown(&stage, &acme(), "settle").0, "90s");
    // Other layers have versions of their own.
    assert_eq!(stage.settings.version(&Layer::Fleet), ChangeNumber(0));
}

#[tokio::test(start_paused = true)]
async fn every_value_names_its_layer_and_who_applied_it() {
    let stage = Stage::set(StageOptions::default()).await;
    apply(&stage, Layer::Fleet, json!({"reprobe_delay": "3s"})).await.unwrap();
    apply(&stage, acme(), json!({"settle": "90s"})).await.unwrap();
    let of = Layer::Workspace(ws(1));
    for (key, value, origin) in [
        ("settle", "90s", "tenant acme, applied by ana in change 2"),
        ("reprobe_delay", "3s", "the fleet, applied by ana in change 1"),
        ("liveness_ttl", "3min", "the policy's default"),
    ] {
        let expected = (json!(value), origin.to_owned());
        assert_eq!(shown(&stage, &of, key), expected, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_preview_tells_how_many_a_change_touches_and_who_keeps_his_own() {
    let stage = Stage::set(StageOptions { workspaces: 5, ..StageOptions::default() }).await;
    apply(&stage, Layer::Workspace(ws(2)), json!({"settle": "2min"})).await.unwrap();
    let preview = stage.settings.preview(want(acme(), json!({"settle": "90s"}))).await.unwrap();
    assert_eq!((preview.workspaces, preview.keys[0].workspaces, preview.keys[0].own), (4, 4, 1));
    assert_eq!(preview.keys[0].before, Some(json!("1min")));
    assert_eq!(preview.keys[0].after, Some(json!("90s")));
    assert_eq!(shown(&stage, &acme(), "settle").0, "1min", "nothing has changed");
    let slip = Layer::Tenant("acmee".parse().unwrap());
    let preview = stage.settings.preview(want(slip, json!({"settle": "90s"}))).await.unwrap();
    assert!(preview.notes[0].contains("did you mean acme?"), "{:?}", preview.notes);
    let same = stage.settings.preview(want(acme(), json!({"settle": "1min"}))).await.unwrap();
    assert_eq!(same.workspaces, 0, "the default, written out, changes nobody's value");
}

#[tokio::test(start_paused = true)]
async fn undo_puts_back_what_a_change_replaced_and_names_what_lies_over_it() {
    let stage = Stage::set(StageOptions::default()).await;
    let undo = |number, force| {
        stage.settings.undo(ChangeNumber(number), "bob".to_owned(), "the disk".to_owned(), force)
    };
    apply(&stage, acme(), json!({"settle": "90s", "reprobe_delay": "3s"})).await.unwrap();
    apply(&stage, acme(), json!({"settle": "2min"})).await.unwrap();
    let refused = undo(1, false).await.unwrap_err();
    assert!(refused.to_string().contains("change 2 by ana touched the same"), "{refused}");

    let undone = undo(2, false).await.unwrap();
    assert_eq!(undone.undo_of, Some(ChangeNumber(2)));
    assert_eq!(shown(&stage, &acme(), "settle").0, "90s");
    undo(1, true).await.unwrap();
    for key in ["settle", "reprobe_delay"] {
        assert_eq!(shown(&stage, &acme(), key).1, "the policy's default", "{key}");
    }
    let refused = undo(77, false).await.unwrap_err();
    assert!(matches!(refused, ChangeRefused::NoSuchChange(_)), "{refused}");

    let history = stage.settings.history(&ChangeFilter::default()).await.unwrap();
    let told = history.iter().map(|of| format!("{} {} {}", of.number, of.who, of.why));
    let expected = ["4 bob the disk", "3 bob the disk", "2 ana slow imports", "1 ana slow imports"];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let of_bob = ChangeFilter { who: Some("bob".to_owned()), limit: 1, ..ChangeFilter::default() };
    assert_eq!(stage.settings.history(&of_bob).await.unwrap()[0].number, ChangeNumber(4));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_limit_finds_a_silence_that_has_begun_already() {
    let stage = Stage::set(StageOptions::default()).await;
    stage.silence(1);
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.restarts(), []);
    apply(&stage, acme(), json!({"liveness_ttl": "30s"})).await.unwrap();
    stage.pass(Duration::from_secs(5)).await;
    assert_eq!(stage.restarts_of(1).len(), 1, "three minutes of silence are not waited for");
}

#[tokio::test(start_paused = true)]
async fn one_of_ten_thousand_tenants_is_changed_by_one_question_to_the_policy() {
    let own = |number: usize| {
        let settle = format!("{}ms", 60_001 + number);
        (format!("t-{number}").parse().unwrap(), Arc::new(patch(json!({ "settle": settle }))))
    };
    let settings =
        SettingsBook { tenants: (0..10_000).map(own).collect(), ..SettingsBook::default() };
    let stage = Stage::set(StageOptions { settings, ..StageOptions::default() }).await;
    let policy = Arc::clone(stage.current.snapshot().policy());
    let asked = policy.settings_checked();
    let layer = Layer::Tenant("t-4711".parse().unwrap());
    apply(&stage, layer.clone(), json!({"reprobe_delay": "3s"})).await.unwrap();
    assert_eq!(policy.settings_checked() - asked, 1);
    assert_eq!(shown(&stage, &layer, "settle").0, "64712ms", "what stands in the file lies under");
}

fn applied(number: u64, layer: Layer, settings: Value) -> (Layer, AppliedLayer) {
    let change = ChangeNumber(number);
    let value = |(key, value): (String, Value)| {
        (key, AppliedValue { value, change, who: "ana".to_owned() })
    };
    let values = patch(settings).into_iter().map(value).collect();
    (layer, AppliedLayer { version: change, values })
}

/// An older change must not keep the host from starting under a newer policy.
#[test]
fn what_the_policy_refuses_at_start_is_set_aside_and_the_rest_is_in_force() {
    let tenant = |number: usize| Layer::Tenant(format!("t-{number}").parse().unwrap());
    let mut all: AllApplied =
        (0..40).map(|number| applied(1, tenant(number), json!({"liveness_ttl": "5min"}))).collect();
    for number in [3, 17] {
        all.extend([applied(2, tenant(number), json!({"settle": "90s"}))]);
    }
    let booted = with_applied(
        generation(PolicyName::CountDebounce, SettingsBook::default()),
        &all,
        &Owners::new(),
    );
    let in_force = booted.layers().of(Source::Applied);
    assert_eq!(in_force.tenants.len(), 38);
    for number in 0..40 {
        let is_aside = [3, 17].contains(&number);
        assert_eq!(in_force.get(&tenant(number)).is_none(), is_aside, "{number}");
    }
}

/// A configuration in a folder of its own, and a stage that follows it.
async fn followed(text: &str, folder: &Path) -> Stage {
    let file = folder.join("reprieve.toml");
    std::fs::create_dir_all(folder.join("tenants")).unwrap();
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file).unwrap();
    let settings = config.settings_book();
    Stage::set(StageOptions { settings, config, ..StageOptions::default() }).await
}

const FILE: &str = "[policy]\nsettings_dir = \"tenants\"\n[policy.settings]\nsettle = \"50s\"\n";

#[tokio::test(start_paused = true)]
async fn files_are_taken_whole_or_not_at_all_and_the_line_at_fault_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let stage = followed(FILE, folder.path()).await;
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    stage.settings.reload().await;
    let (value, origin) = shown(&stage, &Layer::Fleet, "settle");
    assert_eq!(value, "50s");
    assert!(origin.starts_with("the fleet, ") && origin.ends_with("reprieve.toml:4"), "{origin}");

    write("tenants/acme.toml", "settle = \"90s\"\n[workspaces.ws-1]\nreprobe_delay = \"4s\"\n");
    stage.settings.reload().await;
    let of = Layer::Workspace(ws(1));
    assert_eq!(shown(&stage, &of, "settle").0, "90s");
    let (value, origin) = shown(&stage, &of, "reprobe_delay");
    assert_eq!(value, "4s");
    assert!(origin.starts_with("workspace ws-1, ") && origin.ends_with("acme.toml:3"), "{origin}");

    let good = stage.current.snapshot();
    for (case, name, text, parts) in [
        (
            "range",
            "tenants/acme.toml",
            "\nsettle = \"2h\"\n",
            &["acme.toml:2:1", "settle", "2h", "0s to 1h"][..],
        ),
        (
            "slip",
            "tenants/acme.toml",
            "setle = \"9s\"\n",
            &["acme.toml:1:1", "did you mean settle?"][..],
        ),
        ("no TOML", "tenants/acme.toml", "settle = \n", &["acme.toml:1"][..]),
        ("a name", "tenants/a b.toml", "", &["a b.toml", "like acme.toml"][..]),
        (
            "twice",
            "reprieve.toml",
            &format!("{FILE}[tenants.acme.settings]\nsettle = \"9s\"\n"),
            &["acme.toml:1:1: settle", "reprieve.toml:6", "keep one"][..],
        ),
        ("the configuration", "reprieve.toml", "[policy]\nsetings = 1\n", &["reprieve.toml:2"][..]),
    ] {
        let path = folder.path().join(name);
        let former = std::fs::read_to_string(&path).ok();
        write(name, text);
        stage.settings.reload().await;
        let problems = stage.settings.status().await.unwrap().files.problems.join("\n");
        for part in parts {
            assert!(problems.contains(part), "{case}: {problems:?} lacks {part:?}");
        }
        assert!(Arc::ptr_eq(&good, &stage.current.snapshot()), "{case}");
        match former {
            Some(former) => std::fs::write(&path, former).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        stage.settings.reload().await;
        assert_eq!(stage.settings.status().await.unwrap().files.problems, [""; 0], "{case}");
    }
    std::fs::remove_file(folder.path().join("tenants/acme.toml")).unwrap();
    stage.settings.reload().await;
    assert_eq!(shown(&stage, &of, "settle").0, "50s");
}

#[tokio::test(start_paused = true)]
async fn what_was_applied_lies_over_the_file_until_it_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = followed(FILE, folder.path()).await;
    apply(&stage, Layer::Fleet, json!({"settle": "90s"})).await.unwrap();
    let text = FILE.replace("50s", "70s");
    std::fs::write(folder.path().join("reprieve.toml"), text).unwrap();
    stage.settings.reload().await;
    assert_eq!(shown(&stage, &Layer::Fleet, "settle").0, "90s");
    apply(&stage, Layer::Fleet, json!({"settle": null})).await.unwrap();
    assert_eq!(shown(&stage, &Layer::Fleet, "settle").0, "70s");
}

#[tokio::test(start_paused = true)]
async fn other_sections_that_change_are_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let stage = followed(FILE, folder.path()).await;
    stage.settings.reload().await;
    let text = format!("{FILE}\n[proxy]\npreflight = true\n[queue]\ncapacity = 7\n");
    std::fs::write(folder.path().join("reprieve.toml"), text.replace("50s", "70s")).unwrap();
    stage.settings.reload().await;
    let status = stage.settings.status().await.unwrap();
    assert_eq!(status.files.needs_restart, ["proxy", "queue"]);
    assert_eq!(shown(&stage, &Layer::Fleet, "settle").0, "70s", "settings are taken all the same");
}

/// On real time: the file system tells of the change.
#[tokio::test]
async fn a_file_that_is_replaced_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reprieve.toml");
    std::fs::write(&file, FILE.replace("settings_dir = \"tenants\"", "")).unwrap();
    let config = Config::load(&file).unwrap();
    let settings = config.settings_book();
    let stage = Stage::set_at_once(StageOptions {
        workspaces: 0,
        settings,
        config,
        ..StageOptions::default()
    })
    .await;
    let stop = CancellationToken::new();
    let following = tokio::spawn(stage.settings.clone().follow(stop.clone()));
    let taken = |expected: &'static str| {
        let stage = &stage;
        async move {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while shown(stage, &Layer::Fleet, "settle").0 != expected {
                look.tick().await;
            }
        }
    };
    taken("50s").await;
    // As editors do: a new file in the place of the old one.
    let fresh = folder.path().join("reprieve.toml.new");
    std::fs::write(&fresh, "[policy.settings]\nsettle = \"70s\"\n").unwrap();
    std::fs::rename(&fresh, &file).unwrap();
    tokio::time::timeout(Duration::from_secs(25), taken("70s"))
        .await
        .expect("sooner than by looking");
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_found_workspace_is_watched_although_what_was_applied_to_it_is_refused_now() {
    let stage = Stage::set(StageOptions::default()).await;
    let layer = Layer::Workspace(ws(7));
    // As if it had been applied under another policy, before the workspace was here.
    let refused = reprieve_runtime::LayerChange {
        layer: layer.clone(),
        source: Source::Applied,
        settings: patch(json!({"no_such_key": 1})),
    };
    stage
        .current
        .update(|in_force: &Generation| in_force.with_settings(&[refused], &Owners::new()))
        .unwrap();
    let spec = stage.spec(7);
    stage.supervisor.found(spec, patch(json!({"settle": "9s"})), None).await.unwrap();
    assert_eq!(
        shown(&stage, &layer, "settle"),
        (json!("9s"), "workspace ws-7, its labels".to_owned())
    );
    assert_eq!(stage.current.snapshot().layers().of(Source::Applied).get(&layer), None);
}
