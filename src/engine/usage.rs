//! Disk usage and prune.

use std::collections::HashMap;

use bollard::query_parameters::{PruneImagesOptionsBuilder, TagImageOptionsBuilder};
use bollard_buildkit_proto::moby::buildkit::v1::{
    self as control, DiskUsageRequest, UsageRecord, control_client::ControlClient,
};

use super::{Engine, Error};
use crate::model::{Failure, PruneRequest, Reference};

/// What a prune freed of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Records or images.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What one kind takes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Records or images.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes that a prune with `all` would free.
    pub reclaimable_bytes: u64,
}

impl Engine {
    /// Disk usage by kind.
    pub async fn disk_usage(&self) -> Result<Vec<(&'static str, Used)>, Failure> {
        let mut cache = Used::default();
        for record in self.cache_records().await? {
            let bytes = u64::try_from(record.size).unwrap_or(0);
            cache.count += 1;
            cache.bytes += bytes;
            if !record.in_use {
                cache.reclaimable_bytes += bytes;
            }
        }
        Ok(vec![("build cache", cache)])
    }

    /// Gives an image that the engine holds a further name.
    pub async fn tag(&self, from: &Reference, to: &Reference) -> Result<(), Failure> {
        let options = TagImageOptionsBuilder::default().repo(&to.name()).tag(to.tag()).build();
        let tagged = self.docker()?.tag_image(&from.to_string(), Some(options)).await;
        Ok(tagged.map_err(|e| Error::docker("POST /images/tag", &e))?)
    }

    /// The records of the build cache.
    pub async fn cache_records(&self) -> Result<Vec<UsageRecord>, Failure> {
        let connection = self.grpc().await?;
        let mut control = ControlClient::new(connection.channel.clone())
            .max_decoding_message_size(usize::MAX);
        let request = DiskUsageRequest { filter: Vec::new(), age_limit: 0 };
        let usage = control.disk_usage(request).await.map_err(|s| Error::refused("DiskUsage", &s))?;
        Ok(usage.into_inner().record)
    }

    /// Prunes the build cache.
    pub async fn prune_cache(&self, request: &PruneRequest) -> Result<Freed, Failure> {
        let connection = self.grpc().await?;
        let mut control = ControlClient::new(connection.channel.clone())
            .max_decoding_message_size(usize::MAX);
        let keep = i64::try_from(request.keep_bytes).unwrap_or(i64::MAX);
        let request = control::PruneRequest {
            all: request.all,
            keep_duration: i64::try_from(request.unused_for.as_nanos()).unwrap_or(i64::MAX),
            // The field that 20.10 knows as keepBytes; newer engines also hold to the second.
            reserved_space: keep,
            max_used_space: keep,
            ..control::PruneRequest::default()
        };
        let refused = |status: tonic::Status| Failure::from(Error::refused("Prune", &status));
        let mut records = control.prune(request).await.map_err(refused)?.into_inner();
        let mut freed = Freed::default();
        while let Some(record) = records.message().await.map_err(refused)? {
            freed.count += 1;
            freed.bytes += u64::try_from(record.size).unwrap_or(0);
        }
        Ok(freed)
    }

    /// Prunes images: dangling ones, with `all` every one that no container uses.
    pub async fn prune_images(&self, request: &PruneRequest) -> Result<Freed, Failure> {
        let docker = self.docker()?;
        let options = PruneImagesOptionsBuilder::default().filters(&image_filters(request)).build();
        let pruned = docker.prune_images(Some(options)).await.map_err(|e| Error::docker("POST /images/prune", &e))?;
        let deleted = pruned.images_deleted.iter().flatten().filter(|item| item.deleted.is_some()).count();
        Ok(Freed {
            count: deleted as u64,
            bytes: pruned.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        })
    }
}

fn image_filters(request: &PruneRequest) -> HashMap<String, Vec<String>> {
    let mut filters = HashMap::from([("dangling".to_owned(), vec![(!request.all).to_string()])]);
    if !request.unused_for.is_zero() {
        filters.insert("until".to_owned(), vec![format!("{}s", request.unused_for.as_secs())]);
    }
    filters
}
