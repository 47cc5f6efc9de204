//! Builds as others see them, and end them.

use remora::{
    model::{FailureKind, SessionId},
    pb,
    service::Settings,
    wire,
};
use tonic::Code;

use super::{
    agent::{Agent, Client, build, end, lend_nothing},
    fake::Seen,
    rig::{new_id, soon},
    service::{begun, lasting},
    socket::Socket,
};

async fn listed(client: &mut Client) -> Vec<pb::RunningBuild> {
    soon(client.list_builds(pb::ListBuildsRequest {})).await.unwrap().into_inner().builds
}

async fn cancel(client: &mut Client, build: &str) -> Result<pb::RunningBuild, tonic::Status> {
    let request = pb::CancelRequest { build: build.to_owned(), by: "alice".to_owned(), ..pb::CancelRequest::default() };
    Ok(soon(client.cancel(request)).await?.into_inner().build.unwrap())
}

#[tokio::test]
async fn a_build_that_is_cancelled_stops_on_the_engine_and_hurts_no_other() {
    let (fake, go) = lasting();
    let agent = Agent::beside(fake.clone()).await;
    let mut client = agent.client().await;
    let sessions = [lend_nothing(&client).await, lend_nothing(&client).await];
    let doomed = client.build(build(&sessions[0].id)).await.unwrap().into_inner();
    begun(&fake).await;
    let id = listed(&mut client).await[0].id.clone();
    let kept = client.build(build(&sessions[1].id)).await.unwrap().into_inner();
    fake.see(|seen| matches!(seen, Seen::Frontend { build, .. } if *build != id).then_some(())).await;
    assert_eq!(listed(&mut client).await[0].id, id, "the oldest comes first");
    assert_eq!(cancel(&mut client, &id).await.unwrap().id, id);
    // Who asks then finds it gone.
    assert!(listed(&mut client).await.iter().all(|build| build.id != id));
    let failure = end(doomed).await.1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert!(failure.what.contains("cancelled by alice"), "{failure:?}");
    fake.see(|seen| matches!(seen, Seen::Dropped { build } if *build == id).then_some(())).await;
    assert_eq!(wire::from_status(&cancel(&mut client, &id).await.unwrap_err()).kind, FailureKind::NotFound);
    go.notify_waiters();
    end(kept).await.1.unwrap();
}

#[tokio::test]
async fn a_build_that_waits_for_its_engine_is_listed_and_can_be_cancelled() {
    let agent = Agent::start(Socket::unbound(), Settings::default(), false).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let mut events = client.build(build(&session.id)).await.unwrap().into_inner();
    // It says that it waits.
    soon(events.message()).await.unwrap().unwrap();
    let id = listed(&mut client).await[0].id.clone();
    cancel(&mut client, &id[..6]).await.unwrap();
    assert_eq!(end(events).await.1.unwrap_err().kind, FailureKind::Cancelled);
}

#[tokio::test]
async fn who_ends_a_build_cannot_write_into_its_log() {
    let agent = Agent::start(Socket::unbound(), Settings::default(), false).await;
    let mut client = agent.client().await;
    for by in ["a\nerror: all is lost", "\x1b[2J", &"x".repeat(201)] {
        let request = pb::CancelRequest { build: "a".to_owned(), by: by.to_owned(), ..pb::CancelRequest::default() };
        assert_eq!(client.cancel(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let nobody = SessionId(new_id());
    assert_eq!(cancel(&mut client, &nobody.0).await.unwrap_err().code(), Code::NotFound);
}
