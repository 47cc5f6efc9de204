#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::*;
use crate::{
    model::{BuildRequest, CacheKind, CacheRequest, NodeKind, Whose},
    strategy::{
        plan, question,
        sample::{self, containerd, graphdriver, tag},
        scopes,
    },
};

fn request() -> BuildRequest {
    let cache = CacheRequest {
        scope: Some("feature-x".to_owned()),
        fallbacks: vec!["main".to_owned()],
        ..CacheRequest::default()
    };
    BuildRequest { tags: vec![tag("r.example/app:1"), tag("r.example/app:2")], cache, ..sample::request() }
}

/// Two stages that the last one copies from, of which one runs something, and one below that.
fn graph() -> Graph {
    use NodeKind::{File, Image, Run};
    let nodes: &[(&str, NodeKind, &[usize])] = &[
        ("[deps 1/2] FROM base", Image, &[]),
        ("[deps 2/2] RUN fetch", Run, &[0]),
        ("[builder 1/2] COPY . .", File, &[1]),
        ("[builder 2/2] RUN make", Run, &[2]),
        ("[files 1/1] COPY a /a", File, &[0]),
        ("[stage-3 2/3] COPY --from=files /a /a", File, &[0, 4]),
        ("[stage-3 3/3] COPY --from=builder /out /out", File, &[5, 3]),
    ];
    sample::graph(nodes)
}

/// The explanation of a build for which registries say this of each ref.
fn explained(request: &BuildRequest, capabilities: &Capabilities, says: impl Fn(&Candidate) -> Found) -> Explanation {
    let facts = Facts { request, capabilities, allowed: &[], insecure: &[] };
    let (graph, scopes) = (graph(), scopes(&request.cache));
    let question = question(facts, &scopes, Some(&graph));
    let found = question.candidates.iter().map(|candidate| (candidate.clone(), says(candidate))).collect();
    let plan = plan(facts, scopes, question, found, &std::collections::BTreeSet::new()).unwrap();
    explain(facts, &plan, Some(&graph), Retag { possible: false, why: "no".to_owned() })
}

fn main_alone(candidate: &Candidate) -> Found {
    match &candidate.whose {
        Whose::Fallback(_) if candidate.stage.is_some() => Found::Cache {
            digest: format!("sha256:{:a<64}", candidate.stage.as_deref().unwrap_or_default().len()),
            kind: CacheKind::Inline,
            created: Some("2026-01-01T00:00:00Z".to_owned()),
        },
        _ => Found::Missing,
    }
}

#[test]
fn every_stage_says_what_becomes_of_it() {
    let push = BuildRequest { push: true, ..request() };
    let explanation = explained(&push, &graphdriver(), main_alone);
    let stages: Vec<_> =
        explanation.stages.iter().map(|s| (s.name.as_str(), s.steps, s.place.as_deref(), s.why.as_str())).collect();
    let (builder, target) = ("r.example/app:cache_feature-x_builder", "r.example/app:cache_feature-x_stage-3");
    assert_eq!(
        stages,
        [
            ("deps", 1, Some(builder), "lies below builder, whose image has it"),
            ("builder", 2, Some(builder), "an image of its own: it runs something, and lies below no other"),
            ("files", 1, None, "not written: it runs nothing, and is as quickly made anew"),
            ("stage-3", 2, Some(target), "the image that is built carries its cache"),
        ]
    );
    assert_eq!(explanation.writes, [builder, target, "r.example/app:caches_feature-x_stage-3"]);
    assert!(explanation.stages[3].target);

    let whole = explained(&push, &containerd(), main_alone);
    assert_eq!(whole.mode, "registry");
    assert_eq!(whole.writes, [builder, target, "r.example/app:caches_feature-x"]);
    assert!(
        whole.stages.iter().all(|s| s.place.as_deref() == Some(target) && s.why == "written with all stages"),
        "{whole:?}"
    );
}

#[test]
fn what_was_found_and_what_is_read_is_named() {
    let explanation = explained(&request(), &graphdriver(), main_alone);
    let states: Vec<_> = explanation.refs.iter().map(|r| (r.name(), r.found.state())).collect();
    assert_eq!(
        states,
        [
            ("feature-x", "missing"),
            ("feature-x", "missing"),
            ("feature-x", "missing"),
            ("main", "found"),
            ("main", "missing"),
            ("main", "found"),
            ("r.example/app:1", "missing"),
            ("r.example/app:2", "missing"),
        ]
    );
    // `builder` and `stage-3` are of one length, and so is what lies there.
    assert_eq!(explanation.imports.len(), 1);
    assert!(explanation.imports[0].contains("@sha256:"));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + 3 * 3600);
    assert_eq!(reading(&explanation, now).as_deref(), Some("cache: reading main (3 h old)"));
    assert_eq!(reading(&explained(&request(), &graphdriver(), |_| Found::Missing), now), None);
}

#[test]
fn what_is_not_done_has_its_reason() {
    let local = explained(&request(), &graphdriver(), main_alone);
    assert!(local.writes.is_empty() && local.no_write_why.starts_with("without --push"), "{local:?}");
    assert!(local.stages.iter().all(|s| s.place.is_none() && s.why == "not written"));
    let off = CacheRequest { mode: CacheMode::Off, ..request().cache };
    let off = explained(&BuildRequest { cache: off, ..request() }, &graphdriver(), main_alone);
    assert_eq!(
        (off.mode.as_str(), off.no_read_why.as_str(), off.no_write_why.as_str()),
        ("off", "--cache off", "--cache off")
    );
    let anew = explained(&BuildRequest { no_cache: true, ..request() }, &graphdriver(), main_alone);
    assert_eq!(anew.no_read_why, "--no-cache runs every step");
    let variables =
        [("GITLAB_CI", "true"), ("CI_COMMIT_TAG", "v1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let release = CacheRequest { variables: variables.into(), ..CacheRequest::default() };
    let release = explained(&BuildRequest { cache: release, ..request() }, &graphdriver(), main_alone);
    assert!(release.no_read_why.starts_with("a tag build reads no cache"), "{release:?}");
    let nameless = BuildRequest { tags: vec![tag("app")], ..request() };
    assert!(explained(&nameless, &graphdriver(), main_alone).no_read_why.contains("no repository of its own"));
}

#[test]
fn the_way_into_the_registry_is_said() {
    let push = BuildRequest { push: true, ..request() };
    let said = |request: &BuildRequest, capabilities: &Capabilities| explained(request, capabilities, main_alone).push;
    assert_eq!(said(&request(), &graphdriver()), "no: the image stays in the engine");
    assert!(said(&push, &graphdriver()).starts_with("through the engine's API"));
    assert!(said(&push, &graphdriver()).ends_with("; 1 further tag by manifest PUT"));
    assert!(said(&push, &containerd()).contains("no layer has to be downloaded"));
    let facts = Facts { request: &push, capabilities: &graphdriver(), allowed: &[], insecure: &[] };
    let output = super::super::output(facts).unwrap();
    let retag = Retag { possible: true, why: String::new() };
    assert!(super::push(facts, &output, &retag).starts_with("if every step is cached, by giving an image"));
}
