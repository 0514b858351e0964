//! What is to run in a container.

/// Where the agent of [`ContainerSpec::agent`] listens.
const AGENT_PORT: u16 = 8000;

/// A container, as a person would describe it.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub env: Vec<(String, String)>,
    /// Empty: none, which the image does not bring either.
    pub command: Vec<String>,
    pub health: Option<HealthCheck>,
    /// None: the Engine's bridge.
    pub network: Option<String>,
    /// None: the image with this build's `reprieve`.
    pub image: Option<String>,
    /// Any other arguments of `docker create`, such as `--memory`.
    pub more: Vec<String>,
}

/// Docker's own check.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// A command of the container's shell.
    pub command: String,
    /// As Docker writes it: `500ms`.
    pub interval: String,
    pub retries: u32,
}

impl ContainerSpec {
    /// `reprieve agent` as the workspace of that name, labelled for discovery.
    pub fn agent(name: &str) -> Self {
        let port = AGENT_PORT.to_string();
        Self::named(name)
            .label("reprieve.workspace", name)
            .label("reprieve.port", &port)
            .env("REPRIEVE_WORKSPACE", name)
            .command(&["reprieve", "agent", "--host", "0.0.0.0", "--port", &port])
    }

    /// A container that does nothing, and ends at once when it is asked to.
    pub fn idle(name: &str) -> Self {
        // The first process of a container ignores signals that it does not trap.
        Self::named(name).command(&["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"])
    }

    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// One more word for the command, such as a switch of the agent.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.push(arg.to_owned());
        self
    }

    #[must_use]
    pub fn health(mut self, command: &str, interval: &str, retries: u32) -> Self {
        let (command, interval) = (command.to_owned(), interval.to_owned());
        self.health = Some(HealthCheck { command, interval, retries });
        self
    }

    #[must_use]
    pub fn network(mut self, network: &str) -> Self {
        self.network = Some(network.to_owned());
        self
    }

    #[must_use]
    pub fn more(mut self, args: &[&str]) -> Self {
        self.more.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// The arguments of `docker create`.
    pub(super) fn arguments(&self, default_image: &str) -> Vec<String> {
        let mut args = vec!["--name".to_owned(), self.name.clone()];
        let mut add = |name: &str, value: String| args.extend([name.to_owned(), value]);
        for (name, value) in &self.labels {
            add("--label", format!("{name}={value}"));
        }
        for (name, value) in &self.env {
            add("--env", format!("{name}={value}"));
        }
        if let Some(health) = &self.health {
            add("--health-cmd", health.command.clone());
            add("--health-interval", health.interval.clone());
            add("--health-retries", health.retries.to_string());
        }
        if let Some(network) = &self.network {
            add("--network", network.clone());
        }
        args.extend(self.more.iter().cloned());
        args.push(self.image.as_deref().unwrap_or(default_image).to_owned());
        args.extend(self.command.iter().cloned());
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_reads_like_the_command_line_of_docker() {
        let spec = ContainerSpec::named("c-1")
            .label("reprieve.workspace", "ws-1")
            .env("A", "b c")
            .health("true", "500ms", 2)
            .network("none")
            .more(&["--memory", "16m"])
            .command(&["sleep", "9"]);
        let shown = spec.arguments("image:1").join(" ");
        assert_eq!(
            shown,
            "--name c-1 --label reprieve.workspace=ws-1 --env A=b c --health-cmd true \
             --health-interval 500ms --health-retries 2 --network none --memory 16m image:1 sleep 9"
        );
    }
}
