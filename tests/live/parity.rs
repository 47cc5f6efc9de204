//! `docker buildx build` and `remora build`, flag by flag, with one context on one engine.
//!
//! buildx builds first. What `remora build --cache off` makes of the same words then has the same id: so its config is the
//! same to the byte, its layers are, and every step was asked for in the same way, or it would not have come from the
//! cache.

use std::{
    io::{Seek as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(@ graphdriver Docker28
    the_same_words_make_the_same_image
    what_is_run_anew_is_run_anew
    files_for_scripts_say_the_same
    archives_hold_the_same
    what_fails_there_fails_here
    flags_that_come_to_nothing_there_come_to_nothing_here);
on_every_engine!(@ containerd Containerd28
    the_same_words_make_the_same_image
    what_is_run_anew_is_run_anew
    files_for_scripts_say_the_same
    archives_hold_the_same
    what_fails_there_fails_here
    flags_that_come_to_nothing_there_come_to_nothing_here);
on_every_engine!(@ docker_26 Tls26
    the_same_words_make_the_same_image
    files_for_scripts_say_the_same);

struct Bed {
    registry: Registry,
    engine: Engine,
    agent: Agent,
}

/// What a run of either came to.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    id: String,
    metadata: Value,
}

/// What is built.
struct Job<'a> {
    context: &'a Path,
    flags: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
    input: &'a [u8],
}

impl Ran {
    /// Digest of the image's config, which is what both call it.
    fn image(&self) -> String {
        let keys = ["containerimage.config.digest", "containerimage.digest"];
        keys.iter().find_map(|key| self.metadata[key].as_str()).expect("a digest").to_owned()
    }
}

impl Bed {
    fn new(kind: Kind) -> Self {
        let (registry, engine) = (Registry::start(), Engine::shared(kind));
        let agent = Agent::start(&engine);
        Self { registry, engine, agent }
    }

    fn dockerfile(&self, text: &str) -> String {
        format!("FROM {} AS first\n{text}\n", self.registry.image("base:1"))
    }

    fn theirs(&self, job: &Job) -> Ran {
        // Ours makes no attestations unless it is told to.
        run(job, |args| {
            let mut command = self.engine.docker_command(&[&["buildx", "build", "--provenance=false"], args].concat());
            command.envs(job.env.iter().copied());
            let mut input = tempfile::tempfile().unwrap();
            input.write_all(job.input).unwrap();
            input.rewind().unwrap();
            let output = command.stdin(Stdio::from(input)).output().unwrap();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        })
    }

    fn ours(&self, job: &Job) -> Ran {
        run(job, |args| {
            let client = self.agent.client().with_input(job.input);
            let client = job.env.iter().fold(client, |client, (name, value)| client.env(name, value));
            let outcome = client.run(&[&["build", "--cache", "off"], args].concat());
            (outcome.status.code(), outcome.stdout, outcome.stderr)
        })
    }

    /// Both, and that they made one image.
    #[track_caller]
    fn same(&self, job: &Job) -> (Ran, Ran) {
        let (theirs, ours) = (self.theirs(job), self.ours(job));
        let flags = job.flags.join(" ");
        assert_eq!(theirs.code, Some(0), "buildx {flags}: {}", theirs.stderr);
        assert_eq!(ours.code, Some(0), "remora {flags}: {}", ours.stderr);
        for (key, value) in theirs.metadata.as_object().unwrap() {
            // Their own history of builds, which has the name of their builder.
            if key != "buildx.build.ref" {
                let shown = format!("buildx: {:#}\nremora: {:#}", theirs.metadata, ours.metadata);
                assert_eq!(
                    said(&ours.metadata[key]),
                    said(value),
                    "{flags}: {key} of the metadata\n{shown}\n{}",
                    ours.stderr
                );
            }
        }
        self.engine.docker(&["image", "inspect", &ours.id]);
        // On the containerd store buildx writes the config's digest, by which the engine finds no image.
        if self.engine.kind() != Kind::Containerd28 {
            assert_eq!(ours.id, theirs.id, "{flags}");
        }
        (theirs, ours)
    }
}

/// What a URL begins with that only the session serves.
const SESSION: &str = "http://buildkit-session/";

