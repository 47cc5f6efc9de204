//! Builds that are given up: CI kills jobs.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, mpsc};

use super::{
    dockerd::Dockerd,
    fake::{BuildKit, Seen},
    rig::{Client, Rig, new_id, request, soon},
    socket::Daemon,
};

/// The longest that a step may run on when nobody wants it any more.
const CANCELLED_WITHIN: Duration = Duration::from_secs(2);

/// A fake whose builds last until `go`.
fn lasting(go: &Arc<Notify>) -> BuildKit {
    let go = Arc::clone(go);
    BuildKit::new().make(move |_| {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            Ok(())
        }
    })
}

#[tokio::test]
async fn a_build_that_nobody_wants_stops_and_hurts_no_other() {
    for daemon in [
        Daemon::from,
        |fake| Dockerd::graphdriver(fake).into(),
        |fake| Dockerd { api: "1.53", native: true, ..Dockerd::containerd(fake) }.into(),
    ] as [fn(BuildKit) -> Daemon; 3]
    {
        let go = Arc::new(Notify::new());
        let fake = lasting(&go);
        let rig = Rig::new(daemon(fake.clone())).await;
        let client = Client::lend(&[]).await;
        let (request, ids) = (request(), [new_id(), new_id()]);
        let [given_up, kept] = [&ids[0], &ids[1]].map(|id| {
            let (builder, id, lent) = (rig.builder(), id.clone(), client.lent.clone());
            let (request, (events, _)) = (request.clone(), mpsc::channel(1));
            tokio::spawn(async move { builder.build(&id, &request, &lent, &events).await })
        });
        for id in &ids {
            fake.see(|seen| matches!(seen, Seen::Frontend { build, .. } if build == id).then_some(())).await;
        }
        given_up.abort();
        let dropped = fake.see(|seen| if let Seen::Dropped { build } = seen { Some(build.clone()) } else { None });
        let dropped = tokio::time::timeout(CANCELLED_WITHIN, dropped).await.expect("the engine builds on");
        assert_eq!(dropped, ids[0]);
        go.notify_waiters();
        soon(kept).await.unwrap().unwrap();
        let ends = fake.seen().into_iter().filter(|seen| matches!(seen, Seen::Dropped { .. })).count();
        assert_eq!(ends, 1);
        // What is left is the supervisor's.
        rig.socket.connections(1).await;
    }
}

#[tokio::test]
async fn a_build_that_fails_hurts_no_other() {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let fake = BuildKit::new().make(move |build| {
        let wait = Arc::clone(&wait);
        async move {
            if build.id.starts_with("bad") {
                return Err(tonic::Status::unknown("exit code: 1"));
            }
            wait.notified().await;
            Ok(())
        }
    });
    let rig = Rig::new(fake.clone()).await;
    let client = Client::lend(&[]).await;
    let request = request();
    let builder = rig.builder();
    let (events, _received) = mpsc::channel(64);
    let good = builder.build("good", &request, &client.lent, &events);
    let bad = async {
        fake.see(|seen| matches!(seen, Seen::Frontend { .. }).then_some(())).await;
        let failed = builder.build("bad", &request, &client.lent, &events).await;
        go.notify_waiters();
        failed
    };
    let (good, bad) = soon(async { tokio::join!(good, bad) }).await;
    good.unwrap();
    bad.unwrap_err();
}

#[tokio::test]
async fn a_caller_that_stops_listening_to_events_is_still_built_for() {
    let fake = BuildKit::new().make(async |build| {
        for second in 0..100 {
            build.tell(super::progress::of([super::progress::vertex("[1/1] RUN a", second, None)])).await;
        }
        build.fall_silent();
        Ok(())
    });
    let rig = Rig::new(fake).await;
    let request = request();
    let builder = rig.builder();
    let client = Client::lend(&[]).await;
    let (events, received) = mpsc::channel(1);
    drop(received);
    soon(builder.build("b", &request, &client.lent, &events)).await.unwrap();
}
