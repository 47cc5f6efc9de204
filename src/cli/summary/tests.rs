use std::time::Duration;

use super::*;
use crate::model::{CacheKind, CacheOutcome, CacheRef};

/// Three hours after what the tests find.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + 3 * 3600)
}

fn cache_ref(whose: Whose, found: Found) -> CacheRef {
    CacheRef { reference: "r.example/app:1".to_owned(), whose, stage: None, found }
}

fn cached() -> Found {
    Found::Cache {
        digest: "sha256:a".to_owned(),
        kind: CacheKind::Inline,
        created: Some("2026-01-01T00:00:00Z".to_owned()),
    }
}

fn explanation(refs: Vec<CacheRef>) -> Explanation {
    let imports = vec!["r.example/app@sha256:a".to_owned()];
    Explanation { scope: Some("feature-x".to_owned()), refs, imports, ..Explanation::default() }
}

fn first_line(explanation: Explanation) -> String {
    let report = Report { steps: 12, cached_steps: 11, explanation: Some(Box::new(explanation)), ..Report::default() };
    lines(&report, now()).swap_remove(0)
}

#[test]
fn the_summary_says_whose_cache_it_was_and_how_old() {
    let (own, main) = (Whose::Own("feature-x".to_owned()), Whose::Fallback("main".to_owned()));
    for (refs, said) in [
        (
            vec![cache_ref(own.clone(), Found::Missing), cache_ref(main.clone(), cached())],
            "cache: main, 3 h old; feature-x has none yet",
        ),
        (vec![cache_ref(own.clone(), cached()), cache_ref(main, Found::Missing)], "cache: feature-x, 3 h old"),
        (vec![cache_ref(own.clone(), Found::Missing)], "cache: feature-x has none yet"),
        (vec![cache_ref(own.clone(), Found::Failed("late".to_owned()))], "cache: feature-x could not be asked"),
        (vec![cache_ref(own, Found::Useless("odd".to_owned()))], "cache: feature-x has none that is of use"),
        (vec![cache_ref(Whose::Tag, cached())], "cache: r.example/app:1, 3 h old"),
        (vec![cache_ref(Whose::Named, Found::Missing)], "cache: none found"),
    ] {
        let expected = format!("{said}; 11 of 12 steps cached; nothing to download");
        assert_eq!(first_line(explanation(refs)), expected);
    }
    let off = Explanation { no_read_why: "--cache off".to_owned(), ..explanation(Vec::new()) };
    assert!(first_line(off).starts_with("cache: none read: --cache off; 11 of"));
    let local = Explanation { no_read_why: "no branch is known".to_owned(), ..Explanation::default() };
    assert!(first_line(local).starts_with("cache: the engine's own alone: no branch is known; 11 of"));
}

#[test]
fn the_summary_says_what_moved() {
    let pushed = [("r.example/app:1".to_owned(), "sha256:b".to_owned())];
    let report = Report {
        steps: 2,
        context_bytes: 2000,
        pulled_bytes: 5_000_000,
        pushed: pushed.into(),
        pushed_bytes: Some(3_000_000),
        elapsed_ms: 3210,
        digest: "sha256:b".to_owned(),
        tags: vec!["r.example/app:1".to_owned()],
        ..Report::default()
    };
    assert_eq!(
        lines(&report, now()),
        [
            "0 of 2 steps cached; received 5.0 MB",
            "sent 2.0 kB of context; 3.0 MB of layers (uncompressed) to registries; 3.2s",
            "r.example/app:1 sha256:b",
        ]
    );
    let outcome = CacheOutcome { republished: true, written: vec!["r.example/app:c".to_owned()], ..Default::default() };
    let scoped = Explanation { scope: Some("feature-x".to_owned()), ..Explanation::default() };
    let explanation = Some(Box::new(scoped.clone().with(outcome)));
    let republished = Report { explanation, pulled_bytes: 0, pushed_bytes: Some(0), ..report };
    assert_eq!(
        lines(&republished, now())[1],
        "sent 2.0 kB of context; published without loading a layer; cache of feature-x written; 3.2s"
    );
    let second = |explanation: Explanation| {
        let explanation = Some(Box::new(explanation.with(CacheOutcome::default())));
        lines(&Report { explanation, ..Report::default() }, now()).swap_remove(1)
    };
    assert!(second(scoped.clone()).contains("; nothing new for the cache of feature-x; "));
    let fork = Explanation { no_write_why: "a merge request from a fork".to_owned(), ..scoped };
    assert!(second(fork).contains("; cache not written: a merge request from a fork; "));
}
