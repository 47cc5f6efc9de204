//! An agent that has more builds to do than it may do at once.

use std::sync::Arc;

use remora::{
    model::{FailureKind, Reference},
    pb::{self, event::Kind},
    service::Settings,
    strategy::queue::Limits,
    wire,
};
use tokio::sync::Notify;
use tonic::{Code, Streaming};

use super::{
    agent::{Agent, Client, Session, build, end, lend_nothing},
    fake::{BuildKit, Seen},
    rig::soon,
    service::lasting,
};

fn limits(running: usize, waiting: usize) -> Settings {
    Settings { name: "remora-0".to_owned(), limits: Limits { running, waiting }, ..Settings::default() }
}

/// A build that was called for, and the session that it needs.
struct Called {
    events: Streaming<pb::Event>,
    session: Session,
}

/// An agent with one place, which a build has.
struct Rig {
    fake: BuildKit,
    go: Arc<Notify>,
    agent: Agent,
    client: Client,
    first: Called,
}

impl Rig {
    async fn new(waiting: usize) -> Self {
        let (fake, go) = lasting();
        let agent = Agent::with(fake.clone(), limits(1, waiting)).await;
        let mut client = agent.client().await;
        let first = call(&mut client, "first").await.unwrap();
        begun(&fake, 1).await;
        Self { fake, go, agent, client, first }
    }

    /// One that waits, with this many ahead.
    async fn waits(&mut self, tag: &str, words: &str) -> Called {
        let mut called = call(&mut self.client, tag).await.unwrap();
        assert!(told(&mut called).await.contains(words));
        called
    }

    async fn listed(&mut self) -> Vec<pb::RunningBuild> {
        soon(self.client.list_builds(pb::ListBuildsRequest {})).await.unwrap().into_inner().builds
    }

    async fn state(&mut self) -> pb::StateResponse {
        self.state_for("").await
    }

    async fn state_for(&mut self, project: &str) -> pb::StateResponse {
        let project = project.parse::<Reference>().map(|tag| tag.name()).unwrap_or_default();
        let request = pb::StateRequest { project };
        soon(self.client.state(request)).await.unwrap().into_inner()
    }
}

async fn call(client: &mut Client, tag: &str) -> Result<Called, tonic::Status> {
    let session = lend_nothing(client).await;
    let request = pb::BuildRequest { tags: vec![tag.to_owned()], ..build(&session.id) };
    let events = soon(client.build(request)).await?.into_inner();
    Ok(Called { events, session })
}

/// What is said of the place in the queue.
async fn told(called: &mut Called) -> String {
    loop {
        let event = soon(called.events.message()).await.unwrap().unwrap();
        if let Some(Kind::Notice(pb::Notice { waiting: true, text, .. })) = event.kind {
            return text;
        }
    }
}

/// Returns when so many builds are at work in the engine.
async fn begun(fake: &BuildKit, number: usize) {
    let frontends = |seen: &[Seen]| seen.iter().filter(|seen| matches!(seen, Seen::Frontend { .. })).count();
    soon(fake.state.seen.subscribe().wait_for(|seen| frontends(seen) >= number)).await.unwrap();
}

#[tokio::test]
async fn a_build_beyond_the_limit_waits_and_is_told_and_listed_so() {
    let mut rig = Rig::new(5).await;
    let second = rig.waits("a", "next").await;
    let third = rig.waits("a", "1 build ahead").await;
    // Another project's comes before the third.
    let fourth = rig.waits("b", "1 build ahead").await;
    let listed = rig.listed().await;
    let waiting: Vec<_> = listed.iter().map(|build| (build.waiting, build.ahead)).collect();
    assert_eq!(waiting, [(false, 0), (true, 0), (true, 2), (true, 1)]);
    let state = rig.state().await;
    assert_eq!((state.running, state.waiting, state.max_builds, state.max_queue), (1, 3, 1, 5));
    assert_eq!((state.name.as_str(), state.engine_ready, state.draining), ("remora-0", true, false));
    for (number, called) in (2..).zip([rig.first, second, fourth, third]) {
        rig.go.notify_one();
        end(called.events).await.1.unwrap();
        begun(&rig.fake, number.min(4)).await;
    }
    assert_eq!(soon(rig.client.state(pb::StateRequest::default())).await.unwrap().into_inner().running, 0);
}

#[tokio::test]
async fn an_agent_that_is_full_says_so_at_once() {
    let mut rig = Rig::new(0).await;
    let called = call(&mut rig.client, "a").await;
    let failure = match called {
        Err(status) => status,
        Ok(mut called) => soon(called.events.message()).await.unwrap_err(),
    };
    assert_eq!(failure.code(), Code::ResourceExhausted);
    assert_eq!(wire::from_status(&failure).kind, FailureKind::Busy);
    // What runs no step, or frees what is full, need not wait.
    let session = lend_nothing(&rig.client).await;
    let check = pb::BuildRequest { subrequest: pb::Subrequest::Lint.into(), ..build(&session.id) };
    let _check = rig.client.build(check).await.unwrap();
    begun(&rig.fake, 2).await;
    let prune = pb::PruneRequest { dry_run: true, ..pb::PruneRequest::default() };
    end(rig.client.prune(prune).await.unwrap().into_inner()).await.1.unwrap();
}

#[tokio::test]
async fn whoever_stops_waiting_makes_room_for_the_next() {
    let mut rig = Rig::new(1).await;
    let gone = rig.waits("a", "next").await;
    drop(gone);
    // It leaves the queue before anybody can ask, or soon after.
    while rig.state().await.waiting > 0 {
        tokio::task::yield_now().await;
    }
    let cancelled = rig.waits("b", "next").await;
    let id = rig.listed().await.into_iter().find(|build| build.waiting).unwrap().id;
    let cancel = pb::CancelRequest { build: id, by: "alice".to_owned(), ..pb::CancelRequest::default() };
    soon(rig.client.cancel(cancel)).await.unwrap();
    assert_eq!(end(cancelled.events).await.1.unwrap_err().kind, FailureKind::Cancelled);
    let Called { events, session } = rig.waits("c", "next").await;
    drop(session);
    let failure = end(events).await.1.unwrap_err();
    assert!(failure.what.contains("gone"), "a session that ended frees its place too: {failure:?}");
    assert_eq!(rig.state().await.waiting, 0);
    rig.go.notify_one();
    end(rig.first.events).await.1.unwrap();
}

#[tokio::test]
async fn a_project_that_fills_the_queue_makes_room_for_another() {
    let mut rig = Rig::new(2).await;
    let first = rig.waits("a", "next").await;
    let second = rig.waits("a", "1 build ahead").await;
    assert_eq!((rig.state_for("a").await.makes_room, rig.state_for("b").await.makes_room), (false, true));
    let other = rig.waits("b", "1 build ahead").await;
    let failure = end(second.events).await.1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Busy, "its client goes on to the next agent: {failure:?}");
    assert_eq!(rig.state().await.waiting, 2);
    for called in [rig.first, first, other] {
        rig.go.notify_one();
        end(called.events).await.1.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_shuts_down_sends_those_that_wait_elsewhere_and_finishes_the_others() {
    let mut rig = Rig::new(5).await;
    let waiting = rig.waits("a", "next").await;
    rig.agent.drain.cancel();
    let failure = end(waiting.events).await.1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Agent);
    assert!(failure.what.contains("shutting down"), "{failure:?}");
    rig.go.notify_one();
    end(rig.first.events).await.1.unwrap();
}
