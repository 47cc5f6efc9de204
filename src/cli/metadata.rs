//! `--metadata-file`: the keys that `docker buildx build` writes, and ours beside them.

use serde_json::{Map, Value, json};

use crate::model::{CacheRef, Explanation, Found, Provenance, Report};

/// The variable of buildx that says how much of the build's provenance goes into the file.
pub(super) const PROVENANCE: &str = "BUILDX_METADATA_PROVENANCE";

/// What that variable asks for, as buildx reads it.
pub(super) fn provenance(variable: &str) -> Option<Provenance> {
    match variable {
        "disabled" | "0" | "f" | "F" | "false" | "False" | "FALSE" => None,
        "max" => Some(Provenance::Max),
        _ => Some(Provenance::Min),
    }
}

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
    for (platform, predicate) in &report.provenance {
        let of = if platform.is_empty() { String::new() } else { format!("/{platform}") };
        let predicate = serde_json::from_str(predicate).unwrap_or_else(|_| predicate.as_str().into());
        all.insert(format!("buildx.build.provenance{of}"), predicate);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn provenance_has_the_keys_of_buildx() {
        let told = |platform: &str| (platform.to_owned(), r#"{"buildType":"t"}"#.to_owned());
        let report = Report { provenance: [told(""), told("linux/arm64")].into(), ..Report::default() };
        let written: Value = serde_json::from_str(&metadata(&report)).unwrap();
        for key in ["buildx.build.provenance", "buildx.build.provenance/linux/arm64"] {
            assert_eq!(written[key]["buildType"], "t", "{key}");
        }
        let written: Value = serde_json::from_str(&metadata(&Report::default())).unwrap();
        assert!(written.as_object().unwrap().keys().all(|key| !key.contains("provenance")));
    }

    #[test]
    fn the_variable_is_read_as_buildx_reads_it() {
        for (variable, asked) in [
            ("", Some(Provenance::Min)),
            ("min", Some(Provenance::Min)),
            ("true", Some(Provenance::Min)),
            ("max", Some(Provenance::Max)),
            ("disabled", None),
            ("false", None),
            ("0", None),
        ] {
            assert_eq!(provenance(variable), asked, "'{variable}'");
        }
    }
}
