use super::*;
use crate::incident::steps::declare_death;

const T0: UnixMillis = UnixMillis(1_000_000);

fn at(secs: u64) -> UnixMillis {
    T0 + Millis::from_secs(secs)
}

fn running() -> Incident {
    let mut incident = Incident::new(Standing::Wanted, true, LifeId(3), Revision(1), Revision(1));
    incident.alive(LifeId(3), T0);
    incident
}

/// Runs a wish through to the restart command; returns the last steps.
fn restart(incident: &mut Incident, cause: RestartCause, now: UnixMillis) -> Vec<Step> {
    let (_, steps) = incident.wish(cause, now);
    assert_eq!(steps, [Step::Admit { cause, life: incident.life() }]);
    let mut steps = incident.ruled(cause, Admission::Admit, now);
    if steps == [Step::LookAgain] {
        steps = incident.looked_again(true, now);
    }
    let [Step::Begin { of, revision, .. }] = steps[..] else { panic!("{steps:?}") };
    incident.begun(Ok((of.next(), revision)), now)
}

#[test]
fn a_death_is_declared_in_one_order() {
    let mut incident = running();
    let steps = restart(&mut incident, RestartCause::DeadVerdict, T0);
    assert_eq!(steps, declare_death(LifeId(4), RestartCause::DeadVerdict, Revision(1)));
    assert_eq!(
        steps,
        [
            Step::ForgetMemory,
            Step::MarkOffline,
            Step::ClearCredentials,
            Step::Broadcast { life: LifeId(4), cause: RestartCause::DeadVerdict },
            Step::Restart {
                life: LifeId(4),
                cause: RestartCause::DeadVerdict,
                revision: Revision(1)
            },
        ]
    );
    assert_eq!(incident.state(), WorkspaceState::Offline);
}

#[test]
fn four_deaths_in_flight_are_four_drops_and_no_restart() {
    let mut incident = running();
    restart(&mut incident, RestartCause::Operator, T0);
    for _ in 0..4 {
        let (wish, steps) = incident.dead(incident.life(), at(1));
        assert_eq!(wish, Wish::InFlight);
        assert_eq!(
            steps,
            [Step::Drop { cause: RestartCause::DeadVerdict, why: DropReason::InFlight }]
        );
    }
}

#[test]
fn a_verdict_about_an_ended_life_is_void() {
    let mut incident = running();
    let (wish, steps) = incident.dead(LifeId(2), T0);
    assert_eq!(wish, Wish::LifeEnded);
    assert_eq!(steps, [Step::Void(Void::LifeEnded { judged: LifeId(2) })]);
}

#[test]
fn a_run_that_is_not_the_one_judged_is_not_restarted() {
    let mut incident = running();
    incident.dead(LifeId(3), T0);
    assert_eq!(incident.ruled(RestartCause::DeadVerdict, Admission::Admit, T0), [Step::LookAgain]);
    assert_eq!(incident.looked_again(false, T0), [Step::Void(Void::AnotherRun)]);
    assert!(!incident.is_in_flight());
}

#[test]
fn a_deferred_death_is_judged_again_and_a_dropped_one_is_counted() {
    let cause = RestartCause::DeadVerdict;
    let mut incident = running();
    incident.dead(LifeId(3), T0);
    let deferred = incident.ruled(cause, Admission::Defer(Millis::from_secs(5)), T0);
    assert_eq!(deferred, [Step::JudgeAt(at(5))]);
    incident.dead(LifeId(3), at(5));
    let dropped = incident.ruled(cause, Admission::Drop, at(5));
    assert_eq!(dropped, [Step::Drop { cause, why: DropReason::Policy }]);
}

#[test]
fn a_second_revision_in_flight_brings_exactly_one_trailing_restart() {
    let cause = RestartCause::SettingsChanged;
    let mut incident = running();
    assert_eq!(incident.revise(Revision(2), T0), [Step::Admit { cause, life: LifeId(3) }]);
    incident.ruled(cause, Admission::Admit, T0);
    incident.begun(Ok((LifeId(4), Revision(2))), T0);
    assert_eq!(incident.revise(Revision(3), at(5)), []);
    assert_eq!(incident.revise(Revision(3), at(6)), [], "the same revision again is no change");
    let steps = incident.carried_out(LifeId(4), Ok(()), at(7));
    assert_eq!(
        steps,
        [
            Step::Finish { life: LifeId(4) },
            Step::TellWorkspace { cause },
            Step::AskSettled,
            Step::Admit { cause, life: LifeId(4) },
        ]
    );
    let deferred = incident.ruled(cause, Admission::Defer(Millis::from_secs(53)), at(7));
    assert_eq!(deferred, [Step::TakeUpAt(at(60))]);
    assert_eq!(incident.take_up(at(59)), [Step::TakeUpAt(at(60))]);
    assert_eq!(incident.take_up(at(60)), [Step::Admit { cause, life: LifeId(4) }]);
    incident.ruled(cause, Admission::Admit, at(60));
    incident.begun(Ok((LifeId(5), Revision(3))), at(60));
    let steps = incident.carried_out(LifeId(5), Ok(()), at(61));
    assert!(!steps.iter().any(|step| matches!(step, Step::Admit { .. })), "{steps:?}");
}

