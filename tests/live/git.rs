//! Build contexts that lie in git repositories.

use std::time::Duration;

use crate::rig::{self, Agent, Client, Engine, GitServer, Kind, Outcome, Registry, SshServer};

mod apart;

on_every_engine!(
    the_cache_hits_whether_the_engine_fetches_or_the_agent,
    an_engine_without_git_is_given_what_a_name_stands_for,
    what_the_engine_cannot_fetch_is_said_with_what_to_do,
);
on_one_engine!(Docker28:
    a_private_repository_is_fetched_with_a_token_that_nobody_else_sees,
    a_repository_behind_ssh_is_fetched_with_the_clients_key,
    a_key_without_an_agent_is_used_from_its_file,
    a_key_that_cannot_be_used_is_refused_before_the_build,
    a_submodule_is_part_of_the_context_and_cannot_read_the_agents_files,
    what_cannot_be_fetched_is_said_with_what_to_do,
    a_further_context_may_be_a_repository_too,
    a_url_without_git_at_its_end_is_asked_what_it_is,
    without_any_git_it_is_said_what_to_install,
    a_fetch_that_nobody_waits_for_ends,
);

fn build(client: &Client, context: &str, args: &[&str]) -> Outcome {
    client.run(&[&["build", "--network", "host"], args, &[context]].concat())
}

/// An engine that has no git, and an agent that has.
fn without_git(kind: Kind) -> (Engine, Agent) {
    let engine = Engine::not_started(kind);
    engine.run_without_git();
    let agent = Agent::start(&engine);
    (engine, agent)
}

fn left_nothing(agent: &Agent) {
    let nothing = || agent.temporary().is_empty().then_some(());
    rig::eventually("the agent's temporary files are gone", Duration::from_secs(5), nothing);
}

fn dockerfile(registry: &Registry, rest: &str) -> String {
    format!("FROM {}\nCOPY . /all\nRUN echo {} {rest}\n", registry.image("base:1"), rig::unique())
}

