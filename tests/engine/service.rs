//! The agent's API, as a stock gRPC client meets it.

use std::{sync::Arc, time::Duration};

use remora::{
    model::{FailureKind, REVISION, SessionId},
    pb::{self, event::Kind},
    service::Settings,
    wire,
};
use tokio::{sync::Notify, time::Instant};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1 as reflection;

use super::{
    agent::{self, Agent, build, end, lend, lend_nothing, millis},
    dockerd::{Dockerd, lines},
    fake::{Build, BuildKit, Seen},
    push::pushing,
    rig::{new_id, soon},
    socket::Socket,
};

#[path = "../registry/fake.rs"]
#[allow(dead_code, reason = "the tests of the registry room use the rest")]
mod registry;

/// A fake whose builds last until `go`, and which notifies `began`.
fn lasting() -> (BuildKit, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let fake = BuildKit::new().make(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            Ok(())
        }
    });
    (fake, go)
}

async fn begun(fake: &BuildKit) {
    fake.see(|seen| matches!(seen, Seen::Frontend { .. } | Seen::Prune(_)).then_some(())).await;
}

#[tokio::test]
async fn a_probe_sees_the_engine_come_and_go() {
    let agent = Agent::start(Socket::unbound(), Settings::default(), false).await;
    let (mut agent, mut health) = {
        let health = HealthClient::new(agent.channel().await);
        (agent, health)
    };
    for service in ["", "remora.v1.BuildAgent"] {
        let check = HealthCheckRequest { service: service.to_owned() };
        let mut watched = health.watch(check.clone()).await.unwrap().into_inner();
        let mut until = async |wanted: ServingStatus| {
            while soon(watched.message()).await.unwrap().unwrap().status() != wanted {}
        };
        until(ServingStatus::NotServing).await;
        agent.engine.start(BuildKit::new());
        until(ServingStatus::Serving).await;
        assert_eq!(health.check(check).await.unwrap().into_inner().status(), ServingStatus::Serving);
        agent.engine.stop();
        until(ServingStatus::NotServing).await;
    }
}

#[tokio::test]
async fn a_stock_client_finds_the_api_by_itself() {
    let agent = Agent::start(Socket::unbound(), Settings::default(), false).await;
    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(agent.channel().await);
    let list = reflection::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = reflection::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(reflection::server_reflection_response::MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"remora.v1.BuildAgent") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
}

#[tokio::test]
async fn an_agent_without_its_engine_still_says_what_it_is() {
    let agent = Agent::start(Socket::unbound(), Settings::default(), false).await;
    let info = agent.client().await.info(pb::InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.revision, info.engine), (REVISION, None));
    assert!(!info.engine_problem.is_empty());
}

#[tokio::test]
async fn info_lists_the_builds_that_run() {
    let (fake, go) = lasting();
    let agent = Agent::beside(Dockerd::graphdriver(fake.clone())).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let request = pb::BuildRequest { tags: vec!["app:1".to_owned()], load: true, ..build(&session.id) };
    let events = client.build(request).await.unwrap().into_inner();
    begun(&fake).await;
    let info = client.info(pb::InfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.builds[0].tags, ["docker.io/library/app:1"]);
    assert_eq!(info.engine.unwrap().image_store, "graphdriver");
    assert_eq!(info.disk.iter().map(|d| d.kind.as_str()).collect::<Vec<_>>(), ["images", "build cache"]);
    go.notify_one();
    let (_, report) = end(events).await;
    assert_eq!(report.unwrap().build_id, info.builds[0].id);
    assert_eq!(client.info(pb::InfoRequest {}).await.unwrap().into_inner().builds, []);
}