#[test]
fn a_restart_for_another_cause_grants_the_waiting_revision() {
    let mut incident = running();
    incident.revise(Revision(2), T0);
    incident.ruled(RestartCause::SettingsChanged, Admission::Defer(Millis::from_secs(60)), T0);
    restart(&mut incident, RestartCause::Operator, at(1));
    assert!(!incident.is_revision_stale());
    let steps = incident.carried_out(LifeId(4), Ok(()), at(2));
    assert!(!steps.iter().any(|step| matches!(step, Step::Admit { .. } | Step::TakeUpAt(_))));
}

#[test]
fn a_sign_of_the_new_life_asks_whether_it_settled() {
    let mut incident = running();
    restart(&mut incident, RestartCause::DeadVerdict, T0);
    incident.carried_out(LifeId(4), Ok(()), at(1));
    assert_eq!(incident.state(), WorkspaceState::Provisioning);
    assert_eq!(incident.sign(LifeId(3)), [], "a beat of the old life is no sign");
    assert_eq!(incident.sign(LifeId(4)), [Step::AskSettled]);
    assert_eq!(incident.alive(LifeId(4), at(2)), [Step::Drain]);
    assert_eq!(incident.state(), WorkspaceState::Online);
}

#[test]
fn what_is_queued_waits_for_a_sign_of_the_new_life_or_for_the_ceiling() {
    let mut incident = running();
    restart(&mut incident, RestartCause::DeadVerdict, T0);
    incident.carried_out(LifeId(4), Ok(()), at(1));
    let ceiling = T0 + SIGN_CEILING;
    assert_eq!(incident.alive(LifeId(4), at(2)), [Step::JudgeAt(ceiling)], "alive, but unseen");
    assert_eq!(incident.alive(LifeId(4), ceiling), [Step::Drain], "it never beats");
    assert_eq!(incident.sign(LifeId(4)), [Step::Drain], "its first sign");
    assert_eq!(incident.sign(LifeId(4)), []);
}

#[test]
fn what_a_person_put_to_rest_stays_at_rest() {
    for (standing, state) in [
        (Standing::Paused, WorkspaceState::Paused),
        (Standing::Hibernated, WorkspaceState::Hibernated),
        (Standing::Removed, WorkspaceState::Removed),
    ] {
        let mut incident = running();
        assert_eq!(incident.put_to_rest(standing), Ok(vec![Step::Stop]));
        assert_eq!(incident.stopped(T0), []);
        assert_eq!(incident.state(), state);
        let (wish, steps) = incident.dead(LifeId(3), T0);
        assert_eq!((wish, steps), (Wish::NotAllowed(standing), vec![]), "{standing:?}");
    }
}

#[test]
fn only_a_request_or_a_person_wakes_a_hibernated_one() {
    let mut incident = running();
    incident.put_to_rest(Standing::Hibernated).expect("nothing is in flight");
    let cause = RestartCause::Wake;
    assert_eq!(incident.wish(cause, T0), (Wish::Taken, vec![]), "it is being stopped");
    assert_eq!(incident.stopped(T0), [Step::Admit { cause, life: LifeId(3) }]);
    incident.ruled(cause, Admission::Admit, T0);
    let steps = incident.begun(Ok((LifeId(4), Revision(1))), T0);
    assert_eq!(steps, declare_death(LifeId(4), cause, Revision(1)));
    assert_eq!(incident.standing(), Standing::Wanted);
}

#[test]
fn a_restart_that_failed_is_judged_again() {
    let mut incident = running();
    restart(&mut incident, RestartCause::DeadVerdict, T0);
    let refused = RestartFailure::Refused { detail: "no such file".into() };
    let steps = incident.carried_out(LifeId(4), Err(&refused), at(1));
    assert_eq!(
        steps,
        [Step::Finish { life: LifeId(4) }, Step::JudgeAt(at(1) + RETRY_AFTER_FAILURE)]
    );
    assert_eq!(incident.state(), WorkspaceState::Offline);
}

