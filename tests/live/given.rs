//! What steps are given beside the context: secrets, SSH agents, hosts and limits.

use std::os::unix::net::UnixListener;

use crate::rig::{self, Agent, Engine, Kind, Registry};

on_every_engine!(
    secrets_reach_the_step_that_mounts_them_and_nothing_else,
    a_secret_that_is_not_there_ends_the_build_before_it_begins,
    a_step_that_wants_what_is_not_lent_says_how_to_lend_it,
    an_ssh_agent_is_there_for_the_step_that_wants_it,
    a_dockerfile_may_come_on_standard_input,
    hosts_are_known_by_the_names_that_were_given,
    a_stage_is_run_anew_and_no_other,
);
on_every_engine!(@ limits_28 Docker28 steps_have_the_limits_that_were_given);
on_every_engine!(@ limits_containerd Containerd28 steps_have_the_limits_that_were_given);
on_every_engine!(@ limits_20_10 Docker20 limits_that_an_engine_does_not_know_are_refused);

/// Put together here: nobody else may have it.
fn canary() -> String {
    ["canary", &rig::unique(), "in-the-mine"].join("-")
}

fn secrets_reach_the_step_that_mounts_them_and_nothing_else(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let (file, variable) = (canary(), canary());
    let dockerfile = format!(
        "FROM {}\nARG WANTED\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable \
         sum=$(cat /run/secrets/file /run/secrets/variable | sha256sum) && test \"${{sum%% *}}\" = $WANTED\n\
         RUN test ! -s /run/secrets/file\n",
        registry.image("base:1")
    );
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let elsewhere = rig::context(&[("token", &file)]);
    let path = format!("id=file,src={}/token", elsewhere.path().display());
    let wanted =
        format!("WANTED={}", rig::sha256(format!("{file}{variable}").as_bytes()).trim_start_matches("sha256:"));
    let args = ["--secret", &path, "--secret", "id=variable,env=CANARY", "--build-arg", &wanted];
    let built = agent.client().env("CANARY", &variable).build(context.path(), &args).code(0);
    built.assert_step("RUN --mount", "DONE");
    for canary in [&file, &variable] {
        assert!(!built.stderr.contains(canary) && !built.stdout.contains(canary), "{}", built.stderr);
        assert!(!agent.log().contains(canary), "the agent's log has a secret");
        assert!(!agent.remembers(canary), "the agent's memory has a secret");
    }
}

fn a_secret_that_is_not_there_ends_the_build_before_it_begins(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[("Dockerfile", "FROM scratch\n")]);
    let refused = agent.client().build(context.path(), &["--secret", "id=token,src=/no/such/token"]).code(2);
    assert!(refused.stderr.contains("id=token: /no/such/token"), "{}", refused.stderr);
    agent.client().build(context.path(), &["--ssh", "default=/no/such/agent"]).code(2).says("/no/such/agent");
}

fn a_step_that_wants_what_is_not_lent_says_how_to_lend_it(kind: Kind) {
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let base = registry.image("base:1");
    for (mount, flag) in
        [("type=secret,id=token,required=true", "--secret id="), ("type=ssh,required=true", "--ssh default")]
    {
        let context = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN --mount={mount} true\n"))]);
        agent.client().build(context.path(), &[]).code(1).says(flag);
        let optional = mount.trim_end_matches(",required=true");
        let context = rig::context(&[("Dockerfile", &format!("FROM {base}\nRUN --mount={optional} true\n"))]);
        agent.client().build(context.path(), &[]).code(0);
    }
}

/// Whoever talks to the step's socket talks to the client's agent.
fn an_ssh_agent_is_there_for_the_step_that_wants_it(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let dir = rig::scratch();
    let socket = dir.path().join("agent.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let (base, salt) = (registry.image("base:1"), rig::unique());
    let dockerfile = format!("FROM {base}\nRUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && echo {salt}\n");
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let client = agent.client().env("SSH_AUTH_SOCK", socket.to_str().unwrap());
    client.build(context.path(), &["--ssh", "default"]).code(0).assert_step("RUN --mount", "DONE");
}

fn a_dockerfile_may_come_on_standard_input(kind: Kind) {
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let dockerfile = format!("FROM {}\nRUN echo {} >/made\n", registry.image("base:1"), rig::unique());
    let context = rig::context(&[("here", "")]);
    let piped = agent.client().with_input(&dockerfile);
    piped.build(context.path(), &["-f", "-"]).code(0).assert_step("RUN echo", "DONE");
    piped.run(&["build", "--network", "host", "-"]).code(0).assert_step("RUN echo", "CACHED");
}

fn hosts_are_known_by_the_names_that_were_given(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let dockerfile = format!(
        "FROM {}\nRUN grep -q '10.9.8.7[[:space:]]*db.example' /etc/hosts && grep -q '::5[[:space:]]*six' /etc/hosts # {}\n",
        registry.image("base:1"),
        rig::unique()
    );
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    let args = ["--add-host", "db.example:10.9.8.7", "--add-host", "six=[2001:db8::5]"];
    agent.client().build(context.path(), &args).code(0).assert_step("RUN grep", "DONE");
}

fn a_stage_is_run_anew_and_no_other(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let agent = Agent::start(&engine);
    let (base, salt) = (registry.image("base:1"), rig::unique());
    let dockerfile = format!(
        "FROM {base} AS one\nRUN echo one {salt} >/one\nFROM {base} AS other\nRUN echo other {salt} >/other\n\
         FROM scratch\nCOPY --from=one /one /\nCOPY --from=other /other /\n"
    );
    let context = rig::context(&[("Dockerfile", &dockerfile)]);
    agent.client().build(context.path(), &[]).code(0);
    let again = agent.client().build(context.path(), &["--no-cache-filter", "other"]).code(0);
    again.assert_step("RUN echo one", "CACHED");
    again.assert_step("RUN echo other", "DONE");
}

fn limits(registry: &Registry) -> tempfile::TempDir {
    let dockerfile = format!(
        "FROM {}\nRUN test $(ulimit -Sn) = 512 && test $(ulimit -Hn) = 1024 && \
         test $(df -k /dev/shm | tail -1 | awk '{{print $2}}') = 98304 # {}\n",
        registry.image("base:1"),
        rig::unique()
    );
    rig::context(&[("Dockerfile", &dockerfile)])
}

const LIMITS: [&str; 4] = ["--ulimit", "nofile=512:1024", "--shm-size", "96m"];

fn steps_have_the_limits_that_were_given(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let context = limits(&registry);
    agent.client().build(context.path(), &LIMITS).code(0).assert_step("RUN test", "DONE");
}

/// It would leave them out, and say nothing.
fn limits_that_an_engine_does_not_know_are_refused(kind: Kind) {
    let registry = Registry::start();
    let agent = Agent::start(&Engine::shared(kind));
    let context = limits(&registry);
    agent.client().build(context.path(), &LIMITS).code(2).says("--shm-size");
}
