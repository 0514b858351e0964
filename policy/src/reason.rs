//! Why the default policy rules as it does.

reprieve_policy::reasons! {
    /// Every reason of a judgement or a ruling. The order is the index that the
    /// contract carries: new ones go to the end.
    pub enum Reason {
        /// The runtime says that the workspace runs, and nothing speaks against it.
        Running = "running",
        /// It runs, but gave no whole answer in time: it may be at work, so it is left alone.
        SlowAnswer = "slow-answer",
        /// It runs, but the runtime's own health check calls it unhealthy: no proof of death, so it is left alone.
        Unhealthy = "unhealthy",
        /// It runs, but gave no sign of life for `liveness_ttl`.
        Silent = "silent",
        /// The runtime is bringing it up.
        Starting = "starting",
        /// The runtime itself is restarting it.
        Restarting = "restarting",
        /// It is paused: somebody wanted that.
        Paused = "paused",
        /// A restart is being carried out at this moment.
        InFlight = "in-flight",
        /// A restart began less than `settle` ago.
        SettleWindow = "settle-window",
        /// It gave a sign of life since the restart began.
        Back = "back",
        /// The probe failed: that tells about the host's eyes, not about the workspace.
        ProbeFault = "probe-fault",
        /// A store of the host cannot be read: nobody is judged or restarted without it.
        StoreFault = "store-fault",
        /// The runtime says that it does not run, but it gave a sign of life so recently that the runtime may be wrong.
        RecentSign = "recent-sign",
        /// The runtime says that it does not run, and it gave no recent sign of life.
        NotRunning = "not-running",
        /// The runtime reports that this life ended after its newest sign of life.
        ExitReported = "exit-reported",
        /// The runtime reports that this life ended after its newest sign of life, and that the workspace was removed.
        Removed = "removed",
        /// So many probes of any workspace failed just now that no sighting can be trusted.
        PanicProbes = "panic-probes",
        /// The host's own loop was late by so much that no age can be trusted.
        PanicLate = "panic-late",
        /// So many workspaces of the tenant look dead at once that the cause is rather what they share.
        PanicFleet = "panic-fleet",
        /// A person asked for the restart: it is never held back.
        Operator = "operator",
        /// A request came for a hibernated workspace: it is woken at once.
        Wake = "wake",
        /// Nothing speaks against the restart.
        Admitted = "admitted",
        /// The last restart began less than `restart_debounce` ago: this one would only repeat it.
        Debounced = "debounced",
        /// Newer settings wait until `restart_debounce` after the last restart began.
        SettingsWait = "settings-wait",
        /// The running life was started with the newest settings already.
        SettingsCurrent = "settings-current",
        /// More than `restart_budget` restarts began within `restart_budget_window`.
        OverBudget = "over-budget",
        /// As many workspaces of the tenant are restarting as `max_restarting_percent` allows.
        FleetCap = "fleet-cap",
    }
}
