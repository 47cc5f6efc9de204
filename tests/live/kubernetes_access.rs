//! Who may connect, and what the cluster lets them do.

use std::time::Duration;

use crate::rig::{self, Agent, ApiServer, Authority, Client, Engine, Kind, Outcome, Registry, outside};

on_one_engine!(Docker28:
    rbac_says_who_builds_pushes_and_prunes,
    the_rules_of_the_guide_to_security_are_what_it_says,
    who_may_look_at_the_engine_sees_no_builds_and_who_ends_one_is_told_by_name,
    a_token_that_is_not_for_the_agent_opens_nothing,
    without_the_api_server_nobody_new_gets_in,
    an_agent_that_may_not_ask_says_which_rule_is_missing,
    a_certificate_that_is_replaced_is_the_one_that_is_shown,
    a_client_tells_what_is_wrong_with_a_certificate,
    who_has_no_certificate_of_our_authority_stays_outside,
    nobody_listens_to_the_network_without_tls_and_authentication,
);
on_both_stores!(a_pull_secret_lets_builds_have_a_private_base_and_may_be_rotated);

/// An agent that listens to the network, and asks the cluster about its callers.
struct Pool {
    server: ApiServer,
    authority: Authority,
    url: String,
    agent: Agent,
}

impl Pool {
    fn start(server: ApiServer, engine: &Engine, further: &[&str]) -> Self {
        let (authority, url) = (Authority::new(), outside());
        authority.sign("agent", 1);
        let config = server.agents_config();
        let (cert, key) = (authority.file("agent.crt"), authority.file("agent.key"));
        let socket = format!("unix://{}", authority.file("agent.sock"));
        let mut args = vec!["--listen", &url, "--listen", &socket, "--tls-cert", &cert, "--tls-key", &key];
        args.extend(["--allow-entitlement", "network.host"]);
        args.extend(further);
        let agent = Agent::start_where(engine, &args, &[("KUBECONFIG", config.to_str().unwrap())]);
        let client = Client::new(&socket);
        let answers = || client.run(&["info", "--wait", "5s"]).status.success().then_some(());
        rig::eventually("the agent is ready", Duration::from_secs(10), answers);
        Self { server, authority, url, agent }
    }

    /// Who comes by the network, with this token.
    fn client(&self, token: &str) -> Client {
        Client::new(&self.url).env("REMORA_TLS_CA", &self.authority.file("ca.crt")).env("REMORA_TOKEN", token)
    }

    /// Who shares the socket.
    fn neighbour(&self) -> Client {
        Client::new(&format!("unix://{}", self.authority.file("agent.sock")))
    }
}

/// The commands that an error tells.
fn told(outcome: &Outcome) -> String {
    let next = outcome.stderr.lines().find_map(|line| line.split_once("next: "));
    next.unwrap_or_else(|| panic!("no commands in {}", outcome.stderr)).1.to_owned()
}

/// Longer than a refusal is remembered.
const SOON: Duration = Duration::from_secs(15);

fn rbac_says_who_builds_pushes_and_prunes(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let pool = Pool::start(ApiServer::with_delegator(), &engine, &["--kubernetes-auth"]);
    let token = pool.server.token("team", "builder", "remora");
    let client = pool.client(&token);
    let text = format!("FROM {}\nRUN echo {}\n", registry.image("base:1"), rig::unique());
    let context = rig::context(&[("Dockerfile", &text)]);
    let build = || client.build(context.path(), &[]);

    let refused = build().code(13);
    assert!(
        refused.stderr.contains("system:serviceaccount:team:builder may not create builds.remora.dev"),
        "{}",
        refused.stderr
    );
    pool.server.sh(&told(&refused));
    rig::eventually("the rule counts", SOON, || build().status.success().then_some(()));

    let tag = registry.image("app:1");
    let pushed = client.build(context.path(), &["--push", "-t", &tag]).code(13);
    assert!(pushed.stderr.contains("may not create pushes.remora.dev in the namespace ci"), "{}", pushed.stderr);
    assert_eq!(registry.digest("app", "1"), None);
    let cache = registry.image("cache");
    client.build(context.path(), &["--cache-repo", &cache]).code(13).says("may not create pushes.remora.dev");
    client.run(&["push", &tag]).code(13);
    client.run(&["prune", "--dry-run"]).code(13);
    client.run(&["ps"]).code(13);
    client.run(&["info", "--wait", "1s"]).code(13);
    pool.server.sh(&told(&pushed));
    let push = || client.build(context.path(), &["--push", "-t", &tag]).status.success().then_some(());
    rig::eventually("the rule for pushes counts", SOON, push);
    assert!(registry.digest("app", "1").is_some());

    // The socket's mode decides beside it.
    pool.neighbour().run(&["prune", "--dry-run"]).code(0);
    let log = pool.agent.log();
    assert!(log.contains("caller=\"system:serviceaccount:team:builder\""), "{log}");
    assert!(!log.contains(&token), "the log has the token");
}

