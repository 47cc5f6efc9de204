//! How a build fails: what a person reads of it.

use std::{collections::HashMap, error::Error as _, sync::Arc};

use base64::Engine as _;
use bollard_buildkit_proto::{
    google::{protobuf::Any, rpc},
    moby::buildkit::v1::Vertex,
};
use prost::Message as _;
use remora::model::{Excerpt, Failure, FailureKind};
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::{
    fake::{BuildKit, one_worker},
    progress::{log, of, vertex},
    rig::{Rig, request},
};

const STEP: &str = "[build 2/3] RUN make";
const DOCKERFILE: &str = "FROM a\nRUN one\nRUN two\nRUN make\nRUN three\nRUN four\nRUN five\n";

/// The status that BuildKit answers where a line of the Dockerfile is at fault.
fn with_details(message: &str) -> Status {
    let any = |kind: &str, value: serde_json::Value| Any {
        type_url: format!("github.com/moby/buildkit/{kind}+json"),
        value: value.to_string().into_bytes(),
    };
    let data = base64::engine::general_purpose::STANDARD.encode(DOCKERFILE);
    let source = serde_json::json!({
        "info": { "filename": "docker/Dockerfile", "data": data },
        "ranges": [{ "start": { "line": 4 }, "end": { "line": 4 } }],
    });
    let vertex = serde_json::json!({ "digest": format!("digest of {STEP}") });
    let details = vec![any("errdefs.Vertex", vertex), any("errdefs.Source", source)];
    let status = rpc::Status { code: Code::Unknown as i32, message: message.to_owned(), details };
    Status::with_details(Code::Unknown, message, status.encode_to_vec().into())
}

/// One whose step writes three lines and fails, and whose frontend then fails so.
fn breaking(status: impl Fn() -> Status + Copy + Send + Sync + 'static) -> BuildKit {
    BuildKit::new().make(move |build| async move {
        build.tell(of([vertex("[build 1/3] FROM a", 1, Some(1)), vertex(STEP, 1, None)])).await;
        build.tell(log(STEP, "cc a.c\na.c:1: err")).await;
        build.tell(log(STEP, "or: no\nmake: *** [all] Error 2\n")).await;
        build.tell(of([Vertex { error: "exit code: 2".to_owned(), ..vertex(STEP, 1, Some(2)) }])).await;
        // Another step that was cut short by the first.
        let other = "[tests 1/1] RUN sleep";
        build.tell(of([Vertex { error: "context canceled".to_owned(), ..vertex(other, 1, Some(2)) }])).await;
        Err(status())
    })
}

async fn failure(fake: BuildKit) -> Failure {
    Rig::new(fake).await.build(&request()).await.0.unwrap_err()
}

/// What a frontend's error of this text becomes.
async fn failure_of(code: Code, text: &'static str) -> Failure {
    failure(BuildKit::new().make(move |_| async move { Err(Status::new(code, text)) })).await
}

fn assert_points_at_the_line(failure: &Failure) {
    assert_eq!(failure.kind, FailureKind::Build);
    assert_eq!(failure.what, format!("{STEP}: exit code: 2"), "the command once");
    assert_eq!(failure.step, STEP);
    assert_eq!(failure.log, ["cc a.c", "a.c:1: error: no", "make: *** [all] Error 2"]);
    let excerpt = Excerpt {
        file: "docker/Dockerfile".to_owned(),
        first_line: 2,
        lines: ["RUN one", "RUN two", "RUN make", "RUN three", "RUN four"].map(ToOwned::to_owned).to_vec(),
        from_line: 4,
        to_line: 4,
    };
    assert_eq!(failure.excerpt.as_ref(), Some(&excerpt));
}

const EXIT: &str = "failed to solve: process \"make\" did not complete successfully: exit code: 2";

#[tokio::test]
async fn a_step_that_fails_is_shown_with_its_line_and_its_last_words() {
    assert_points_at_the_line(&failure(breaking(|| with_details(EXIT))).await);
}

#[tokio::test]
async fn the_line_is_not_lost_when_the_outer_solve_fails_first() {
    // The return is never answered, and the outer solve repeats the message alone.
    let fake = breaking(|| with_details(EXIT)).returned(async |_| std::future::pending().await);
    assert_points_at_the_line(&failure(fake).await);
}

