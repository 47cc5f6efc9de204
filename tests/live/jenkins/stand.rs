//! A pipeline that runs: the scripts of deploy/jenkins, by Debian's groovy, with steps that are a real shell's.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::{self, Agent, Registry};

/// A Jenkins job: its settings, and its sources in a workspace whose name has a blank.
pub(super) struct Job {
    dir: TempDir,
    settings: Value,
}

impl Job {
    /// A job whose steps find no agent.
    pub(super) fn new() -> Self {
        let dir = rig::scratch();
        let client = dir.path().join("bin/remora");
        std::fs::create_dir_all(client.parent().unwrap()).unwrap();
        // RUN steps have no other network than the host's here.
        let script = format!(
            "#!/bin/sh\ncommand=$1\nshift\ncase $command in build | plan) set -- --network host \"$@\" ;; esac\n\
             exec {} \"$command\" \"$@\"\n",
            env!("CARGO_BIN_EXE_remora")
        );
        std::fs::write(&client, script).unwrap();
        std::fs::set_permissions(&client, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(dir.path().join("a job")).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let settings = json!({
            "env": {
                "PATH": format!("{}:/usr/bin:/bin", path("bin")),
                "JENKINS_URL": "https://ci.example/", "BUILD_NUMBER": "7", "GIT_COMMIT": "5f2c1ab",
                "BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true",
                "REMORA_AGENT_IMAGE": "registry.example/remora-agent:0.1.0",
            },
            "credentials": {}, "pods": path("pods.json"), "home": path("home"),
        });
        Self { dir, settings }
    }

    /// A job with these sources, of this agent and this registry, whose login is `registry-login`.
    pub(super) fn with(agent: &Agent, registry: &Registry, files: &[(&str, &str)]) -> Self {
        let login = json!({"username": "remora", "password": "s3cret"});
        let mut job = Self::new().env("REMORA_AGENT", &agent.url()).env("REGISTRY", &registry.host);
        job.settings["credentials"]["registry-login"] = login;
        for (name, content) in files {
            job.write(name, content);
        }
        job
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        let path = self.dir.path().join("a job").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.settings["env"][name] = value.into();
        self
    }

    /// Not of the default branch.
    pub(super) fn of_branch(mut self, name: &str) -> Self {
        self.settings["env"].as_object_mut().unwrap().remove("BRANCH_IS_PRIMARY");
        self.env("BRANCH_NAME", name)
    }

    pub(super) fn credentials(mut self, id: &str, content: Value) -> Self {
        self.settings["credentials"][id] = content;
        self
    }

    /// Puts another client into the steps' path: a shell script.
    pub(super) fn with_client(self, script: &str) -> Self {
        std::fs::write(self.dir.path().join("bin/remora"), format!("#!/bin/sh\n{script}\n")).unwrap();
        self
    }

    pub(super) fn without_client(self) -> Self {
        std::fs::remove_file(self.dir.path().join("bin/remora")).unwrap();
        self
    }

    /// A file of the workspace.
    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join("a job").join(name)).unwrap()
    }

    /// What `podTemplate` was given, from the outermost to the innermost.
    pub(super) fn pods(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("pods.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// What the pipelines have left in the workspace's temporary directory.
    pub(super) fn left(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("a job@tmp")).unwrap().count()
    }

    /// Runs a pipeline, given as text.
    pub(super) fn run(&self, pipeline: &str) -> Log {
        self.start(pipeline).wait()
    }

    /// Runs a file of this project.
    pub(super) fn run_file(&self, name: &str) -> Log {
        self.run(&std::fs::read_to_string(project(name)).unwrap())
    }

    pub(super) fn start(&self, pipeline: &str) -> Run {
        let path = |name: &str| self.dir.path().join(name);
        std::fs::write(path("Jenkinsfile"), pipeline).unwrap();
        std::fs::write(path("settings.json"), self.settings.to_string()).unwrap();
        let (controller, library) = (project("tests/live/jenkins/controller"), project("deploy/jenkins"));
        let mut process = Command::new("groovy")
            .env("JAVA_HOME", java())
            .arg("-cp")
            .arg(format!("{}:{}/src", controller.display(), library.display()))
            .arg(controller.join("controller.groovy"))
            .arg(library)
            .args([path("Jenkinsfile"), path("a job"), path("settings.json")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let log = std::thread::spawn(move || lines.map_while(Result::ok).map(|line| line + "\n").collect());
        Run { input: process.stdin.take(), process, log: Some(log) }
    }
}

/// A pipeline that runs.
pub(super) struct Run {
    process: Child,
    input: Option<ChildStdin>,
    log: Option<JoinHandle<String>>,
}

impl Run {
    /// As the button in Jenkins.
    pub(super) fn abort(&mut self) {
        self.input.as_mut().unwrap().write_all(b"abort\n").unwrap();
    }

    pub(super) fn wait(mut self) -> Log {
        let start = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(120) {
                self.process.kill().unwrap();
                panic!("the pipeline hangs:\n{}", self.log.take().unwrap().join().unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Log(self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The log of a pipeline that has ended.
pub(super) struct Log(pub(super) String);

impl Log {
    #[track_caller]
    pub(super) fn says(self, words: &str) -> Self {
        assert!(self.0.contains(words), "'{words}' is not in\n{}", self.0);
        self
    }

    #[track_caller]
    pub(super) fn says_nothing_of(self, words: &str) -> Self {
        assert!(!self.0.contains(words), "'{words}' is in\n{}", self.0);
        self
    }

    #[track_caller]
    pub(super) fn succeeds(self) -> Self {
        self.says("Finished: SUCCESS\n")
    }

    /// Fails with this in its error.
    #[track_caller]
    pub(super) fn fails(self, words: &str) -> Self {
        let log = self.says("Finished: FAILURE\n");
        let error = log.0.lines().find_map(|line| line.strip_prefix("ERROR: ")).unwrap_or_default();
        assert!(error.contains(words), "'{words}' is not the error of\n{}", log.0);
        log
    }

    /// The line that a RUN's end is: CACHED, DONE or ERROR.
    #[track_caller]
    pub(super) fn all_cached(self) -> Self {
        let ran = self.0.lines().find(|line| line.contains("RUN ") && line.contains(" DONE "));
        assert!(ran.is_none() && self.0.contains("CACHED"), "a RUN was run: {ran:?}\n{}", self.0);
        self
    }

    /// What follows these words in the last line that has them.
    #[track_caller]
    pub(super) fn after(&self, words: &str) -> &str {
        let line = self.0.lines().rev().find_map(|line| line.split_once(words));
        line.unwrap_or_else(|| panic!("'{words}' is not in\n{}", self.0)).1
    }
}

/// A file of this project.
pub(super) fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Debian's own Java, the oldest there is: Debian's groovy, as old as that of Jenkins, knows no newer one.
fn java() -> PathBuf {
    let entries = std::fs::read_dir("/usr/lib/jvm").unwrap().flatten().map(|entry| entry.path());
    let debian = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("java-"));
    entries.filter(debian).filter(|path| path.join("bin/java").exists()).min().expect("a Java in /usr/lib/jvm")
}
