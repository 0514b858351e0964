//! The simulator bites: each of the properties that a run can break, broken on
//! purpose in the world or in the policy, is found out.

#[path = "../hostile/guest.rs"]
#[allow(dead_code, reason = "shared with the tests of hostile components")]
mod guest;

use guest::{GOOD, Guest};
use reprieve_core::settings::Settings;
use reprieve_lab::{Contender, Fault, Lab, Property, RunOptions, Seed, simulate};

use crate::{contender, scenario, seeds};

/// Seeds within which it has to be found.
const WITHIN: u64 = 1_000;

/// The seed that finds it. None: none does.
fn found(
    scenario_name: &str,
    by: &Contender,
    fault: Option<Fault>,
    wanted: Property,
    within: u64,
) -> Option<Seed> {
    let scenario = scenario(scenario_name);
    seeds(within).into_iter().find(|seed| {
        let options = RunOptions {
            fault,
            replay_one_in: 1,
            replay_afresh_one_in: 4,
            ..RunOptions::seeded(*seed)
        };
        let run = simulate(&scenario, by, options, &mut |_| {});
        run.violations.iter().any(|violation| violation.property == wanted)
    })
}

#[test]
fn every_property_that_is_broken_on_purpose_is_found() {
    for (fault, under, in_scenario, property) in [
        (Fault::ErrorIsDeath, "default", "daemon-stalls", Property::NoErrorIsADeath),
        (Fault::SecondRestart, "default", "many-proxies", Property::OneRestartInFlight),
        // The default policy would not admit a restart so soon after another run
        // began: it would hide that the host is broken.
        (
            Fault::EndedLife,
            "trust-the-probe",
            "own-restart-policy",
            Property::NoVerdictOutlivesItsLife,
        ),
        (Fault::MixedGenerations, "default", "retuned-live", Property::OneGeneration),
        (Fault::LoseAccepted, "default", "slow-phases", Property::NothingAcceptedIsLost),
        (Fault::UnexplainedDecision, "default", "reported-crashes", Property::Replayable),
    ] {
        let by = contender(under, Settings::new());
        assert_eq!(
            found(in_scenario, &by, None, property, 3),
            None,
            "{fault:?}: nothing is broken"
        );
        let seed = found(in_scenario, &by, Some(fault), property, WITHIN);
        assert!(seed.is_some(), "{fault:?} in {in_scenario} is not found in {WITHIN} seeds");
    }
}

#[test]
fn a_policy_that_keeps_state_is_found() {
    let keeps = Guest {
        // ALIVE the first time, and BUSY ever after.
        judge: "(global.set $kept (i64.add (global.get $kept) (i64.const 1)))
                (if (i64.gt_u (global.get $kept) (i64.const 1)) (then
                  (return (call $ruled (i32.const 1) (i64.const 5000) (i32.const 1)))))",
        ..GOOD
    };
    let policy = Lab::new().unwrap().load("keeps", &keeps.component()).unwrap();
    let keeps = Contender::new("keeps", policy, Settings::new()).unwrap();
    let property = Property::FunctionOfItsEvidence;
    let seed = found("slow-phases", &keeps, None, property, WITHIN);
    assert!(seed.is_some(), "it is not found in {WITHIN} seeds");
}

#[test]
fn a_policy_that_reads_errors_as_death_is_found() {
    let of_its_day = contender("trust-the-probe", Settings::new());
    let seed =
        found("story-1-six-containers", &of_its_day, None, Property::NoErrorIsADeath, WITHIN);
    assert!(seed.is_some(), "it is not found in {WITHIN} seeds");
}
