//! Registries that are asked for cache before a build, and are of no help.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use remora::{
    pb::{self, event::Kind},
    service::Settings,
};
use tonic::Status;

use super::{
    agent::{Agent, end, lend_nothing},
    caching::{built_by, done, internal, of_main, pushed, refs_written, running, warnings, written_to},
    defining::definition,
    dockerd::Dockerd,
    fake::BuildKit,
    merging::{holding, imports},
    retrying::{
        DIGEST,
        registry::{Answer, Fake},
        taking,
    },
    rig::sha256,
};

/// As Docker Hub and GitHub answer for a repository to which nobody has pushed yet.
#[tokio::test]
async fn the_first_push_to_a_registry_that_denies_what_is_not_there_writes_its_cache() {
    let asked = AtomicUsize::new(0);
    let registry = Fake::start(move |_, request| {
        let is_target = request.path.ends_with("/manifests/cache_main_stage-1");
        match request.method.as_str() {
            "GET" if is_target && asked.fetch_add(1, Ordering::Relaxed) > 0 => {
                Answer::manifest("application/vnd.oci.image.manifest.v1+json", "{}")
            }
            "GET" | "HEAD" => Answer::new(403, r#"{"errors":[{"code":"DENIED","message":"denied"}]}"#),
            _ => taking(0, request),
        }
    })
    .await;
    let agent = Agent::beside(Dockerd::containerd(running())).await;
    let (events, report) = built_by(&agent, &registry).await;
    assert_eq!((refs_written(&report.unwrap()).len(), warnings(&events)), (3, vec![]), "{events:?}");
}

/// The engine imports a cache whose layers it is not given: it learns that when a step needs them.
#[tokio::test]
async fn a_cache_whose_layers_are_gone_fails_no_build() {
    let registry = Fake::start(holding(None)).await;
    let solves = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&solves);
    let fake = BuildKit::new().definition(definition()).export(move |build| {
        let lacks = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if lacks {
                let gone = format!("failed to copy: httpReadSeeker: failed open: {}: not found", sha256(b"builder"));
                return Err(Status::unknown(gone));
            }
            build.tell(done(false)).await;
            Ok(pushed())
        }
    });
    let (events, report) = built_by(&Agent::beside(Dockerd::containerd(fake.clone())).await, &registry).await;
    assert_eq!(report.unwrap().digest, DIGEST);
    let [warning, ..] = warnings(&events)[..] else { panic!("{events:?}") };
    assert!(warning.contains("begins anew without it") && warning.contains("not found"), "{warning}");
    assert_eq!(imports(&fake), [""; 0], "what is not there is not asked for again");
    // The steps of the second attempt are steps of their own.
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| if let Kind::StepStarted(step) = event { Some(step.step) } else { None })
        .collect();
    assert_eq!(steps.len(), steps.iter().collect::<std::collections::BTreeSet<_>>().len(), "{steps:?}");
}

/// It accepts connections, and that is all.
#[tokio::test]
async fn a_registry_that_never_answers_costs_a_build_its_deadline_and_no_more() {
    mute(|request| request).await;
    // What is not read is not waited for either when it is to be written.
    mute(|request| pb::BuildRequest { no_cache: true, ..request }).await;
}

async fn mute(asked: fn(pb::BuildRequest) -> pb::BuildRequest) {
    let registry = Fake::start(|_, _| Answer::silence()).await;
    let fake = running();
    let deadline = Duration::from_secs(2);
    let settings = Settings { cache_deadline: deadline, ..Settings::default() };
    let agent = Agent::with(Dockerd::containerd(fake.clone()), settings).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let request = asked(of_main(&registry, &session));
    let (events, report) = end(client.build(request).await.unwrap().into_inner()).await;
    let report = report.unwrap();
    // How close it is to the deadline is a measure (benches/peers.sh): here the machine may be busy.
    assert!((1900..9000).contains(&report.elapsed_ms) && refs_written(&report).is_empty(), "{report:?}");
    let [warning] = warnings(&events)[..] else { panic!("{events:?}") };
    assert!(warning.contains(&registry.host) && warning.contains("no answer within 1.9 s"), "{warning}");
    assert_eq!(internal(&fake), [], "what cannot be read is not written either");
}

#[tokio::test]
async fn a_registry_that_sends_more_than_a_build_may_read_is_named_and_the_build_has_its_cache() {
    let written_to = written_to();
    let registry = Fake::start(move |number, request| {
        if request.path.contains("/big/") {
            Answer::manifest("application/vnd.oci.image.manifest.v1+json", &" ".repeat(4 << 20))
        } else {
            written_to(number, request)
        }
    })
    .await;
    let settings = Settings { cache_deadline: Duration::from_secs(30), ..Settings::default() };
    let agent = Agent::with(Dockerd::containerd(running()), settings).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let cache_from = (0..40).map(|number| format!("{}/big:{number}", registry.host)).collect();
    let request = pb::BuildRequest { cache_from, ..of_main(&registry, &session) };
    let (events, report) = end(client.build(request).await.unwrap().into_inner()).await;
    assert_eq!(refs_written(&report.unwrap()).len(), 3, "{events:?}");
    let [warning] = warnings(&events)[..] else { panic!("{events:?}") };
    assert!(warning.contains(&registry.host) && warning.contains("larger than 32 MiB in all"), "{warning}");
}
