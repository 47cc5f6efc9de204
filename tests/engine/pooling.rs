//! The client before several agents: which of them it takes, and what it does when one of them fails.

use std::{
    net::SocketAddr,
    process::{Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use remora::{service::Settings, strategy::queue::Limits};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStderr, Command},
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};
use tonic::Status;

use super::{
    agent::Agent,
    dockerd::lines,
    fake::{BuildKit, Seen, one_worker},
    push::pushing,
    rig::soon,
    socket::Socket,
};

/// Longer than the client needs to give a mute agent up, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The image of all builds here, and whose it is.
const TAG: &str = "app";

/// An agent of a pool, its engine, and the wire to it, which can be cut.
struct Replica {
    name: &'static str,
    agent: Agent,
    fake: BuildKit,
    wire: Wire,
}

/// Passes connections on, until it is dropped with all of them.
struct Wire {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Wire {
    async fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(address).await.unwrap();
                    drop(copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
        Self { address: own, task }
    }

    /// As when the agent is killed.
    fn cut(&self) {
        self.task.abort();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
    }
}

fn settings(name: &str, limits: Limits) -> Settings {
    Settings { name: name.to_owned(), token: Some("open sesame".to_owned()), limits, ..Settings::default() }
}

impl Replica {
    async fn new(name: &'static str, fake: BuildKit, running: usize, waiting: usize) -> Self {
        let limits = Limits { running, waiting };
        let agent = Agent::start(Socket::listening(fake.clone()), settings(name, limits), true).await;
        agent.ready().await;
        let wire = Wire::to(agent.tcp()).await;
        Self { name, agent, fake, wire }
    }

    fn url(&self) -> String {
        format!("tcp://{}", self.wire.address)
    }
}

/// Whose agents these are.
fn urls(replicas: &[&Replica]) -> String {
    replicas.iter().map(|replica| replica.url()).collect::<Vec<_>>().join(",")
}

fn remora(agents: &str, wait: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remora"));
    command.env_clear().env("REMORA_TOKEN", "open sesame").args(["--agent", agents, "--wait", wait]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn context() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    dir
}

fn build(agents: &str, wait: &str, context: &TempDir) -> Command {
    remora(agents, wait, &["build", "-t", TAG, context.path().to_str().unwrap()])
}

async fn output(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// A client at work, and what it has said so far.
struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
    said: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, said: String::new() }
    }

    /// Waits until it says this.
    async fn until(&mut self, words: &str) {
        while !self.said.contains(words) {
            let read = soon(self.lines.read_line(&mut self.said)).await.unwrap();
            assert!(read > 0, "'{words}' is not in: {}", self.said);
        }
    }

    async fn rest(mut self) -> (Option<i32>, String) {
        soon(self.lines.read_to_string(&mut self.said)).await.unwrap();
        (soon(self.child.wait()).await.unwrap().code(), self.said)
    }
}

/// Three replicas whose builds last until they are told to go on; the project's home comes first, then who is next.
async fn pool(running: usize, waiting: usize) -> (Vec<Replica>, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let mut replicas = Vec::new();
    for name in ["remora-0", "remora-1", "remora-2"] {
        let go = Arc::clone(&go);
        let fake = BuildKit::new().make(move |_| {
            let go = Arc::clone(&go);
            async move {
                go.acquire().await.unwrap().forget();
                Ok(())
            }
        });
        replicas.push(Replica::new(name, fake, running, waiting).await);
    }
    // A plan does not begin anything, and goes where a build would.
    let mut ranked = Vec::new();
    let context = context();
    while !replicas.is_empty() {
        go.add_permits(1);
        let plan = ["plan", "-t", TAG, context.path().to_str().unwrap()];
        let (code, said) =
            output(remora(&format!("{},tcp://127.0.0.1:1", urls(&replicas.iter().collect::<Vec<_>>())), "9s", &plan))
                .await;
        assert_eq!(code, Some(0), "{said}");
        let home = replicas.iter().position(|replica| said.contains(&format!("agent {}: home", replica.name)));
        ranked.push(replicas.swap_remove(home.unwrap_or_else(|| panic!("who is home? {said}"))));
    }
    (ranked, go)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_goes_home_and_from_there_to_the_next() {
    let (pool, go) = pool(1, 0).await;
    let (agents, context) = (urls(&[&pool[2], &pool[0], &pool[1]]), context());
    let mut builds = Vec::new();
    for replica in &pool {
        let mut child = Running::start(build(&agents, "0s", &context));
        child.until("agent remora-").await;
        assert!(child.said.contains(&format!("agent {}: ", replica.name)), "{}", child.said);
        replica.fake.see(|seen| matches!(seen, Seen::Outer { .. }).then_some(())).await;
        busy(replica).await;
        builds.push(child);
    }
    let (code, said) = output(build(&agents, "0s", &context)).await;
    assert_eq!(code, Some(10), "{said}");
    for replica in &pool {
        assert!(said.contains(&format!("{} is full", replica.name)), "each replica and why: {said}");
    }
    let (_, listed) = output(remora(&agents, "1s", &["ps"])).await;
    assert!(pool.iter().all(|replica| listed.contains(replica.name)), "{listed}");
    let (_, ids) = output(remora(&agents, "1s", &["ps", "-q"])).await;
    let (code, _) = output(remora(&agents, "1s", &["cancel", ids.lines().nth(2).unwrap()])).await;
    assert_eq!(code, Some(0));
    go.add_permits(100);
    let mut codes = Vec::new();
    for child in builds {
        codes.push(child.rest().await.0);
    }
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 2, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(130)).count(), 1, "{codes:?}");
}

