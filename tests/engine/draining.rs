//! Prunes, which are carried to their end, and an agent that shuts down.

use std::{sync::Arc, time::Duration};

use bollard_buildkit_proto::moby::buildkit::v1::UsageRecord;
use remora::{
    model::FailureKind,
    pb::{self, event::Kind},
    wire,
};
use tokio::sync::Notify;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    agent::{Agent, build, end, lend_nothing, millis},
    dockerd::{Dockerd, json},
    fake::{BuildKit, Seen},
    rig::soon,
    service::{begun, lasting},
};

#[tokio::test]
async fn an_agent_that_shuts_down_finishes_what_runs_and_takes_nothing_new() {
    let (fake, go) = lasting();
    let mut agent = Agent::beside(fake.clone()).await;
    let mut client = agent.client().await;
    let mut health = HealthClient::new(agent.channel().await);
    let session = lend_nothing(&client).await;
    let running = client.build(build(&session.id)).await.unwrap().into_inner();
    begun(&fake).await;
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    agent.drain.cancel();
    while soon(watched.message()).await.unwrap().unwrap().status() != ServingStatus::NotServing {}
    // Whether it still gets through or not, it is the agent's going and no decision of the caller.
    let refused = client.build(build(&session.id)).await.unwrap_err();
    let kind = wire::from_status(&refused).kind;
    assert!(matches!(kind, FailureKind::Agent | FailureKind::Lost), "{refused:?}");
    go.notify_one();
    end(running).await.1.unwrap();
    drop((session, client, health, watched));
    soon(&mut agent.served).await.unwrap().unwrap();
}

/// A fake whose prune frees one record, waits for `go`, and frees another.
fn pruning() -> (BuildKit, Arc<Notify>, Arc<Notify>) {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, tell) = (Arc::clone(&go), Arc::clone(&done));
    let fake = BuildKit::new().prune(move |freed| {
        let (wait, tell) = (Arc::clone(&wait), Arc::clone(&tell));
        async move {
            freed.send(Ok(UsageRecord::default())).await.unwrap();
            wait.notified().await;
            freed.send(Ok(UsageRecord::default())).await.unwrap();
            tell.notify_one();
        }
    });
    (fake, go, done)
}

fn prune() -> pb::PruneRequest {
    pb::PruneRequest { wait_ms: millis(), ..pb::PruneRequest::default() }
}

#[tokio::test]
async fn a_prune_frees_what_was_asked_for_and_counts_it() {
    let fake = BuildKit::new().prune(async |freed| {
        for size in [3, 4, -1] {
            freed.send(Ok(UsageRecord { size, ..UsageRecord::default() })).await.unwrap();
        }
    });
    let agent = Agent::beside(Dockerd::graphdriver(fake.clone())).await;
    let request = pb::PruneRequest { all: true, unused_for_seconds: 60, keep_bytes: 1 << 30, ..prune() };
    let (events, report) = end(agent.client().await.prune(request).await.unwrap().into_inner()).await;
    report.unwrap();
    let freed = |kind: &str, count, bytes| {
        Kind::Freed(pb::Freed { kind: kind.to_owned(), count, bytes, dry_run: false, at_most: false })
    };
    assert_eq!(events, [freed("images", 0, 7), freed("build cache", 3, 7)]);
    let asked = fake.see(|seen| if let Seen::Prune(request) = seen { Some(request.clone()) } else { None }).await;
    assert_eq!((asked.all, asked.keep_duration), (true, 60_000_000_000));
    // Old engines know the first under another name, and do not know the second.
    assert_eq!((asked.reserved_space, asked.max_used_space), (1 << 30, 1 << 30));
}

#[tokio::test]
async fn a_prune_that_the_engine_refuses_says_why() {
    let dockerd = Dockerd::graphdriver(BuildKit::new()).rest(async |asked| {
        let busy = r#"{"message":"a prune operation is already running"}"#;
        (asked.path.contains("/images/prune")).then(|| json(409, busy))
    });
    let agent = Agent::beside(dockerd).await;
    let failure = end(agent.client().await.prune(prune()).await.unwrap().into_inner()).await.1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Engine);
    assert!(failure.what.contains("a prune operation is already running"), "{failure:?}");
}

#[tokio::test]
async fn a_prune_goes_on_when_its_caller_hangs_up() {
    let (fake, go, done) = pruning();
    let agent = Agent::beside(fake.clone()).await;
    let client = agent.client().await;
    let events = client.clone().prune(prune()).await.unwrap();
    begun(&fake).await;
    drop((events, client));
    // Another caller's answer shows that the agent had its turn.
    agent.client().await.info(pb::InfoRequest {}).await.unwrap();
    go.notify_one();
    soon(done.notified()).await;
    assert!(!fake.seen().iter().any(|seen| matches!(seen, Seen::PruneDropped)));
}

#[tokio::test]
async fn an_agent_that_shuts_down_does_not_cut_a_prune_in_half() {
    let (fake, go, done) = pruning();
    let mut agent = Agent::beside(fake.clone()).await;
    let client = agent.client().await;
    let events = client.clone().prune(prune()).await.unwrap();
    begun(&fake).await;
    drop((events, client));
    tokio::time::pause();
    agent.drain.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(30), &mut agent.served).await;
    assert!(ended.is_err(), "it ends in the middle of a prune");
    tokio::time::resume();
    go.notify_one();
    soon(done.notified()).await;
    soon(&mut agent.served).await.unwrap().unwrap();
}
