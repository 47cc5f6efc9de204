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

/// `says` has the answers for the first candidates: a scope's target, its merged cache, its builder, and so on; the
/// others are missing.
fn decide_with(facts: Facts<'_>, scopes: &Scopes, graph: Option<&Graph>, says: &[Found]) -> Result<Plan, Failure> {
    decide_merged(facts, scopes, graph, says, &[])
}

/// The same where what was found has the caches of those images.
fn decide_merged(
    facts: Facts<'_>,
    scopes: &Scopes,
    graph: Option<&Graph>,
    says: &[Found],
    merged: &[&str],
) -> Result<Plan, Failure> {
    let question = question(facts, scopes, graph);
    let answers = says.iter().cloned().chain(std::iter::repeat(Found::Missing));
    let found = question.candidates.iter().cloned().zip(answers).collect();
    let merged = merged.iter().map(|digit| format!("sha256:{}", digit.repeat(64))).collect();
    plan(facts, scopes.clone(), question, found, &merged)
}

#[track_caller]
fn assert_writes_nothing(plan: &Plan, why: &str) {
    let cache = &plan.cache;
    assert!(cache.no_write_why.contains(why), "{:?}", cache.no_write_why);
    assert_eq!((&cache.target, &cache.merged, cache.stages.len()), (&None, &None, 0), "{why}");
}

#[test]
fn what_exists_is_imported_by_digest_best_first_and_once() {
    let says = [
        Found::Missing,
        Found::Missing,
        cache('b'),
        cache('a'),
        Found::Missing,
        // The same that the branch has.
        cache('b'),
        Found::Useless("another architecture".to_owned()),
    ];
    let plan = decide(&pushing(), &graphdriver(), &scopes(Some("feature"), &["main"]), &says).unwrap();
    assert_eq!(digits(&plan.cache.imports), "ab", "main's, since the branch has none for all steps");
    assert_eq!(digits(&plan.cache.of_target), "a", "the builder's alone do not lead to the result");
    assert_eq!(plan.found.len(), 7, "a person sees all that was asked");
}

/// The first digits of digests.
fn digits(imports: &[(Reference, bool)]) -> String {
    let digest = |(reference, _): &(Reference, bool)| reference.digest().unwrap().to_owned();
    imports.iter().map(digest).map(|digest| digest.chars().nth("sha256:".len()).unwrap()).collect()
}

fn whole(digit: char) -> Found {
    match cache(digit) {
        Found::Cache { digest, created, .. } => Found::Cache { digest, kind: CacheKind::Registry, created },
        other => other,
    }
}

#[test]
fn what_knows_of_steps_without_their_layers_is_not_imported_beside_what_has_them() {
    let (request, engine, scopes) = (pushing(), graphdriver(), scopes(Some("feature"), &["main"]));
    let facts = facts(&request, &engine);
    let imports = |says: [Found; 7], merged: &[&str]| {
        let plan = decide_merged(facts, &scopes, Some(&two_stages()), &says, merged).unwrap();
        (digits(&plan.cache.imports), digits(&plan.cache.of_target))
    };
    let missing = || Found::Missing;
    // The branch's target, merged cache and builder; main's; the tag.
    let both = || [cache('a'), whole('b'), cache('c'), cache('d'), whole('e'), cache('f'), cache('1')];
    assert_eq!(imports(both(), &["a", "c", "d", "f"]), ("b".into(), "a".into()), "one scope's, the best one's");
    // The build before this one failed after its builder was written.
    assert_eq!(imports(both(), &["a", "2", "d", "f"]), ("bc".into(), "a".into()));
    // So did the first one of the branch.
    let [_, _, builder, target, merged, main, tag] = both();
    let says = [missing(), missing(), builder, target, merged, main, tag];
    assert_eq!(imports(says, &["d", "f"]), ("ce".into(), "d".into()), "beside main's");
    // Cache from before there were merged ones.
    let [target, _, builder, ..] = both();
    let says = [target, missing(), builder, missing(), missing(), missing(), cache('1')];
    assert_eq!(imports(says, &[]), ("ac".into(), "a".into()), "all that the branch has");
    // Another engine's, which BuildKit wrote itself.
    let says = |target| [target, missing(), missing(), missing(), missing(), missing(), cache('1')];
    assert_eq!(imports(says(whole('9')), &[]), ("9".into(), "9".into()));
    // No scope has any.
    assert_eq!(imports(says(missing()), &[]), ("1".into(), "1".into()), "the tag's own");
}

#[test]
fn all_that_was_found_becomes_one_where_the_build_may_write() {
    let engine = graphdriver();
    let named = BuildRequest { cache_from: vec![tag("r.example/app:old"), tag("r.example/else:1")], ..pushing() };
    let decided = |request: &BuildRequest, scopes: &Scopes, says: &[Found], merged: &[&str]| {
        decide_merged(facts(request, &engine), scopes, Some(&two_stages()), says, merged).unwrap().cache
    };
    let several = |cache: &CachePlan| digits(&cache.several);
    let feature = scopes(Some("feature"), &["main"]);
    // The branch's target, merged cache and builder; main's; the tag.
    let both = [cache('a'), whole('b'), cache('c'), cache('d'), whole('e'), cache('f'), cache('1')];
    let plan = decided(&pushing(), &feature, &both, &["a", "2", "d", "f"]);
    assert_eq!(several(&plan), "bce", "the branch's, what its last build left, and main's");
    let united = plan.united(&format!("sha256:{}", "0".repeat(64)));
    assert_eq!(digits(&united), "0", "instead of them all");
    let alone = decided(&pushing(), &feature, &both[..3], &["a", "c"]);
    assert_eq!((several(&alone), digits(&alone.imports)), (String::new(), "b".to_owned()), "one is one already");
    let tag = decided(&pushing(), &main_scope(), &[cache('a'), Found::Missing, Found::Missing, cache('1')], &[]);
    assert_eq!(several(&tag), "", "a tag is for those who have no scope");
    let silent = decided(&pushing(), &feature, &[cache('a'), silent(), cache('c')], &[]);
    assert_eq!(several(&silent), "", "nothing is written where nobody answers");
    let reader = Scopes { writes: Err("a fork".to_owned()), ..feature.clone() };
    assert_eq!(several(&decided(&pushing(), &reader, &both, &[])), "");

    let says = [cache('8'), cache('9'), cache('a'), whole('b')];
    let plan = decided(&named, &main_scope(), &says, &["a"]);
    assert_eq!(several(&plan), "8b", "what lies in another repository stays there");
    assert_eq!(digits(&plan.united(&format!("sha256:{}", "0".repeat(64)))), "09");
}