/// A value of the metadata but for what names a place in the session: each client has its own for standard input.
fn said(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let named = all.iter().filter(|(key, _)| *key != "dockerfilekey");
            Value::Object(named.map(|(key, value)| (key.clone(), said(value))).collect())
        }
        Value::Array(all) => all.iter().map(said).collect(),
        Value::String(url) if url.starts_with(SESSION) => SESSION.into(),
        other => other.clone(),
    }
}

fn run(job: &Job, go: impl FnOnce(&[&str]) -> (Option<i32>, String, String)) -> Ran {
    let dir = rig::scratch();
    let files = ["id", "metadata"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let network: &[&str] = if job.flags.contains(&"--network") { &[] } else { &["--network", "host"] };
    let written = ["--iidfile", &files[0], "--metadata-file", &files[1]];
    let context = if job.context == Path::new("-") { "-" } else { job.context.to_str().unwrap() };
    let (code, stdout, stderr) = go(&[network, &written, job.flags, &[context]].concat());
    let read = |path: &String| std::fs::read_to_string(path).unwrap_or_default();
    let metadata = serde_json::from_str(&read(&files[1])).unwrap_or_default();
    Ran { code, stdout, stderr, id: read(&files[0]), metadata }
}

const STEPS: &str = "ARG ONE=none\nARG TWO\nENV SEEN=$ONE$TWO\nCOPY . /context/\nRUN echo $ONE $TWO; cat /etc/hosts; id\n\
    WORKDIR /w\nUSER 1000\nEXPOSE 80/tcp\nVOLUME /v\nHEALTHCHECK CMD true\nSTOPSIGNAL SIGINT\nSHELL [\"/bin/sh\", \"-ec\"]\n\
    LABEL from=dockerfile\nENTRYPOINT [\"echo\"]\nCMD [\"hello\"]\nFROM first AS second\nRUN --network=none echo second\n\
    FROM scratch AS third\nCOPY --from=second --chmod=0640 --chown=5:6 /context/a /a\n\
    FROM first AS secrets\nRUN --mount=type=secret,id=s,mode=0444 --mount=type=secret,id=f,mode=0444 test \"$(cd /run/secrets; cat s f)\" = valuehello\n\
    FROM first AS ssh\nRUN --mount=type=ssh,mode=0666 test -S \"$SSH_AUTH_SOCK\"\nFROM second";

fn the_same_words_make_the_same_image(kind: Kind) {
    let bed = Bed::new(kind);
    let text = bed.dockerfile(STEPS);
    let files = [
        ("Dockerfile", text.as_str()),
        ("other/Dockerfile.txt", &text),
        ("a", "hello"),
        ("deep/ignored.log", "x"),
        ("deep/kept.log", "x"),
        ("deep/b", ""),
        (".dockerignore", "**/*.log\n!deep/kept.log\n"),
    ];
    let context = rig::context(&files);
    let path = |name: &str| context.path().join(name).to_str().unwrap().to_owned();
    let (dockerfile, file) = (path("other/Dockerfile.txt"), format!("id=f,src={}", path("a")));
    let base = bed.registry.image("base:1");
    let from = format!("type=registry,ref={base}");
    let (one, two) = (bed.registry.image("one:1"), bed.registry.image("two:2"));
    let none: &[(&str, &str)] = &[];
    let agents = rig::scratch();
    let socket = agents.path().join("agent.sock").to_str().unwrap().to_owned();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ssh = format!("default={socket}");
    for (flags, env, input) in [
        (&[][..], none, ""),
        (&["--build-arg", "ONE=1", "--build-arg=TWO"], &[("TWO", "two")], ""),
        (&["--build-arg", "ONE=", "--build-arg", "TWO"], none, ""),
        (&["--label", "a=b=c", "--label=d", "--label", "e=f g"], none, ""),
        (&["--label", "from=flag"], none, ""),
        (&["--target", "first"], none, ""),
        (&["--target=third"], none, ""),
        (&["--target", "SECOND"], none, ""),
        (&["-f", &dockerfile], none, ""),
        (&["-f", "-"], none, &text),
        (&["--add-host", "db:10.0.0.5", "--add-host=six:::1"], none, ""),
        (&["--add-host", "a:10.0.0.5,b=10.0.0.6"], none, ""),
        (&["--shm-size", "96m"], none, ""),
        (&["--ulimit", "nofile=512:1024", "--ulimit", "nproc=100"], none, ""),
        (&["--cgroup-parent", "parity"], none, ""),
        (&["--network", "none"], none, ""),
        (&["--network=host", "--network", "none"], none, ""),
        (&["--platform", "linux/amd64"], none, ""),
        (&["--platform", "linux/amd64/v2", "--target", "third"], none, ""),
        (&["--pull"], none, ""),
        (&["--pull=true", "--load"], none, ""),
        (&["--cache-from", &base, "--cache-from", &from], none, ""),
        (&["--target", "secrets", "--secret", "id=s,env=S", "--secret", &file], &[("S", "value")], ""),
        (&["--target", "secrets", "--secret", "id=s", "--secret", &file], &[("s", "value")], ""),
        (&["--target", "ssh", "--ssh", &ssh], none, ""),
        (&["--target", "ssh", "--ssh", "default"], &[("SSH_AUTH_SOCK", &socket)], ""),
        (&["--allow", "network.host"], none, ""),
        (&["-t", &one, "--tag", &two], none, ""),
        (&["--build-arg", "BUILDKIT_MULTI_PLATFORM=0"], none, ""),
        (&["--build-arg", "SOURCE_DATE_EPOCH=1000000000"], none, ""),
    ] {
        bed.same(&Job { context: context.path(), flags, env, input: input.as_bytes() });
    }
    // A Dockerfile alone, and no context.
    let alone = format!("FROM {base}\nRUN echo {}\n", rig::unique());
    bed.same(&Job { context: Path::new("-"), flags: &["--label", "a=b"], env: &[], input: alone.as_bytes() });
    for compression in ["-c", "-cz", "-cj"] {
        let tar = Command::new("tar").current_dir(context.path()).args([compression, "."]).output().unwrap();
        assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
        for flags in [&[][..], &["-f", "other/Dockerfile.txt", "--target", "first"]] {
            bed.same(&Job { context: Path::new("-"), flags, env: &[], input: &tar.stdout });
        }
    }
    for tag in [one, two] {
        bed.engine.docker(&["image", "inspect", &tag]);
    }
}

/// Ids differ by what a step makes up: so each is compared with its own first build.
fn what_is_run_anew_is_run_anew(kind: Kind) {
    let bed = Bed::new(kind);
    let base = bed.registry.image("base:1");
    let uuid = "cat /proc/sys/kernel/random/uuid";
    let text = format!(
        "FROM {base} AS one\nRUN {uuid} >/one # {}\nFROM {base} AS two\nRUN {uuid} >/two\nFROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n",
        rig::unique()
    );
    let context = rig::context(&[("Dockerfile", &text)]);
    let job = |flags| Job { context: context.path(), flags, env: &[], input: b"" };
    for (flags, anew) in [
        (&[][..], false),
        (&["--no-cache"], true),
        (&["--no-cache=false"], false),
        (&["--no-cache-filter", "one"], true),
        (&["--no-cache-filter", "none,two"], true),
        (&["--no-cache-filter", "none"], false),
    ] {
        let before = bed.same(&job(&[])).0.image();
        for ran in [bed.theirs(&job(flags)), bed.ours(&job(flags))] {
            assert_eq!(ran.image() != before, anew, "{flags:?}: {}", ran.stderr);
        }
    }
}

fn files_for_scripts_say_the_same(kind: Kind) {
    let bed = Bed::new(kind);
    let text = bed.dockerfile(&format!("RUN echo {}", rig::unique()));
    let context = rig::context(&[("Dockerfile", &text)]);
    let tag = bed.registry.image(&format!("app-{}:1", rig::unique()));
    let (quietly, pushed) = (["-q", "-t", tag.as_str()], ["--push", "-t", tag.as_str()]);
    let job = |flags| Job { context: context.path(), flags, env: &[], input: b"" };
    let (theirs, ours) = bed.same(&job(&quietly));
    for ran in [theirs, ours] {
        assert_eq!(ran.stdout.trim(), ran.id, "what -q prints");
    }
    let (_, ours) = bed.same(&job(&pushed));
    let digest = bed.registry.head(tag.split_once('/').unwrap().1.split(':').next().unwrap(), "1").unwrap();
    assert_eq!(ours.metadata["containerimage.digest"], digest.as_str());
}

fn archives_hold_the_same(kind: Kind) {
    let bed = Bed::new(kind);
    let text = bed.dockerfile(&format!(
        "RUN echo {} >/made\nFROM scratch\nCOPY --from=first /made /bin/busybox /",
        rig::unique()
    ));
    let context = rig::context(&[("Dockerfile", &text)]);
    let dir = rig::scratch();
    let types: &[&str] = if kind == Kind::Containerd28 { &["tar", "oci", "docker"] } else { &["tar"] };
    for kind in types {
        let made = ["theirs", "ours"].map(|who| {
            let path = dir.path().join(format!("{kind}-{who}.tar"));
            let output = format!("type={kind},dest={}", path.display());
            let args = ["build", "--network", "host", "-o", &output, context.path().to_str().unwrap()];
            if who == "ours" {
                bed.agent.client().run(&[&args[..], &["--cache", "off"]].concat()).code(0);
            } else {
                bed.engine.docker(&[&["buildx"], &args[..], &["--provenance=false"]].concat());
            }
            if *kind == "tar" {
                return rig::sha256(&std::fs::read(&path).unwrap());
            }
            // Their index has the time of the export. All else has its digest for a name.
            let listed = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
            String::from_utf8(listed.stdout).unwrap()
        });
        assert_eq!(made[0], made[1], "type={kind}");
    }
}

/// The codes are documented apart: theirs is 1 whatever it was.
fn what_fails_there_fails_here(kind: Kind) {
    let bed = Bed::new(kind);
    let text = bed.dockerfile("RUN exit 7");
    let context =
        rig::context(&[("Dockerfile", text.as_str()), ("bad", "FROM\n"), ("unknown", "FROM scratch\nNO x\n")]);
    let path = |name: &str| context.path().join(name).to_str().unwrap().to_owned();
    let (bad, unknown, missing) = (path("bad"), path("unknown"), path("missing"));
    for (flags, code) in [
        (&[][..], 1),
        (&["-f", &bad], 1),
        (&["-f", &unknown], 1),
        (&["-f", &missing], 2),
        (&["--target", "nowhere"], 1),
        (&["-t", "App:1"], 2),
        (&["--secret", "id=x,src=/no/such/file"], 2),
        (&["--ssh", "default=/no/such/socket"], 2),
        (&["--platform", "a//b"], 2),
        (&["--ulimit", "what=1"], 2),
        (&["--shm-size", "much"], 2),
        (&["--add-host", "nothing"], 2),
        (&["--progress", "loud"], 2),
        (&["--pull=maybe"], 2),
        (&["--no-such-flag"], 2),
        (&["--output", "type=nothing"], 2),
        (&["--allow", "everything"], 2),
        (&["--allow", "security.insecure"], 13),
    ] {
        let job = Job { context: context.path(), flags, env: &[], input: b"" };
        let (theirs, ours) = (bed.theirs(&job), bed.ours(&job));
        assert_ne!(theirs.code, Some(0), "buildx {flags:?}");
        assert_eq!(ours.code, Some(code), "remora {flags:?}: {}\nbuildx: {}", ours.stderr, theirs.stderr);
    }
}

fn flags_that_come_to_nothing_there_come_to_nothing_here(kind: Kind) {
    let bed = Bed::new(kind);
    let text = bed.dockerfile(&format!("RUN echo {}", rig::unique()));
    let context = rig::context(&[("Dockerfile", &text)]);
    for flags in [
        &["--rm", "--force-rm", "--compress"][..],
        &["--rm=false", "--compress=true"],
        &["--squash", "--isolation", "default", "--security-opt", "seccomp=unconfined"],
        &["-m", "2g", "--memory-swap", "-1", "-c", "5", "--cpu-period=5", "--cpu-quota", "-1", "--cpuset-cpus", "0"],
        &["--cpuset-mems", "0", "-D", "--sbom=false"],
    ] {
        bed.same(&Job { context: context.path(), flags, env: &[("DOCKER_BUILDKIT", "1")], input: b"" });
    }
}
