//! How a build came about: what the engine recorded of it goes to who asked, and to nobody else.

use remora::pb::{self, Provenance, event::Kind};
use serde_json::{Value, json};
use tonic::Status;

use super::{
    agent::{Agent, build, end, lend_nothing},
    caching::{graphdriver, of_main, warnings},
    fake::{BuildKit, Seen},
    history::Attested,
    republishing::{fetches, holding},
    retrying::registry,
};

const V02: &str = "https://slsa.dev/provenance/v0.2";
const V1: &str = "https://slsa.dev/provenance/v1";

/// What a build came to whose caller asks for that much.
async fn built(fake: &BuildKit, asked: Provenance) -> (pb::Report, Vec<Kind>) {
    let agent = Agent::beside(fake.clone()).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let request = pb::BuildRequest { provenance: asked.into(), ..build(&session.id) };
    let (events, report) = end(client.build(request).await.unwrap().into_inner()).await;
    (report.unwrap(), events)
}

/// An engine that recorded this.
fn recorded(all: &[(&'static str, &'static str, Value)]) -> BuildKit {
    records(BuildKit::new(), all)
}

fn records(fake: BuildKit, all: &[(&'static str, &'static str, Value)]) -> BuildKit {
    let attested = |(platform, kind, predicate): &(&'static str, &'static str, Value)| Attested {
        platform,
        kind,
        predicate: predicate.to_string(),
    };
    let all: Vec<_> = all.iter().map(attested).collect();
    fake.history(move |_| std::future::ready(Ok(all.clone())))
}

fn predicate() -> Value {
    json!({
        "builder": {"id": ""},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "materials": [{"uri": "pkg:docker/base@1", "digest": {"sha256": "abc"}}],
        "invocation": {
            "configSource": {"entryPoint": "Dockerfile"},
            "parameters": {"frontend": "dockerfile.v0", "args": {"build-arg:A": "1"}},
            "environment": {"platform": "linux/amd64"},
        },
        "buildConfig": {"llbDefinition": [{"id": "step0"}]},
        "metadata": {
            "buildInvocationID": "one",
            "buildStartedOn": "2026-01-02T03:04:05Z",
            "completeness": {"parameters": true, "environment": true, "materials": false},
            "reproducible": false,
            "https://mobyproject.org/buildkit@v1#metadata": {"vcs": {"revision": "abc"}},
        },
    })
}

fn warned(events: &[Kind]) -> bool {
    warnings(events).iter().any(|warning| warning.contains("provenance"))
}

fn was_asked(fake: &BuildKit) -> bool {
    fake.seen().iter().any(|seen| matches!(seen, Seen::History { .. }))
}

fn found(report: &pb::Report, platform: &str) -> Value {
    serde_json::from_str(&report.provenance[platform]).unwrap()
}

#[tokio::test]
async fn who_asks_learns_how_the_result_came_about() {
    let fake = recorded(&[("", V02, predicate())]);
    let (report, _) = built(&fake, Provenance::Max).await;
    assert_eq!(found(&report, ""), predicate());
    let of = fake.see(|seen| if let Seen::History { build } = seen { Some(build.clone()) } else { None }).await;
    assert_eq!(of, report.build_id, "of the solve that exports");
    let (report, _) = built(&fake, Provenance::Min).await;
    let names: Vec<_> = found(&report, "").as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["buildType", "builder", "invocation", "materials"]);
}

#[tokio::test]
async fn each_platform_has_its_own() {
    let other = json!({"buildType": "other"});
    let fake = recorded(&[("linux/amd64", V02, predicate()), ("linux/arm64", V02, other.clone())]);
    let (report, _) = built(&fake, Provenance::Max).await;
    assert_eq!((found(&report, "linux/amd64"), found(&report, "linux/arm64")), (predicate(), other));
}

/// Newer engines record SLSA v1, and buildx writes v0.2 of it.
#[tokio::test]
async fn what_reads_the_file_reads_it_of_newer_engines_too() {
    let newer = json!({
        "buildDefinition": {
            "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
            "externalParameters": {
                "configSource": {"path": "Dockerfile"},
                "request": {"frontend": "dockerfile.v0", "args": {"build-arg:A": "1"}},
            },
            "internalParameters": {
                "builderPlatform": "linux/amd64",
                "buildConfig": {"llbDefinition": [{"id": "step0"}]},
            },
            "resolvedDependencies": [{"uri": "pkg:docker/base@1", "digest": {"sha256": "abc"}}],
        },
        "runDetails": {
            "builder": {"id": ""},
            "metadata": {
                "invocationId": "one",
                "startedOn": "2026-01-02T03:04:05Z",
                "buildkit_metadata": {"vcs": {"revision": "abc"}},
                "buildkit_completeness": {"request": true, "resolvedDependencies": false},
            },
        },
    });
    let (report, _) = built(&recorded(&[("", V1, newer)]), Provenance::Max).await;
    assert_eq!(found(&report, ""), predicate());
}

#[tokio::test]
async fn who_does_not_ask_waits_for_nothing() {
    let fake = recorded(&[("", V02, predicate())]);
    let (report, _) = built(&fake, Provenance::None).await;
    assert!(report.provenance.is_empty());
    assert!(!was_asked(&fake));
}

#[tokio::test]
async fn what_is_published_as_it_lies_there_was_not_made() {
    let fake = records(fetches(), &[("", V02, predicate())]);
    let registry = registry::Fake::start(holding).await;
    let agent = Agent::beside(graphdriver(&fake).0).await;
    let mut client = agent.client().await;
    let session = lend_nothing(&client).await;
    let request = pb::BuildRequest { provenance: Provenance::Min.into(), ..of_main(&registry, &session) };
    let (events, report) = end(client.build(request).await.unwrap().into_inner()).await;
    assert_eq!(
        report.unwrap().explanation.unwrap().outcome.map(|outcome| outcome.republished),
        Some(true),
        "{events:?}"
    );
    assert!(!was_asked(&fake));
}

#[tokio::test]
async fn an_engine_without_a_history_builds_as_ever() {
    let (report, events) = built(&BuildKit::new(), Provenance::Min).await;
    assert!(report.provenance.is_empty());
    assert!(!warned(&events), "{events:?}");
}

#[tokio::test]
async fn a_build_that_worked_does_not_fail_for_its_record() {
    let large = json!({"buildConfig": "x".repeat(17 << 20)});
    for fake in [
        BuildKit::new().history(async |_| Err(Status::internal("the database is broken"))),
        recorded(&[("", V02, large)]),
    ] {
        let (report, events) = built(&fake, Provenance::Min).await;
        assert!(report.provenance.is_empty());
        assert!(warned(&events), "{events:?}");
    }
}