fn the_cache_hits_whether_the_engine_fetches_or_the_agent(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let repository = server.repository("repo");
    let file = dockerfile(&registry, "&& test -x /all/run.sh && test ! -e /all/.git && test -e /all/ignored");
    let files = [
        ("Dockerfile", file.as_str()),
        ("deep/a", "a"),
        ("run.sh", "#!/bin/sh\n"),
        ("ignored", "i"),
        (".dockerignore", "ignored\n"),
    ];
    for (name, content) in files {
        std::fs::create_dir_all(repository.work.path().join("deep")).unwrap();
        std::fs::write(repository.work.path().join(name), content).unwrap();
    }
    repository.git(&["add", "-A"]);
    repository.git(&["update-index", "--chmod=+x", "run.sh"]);
    std::os::unix::fs::symlink("deep/a", repository.work.path().join("link")).unwrap();
    std::fs::set_permissions(
        repository.work.path().join("run.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    repository.commit(&[], "main");

    let engine = Engine::start(kind);
    let agent = Agent::start(&engine);
    let main = format!("{}#main", repository.url);
    let by_engine = build(&agent.client(), &main, &[]).code(0);
    assert!(!by_engine.stderr.contains("the agent fetches"), "{}", by_engine.stderr);
    by_engine.assert_step("RUN echo", "DONE");
    engine.stop();
    engine.run_without_git();
    let fetched = || build(&agent.client(), &main, &["--wait", "30s"]).code(0);
    let by_agent = rig::eventually("the agent knows its new engine", Duration::from_secs(20), || {
        Some(fetched()).filter(|built| built.stderr.contains("the agent fetches"))
    });
    by_agent.assert_step("COPY . /all", "CACHED");
    by_agent.assert_all_cached();
    // What an engine as old as 20.10 would take for `master`.
    build(&agent.client(), &repository.url, &[]).code(0).assert_all_cached();
    left_nothing(&agent);
}

fn an_engine_without_git_is_given_what_a_name_stands_for(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let (_engine, agent) = without_git(kind);
    let repository = server.repository("repo");
    let says = |word: &str| format!("FROM {}\nCOPY word /\nRUN grep -x {word} /word\n", registry.image("base:1"));
    let first = repository.commit(&[("Dockerfile", &says("first")), ("word", "first")], "main");
    repository.git(&["tag", "-a", "-m", "v1", "v1"]);
    repository.git(&["push", "--quiet", "origin", "v1"]);
    repository.commit(&[("Dockerfile", &says("branch")), ("word", "branch")], "side/branch");
    let merge = [("sub/Dockerfile", says("merge")), ("sub/word", "merge".to_owned())];
    repository.commit(&merge.each_ref().map(|(name, text)| (*name, text.as_str())), "refs/merge-requests/7/head");
    repository.commit(&[("Dockerfile", &says("last")), ("word", "last")], "main");
    // A branch goes before a tag of its name.
    repository.commit(&[("Dockerfile", &says("both")), ("word", "both")], "refs/heads/both");
    repository.git(&["push", "--quiet", "origin", &format!("{first}:refs/tags/both")]);
    let url = &repository.url;
    for (name, word) in [
        (url.clone(), "last"),
        (format!("{url}#{first}"), "first"),
        (format!("{url}#v1"), "first"),
        (format!("{url}#side/branch"), "branch"),
        (format!("{url}#refs/merge-requests/7/head:sub"), "merge"),
        (format!("{url}#both"), "both"),
        (format!("{}#side/branch", url.trim_end_matches(".git")), "branch"),
    ] {
        let built = build(&agent.client(), &name, &["--progress", "plain"]).code(0).says("the agent fetches");
        assert!(built.stderr.contains(&format!("RUN grep -x {word}")), "{name}: {}", built.stderr);
    }
    // The Dockerfile may lie elsewhere in it.
    build(&agent.client(), &format!("{url}#refs/merge-requests/7/head"), &["-f", "sub/Dockerfile"]).code(1);
    agent.client().run(&["plan", url]).code(0);
    left_nothing(&agent);
}

fn a_private_repository_is_fetched_with_a_token_that_nobody_else_sees(kind: Kind) {
    use base64::Engine as _;
    let registry = Registry::start();
    let token = ["token", &rig::unique(), "canary"].join("-");
    let wanted = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
    let server = GitServer::start_with(Some(format!("Basic {wanted}")));
    let (_engine, agent) = without_git(kind);
    let repository = server.repository("private");
    repository.commit(&[("Dockerfile", &dockerfile(&registry, ""))], "main");
    let client = agent.client().env("TOKEN", &token).env("HEADER", &format!("Basic {wanted}"));
    let host_token = format!("id=GIT_AUTH_TOKEN.{},env=TOKEN", server.host);
    let with_password = repository.url.replace("http://", &format!("http://x-access-token:{token}@"));
    let unsaid = repository.url.trim_end_matches(".git").to_owned();
    let mut said = Vec::new();
    for (url, args) in [
        (&repository.url, vec!["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"]),
        (&repository.url, vec!["--secret", &host_token]),
        (&repository.url, vec!["--secret", "id=GIT_AUTH_HEADER,env=HEADER"]),
        (&unsaid, vec!["--secret", &host_token]),
        (&with_password, vec![]),
    ] {
        said.push(build(&client, url, &args).code(0));
    }
    // Whoever is not known as a git server gets no token that is for any.
    said.push(build(&client, &unsaid, &["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"]).code(1));
    said.push(build(&client, &repository.url, &[]).code(1).says("--secret id=GIT_AUTH_TOKEN"));
    let wrong = agent.client().env("TOKEN", "wrong-token");
    said.push(
        build(&wrong, &repository.url, &["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"])
            .code(1)
            .says("Authentication failed"),
    );
    for canary in [&token, &wanted] {
        assert!(said.iter().all(|said| !said.stderr.contains(canary)), "a message has the token");
        assert!(!agent.log().contains(canary), "the agent's log has the token");
        assert!(!agent.remembers(canary), "the agent's memory has the token");
    }
}

fn a_repository_behind_ssh_is_fetched_with_the_clients_key(kind: Kind) {
    let (registry, server, ssh) = (Registry::start(), GitServer::start(), SshServer::start("ed25519"));
    let (engine, agent) = without_git(kind);
    let repository = server.repository("repo");
    repository.commit(&[("Dockerfile", &dockerfile(&registry, ""))], "main");
    let url = format!("ssh://root@127.0.0.1:{}{}", ssh.port, repository.bare.display());
    let client = agent.client().env("SSH_AUTH_SOCK", ssh.agent.to_str().unwrap());
    build(&client, &url, &["--ssh", "default"]).code(0).assert_step("RUN echo", "DONE");
    build(&client, &url, &[]).code(1).says("--ssh default");
    let other = SshServer::start("ed25519");
    let stranger = agent.client().env("SSH_AUTH_SOCK", other.agent.to_str().unwrap());
    build(&stranger, &url, &["--ssh", "default"]).code(1).says("Permission denied (publickey");
    left_nothing(&agent);
    let long = rig::context(&[(&format!("{}/file", "long".repeat(20)), "")]);
    let agent = Agent::start_with_temporary(&engine, &long.path().join("long".repeat(20)));
    let client = agent.client().env("SSH_AUTH_SOCK", ssh.agent.to_str().unwrap());
    assert_ne!(build(&client, &url, &["--ssh", "default"]).says("a short name").status.code(), Some(0));
}

fn a_key_without_an_agent_is_used_from_its_file(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let (_engine, agent) = without_git(kind);
    let repository = server.repository("repo");
    repository.commit(&[("Dockerfile", &dockerfile(&registry, ""))], "main");
    for (kind, pem) in [("ed25519", false), ("ecdsa", false), ("rsa", false), ("rsa", true)] {
        let ssh = SshServer::start(kind);
        if pem {
            rig::ssh_keygen(&["-p", "-m", "PEM", "-P", "", "-N", ""], &ssh.key);
        }
        let other = SshServer::start("ed25519");
        let url = format!("ssh://root@127.0.0.1:{}{}", ssh.port, repository.bare.display());
        let keys = format!("default={},{}", other.key.display(), ssh.key.display());
        build(&agent.client(), &url, &["--ssh", &keys]).code(0);
        build(&agent.client(), &url, &["--ssh", &format!("default={}", other.key.display())]).code(1);
        assert!(!agent.remembers("PRIVATE KEY"), "the agent has a key");
    }
}

fn a_key_that_cannot_be_used_is_refused_before_the_build(kind: Kind) {
    let agent = Agent::start(&Engine::shared(kind));
    let context = rig::context(&[
        ("Dockerfile", "FROM scratch\n"),
        ("none", "no key"),
        ("short", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
    ]);
    let refused = |name: &str, words: &str| {
        let path = context.path().join(name);
        agent.client().build(context.path(), &["--ssh", &format!("default={}", path.display())]).code(2).says(words);
    };
    refused("none", "no private SSH key");
    refused("short", "no private SSH key");
    rig::ssh_keygen(&["-q", "-t", "ed25519", "-N", "passphrase"], &context.path().join("closed"));
    refused("closed", "has a passphrase");
    rig::ssh_keygen(&["-q", "-t", "rsa", "-m", "PEM", "-N", "passphrase"], &context.path().join("old"));
    refused("old", "has a passphrase");
    rig::ssh_keygen(&["-q", "-t", "ecdsa", "-b", "521", "-N", ""], &context.path().join("large"));
    refused("large", "of this kind");
    refused(".", "neither the socket of an SSH agent nor a key");
}

fn a_submodule_is_part_of_the_context_and_cannot_read_the_agents_files(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let (_engine, agent) = without_git(kind);
    let (inner, outer) = (server.repository("inner"), server.repository("outer"));
    inner.commit(&[("part", "part")], "main");
    let there = "&& test -e /all/sub/part && test ! -e /all/sub/.git && test -e /all/relative/part";
    outer.commit(&[("Dockerfile", &dockerfile(&registry, there))], "main");
    outer.git(&["-c", "protocol.http.allow=always", "submodule", "--quiet", "add", &inner.url, "sub"]);
    outer.git(&["submodule", "--quiet", "add", "../inner.git", "relative"]);
    outer.commit(&[], "main");
    build(&agent.client(), &outer.url, &[]).code(0).assert_step("RUN echo", "DONE");

    let thief = server.repository("thief");
    thief.git(&["submodule", "--quiet", "add", inner.bare.to_str().unwrap(), "sub"]);
    thief.commit(&[("Dockerfile", "FROM scratch\nCOPY . /\n")], "main");
    build(&agent.client(), &thief.url, &[]).code(1).says("transport 'file' not allowed");
    // A link leads nowhere but within the build.
    let link = server.repository("link");
    std::os::unix::fs::symlink("/etc", link.work.path().join("out")).unwrap();
    link.commit(&[("Dockerfile", "FROM scratch\nCOPY out/passwd /\n")], "main");
    build(&agent.client(), &link.url, &[]).code(1).says("not found");
    build(&agent.client(), &format!("{}#:out", link.url), &[]).code(1).says("no directory out");
}

fn a_further_context_may_be_a_repository_too(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let (_engine, agent) = without_git(kind);
    let (part, main) = (server.repository("part"), server.repository("main"));
    let salt = rig::unique();
    part.commit(&[("in/word", &salt)], "main");
    let dockerfile =
        format!("FROM {}\nCOPY --from=part word /\nCOPY own* /\nRUN grep -x {salt} /word\n", registry.image("base:1"));
    main.commit(&[("Dockerfile", &dockerfile), ("own", "own")], "main");
    let local = rig::context(&[("Dockerfile", &dockerfile)]);
    let further = format!("part={}#main:in", part.url);
    let args = ["--build-context", further.as_str()];
    agent.client().build(local.path(), &args).code(0).says("the agent fetches").assert_step("RUN grep", "DONE");
    build(&agent.client(), &main.url, &args).code(0).assert_step("RUN grep", "DONE");
    left_nothing(&agent);
}

fn what_cannot_be_fetched_is_said_with_what_to_do(kind: Kind) {
    let server = GitServer::start();
    let (_engine, agent) = without_git(kind);
    let repository = server.repository("repo");
    repository.commit(&[("Dockerfile", "FROM scratch\nCOPY . /\n")], "main");
    let url = &repository.url;
    for (context, code, words) in [
        (format!("{url}#nothing"), 1, "couldn't find remote ref nothing"),
        (format!("{url}#{}", "0".repeat(40)), 1, "name a branch, a tag"),
        (format!("{url}#main:none"), 1, "no directory none"),
        (url.replace("repo", "none"), 1, "check its address"),
        (url.replace(&server.host, "127.0.0.1:1"), 1, "check its host"),
        (format!("{url}#--upload-pack=touch /tmp/x"), 2, "is no name of a git ref"),
        ("ssh://-oProxyCommand=id/x".to_owned(), 2, "names no host"),
    ] {
        build(&agent.client(), &context, &[]).code(code).says(words);
    }
    left_nothing(&agent);
}

fn what_the_engine_cannot_fetch_is_said_with_what_to_do(kind: Kind) {
    use base64::Engine as _;
    let (registry, agent) = (Registry::start(), Agent::start(&Engine::shared(kind)));
    let token = ["token", &rig::unique(), "canary"].join("-");
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
    let server = GitServer::start_with(Some(format!("basic {basic}")));
    let repository = server.repository("repo");
    repository.commit(&[("Dockerfile", &dockerfile(&registry, ""))], "main");
    let client = agent.client().env("TOKEN", &token);
    let lent = ["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"];
    let url = &repository.url;
    let built = build(&client, &format!("{url}#main"), &lent).code(0);
    assert!(!built.stderr.contains("the agent fetches") && !built.stderr.contains(&token), "{}", built.stderr);
    for (context, words) in [
        (format!("{url}#nothing"), "name a branch, a tag"),
        (format!("{}#main", url.replace("repo", "none")), "check its address"),
        (format!("{}#main", url.replace(&server.host, "127.0.0.1:1")), "check its host"),
        ("ssh://git@127.0.0.1:1/repo#main".to_owned(), "--ssh default"),
    ] {
        let failed = build(&client, &context, &lent).code(1).says(words);
        let error = failed.stderr.lines().skip_while(|line| !line.starts_with("remora: error: cannot fetch "));
        assert!(error.count() == 2, "one line of what failed, and one of what to do: {}", failed.stderr);
    }
    build(&client, &format!("{url}#main"), &[]).code(1).says("--secret id=GIT_AUTH_TOKEN");
}

fn a_url_without_git_at_its_end_is_asked_what_it_is(kind: Kind) {
    let (registry, server) = (Registry::start(), GitServer::start());
    let agent = Agent::start(&Engine::shared(kind));
    let repository = server.repository("repo");
    repository.commit(&[("Dockerfile", &dockerfile(&registry, ""))], "main");
    build(&agent.client(), repository.url.trim_end_matches(".git"), &[]).code(0).assert_step("RUN echo", "DONE");
    let page = format!("http://{}/group/nothing", server.host);
    build(&agent.client(), &page, &[]).code(1).says("is a web page").says("id=GIT_AUTH_TOKEN");
}

fn without_any_git_it_is_said_what_to_install(kind: Kind) {
    let engine = Engine::not_started(kind);
    engine.run_without_git();
    let agent = Agent::start_without_git(&engine);
    build(&agent.client(), "https://127.0.0.1:1/r.git", &[])
        .code(1)
        .says("neither the engine nor the agent has git")
        .says("install git");
    let agent = Agent::start_without_git(&Engine::shared(kind));
    let refused = build(&agent.client(), "https://user:canary@127.0.0.1:1/r.git", &[]).code(1).says("install git");
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
}

fn a_fetch_that_nobody_waits_for_ends(kind: Kind) {
    let (_engine, agent) = without_git(kind);
    // It takes connections, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/r.git#main", silent.local_addr().unwrap());
    let running = agent.client().spawn(&["build", &url]);
    let _connection = silent.accept().unwrap();
    assert!(!agent.temporary().is_empty(), "where does it fetch?");
    running.signal("KILL");
    rig::eventually("git is gone, and its files", Duration::from_secs(5), || {
        (agent.temporary().is_empty() && agent.children() == 0).then_some(())
    });
}
