//! Whether the engine is there: it need not be yet, and may go and come back.

use std::{sync::Arc, time::Duration};

use bollard_buildkit_proto::moby::buildkit::v1::ListWorkersResponse;
use remora::{
    engine::{Engine, State},
    model::{Failure, FailureKind},
};
use tokio::sync::Notify;
use tonic::Status;

use super::{
    dockerd::{Dockerd, json},
    fake::{BuildKit, Seen, one_worker},
    rig::{LIMIT, Rig, request, soon},
    socket::Socket,
};

/// Why the engine is absent, as soon as the reason is other than that it is being connected to.
async fn absent(engine: &mut Engine, text: &str) -> Failure {
    soon(async {
        loop {
            if let State::Absent(failure) = engine.state()
                && failure.what.contains(text)
            {
                return failure;
            }
            engine.changed().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_job_that_starts_before_its_engine_needs_no_loop_of_its_own() {
    let mut socket = Socket::unbound();
    let mut engine = Engine::connect(socket.url.clone());
    let failure = absent(&mut engine, "cannot connect").await;
    assert_eq!(failure.kind, FailureKind::Engine);
    assert!(failure.next.contains("--engine"), "{failure:?}");
    socket.start(BuildKit::new());
    assert_eq!(engine.wait(LIMIT).await.unwrap().version, "v0.99.0");
}

#[tokio::test]
async fn an_engine_that_listens_and_is_not_ready_yet_is_asked_again() {
    let fake = BuildKit::new().workers(async |number| match number {
        1 => Err(Status::unavailable("still starting")),
        2 => Ok(ListWorkersResponse::default()),
        _ => Ok(one_worker()),
    });
    let socket = Socket::listening(fake.clone());
    let mut engine = Engine::connect(socket.url.clone());
    let failure = absent(&mut engine, "still starting").await;
    assert_eq!(failure.kind, FailureKind::Engine);
    engine.wait(LIMIT).await.unwrap();
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn an_engine_that_answers_late_is_waited_for() {
    let now = Arc::new(Notify::new());
    let wait = Arc::clone(&now);
    let fake = BuildKit::new().workers(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            Ok(one_worker())
        }
    });
    let socket = Socket::listening(fake.clone());
    let engine = Engine::connect(socket.url.clone());
    fake.see(|seen| matches!(seen, Seen::Workers).then_some(())).await;
    assert!(matches!(engine.state(), State::Absent(_)));
    now.notify_one();
    engine.wait(LIMIT).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_restarts_is_found_again() {
    let fake = BuildKit::new();
    let mut rig = Rig::new(fake.clone()).await;
    for _ in 0..3 {
        rig.socket.stop();
        absent(&mut rig.engine, "").await;
        let (outcome, _) = {
            let client = super::rig::Client::lend(&[]).await;
            rig.build_with(&request(), &client.lent).await
        };
        let failure = outcome.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Engine, "{failure:?}");
        rig.socket.start(fake.clone());
        rig.engine.wait(LIMIT).await.unwrap();
        rig.build(&request()).await.0.unwrap();
    }
}

#[tokio::test]
async fn an_engine_that_restarts_at_once_is_found_again() {
    let mut rig = Rig::new(Dockerd::containerd(BuildKit::new())).await;
    rig.socket.restart();
    rig.engine.changed().await;
    rig.engine.wait(LIMIT).await.unwrap();
    rig.build(&request()).await.0.unwrap();
}

#[tokio::test]
async fn an_engine_that_hangs_up_again_and_again_is_left_in_peace_in_between() {
    let mut rig = Rig::new(BuildKit::new()).await;
    let start = std::time::Instant::now();
    for _ in 0..5 {
        rig.socket.restart();
        absent(&mut rig.engine, "").await;
        rig.engine.wait(LIMIT).await.unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(20 + 40 + 80 + 160 + 320), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_dockerd_that_refuses_says_so_in_its_own_words() {
    let dockerd = Dockerd::graphdriver(BuildKit::new())
        .rest(async |asked| (asked.path == "/version").then(|| json(403, r#"{"message":"denied by a plugin"}"#)));
    let socket = Socket::listening(dockerd);
    let mut engine = Engine::connect(socket.url.clone());
    let failure = absent(&mut engine, "GET /version").await;
    assert!(failure.what.contains("denied by a plugin"), "{failure:?}");
}

#[tokio::test]
async fn no_handle_no_connection() {
    let Rig { socket, engine, .. } = Rig::new(BuildKit::new()).await;
    socket.connections(1).await;
    drop(engine);
    socket.connections(0).await;
}
