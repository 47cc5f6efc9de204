//! `--metadata-file`: the keys that `docker buildx build` writes, and ours beside them.

use serde_json::{Map, Value, json};

use crate::model::Report;

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
        }),
    );
    format!("{:#}\n", Value::Object(all))
}

/// A descriptor travels as base64 of JSON.
fn decoded(key: &str, value: &str) -> Value {
    let descriptor = || {
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, value).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    if key.ends_with("descriptor") { descriptor().unwrap_or_else(|| value.into()) } else { value.into() }
}
