//! What goes on beside a build whose stages are known: layers that come early, and cache that is written.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bollard_buildkit_proto::moby::buildkit::v1::{SolveRequest, StatusResponse, Vertex};
use remora::{
    model::Failure,
    pb::{self, event::Kind},
};

use tonic::Status;

use super::{
    agent::{Agent, Session, build, end, lend_nothing},
    defining::{RESULT, RUN, definition, told},
    dockerd::{Asked, Dockerd, json, lines},
    fake::{BuildKit, Seen},
    progress::of,
    retrying::{
        DIGEST, put,
        registry::{Answer, Fake},
        taking,
    },
    rig::soon,
    socket::Daemon,
};

/// What the exporter answers.
pub(crate) fn pushed() -> HashMap<String, String> {
    [("containerimage.digest".to_owned(), DIGEST.to_owned())].into()
}

/// How the builder's step and the result were done: the first took long enough to be worth an export.
pub(crate) fn done(cached: bool) -> StatusResponse {
    let run = Vertex { cached, ..told(RUN, 1, Some(9)) };
    of([run, Vertex { cached, ..told(RESULT, 9, Some(9)) }])
}

/// An engine that runs every step, and has exported before it says so.
pub(crate) fn running() -> BuildKit {
    BuildKit::new().definition(definition()).export(async |build| {
        build.tell(done(false)).await;
        Ok(pushed())
    })
}

/// A registry that has nothing but what it is given.
pub(crate) fn empty(_: usize, request: &super::retrying::registry::Seen) -> Answer {
    match (request.method.as_str(), request.path.contains("cache")) {
        ("GET" | "HEAD", true) => {
            Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
        }
        _ => taking(0, request),
    }
}

/// The same, which has the target's cache by the time it is asked for it again: the engine has written it.
pub(crate) fn written_to() -> impl Fn(usize, &super::retrying::registry::Seen) -> Answer + Send + Sync + 'static {
    let asked = AtomicUsize::new(0);
    move |number, request| {
        let is_target = request.method == "GET" && request.path.ends_with("/manifests/cache_main_stage-1");
        if is_target && asked.fetch_add(1, Ordering::Relaxed) > 0 {
            return Answer::manifest("application/vnd.oci.image.manifest.v1+json", "{}");
        }
        empty(number, request)
    }
}

/// A build of the main branch that pushes, with everything that is said of it.
async fn built(daemon: impl Into<Daemon>, registry: &Fake) -> (Vec<Kind>, Result<pb::Report, Failure>) {
    built_by(&Agent::beside(daemon).await, registry).await
}

pub(crate) async fn built_by(agent: &Agent, registry: &Fake) -> (Vec<Kind>, Result<pb::Report, Failure>) {
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    end(client.build(of_main(registry, &session)).await.unwrap().into_inner()).await
}

pub(crate) fn of_main(registry: &Fake, session: &Session) -> pb::BuildRequest {
    let cache = pb::CacheOptions { scope: Some("main".to_owned()), ..pb::CacheOptions::default() };
    let tags = vec![format!("{}/app:1", registry.host)];
    pb::BuildRequest { revision: 2, tags, push: true, cache: Some(cache), ..build(&session.id) }
}

/// The solves beside the build that write something: those that are given all at once.
pub(crate) fn internal(fake: &BuildKit) -> Vec<SolveRequest> {
    let outer = |seen| if let Seen::Outer { request, .. } = seen { Some(*request) } else { None };
    fake.seen().into_iter().filter_map(outer).filter(|request| request.definition.is_some()).collect()
}

/// Refs that have cache exported to them, and names of images that are exported.
fn written(fake: &BuildKit) -> (Vec<String>, Vec<String>) {
    let internal = internal(fake);
    let caches = internal.iter().flat_map(|solve| solve.cache.clone().unwrap_or_default().exports);
    let caches = caches.filter(|export| export.r#type == "registry").map(|export| export.attrs["ref"].clone());
    let images = internal.iter().flat_map(|solve| solve.exporters.clone()).map(|export| export.attrs["name"].clone());
    (caches.collect(), images.collect())
}

pub(crate) fn warnings(events: &[Kind]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            Kind::Notice(notice) if notice.warning => Some(notice.text.as_str()),
            _ => None,
        })
        .collect()
}

