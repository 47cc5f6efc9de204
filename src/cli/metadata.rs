//! `--metadata-file`: the keys that `docker buildx build` writes, and ours beside them.

use serde_json::{Map, Value, json};

use crate::model::{CacheRef, Explanation, Found, Report};

/// The file's content.
pub(super) fn metadata(report: &Report) -> String {
    let mut all = Map::new();
    for (key, value) in &report.exporter {
        all.insert(key.clone(), decoded(key, value));
    }
    // What the registry holds is worth more than what the engine's own store calls it.
    if !report.digest.is_empty() {
        all.insert("containerimage.digest".to_owned(), report.digest.as_str().into());
    }
    all.insert("buildx.build.ref".to_owned(), report.build_id.as_str().into());
    all.insert(
        "remora".to_owned(),
        json!({
            "tags": report.tags,
            "imageId": report.image_id,
            "digest": report.digest,
            "pushed": report.pushed,
            "steps": report.steps,
            "cachedSteps": report.cached_steps,
            "contextBytes": report.context_bytes,
            "pulledBytes": report.pulled_bytes,
            "pushedBytes": report.pushed_bytes,
            "elapsedMs": report.elapsed_ms,
            "cache": report.explanation.as_deref().map(cache),
        }),
    );
    format!("{:#}\n", Value::Object(all))
}

/// What is done about cache, and why.
pub(super) fn cache(explanation: &Explanation) -> Value {
    let stages = explanation.stages.iter().map(|stage| {
        json!({
            "name": stage.name,
            "steps": stage.steps,
            "target": stage.target,
            "place": stage.place,
            "why": stage.why,
        })
    });
    let outcome = explanation
        .outcome
        .as_ref()
        .map(|outcome| json!({ "republished": outcome.republished, "why": outcome.why, "written": outcome.written }));
    json!({
        "engine": explanation.engine,
        "ci": explanation.ci,
        "scope": explanation.scope,
        "fallbacks": explanation.fallbacks,
        "mode": explanation.mode,
        "modeWhy": explanation.mode_why,
        "refs": explanation.refs.iter().map(cache_ref).collect::<Vec<_>>(),
        "noReadWhy": explanation.no_read_why,
        "imports": explanation.imports,
        "stages": stages.collect::<Vec<_>>(),
        "writes": explanation.writes,
        "noWriteWhy": explanation.no_write_why,
        "push": explanation.push,
        "retag": { "possible": explanation.retag.possible, "why": explanation.retag.why },
        "notes": explanation.notes,
        "outcome": outcome,
    })
}

fn cache_ref(cache_ref: &CacheRef) -> Value {
    let (mut digest, mut kind, mut created, mut detail) = (None, None, None, None);
    match &cache_ref.found {
        Found::Cache { digest: of, kind: how, created: when } => {
            (digest, kind, created) = (Some(of), Some(how.as_str()), when.as_ref());
        }
        Found::Missing => {}
        Found::Useless(why) | Found::Failed(why) => detail = Some(why),
    }
    json!({
        "reference": cache_ref.reference,
        "whose": cache_ref.whose.word(),
        "scope": cache_ref.whose.scope(),
        "stage": cache_ref.stage,
        "state": cache_ref.found.state(),
        "digest": digest,
        "kind": kind,
        "created": created,
        "detail": detail,
    })
}

/// A descriptor travels as base64 of JSON.
fn decoded(key: &str, value: &str) -> Value {
    let descriptor = || {
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, value).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    if key.ends_with("descriptor") { descriptor().unwrap_or_else(|| value.into()) } else { value.into() }
}
