//! A real Kubernetes of one node, started by tests/lib/kubernetes.sh.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The registry beside the node, which speaks plain HTTP.
pub(crate) const REGISTRY: &str = "registry.example";

/// The cluster that the tests of a run share. It ends with the run.
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
}

impl Cluster {
    /// With the agent's image in the registry.
    pub(crate) fn shared() -> Self {
        let dir = super::live_dir().join("kubernetes");
        super::script("kubernetes.sh", &["shared", dir.to_str().unwrap()]);
        let cluster = Self { dir };
        let lock = File::create(cluster.dir.join("image.lock")).unwrap();
        lock.lock().unwrap();
        if cluster.digest("remora-agent", "test").is_none() {
            cluster.build_image();
        }
        cluster
    }

    /// Builds the agent's image with Remora itself, at the node's engine, and pushes it.
    fn build_image(&self) {
        let socket = format!("unix://{}", self.dir.join("agent.sock").display());
        let engine = format!("unix://{}", self.engine().display());
        let mut agent = self
            .inside(env!("CARGO_BIN_EXE_remora-agent"))
            .args(["--engine", &engine, "--listen", &socket, "--insecure-registry", REGISTRY])
            .stdout(Stdio::null())
            .stderr(File::create(self.dir.join("agent.log")).unwrap())
            .spawn()
            .unwrap();
        let programs = static_programs();
        let tag = format!("{REGISTRY}/remora-agent:test");
        let output = self
            .inside(env!("CARGO_BIN_EXE_remora"))
            .args(["build", "--agent", &socket, "--push", "-t", &tag, "--build-arg", "BASE=git:test"])
            .args(["--build-arg", "PROGRAMS=prebuilt", "-f", &repository("deploy/docker/Dockerfile")])
            .arg(programs)
            .output()
            .unwrap();
        drop(agent.kill());
        drop(agent.wait());
        succeeded("the agent's image", &output);
    }

    /// A program that runs in the node's namespaces.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = super::program(&repository("tests/lib/kubernetes.sh"));
        command.args(["inside", self.dir.to_str().unwrap(), program]).stdin(Stdio::null());
        command
    }

    /// `kubectl ARGS...`, as an administrator.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(repository("tests/lib/kubernetes.sh"));
        command.args(["kubectl", self.dir.to_str().unwrap()]).args(args).stdin(Stdio::null());
        command
    }

    /// The socket of the node's engine.
    pub(crate) fn engine(&self) -> PathBuf {
        self.dir.join("engine/engine.sock")
    }

    /// Digest of the manifest that a tag in the registry names.
    pub(crate) fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json, \
            application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        let url = format!("http://{REGISTRY}/v2/{repository}/manifests/{tag}");
        let output = self.inside("curl").args(["-sfI", "-H", accept, &url]).output().unwrap();
        let headers = String::from_utf8(output.stdout).unwrap().to_ascii_lowercase();
        headers.lines().find_map(|line| Some(line.strip_prefix("docker-content-digest:")?.trim().to_owned()))
    }

    /// A namespace of one test, which goes with this value, and all in it.
    pub(crate) fn namespace(&self) -> Namespace<'_> {
        let name = format!("test-{}", super::unique());
        succeeded("a namespace", &self.kubectl(&["create", "namespace", &name]).output().unwrap());
        Namespace { cluster: self, name, manifests: manifests(), own: true }
    }

    /// One that is there, and stays.
    pub(crate) fn existing(&self, name: &str) -> Namespace<'_> {
        Namespace { cluster: self, name: name.to_owned(), manifests: manifests(), own: false }
    }
}

/// A namespace of a cluster.
pub(crate) struct Namespace<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) name: String,
    /// A copy of deploy/kubernetes: the test's own overlays lie beside ours.
    manifests: TempDir,
    own: bool,
}

impl Namespace<'_> {
    /// `kubectl ARGS...` in this namespace, to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.cluster.kubectl(&[&["--namespace", &self.name], args].concat()).output().unwrap()
    }

    /// The same, which must succeed; returns what it printed.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let output = self.run(args);
        succeeded(&format!("kubectl {args:?}"), &output);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Applies one of our overlays, with this further text in the kustomization that names it.
    #[track_caller]
    pub(crate) fn apply(&self, overlay: &str, further: &str) {
        let dir = self.manifests.path().join("test");
        fs::create_dir_all(&dir).unwrap();
        let images = format!(
            "images:\n- {{name: remora-agent, newName: {REGISTRY}/remora-agent, newTag: test}}\n\
             - {{name: busybox, newTag: test}}\n- {{name: docker, newTag: test}}\n"
        );
        let text = format!("resources: [../{overlay}]\nnamespace: {}\n{images}{further}", self.name);
        fs::write(dir.join("kustomization.yaml"), text).unwrap();
        self.kubectl(&["apply", "-k", dir.to_str().unwrap()]);
    }

    /// Waits until a pod is ready.
    #[track_caller]
    pub(crate) fn ready(&self, pod: &str) {
        let name = format!("pod/{pod}");
        let output = self.run(&["wait", "--for", "condition=Ready", &name, "--timeout", "90s"]);
        let why = || format!("{}\n{}", String::from_utf8_lossy(&output.stderr), self.story(pod));
        assert!(output.status.success(), "{pod} is not ready: {}", why());
    }

    /// What the cluster and the containers say of a pod.
    pub(crate) fn story(&self, pod: &str) -> String {
        let selector = format!("involvedObject.name={pod}");
        let asked: [&[&str]; 3] = [
            &["get", "events", "--field-selector", &selector],
            &["logs", pod, "--all-containers", "--prefix", "--tail", "30"],
            &["get", "pod", pod, "-o", "jsonpath={.status}"],
        ];
        asked.map(|args| String::from_utf8_lossy(&self.run(args).stdout).into_owned()).join("\n")
    }

    /// Runs a shell's words in a container.
    pub(crate) fn sh(&self, pod: &str, container: &str, words: &str) -> Output {
        self.run(&["exec", pod, "-c", container, "--", "sh", "-c", words])
    }

    /// Waits until this holds of the text that `kubectl ARGS...` prints.
    pub(crate) fn eventually(&self, what: &str, args: &[&str], holds: impl Fn(&str) -> bool) -> String {
        super::eventually(what, Duration::from_secs(90), || {
            let text = String::from_utf8_lossy(&self.run(args).stdout).into_owned();
            holds(&text).then_some(text)
        })
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if !self.own {
            return;
        }
        let delete = ["delete", "namespace", &self.name, "--wait=false"];
        drop(self.cluster.kubectl(&delete).output());
        // Nothing in it has something to finish.
        self.run(&["delete", "pods", "--all", "--grace-period=0", "--force"]);
    }
}

/// A copy of deploy/kubernetes.
pub(crate) fn manifests() -> TempDir {
    let dir = super::scratch();
    let ours = repository("deploy/kubernetes/.");
    assert!(Command::new("cp").args(["-r", &ours]).arg(dir.path()).status().unwrap().success());
    dir
}

/// A directory with both programs, statically linked, which tests/run.sh has built.
pub(crate) fn static_programs() -> PathBuf {
    let dir = std::env::var_os("REMORA_STATIC_PROGRAMS")
        .expect("there are no static programs for images: run 'tests/run.sh kubernetes', or tests/run.sh alone");
    PathBuf::from(dir)
}

/// An absolute path of a file of this repository.
pub(crate) fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().unwrap().to_owned()
}

#[track_caller]
pub(crate) fn succeeded(what: &str, output: &Output) {
    let told = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{what}: {}\n{}", output.status, told.join("\n"));
}
