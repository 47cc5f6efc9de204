//! What a build does with what the registries say.

use super::*;

fn cache(digit: char) -> Found {
    let digest = format!("sha256:{}", digit.to_string().repeat(64));
    Found::Cache { digest, kind: CacheKind::Inline, created: None }
}

fn silent() -> Found {
    Found::Failed("no answer within 2 s".to_owned())
}

/// A build that may write.
fn pushing() -> BuildRequest {
    BuildRequest { tags: vec![tag("r.example/app:1")], push: true, ..request() }
}

fn main_scope() -> Scopes {
    scopes(Some("main"), &[])
}

fn decide(request: &BuildRequest, engine: &Capabilities, scopes: &Scopes, says: &[Found]) -> Result<Plan, Failure> {
    decide_with(facts(request, engine), scopes, Some(&two_stages()), says)
}

/// `says` has the answers for the first candidates; the others are missing.
fn decide_with(facts: Facts<'_>, scopes: &Scopes, graph: Option<&Graph>, says: &[Found]) -> Result<Plan, Failure> {
    let question = question(facts, scopes, graph);
    let answers = says.iter().cloned().chain(std::iter::repeat(Found::Missing));
    let found = question.candidates.iter().cloned().zip(answers).collect();
    plan(facts, scopes.clone(), question, found)
}

#[track_caller]
fn assert_writes_nothing(plan: &Plan, why: &str) {
    let cache = &plan.cache;
    assert!(cache.no_write_why.contains(why), "{:?}", cache.no_write_why);
    assert_eq!((&cache.target, cache.stages.len()), (&None, 0), "{why}");
}

#[test]
fn what_exists_is_imported_by_digest_best_first_and_once() {
    let says = [
        Found::Missing,
        cache('b'),
        cache('a'),
        // The same that the branch has.
        cache('b'),
        Found::Useless("another architecture".to_owned()),
    ];
    let plan = decide(&pushing(), &graphdriver(), &scopes(Some("feature"), &["main"]), &says).unwrap();
    let imports: Vec<String> = plan.cache.imports.iter().map(|(reference, _)| reference.to_string()).collect();
    let by_digest = |digit: &str| format!("r.example/app@sha256:{}", digit.repeat(64));
    assert_eq!(imports, [by_digest("b"), by_digest("a")]);
    let of_target = plan.cache.of_target.iter().map(|(reference, _)| reference.to_string());
    assert_eq!(of_target.collect::<Vec<_>>(), [by_digest("a")], "the builder's alone do not lead to the result");
    assert_eq!(plan.found.len(), 5, "a person sees all that was asked");
}

#[test]
fn a_registry_without_tls_is_told_apart_from_the_others() {
    let request = BuildRequest { cache_from: vec![tag("plain.example/a:1"), tag("r.example/a:1")], ..request() };
    let (insecure, engine) = (["plain.example".to_owned()], graphdriver());
    let facts = Facts { insecure: &insecure, ..facts(&request, &engine) };
    let plan = decide_with(facts, &main_scope(), None, &[cache('a'), cache('b')]).unwrap();
    assert_eq!(plan.cache.imports.iter().map(|(_, plain)| *plain).collect::<Vec<_>>(), [true, false]);
    let attrs = |name| registry_cache(facts, &tag(name)).attrs;
    assert_eq!(attrs("plain.example/a:1")["registry.insecure"], "true");
    assert_eq!(attrs("r.example/a:1").get("registry.insecure"), None);
}

#[test]
fn a_graphdriver_store_writes_an_image_for_each_stage() {
    let plan = decide(&pushing(), &graphdriver(), &scopes(Some("feature"), &["main"]), &[]).unwrap();
    assert_eq!(plan.cache.mode, Mode::Inline);
    assert!(plan.cache.mode_why.contains("graphdriver"), "{}", plan.cache.mode_why);
    assert_eq!(plan.cache.target, Some(tag("r.example/app:cache_feature_stage-1")));
    assert_eq!(plan.cache.stages, [("builder".to_owned(), tag("r.example/app:cache_feature_builder"))]);
    assert_eq!(plan.cache.no_write_why, "");
}

#[test]
fn other_engines_write_one_cache_for_all_stages() {
    for (engine, name) in [(containerd(), "containerd"), (buildkitd(), "buildkitd")] {
        let plan = decide(&pushing(), &engine, &main_scope(), &[]).unwrap();
        assert_eq!((plan.cache.mode, plan.cache.stages.len()), (Mode::Registry, 0));
        assert!(plan.cache.mode_why.contains(name), "{}", plan.cache.mode_why);
        assert_eq!(plan.cache.target, Some(tag("r.example/app:cache_main_stage-1")));
    }
    let exporter = registry_cache(facts(&pushing(), &containerd()), &tag("r.example/app:cache_main"));
    assert_eq!((exporter.kind, exporter.attrs["mode"].as_str()), ("registry", "max"));
    assert_eq!(exporter.attrs["ref"], "r.example/app:cache_main");
}