#[tokio::test]
async fn an_engine_without_details_still_names_the_step() {
    // As 20.10 does.
    let failure = failure(breaking(|| Status::unknown(EXIT))).await;
    assert_eq!((failure.kind, failure.step.as_str()), (FailureKind::Build, STEP));
    assert_eq!(failure.what, format!("{STEP}: exit code: 2"), "the command once");
    assert_eq!(failure.log.last().unwrap(), "make: *** [all] Error 2");
    assert_eq!(failure.excerpt, None);
}

#[tokio::test]
async fn details_that_make_no_sense_cost_nothing_but_themselves() {
    let garbage = || Status::with_details(Code::Unknown, EXIT, vec![0xff, 0, 1, 2].into());
    assert_eq!(failure(breaking(garbage)).await.step, STEP);
    let strange = || {
        let source = serde_json::json!({ "info": { "data": "not base64 !" }, "ranges": [{ "start": { "line": 99 } }] });
        let any = |value: Vec<u8>| Any { type_url: "errdefs.Source+json".to_owned(), value };
        let details = vec![any(b"{".to_vec()), any(source.to_string().into_bytes())];
        let status = rpc::Status { code: 2, message: EXIT.to_owned(), details };
        Status::with_details(Code::Unknown, EXIT, status.encode_to_vec().into())
    };
    let failure = failure(breaking(strange)).await;
    assert_eq!((failure.step.as_str(), failure.excerpt), (STEP, None));
}

#[tokio::test]
async fn lines_beyond_the_files_end_are_not_shown() {
    let beyond = || {
        let source = serde_json::json!({
            "info": { "filename": "Dockerfile", "data": "RlJPTSBhCg==" },
            "ranges": [{ "start": { "line": 4_000_000_000_u32 }, "end": { "line": 1 } }],
        });
        let any = Any { type_url: "errdefs.Source+json".to_owned(), value: source.to_string().into_bytes() };
        let status = rpc::Status { code: 2, message: EXIT.to_owned(), details: vec![any] };
        Status::with_details(Code::Unknown, EXIT, status.encode_to_vec().into())
    };
    assert_eq!(failure(breaking(beyond)).await.excerpt, None);
}

#[tokio::test]
async fn a_registry_at_fault_is_not_taken_for_the_dockerfile() {
    for text in [
        "failed to solve: r.example.com/base:1: failed to resolve source metadata for r.example.com/base:1: not found",
        "failed to authorize: failed to fetch oauth token: unexpected status from POST: 401 Unauthorized",
        "pull access denied, repository does not exist or may require authorization",
        "failed to solve with frontend gateway.v0: pulling from host r.example.com failed with status code [manifests 1]: 503",
        "failed to copy: httpReadSeeker: failed open: unexpected status code 429",
        "failed to do request: Head \"https://r.example.com/v2/\": http: server gave HTTP response to HTTPS client",
        "failed to do request: Head \"https://r.example.com/v2/\": dial tcp: connection refused",
    ] {
        let failure = failure_of(Code::Unknown, text).await;
        assert_eq!(failure.kind, FailureKind::Registry, "{text}");
        assert!(!failure.next.is_empty(), "{text}");
        // Who has a registry of his own on port 80 is told what it needs.
        assert_eq!(failure.next.contains("--insecure-registry"), text.contains("https://"), "{text}: {}", failure.next);
    }
}

/// The engine quotes the command of a RUN that failed, and its words are anybody's.
#[tokio::test]
async fn a_run_that_speaks_of_registries_is_the_builds_fault() {
    for text in [
        r#"process "/bin/sh -c echo 'failed to push: 503'; exit 1" did not complete successfully: exit code: 1"#,
        r#"process "/bin/sh -c echo network.host is not allowed; exit 1" did not complete successfully: exit code: 1"#,
        "executor failed running [/bin/sh -c echo toomanyrequests; exit 1]: exit code: 1",
    ] {
        assert_eq!(failure_of(Code::Unknown, text).await.kind, FailureKind::Build, "{text}");
    }
}

#[tokio::test]
async fn a_push_that_fails_while_exporting_is_the_registrys_fault() {
    let fake = BuildKit::new().export(async |_| {
        Err(Status::unknown("failed to push r.example.com/app:1: unexpected status from PUT request: 500"))
    });
    let failure = failure(fake).await;
    assert_eq!(failure.kind, FailureKind::Registry);
    assert!(failure.what.contains("r.example.com/app:1"), "{failure:?}");
}