#[tokio::test]
async fn a_build_waits_for_its_engine_and_says_so_once() {
    let mut agent = Agent::start(Socket::unbound(), Settings::default(), false).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let mut events = client.build(build(&session.id)).await.unwrap().into_inner();
    let Some(Kind::Notice(notice)) = soon(events.message()).await.unwrap().unwrap().kind else { panic!() };
    assert!(notice.text.starts_with("waiting for the engine") && !notice.warning, "{notice:?}");
    agent.engine.start(BuildKit::new());
    let (events, report) = end(events).await;
    report.unwrap();
    // On a buildkitd without a push there is one thing to say of the plan.
    assert!(
        matches!(events.as_slice(), [Kind::Notice(pb::Notice { warning: true, .. }), Kind::Accepted(_)]),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_build_of_a_session_that_never_comes_fails_before_anybody_loses_patience() {
    let agent = Agent::beside(BuildKit::new()).await;
    let mut client = agent.client().await;
    tokio::time::pause();
    let start = Instant::now();
    let events = client.build(build(&SessionId(new_id()))).await.unwrap().into_inner();
    let failure = end(events).await.1.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(failure.next.contains("open Session first"), "{failure:?}");
}

#[tokio::test]
async fn a_build_may_come_before_the_session_that_it_names() {
    let agent = Agent::beside(BuildKit::new()).await;
    let mut client = agent.client().await;
    let id = SessionId(new_id());
    let events = client.build(build(&id)).await.unwrap().into_inner();
    let _session = lend(&client, &id, &[]).await;
    end(events).await.1.unwrap();
}

#[tokio::test]
async fn an_old_agent_does_not_leave_out_what_a_new_client_asks() {
    let agent = Agent::beside(BuildKit::new()).await;
    let mut client = agent.client().await;
    let revision = REVISION + 1;
    let tags = vec!["app:1".to_owned()];
    let statuses = [
        client.build(pb::BuildRequest { revision, ..build(&SessionId(new_id())) }).await.unwrap_err(),
        client.push(pb::PushRequest { revision, tags, ..pb::PushRequest::default() }).await.unwrap_err(),
        client.prune(pb::PruneRequest { revision, ..pb::PruneRequest::default() }).await.unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::InvalidArgument);
        let failure = wire::from_status(&status);
        assert!(failure.what.contains(&format!("needs revision {revision}")), "{failure:?}");
        assert!(failure.next.contains("update the agent"), "{failure:?}");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_hurt_nobody() {
    let agent = Agent::beside(BuildKit::new()).await;
    let mut client = agent.client().await;
    let id = SessionId(new_id());
    for request in [
        build(&SessionId("../../etc".to_owned())),
        pb::BuildRequest { tags: vec!["UPPER:1".to_owned()], ..build(&id) },
        pb::BuildRequest { cache_from: vec![String::new()], ..build(&id) },
    ] {
        let status = client.build(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    assert_eq!(client.push(pb::PushRequest::default()).await.unwrap_err().code(), Code::InvalidArgument);
    let (_, outgoing) = remora::session::pipe::<pb::SessionData>();
    assert_eq!(client.session(outgoing).await.unwrap_err().code(), Code::InvalidArgument);
    let session = lend_nothing(&client).await;
    end(client.build(build(&session.id)).await.unwrap().into_inner()).await.1.unwrap();
}

#[tokio::test]
async fn a_session_is_not_taken_over_by_another_of_its_name() {
    let config = |user: &str| format!(r#"{{"auths":{{"r":{{"username":"{user}","password":"p"}}}}}}"#);
    let fake = BuildKit::new().make(async |build: Build| {
        let mut auth =
            bollard_buildkit_proto::moby::filesync::v1::auth_client::AuthClient::new(build.session().await.channel);
        let request = bollard_buildkit_proto::moby::filesync::v1::CredentialsRequest { host: "r".to_owned() };
        match auth.credentials(request).await?.into_inner().username.as_str() {
            "first" => Ok(()),
            other => Err(Status::internal(format!("served by '{other}'"))),
        }
    });
    let agent = Agent::beside(fake).await;
    let (mut owner, thief) = (agent.client().await, agent.client().await);
    let id = SessionId(new_id());
    let _first = lend(&owner, &id, &[("config.json", &config("first"))]).await;
    end(owner.build(build(&id)).await.unwrap().into_inner()).await.1.unwrap();
    let mut second = lend(&thief, &id, &[("config.json", &config("second"))]).await;
    // It is turned away, and the first one serves on.
    soon(&mut second.served).await.unwrap();
    end(owner.build(build(&id)).await.unwrap().into_inner()).await.1.unwrap();
}

#[tokio::test]
async fn a_client_that_dies_takes_its_build_with_it() {
    let (fake, _go) = lasting();
    let agent = Agent::beside(fake.clone()).await;
    let client = agent.client().await;
    let session = lend_nothing(&client).await;
    let events = client.clone().build(build(&session.id)).await.unwrap();
    begun(&fake).await;
    drop((events, session, client));
    fake.see(|seen| matches!(seen, Seen::Dropped { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_build_ends_with_the_session_that_it_needs() {
    let (fake, _go) = lasting();
    let agent = Agent::beside(fake.clone()).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let events = client.build(build(&session.id)).await.unwrap().into_inner();
    begun(&fake).await;
    drop(session);
    let failure = end(events).await.1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    fake.see(|seen| matches!(seen, Seen::Dropped { .. }).then_some(())).await;
}

// Draining.

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
    assert_eq!(wire::from_status(&refused).kind, FailureKind::Agent, "{refused:?}");
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
            freed.send(Ok(Default::default())).await.unwrap();
            wait.notified().await;
            freed.send(Ok(Default::default())).await.unwrap();
            tell.notify_one();
        }
    });
    (fake, go, done)
}

fn prune() -> pb::PruneRequest {
    pb::PruneRequest { wait_ms: millis(), ..pb::PruneRequest::default() }
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

// Who may call.

async fn asks(agent: &Agent, token: Option<&str>) -> Result<(), Status> {
    let mut request = tonic::Request::new(pb::InfoRequest {});
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.parse().unwrap());
    }
    agent.client().await.info(request).await.map(drop)
}

fn with_token() -> Settings {
    Settings { token: Some("open sesame".to_owned()), ..Settings::default() }
}

#[tokio::test]
async fn over_tcp_only_those_with_the_token_get_in() {
    let agent = Agent::start(Socket::unbound(), with_token(), true).await;
    for wrong in [None, Some(""), Some("open sesame"), Some("Bearer open"), Some("Bearer open sesame!")] {
        let status = asks(&agent, wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{wrong:?}");
        assert_eq!(wire::from_status(&status).kind, FailureKind::Policy);
    }
    asks(&agent, Some("Bearer open sesame")).await.unwrap();
    let client = agent.client().await;
    let stolen = client.clone().build(build(&SessionId(new_id()))).await.unwrap_err();
    assert_eq!(stolen.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_kubelet_probes_health_without_the_token() {
    // It has no way to show one, and health tells nothing but yes or no.
    let agent = Agent::start(Socket::unbound(), with_token(), true).await;
    let mut health = HealthClient::new(agent.channel().await);
    let answer = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn the_mode_of_a_unix_socket_is_its_token() {
    let agent = Agent::start(Socket::unbound(), with_token(), false).await;
    asks(&agent, None).await.unwrap();
}

// Pushes that are tried again.

#[tokio::test]
async fn a_push_that_came_too_fast_is_repeated_when_the_registry_wants_it() {
    use registry::{Answer, Fake};
    let registry = Fake::start(|_, _| Answer::new(429, "").with("retry-after", "0")).await;
    let pushes = std::sync::atomic::AtomicUsize::new(0);
    let dockerd = pushing(move |_| match pushes.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => lines(&[r#"{"error":"toomanyrequests: slow down"}"#], false),
        _ => lines(&[r#"{"aux":{"Digest":"sha256:abc"}}"#], false),
    });
    let agent = Agent::beside(dockerd).await;
    let tag = format!("{}/app:1", registry.host);
    let request = pb::PushRequest { tags: vec![tag.clone()], ..pb::PushRequest::default() };
    let (events, report) = end(agent.client().await.push(request).await.unwrap().into_inner()).await;
    assert_eq!(report.unwrap().digest, "sha256:abc");
    let [Kind::Notice(notice), Kind::Pushed(pushed)] = events.as_slice() else { panic!("{events:?}") };
    assert!(notice.warning && notice.text.contains("toomanyrequests: slow down, attempt 2 of 5 in "), "{notice:?}");
    assert_eq!((&pushed.reference, pushed.digest.as_str()), (&tag, "sha256:abc"));
    // The registry said how long to wait; less than a second, where it would have been half a second at least.
    assert_eq!(registry.seen().len(), 1);
}

#[tokio::test]
async fn a_registry_that_asks_for_an_hour_is_not_waited_for() {
    use registry::{Answer, Fake};
    let registry = Fake::start(|_, _| Answer::new(429, "").with("retry-after", "3600")).await;
    let dockerd = pushing(|_| lines(&[r#"{"error":"toomanyrequests: slow down"}"#], false));
    let agent = Agent::beside(dockerd).await;
    let tags = vec![format!("{}/app:1", registry.host)];
    let request = pb::PushRequest { tags, ..pb::PushRequest::default() };
    let failure = end(agent.client().await.push(request).await.unwrap().into_inner()).await.1.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Registry);
    assert!(failure.next.contains("try again in 3600 s"), "{failure:?}");
}

#[tokio::test]
async fn a_tag_that_the_engine_lacks_is_not_tried_again() {
    let dockerd = pushing(|_| lines(&[r#"{"error":"An image does not exist locally with the tag: a"}"#], false));
    let agent = Agent::beside(dockerd).await;
    let request = pb::PushRequest { tags: vec!["r.example.com/a:1".to_owned()], ..pb::PushRequest::default() };
    let (events, report) = end(agent.client().await.push(request).await.unwrap().into_inner()).await;
    let failure = report.unwrap_err();
    assert_eq!((failure.kind, events.len()), (FailureKind::Usage, 0));
    assert_eq!(failure.what, "the engine holds no image r.example.com/a:1");
}

#[tokio::test]
async fn a_step_that_fails_reaches_the_client_with_all_that_is_known() {
    let fake = BuildKit::new().make(async |build| {
        use super::progress::{log, of, vertex};
        let step = "[1/1] RUN make";
        build.tell(of([vertex(step, 1, None)])).await;
        build.tell(log(step, "no rule\n")).await;
        let mut failed = vertex(step, 1, Some(2));
        failed.error = "exit code: 2".to_owned();
        build.tell(of([failed])).await;
        Err(Status::unknown("failed to solve: process \"make\" did not complete successfully: exit code: 2"))
    });
    let agent = Agent::beside(fake).await;
    let mut client = agent.client().await;
    let session = agent::lend_nothing(&client).await;
    let status = {
        let mut events = client.build(build(&session.id)).await.unwrap().into_inner();
        loop {
            if let Err(status) = soon(events.message()).await {
                break status;
            }
        }
    };
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("exit code: 2"), "what a stock client shows: {status:?}");
    let failure = wire::from_status(&status);
    assert_eq!((failure.step.as_str(), failure.log), ("[1/1] RUN make", vec!["no rule".to_owned()]));
}
