//! The agent's API, as a stock gRPC client meets it.

use std::{sync::Arc, time::Duration};

use remora::{
    model::{FailureKind, REVISION, SessionId},
    pb::{self, build_agent_client::BuildAgentClient, event::Kind},
    service::Settings,
    wire,
};
use tokio::{io::AsyncReadExt as _, sync::Notify, time::Instant};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1 as reflection;

use super::{
    agent::{Agent, build, end, lend, lend_nothing},
    dockerd::Dockerd,
    fake::{Build, BuildKit, Seen},
    rig::{new_id, soon},
    socket::Socket,
};

/// A fake whose builds last until it is told to go on.
pub(crate) fn lasting() -> (BuildKit, Arc<Notify>) {
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

/// Returns when the engine is at work.
pub(crate) async fn begun(fake: &BuildKit) {
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
    assert_eq!(failure.kind, FailureKind::Agent);
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
    let session = lend_nothing(&client).await;
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
async fn of_strangers_no_long_message_is_read() {
    let agent = Agent::start(Socket::unbound(), with_token(), true).await;
    let channel = agent.channel().await;
    let long = "x".repeat(5000);
    let check = HealthCheckRequest { service: long.clone() };
    assert_eq!(HealthClient::new(channel.clone()).check(check).await.unwrap_err().code(), Code::OutOfRange);
    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(channel);
    let request = reflection::ServerReflectionRequest { host: long, message_request: None };
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    // Its stream ends, without a word.
    assert!(!matches!(answers.message().await, Ok(Some(_))));
}

#[tokio::test]
async fn those_who_connect_and_say_nothing_keep_nobody_out_and_do_not_stay() {
    let agent = Agent::start(Socket::unbound(), with_token(), true).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(soon(socket.connect(agent.tcp())).await.unwrap());
    }
    soon(asks(&agent, Some("Bearer open sesame"))).await.unwrap();
    tokio::time::pause();
    for connection in &mut silent {
        // It is closed, or reset where it was turned away.
        assert!(matches!(connection.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn who_talks_and_shows_nothing_that_counts_does_not_stay_either() {
    let agent = Agent::start(Socket::unbound(), with_token(), true).await;
    let mut known = agent.client().await;
    let ask = |token: &str| {
        let mut request = tonic::Request::new(pb::StateRequest::default());
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        request
    };
    soon(known.state(ask("Bearer open sesame"))).await.unwrap();
    let stranger = agent.channel().await;
    soon(HealthClient::new(stranger.clone()).check(HealthCheckRequest::default())).await.unwrap();
    soon(BuildAgentClient::new(stranger.clone()).state(ask("Bearer sesame"))).await.unwrap_err();
    tokio::time::pause();
    tokio::time::timeout(Duration::from_secs(60), stranger.ended()).await.expect("it stays");
    tokio::time::resume();
    soon(known.state(ask("Bearer open sesame"))).await.expect("who is known may stay, and came before");
}

#[tokio::test]
async fn a_token_that_is_set_is_asked_for_on_a_unix_socket_too() {
    let agent = Agent::start(Socket::unbound(), with_token(), false).await;
    assert_eq!(asks(&agent, None).await.unwrap_err().code(), Code::Unauthenticated);
}
