use std::time::Duration;

use super::*;
use crate::model::{CacheKind, CacheRef, Found, Retag, Whose};

#[test]
fn a_plan_reads_well_to_somebody_who_never_saw_the_code() {
    let cache_ref = |tag: &str, whose: Whose, stage: Option<&str>, found| CacheRef {
        reference: format!("r.example/app:{tag}"),
        whose,
        stage: stage.map(str::to_owned),
        found,
    };
    let found = Found::Cache {
        digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
        kind: CacheKind::Inline,
        created: Some("2026-01-01T00:00:00Z".to_owned()),
    };
    let of_builder =
        Found::Cache { digest: format!("sha256:{}", "f".repeat(64)), kind: CacheKind::Inline, created: None };
    let (own, main) = (Whose::Own("feature-x".to_owned()), Whose::Fallback("main".to_owned()));
    let stage = |name: &str, steps, place: Option<&str>, why: &str| StageCache {
        name: name.to_owned(),
        steps,
        target: name == "stage-2",
        place: place.map(str::to_owned),
        why: why.to_owned(),
    };
    let explanation = Explanation {
        engine: "dockerd 28.5.2, graphdriver image store".to_owned(),
        ci: "GitLab".to_owned(),
        scope: Some("feature-x".to_owned()),
        fallbacks: vec!["main".to_owned()],
        mode: "inline".to_owned(),
        mode_why: "the graphdriver image store has inline cache only: an image for each stage".to_owned(),
        refs: vec![
            cache_ref("cache_feature-x", own, Some("stage-2"), Found::Missing),
            cache_ref("caches_feature-x", Whose::Own("feature-x".to_owned()), None, Found::Missing),
            cache_ref("cache_main", main.clone(), Some("stage-2"), found.clone()),
            cache_ref("caches_main", main.clone(), None, found),
            cache_ref("cache_main_builder", main, Some("builder"), of_builder),
            cache_ref("1", Whose::Tag, None, Found::Useless("it carries no cache".to_owned())),
        ],
        imports: vec![format!("r.example/app@sha256:{}", "0123456789abcdef".repeat(4))],
        stages: vec![
            stage("builder", 5, Some("r.example/app:cache_feature-x_builder"), "an image of its own"),
            stage("files", 1, None, "it runs nothing"),
            stage("stage-2", 3, Some("r.example/app:cache_feature-x"), "what is built"),
        ],
        writes: vec!["r.example/app:a".to_owned(), "r.example/app:b".to_owned()],
        push: "by manifest PUT".to_owned(),
        retag: Retag { possible: true, why: "r.example/app:cache_main gets the new tags".to_owned() },
        notes: vec!["GitLab does not tell the default branch".to_owned()],
        ..Explanation::default()
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + 3 * 3600);
    let text = lines(&explanation, &["r.example/app:1".to_owned()], now).join("\n");
    assert_eq!(
        text,
        "\
image      r.example/app:1
ci         GitLab
scope      feature-x; also reads main
cache      in r.example/app:
           read      main       3 h old              sha256:0123456789ab  cache_main, caches_main
           not read  main       what is read has it  sha256:ffffffffffff  cache_main_builder
           none yet  feature-x                                            cache_feature-x, caches_feature-x
           no use    tag        it carries no cache                       1
writes     the cache of feature-x, as far as it is not there yet, to r.example/app
           a, b
push       by manifest PUT
retag      if every step is cached: r.example/app:cache_main gets the new tags
stages     builder  5 steps              an image of its own
           files    1 step               it runs nothing
           stage-2  3 steps  the target  what is built
kind       inline: the graphdriver image store has inline cache only: an image for each stage
engine     dockerd 28.5.2, graphdriver image store
notes      GitLab does not tell the default branch"
    );
}

#[test]
fn what_is_not_done_has_its_reason() {
    let explanation = Explanation {
        engine: "buildkitd v0.26.2".to_owned(),
        mode: "off".to_owned(),
        mode_why: "--cache off".to_owned(),
        no_read_why: "--cache off".to_owned(),
        no_write_why: "--cache off".to_owned(),
        push: "no".to_owned(),
        retag: Retag { possible: false, why: "without --push nothing is published".to_owned() },
        ..Explanation::default()
    };
    let text = lines(&explanation, &[], SystemTime::UNIX_EPOCH).join("\n");
    for said in [
        "image      without a name",
        "ci         none recognised",
        "scope      none",
        "cache      none is asked for: --cache off",
        "writes     no cache: --cache off",
        "retag      no: without --push nothing is published",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

#[test]
fn several_caches_are_said_to_be_read_as_one() {
    let cache_ref = |scope: &str, digit: &str| CacheRef {
        reference: format!("r.example:5000/app:cache_{scope}"),
        whose: Whose::Fallback(scope.to_owned()),
        stage: None,
        found: Found::Cache { digest: format!("sha256:{digit}"), kind: CacheKind::Registry, created: None },
    };
    let refs = vec![cache_ref("next", "1"), cache_ref("main", "2")];
    let imports = ["1", "2"].map(|digit| format!("r.example:5000/app@sha256:{digit}")).to_vec();
    let both = Explanation { refs: refs.clone(), imports: imports.clone(), ..Explanation::default() };
    let text = caches::lines(&both, SystemTime::UNIX_EPOCH).join("\n");
    assert!(text.ends_with("what is read is made into one before the build"), "{text}");
    let no_write_why = "a fork".to_owned();
    let one = Explanation { refs, imports: imports[..1].to_vec(), no_write_why, ..Explanation::default() };
    let text = caches::lines(&one, SystemTime::UNIX_EPOCH).join("\n");
    assert!(
        text.ends_with("not read  main  one scope alone is read, as nothing is written  sha256:2  cache_main"),
        "{text}"
    );
}