#[test]
fn what_the_caller_names_is_imported_whatever_was_found_beside_it() {
    let request = BuildRequest { cache_from: vec![tag("r.example/old:1")], ..pushing() };
    let engine = graphdriver();
    let facts = facts(&request, &engine);
    let imports = |says: &[Found]| {
        let plan = decide_with(facts, &main_scope(), Some(&two_stages()), says).unwrap();
        digits(&plan.cache.imports)
    };
    assert_eq!(imports(&[cache('a'), cache('b'), whole('c')]), "ac");
    assert_eq!(imports(&[whole('a'), cache('b')]), "ab", "it says nothing of the scope's own");
}

#[test]
fn a_target_that_has_all_its_steps_itself_needs_no_merged_cache() {
    let (request, engine) = (pushing(), graphdriver());
    let says = [cache('a'), whole('b'), cache('c')];
    let scopes = scopes(Some("feature"), &["next", "main"]);
    let plan = decide_with(facts(&request, &engine), &scopes, Some(&graph(&[""])), &says).unwrap();
    assert_eq!(digits(&plan.cache.imports), "a");
    assert_eq!(plan.cache.merged, None);
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
    assert_eq!(plan.cache.merged, Some(tag("r.example/app:caches_feature_stage-1")));
    assert_eq!(plan.cache.no_write_why, "");
}

#[test]
fn other_engines_write_one_cache_for_all_stages() {
    for (engine, name) in [(containerd(), "containerd"), (buildkitd(), "buildkitd")] {
        let plan = decide(&pushing(), &engine, &main_scope(), &[]).unwrap();
        let stages = [("builder".to_owned(), tag("r.example/app:cache_main_builder"))];
        assert_eq!((plan.cache.mode, plan.cache.stages.as_slice()), (Mode::Registry, stages.as_slice()));
        assert_eq!(plan.cache.merged, Some(tag("r.example/app:caches_main")), "where other targets look");
        let builder = BuildRequest { target: Some("builder".to_owned()), ..pushing() };
        assert_eq!(decide(&builder, &engine, &main_scope(), &[]).unwrap().cache.merged, None, "which has less");
        let says = |target| [target, whole('b')];
        let plan = decide(&pushing(), &engine, &main_scope(), &says(Found::Missing)).unwrap();
        assert_eq!((digits(&plan.cache.several), digits(&plan.cache.imports)), (String::new(), "b".to_owned()));
        let plan = decide(&pushing(), &engine, &main_scope(), &says(whole('a'))).unwrap();
        assert_eq!((digits(&plan.cache.several), digits(&plan.cache.imports)), ("ab".to_owned(), "a".to_owned()));
        assert!(plan.cache.mode_why.contains(name), "{}", plan.cache.mode_why);
        assert_eq!(plan.cache.target, Some(tag("r.example/app:cache_main_stage-1")));
    }
    let exporter = registry_cache(facts(&pushing(), &containerd()), &tag("r.example/app:cache_main"));
    assert_eq!((exporter.kind, exporter.attrs["mode"].as_str()), ("registry", "max"));
    assert_eq!(exporter.attrs["ref"], "r.example/app:cache_main");
}

#[test]
fn a_build_for_several_platforms_has_one_cache_for_them_whatever_their_order() {
    let of = |platforms: &[&str]| {
        let platforms = platforms.iter().map(|platform| (*platform).to_owned()).collect();
        let request = BuildRequest { platforms, ..pushing() };
        decide_with(facts(&request, &containerd()), &main_scope(), None, &[]).unwrap().cache.target
    };
    let target = of(&["linux/amd64", "linux/arm64"]).unwrap();
    assert!(target.tag().starts_with("cache_main__"), "{target}");
    assert_eq!(of(&["linux/arm64", "linux/amd64"]), Some(target.clone()));
    assert_ne!(of(&["linux/arm64", "linux/s390x"]), Some(target));
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
    assert_eq!(cache.target, Some(tag("cache.example/app:cache-app.cf65182dfc95a81c_main_stage-1")));
    assert_eq!(cache.stages[0].1, tag("cache.example/app:cache-app.cf65182dfc95a81c_main_builder"));
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
fn a_build_that_reads_nothing_writes_where_somebody_answers() {
    let no_cache = BuildRequest { no_cache: true, ..pushing() };
    let decide = |says| decide(&no_cache, &graphdriver(), &main_scope(), &[says]).unwrap();
    assert_writes_nothing(&decide(silent()), "no answer within 2 s");
    for says in [Found::Missing, cache('a')] {
        let plan = decide(says);
        assert_eq!(plan.cache.target, Some(tag("r.example/app:cache_main_stage-1")));
        assert_eq!(
            (digits(&plan.cache.imports), digits(&plan.cache.of_target), plan.found.len()),
            (String::new(), String::new(), 0)
        );
    }
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
