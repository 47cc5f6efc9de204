//! Nothing is taken for something else: not one build's repository for another's, and not one context for another.

use crate::rig::{self, Agent, Engine, Kind, Registry, SshServer};

use super::{GitServer, build, dockerfile, without_git};

on_both_stores!(builds_at_the_same_time_get_their_own_repository);
on_one_engine!(Docker28:
    a_dockerfile_of_the_clients_own_goes_before_that_of_the_repository,
    submodules_are_shown_a_token_only_where_it_names_their_host,
    a_further_context_that_the_frontend_does_not_know_as_git_is_fetched_by_the_agent,
    a_further_context_never_takes_the_place_of_the_build_context_or_its_dockerfile,
);

fn builds_at_the_same_time_get_their_own_repository(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let (engine, agent) = without_git(kind);
    let base = registry.image("base:1");
    engine.pull(&base);
    let seconds = rig::unique();
    let (first, second) = (server.repository("first"), server.repository("second"));
    first.commit(
        &[("Dockerfile", &format!("FROM {base}\nCOPY . /all\nRUN sleep {seconds}\n")), ("word", "first")],
        "main",
    );
    let wanted = format!("FROM {base}\nCOPY . /all\nRUN grep -x second /all/word && echo {seconds}\n");
    second.commit(&[("Dockerfile", &wanted), ("word", "second")], "main");
    let running = agent.client().spawn(&["build", "--network", "host", &first.url]);
    rig::eventually("the first one's RUN begins", std::time::Duration::from_secs(60), || {
        (!rig::processes(&["sleep", &seconds]).is_empty()).then_some(())
    });
    // A mix-up would wait for that RUN, or build it.
    let other = agent.client().spawn(&["build", "--network", "host", &second.url]);
    other.wait().code(0).assert_step("RUN grep -x second", "DONE");
    drop(running);
}

fn a_dockerfile_of_the_clients_own_goes_before_that_of_the_repository(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let (_engine, agent) = without_git(kind);
    let repository = server.repository("repo");
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY nothing /\n"), ("word", "word")], "main");
    let own = format!("FROM {}\nCOPY word /\nRUN echo {}\n", registry.image("base:1"), rig::unique());
    let client = agent.client().with_input(&own);
    build(&client, &repository.url, &["-f", "-"]).code(0).says("the agent fetches").assert_step("RUN echo", "DONE");
}

fn a_further_context_never_takes_the_place_of_the_build_context_or_its_dockerfile(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let (_engine, agent) = without_git(kind);
    let (part, main) = (server.repository("part"), server.repository("main"));
    let salt = rig::unique();
    part.commit(&[("Dockerfile", "FROM scratch\nCOPY nothing /\n"), ("word", "part")], "main");
    let dockerfile = format!(
        "FROM {}\nCOPY word /own\nCOPY --from=context word /context\nCOPY --from=dockerfile word /dockerfile\n\
         RUN grep -x main /own && grep -x part /context && grep -x part /dockerfile && echo {salt}\n",
        registry.image("base:1")
    );
    let files = [("Dockerfile", dockerfile.as_str()), ("word", "main")];
    main.commit(&files, "main");
    let local = rig::context(&files);
    let further = ["context", "dockerfile"].map(|name| format!("{name}={}", part.url));
    let args = ["--build-context", &further[0], "--build-context", &further[1]];
    for place in [&main.url, local.path().to_str().unwrap()] {
        build(&agent.client(), place, &args).code(0).says("RUN grep -x main");
    }
}

/// Whoever may write one repository chooses its submodules.
fn submodules_are_shown_a_token_only_where_it_names_their_host(kind: Kind) {
    use base64::Engine as _;
    let registry = Registry::start();
    let basic = base64::engine::general_purpose::STANDARD.encode("x-access-token:token");
    let server = GitServer::start_with(Some(format!("Basic {basic}")));
    let (_engine, agent) = without_git(kind);
    let (inner, outer) = (server.repository("inner"), server.repository("outer"));
    inner.commit(&[("part", "part")], "main");
    outer.commit(&[("Dockerfile", &dockerfile(&registry, "&& test -e /all/sub/part"))], "main");
    outer.git(&["submodule", "--quiet", "add", "../inner.git", "sub"]);
    outer.commit(&[], "main");
    let client = agent.client().env("TOKEN", "token");
    let lent = |id: &str| build(&client, &outer.url, &["--secret", &format!("id={id},env=TOKEN")]);
    lent(&format!("GIT_AUTH_TOKEN.{}", server.host)).code(0).assert_step("RUN echo", "DONE");
    lent("GIT_AUTH_TOKEN").code(1).says("could not read Username").says("id=GIT_AUTH_TOKEN.HOST");
}

fn a_further_context_that_the_frontend_does_not_know_as_git_is_fetched_by_the_agent(kind: Kind) {
    let (registry, server, ssh) = (Registry::start(), GitServer::start(), SshServer::start("ed25519"));
    let agent = Agent::start(&Engine::shared(kind));
    let part = server.repository("part");
    let salt = rig::unique();
    part.commit(&[("word", &salt)], "main");
    let dockerfile = format!("FROM {}\nCOPY --from=part word /\nRUN grep -x {salt} /word\n", registry.image("base:1"));
    let local = rig::context(&[("Dockerfile", &dockerfile)]);
    let client = agent.client().env("SSH_AUTH_SOCK", ssh.agent.to_str().unwrap());
    let further = format!("part=ssh://root@127.0.0.1:{}{}#main", ssh.port, part.bare.display());
    let built = client.build(local.path(), &["--ssh", "default", "--build-context", &further]).code(0);
    built.says("the agent fetches").assert_step("RUN grep", "DONE");
}
