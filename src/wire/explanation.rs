//! `Explanation` <-> protobuf. Words that a newer agent uses and we do not know are shown as they are, or left out.

use crate::{
    model::{CacheKind, CacheOutcome, CacheRef, Explanation, Found, Retag, StageCache, Whose},
    pb,
};

/// As it goes to the client.
pub(super) fn to_explanation(explanation: Explanation) -> pb::Explanation {
    let Explanation {
        engine,
        ci,
        scope,
        fallbacks,
        mode,
        mode_why,
        refs,
        no_read_why,
        imports,
        stages,
        writes,
        no_write_why,
        push,
        retag: Retag { possible, why },
        notes,
        outcome,
    } = explanation;
    pb::Explanation {
        engine,
        ci,
        scope,
        fallbacks,
        mode,
        mode_why,
        refs: refs.into_iter().map(to_ref).collect(),
        no_read_why,
        imports,
        stages: stages.into_iter().map(to_stage).collect(),
        writes,
        no_write_why,
        push,
        retag: Some(pb::Retag { possible, why }),
        notes,
        outcome: outcome.map(|CacheOutcome { republished, why, written }| pb::CacheOutcome {
            republished,
            why,
            written,
        }),
    }
}

/// As it comes from the agent.
pub(super) fn from_explanation(explanation: pb::Explanation) -> Explanation {
    let pb::Explanation {
        engine,
        ci,
        scope,
        fallbacks,
        mode,
        mode_why,
        refs,
        no_read_why,
        imports,
        stages,
        writes,
        no_write_why,
        push,
        retag,
        notes,
        outcome,
    } = explanation;
    let pb::Retag { possible, why } = retag.unwrap_or_default();
    Explanation {
        engine,
        ci,
        scope,
        fallbacks,
        mode,
        mode_why,
        refs: refs.into_iter().map(from_ref).collect(),
        no_read_why,
        imports,
        stages: stages.into_iter().map(from_stage).collect(),
        writes,
        no_write_why,
        push,
        retag: Retag { possible, why },
        notes,
        outcome: outcome.map(|pb::CacheOutcome { republished, why, written }| CacheOutcome {
            republished,
            why,
            written,
        }),
    }
}

fn to_ref(cache_ref: CacheRef) -> pb::CacheRef {
    let CacheRef { reference, whose, stage, found } = cache_ref;
    let scope = whose.scope().unwrap_or_default().to_owned();
    let state = found.state().to_owned();
    let common =
        pb::CacheRef { reference, whose: whose.word().to_owned(), scope, stage, state, ..pb::CacheRef::default() };
    match found {
        Found::Cache { digest, kind, created } => {
            pb::CacheRef { digest, kind: kind.as_str().to_owned(), created, ..common }
        }
        Found::Missing => common,
        Found::Useless(detail) | Found::Failed(detail) => pb::CacheRef { detail, ..common },
    }
}

fn from_ref(cache_ref: pb::CacheRef) -> CacheRef {
    let pb::CacheRef { reference, whose, scope, stage, state, digest, kind, created, detail } = cache_ref;
    let whose = match whose.as_str() {
        "own" => Whose::Own(scope),
        "fallback" => Whose::Fallback(scope),
        "tag" => Whose::Tag,
        _ => Whose::Named,
    };
    let kind = if kind == "registry" { CacheKind::Registry } else { CacheKind::Inline };
    let found = match state.as_str() {
        "found" => Found::Cache { digest, kind, created },
        "missing" => Found::Missing,
        "failed" => Found::Failed(detail),
        _ => Found::Useless(detail),
    };
    CacheRef { reference, whose, stage, found }
}

fn to_stage(stage: StageCache) -> pb::StageCache {
    let StageCache { name, steps, target, place, why } = stage;
    pb::StageCache { name, steps, target, place, why }
}

fn from_stage(stage: pb::StageCache) -> StageCache {
    let pb::StageCache { name, steps, target, place, why } = stage;
    StageCache { name, steps, target, place, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_survives_the_wire() {
        let cache = |kind, created: Option<&str>| Found::Cache {
            digest: "sha256:a".to_owned(),
            kind,
            created: created.map(str::to_owned),
        };
        let cache_ref = |whose, stage: Option<&str>, found| CacheRef {
            reference: "r.example/a:cache_x".to_owned(),
            whose,
            stage: stage.map(str::to_owned),
            found,
        };
        let explanation = Explanation {
            engine: "dockerd 28.5.2, graphdriver image store".to_owned(),
            ci: "GitLab".to_owned(),
            scope: Some("x".to_owned()),
            fallbacks: vec!["main".to_owned()],
            mode: "inline".to_owned(),
            mode_why: "because".to_owned(),
            refs: vec![
                cache_ref(Whose::Named, None, cache(CacheKind::Registry, None)),
                cache_ref(Whose::Own("x".to_owned()), Some(""), cache(CacheKind::Inline, Some("2026-01-01T00:00:00Z"))),
                cache_ref(Whose::Fallback("main".to_owned()), Some("builder"), Found::Missing),
                cache_ref(Whose::Tag, None, Found::Useless("no cache".to_owned())),
                cache_ref(Whose::Tag, None, Found::Failed("no answer".to_owned())),
            ],
            no_read_why: "a".to_owned(),
            imports: vec!["r.example/a@sha256:a".to_owned()],
            stages: vec![
                StageCache { name: "builder".to_owned(), steps: 2, place: Some("p".to_owned()), ..Default::default() },
                StageCache { target: true, why: "w".to_owned(), ..Default::default() },
            ],
            writes: vec!["r.example/a:cache_x".to_owned()],
            no_write_why: "b".to_owned(),
            push: "c".to_owned(),
            retag: Retag { possible: true, why: "d".to_owned() },
            notes: vec!["e".to_owned()],
            outcome: Some(CacheOutcome { republished: true, why: "f".to_owned(), written: vec!["g".to_owned()] }),
        };
        assert_eq!(from_explanation(to_explanation(explanation.clone())), explanation);
        assert_eq!(from_explanation(pb::Explanation::default()), Explanation::default());
    }

    #[test]
    fn a_state_that_a_newer_agent_knows_is_no_cache_that_was_found() {
        let newer = pb::CacheRef { state: "stale".to_owned(), detail: "too old".to_owned(), ..Default::default() };
        assert_eq!(from_ref(newer).found, Found::Useless("too old".to_owned()));
    }
}
