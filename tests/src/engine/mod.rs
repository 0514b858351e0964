//! Real Docker Engines for tests: each a `dockerd` of its own, in a small world
//! of its own.
//!
//! - [`world`]: namespaces of the kernel around an Engine. Whatever runs in them
//!   ends with the test process, however that ends; mounts, bridges and firewall
//!   rules go with them. The Engine that the machine may run is never touched.
//! - [`place`]: where an Engine lives on this machine, and how the leftovers of a
//!   test run that was killed are removed
//! - [`daemon`]: its `dockerd`: freeze, thaw, kill, start again
//! - [`hold`]: a container that it cannot remove
//! - [`image`]: one image from nothing: this build's `reprieve` and busybox
//! - [`container`]: what is to run
//!
//! Needed are Linux, root, and the programs that `cargo xtask test` installs; it
//! says so in `REPRIEVE_ENGINE`. Without that a test that asks for an Engine is
//! skipped, and in CI it fails.
//!
//! The test process and the containers reach each other over a cable (a veth
//! pair): containers at the address that `inspect` shows, the test process at
//! [`Engine::host_ip`]. A container of the network `host` is in the Engine's
//! network, not in the test's: [`Engine::ip`], or [`Engine::within`].

mod container;
mod daemon;
mod hold;
mod image;
mod place;
mod world;

use std::{
    ffi::OsStr,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{process::Command, sync::OnceCell, time::timeout};

pub use self::container::{ContainerSpec, HealthCheck};
use self::{place::Place, world::World};

/// The longest that a command of the `docker` program may take: a restart with
/// the default grace takes 10 s, and two cores serve many tests.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running Engine. Ends with everything in it when it is dropped.
pub struct Engine {
    // Fields are dropped in this order: the processes end, then their folder goes.
    world: World,
    place: Place,
    image: OnceCell<String>,
}

impl Engine {
    /// An Engine that answers. None: this run has none, and says so.
    pub async fn start() -> Option<Self> {
        if !is_wanted() {
            return None;
        }
        let opened = tokio::task::spawn_blocking(World::open_somewhere).await;
        let (place, world) = opened.expect("no panic").expect("a world of its own for an Engine");
        let engine = Self { world, place, image: OnceCell::new() };
        engine.start_again().await;
        engine.until_ready().await;
        Some(engine)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// The test process, as the containers see it.
    pub fn host_ip(&self) -> Ipv4Addr {
        self.place.host_ip()
    }

    /// The Engine's own address, where containers of the network `host` listen.
    pub fn ip(&self) -> Ipv4Addr {
        self.place.engine_ip()
    }

    /// A program that is to run in the Engine's network, beside it, as one on the
    /// Engine's machine would.
    pub fn within(&self, program: impl AsRef<OsStr>) -> Command {
        self.world.command(&["--net"], program).into()
    }

    /// A program that is to see the Engine's processes, as one on the Engine's
    /// machine would. It ends with the Engine at the latest.
    pub fn beside(&self, program: impl AsRef<OsStr>) -> Command {
        self.world.command(&["--mount", "--pid"], program).into()
    }

    /// Starts a container; its id.
    pub async fn run(&self, spec: &ContainerSpec) -> String {
        self.begin("run", &["--detach"], spec).await
    }

    /// Makes a container and does not start it; its id.
    pub async fn create(&self, spec: &ContainerSpec) -> String {
        self.begin("create", &[], spec).await
    }

    async fn begin(&self, command: &str, first: &[&str], spec: &ContainerSpec) -> String {
        let image = self.image().await;
        let mut args = vec![command.to_owned()];
        args.extend(first.iter().map(|&arg| arg.to_owned()));
        args.extend(spec.arguments(image));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.docker(&args).await.trim().to_owned()
    }

    /// What a person does: the output of the `docker` program. Panics if it fails.
    pub async fn docker(&self, args: &[&str]) -> String {
        match self.try_docker(args).await {
            Ok(output) => output,
            Err(said) => panic!("docker {}: {said}", args.join(" ")),
        }
    }

    /// The output of the `docker` program, or what it complains of.
    pub async fn try_docker(&self, args: &[&str]) -> Result<String, String> {
        let command = self.docker_command().args(args).kill_on_drop(true).output();
        let output = timeout(COMMAND_LIMIT, command)
            .await
            .map_err(|_| format!("no end within {COMMAND_LIMIT:?}"))?
            .map_err(|error| format!("cannot be run: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("{}: {}", output.status, text(&output.stderr).trim()))
        }
    }

    /// The `docker` program, speaking to this Engine and to no other.
    pub fn docker_command(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", self.place.folder().join("cli"))
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null());
        command
    }

    /// Runs a program in a container; what it prints.
    pub async fn exec(&self, container: &str, command: &[&str]) -> String {
        self.docker(&[&["exec", container], command].concat()).await
    }

    pub async fn inspect(&self, container: &str) -> Value {
        let shown = self.docker(&["inspect", "--type", "container", container]).await;
        let mut shown: Value = serde_json::from_str(&shown).expect("JSON");
        shown[0].take()
    }

    /// Where a running container can be reached from the test process.
    pub async fn address_of(&self, container: &str) -> Ipv4Addr {
        let shown = self.inspect(container).await;
        if shown["HostConfig"]["NetworkMode"] == "host" {
            return self.ip();
        }
        let networks = shown["NetworkSettings"]["Networks"].as_object().expect("networks");
        let ips = networks.values().filter_map(|network| network["IPAddress"].as_str());
        let ip = ips.into_iter().find_map(|ip| ip.parse().ok());
        ip.unwrap_or_else(|| panic!("{container} has no address: {networks:?}"))
    }

    /// The image of this build's `reprieve`, which containers run if they name no
    /// other. Made when it is first asked for.
    pub async fn image(&self) -> &str {
        self.image.get_or_init(|| async { self.image_of(&crate::reprieve()).await }).await
    }

    /// Makes an image from nothing, with this program as `/bin/reprieve`, the
    /// libraries that it needs, and busybox with all its names; its name.
    pub async fn image_of(&self, binary: &Path) -> String {
        let (binary, folder) = (binary.to_owned(), self.place.folder().to_owned());
        let made = tokio::task::spawn_blocking(move || image::archive(&binary, &folder)).await;
        let image::Archive { file, name } = made.expect("no panic").expect("a root file system");
        self.docker(&["import", &file.display().to_string(), &name]).await;
        std::fs::remove_file(file).expect("it can be removed");
        name
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.world.end();
        self.place.clean_if_free();
    }
}

/// Whether this run has Engines and what goes with them. Without them a test has
/// nothing to say; it must not look as if it had.
#[allow(clippy::print_stderr, reason = "says what it skips")]
pub fn is_wanted() -> bool {
    let is_set = std::env::var_os("REPRIEVE_ENGINE").is_some();
    assert!(
        is_set || std::env::var_os("CI").is_none(),
        "in CI nothing is skipped: run `cargo xtask test`"
    );
    if !is_set {
        eprintln!("skipped: REPRIEVE_ENGINE is not set; `cargo xtask test` sets it");
    }
    is_set
}
