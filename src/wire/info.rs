//! `Capabilities` > protobuf.

use crate::{
    model::{Capabilities, ImageStore},
    pb,
};

/// What an engine is and can do, with the address that it has.
pub fn to_engine(capabilities: &Capabilities, address: String) -> pb::Engine {
    let Capabilities {
        kind,
        version,
        api_version,
        image_store,
        storage_driver,
        platforms,
        exporters,
        cache_exports,
        cache_manifests: _,
        inline_forgets: _,
        run_limits: _,
        git_head: _,
        attestations: _,
        host_gateway: _,
        git,
    } = capabilities;
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    pb::Engine {
        kind: kind.as_str().to_owned(),
        version: version.clone(),
        api_version: api_version.clone(),
        image_store: image_store.map(ImageStore::as_str).unwrap_or_default().to_owned(),
        storage_driver: storage_driver.clone(),
        platforms: platforms.clone(),
        exporters: owned(exporters),
        cache_exports: owned(cache_exports),
        git: *git,
        address,
    }
}