#[tokio::test]
async fn a_dockerfile_at_fault_says_what_to_do() {
    for (text, next) in [
        ("failed to read dockerfile: open Dockerfile: no such file or directory", "-f"),
        ("target stage \"x\" could not be found", "--target"),
        ("dockerfile parse error on line 3: unknown instruction: RUNN", "correct the line"),
        ("the Dockerfile cannot be empty", "FROM"),
    ] {
        let failure = failure_of(Code::Unknown, text).await;
        assert_eq!(failure.kind, FailureKind::Build, "{text}");
        assert!(failure.next.contains(next), "{failure:?}");
    }
}

#[tokio::test]
async fn an_engine_that_dies_in_the_middle_is_not_taken_for_a_broken_dockerfile() {
    let fake = BuildKit::new().make(async |build| {
        build.tell(of([vertex(STEP, 1, None)])).await;
        std::future::pending().await
    });
    let mut rig = Rig::new(fake.clone()).await;
    let request = request();
    let dies = async {
        fake.see(|seen| matches!(seen, super::fake::Seen::Frontend { .. }).then_some(())).await;
        fake.state.sessions.subscribe().wait_for(|all| !all.is_empty()).await.unwrap();
    };
    let builder = rig.builder();
    let client = super::rig::Client::lend(&[]).await;
    let (events, _received) = tokio::sync::mpsc::channel(64);
    let building = tokio::spawn(async move { builder.build("b", &request, &client.lent, &events).await });
    dies.await;
    rig.socket.stop();
    let failure = super::rig::soon(building).await.unwrap().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Engine, "{failure:?}");
    assert!(failure.source().is_none() && failure.next.contains("engine's own log"), "{failure:?}");
}

#[tokio::test]
async fn an_engine_that_answers_is_not_at_fault_for_what_it_asked_in_vain() {
    let failure = failure_of(Code::Unavailable, "frontend grpc server closed unexpectedly").await;
    assert_eq!(failure.kind, FailureKind::Build);
    assert!(failure.next.contains("the engine itself answers"), "{failure:?}");
    let failure = failure_of(Code::Unavailable, "unexpected status from HEAD request: 503 Service Unavailable").await;
    assert_eq!(failure.kind, FailureKind::Registry);
}

const SHUTTING_DOWN: &str = "server is shutting down";

#[tokio::test]
async fn an_engine_that_does_not_answer_any_more_is_at_fault() {
    let fake = BuildKit::new()
        .workers(async |number| if number == 1 { Ok(one_worker()) } else { Err(Status::unavailable(SHUTTING_DOWN)) })
        .make(async |_| Err(Status::unavailable(SHUTTING_DOWN)));
    assert_eq!(failure(fake).await.kind, FailureKind::Engine);
}

#[tokio::test]
async fn an_engine_that_takes_no_new_connection_is_shutting_down() {
    let (leave, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&leave), Arc::clone(&left));
    let fake = BuildKit::new().make(move |_| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Err(Status::unavailable(SHUTTING_DOWN))
        }
    });
    let rig = Rig::new(fake).await;
    let request = request();
    let leaves = async {
        leave.notified().await;
        rig.socket.deafen();
        left.notify_one();
    };
    let ((built, _), ()) = tokio::join!(rig.build(&request), leaves);
    assert_eq!(built.unwrap_err().kind, FailureKind::Engine);
}

#[tokio::test]
async fn a_build_that_the_engine_refuses_outright_fails_with_its_reason() {
    // The outer solve never gets as far as to wait for a result; the frontend would wait for ever.
    let fake = BuildKit::new()
        .make(async |_| std::future::pending().await)
        .refuse(|| Status::invalid_argument("network.host is not allowed"));
    let failure = failure(fake).await;
    assert_eq!(failure.what, "network.host is not allowed");
}

#[tokio::test]
async fn an_exporter_that_answers_nothing_is_no_failure() {
    let fake = BuildKit::new().export(async |_| Ok(HashMap::new()));
    let outcome = Rig::new(fake).await.build(&request()).await.0.unwrap();
    assert!(outcome.exporter.is_empty());
}
