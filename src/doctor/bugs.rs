//! Defects of engines that change what a cache does, by the version.

use crate::model::{Capabilities, EngineKind, EngineVersion, Finding, ImageStore};

/// What is known of this engine's version; nothing of a buildkitd.
pub(super) fn known(engine: &Capabilities) -> Option<Finding> {
    if engine.kind == EngineKind::Buildkitd {
        return None;
    }
    let version: EngineVersion = engine.version.parse().ok()?;
    let about = "version";
    if version < EngineVersion::OLDEST {
        let what = format!("{version} is too old for the agent");
        return Some(Finding::error(about, what, format!("use Docker {} or later", EngineVersion::OLDEST)));
    }
    // <https://github.com/moby/moby/pull/42061>
    if version < EngineVersion(20, 10, 4) {
        return Some(Finding::error(
            about,
            format!(
                "{version} mixes up layers of an inline cache where a step changed no file: images may lack files \
                 (moby/moby#42061)"
            ),
            "use Docker 20.10.4 or later",
        ));
    }
    // <https://github.com/moby/moby/issues/44918>
    if version == EngineVersion(23, 0, 0) {
        let what = "23.0.0 crashes while it writes an inline cache (moby/moby#44918)";
        return Some(Finding::error(about, what, "use Docker 23.0.1 or later"));
    }
    // <https://github.com/moby/buildkit/issues/5242>
    let misses = EngineVersion(27, 0, 0)..EngineVersion(27, 2, 0);
    if misses.contains(&version) && engine.image_store == Some(ImageStore::Graphdriver) {
        let what = format!("{version} does not recognise the inline cache of some images (moby/buildkit#5242)");
        return Some(Finding::warning(about, what, "use Docker 27.2 or later"));
    }
    None
}
