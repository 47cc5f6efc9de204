//! An image with inline cache, as BuildKit writes it, small.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{OCI, live::Live};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

pub(crate) struct Image {
    pub(crate) config: Value,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Image {
    /// Of two layers, for linux/amd64.
    pub(crate) fn new() -> Self {
        let record = json!([
            {"digest": "sha256:base"},
            {"digest": "sha256:step", "inputs": [[{"link": 0}]], "layers": [{"layer": 1, "createdAt": "2026-01-02T03:04:05Z"}]},
        ]);
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05.6Z", "config": {"Cmd": ["true"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:a", "sha256:b"]},
            "history": [{"created_by": "base"}, {"created_by": "ENV A=1", "empty_layer": true}, {"created_by": "RUN b"}],
            "moby.buildkit.cache.v0": STANDARD.encode(record.to_string()),
        });
        Self { config, layers: vec![b"a layer".to_vec(), b"another layer".to_vec()] }
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    pub(crate) fn with_record(self, record: &Value) -> Self {
        self.with("moby.buildkit.cache.v0", STANDARD.encode(record.to_string()).into())
    }

    pub(crate) fn manifest(&self) -> Value {
        let config = self.config.to_string();
        let layer = |layer: &Vec<u8>| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(layer), "size": layer.len()});
        json!({
            "schemaVersion": 2, "mediaType": OCI,
            "config": {"mediaType": CONFIG, "digest": digest(config.as_bytes()), "size": config.len()},
            "layers": self.layers.iter().map(layer).collect::<Vec<_>>(),
        })
    }

    /// Puts the blobs and the manifest into a registry, and returns the manifest's digest.
    pub(crate) async fn put(&self, live: &Live, repository: &str, tag: &str) -> String {
        let config = self.config.to_string().into_bytes();
        for blob in self.layers.iter().chain([&config]) {
            live.put_blob(repository, &digest(blob), blob).await;
        }
        live.put(repository, tag, OCI, &self.manifest().to_string()).await
    }
}

pub(crate) fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
