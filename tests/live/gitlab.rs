//! deploy/gitlab, run by gitlab-ci-local with its shell executor: the jobs as users extend and include them.

mod runner;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_both_stores!(a_pipeline_hands_its_digest_on_and_the_next_one_is_all_cached);
on_one_engine!(Docker28:
    each_kind_of_pipeline_has_its_scope,
    a_failed_build_fails_the_job_with_its_exit_code,
    what_is_set_up_wrongly_is_told_before_anything_is_built,
    odd_values_arrive_as_they_stand,
    an_agent_that_is_a_service_takes_the_jobs_token,
);

/// The files of deploy/gitlab.
fn deployed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/gitlab")
}

/// A project with the template at `ci/`, and the variables that a GitLab gives its jobs.
pub(crate) struct Project {
    dir: TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Project {
    /// Commits these files, on `main`.
    pub(crate) fn new(registry: &Registry, agent: &str, files: &[(&str, &str)]) -> Self {
        let dir = rig::context(files);
        let to = dir.path().join("ci/templates");
        std::fs::create_dir_all(&to).unwrap();
        for file in ["remora.yml", "services.yml", "templates/build.yml"] {
            std::fs::copy(deployed().join(file), dir.path().join("ci").join(file)).unwrap();
        }
        let git = |args: &[&str]| rig::git(dir.path(), args);
        git(&["init", "-q"]);
        git(&["remote", "add", "origin", "git@gitlab.test:group/app.git"]);
        git(&["add", "-A"]);
        git(&["commit", "-qm", "all"]);
        let variables = [
            ("GITLAB_CI", "true"),
            ("CI_REGISTRY", &registry.host),
            ("CI_REGISTRY_IMAGE", &registry.image("group/app")),
            ("CI_REGISTRY_USER", "remora"),
            ("CI_REGISTRY_PASSWORD", "s3cret"),
            ("CI_DEFAULT_BRANCH", "main"),
            ("REMORA_AGENT", agent),
        ];
        Self { dir, variables: variables.map(|(name, value)| (name, value.to_owned())).into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    /// Runs the whole pipeline.
    pub(crate) fn pipeline(&self) -> Pipeline {
        self.run(&[])
    }

    /// Runs these jobs, or all.
    fn run(&self, args: &[&str]) -> Pipeline {
        let remora = Path::new(env!("CARGO_BIN_EXE_remora")).parent().unwrap();
        let mut command = rig::program(&rig::script("gitlab.sh", &[]));
        command.args(["--force-shell-executor", "--shell-isolation"]).args(args).current_dir(self.dir.path());
        for (name, value) in &self.variables {
            command.args(["--variable", &format!("{name}={value}")]);
        }
        let path = format!("{}:{}", remora.display(), std::env::var("PATH").unwrap());
        Pipeline(command.env("PATH", path).env("HOME", self.dir.path()).output().unwrap())
    }
}

/// How it ended, and what its jobs wrote.
pub(crate) struct Pipeline(Output);

impl Pipeline {
    fn log(&self) -> String {
        [&self.0.stdout, &self.0.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> String {
        let log = self.log();
        assert!(self.0.status.success() && !log.contains(" FAIL "), "{log}");
        log
    }

    /// Checks that this job failed with this exit code.
    #[track_caller]
    fn fails(&self, job: &str, code: i32) -> String {
        let log = self.log();
        let ended = |line: &str| line.starts_with(job) && line.contains("finished in") && line.contains("FAIL");
        let line = log.lines().find(|line| ended(line)).unwrap_or_else(|| panic!("{job} did not fail:\n{log}"));
        let told: String = line.rsplit("FAIL").next().unwrap().chars().filter(char::is_ascii_digit).collect();
        assert_eq!(told, code.to_string(), "{log}");
        assert!(!self.0.status.success(), "{log}");
        log
    }
}

const DOCKERFILE: &str = "\
FROM @base AS builder
ARG GREETING=hello
RUN echo \"[$GREETING]\"; echo @salt >/made
FROM @base
COPY --from=builder /made /made
RUN sort /made >/sorted
";

fn dockerfile(registry: &Registry) -> String {
    DOCKERFILE.replace("@base", &registry.image("base:1")).replace("@salt", &rig::unique())
}

fn a_pipeline_hands_its_digest_on_and_the_next_one_is_all_cached(kind: Kind) {
    let (registry, engine) = (Registry::start_with_auth(), Engine::start(kind));
    let agent = Agent::start(&engine);
    let pipeline = "\
stages: [build, deploy]
include:
  - local: ci/templates/build.yml
    inputs: {job: app, flags: --network=host}
  - local: ci/templates/build.yml
    inputs:
      job: builder
      image: $CI_REGISTRY/group/builder
      tags: 1 latest
      target: builder
      dotenv: BUILDER
      flags: --network=host
deploy:
  stage: deploy
  needs: [app, builder]
  script: echo \"runs $REMORA_IMAGE_REF $REMORA_IMAGE_DIGEST, made by $BUILDER_REF.\"
";
    let project =
        Project::new(&registry, &agent.url(), &[("Dockerfile", &dockerfile(&registry)), (".gitlab-ci.yml", pipeline)]);
    let digest = |repository: &str, tag: &str| registry.digest(repository, tag).expect("it was pushed");
    let [image, maker] = ["group/app", "group/builder"].map(|name| registry.image(name));
    let runs = || {
        let log = project.pipeline().succeeds();
        let (app, builder) = (digest("group/app", "main"), digest("group/builder", "latest"));
        let told = format!("runs {image}@{app} {app}, made by {maker}@{builder}.");
        assert!(log.contains(&told), "'{told}' is not in\n{log}");
        log
    };
    let log = runs();
    assert!(log.contains("section_start:"), "no step is folded:\n{log}");
    assert_eq!(digest("group/builder", "1"), digest("group/builder", "latest"));

    engine.replace();
    agent.ready();
    let log = runs();
    assert!(!log.lines().any(|line| line.contains("DONE") && line.contains("RUN")), "a RUN was run:\n{log}");
}

fn each_kind_of_pipeline_has_its_scope(kind: Kind) {
    let registry = Registry::start_with_auth();
    let agent = Agent::start(&Engine::shared(kind));
    let pipeline = "include: [{local: ci/remora.yml}]\nwhat: {extends: .remora:plan}\n";
    let request = "CI_PIPELINE_SOURCE=merge_request_event CI_MERGE_REQUEST_IID=7 CI_MERGE_REQUEST_PROJECT_ID=1 \
         CI_COMMIT_REF_NAME=topic CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=topic CI_MERGE_REQUEST_TARGET_BRANCH_NAME=next";
    for (variables, scope, writes) in [
        ("CI_COMMIT_REF_NAME=main CI_COMMIT_REF_PROTECTED=true", "main", "the cache of main"),
        ("CI_COMMIT_REF_NAME=topic", "topic; also reads main", "the cache of topic"),
        ("CI_COMMIT_REF_NAME=v1 CI_COMMIT_REF_PROTECTED=true", "v1; also reads main", "the cache of v1"),
        (&format!("{request} CI_MERGE_REQUEST_SOURCE_PROJECT_ID=1"), "topic; also reads next", "the cache of topic"),
        (&format!("{request} CI_MERGE_REQUEST_SOURCE_PROJECT_ID=2"), "reads next", "no cache: a build of a fork"),
        ("CI_COMMIT_TAG=v1.0 CI_COMMIT_REF_NAME=v1.0", "none", "no cache: a tag build"),
    ] {
        let files = [("Dockerfile", &*dockerfile(&registry)), (".gitlab-ci.yml", pipeline)];
        let mut project = Project::new(&registry, &agent.url(), &files);
        for (name, value) in variables.split(' ').filter_map(|pair| pair.split_once('=')) {
            // The names live as long as the program: there are few.
            project = project.with(String::leak(name.to_owned()), value);
        }
        let log = project.pipeline().succeeds();
        let line = |name: &str| {
            let found =
                log.lines().find_map(|line| line.split_once(&format!("> {name} "))).map(|(_, rest)| rest.trim());
            found.unwrap_or_else(|| panic!("no {name} in\n{log}"))
        };
        assert_eq!(line("ci"), "GitLab CI", "{variables}");
        assert!(line("scope").contains(scope), "{variables}: '{scope}' is not in '{}'", line("scope"));
        assert!(line("writes").contains(writes), "{variables}: '{writes}' is not in '{}'", line("writes"));
    }
}

fn a_failed_build_fails_the_job_with_its_exit_code(kind: Kind) {
    let registry = Registry::start_with_auth();
    let agent = Agent::start(&Engine::shared(kind));
    let base = registry.image("base:1");
    let pipeline = "\
include: [{local: ci/remora.yml}]
app: {extends: .remora:build, variables: {REMORA_FLAGS: --network=host}}
";
    let dockerfile = format!("FROM {base}\nRUN echo it said this; exit 3\n");
    let project = Project::new(&registry, &agent.url(), &[("Dockerfile", &dockerfile), (".gitlab-ci.yml", pipeline)]);
    let log = project.pipeline().fails("app", 1);
    assert!(log.contains("it said this") && !log.contains("_REF=$REMORA_IMAGE"), "it went on:\n{log}");
    // A tag is no pattern of file names.
    project.with("REMORA_TAGS", "*").pipeline().fails("app", 2);
    let files = [("Dockerfile", &*format!("FROM {base}\n")), (".gitlab-ci.yml", pipeline)];
    let project = Project::new(&registry, &agent.url(), &files).with("CI_REGISTRY_PASSWORD", "wrong");
    let log = project.pipeline().fails("app", 12);
    assert!(!log.contains("wrong"), "the password is in the log:\n{log}");
}

fn what_is_set_up_wrongly_is_told_before_anything_is_built(kind: Kind) {
    let registry = Registry::start_with_auth();
    let agent = Agent::start(&Engine::shared(kind));
    let failed = |settings: &str, code| {
        let pipeline = format!("include: [{{local: ci/remora.yml}}]\napp: {{extends: .remora:build, {settings}}}\n");
        let files = [("Dockerfile", &*dockerfile(&registry)), (".gitlab-ci.yml", &*pipeline)];
        Project::new(&registry, &agent.url(), &files).pipeline().fails("app", code)
    };
    let log = failed("before_script: ['PATH=/usr/bin:/bin']", 127);
    assert!(log.contains("the runner of this job puts no client into its pod"), "{log}");
    let log = failed("variables: {REMORA_DOTENV: my-app}", 2);
    assert!(log.contains("letters, digits and _ alone") && !log.contains("load build definition"), "{log}");
    let log = failed("variables: {REMORA_IMAGE: ''}", 2);
    assert!(log.contains("the repository is missing"), "{log}");
    let log = failed("variables: {REMORA_TAGS: feature/x}", 2);
    assert!(log.contains("CI_COMMIT_REF_SLUG"), "{log}");
}

fn odd_values_arrive_as_they_stand(kind: Kind) {
    let registry = Registry::start_with_auth();
    let agent = Agent::start(&Engine::shared(kind));
    let pipeline = "\
include:
  - local: ci/templates/build.yml
    inputs:
      job: odd
      context: -my app
      file: -my app/Docker file
      tags: '  1   2 '
      target: builder
      flags: |

        --network=host
        --build-arg=GREETING=a \"b\" 'c' `d` * #e: %s \\f
";
    let files = [("-my app/Docker file", &*dockerfile(&registry)), (".gitlab-ci.yml", pipeline)];
    let log = Project::new(&registry, &agent.url(), &files).pipeline().succeeds();
    assert!(log.contains("[a \"b\" 'c' `d` * #e: %s \\f]"), "{log}");
    assert!(registry.digest("group/app", "1").is_some() && registry.digest("group/app", "2").is_some(), "{log}");
}

fn an_agent_that_is_a_service_takes_the_jobs_token(kind: Kind) {
    let registry = Registry::start_with_auth();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("tcp://127.0.0.1:{port}");
    let _agent = Agent::start_on(&Engine::shared(kind), &url, "0123456789abcdef");
    // The shell executor has no services: the agent above stands for them.
    let pipeline = "\
include: [{local: ci/remora.yml}, {local: ci/services.yml}]
app: {extends: ['.remora:build', '.remora:services'], services: [], variables: {REMORA_FLAGS: --network=host}}
";
    let files = [("Dockerfile", &*dockerfile(&registry)), (".gitlab-ci.yml", pipeline)];
    let project = Project::new(&registry, &url, &files).with("REMORA_JOB_TOKEN", "0123456789abcdef");
    project.pipeline().succeeds();
    let log = project.with("REMORA_JOB_TOKEN", "another token").pipeline().fails("app", 13);
    assert!(!log.contains("another token"), "the token is in the log:\n{log}");
}

/// A project that had another dind has `DOCKER_DRIVER: overlay2`: with the containerd store no pull would work.
#[test]
fn a_jobs_docker_driver_does_not_reach_the_engine() {
    let services = std::fs::read_to_string(deployed().join("services.yml")).unwrap();
    let engine = services.split("- name: ").find(|service| service.contains("dockerd")).unwrap();
    let own = engine.split_once("      variables:\n").unwrap().1;
    assert!(own.lines().any(|line| line == "        DOCKER_DRIVER: \"\""), "{services}");
}

/// Who includes the component gets what who includes the file gets.
#[test]
fn the_component_is_the_file_with_inputs() {
    let read = |file: &str| std::fs::read_to_string(deployed().join(file)).unwrap();
    let (file, component) = (read("remora.yml"), read("templates/build.yml"));
    let jobs = &file[file.find("\n.remora:\n").unwrap()..];
    assert!(component.contains(jobs), "copy the jobs of remora.yml into templates/build.yml");
    let (header, body) = component.split_once("\n---\n").unwrap();
    let inputs = header.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(':'));
    for input in inputs.filter(|line| !line.starts_with(' ')) {
        assert!(body.contains(&format!("$[[ inputs.{input} ]]")), "nothing uses the input {input}");
    }
}
