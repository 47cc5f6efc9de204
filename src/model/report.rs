//! What a call came to: the fold over its events.

use std::collections::BTreeMap;

/// What a call came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps that ended.
    pub steps: u32,
    /// Those of them that came from the cache.
    pub cached_steps: u32,
    /// Bytes of the build context that went to the engine.
    pub context_bytes: u64,
    /// Bytes of layers that came from registries.
    pub pulled_bytes: u64,
    /// Bytes of layers that went to registries.
    pub pushed_bytes: u64,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Digest of the image's config, the image id on a graphdriver store.
    pub image_id: String,
    /// Digest of the manifest; empty where nothing was pushed and the store knows none.
    pub digest: String,
    /// The references that the result was given.
    pub tags: Vec<String>,
    /// What BuildKit's exporter answered.
    pub exporter: BTreeMap<String, String>,
    /// Id of the build.
    pub build_id: String,
}