fn the_rules_of_the_guide_to_security_are_what_it_says(kind: Kind) {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let first = |language| guide.split(&format!("```{language}\n")).nth(1)?.split("```").next();
    let server = ApiServer::start();
    server.sh("kubectl create namespace jobs; kubectl -n jobs create serviceaccount builder");
    server.sh(&format!("kubectl apply -f - <<'RULES'\n{}RULES", first("yaml").unwrap()));
    server.sh(first("sh").unwrap());
    let (private, registry, engine) = (Registry::start_with_auth(), Registry::start(), Engine::shared(kind));
    server.sh(&format!(
        "kubectl -n ci create secret docker-registry remora-registry --docker-server={} --docker-username=remora --docker-password=s3cret",
        private.host
    ));
    let pool = Pool::start(server, &engine, &["--kubernetes-auth", "--pull-secret", "remora-registry"]);
    let client = pool.client(&pool.server.token("jobs", "builder", "remora"));
    let text = format!("FROM {}\nRUN echo {}\n", private.image("base:1"), rig::unique());
    let context = rig::context(&[("Dockerfile", &text)]);
    client.build(context.path(), &["--push", "-t", &registry.image("app:1")]).code(0);
    assert!(registry.digest("app", "1").is_some());
    client.run(&["ps"]).code(0);
    client.run(&["info"]).code(0);
    for refused in [&["cancel", "0123"][..], &["prune", "--dry-run"]] {
        client.run(refused).code(13);
    }
    pool.client(&pool.server.token("team", "builder", "remora")).build(context.path(), &[]).code(13);
}