/// Returns when the replica's only place is taken.
async fn busy(replica: &Replica) {
    let agents = replica.url();
    soon(async { while !output(remora(&agents, "1s", &["info"])).await.1.contains("1 running") {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_agent_dies_begins_anew_at_the_next() {
    let (pool, go) = pool(0, 0).await;
    let (agents, context) = (urls(&pool.iter().collect::<Vec<_>>()), context());
    let mut child = Running::start(build(&agents, "9s", &context));
    child.until(&format!("agent {}: home", pool[0].name)).await;
    busy(&pool[0]).await;
    begun_again(&pool[0].fake, 2).await;
    pool[0].wire.cut();
    child.until("another agent is asked").await;
    begun_again(&pool[1].fake, 2).await;
    go.add_permits(100);
    let (code, said) = child.rest().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("agent {}", pool[1].name)), "{said}");
}

/// A pool of two whose engines' frontends say that they are unavailable, and what became of a build there.
async fn unavailable(engine: impl Fn() -> BuildKit) -> (Option<i32>, String) {
    let fails = || engine().make(async |_| Err(Status::unavailable("the frontend is gone")));
    let replicas = [Replica::new("a", fails(), 0, 0).await, Replica::new("b", fails(), 0, 0).await];
    output(build(&urls(&[&replicas[0], &replicas[1]]), "9s", &context())).await
}

#[tokio::test]
async fn a_build_that_fails_by_itself_is_tried_nowhere_else_and_one_whose_engine_is_gone_is() {
    let (code, said) = unavailable(BuildKit::new).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the frontend is gone") && !said.contains("another agent is asked"), "{said}");
    let dying = || {
        BuildKit::new().workers(async |number| match number {
            1 => Ok(one_worker()),
            _ => Err(Status::unavailable("shutting down")),
        })
    };
    let (code, said) = unavailable(dying).await;
    assert_eq!(code, Some(11), "{said}");
    assert_eq!(said.matches("another agent is asked").count(), 2, "the third time it fails: {said}");
}

/// Returns when so many calls are at work in the engine: one was the plan.
async fn begun_again(fake: &BuildKit, number: usize) {
    let count = |seen: &[Seen]| seen.iter().filter(|seen| matches!(seen, Seen::Frontend { .. })).count();
    soon(fake.state.seen.subscribe().wait_for(|seen| count(seen) >= number)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_shuts_down_ends_what_it_has_and_others_get_the_rest() {
    let (pool, go) = pool(1, 4).await;
    let (agents, context) = (urls(&pool.iter().collect::<Vec<_>>()), context());
    let mut first = Running::start(build(&agents, "9s", &context));
    first.until(&format!("agent {}: home", pool[0].name)).await;
    begun_again(&pool[0].fake, 2).await;
    // It is next in its home's queue, and told so.
    let only = format!("{},tcp://127.0.0.1:1", pool[0].url());
    let mut second = Running::start(build(&only, "9s", &context));
    second.until("waiting: next").await;
    drop(second);
    let mut third = Running::start(build(&agents, "9s", &context));
    third.until("agent remora-").await;
    pool[0].agent.drain.cancel();
    let last = Running::start(build(&agents, "9s", &context));
    begun_again(&pool[1].fake, 2).await;
    go.add_permits(100);
    for child in [first, third, last] {
        let (code, said) = child.rest().await;
        assert_eq!(code, Some(0), "{said}");
    }
}

#[tokio::test]
async fn an_agent_that_never_answers_costs_its_deadline_and_no_more() {
    let replica = Replica::new("remora-0", BuildKit::new(), 0, 0).await;
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agents = format!("tcp://{},{}", mute.local_addr().unwrap(), replica.url());
    let (context, start) = (context(), Instant::now());
    let (code, said) = output(build(&agents, "20s", &context)).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let (code, said) =
        output(build(&format!("tcp://{},tcp://127.0.0.1:1", mute.local_addr().unwrap()), "0s", &context)).await;
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("does not answer") && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn the_sidecar_takes_what_the_pool_does_not() {
    let sidecar = Agent::beside(BuildKit::new()).await;
    let (context, nowhere) = (context(), "dns:///no-such-name.invalid:7733");
    let (code, said) = output(build(nowhere, "0s", &context)).await;
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains(nowhere) && said.contains("headless service"), "{said}");
    let agents = format!("unix://{},{nowhere}", sidecar.socket().display());
    let (code, said) = output(build(&agents, "9s", &context)).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the agent of this pod takes it"), "{said}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_at_once_and_ends_with_13() {
    let replicas = [Replica::new("a", BuildKit::new(), 0, 0).await, Replica::new("b", BuildKit::new(), 0, 0).await];
    let context = context();
    let mut command = build(&urls(&[&replicas[0], &replicas[1]]), "60s", &context);
    command.env("REMORA_TOKEN", "wrong");
    let (code, said) = output(command).await;
    assert_eq!(code, Some(13), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_no_queue_is_not_turned_away_by_one() {
    let (pool, go) = pool(1, 0).await;
    let (agents, context) = (urls(&pool.iter().collect::<Vec<_>>()), context());
    let mut first = Running::start(build(&agents, "0s", &context));
    first.until("agent remora-").await;
    busy(&pool[0]).await;
    go.add_permits(100);
    let plan = ["plan", "-t", TAG, context.path().to_str().unwrap()];
    let (code, said) = output(remora(&agents, "0s", &plan)).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("agent {}: home", pool[0].name)), "{said}");
    assert_eq!(first.rest().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_full_is_waited_for_without_a_pool_too() {
    let (pool, go) = pool(1, 0).await;
    let (agent, context) = (pool[0].url(), context());
    let first = Running::start(build(&agent, "0s", &context));
    busy(&pool[0]).await;
    let (code, said) = output(build(&agent, "0s", &context)).await;
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("remora: error: the agent is full"), "{said}");
    let mut second = Running::start(build(&agent, "20s", &context));
    second.until("waiting up to 20s (--wait): the agent is full").await;
    go.add_permits(100);
    assert_eq!(first.rest().await.0, Some(0));
    let (code, said) = second.rest().await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_one_project_has_filled_takes_another_and_loses_no_build() {
    let (pool, go) = pool(1, 2).await;
    let (agents, context) = (format!("{},tcp://127.0.0.1:1", pool[0].url()), context());
    let first = Running::start(build(&agents, "20s", &context));
    busy(&pool[0]).await;
    let mut second = Running::start(build(&agents, "20s", &context));
    second.until("waiting: next").await;
    let mut third = Running::start(build(&agents, "20s", &context));
    third.until("waiting: 1 build ahead").await;
    let args = ["build", "-t", "other", context.path().to_str().unwrap()];
    let mut other = Running::start(remora(&agents, "20s", &args));
    other.until("waiting: 1 build ahead").await;
    third.until("others have fewer that wait; another agent is asked").await;
    go.add_permits(100);
    for child in [first, second, third, other] {
        let (code, said) = child.rest().await;
        assert_eq!(code, Some(0), "{said}");
    }
}

#[tokio::test]
async fn an_agent_with_two_addresses_is_one() {
    let replica = Replica::new("remora-0", BuildKit::new(), 0, 0).await;
    let agents = format!("{},tcp://{}", replica.url(), replica.agent.tcp());
    let (code, said) = output(remora(&agents, "9s", &["info"])).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("# remora-0").count(), 1, "{said}");
}

#[tokio::test]
async fn one_without_an_engine_keeps_no_other_from_its_work() {
    let replica = Replica::new("remora-0", BuildKit::new(), 0, 0).await;
    let broken = Agent::start(Socket::unbound(), settings("remora-1", Limits { running: 0, waiting: 0 }), true).await;
    let agents = format!("tcp://{},{}", broken.tcp(), replica.url());
    for args in [&["prune"][..], &["info"], &["du"], &["doctor"]] {
        let start = Instant::now();
        let (code, said) = output(remora(&agents, "60s", args)).await;
        assert!(said.contains("# remora-0") && said.contains("# remora-1"), "{args:?}: {said}");
        assert!(start.elapsed() < LIMIT, "{args:?} waited for it");
        let wanted = if args == ["doctor"] { 1 } else { 11 };
        assert_eq!(code, Some(wanted), "{args:?}: {said}");
    }
    let (code, said) = output(remora(&agents, "9s", &["cancel", &"0".repeat(32)])).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no build that runs here"), "{said}");
}

#[tokio::test]
async fn an_image_that_an_absent_replica_may_hold_is_not_called_unknown() {
    let mut agents = Vec::new();
    for name in ["remora-0", "remora-1"] {
        let lacking = pushing(|_| lines(&[r#"{"error":"An image does not exist locally with the tag: a"}"#], false));
        let limits = Limits { running: 0, waiting: 0 };
        let agent = Agent::start(Socket::listening(lacking), settings(name, limits), true).await;
        agent.ready().await;
        agents.push(agent);
    }
    let all = format!("tcp://{},tcp://{}", agents[0].tcp(), agents[1].tcp());
    let push = ["push", "r.example.com/a:1"];
    let (code, said) = output(remora(&all, "60s", &push)).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("holds no image r.example.com/a:1; another agent is asked"), "{said}");
    let (code, said) = output(remora(&format!("{all},tcp://127.0.0.1:1"), "0s", &push)).await;
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("remora-1: the engine holds no image") && said.contains("tcp://127.0.0.1:1"), "{said}");
}
