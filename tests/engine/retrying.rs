//! Pushes that are tried again, and those that are not.

use std::sync::atomic::{AtomicUsize, Ordering};

use remora::{
    model::FailureKind,
    pb::{self, event::Kind},
};

use self::registry::{Answer, Fake};
use super::{
    agent::{Agent, end},
    dockerd::lines,
    push::pushing,
};

#[path = "../registry/fake.rs"]
#[allow(dead_code, reason = "the tests of the registry room use the rest")]
mod registry;

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
    assert_eq!((failure.kind, events.len()), (FailureKind::Usage, 0));
    assert_eq!(failure.what, "the engine holds no image r.example.com/a:1");
}