#[test]
fn the_caller_may_decide_how_cache_is_exported() {
    let with = |mode| BuildRequest { cache: CacheRequest { mode, ..CacheRequest::default() }, ..pushing() };
    let inline = decide(&with(CacheMode::Inline), &containerd(), &main_scope(), &[]).unwrap().cache;
    assert_eq!((inline.mode, inline.stages.len(), inline.mode_why.as_str()), (Mode::Inline, 1, "--cache inline"));
    let registry = decide(&with(CacheMode::Registry), &buildkitd(), &main_scope(), &[]).unwrap().cache;
    assert_eq!((registry.mode, registry.mode_why.as_str()), (Mode::Registry, "--cache registry"));
    let refused = decide(&with(CacheMode::Registry), &graphdriver(), &main_scope(), &[]).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Usage);
    assert!(refused.what.contains("graphdriver") && refused.next.contains("--cache"), "{refused:?}");
    let off = decide(&with(CacheMode::Off), &containerd(), &main_scope(), &[]).unwrap();
    assert_eq!(off.cache.mode, Mode::Off);
    assert_writes_nothing(&off, "--cache off");
}

#[test]
fn who_may_not_write_reads_all_the_same() {
    let fork = Scopes { writes: Err("a merge request of a fork writes no cache".to_owned()), ..main_scope() };
    let plan = decide(&pushing(), &graphdriver(), &fork, &[cache('a')]).unwrap();
    assert_writes_nothing(&plan, "of a fork");
    assert_eq!(plan.cache.imports.len(), 1);
}

#[test]
fn nothing_is_written_where_it_would_have_no_name() {
    let nameless = decide(&pushing(), &graphdriver(), &scopes(None, &["main"]), &[]).unwrap();
    assert_writes_nothing(&nameless, "no branch");
    let untold = decide_with(facts(&pushing(), &graphdriver()), &main_scope(), None, &[]).unwrap();
    assert_writes_nothing(&untold, "does not tell the stages");
    let official = BuildRequest { tags: vec![tag("app")], ..pushing() };
    let plan = decide(&official, &graphdriver(), &main_scope(), &[]).unwrap();
    assert_writes_nothing(&plan, "no repository");
    assert!(plan.cache.no_write_why.contains("--cache-repo"), "what to do about it");
}

#[test]
fn a_build_that_pushes_nothing_writes_to_a_registry_only_where_it_is_named() {
    let local = BuildRequest { push: false, ..pushing() };
    assert_writes_nothing(&decide(&local, &graphdriver(), &main_scope(), &[]).unwrap(), "--push");
    let repository = Some(tag("cache.example/app"));
    let named = BuildRequest { cache: CacheRequest { repository, ..CacheRequest::default() }, ..local };
    let cache = decide(&named, &graphdriver(), &main_scope(), &[]).unwrap().cache;
    assert_eq!(cache.target, Some(tag("cache.example/app:cache_main_stage-1")));
    assert_eq!(cache.stages[0].1, tag("cache.example/app:cache_main_builder"));
}

#[test]
fn a_registry_that_does_not_answer_is_not_written_to() {
    let scopes = scopes(Some("feature"), &["main"]);
    let plan = decide(&pushing(), &graphdriver(), &scopes, &[Found::Missing, silent()]).unwrap();
    assert_writes_nothing(&plan, "no answer within 2 s");
    // One that is only read is no reason.
    let named = BuildRequest { cache_from: vec![tag("slow.example/a:1")], ..pushing() };
    let cache = decide(&named, &graphdriver(), &scopes, &[silent()]).unwrap().cache;
    assert_eq!((cache.no_write_why.as_str(), cache.imports.len()), ("", 0));
    assert!(cache.target.is_some());
}

#[test]
fn a_cache_ref_that_the_caller_names_is_still_the_builds_own() {
    let cache_from = vec![tag("r.example/app:cache_main_stage-1")];
    let plan = decide(&BuildRequest { cache_from, ..pushing() }, &graphdriver(), &main_scope(), &[silent()]).unwrap();
    assert_writes_nothing(&plan, "no answer within 2 s");
}

#[test]
fn another_platforms_cache_is_not_overwritten() {
    let arm = BuildRequest { platforms: vec!["linux/arm64".to_owned()], ..pushing() };
    let cache = decide(&arm, &graphdriver(), &main_scope(), &[]).unwrap().cache;
    assert_eq!(cache.target, Some(tag("r.example/app:cache_main_stage-1_linux-arm64")));
    assert_eq!(cache.stages[0].1, tag("r.example/app:cache_main_builder_linux-arm64"));
}

#[test]
fn what_has_nowhere_to_go_has_no_plan() {
    let nameless = BuildRequest { tags: Vec::new(), ..pushing() };
    assert_eq!(decide(&nameless, &graphdriver(), &main_scope(), &[]).unwrap_err().kind, FailureKind::Usage);
    let plan = decide(&pushing(), &containerd(), &main_scope(), &[]).unwrap();
    assert_eq!(plan.output.groups.len(), 1);
    assert_eq!((plan.scopes, plan.stages.len()), (main_scope(), 2));
}