/// The cache refs that a build wrote.
pub(crate) fn refs_written(report: &pb::Report) -> Vec<String> {
    let outcome = report.explanation.as_ref().and_then(|explanation| explanation.outcome.as_ref());
    outcome.map(|outcome| outcome.written.clone()).unwrap_or_default()
}

#[tokio::test]
async fn every_stage_that_ran_is_written_as_one_cache() {
    let (registry, fake) = (Fake::start(written_to()).await, running());
    let (events, report) = built(Dockerd::containerd(fake.clone()), &registry).await;
    let [builder, at, for_all] =
        ["cache_main_builder", "cache_main_stage-1", "caches_main"].map(|tag| format!("{}/app:{tag}", registry.host));
    assert_eq!(refs_written(&report.unwrap()), [&builder, &at, &for_all].map(String::clone));
    let places: Vec<_> = put(&registry).into_iter().filter(|path| path.contains("cache")).collect();
    let names = ["cache_main_builder", "caches_main"].map(|tag| format!("/v2/app/manifests/{tag}"));
    assert_eq!(places, names, "other builds find it there as well");
    assert_eq!(written(&fake), (vec![builder, at], vec![]), "the builder's goes ahead");
    let held =
        |seen: &Seen| matches!(seen, Seen::Evaluated { result } if result == "5 of the definition").then_some(());
    fake.see(held).await;
    assert_eq!(warnings(&events), [""; 0]);
}

#[tokio::test]
async fn what_the_engine_says_of_its_steps_after_the_export_still_counts() {
    let registry = Fake::start(empty).await;
    let fake = BuildKit::new().definition(definition()).export(async |build| {
        if !build.outer().await.internal {
            let last_words = build.last_words();
            tokio::spawn(async move {
                // By then the solve was answered.
                tokio::time::sleep(Duration::from_millis(50)).await;
                last_words.send(Ok(done(false))).await.unwrap();
            });
        }
        Ok(pushed())
    });
    let (_, report) = built(Dockerd::containerd(fake.clone()), &registry).await;
    let at = |stage: &str| format!("{}/app:cache_main_{stage}", registry.host);
    assert_eq!(refs_written(&report.unwrap()), ["builder", "stage-1"].map(at));
}

