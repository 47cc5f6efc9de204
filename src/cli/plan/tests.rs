use std::time::Duration;

use super::*;
use crate::model::{CacheKind, Retag, Whose};

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
            cache_ref("cache_main", main, Some("stage-2"), found),
            cache_ref("1", Whose::Tag, None, Found::Useless("it carries no cache".to_owned())),
        ],
        imports: vec!["r.example/app@sha256:0123".to_owned()],
        stages: vec![
            stage("builder", 5, Some("r.example/app:cache_feature-x_builder"), "an image of its own"),
            stage("files", 1, None, "it runs nothing"),
            stage("stage-2", 3, Some("r.example/app:cache_feature-x"), "what is built"),
        ],
        writes: vec!["r.example/app:a".to_owned(), "r.example/app:b".to_owned()],
        push: "by manifest PUT".to_owned(),
        retag: Retag { possible: true, why: "r.example/app:cache_main, as it is".to_owned() },
        notes: vec!["GitLab does not tell the default branch".to_owned()],
        ..Explanation::default()
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + 3 * 3600);
    let text = lines(&explanation, &["r.example/app:1".to_owned()], now).join("\n");
    assert_eq!(
        text,
        "\
engine     dockerd 28.5.2, graphdriver image store
tags       r.example/app:1
scope      feature-x (GitLab); falls back to main
mode       inline: the graphdriver image store has inline cache only: an image for each stage
asked for  missing  feature-x  r.example/app:cache_feature-x
           found    main       r.example/app:cache_main       sha256:0123456789ab  3 h old, inline cache
           useless  tag        r.example/app:1                                     it carries no cache
imports    r.example/app@sha256:0123
stages     builder  5 steps  r.example/app:cache_feature-x_builder  an image of its own
           files    1 step   -                                      it runs nothing
           stage-2  3 steps  r.example/app:cache_feature-x          what is built
writes     what changed, to r.example/app:a
                            r.example/app:b
push       by manifest PUT
retag      possible, if every step is cached: r.example/app:cache_main, as it is
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
        "tags       none",
        "scope      none is known",
        "asked for  nothing: --cache off",
        "imports    none",
        "writes     nothing: --cache off",
        "retag      no: without --push nothing is published",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}