#[test]
fn a_wish_is_told_what_came_of_it() {
    let cause = RestartCause::Wake;
    let until = at(30);
    for (case, admission, begun, expected) in [
        ("begun", Admission::Admit, Ok((LifeId(4), Revision(1))), Wish::Taken),
        (
            "the store fails",
            Admission::Admit,
            Err(NotBegun::StoreUnavailable),
            Wish::NotBegun(NotBegun::StoreUnavailable),
        ),
        ("dropped", Admission::Drop, Err(NotBegun::InFlight), Wish::Dropped),
        (
            "put off",
            Admission::Defer(Millis::from_secs(30)),
            Err(NotBegun::InFlight),
            Wish::Waits { not_before: until },
        ),
    ] {
        let mut incident = running();
        incident.wish(cause, T0);
        incident.ruled(cause, admission, T0);
        incident.begun(begun, T0);
        assert_eq!(incident.came_of(cause, T0), expected, "{case}");
        assert_eq!(incident.came_of(RestartCause::Operator, T0), Wish::Taken, "{case}: another");
        if !incident.is_in_flight() {
            incident.wish(cause, until);
            assert_eq!(incident.came_of(cause, until), Wish::Taken, "{case}: it is asked anew");
        }
    }
}

/// Of three hosts in front of one workspace only one restarts it after a change.
#[test]
fn a_change_that_cannot_begin_is_not_asked_for_at_once_and_not_lost() {
    let cause = RestartCause::SettingsChanged;
    let refused = |reason| {
        let mut incident = running();
        let steps = incident.revise(Revision(2), T0);
        assert_eq!(steps, [Step::Admit { cause, life: LifeId(3) }]);
        incident.ruled(cause, Admission::Admit, T0);
        (incident.begun(Err(reason), T0), incident)
    };
    let later = T0 + RETRY_AFTER_FAILURE;
    for reason in [NotBegun::InFlight, NotBegun::StoreUnavailable] {
        let (steps, mut incident) = refused(reason);
        assert!(!steps.contains(&Step::Admit { cause, life: LifeId(3) }), "{reason}: {steps:?}");
        assert!(steps.contains(&Step::TakeUpAt(later)), "{reason}: {steps:?}");
        assert_eq!(incident.take_up(later), [Step::Admit { cause, life: LifeId(3) }], "{reason}");
    }
    // The life that another host began with the change has it.
    let ended = |revision| NotBegun::LifeEnded { current: LifeId(4), revision };
    let (steps, mut incident) = refused(ended(Revision(2)));
    assert_eq!(steps, [Step::Void(Void::NotBegun(ended(Revision(2))))]);
    assert_eq!((incident.life(), incident.take_up(later)), (LifeId(4), vec![]));
    // One that was begun before has it not.
    let (_, mut incident) = refused(ended(Revision(1)));
    assert_eq!(incident.take_up(later), [Step::Admit { cause, life: LifeId(4) }]);
}

#[test]
fn only_a_persons_order_is_carried_out_whatever_the_policy_rules() {
    for ruled in [Admission::Admit, Admission::Drop, Admission::Defer(Millis(500))] {
        assert_eq!(heeded(RestartCause::Operator, ruled), Admission::Admit, "{ruled:?}");
        for cause in [
            RestartCause::DeadVerdict,
            RestartCause::SettingsChanged,
            RestartCause::Wake,
            RestartCause::Dependency,
        ] {
            assert_eq!(heeded(cause, ruled), ruled, "{cause:?}");
        }
    }
}

mod random {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Event {
        Dead { of_previous: bool },
        Wish(RestartCause),
        Revise,
        Ruled(Admission),
        LookedAgain(bool),
        Begun(bool),
        CarriedOut(bool),
        Sign,
        Alive,
        Rest(Standing),
        Stopped,
        Resume,
        TakeUp,
    }

