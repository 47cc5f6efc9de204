//! The client, as a process.

use std::io::{Read, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a single run of the client may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// Runs `remora` against one agent, without anything of the caller's own Docker configuration.
#[derive(Clone)]
pub(crate) struct Client {
    env: Vec<(String, String)>,
    input: Option<Vec<u8>>,
    /// Whether root may not read what root alone could.
    plain: bool,
}

impl Client {
    pub(crate) fn new(agent: &str) -> Self {
        let nowhere = super::live_dir().join("no-home");
        let nowhere = nowhere.to_str().unwrap();
        let env = [("REMORA_AGENT", agent), ("HOME", nowhere), ("DOCKER_CONFIG", nowhere), ("NO_COLOR", "1")];
        Self { env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), input: None, plain: false }
    }

    /// The same with this on standard input.
    #[must_use]
    pub(crate) fn with_input(self, bytes: impl AsRef<[u8]>) -> Self {
        Self { input: Some(bytes.as_ref().to_vec()), ..self }
    }

    /// The same for whom permissions hold, whoever it is.
    #[must_use]
    pub(crate) fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `remora build --network host ARGS... CONTEXT`, to its end.
    pub(crate) fn build(&self, context: &Path, args: &[&str]) -> Outcome {
        self.spawn_build(context, args).wait()
    }

    pub(crate) fn spawn_build(&self, context: &Path, args: &[&str]) -> Running {
        self.spawn(&[&["build", "--network", "host"], args, &[context.to_str().unwrap()]].concat())
    }

    /// `remora ARGS...`, to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.spawn(args).wait()
    }

    /// `remora ARGS...`, whose output nobody reads as long as the caller does not.
    pub(crate) fn spawn_unread(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdin(self.input.as_deref().map_or_else(Stdio::null, input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// `remora ARGS...`, with the variables of this client.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let remora = env!("CARGO_BIN_EXE_remora");
        let mut command = super::program(if self.plain { "setpriv" } else { remora });
        if self.plain {
            command.args(["--bounding-set", "-dac_override,-dac_read_search", remora]);
        }
        command.args(args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        let mut process = self.spawn_unread(args);
        let stdout = collect(process.stdout.take().unwrap());
        let stderr = collect(process.stderr.take().unwrap());
        Running { command: args.join(" "), process, stdout: Some(stdout), stderr: Some(stderr) }
    }
}

fn input(bytes: &[u8]) -> Stdio {
    let mut file = tempfile::tempfile_in(super::live_dir()).unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file.into()
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A client that runs. Dropping it kills it.
pub(crate) struct Running {
    command: String,
    process: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub(crate) fn wait(mut self) -> Outcome {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                self.process.kill().unwrap();
                let stderr = self.stderr.take().unwrap().join().unwrap();
                panic!("remora {} hangs; so far:\n{stderr}", self.command);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Outcome {
            command: self.command.clone(),
            status,
            stdout: self.stdout.take().unwrap().join().unwrap(),
            stderr: self.stderr.take().unwrap().join().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// How a run of the client ended.
pub(crate) struct Outcome {
    command: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn code(self, wanted: i32) -> Self {
        assert!(
            self.status.code() == Some(wanted),
            "remora {}: wanted exit code {wanted}, got {:?} (signal {:?})\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.status.code(),
            self.status.signal(),
            self.stdout,
            self.stderr
        );
        assert!(!self.stderr.contains("panicked at"), "remora {} panicked:\n{}", self.command, self.stderr);
        self
    }

    /// Checks that stderr says this.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "remora {}: '{words}' is not in\n{}", self.command, self.stderr);
        self
    }

    /// Whether the step whose name has these words ended this way: CACHED, DONE or ERROR.
    pub(crate) fn step(&self, name: &str, end: &str) -> bool {
        self.stderr.lines().any(|line| line.contains(name) && line.split_whitespace().any(|word| word == end))
    }

    #[track_caller]
    pub(crate) fn assert_step(&self, name: &str, end: &str) {
        assert!(self.step(name, end), "remora {}: no step '{name}' that ended {end} in\n{}", self.command, self.stderr);
    }

    /// Checks that no RUN was run.
    #[track_caller]
    pub(crate) fn assert_all_cached(&self) {
        assert!(!self.step("RUN", "DONE"), "remora {}: a RUN was run\n{}", self.command, self.stderr);
        assert!(self.step("RUN", "CACHED"), "remora {}: no RUN was cached\n{}", self.command, self.stderr);
    }
}
