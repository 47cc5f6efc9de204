//! Pushes through Docker's REST API, and what it may answer.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::Engine as _;
use bytes::Bytes;
use http::Response;
use remora::{
    engine::PushError,
    model::{Credential, Event, FailureKind, Reference},
};
use tokio::sync::mpsc;

use super::{
    dockerd::{Asked, Body, Dockerd, json, lines, streamed},
    fake::BuildKit,
    rig::{Rig, soon},
};

const TAG: &str = "r.example.com/team/app:1";

/// An engine that answers pushes so.
pub(crate) fn pushing(answer: impl Fn(Asked) -> Response<Body> + Send + Sync + 'static) -> Dockerd {
    let answer = Arc::new(answer);
    Dockerd::graphdriver(BuildKit::new()).rest(move |asked| {
        let answer = Arc::clone(&answer);
        async move { asked.path.contains("/push").then(|| answer(asked)) }
    })
}

async fn push(rig: &Rig, credential: &Credential) -> (Result<Option<String>, PushError>, Vec<Event>) {
    let tag: Reference = TAG.parse().unwrap();
    let (events, mut received) = mpsc::channel(64);
    let pushed = soon(rig.engine.push(&tag, credential, &events)).await;
    drop(events);
    let mut all = Vec::new();
    while let Some(event) = received.recv().await {
        all.push(event);
    }
    (pushed, all)
}

/// What a push comes to that is answered so.
async fn answered(
    answer: impl Fn() -> Response<Body> + Send + Sync + 'static,
) -> (Result<Option<String>, PushError>, Vec<Event>) {
    push(&Rig::new(pushing(move |_| answer())).await, &Credential::Anonymous).await
}

#[track_caller]
fn refused(pushed: Result<Option<String>, PushError>) -> String {
    match pushed {
        Err(PushError::Registry { tag, text }) if tag.to_string() == TAG => text,
        other => panic!("{other:?}"),
    }
}

const REFERS: &str = r#"{"status":"The push refers to repository [r.example.com/team/app]"}"#;
const MOVES: &str =
    r#"{"status":"Pushing","progressDetail":{"current":3,"total":9},"progress":"[=> ]","id":"5f70bf18a086"}"#;
const DIGEST: &str = r#"{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:abc","Size":528}}"#;

