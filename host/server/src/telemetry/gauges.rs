//! What is so at this moment.

use std::collections::BTreeMap;

use prometheus::{IntGaugeVec, Registry};
use reprieve_core::{ids::TenantId, time::Millis};
use reprieve_runtime::{Alive, Role};

use super::families::{counter, gauge, gauges, registered, seconds};
use crate::{
    experiments,
    policies::{ALERTS, Alert},
    store::{Backlog, StoreHealth},
    supervisor::{BEYOND, Standings, Supervisor},
};

/// Tenants with series of their own, the first by name. The rest are summed up as
/// the tenant [`BEYOND`]: sums over tenants stay right, and the admin API still
/// tells of each.
const MAX_TENANTS: usize = 1_000;

/// How far back the worst lateness counts: as far as the default policy looks.
const LAG_WINDOW: Millis = Millis::from_secs(30);

/// How many cases of each there are that a person should look after.
pub(super) fn alerts(registry: &Registry) -> IntGaugeVec {
    registered(
        registry,
        gauges(
            "alerts",
            "Workspaces, policies or experiments that a person should look after.",
            &["alert"],
        ),
    )
}

pub(super) fn of_workspaces(
    registry: &Registry,
    tenants: &BTreeMap<TenantId, Standings>,
    alerts: &IntGaugeVec,
) {
    let states = registered(
        registry,
        gauges("workspaces", "Workspaces, by what they are doing.", &["tenant", "state"]),
    );
    let restarting = registered(
        registry,
        gauges("restarts_in_flight", "Restarts that are being carried out.", &["tenant"]),
    );
    let blind = registered(
        registry,
        gauges("workspaces_blind", "Workspaces that cannot be seen.", &["tenant"]),
    );
    let left_out = registered(
        registry,
        gauge("metrics_tenants_left_out", "Tenants without series of their own."),
    );
    left_out.set(integer(tenants.len().saturating_sub(MAX_TENANTS)));
    let mut alerted = 0;
    for (position, (tenant, standings)) in tenants.iter().enumerate() {
        let tenant = if position < MAX_TENANTS { tenant.as_str() } else { BEYOND };
        for (state, workspaces) in standings.states() {
            states.with_label_values(&[tenant, state]).add(i64::from(workspaces));
        }
        restarting.with_label_values(&[tenant]).add(i64::from(standings.restarting));
        blind.with_label_values(&[tenant]).add(i64::from(standings.blind));
        alerted += i64::from(standings.blind_for_long);
    }
    alerts.with_label_values(&["blindness"]).set(alerted);
}

pub(super) fn of_policies(raised: &[Alert], alerts: &IntGaugeVec) {
    raised_of(&ALERTS, raised, alerts);
}

pub(super) fn of_experiments(raised: &[Alert], alerts: &IntGaugeVec) {
    raised_of(&experiments::ALERTS, raised, alerts);
}

fn raised_of(codes: &[&str], raised: &[Alert], alerts: &IntGaugeVec) {
    for code in codes {
        let those = raised.iter().filter(|alert| alert.code == *code).count();
        alerts.with_label_values(&[*code]).set(integer(those));
    }
}

pub(super) fn of_generations(registry: &Registry, alive: &[Alive]) {
    let number = registered(
        registry,
        gauge(
            "generation_number",
            "Generations so far: each swap, of the policy or of settings, is one.",
        ),
    );
    let policies = registered(
        registry,
        gauges("policy_info", "Which policy is in force.", &["policy", "component"]),
    );
    let roles = registered(
        registry,
        gauges("generations", "Generations that are alive, by what they are there for.", &["role"]),
    );
    for role in [Role::InForce, Role::StandIn, Role::Draining] {
        let those = alive.iter().filter(|generation| generation.role == role);
        roles.with_label_values(&[role_name(role)]).set(integer(those.count()));
    }
    if let Some(in_force) = alive.iter().find(|generation| generation.role == Role::InForce) {
        number.set(i64::try_from(in_force.number).unwrap_or(i64::MAX));
        let component = in_force.component.to_string();
        policies.with_label_values(&[&in_force.policy, &component]).set(1);
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::InForce => "in-force",
        Role::StandIn => "stand-in",
        Role::Draining => "draining",
    }
}

pub(super) fn of_sight(registry: &Registry, supervisor: &Supervisor) {
    let lag = registered(
        registry,
        seconds("loop_lag_seconds", "The worst lateness of the host's loop within 30 s."),
    );
    lag.set(supervisor.eyesight(LAG_WINDOW).loop_lag.as_duration().as_secs_f64());
}

pub(super) fn of_store(registry: &Registry, health: StoreHealth) {
    let lost = registered(
        registry,
        counter("decisions_lost_total", "Decisions that could not be kept on record."),
    );
    lost.inc_by(health.decisions_lost);
}

pub(super) fn of_queue(registry: &Registry, backlog: &Backlog) {
    let depth = registered(registry, gauge("queue_depth", "Queued requests that wait."));
    depth.set(i64::from(backlog.depth));
    let oldest = registered(
        registry,
        seconds("queue_oldest_age_seconds", "Age of the oldest that waits; 0: none does."),
    );
    oldest.set(backlog.oldest.as_duration().as_secs_f64());
}

pub(super) fn of_build(registry: &Registry) {
    let build = registered(registry, gauges("build_info", "What runs.", &["version"]));
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
