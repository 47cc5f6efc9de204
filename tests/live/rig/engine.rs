//! Real engines, started by tests/lib/engine.sh.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The engines that the tests know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 20.10, graphdriver.
    Docker20,
    /// 28, graphdriver.
    Docker28,
    /// 28 with the containerd image store.
    Containerd28,
    /// 26, graphdriver, reached over TCP with mutual TLS.
    Tls26,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Docker20 => "20.10",
            Self::Docker28 => "28",
            Self::Containerd28 => "28-containerd",
            Self::Tls26 => "26-tls",
        }
    }

    pub(crate) fn image_store(self) -> &'static str {
        if self == Self::Containerd28 { "containerd" } else { "graphdriver" }
    }
}

/// An engine. One that was started for a single test ends with this value; the shared ones end with the run.
pub(crate) struct Engine {
    kind: Kind,
    dir: PathBuf,
    own: Option<TempDir>,
}

impl Engine {
    /// A new and empty engine.
    pub(crate) fn start(kind: Kind) -> Self {
        let engine = Self::not_started(kind);
        engine.run();
        engine
    }

    /// The place of an engine that is not there yet: [`Engine::run`] starts it. Over TLS it has no address before.
    pub(crate) fn not_started(kind: Kind) -> Self {
        let own = super::scratch();
        Self { kind, dir: own.path().to_owned(), own: Some(own) }
    }

    /// The engine of this kind that the tests of a run share.
    pub(crate) fn shared(kind: Kind) -> Self {
        let dir = super::live_dir().join(format!("engine-{}", kind.name()));
        super::script("engine.sh", &["shared", kind.name(), path(&dir)]);
        Self { kind, dir, own: None }
    }

    /// Starts it, with the data that it had.
    pub(crate) fn run(&self) {
        super::script("engine.sh", &["start", self.kind.name(), path(&self.dir)]);
    }

    /// The same, and it finds no git.
    pub(crate) fn run_without_git(&self) {
        super::script_with(&[("REMORA_ENGINE_GIT", "no")], "engine.sh", &["start", self.kind.name(), path(&self.dir)]);
    }

    /// Starts it in a pod, with this `daemon.json`.
    pub(crate) fn run_in(&self, pod: &super::Pod, config: &Path) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lib/engine.sh");
        let mut command = pod.command(path(&script));
        command.args(["start", self.kind.name(), path(&self.dir)]).env("REMORA_ENGINE_CONFIG", config);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Where everything of it lies.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends it at once, as when its pod dies.
    pub(crate) fn stop(&self) {
        super::script("engine.sh", &["stop", path(&self.dir)]);
    }

    /// Throws it away and starts an empty one in its place.
    pub(crate) fn replace(&self) {
        self.stop();
        super::script("engine.sh", &["wipe", path(&self.dir)]);
        self.run();
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// `DOCKER_HOST` and its like.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let Ok(text) = std::fs::read_to_string(self.dir.join("env")) else {
            return vec![("DOCKER_HOST".into(), format!("unix://{}/engine.sock", path(&self.dir)))];
        };
        let words = text.split_whitespace().filter_map(|word| word.split_once('='));
        words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Runs Docker's own client of the engine's version; returns what it printed.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Brings an image into the engine. The containerd store, while it throws away what it has just pushed, may find that
    /// it still has a part of it, and then that it has not: it is asked again.
    pub(crate) fn pull(&self, image: &str) {
        let first = self.try_docker(&["pull", "-q", image]);
        if !first.status.success() {
            assert!(self.kind == Kind::Containerd28, "pull {image}: {}", String::from_utf8_lossy(&first.stderr));
            self.docker(&["pull", "-q", image]);
        }
    }

    /// Runs a docker that has buildx, on the engine's socket whatever else it listens on.
    pub(crate) fn docker_at_socket(&self, args: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lib/engine.sh");
        let socket = format!("unix://{}/engine.sock", path(&self.dir));
        let output =
            Command::new(script).args(["docker", "28"]).args(args).env("DOCKER_HOST", socket).output().unwrap();
        assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn try_docker(&self, args: &[&str]) -> Output {
        self.docker_command(args).output().unwrap()
    }

    /// Docker's own client of the engine's version, ready to run.
    pub(crate) fn docker_command(&self, args: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lib/engine.sh");
        let mut command = Command::new(script);
        command.args(["docker", self.kind.name()]).args(args).envs(self.env());
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.own.is_some() {
            if std::thread::panicking() {
                let log = std::fs::read_to_string(self.dir.join("engine.log")).unwrap_or_default();
                let from = log.lines().count().saturating_sub(15);
                let tail: Vec<_> = log.lines().skip(from).collect();
                eprintln!(
                    "--- the engine's last words
{}",
                    tail.join(
                        "
"
                    )
                );
            }
            self.stop();
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8 in a path")
}