#[tokio::test]
async fn a_push_shows_its_bytes_and_ends_with_a_digest() {
    let (pushed, events) =
        answered(|| lines(&[REFERS, MOVES, r#"{"status":"1: digest: sha256:abc size: 528"}"#, DIGEST], false)).await;
    assert_eq!(pushed.unwrap().as_deref(), Some("sha256:abc"));
    let moved = Event::PushProgress {
        reference: TAG.to_owned(),
        layer: "5f70bf18a086".to_owned(),
        state: "Pushing".to_owned(),
        current: 3,
        total: 9,
    };
    assert_eq!(events, [moved]);
}

#[tokio::test]
async fn containerds_store_tells_no_digest() {
    assert_eq!(answered(|| lines(&[REFERS, MOVES], false)).await.0.unwrap(), None);
}

#[tokio::test]
async fn the_engine_pushes_with_the_clients_login() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let rig = Rig::new(pushing(move |asked| {
        noted.lock().unwrap().push(asked);
        lines(&[DIGEST], false)
    }))
    .await;
    let alice = Credential::Basic { username: "alice".to_owned(), secret: "a?secret>".to_owned() };
    for credential in [alice, Credential::IdentityToken("token".to_owned()), Credential::Anonymous] {
        push(&rig, &credential).await.0.unwrap();
    }
    let asked = asked.lock().unwrap();
    let auth = |asked: &Asked| -> serde_json::Value {
        let header = base64::engine::general_purpose::URL_SAFE.decode(&asked.headers["x-registry-auth"]).unwrap();
        serde_json::from_slice(&header).unwrap()
    };
    let server = "r.example.com";
    assert_eq!(
        auth(&asked[0]),
        serde_json::json!({ "username": "alice", "password": "a?secret>", "serveraddress": server })
    );
    assert_eq!(auth(&asked[1]), serde_json::json!({ "identitytoken": "token", "serveraddress": server }));
    assert_eq!(auth(&asked[2]), serde_json::json!({}));
    assert_eq!(asked[0].path, "/images/r.example.com/team/app/push?tag=1");
}

#[tokio::test]
async fn a_refusal_in_the_middle_is_not_taken_for_success() {
    let denied = r#"{"errorDetail":{"message":"denied: no"},"error":"denied: no"}"#;
    let (pushed, events) = answered(move || lines(&[REFERS, MOVES, denied], false)).await;
    assert_eq!((refused(pushed).as_str(), events.len()), ("denied: no", 1));
}

#[tokio::test]
async fn a_tag_that_the_engine_lacks_is_told_apart_from_a_registrys_refusal() {
    // 20.10 and newer graphdriver stores, the containerd store, and a tag of an image that has others.
    for text in
        ["An image does not exist locally with the tag: r.example.com/team/app", "tag does not exist: team/app:1"]
    {
        let error = format!(r#"{{"errorDetail":{{"message":"{text}"}},"error":"{text}"}}"#);
        let (pushed, _) = answered(move || lines(&[REFERS, &error], false)).await;
        assert!(matches!(&pushed, Err(PushError::Unknown { tag }) if tag.to_string() == TAG), "{pushed:?}");
    }
    for body in [r#"{"message":"No such image"}"#, "404 page not found"] {
        let (pushed, _) = answered(move || json(404, body)).await;
        assert!(matches!(pushed, Err(PushError::Unknown { .. })), "{pushed:?}");
    }
}

#[tokio::test]
async fn a_registry_without_the_repository_is_not_an_image_that_the_engine_lacks() {
    for text in ["name unknown: repository does not exist", "denied: repository does not exist or may require login"] {
        let error = format!(r#"{{"errorDetail":{{"message":"{text}"}},"error":"{text}"}}"#);
        assert_eq!(refused(answered(move || lines(&[&error], false)).await.0), text);
    }
}

#[tokio::test]
async fn an_engine_that_refuses_at_once_is_heard() {
    // It ends its messages with a newline.
    let (pushed, _) = answered(|| json(500, "{\"message\":\"Get https://r.example.com/v2/: x509: no\"}\n")).await;
    assert_eq!(refused(pushed), "Get https://r.example.com/v2/: x509: no");
    let (pushed, _) = answered(|| json(502, "<html>")).await;
    assert_eq!(refused(pushed), "502 Bad Gateway");
}

#[tokio::test]
async fn a_broken_line_costs_only_itself() {
    let (pushed, events) = answered(|| lines(&["{\"status\":", MOVES, "", "[]", "\u{fffd}", DIGEST], false)).await;
    assert_eq!((pushed.unwrap().as_deref(), events.len()), (Some("sha256:abc"), 1));
}

#[tokio::test]
async fn lines_may_come_in_pieces() {
    let (pushed, _) = answered(|| {
        let (pieces, response) = streamed();
        tokio::spawn(async move {
            for byte in format!("{MOVES}\r\n{DIGEST}").into_bytes() {
                drop(pieces.send(Ok(Bytes::from(vec![byte]))).await);
            }
        });
        response
    })
    .await;
    assert_eq!(pushed.unwrap().as_deref(), Some("sha256:abc"), "the last line needs no end");
}

#[tokio::test]
async fn an_engine_that_dies_in_the_middle_is_not_taken_for_success() {
    let (pushed, _) = answered(|| lines(&[REFERS, MOVES, DIGEST], true)).await;
    let Err(PushError::Engine(failure)) = pushed else { panic!("{pushed:?}") };
    assert_eq!(failure.kind, FailureKind::Engine);
}

#[tokio::test]
async fn an_endless_line_ends_the_push_and_not_the_agent() {
    let rig = Rig::new(pushing(|_| {
        let (pieces, response) = streamed();
        tokio::spawn(async move {
            // Until nobody takes it any more.
            while pieces.send(Ok(Bytes::from(vec![b' '; 64 << 10]))).await.is_ok() {}
        });
        response
    }))
    .await;
    let (pushed, _) = push(&rig, &Credential::Anonymous).await;
    let Err(PushError::Engine(failure)) = pushed else { panic!("{pushed:?}") };
    assert!(failure.what.contains("a line of more than"), "{failure:?}");
    rig.socket.connections(1).await;
}

#[tokio::test]
async fn a_push_that_nobody_wants_stops() {
    let (began, mut waiting) = mpsc::channel(1);
    let rig = Rig::new(pushing(move |_| {
        let (pieces, response) = streamed();
        began.try_send(pieces).unwrap();
        response
    }))
    .await;
    let pieces = tokio::select! {
        (pushed, _) = push(&rig, &Credential::Anonymous) => panic!("{pushed:?}"),
        pieces = waiting.recv() => pieces.unwrap(),
    };
    // The engine notices when it next has something to say.
    soon(async { while pieces.send(Ok::<_, io::Error>(Bytes::from(format!("{MOVES}\r\n")))).await.is_ok() {} }).await;
    rig.socket.connections(1).await;
}

#[tokio::test]
async fn a_buildkitd_has_nothing_to_push_and_says_so() {
    let (pushed, _) = push(&Rig::new(BuildKit::new()).await, &Credential::Anonymous).await;
    let Err(PushError::Engine(failure)) = pushed else { panic!("{pushed:?}") };
    assert_eq!(failure.kind, FailureKind::Usage);
    assert!(failure.what.contains("standalone buildkitd"), "{failure:?}");
}
