//! Images on their way to a registry: what is pushed, what is tried again, and what is not.

use std::sync::atomic::{AtomicUsize, Ordering};

use remora::{
    model::{Failure, FailureKind},
    pb::{self, event::Kind},
};
use tonic::Status;

use self::registry::{Answer, Fake};
use super::{
    agent::{Agent, build, end, lend_nothing},
    dockerd::{Dockerd, lines},
    fake::{BuildKit, Seen},
    push::pushing,
};

#[path = "../registry/fake.rs"]
#[allow(dead_code, reason = "the tests of the registry room use the rest")]
pub(crate) mod registry;

#[tokio::test]
async fn a_push_that_came_too_fast_is_repeated_when_the_registry_wants_it() {
    let registry = Fake::start(|_, _| Answer::new(429, "").with("retry-after", "0")).await;
    let count = AtomicUsize::new(0);
    let dockerd = pushing(move |_| match count.fetch_add(1, Ordering::Relaxed) {
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
    assert_eq!((failure.kind, events.len()), (FailureKind::NotFound, 0));
    assert_eq!(failure.what, "the engine holds no image r.example.com/a:1");
}

/// What the registry keeps as the image's manifest.
pub(crate) const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A registry that takes every tag.
pub(crate) fn taking(_: usize, request: &registry::Seen) -> Answer {
    match request.method.as_str() {
        "PUT" => Answer::new(201, ""),
        _ => Answer::manifest("application/vnd.oci.image.manifest.v1+json", "{}"),
    }
}

pub(crate) fn put(registry: &Fake) -> Vec<String> {
    let mut put: Vec<_> = registry.seen().into_iter().filter(|seen| seen.method == "PUT").map(|s| s.path).collect();
    put.sort();
    put
}

#[tokio::test]
async fn several_tags_of_a_repository_are_one_push() {
    let registry = Fake::start(taking).await;
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let pushes = std::sync::Arc::clone(&count);
    let agent = Agent::beside(pushing(move |asked| {
        assert!(asked.path.ends_with("/app/push?tag=1"), "{}", asked.path);
        pushes.fetch_add(1, Ordering::Relaxed);
        lines(&[&format!(r#"{{"aux":{{"Digest":"{DIGEST}"}}}}"#)], false)
    }))
    .await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let tags = ["1", "2", "latest"].map(|tag| format!("{}/app:{tag}", registry.host)).to_vec();
    let request = pb::BuildRequest { tags: tags.clone(), push: true, ..build(&session.id) };
    let (events, report) = end(client.build(request).await.unwrap().into_inner()).await;
    let report = report.unwrap();
    assert_eq!((report.digest.as_str(), &report.tags), (DIGEST, &tags));
    // What a graphdriver store answers to the export is the image's id.
    assert_eq!(report.image_id, "sha256:abc");
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(put(&registry), ["/v2/app/manifests/2", "/v2/app/manifests/latest"]);
    let told = events.iter().filter(|event| matches!(event, Kind::Pushed(told) if told.digest == DIGEST));
    assert_eq!(told.count(), 3);
}

/// A containerd store whose first push fails so.
fn stumbling(text: &'static str) -> BuildKit {
    let count = AtomicUsize::new(0);
    BuildKit::new().export(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                0 => Err(Status::unknown(text)),
                _ => Ok([("containerimage.digest".to_owned(), DIGEST.to_owned())].into()),
            }
        }
    })
}

async fn build_and_push(fake: &BuildKit, registry: &Fake) -> (Vec<Kind>, Result<pb::Report, Failure>) {
    let agent = Agent::beside(Dockerd::containerd(fake.clone())).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let tags = vec![format!("{}/app:1", registry.host)];
    let request = pb::BuildRequest { tags, push: true, ..build(&session.id) };
    end(client.build(request).await.unwrap().into_inner()).await
}

#[tokio::test]
async fn a_solve_whose_push_came_too_fast_is_repeated_under_another_id() {
    let registry = Fake::start(|_, _| Answer::new(429, "").with("retry-after", "0")).await;
    let fake = stumbling("failed to push r/app:1: unexpected status from PUT request: 429 Too Many Requests");
    let (events, report) = build_and_push(&fake, &registry).await;
    assert_eq!(report.unwrap().digest, DIGEST);
    let ids: Vec<_> = fake
        .seen()
        .into_iter()
        .filter_map(|s| if let Seen::Outer { request, .. } = s { Some(request.r#ref) } else { None })
        .collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    let said = events.iter().any(|e| matches!(e, Kind::Notice(notice) if notice.text.contains("attempt 2 of 5")));
    assert!(said, "{events:?}");
}

/// A build beside it, or the cache of its own stages, pushes the same layer to the same repository.
#[tokio::test]
async fn a_push_that_another_push_of_the_same_layer_got_in_the_way_of_is_repeated() {
    let registry = Fake::start(taking).await;
    let fake = stumbling(
        "failed to push r/app:1: errors:\nunknown: provided digest did not match uploaded content\n\
         unknown: blob unknown to registry - sha256:2acf",
    );
    let (_, report) = build_and_push(&fake, &registry).await;
    assert_eq!(report.unwrap().digest, DIGEST);
}

#[tokio::test]
async fn a_build_is_not_repeated_for_what_will_not_pass() {
    let registry = Fake::start(taking).await;
    for text in ["failed to push r/app:1: push access denied", "failed to copy: unexpected status code 503"] {
        let fake = stumbling(text);
        let (_, report) = build_and_push(&fake, &registry).await;
        assert_eq!(report.unwrap_err().kind, FailureKind::Registry, "{text}");
        assert_eq!(fake.seen().iter().filter(|seen| matches!(seen, Seen::Outer { .. })).count(), 1, "{text}");
    }
}