/// A graphdriver engine, and what its REST API was asked.
pub(crate) fn graphdriver(fake: &BuildKit) -> (Dockerd, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let dockerd = Dockerd::graphdriver(fake.clone()).rest(move |asked| {
        let answer = match asked.method.as_str() {
            "POST" if asked.path.contains("/push") => {
                Some(lines(&[&format!(r#"{{"aux":{{"Digest":"{DIGEST}"}}}}"#)], false))
            }
            "DELETE" => Some(json(200, "[]")),
            _ => None,
        };
        noted.lock().unwrap().push(asked);
        async { answer }
    });
    (dockerd, asked)
}

#[tokio::test]
async fn a_graphdriver_store_pushes_an_image_of_the_stage_and_keeps_no_name_of_it() {
    let (registry, fake) = (Fake::start(empty).await, running());
    let (dockerd, asked) = graphdriver(&fake);
    let (events, report) = built(dockerd, &registry).await;
    let report = report.unwrap();
    let at = |stage: &str| format!("{}/app:cache_main_{stage}", registry.host);
    assert_eq!(refs_written(&report), [at("builder"), at("stage-1")]);
    assert_eq!(written(&fake), (vec![], vec![at("builder")]));
    let asked: Vec<(String, String)> =
        asked.lock().unwrap().iter().map(|a| (a.method.clone(), a.path.clone())).collect();
    let was = |method: &str, end: &str| asked.iter().any(|(m, path)| m == method && path.ends_with(end));
    assert!(was("POST", "/app/push?tag=cache_main_builder"), "{asked:?}");
    assert!(was("DELETE", "/app:cache_main_builder"), "{asked:?}");
    assert!(!was("POST", "/app/push?tag=cache_main_stage-1"), "the target's is the image that was pushed: {asked:?}");
    assert_eq!(put(&registry), ["/v2/app/manifests/cache_main_stage-1"]);
    assert_eq!(warnings(&events), [""; 0]);
}

/// Else the one that is done first takes the name away, and the other's cache is not written.
#[tokio::test]
async fn two_builds_of_one_branch_have_the_name_of_a_stage_one_after_the_other() {
    let registry = Fake::start(empty).await;
    let (names, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (given, seen) = (Arc::clone(&names), Arc::clone(&most));
    let fake = BuildKit::new().definition(definition()).export(move |build| {
        let (given, seen) = (Arc::clone(&given), Arc::clone(&seen));
        async move {
            if build.outer().await.internal {
                seen.fetch_max(given.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            } else {
                build.tell(done(false)).await;
            }
            Ok(pushed())
        }
    });
    let dockerd = Dockerd::graphdriver(fake).rest(move |asked| {
        let (names, is_push) = (Arc::clone(&names), asked.path.contains("/push"));
        async move {
            if is_push {
                // Time for the other build to get in between.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return Some(lines(&[&format!(r#"{{"aux":{{"Digest":"{DIGEST}"}}}}"#)], false));
            }
            let is_removal = asked.method == "DELETE";
            is_removal.then(|| {
                names.fetch_sub(1, Ordering::SeqCst);
                json(200, "[]")
            })
        }
    });
    let agent = Agent::beside(dockerd).await;
    let (one, two) = tokio::join!(built_by(&agent, &registry), built_by(&agent, &registry));
    for (events, report) in [one, two] {
        assert_eq!(refs_written(&report.unwrap()).len(), 2);
        assert_eq!(warnings(&events), [""; 0]);
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stage_that_only_a_warm_engine_has_is_written() {
    let registry = Fake::start(empty).await;
    let fake = BuildKit::new().definition(definition()).export(async |build| {
        build.tell(done(true)).await;
        Ok(pushed())
    });
    let (_, report) = built(graphdriver(&fake).0, &registry).await;
    let at = |stage: &str| format!("{}/app:cache_main_{stage}", registry.host);
    assert_eq!(refs_written(&report.unwrap()), [at("stage-1"), at("builder")]);
}

#[tokio::test]
async fn cache_that_cannot_be_written_is_a_warning_and_no_failure() {
    let registry = Fake::start(empty).await;
    let fake = BuildKit::new().definition(definition()).export(async |build| {
        if build.outer().await.internal {
            return Err(Status::unknown("failed to push r/app:x: unexpected status: 403 Forbidden"));
        }
        build.tell(done(false)).await;
        Ok(pushed())
    });
    let (events, report) = built(Dockerd::containerd(fake.clone()), &registry).await;
    let report = report.unwrap();
    assert_eq!((report.digest.as_str(), refs_written(&report).len()), (DIGEST, 0));
    let why = &report.explanation.as_ref().unwrap().no_write_why;
    assert!(why.contains("403"), "the summary says no more that nothing was new: {why}");
    let at = format!("{}/app:cache_main_stage-1 was not written", registry.host);
    let [warning] = warnings(&events)[..] else { panic!("once: {events:?}") };
    assert!(warning.contains(&at) && warning.contains("403"), "{warning}");
}

#[tokio::test]
async fn an_image_of_a_stage_that_cannot_be_pushed_is_told_once() {
    let (registry, fake) = (Fake::start(empty).await, running());
    let pushes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pushes);
    let dockerd = Dockerd::graphdriver(fake.clone()).rest(move |asked| {
        let answer = match asked.method.as_str() {
            "POST" if asked.path.contains("tag=cache_main_builder") => {
                counted.fetch_add(1, Ordering::Relaxed);
                Some(lines(&[r#"{"error":"denied: no cache here"}"#], false))
            }
            "POST" if asked.path.contains("/push") => {
                Some(lines(&[&format!(r#"{{"aux":{{"Digest":"{DIGEST}"}}}}"#)], false))
            }
            "DELETE" => Some(json(200, "[]")),
            _ => None,
        };
        async { answer }
    });
    let (events, report) = built(dockerd, &registry).await;
    assert_eq!(refs_written(&report.unwrap()), [format!("{}/app:cache_main_stage-1", registry.host)]);
    assert_eq!(pushes.load(Ordering::Relaxed), 2, "what remains is tried once more");
    let [warning] = warnings(&events)[..] else { panic!("once: {events:?}") };
    assert!(warning.contains("app:cache_main_builder was not written") && warning.contains("denied"), "{warning}");
}

#[tokio::test]
async fn what_could_not_go_ahead_is_no_news_where_all_is_written_in_the_end() {
    let registry = Fake::start(written_to()).await;
    let fake = BuildKit::new().definition(definition()).export(async |build| {
        let exports = build.outer().await.cache.unwrap_or_default().exports;
        if exports.iter().any(|export| export.attrs.get("ref").is_some_and(|at| at.ends_with("cache_main_builder"))) {
            return Err(Status::unknown("failed to push r/app: unexpected status: 503"));
        }
        if !build.outer().await.internal {
            build.tell(done(false)).await;
        }
        Ok(pushed())
    });
    let (events, report) = built(Dockerd::containerd(fake.clone()), &registry).await;
    let names = ["cache_main_stage-1", "caches_main", "cache_main_builder"];
    assert_eq!(refs_written(&report.unwrap()), names.map(|tag| format!("{}/app:{tag}", registry.host)));
    assert_eq!(warnings(&events), [""; 0]);
}

#[tokio::test]
async fn a_build_that_fails_writes_no_cache_and_ends_at_once() {
    let registry = Fake::start(empty).await;
    let fake = BuildKit::new().definition(definition()).export(async |build| {
        if build.outer().await.internal {
            std::future::pending::<()>().await;
        }
        // The builder is being written when the result fails.
        build.tell(of([told(RUN, 1, Some(9))])).await;
        let writes = |seen: &Seen| matches!(seen, Seen::Outer { request, .. } if request.definition.is_some());
        let mut seen = build.state.seen.subscribe();
        soon(seen.wait_for(|seen| seen.iter().any(writes))).await.unwrap();
        Err(Status::unknown("process \"x\" did not complete successfully: exit code: 1"))
    });
    let (_, report) = built(Dockerd::containerd(fake.clone()), &registry).await;
    assert!(report.unwrap_err().what.contains("exit code: 1"));
    fake.see(|seen| matches!(seen, Seen::Dropped { .. }).then_some(())).await;
}

#[tokio::test]
async fn a_build_of_no_branch_does_nothing_beside_its_steps() {
    let (registry, fake) = (Fake::start(empty).await, running());
    let agent = Agent::beside(Dockerd::containerd(fake.clone())).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let tags = vec![format!("{}/app:1", registry.host)];
    let request = pb::BuildRequest { tags, push: true, ..build(&session.id) };
    let report = end(client.build(request).await.unwrap().into_inner()).await.1.unwrap();
    assert_eq!((refs_written(&report).len(), internal(&fake).len()), (0, 0));
}

/// The final stage's base comes while the builder's step runs, and a registry that does not give it hurts nobody.
#[tokio::test]
async fn layers_that_are_needed_later_come_while_a_step_runs() {
    let registry = Fake::start(written_to()).await;
    let fake =
        BuildKit::new().definition(definition()).load(async |_| Err(Status::unknown("503"))).export(async |build| {
            if !build.outer().await.internal {
                build.tell(of([told(RUN, 1, None)])).await;
                let mut seen = build.state.seen.subscribe();
                let early = |seen: &Seen| matches!(seen, Seen::Loaded { result } if result == "2 of the definition");
                soon(seen.wait_for(|seen| seen.iter().any(early))).await.unwrap();
                build.tell(done(false)).await;
            }
            Ok(pushed())
        });
    let (events, report) = built(Dockerd::containerd(fake.clone()), &registry).await;
    report.unwrap();
    assert_eq!(warnings(&events), [""; 0]);
    let loads = fake.seen().iter().filter(|seen| matches!(seen, Seen::Loaded { .. })).count();
    assert_eq!(loads, 1, "once");
}

#[tokio::test]
async fn a_client_that_goes_while_its_cache_is_written_stops_that_too() {
    let registry = Fake::start(empty).await;
    let fake = BuildKit::new().definition(definition()).export(async |build| {
        if build.outer().await.internal {
            std::future::pending::<()>().await;
        }
        build.tell(done(false)).await;
        Ok(pushed())
    });
    let agent = Agent::beside(Dockerd::containerd(fake.clone())).await;
    let client = agent.client().await;
    let session = lend_nothing(&client).await;
    let events = client.clone().build(of_main(&registry, &session)).await.unwrap();
    let beside = fake.see(|seen| match seen {
        Seen::Outer { request, .. } if request.definition.is_some() => Some(request.r#ref.clone()),
        _ => None,
    });
    let beside = beside.await;
    drop((events, session, client));
    fake.see(|seen| matches!(seen, Seen::Dropped { build } if *build == beside).then_some(())).await;
}