fn who_may_look_at_the_engine_sees_no_builds_and_who_ends_one_is_told_by_name(kind: Kind) {
    let (registry, engine) = (Registry::start(), Engine::shared(kind));
    let pool = Pool::start(ApiServer::with_delegator(), &engine, &["--kubernetes-auth"]);
    let client = pool.client(&pool.server.token("team", "builder", "remora"));
    let seconds = rig::unique();
    let text = format!("FROM {}\nRUN sleep {seconds}\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let running = pool.neighbour().spawn_build(context.path(), &[]);
    let asleep = || (!rig::processes(&["sleep", &seconds]).is_empty()).then_some(());
    rig::eventually("the RUN begins", Duration::from_secs(60), asleep);

    pool.server.sh(&told(&client.run(&["info"]).code(13)));
    let info = || Some(client.run(&["info"])).filter(|outcome| outcome.status.success());
    let info = rig::eventually("the rule counts", SOON, info);
    assert!(!info.stdout.contains(" runs for "), "{}", info.stdout);
    let told_all = pool.neighbour().run(&["info"]).code(0).stdout;
    assert!(told_all.contains(" runs for "), "{told_all}");

    let listed = pool.neighbour().run(&["ps"]).code(0).stdout;
    let id = listed.lines().find(|line| line.contains(&seconds)).and_then(|line| line.split_whitespace().next());
    let cancel = || client.run(&["cancel", id.unwrap()]);
    pool.server.sh(&told(&cancel().code(13)));
    rig::eventually("the rule counts", SOON, || cancel().status.success().then_some(()));
    running.wait().says("cancelled by system:serviceaccount:team:builder (");
}

fn a_token_that_is_not_for_the_agent_opens_nothing(kind: Kind) {
    let pool = Pool::start(ApiServer::with_delegator(), &Engine::shared(kind), &["--kubernetes-auth"]);
    let other = pool.server.token("team", "builder", "vault");
    let file = pool.authority.file("token");
    for (token, wanted) in [
        ("", "wants a token of the cluster, and none was shown"),
        (&other, "is for the audience vault, and this agent's is remora"),
        (&pool.server.expired_token(), "the token shown expired"),
        ("nonsense", "does not know the token shown"),
    ] {
        std::fs::write(&file, token).unwrap();
        let client = if token.is_empty() { pool.client("") } else { pool.client("").env("REMORA_TOKEN_FILE", &file) };
        let refused = client.run(&["ps"]).code(13);
        assert!(refused.stderr.contains(wanted), "{}", refused.stderr);
        assert!(refused.stderr.contains("remora: next: "), "{}", refused.stderr);
    }
}

fn without_the_api_server_nobody_new_gets_in(kind: Kind) {
    let pool = Pool::start(ApiServer::with_delegator(), &Engine::shared(kind), &["--kubernetes-auth"]);
    pool.server.kubectl(&[
        "create",
        "clusterrolebinding",
        "all",
        "--clusterrole=cluster-admin",
        "--serviceaccount=team:builder",
    ]);
    // Of one account they could be the same token, for the clock of tokens counts seconds.
    let [known, new] = [("team", "builder"), ("ci", "remora-agent")]
        .map(|(namespace, account)| pool.client(&pool.server.token(namespace, account, "remora")));
    known.run(&["ps"]).code(0);
    pool.server.stop();
    known.run(&["ps"]).code(0);
    let refused = new.run(&["ps"]).code(10);
    assert!(refused.stderr.contains("the Kubernetes API server at https://127.0.0.1"), "{}", refused.stderr);
    pool.neighbour().run(&["ps"]).code(0);
}

fn an_agent_that_may_not_ask_says_which_rule_is_missing(kind: Kind) {
    let pool = Pool::start(ApiServer::start(), &Engine::shared(kind), &["--kubernetes-auth"]);
    let client = pool.client(&pool.server.token("team", "builder", "remora"));
    let refused = client.run(&["ps"]).code(13);
    assert!(refused.stderr.contains("the agent itself may not review tokens"), "{}", refused.stderr);
    pool.server.sh(&told(&refused));
    let known = || client.run(&["ps"]).stderr.contains("may not list builds.remora.dev").then_some(());
    rig::eventually("the agent may ask", SOON, known);
}

fn a_pull_secret_lets_builds_have_a_private_base_and_may_be_rotated(kind: Kind) {
    let (registry, engine) = (Registry::start_with_auth(), Engine::start(kind));
    let pool = Pool::start(ApiServer::start(), &engine, &["--pull-secret", "team/pull", "--kubernetes-auth"]);
    let text = format!("FROM {}\nRUN true\n", registry.image("base:1"));
    let context = rig::context(&[("Dockerfile", &text)]);
    let client = pool.neighbour();
    let build = |args: &[&str]| client.build(context.path(), args);

    let refused = build(&[]);
    assert!(!refused.status.success(), "the base is not private");
    let warning =
        refused.stderr.lines().find(|line| line.contains("the agent itself may not read the pull secret team/pull"));
    let commands = warning.unwrap_or_else(|| panic!("{}", refused.stderr)).split_once("; ").unwrap().1;
    pool.server.sh(commands);
    let secret = |password: &str| {
        drop(pool.server.kubectl(&["-n", "team", "delete", "secret", "pull", "--ignore-not-found"]));
        let server = format!("--docker-server={}", registry.host);
        let password = format!("--docker-password={password}");
        pool.server.kubectl(&[
            "-n",
            "team",
            "create",
            "secret",
            "docker-registry",
            "pull",
            &server,
            "--docker-username=remora",
            &password,
        ]);
    };
    secret("wrong");
    let wrong = || (!build(&[]).stderr.contains("pull secret")).then_some(());
    rig::eventually("the secret is read", Duration::from_secs(40), wrong);
    assert!(!build(&[]).status.success(), "a wrong password lets in");
    secret("s3cret");
    rig::eventually("the new secret counts", Duration::from_secs(40), || build(&[]).status.success().then_some(()));

    // They are for pulling.
    let tag = registry.image("app:1");
    build(&["--push", "-t", &tag]).code(12);
    assert_eq!(registry.digest("app", "1"), None);
    assert!(!pool.agent.log().contains("s3cret"));
}

fn a_certificate_that_is_replaced_is_the_one_that_is_shown(kind: Kind) {
    let (old, new, url) = (Authority::new(), Authority::new(), outside());
    let (cert, key) = (old.file("agent.crt"), old.file("agent.key"));
    old.sign("agent", 1);
    new.sign("agent", 1);
    let args = ["--listen", &url, "--tls-cert", &cert, "--tls-key", &key];
    let agent = Agent::start_where(&Engine::shared(kind), &args, &[("REMORA_TOKEN", "secret")]);
    let ps = |authority: &Authority| {
        let client = Client::new(&url).env("REMORA_TLS_CA", &authority.file("ca.crt")).env("REMORA_TOKEN", "secret");
        client.run(&["ps", "--wait", "5s"])
    };
    ps(&old).code(0);
    // Half of it is there: what was there before stays.
    std::fs::copy(new.file("agent.crt"), &cert).unwrap();
    ps(&old).code(0);
    std::fs::copy(new.file("agent.key"), &key).unwrap();
    ps(&new).code(0);
    let refused = ps(&old).code(10);
    assert!(refused.stderr.contains("its certificate is not trusted"), "{}", refused.stderr);
    assert!(agent.log().contains("the certificate was replaced"), "{}", agent.log());
}

fn a_client_tells_what_is_wrong_with_a_certificate(kind: Kind) {
    let (authority, stranger, url) = (Authority::new(), Authority::new(), outside());
    authority.sign("agent", 1);
    authority.sign("expired", -1);
    let files = ["agent.crt", "agent.key", "ca.crt", "expired.crt", "expired.key"].map(|name| authority.file(name));
    let [cert, key, ca, expired_cert, expired_key] = &files;
    let other = outside();
    let start = |url: &str, cert: &str, key: &str| {
        let args = ["--listen", url, "--tls-cert", cert, "--tls-key", key];
        Agent::start_where(&Engine::shared(kind), &args, &[("REMORA_TOKEN", "secret")])
    };
    let _agents = (start(&url, cert, key), start(&other, expired_cert, expired_key));
    let plain = Registry::start();
    let everywhere = outside().replace(rig::ADDRESS, "0.0.0.0");
    let _everywhere = start(&everywhere, cert, key);
    let named = everywhere.replace("0.0.0.0", "127.0.0.1");
    for (url, ca, wanted) in [
        (&url, stranger.file("ca.crt"), "its certificate is not trusted"),
        (&url, String::new(), "nobody among the system's roots vouches for"),
        (&other, ca.clone(), "its certificate cannot be used now"),
        (&named, ca.clone(), "its certificate is not for 127.0.0.1, but for remora.ci.svc"),
        (&format!("tcp://{}", plain.host), ca.clone(), "what answers there speaks no TLS"),
    ] {
        let client = Client::new(url).env("REMORA_TLS_CA", &ca).env("REMORA_TOKEN", "secret");
        let up = || {
            let outcome = client.run(&["ps", "--wait", "0s"]);
            (!outcome.stderr.contains("Connection refused")).then_some(outcome)
        };
        let refused = rig::eventually("the agent listens", SOON, up).code(10);
        assert!(refused.stderr.contains(wanted), "{wanted}: {}", refused.stderr);
    }
}

fn who_has_no_certificate_of_our_authority_stays_outside(kind: Kind) {
    let (authority, url) = (Authority::new(), outside());
    authority.sign("agent", 1);
    authority.sign("client", 1);
    let stranger = Authority::new();
    stranger.sign("client", 1);
    let [cert, key, ca] = ["agent.crt", "agent.key", "ca.crt"].map(|name| authority.file(name));
    let args = ["--listen", &url, "--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca];
    let agent = Agent::start_where(&Engine::shared(kind), &args, &[]);
    let client = Client::new(&url).env("REMORA_TLS_CA", &ca);
    let with = |of: &Authority| {
        client.clone().env("REMORA_TLS_CERT", &of.file("client.crt")).env("REMORA_TLS_KEY", &of.file("client.key"))
    };
    with(&authority).run(&["ps", "--wait", "5s"]).code(0);
    let refused = client.run(&["ps", "--wait", "0s"]).code(13);
    assert!(refused.stderr.contains("it wants a certificate of ours"), "{}", refused.stderr);
    let refused = with(&stranger).run(&["ps", "--wait", "0s"]).code(13);
    assert!(refused.stderr.contains("it refuses our certificate"), "{}", refused.stderr);
    drop(agent);
}

fn nobody_listens_to_the_network_without_tls_and_authentication(kind: Kind) {
    let (authority, url) = (Authority::new(), outside());
    authority.sign("agent", 1);
    let [cert, key] = ["agent.crt", "agent.key"].map(|name| authority.file(name));
    let engine = Engine::shared(kind);
    for (args, variables, wanted) in [
        (vec![], vec![("REMORA_TOKEN", "secret")], "needs TLS: add --tls-cert FILE and --tls-key FILE"),
        (vec!["--tls-cert", &cert, "--tls-key", &key], vec![], "needs authentication: add REMORA_TOKEN"),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], vec![("REMORA_TOKEN", "secret")], "--tls-key"),
    ] {
        let args = [vec!["--listen", url.as_str()], args].concat();
        let mut agent = Agent::start_where(&engine, &args, &variables);
        let status = rig::eventually("the agent gives up", SOON, || agent.ended());
        assert_eq!(status.code(), Some(2));
        assert!(agent.log().contains(wanted), "{}", agent.log());
    }
}