    fn cause() -> impl Strategy<Value = RestartCause> {
        prop::sample::select(vec![
            RestartCause::Operator,
            RestartCause::DeadVerdict,
            RestartCause::SettingsChanged,
            RestartCause::Wake,
            RestartCause::Dependency,
        ])
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            any::<bool>().prop_map(|of_previous| Event::Dead { of_previous }),
            cause().prop_map(Event::Wish),
            Just(Event::Revise),
            prop::sample::select(vec![
                Admission::Admit,
                Admission::Drop,
                Admission::Defer(Millis(500))
            ])
            .prop_map(Event::Ruled),
            any::<bool>().prop_map(Event::LookedAgain),
            any::<bool>().prop_map(Event::Begun),
            any::<bool>().prop_map(Event::CarriedOut),
            Just(Event::Sign),
            Just(Event::Alive),
            prop::sample::select(vec![Standing::Paused, Standing::Hibernated])
                .prop_map(Event::Rest),
            Just(Event::Stopped),
            Just(Event::Resume),
            Just(Event::TakeUp),
        ]
    }

    /// What the outside world owes an answer to, and what it knows.
    #[derive(Default)]
    struct World {
        admitting: Option<RestartCause>,
        looking: bool,
        beginning: Option<(LifeId, Revision)>,
        restarting: Option<LifeId>,
        begun_with: Revision,
    }

    impl World {
        fn carry_out(&mut self, steps: Vec<Step>) {
            for step in steps {
                match step {
                    Step::Admit { cause, .. } => self.admitting = Some(cause),
                    Step::LookAgain => self.looking = true,
                    Step::Begin { of, revision, .. } => {
                        assert!(self.restarting.is_none(), "two restarts in flight");
                        self.beginning = Some((of, revision));
                    }
                    Step::Restart { life, .. } => {
                        assert!(self.restarting.is_none(), "two restarts in flight");
                        self.restarting = Some(life);
                    }
                    _ => {}
                }
            }
        }

        fn feed(&mut self, incident: &mut Incident, event: Event, now: UnixMillis) {
            let steps = match event {
                Event::Dead { of_previous } => {
                    let life = incident.life();
                    let life = if of_previous { LifeId(life.0.saturating_sub(1)) } else { life };
                    incident.dead(life, now).1
                }
                Event::Wish(cause) => incident.wish(cause, now).1,
                Event::Revise => incident.revise(Revision(incident.wanted_revision().0 + 1), now),
                Event::Ruled(admission) => match self.admitting.take() {
                    Some(cause) => incident.ruled(cause, admission, now),
                    None => vec![],
                },
                Event::LookedAgain(same) if self.looking => {
                    self.looking = false;
                    incident.looked_again(same, now)
                }
                Event::Begun(well) => match self.beginning.take() {
                    Some((of, revision)) if well => {
                        self.begun_with = revision;
                        incident.begun(Ok((of.next(), revision)), now)
                    }
                    Some(_) => incident.begun(Err(NotBegun::StoreUnavailable), now),
                    None => vec![],
                },
                Event::CarriedOut(well) => match self.restarting.take() {
                    Some(life) => {
                        let refused = RestartFailure::Refused { detail: String::new() };
                        incident.carried_out(life, if well { Ok(()) } else { Err(&refused) }, now)
                    }
                    None => vec![],
                },
                Event::Sign => incident.sign(incident.life()),
                Event::Alive => incident.alive(incident.life(), now),
                Event::Rest(standing) => incident.put_to_rest(standing).unwrap_or_default(),
                Event::Stopped => incident.stopped(now),
                Event::Resume => incident.resume(now).1,
                Event::LookedAgain(_) => vec![],
                Event::TakeUp => incident.take_up(now),
            };
            self.carry_out(steps);
        }
    }

    proptest! {
        #[test]
        fn never_two_restarts_in_flight_and_no_revision_is_lost(
            events in prop::collection::vec(event(), 1..200)
        ) {
            let mut incident = running();
            let mut world = World { begun_with: Revision(1), ..World::default() };
            let mut now = T0;
            for event in events {
                now = now + Millis(250);
                world.feed(&mut incident, event, now);
            }
            // However it went: let the world answer well from here on.
            for event in [Event::Stopped, Event::Resume] {
                world.feed(&mut incident, event, now);
            }
            for _ in 0..140 {
                now = now + Millis(1_000);
                for event in [
                    Event::Ruled(Admission::Admit), Event::LookedAgain(true), Event::Begun(true),
                    Event::CarriedOut(true), Event::Alive, Event::TakeUp,
                ] {
                    world.feed(&mut incident, event, now);
                }
            }
            prop_assert_eq!(world.begun_with, incident.wanted_revision());
            prop_assert!(!incident.is_in_flight());
            prop_assert_eq!(incident.state(), WorkspaceState::Online);
        }
    }
}
